"""What the checks of all dialects are written with: a refusal, and places that name themselves in it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass
class Refused(Exception):
    """A request the provider would not take; `code` and `kind` are its own words for the reason."""

    message: str
    status: int = 400
    code: str | None = None
    param: str | None = None
    kind: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.status}: {self.message}"


def refuse(message: str, status: int = 400, **more: Any) -> NoReturn:
    raise Refused(message, status, **more)


def require(holds: object, message: str, status: int = 400, **more: Any) -> None:
    if not holds:
        raise Refused(message, status, **more)


def only(value: Any, allowed: Iterable[str], where: str, status: int = 400, **more: Any) -> None:
    """`value` is an object that has no other fields."""
    require(isinstance(value, dict), f"{where}: expected an object", status, **more)
    for name in value:
        require(name in set(allowed), f"{where}{name}: unknown field", status, param=name, **more)


def number(value: Any, low: float, high: float, name: str, **more: Any) -> None:
    fits = isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high
    require(fits, f"{name}: expected a number from {low:g} to {high:g}, found {value!r}", param=name, **more)


def whole(value: Any, low: int, high: int, name: str, **more: Any) -> None:
    fits = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
    require(fits, f"{name}: expected a whole number from {low} to {high}, found {value!r}", param=name, **more)


def text(value: Any, name: str, **more: Any) -> None:
    require(isinstance(value, str), f"{name}: expected a string, found {type(value).__name__}", param=name, **more)


def one_of(value: Any, allowed: Iterable[Any], name: str, **more: Any) -> None:
    choices = list(allowed)
    require(value in choices, f"{name}: expected one of {choices}, found {value!r}", param=name, **more)


def version(model: str, family: str) -> tuple[int, int]:
    """Major and minor number after `family` in a name; dates are none: `claude-haiku-4-5-20251001` is (4, 5)."""
    rest = model.partition(family)[2]
    found = re.search(r"(?<![\d.])(\d{1,2})(?:[.-](\d{1,2}))?(?!\d)", rest)
    return (int(found[1]), int(found[2] or 0)) if found else (0, 0)
