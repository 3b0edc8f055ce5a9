"""What readers look at: a file or folder, read no more often than needed."""

from __future__ import annotations

import csv
import json
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from ferroute import _core
from ferroute.errors import InvalidValueError, UnknownNameError, UnreadableFileError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence
    from pathlib import Path

PICKLES = {".pkl", ".pickle"}


class Source:
    """A place on the disk.

    Attributes:
        path: The file or folder.
        columns: Other names of columns, as the caller gave them.
        models: The models that are wanted; None: all.
    """

    def __init__(
        self,
        path: Path,
        allow_pickle: bool = False,
        columns: Mapping[str, str] | None = None,
        models: Sequence[str] | None = None,
    ) -> None:
        self.path = path
        self.columns = columns
        self.models = models
        self._allow_pickle = allow_pickle

    @property
    def kind(self) -> str:
        """``"folder"``, or the extension: ``".csv"``, ``".json"``, ..."""
        return "folder" if self.path.is_dir() else self.path.suffix.lower()

    @cached_property
    def names(self) -> list[str]:
        """Names of the columns of a table, in their order; none where it is no table."""
        if self.kind == ".csv":
            return header(self.path)
        if self.kind in {"folder", ".json", ".jsonl", *PICKLES}:
            return []
        return list(self.table)

    @cached_property
    def table(self) -> dict[str, Any]:
        """Columns of a table, read whole."""
        if self.kind not in PICKLES:
            return _core.read_columns(self.path)
        if not self._allow_pickle:
            raise InvalidValueError(
                f"{self.path}: a pickle runs whatever code it holds when it is read. If you trust where it comes from, "
                "say allow_pickle=True; or write it as Parquet once: pandas.read_pickle(path).to_parquet(...)"
            )
        import pandas as pd  # pyright: ignore[reportMissingTypeStubs]

        reader: Any = pd
        try:
            frame: Any = reader.read_pickle(self.path)
            return {str(name): frame[name].tolist() for name in frame.columns}
        except Exception as error:  # whatever unpickling runs into
            raise InvalidValueError(f"{self.path}: expected a pickled pandas frame: {error!s:.200}") from error

    @cached_property
    def document(self) -> Any:
        """A JSON file, or the first line of a JSONL file; None where it is neither."""
        if self.kind == ".json":
            return json_of(self.path)
        if self.kind == ".jsonl":
            return next((line for _, line in lines(self.path)), None)
        return None

    def files(self, pattern: str) -> list[Path]:
        """Files of a folder (and the folders in it) that match, by name; the file itself where it is one."""
        return sorted(self.path.rglob(pattern)) if self.kind == "folder" else [self.path]

    def seen(self) -> str:
        """What there is, for a message."""
        if self.kind == "folder":
            found = [file.name for file in sorted(self.path.iterdir())[:8]]
            return f"; found {', '.join(found)}" if found else "; the folder is empty"
        if self.names:
            return f"; found the columns {listed(self.names)}"
        document: Any = self.document
        if isinstance(document, list) and document:
            document = cast("list[Any]", document)[0]
        return f"; found objects with {listed(list(cast('Any', document)))}" if isinstance(document, dict) else ""


@contextmanager
def readable(path: Path) -> Generator[None]:
    """Turns what the operating system and the decoder say into our errors."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise InvalidValueError(f"{path}: expected UTF-8: {error}") from None
    except OSError as error:
        raise UnreadableFileError(f"{path}: {error.strerror or error}") from None


def json_of(path: Path) -> Any:
    """The document in a JSON file.

    Raises:
        InvalidValueError: It is none; the message says where.
    """
    with readable(path):
        text = path.read_text(encoding="utf-8")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidValueError(f"{path}: expected JSON: {error}") from None


def lines(path: Path) -> Iterator[tuple[int, Any]]:
    """Line number from 1 and object of each line of a JSONL file; empty lines are left out."""
    with readable(path), path.open(encoding="utf-8") as file:
        for row, line in enumerate(file, start=1):
            if line.strip():
                try:
                    yield row, json.loads(line)
                except (ValueError, RecursionError) as error:
                    raise InvalidValueError(f"{path}: line {row}: expected JSON: {error}") from None


def _first(cells: Iterator[list[str]]) -> list[str]:
    nothing: list[str] = []
    return next(cells, nothing)


def header(path: Path) -> list[str]:
    """The first row of a CSV file."""
    with readable(path), path.open(encoding="utf-8-sig", newline="") as file:
        return _first(csv.reader(file))


def rows(path: Path, names: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Row number from 1 and the cells named, row by row: such files may be larger than memory.

    Raises:
        UnknownNameError: A column is missing.
        InvalidValueError: A row has another number of cells than the first.
    """
    with readable(path), path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        head = _first(reader)
        missing = [name for name in names if name not in head]
        if missing:
            raise UnknownNameError(f"{path}: no column {missing[0]!r}; there are {listed(head)}")
        at = [head.index(name) for name in names]
        try:
            for row, cells in enumerate(reader, start=1):
                if len(cells) != len(head):
                    raise InvalidValueError(f"{path}: row {row}: expected {len(head)} cells, found {len(cells)}")
                yield row, [cells[i] for i in at]
        except csv.Error as error:
            raise InvalidValueError(f"{path}: row {reader.line_num}: {error}") from None


def listed(names: list[Any]) -> str:
    """Names for a message."""
    shown = [str(name) for name in names]
    return ", ".join(shown[:12]) + (f" and {len(shown) - 12} more" if len(shown) > 12 else "") if shown else "none"
