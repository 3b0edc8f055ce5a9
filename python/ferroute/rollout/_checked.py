"""Arguments that have to be numbers, and errors that say which was not."""

from __future__ import annotations

import operator
from typing import Any

from ferroute.errors import InvalidTypeError


def number_of(name: str, value: Any) -> float:
    """A number as a float.

    Raises:
        InvalidTypeError: It is none; texts are none either.
    """
    if not isinstance(value, (str, bytes)):
        try:
            return float(value)
        except (TypeError, ValueError):
            pass
    raise InvalidTypeError(f"{name}: expected a number, found {value!r:.60} ({type(value).__name__})")


def whole_of(name: str, value: Any) -> int:
    """A whole number of 0 or more.

    Raises:
        InvalidTypeError: It is none.
    """
    try:
        whole = operator.index(value)
    except TypeError:
        whole = -1
    if not 0 <= whole < 1 << 63:
        raise InvalidTypeError(
            f"{name}: expected a whole number of 0 or more, found {value!r:.60} ({type(value).__name__})"
        )
    return whole


def pair_of(name: str, value: Any) -> tuple[float, float]:
    """Two numbers.

    Raises:
        InvalidTypeError: They are not two, or not numbers.
    """
    try:
        first, second = value
    except (TypeError, ValueError):
        raise InvalidTypeError(
            f"{name}: expected a pair of numbers, found {value!r:.60} ({type(value).__name__})"
        ) from None
    return number_of(name, first), number_of(name, second)
