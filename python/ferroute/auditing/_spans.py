"""Spans and log events of the same call, which instrumentations write apart: together they are one call.

The text of a prompt is often in an event only, and the tokens in the span only. A call that lacks one of them waits for
its other half until the log ends; one that has both goes on at once, and what comes later of it is not counted again.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from ferroute.auditing._otel import id_of, is_message

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ferroute.auditing._call import Call

_Id = tuple[str, str]


@dataclass
class Spans:
    """Calls of spans and events, each once.

    Attributes:
        done: Ids of spans that were counted.
        waiting: Calls that lack something, with their places.
        parts: Records that repeat a whole call, or are a part of none.
    """

    done: set[_Id] = field(default_factory=set[_Id])
    waiting: dict[_Id, tuple[str, Call]] = field(default_factory=dict[_Id, Any])
    parts: int = 0

    def take(self, place: str, record: Any, made: Call) -> Call | None:
        """The call, where it is whole and new; None where it waits, or was counted."""
        key = id_of(record)
        message = is_message(record)
        if key is None and not message:
            return made
        if key is None or key in self.done:
            self.parts += 1
            return None
        start, before = self.waiting.pop(key, (place, None))
        if before is not None:
            made = _merged(before, made)
        blank = not made.messages and made.text is None
        # After one message others may follow.
        if message or blank or made.model is None or made.prompt_tokens is None:
            self.waiting[key] = (start, made)
            return None
        self.done.add(key)
        return made

    def drop(self, record: Any) -> None:
        """Forgets the call of a span that failed, and what is still to come of it."""
        key = id_of(record)
        if key is not None:
            self.waiting.pop(key, None)
            self.done.add(key)

    def left(self) -> Iterator[tuple[str, Call]]:
        """Calls whose other half never came; events that name no model are none."""
        for place, made in self.waiting.values():
            if made.model is not None:
                yield place, made
            else:
                self.parts += 1
        self.waiting.clear()


def _merged(one: Call, other: Call) -> Call:
    for each in fields(one):
        mine, theirs = getattr(one, each.name), getattr(other, each.name)
        if each.name == "messages" and mine and theirs and other.model is None:
            one.messages = [*mine, *theirs]
        elif mine is None:
            setattr(one, each.name, theirs)
    return one
