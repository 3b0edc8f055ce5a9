"""Records out of files: JSON lines, a JSON document, CSV, Parquet, plain or compressed with gzip.

Lines, items of a list and rows of CSV are read one after the other, so a file may be larger than memory; Parquet and
a JSON document that is one object are read whole.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import importlib
import io
import itertools
import json
import sys
import zlib
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any, cast

from ferroute.auditing._call import BrokenRecord, Dropped
from ferroute.errors import FerrouteError, InvalidValueError, MissingFileError, UnknownNameError, UnreadableFileError

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

Records = Iterator[tuple[int, Any]]

_LONGEST = 64 << 20
"""Characters of a record; what is longer is taken for damage."""

_WHOLE = 1 << 30
"""Characters of a JSON document that is one object; a compressed one may be larger than its file says."""

_LISTS = ("data", "observations", "logs", "records", "results", "items", "spans")
"""Names under which APIs answer with a list of records."""

_RECORD = frozenset(
    (
        "model",
        "messages",
        "request",
        "response",
        "choices",
        "prompt",
        "question",
        "input",
        "output",
        "attributes",
        "usage",
    )
)
"""Names that an answer of an API does not have beside its list, and a record has."""


def kind_of(path: Path) -> str:
    """``sqlite``, ``parquet``, ``csv`` or ``json``, by the first bytes and the name.

    Raises:
        MissingFileError: There is no such file.
        UnreadableFileError: It cannot be read.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(16)
    except FileNotFoundError:
        raise MissingFileError(f"{path}: there is no such file of logs") from None
    except OSError as error:
        raise UnreadableFileError(f"{path}: cannot be read: {error}") from error
    if head.startswith(b"SQLite format 3"):
        return "sqlite"
    if head.startswith((b"PAR1", b"ARROW1")):
        return "parquet"
    name = path.name.lower().removesuffix(".gz")
    if name.endswith((".csv", ".tsv")):
        return "csv"
    return "json" if name.endswith((".json", ".jsonl", ".ndjson")) else _by_content(path)


def _by_content(path: Path) -> str:
    try:
        with _opened(path) as stream:
            start = stream.read(4096).lstrip()
    except (OSError, EOFError, zlib.error) as error:
        raise UnreadableFileError(f"{path}: cannot be read: {error}") from error
    return "csv" if start and start[0] not in "{[" else "json"


def records(path: Path, kind: str) -> Records:
    """The records of a file with their numbers from 1 (lines of JSON lines, rows of tables, items of a list).

    In the place of a record that cannot be read there is the `BrokenRecord`, as a value.

    Raises:
        UnreadableFileError: The file cannot be read on.
        InvalidValueError: It is damaged as a whole.
    """
    if kind == "parquet":
        yield from _columns(path)
        return
    try:
        with _opened(path) as stream:
            yield from _table(stream) if kind == "csv" else _json(stream)
    except (OSError, EOFError, zlib.error) as error:
        raise UnreadableFileError(f"{path}: cannot be read: {error}") from error


def standard_input() -> Records:
    """The records of standard input: JSON or CSV by its first character, also compressed with gzip.

    Raises:
        UnreadableFileError: It cannot be read on.
    """
    raw: Any = io.BufferedReader(cast("Any", sys.stdin.buffer), 1 << 16)
    try:
        packed = raw.peek(2)[:2] == b"\x1f\x8b"
        plain: Any = io.BufferedReader(cast("Any", gzip.GzipFile(fileobj=raw)), 1 << 16) if packed else raw
        start = plain.peek(4096)[:4096].removeprefix(b"\xef\xbb\xbf").lstrip()
        stream = io.TextIOWrapper(plain, encoding="utf-8-sig", errors="replace", newline="")
        yield from _json(stream) if not start or start[:1] in {b"{", b"["} else _table(stream)
        stream.detach()
    except (OSError, EOFError, zlib.error) as error:
        raise UnreadableFileError(f"standard input: cannot be read: {error}") from error
    finally:
        raw.detach()


