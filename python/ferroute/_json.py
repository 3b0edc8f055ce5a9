"""Request bodies: whatever callers put into messages, as the JSON a provider takes; and what its JSON may hold."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import json
from collections.abc import Mapping
from typing import Any

from ferroute.errors import InvalidTypeError, InvalidValueError


def encode(body: Mapping[str, Any]) -> bytes:
    """`body` as compact UTF-8 JSON, keys in their order.

    Response objects of `openai` and other pydantic models go in with the fields that were set, dataclasses and
    mappings as objects, numpy scalars and arrays as numbers, enums by value, dates in ISO form. Text that is not
    valid Unicode is repaired: halves of a pair are joined, lone halves become U+FFFD.

    Raises:
        InvalidTypeError: for anything else, with its place, e.g. ``messages[1].content``.
        InvalidValueError: for NaN, infinity, and objects that contain themselves.
    """
    try:
        text = _ENCODER.encode(body)
    except TypeError as error:
        raise InvalidTypeError(f"{_where(body) or 'the request'} cannot be sent as JSON: {error}") from None
    except (ValueError, RecursionError) as error:
        raise InvalidValueError(f"{_where(body) or 'the request'} cannot be sent as JSON: {error}") from None
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


def whole(digits: str) -> float:
    """A whole number of a JSON text; one of more digits than Python reads is not worth failing for."""
    try:
        return int(digits)
    except ValueError:
        return float(digits)


def _plain(foreign: object) -> Any:
    """What json does not know by itself, one level down."""
    value: Any = foreign
    if isinstance(foreign, type):
        raise TypeError(f"found the class {foreign.__name__}")
    if hasattr(foreign, "model_dump"):
        return value.model_dump(mode="json", exclude_unset=True, by_alias=True)
    if dataclasses.is_dataclass(foreign):
        return {field.name: getattr(foreign, field.name) for field in dataclasses.fields(foreign)}
    if isinstance(foreign, Mapping):
        return dict(value)
    if isinstance(foreign, enum.Enum):
        return value.value
    if isinstance(foreign, (datetime.date, datetime.time)):
        return value.isoformat()
    if hasattr(foreign, "tolist"):  # numpy, pandas, polars: scalars and arrays
        return value.tolist()
    if hasattr(foreign, "__iter__") and not isinstance(foreign, (str, bytes, bytearray, memoryview, set, frozenset)):
        return list(value)
    raise TypeError(f"found {type(value).__name__}")


# Made once: `json.dumps` makes one for every call that does not take its defaults.
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_plain)


def _where(value: Any, depth: int = 0) -> str:
    """The path to the first part of `value` that cannot be sent; empty when it is `value` itself."""
    if depth > 50:
        return ""
    if not isinstance(value, (dict, list, tuple, str, int, float, bool, type(None))):
        try:
            value = _plain(value)
        except Exception:  # whatever a foreign object raises, it is the culprit
            return ""
    parts: Any = ()
    if isinstance(value, dict):
        parts = ((f".{key}", key, item) for key, item in value.items())  # pyright: ignore[reportUnknownVariableType]
    elif isinstance(value, (list, tuple)):
        parts = ((f"[{index}]", "", item) for index, item in enumerate(value))  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    for name, key, item in parts:
        try:
            json.dumps({key: item}, allow_nan=False, default=_plain)
        except (TypeError, ValueError, RecursionError):  # noqa: PERF203 - this is the search for it
            return f"{name}{_where(item, depth + 1)}".removeprefix("." if depth == 0 else "")
    return ""
