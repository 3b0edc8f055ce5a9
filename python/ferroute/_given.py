"""Keywords that stand for not given."""

from __future__ import annotations

from typing import Any


def is_unset(value: object) -> bool:
    """`openai.NOT_GIVEN` and `openai.omit`, recognised without importing openai."""
    cls = type(value)
    return cls.__name__ in ("NotGiven", "Omit") and cls.__module__.partition(".")[0] == "openai"


def given(value: Any) -> Any:
    """`value`; None where it stands for not given."""
    return None if value is None or is_unset(value) else value
