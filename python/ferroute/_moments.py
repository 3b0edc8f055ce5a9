"""Moments as callers of `ferroute.spend` give them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ferroute.errors import InvalidValueError

if TYPE_CHECKING:
    from datetime import date, timedelta
    from typing import TypeAlias

    When: TypeAlias = date | timedelta | str


def microseconds(name: str, when: When | None) -> int | None:
    """Microseconds since 1970 of a time as callers give it."""
    if when is None:
        return None
    from datetime import date, datetime, time, timedelta, timezone

    value: Any = when
    if isinstance(value, str):
        value = _read_time(name, value)
    if isinstance(value, timedelta):
        value = datetime.now(timezone.utc) - value
    elif isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    if not isinstance(value, datetime):
        raise InvalidValueError(
            f"{name}: expected a date, a datetime, a timedelta or a text, found {type(when).__name__}"
        )
    if value.tzinfo is None:
        value = value.replace(tzinfo=timezone.utc)
    return (value - datetime(1970, 1, 1, tzinfo=timezone.utc)) // timedelta(microseconds=1)


def _read_time(name: str, text: str) -> Any:
    import re
    from datetime import datetime, timedelta

    units = {"s": "seconds", "min": "minutes", "h": "hours", "d": "days", "w": "weeks"}
    back = re.fullmatch(r"\s*(\d{1,6}(?:\.\d+)?)\s*(s|min|h|d|w)\s*", text)
    if back:
        return timedelta(**{units[back[2]]: float(back[1])})
    try:
        # Python 3.10 does not read the Z.
        return datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", text.strip()))
    except ValueError:
        raise InvalidValueError(
            f"{name}: expected a time such as 7d, 24h, 30min, 2026-01-31 or 2026-01-31T12:00:00Z, found {text!r}"
        ) from None
