"""Tokens and times, as people hand them in."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from ferroute.errors import InvalidTypeError, InvalidValueError

if TYPE_CHECKING:
    from decimal import Decimal
    from typing import TypeAlias

    Amount: TypeAlias = Decimal | int | float | str
    Tokens: TypeAlias = tuple[Amount, Amount, Amount, Amount, Amount, Amount, Amount, Amount]
    When: TypeAlias = dt.date | dt.datetime | str | None

NAMES = (
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "reasoning_tokens",
    "input_audio_tokens",
    "output_audio_tokens",
)

# Where OpenAI's usage says the same.
_OPENAI = (
    ("prompt_tokens",),
    ("completion_tokens",),
    ("prompt_tokens_details", "cached_tokens"),
    ("prompt_tokens_details", "cache_write_tokens"),
    ("prompt_tokens_details", "cache_write_1h_tokens"),
    ("completion_tokens_details", "reasoning_tokens"),
    ("prompt_tokens_details", "audio_tokens"),
    ("completion_tokens_details", "audio_tokens"),
)


def tokens(usage: object, given: Mapping[str, Amount]) -> Tokens:
    """One number for each of `NAMES`: from `usage`, and what is `given` beside it."""
    counts: dict[str, Any] = dict.fromkeys(NAMES, 0)
    if usage is not None:
        counts |= _of_usage(usage)
    unknown = given.keys() - counts.keys()
    if unknown:
        raise InvalidTypeError(f"expected {', '.join(NAMES)}, found {', '.join(sorted(unknown))}")
    counts |= given
    return cast("Tokens", tuple(counts.values()))


def _of_usage(usage: object) -> dict[str, Any]:
    if isinstance(usage, Mapping) and "prompt_tokens" not in usage:
        named = cast("Mapping[str, Any]", usage)
        unknown = named.keys() - set(NAMES)
        if unknown:
            raise InvalidValueError(
                f"usage: expected {', '.join(NAMES)}, or OpenAI's prompt_tokens and so on, "
                f"found {', '.join(sorted(map(str, unknown)))}"
            )
        return {name: named[name] for name in named if named[name] is not None}
    found: dict[str, Any] = {}
    for name, path in zip(NAMES, _OPENAI, strict=True):
        value = cast("Any", usage)
        for step in path:
            value = _field(value, step)
        if value is not None:
            found[name] = value
    if "input_tokens" not in found:
        raise InvalidTypeError(f"usage: expected OpenAI's usage or a mapping, found {type(cast('object', usage))}")
    return found


def _field(of: Any, name: str) -> Any:
    return cast("Any", of).get(name) if isinstance(of, Mapping) else getattr(of, name, None)


def when(at: When) -> str | None:
    """A time as the core reads it. A date is its first second; times without a zone are in UTC."""
    if at is None or isinstance(at, str):
        return at
    if isinstance(at, dt.datetime):
        return (at if at.tzinfo is None else at.astimezone(dt.timezone.utc)).isoformat()
    if isinstance(cast("object", at), dt.date):
        return at.isoformat()
    raise InvalidTypeError(f"at: expected a date, a datetime or an ISO string, found {type(at).__name__}")
