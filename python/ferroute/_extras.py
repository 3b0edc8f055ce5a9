"""What a caller says beside OpenAI's keywords: the object ``ferroute={"task": ..., "session": ..., "tags": ...}``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, cast

from ferroute._given import given
from ferroute.errors import InvalidTypeError, InvalidValueError

EXTRAS = ("session", "task", "tags")


class Extras(NamedTuple):
    """The object, checked.

    Attributes:
        task: Kind of task; the rules know which names there are.
        session: What tells conversations apart.
        tags: Name and value; the value of a bare tag is empty.
    """

    task: str | None = None
    session: str | None = None
    tags: tuple[tuple[str, str], ...] = ()


NONE = Extras()


def extras_of(said: Any) -> Extras:
    """The object as it is given, None included.

    Raises:
        InvalidTypeError: It is no mapping, or a value is of the wrong type.
        InvalidValueError: It has a key that does not exist.
    """
    if said is None:
        return NONE
    if not isinstance(said, Mapping):
        raise InvalidTypeError(f"`ferroute` must be a dict, found {type(said).__name__}")
    said = cast("Mapping[Any, Any]", said)
    unknown = [name for name in said if name not in EXTRAS]
    if unknown:
        raise InvalidValueError(f"`ferroute`: unknown {unknown[0]!r:.60}; known are {', '.join(EXTRAS)}")
    task, session = said.get("task"), said.get("session")
    if task is not None and not isinstance(task, str):
        raise InvalidTypeError(f"`ferroute`: task is a string, found {type(task).__name__}")
    return Extras(task, None if session is None else str(session), _tags(said.get("tags")))


def _tags(tags: Any) -> tuple[tuple[str, str], ...]:
    if tags is None:
        return ()
    if isinstance(tags, Mapping):
        pairs = tuple(cast("Mapping[Any, Any]", tags).items())
    elif isinstance(tags, (list, tuple, set, frozenset)):
        pairs = tuple((tag, "") for tag in cast("list[Any]", tags))
    else:
        raise InvalidTypeError(f"`ferroute`: tags is a list of strings or a dict of them, found {type(tags).__name__}")
    for name, value in pairs:
        if not (isinstance(name, str) and isinstance(value, str)):
            wrong = value if isinstance(name, str) else name
            raise InvalidTypeError(f"`ferroute`: tags are strings, found {wrong!r:.60} ({type(wrong).__name__})")
    return pairs


def taken(kwargs: dict[str, Any]) -> Extras:
    """Takes the reserved object out of a call, which is not for the model."""
    said = given(kwargs.pop("ferroute", None))
    body = kwargs.get("extra_body")
    if isinstance(body, dict) and "ferroute" in body:
        body = cast("dict[str, Any]", body)
        said = body["ferroute"]
        kwargs["extra_body"] = {name: value for name, value in body.items() if name != "ferroute"}
    return extras_of(said)