@contextlib.contextmanager
def _opened(path: Path) -> Generator[IO[str]]:
    with path.open("rb") as raw:
        head = raw.read(2)
        raw.seek(0)
        plain: Any = gzip.GzipFile(fileobj=raw) if head == b"\x1f\x8b" else raw
        # Spreadsheets write UTF-16; what is no UTF-8 shows as U+FFFD and costs nobody the line.
        encoding = "utf-16" if head in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig"
        with io.TextIOWrapper(plain, encoding=encoding, errors="replace", newline="") as stream:
            yield stream


def _json(stream: IO[str]) -> Records:
    """JSON lines, a list of objects, or one object that has them."""
    lines = enumerate(_lines(stream), start=1)
    number, line = next(((number, line) for number, line in lines if line.strip()), (0, ""))
    start = line.strip()
    if start.startswith("["):
        yield from _items(line, stream)
    elif start == "{":
        yield from _document(line + stream.read(_WHOLE + 1))
    elif start:
        yield from _line(number, line)
        for place, other in lines:
            if other.strip():
                yield from _line(place, other)


def _lines(stream: IO[str]) -> Iterator[str]:
    """Lines; of one that is too long, as much as shows that it is: its end may not fit into memory."""
    while line := stream.readline(_LONGEST + 1):
        yield line
        while len(line) > _LONGEST and not line.endswith("\n"):
            line = stream.readline(_LONGEST + 1)


def _line(number: int, line: str) -> Records:
    try:
        if len(line) > _LONGEST:
            raise BrokenRecord(f"is longer than {_LONGEST >> 20} million characters")
        read = inside(json.loads(line))
    except BrokenRecord as broken:
        yield number, broken
    except (ValueError, RecursionError) as error:
        yield number, BrokenRecord(f"is no JSON: {_said(error)}")
    else:
        for each in read:
            yield number, each


def _said(error: BaseException) -> str:
    return getattr(error, "msg", None) or type(error).__name__


def inside(read: Any) -> list[Any]:
    """The records that an answer of an API, or a trace, holds; anything else is a record itself."""
    if not isinstance(read, dict):
        return [BrokenRecord(f"is no object but {type(read).__name__}")]
    whole = cast("dict[str, Any]", read)
    for name in _LISTS:
        inner: Any = whole.get(name)
        if isinstance(inner, list) and _holds(whole, name, cast("list[Any]", inner)):
            return [record for each in cast("list[Any]", inner) for record in inside(each)]
    return [whole]


def _holds(whole: dict[str, Any], name: str, inner: list[Any]) -> bool:
    """Whether the list is what an object is about. A record of its own may have a field of that name, too."""
    if not all(isinstance(each, dict) for each in inner):
        return False
    # Langfuse's traces hold their observations beside an input and an output of their own; a call has none.
    return (name == "observations" and bool(inner)) or _RECORD.isdisjoint(whole)


def _document(text: str) -> Records:
    try:
        if len(text) > _WHOLE:
            raise ValueError(f"longer than {_WHOLE >> 20} million characters")
        read = inside(json.loads(text))
    except (ValueError, RecursionError) as error:
        yield 1, BrokenRecord(f"is no JSON: {_said(error)}")
        return
    yield from enumerate(read, start=1)


def _items(buffer: str, stream: IO[str]) -> Records:
    """The items of a JSON list, one after the other, whatever the length of the list."""
    decode, number, step = json.JSONDecoder().raw_decode, 0, 1 << 20
    at = buffer.index("[") + 1
    while True:
        at = _skipped(buffer, at)
        if at < len(buffer) and buffer[at] == "]":
            return
        try:
            if at == len(buffer):
                raise ValueError("more")
            read, at = decode(buffer, at)
            found = inside(read)
        except RecursionError:
            yield number + 1, BrokenRecord("is nested too deeply; what follows it was not read")
            return
        except ValueError as error:
            more = stream.read(step)
            if not more or len(buffer) - at > _LONGEST:
                yield number + 1, BrokenRecord(f"is no JSON, or its end is missing: {_said(error)}")
                if not number:
                    yield from _after_a_broken_line(buffer, stream)
                return
            # Twice as much each time, so that a long item is not tried again and again.
            buffer, at, step = buffer[at:] + more, 0, min(step * 2, _LONGEST)
        else:
            number += 1
            for each in found:
                yield number, each


