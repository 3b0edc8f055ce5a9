"""Notes on a decision, left by whatever runs beneath it: the prompt was cut, a fallback was used.

A router returns a number, and subclasses override that method, so remarks travel beside it. The collector is a
context variable: it follows `asyncio.to_thread` and tasks, and two requests never mix.
"""

from __future__ import annotations

from contextvars import ContextVar

collector: ContextVar[list[str] | None] = ContextVar("ferroute_notes", default=None)


def note(text: str) -> None:
    """Leaves a note on the decision being made, if one is."""
    notes = collector.get()
    if notes is not None and text not in notes:
        notes.append(text)
