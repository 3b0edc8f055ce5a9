"""Every public callable against a fixed set of hostile values.

`values` are the values, `core` says how each callable is called rightly, `run` replaces one argument at a time and
reports what should never happen; `tests/test_hostile_values.py` starts it in a process of its own. `limits` is for
other tests.
"""
