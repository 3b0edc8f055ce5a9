"""``ferroute score``: the win rates of prompts under several routers, side by side."""

from __future__ import annotations

import contextlib
import csv
import json
import sys
from array import array
from typing import TYPE_CHECKING, Any, Protocol

from rich.text import Text

from ferroute import _core
from ferroute._whole_file import put
from ferroute.cli._output import Column, console, note, one_line, progress, row_column
from ferroute.cli._output import Rows as TableRows
from ferroute.cli._run import UsageProblem

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from pathlib import Path
    from typing import TextIO

    from rich.console import Console

    from ferroute.cli._inputs import Rows, Source
    from ferroute.controller import Controller


class Writer(Protocol):
    """Takes scored prompts, batch by batch."""

    def rows(self, file: str, batch: Rows, columns: Sequence[Sequence[float]]) -> None:
        """Writes prompts of a file with the win rates of each router."""


class _ByRow:
    """A writer that takes prompts one by one."""

    def rows(self, file: str, batch: Rows, columns: Sequence[Sequence[float]]) -> None:
        for (row, text), *rates in zip(batch, *columns, strict=True):
            self.row(file, row, text, rates)

    def row(self, file: str, row: int, prompt: str, rates: Sequence[float]) -> None:
        raise NotImplementedError


def score(source: Source, controller: Controller, routers: list[str], *, layout: str, output: Path | None) -> None:
    """Scores batch after batch and writes ``layout``: table, csv, jsonl or parquet.

    Memory does not grow with the rows.
    """
    out = console()
    scores = {name: Spread() for name in routers}
    first: str | None = None
    shown_live = output is None and out.is_terminal
    try:
        with (
            _opened(layout, output, out, routers, bool(source.files)) as writer,
            progress("scoring", wanted=not shown_live) as advance,
        ):
            for batch in source:
                texts = [text for _row, text in batch]
                first = texts[0] if first is None else first
                columns = [controller.batch_calculate_win_rate(texts, name) for name in routers]
                for name, column in zip(routers, columns, strict=True):
                    scores[name].add(column)
                writer.rows(str(source.file), batch, columns)
                advance(len(batch))
    finally:
        for text in source.notes(first):
            note(text)
    if layout == "table" or output is not None:
        _summary(out, scores, output)


class Spread:
    """Quantiles of many numbers in 0..=1: exact for the first million, then to a hundred-thousandth."""

    EXACT, BINS = 1_000_000, 100_000

    def __init__(self) -> None:
        self.values = array("d")
        self.counts: Any = None
        self.count = 0

    def add(self, values: Sequence[float]) -> None:
        """Takes some more numbers."""
        self.count += len(values)
        self.values.extend(values)
        if self.counts is not None or len(self.values) > self.EXACT:
            self._fold()

    def _fold(self) -> None:
        import numpy as np

        if self.counts is None:
            self.counts = np.zeros(self.BINS + 1, dtype=np.int64)
        numbers: Any = np.nan_to_num(np.frombuffer(self.values, dtype=np.float64))
        bins: Any = np.rint(numbers.clip(0, 1) * self.BINS).astype(np.int64)
        self.counts += np.bincount(bins, minlength=self.BINS + 1)
        self.values = array("d")

    def quantiles(self, at: Sequence[float]) -> list[float]:
        """The numbers below which these shares lie."""
        import numpy as np

        if self.counts is None:
            return [float(value) for value in np.quantile(self.values, at)]
        places = np.searchsorted(np.cumsum(self.counts), np.maximum(np.asarray(at) * self.count, 1))
        return [float(place) / self.BINS for place in np.minimum(places, self.BINS)]


class _Table(_ByRow):
    def __init__(self, out: Console, routers: list[str]) -> None:
        widths = [Column(name, max(len(name), 6), right=True) for name in routers]
        self.table = TableRows(out, [row_column(out), *widths, Column("prompt")])

    def row(self, file: str, row: int, prompt: str, rates: Sequence[float]) -> None:
        self.table.row([(str(row), "dim"), *((f"{rate:.4f}", "") for rate in rates), (one_line(prompt), "")])


