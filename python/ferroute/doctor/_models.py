"""Models of a project that have ended, end soon, or cannot be called from here."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from ferroute import _core, _lifecycle
from ferroute.doctor._findings import Finding, Severity
from ferroute.doctor._mentions import Mention, ends_on, mentions, places
from ferroute.errors import FerrouteError, NotBuiltError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator

    from ferroute.doctor._files import Document


def of_models(document: Document, day: dt.date) -> Iterator[Finding]:
    """One finding for a model and file (in a notebook: and cell), at its first line."""
    held: dict[tuple[str, int | None], list[Mention]] = defaultdict(list)
    for mention in mentions(document):
        held[mention.name, mention.cell].append(mention)
    for (name, cell), found in held.items():
        read, lines = all(mention.read for mention in found), [mention.line for mention in found]
        if ends_on(name) is not None:
            ending = _lifecycle.ending(name, ends_on(name), day)
            if ending is not None:
                yield _ended(ending, document.path, cell, lines, read=read)
        elif not read and "/" in name and (why := _not_built(name)) is not None:
            what = f"{name}{places(lines)} cannot be called by ferroute"
            yield Finding("warning", "model", what, why, "", document.path, min(lines), cell)


def _ended(ending: _lifecycle.Ending, path: str, cell: int | None, lines: list[int], *, read: bool) -> Finding:
    severity: Severity = "error" if ending.gone else "warning"
    if read:
        # A page is not run: what it shows fails only for who follows it.
        severity = "warning" if ending.gone else "note"
    said, _, todo = ending.text.partition("; ")
    what = said.removeprefix(f"{ending.model}: ").partition(" (")[0]
    why = f"From that day on calls fail ({_lifecycle.source()})"
    if ending.gone:
        why = f"Calls fail ({_lifecycle.source()})"
    todo = todo.replace("consider", "Consider", 1) or "`ferroute.pricing.compare` shows prices of others"
    return Finding(severity, "model", f"{ending.model}{places(lines)}: {what}", why, todo, path, min(lines), cell)


def _not_built(name: str) -> str | None:
    if not any(c.isdigit() for c in name):
        return None
    try:
        _core.Client(name, api_key="none")
    except NotBuiltError as error:
        text = str(error).rstrip(".")
        return text[:1].upper() + text[1:]
    except FerrouteError:
        return None
    return None
