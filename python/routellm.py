"""`routellm` is another name for `ferroute`, also where uninstalling the original took `routellm/__init__.py` along.

`ferroute._alias` has the whole story.
"""

from __future__ import annotations

from typing import Any

from ferroute._alias import attribute, install

__ferroute_alias__ = True
__path__: list[str] = []  # a package, whose modules the finder knows

install()


def __getattr__(name: str) -> Any:
    return attribute(name)


# A package would be run by its `__main__`; a module is run itself.
if __name__ == "__main__":
    from ferroute.cli import main

    main()