class _Csv(_ByRow):
    def __init__(self, stream: TextIO, routers: list[str], several: bool) -> None:
        self.writer, self.several = csv.writer(stream, lineterminator="\n"), several
        self.writer.writerow([*(["file"] if several else []), "row", "prompt", *routers])

    def row(self, file: str, row: int, prompt: str, rates: Sequence[float]) -> None:
        self.writer.writerow([*([file] if self.several else []), row, prompt, *map(repr, rates)])


class _Jsonl(_ByRow):
    def __init__(self, stream: TextIO, routers: list[str], several: bool) -> None:
        self.stream, self.routers, self.several = stream, routers, several

    def row(self, file: str, row: int, prompt: str, rates: Sequence[float]) -> None:
        record: dict[str, Any] = {
            **({"file": file} if self.several else {}),
            "row": row,
            "prompt": prompt,
            "win_rates": dict(zip(self.routers, rates, strict=True)),
        }
        self.stream.write(json.dumps(record, ensure_ascii=False) + "\n")


class _Parquet:
    def __init__(self, table: _core.ParquetWriter, several: bool) -> None:
        self.table, self.several = table, several

    def rows(self, file: str, batch: Rows, columns: Sequence[Sequence[float]]) -> None:
        origin = [[file] * len(batch)] if self.several else []
        self.table.write([*origin, [row for row, _text in batch], [text for _row, text in batch], *columns])


@contextlib.contextmanager
def _opened(layout: str, output: Path | None, out: Console, routers: list[str], several: bool) -> Generator[Writer]:
    if layout == "parquet":
        if output is None:
            raise UsageProblem("Parquet is a file: give its name with --output")
        _check(output)
        taken = {"file", "row", "prompt"} & set(routers)
        if taken:
            raise UsageProblem(f"a router called {taken.pop()} cannot be a column of a Parquet table")
        columns = {**({"file": "text"} if several else {}), "row": "whole", "prompt": "text"}
        with _core.ParquetWriter(output, {**columns, **dict.fromkeys(routers, "number")}) as table:
            yield _Parquet(table, several)
        return
    with _stream(output) as stream:
        if layout == "csv":
            yield _Csv(stream, routers, several)
        elif layout == "jsonl":
            yield _Jsonl(stream, routers, several)
        else:
            yield _Table(out, routers)


@contextlib.contextmanager
def _stream(output: Path | None) -> Generator[TextIO]:
    """Standard output, or a file that gets its name only when it is complete."""
    if output is None:
        yield sys.stdout
        return
    _check(output)
    part = output.with_name(output.name + ".part")
    try:
        with part.open("w", encoding="utf-8", newline="") as stream:
            yield stream
        put(part, output)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _check(output: Path) -> None:
    if not output.parent.is_dir():
        raise UsageProblem(f"--output: no such folder {output.parent}")
    if output.is_dir():
        raise UsageProblem(f"--output: {output} is a folder, expected a file")


def _summary(out: Console, scores: Mapping[str, Spread], output: Path | None) -> None:
    n = next(iter(scores.values())).count
    if not n:
        note("there was no prompt to score")
        return
    out.print(Text(f"\n{n:,} prompts" + (f", written to {output}" if output else "")))
    for name, rates in scores.items():
        low, middle, high = rates.quantiles([0.1, 0.5, 0.9])
        line = f"  {name}: median {middle:.3f}, 80 % between {low:.3f} and {high:.3f}"
        out.print(Text(line, style="dim"))


def layout_of(output: Path | None) -> str:
    """The layout that an output file's name stands for; a table where there is none.

    Raises:
        UsageProblem: The name stands for none.
    """
    if output is None:
        return "table"
    known = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
    with contextlib.suppress(KeyError):
        return known[output.suffix.lower()]
    raise UsageProblem(f"{output}: expected a name that ends in .csv, .jsonl or .parquet, or --as csv or --as jsonl")
