"""Tables of any program: which column is what, by their usual names or as the user says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from ferroute.auditing._call import (
    Call,
    NotACall,
    answer_of,
    currency_of,
    failed,
    first,
    held,
    messages_of,
    moment,
    number,
    path,
    scores_into,
    text,
    usage_into,
    whole,
)
from ferroute.errors import InvalidTypeError, InvalidValueError

_USUAL: dict[str, tuple[str, ...]] = {
    "prompt": ("prompt", "question", "text", "input", "query", "user_prompt"),
    "messages": ("messages",),
    "model": ("model", "model_name", "engine", "deployment"),
    "prompt_tokens": ("prompt_tokens", "input_tokens", "tokens_in", "n_input_tokens"),
    "completion_tokens": ("completion_tokens", "output_tokens", "tokens_out", "n_output_tokens"),
    "cached_tokens": ("cached_tokens",),
    "cost": ("cost", "cost_usd", "total_cost", "spend", "price_usd"),
    "at": ("at", "timestamp", "time", "created_at", "date", "created"),
    "answer": ("answer", "response", "completion", "output"),
}

_READERS = {
    "prompt": text,
    "messages": messages_of,
    "model": text,
    "prompt_tokens": whole,
    "completion_tokens": whole,
    "cached_tokens": whole,
    "at": moment,
    "answer": answer_of,
    "score": number,
    "strong_score": number,
    "weak_score": number,
    "win_rate": number,
}

FIELDS = (*_READERS, "cost")
"""What a column can be said to be."""


def checked(columns: Mapping[str, str] | None) -> dict[str, str]:
    """A map from fields to columns.

    Raises:
        InvalidTypeError: It is no mapping of strings.
        InvalidValueError: A field is unknown.
    """
    if columns is None:
        return {}
    if not isinstance(columns, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidTypeError(f"columns: expected a mapping from fields to columns, found {type(columns).__name__}")
    for field, column in columns.items():
        if field not in FIELDS:
            raise InvalidValueError(f"columns: expected one of {', '.join(FIELDS)}, found {field!r:.60}")
        if not isinstance(column, str) or not column:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidTypeError(f"columns[{field!r}]: expected the name of a column, found {column!r:.60}")
    return dict(columns)


def fits(record: Any) -> bool:
    """Whether a record is a row with a column that is known."""
    return any(first(record, *names) is not None for names in _USUAL.values())


def call(record: Any) -> Call:
    """The call of a row, by the usual names of columns."""
    if failed(record):
        raise NotACall("failed")
    made = Call()
    for field, names in _USUAL.items():
        _set(made, field, first(record, *names), currency_of(record))
    usage = held(path(record, "usage"))
    if isinstance(usage, Mapping):
        usage_into(made, usage)
    scores_into(made, record)
    return made


def override(made: Call, record: Any, columns: Mapping[str, str]) -> None:
    """Takes the fields that the user has named a column for; ``a.b`` reaches into nested objects."""
    for field, column in columns.items():
        value = path(record, column)
        value = path(record, *column.split(".")) if value is None else value
        _set(made, field, value, currency_of(record))


def has(record: Any, column: str) -> bool:
    """Whether a record has the column, filled or not."""
    if isinstance(record, Mapping) and column in record:
        return True
    *steps, last = column.split(".")
    inner: Any = path(record, *steps)
    return isinstance(inner, Mapping) and last in inner


def _set(made: Call, field: str, value: Any, currency: Any) -> None:
    if field == "cost":
        made.pay(value, currency)
        return
    read = None if value is None else _READERS[field](value)
    if field == "prompt":
        if read is not None:
            made.messages = messages_of(read)
            made.text = None if made.messages else cast("str", read)
    elif read is not None or field != "messages":
        setattr(made, field, read)