def _after_a_broken_line(buffer: str, stream: IO[str]) -> Records:
    """JSON lines after a first one that only looked like the beginning of a list."""
    lines = io.StringIO(buffer[at + 1 :] if (at := buffer.find("\n")) >= 0 else "")
    for number, line in enumerate(itertools.chain(lines, _lines(stream)), start=2):
        if line.strip():
            if number == 2 and not line.rstrip().endswith("}"):
                return
            yield from _line(number, line)


def _skipped(buffer: str, at: int) -> int:
    while at < len(buffer) and buffer[at] in " \t\r\n,":
        at += 1
    return at


def _table(stream: IO[str]) -> Records:
    # The module's own limit of 128 KB a field is less than a long prompt; it can only be set for the process.
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST))
    header = stream.readline(_LONGEST)
    mark = next((mark for mark in ",;\t" if mark in header), ",")
    nothing: list[str] = []
    names = next(csv.reader([header], delimiter=mark), nothing)
    rows, number = csv.reader(_lines(stream), delimiter=mark), 0
    while True:
        number += 1
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield number, BrokenRecord(f"is no CSV: {error}")
            continue
        if not cells:
            number -= 1
        elif len(cells) > len(names):
            yield number, BrokenRecord(f"has {len(cells)} fields where the header has {len(names)}")
        else:
            yield number, {name: cell or None for name, cell in zip(names, cells, strict=False)}


def _columns(path: Path) -> Records:
    from ferroute import _core

    try:
        found = _core.read_columns(path)
    except FerrouteError:
        raise
    except Exception as error:
        raise InvalidValueError(f"{path}: cannot be read as Parquet: {error}") from error
    nested = [name for name in _NESTED if name not in found and _is_nested(path, name)]
    if nested:
        rows = _with_pyarrow(path) or _with_polars(path)
        if rows is not None:
            yield from enumerate(rows, start=1)
            return
        yield (
            0,
            Dropped(
                f"{path.name}: the nested values of {', '.join(nested)} were not read; that needs pyarrow or polars"
            ),
        )
    plain = {name: values if isinstance(values, list) else values.tolist() for name, values in found.items()}
    for number, cells in enumerate(zip(*plain.values(), strict=True), start=1):
        row = zip(plain, cells, strict=True)
        # A missing number is NaN there, which is the one value that is not equal to itself.
        yield number, {name: cell if cell == cell else None for name, cell in row}


_NESTED = ("messages", "request", "response", "usage", "input", "output", "attributes", "prompt", "metadata", "scores")
"""Columns that are worth the reading where their values are objects or lists of objects."""


def _is_nested(path: Path, name: str) -> bool:
    from ferroute import _core

    try:
        _core.read_columns(path, [name])
    except UnknownNameError:
        return False
    except InvalidValueError:
        return True
    return False


def _with_pyarrow(path: Path) -> Iterator[dict[str, Any]] | None:
    """The rows by pyarrow; None where it is not installed."""
    try:
        arrow: Any = importlib.import_module("pyarrow")
        parquet: Any = importlib.import_module("pyarrow.parquet")
        feather: Any = importlib.import_module("pyarrow.feather")
    except ImportError:
        return None
    try:
        with path.open("rb") as stream:
            packed = stream.read(4) == b"PAR1"
        batches = parquet.ParquetFile(path).iter_batches() if packed else feather.read_table(path).to_batches()
    except (arrow.ArrowException, OSError, ValueError) as error:
        raise InvalidValueError(f"{path}: cannot be read as Parquet: {error}") from error
    return (row for batch in batches for row in batch.to_pylist())


def _with_polars(path: Path) -> Iterator[dict[str, Any]] | None:
    """The rows by polars; None where it is not installed."""
    try:
        polars: Any = importlib.import_module("polars")
        return iter(polars.read_parquet(path).iter_rows(named=True))
    except ImportError:
        return None
    except Exception as error:
        raise InvalidValueError(f"{path}: cannot be read as Parquet: {error}") from error
