"""Which program wrote a log, and its calls, whichever it was."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ferroute.auditing import _columns, _files, _langfuse, _ledger, _litellm, _openai, _otel
from ferroute.auditing._call import BrokenRecord, Call, Dropped, NotACall
from ferroute.auditing._spans import Spans
from ferroute.auditing._streams import Streams
from ferroute.errors import InvalidTypeError, InvalidValueError

if TYPE_CHECKING:
    from types import ModuleType

# The more particular kinds first: an OpenAI object is what the others hold.
_KINDS: dict[str, ModuleType] = {
    "otel": _otel,
    "litellm": _litellm,
    "langfuse": _langfuse,
    "openai": _openai,
    "table": _columns,
}

FORMATS = (*_KINDS, "ledger")
"""Names that ``format=`` takes."""

_NAMED = 5
"""Broken records that are named, of those that are counted."""


class NoCallsError(InvalidValueError):
    """Logs without a single call that can be read."""


@dataclass
class Source:
    """Logs to be read once, and what was found on the way.

    Attributes:
        format: What was asked for; None: each file's is recognised.
        found: What was read as, a name for each kind of file.
        broken: Records that could not be read.
        problems: The first of them, in words.
        dropped: Parts of files that could not be read, in words.
        others: Records that are no successful chat call, by kind.
    """

    logs: Any
    format: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict[str, str])
    found: list[str] = field(default_factory=list[str])
    broken: int = 0
    problems: list[str] = field(default_factory=list[str])
    others: dict[str, int] = field(default_factory=dict[str, int])
    dropped: list[str] = field(default_factory=list[str])
    asked: dict[str, Any] = field(default_factory=dict[str, Any])
    """Requests of the Batch API whose answers are still to come, by their ids."""

    early: set[str] = field(default_factory=set[str])
    """Ids of answers of the Batch API that came without a request."""
    calls: int = 0
    spans: Spans = field(default_factory=Spans)
    streams: Streams = field(default_factory=Streams)
    unseen: dict[str, str] = field(default_factory=dict[str, str])
    """Columns that were asked for and that no record had so far, by field."""

    def __post_init__(self) -> None:
        self.unseen = dict(self.columns)
        if self.format is not None and self.format not in FORMATS:
            raise InvalidValueError(f"format: expected {', '.join(FORMATS)}, found {self.format!r:.60}")

    def __iter__(self) -> Iterator[tuple[str, Call]]:
        """The calls with their places, such as ``line 7`` or ``may.jsonl, line 7``."""
        for name, kind, records in self._files():
            known: ModuleType | None = _ledger if kind == "ledger" else _KINDS.get(self.format or "")
            if known is not None:
                self._note("ledger" if known is _ledger else self.format or "")
            last: ModuleType | None = None
            word = "row" if kind in {"csv", "parquet", "ledger", "objects"} else "line"
            for number, record in records:
                if isinstance(record, Dropped):
                    self.dropped.append(str(record))
                    continue
                place = f"{name}{word} {number}"
                if isinstance(record, BrokenRecord):
                    self._broken(place, str(record))
                    continue
                # Files may be mixed, so each record says for itself what it is; one that does not is as the last one.
                reader = known or self._recognised(record) or last
                if reader is None:
                    self._broken(place, f"has no field that is known; its fields are {_fields(record)}")
                    continue
                last = reader
                yield from self._calls(place, reader, record)
        yield from self._left()
        if self.unseen and (self.calls or self.broken):
            field_, column = next(iter(self.unseen.items()))
            raise InvalidValueError(f"columns: no record has a column {column!r:.60} (for {field_})")

    def _left(self) -> Iterator[tuple[str, Call]]:
        """What waited for more until the end."""
        for place, made in (*self.spans.left(), *self.streams.left()):
            if (settled := self._settled(place, made, None)) is not None:
                yield place, settled
        if self.spans.parts:
            self.others["repeated or partial"] = self.spans.parts
        if self.asked:
            if not self.early.isdisjoint(self.asked):
                raise InvalidValueError(
                    "logs: a batch's output comes before its input; expected the input first, such as "
                    "[input.jsonl, output.jsonl]"
                )
            self.others["unanswered"] = len(self.asked)

    def _files(self) -> Iterator[tuple[str, str, Iterable[tuple[int, Any]]]]:
        logs = self.logs
        if isinstance(logs, (str, os.PathLike)):
            yield self._opened("", cast("str | os.PathLike[str]", logs))
            return
        rows = _objects(logs)
        paths: list[str | os.PathLike[str]] = []
        listed = cast("Sequence[Any]", rows if isinstance(rows, Sequence) else ())
        if listed and all(isinstance(each, (str, os.PathLike)) for each in listed):
            paths = cast("list[str | os.PathLike[str]]", list(listed))
        if not paths:
            yield "", "objects", enumerate(_mappings(cast("Iterable[Any]", rows)), start=1)
            return
        for each in paths:
            yield self._opened(f"{os.path.basename(each)}, ", each)  # noqa: PTH119 - a URL is no path

    def _opened(self, name: str, place: str | os.PathLike[str]) -> tuple[str, str, Iterable[tuple[int, Any]]]:
        said = os.fspath(place)
        if said == "-":
            return name, "json", _files.standard_input()
        if self.format == "ledger" or said.split(":")[0].lower() in {"sqlite", "postgres", "postgresql"}:
            return name, "ledger", _ledger.records(said)
        path = Path(said)
        if path.is_dir():
            raise InvalidValueError(f"{path} is a folder: expected a file of logs, or a list of files")
        kind = _files.kind_of(path)
        if kind == "sqlite":
            return name, "ledger", _ledger.records(f"sqlite:{said}")
        return name, kind, _files.records(path, kind)

    def _recognised(self, record: Any) -> ModuleType | None:
        for name, reader in _KINDS.items():
            if reader.fits(record):
                self._note(name)
                return reader
        # With a map of its columns any table will do.
        if self.columns:
            self._note("table")
            return _columns
        return None

    def _note(self, name: str) -> None:
        if name not in self.found:
            self.found.append(name)

    def _calls(self, place: str, reader: ModuleType, record: Any) -> Iterator[tuple[str, Call]]:
        for each in _otel.spans(record) if reader is _otel else (record,):
            made = self._call(place, reader, each)
            if made is not None:
                yield place, made

    def _call(self, place: str, reader: ModuleType, record: Any) -> Call | None:
        if reader is _openai:
            if self.streams.take(place, record):
                return None
            waits, record = _openai.joined(record, self.asked, self.early)
            if waits:
                return None
        try:
            made: Call = reader.call(record)
        except NotACall as other:
            if reader is _otel and str(other) == "failed":
                self.spans.drop(record)
            self._other(str(other))
            return None
        if self.columns:
            _columns.override(made, record, self.columns)
            self.unseen = {name: at for name, at in self.unseen.items() if not _columns.has(record, at)}
        if reader is _otel:
            joined = self.spans.take(place, record, made)
            if joined is None:
                return None
            made = joined
        return self._settled(place, made, record)

    def _other(self, kind: str) -> None:
        self.others[kind] = self.others.get(kind, 0) + 1

    def _settled(self, place: str, made: Call, record: Any) -> Call | None:
        made.settle()
        kind = _not_chat(made.model)
        if kind is not None:
            self._other(kind)
            return None
        if made.model is None and made.text is None and made.win_rate is None:
            self._broken(place, f"names neither a model nor a prompt; its fields are {_fields(record)}")
            return None
        self.calls += 1
        return made

    def _broken(self, place: str, why: str) -> None:
        self.broken += 1
        if len(self.problems) < _NAMED:
            self.problems.append(f"{place} {why}")


_NOT_CHAT = {"embed": "embedding", "whisper": "other", "tts-": "other", "dall-e": "other", "moderation": "other"}
"""Parts of names of models that are none to chat with."""


def _not_chat(model: str | None) -> str | None:
    """The kind that calls of a model are counted under, where they are no chat calls."""
    name = (model or "").lower()
    return next((kind for part, kind in _NOT_CHAT.items() if part in name), None)


def _fields(record: Any) -> str:
    names = [str(name) for name in cast("Mapping[str, Any]", record)] if isinstance(record, Mapping) else []
    return ", ".join(f"{name!r:.40}" for name in names[:8]) or "none"


def _objects(logs: Any) -> Any:
    """Rows of what was handed over in memory."""
    if hasattr(logs, "to_dicts"):  # of polars, whose frames have a to_dict, too
        return logs.to_dicts()
    if hasattr(logs, "to_dict") and hasattr(logs, "columns"):
        return logs.to_dict("records")
    if isinstance(logs, Mapping) or not hasattr(logs, "__iter__"):
        raise InvalidTypeError(
            f"logs: expected a path, several paths, a ledger's URL, a frame or an iterable of dicts, "
            f"found {type(cast('Any', logs)).__name__}"
        )
    return logs


def _mappings(rows: Iterable[Any]) -> Iterator[Any]:
    for row in rows:
        if isinstance(row, Mapping):
            # Readers expect what JSON gives. Frames have NaN where there is nothing.
            named = cast("Mapping[str, Any]", row)
            yield from _files.inside(
                {name: None if isinstance(value, float) and value != value else value for name, value in named.items()}
            )
        else:
            yield BrokenRecord(f"is no object but {type(row).__name__}")
