"""``ferroute score``: the win rates of prompts under several routers, side by side."""

from __future__ import annotations

import contextlib
import csv
import json
import sys
from array import array
from typing import TYPE_CHECKING, Any, Protocol

from rich.text import Text

from ferroute.cli._output import Column, Rows, console, note, one_line, progress, row_column
from ferroute.cli._run import UsageProblem

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from pathlib import Path
    from typing import TextIO

    from rich.console import Console

    from ferroute.cli._inputs import Source
    from ferroute.controller import Controller


class Writer(Protocol):
    """Takes scored prompts one by one."""

    def row(self, row: int, prompt: str, rates: Sequence[float]) -> None:
        """Writes one prompt with its win rates, in the order of the routers."""


def score(source: Source, controller: Controller, routers: list[str], *, layout: str, output: Path | None) -> None:
    """Scores batch after batch and writes ``layout``: table, csv or jsonl."""
    out = console()
    scores = {name: array("d") for name in routers}
    first: str | None = None
    shown_live = output is None and out.is_terminal
    try:
        with _stream(output) as stream, progress("scoring", wanted=not shown_live) as advance:
            write = _writer(layout, stream, out, routers)
            for batch in source:
                texts = [text for _row, text in batch]
                first = texts[0] if first is None else first
                columns = [controller.batch_calculate_win_rate(texts, name) for name in routers]
                for name, column in zip(routers, columns, strict=True):
                    scores[name].extend(column)
                for (row, text), *rates in zip(batch, *columns, strict=True):
                    write.row(row, text, rates)
                advance(len(batch))
    finally:
        for text in source.notes(first):
            note(text)
    if layout == "table" or output is not None:
        _summary(out, scores, output)


class _Table:
    def __init__(self, out: Console, routers: list[str]) -> None:
        widths = [Column(name, max(len(name), 6), right=True) for name in routers]
        self.rows = Rows(out, [row_column(out), *widths, Column("prompt")])

    def row(self, row: int, prompt: str, rates: Sequence[float]) -> None:
        self.rows.row([(str(row), "dim"), *((f"{rate:.4f}", "") for rate in rates), (one_line(prompt), "")])


class _Csv:
    def __init__(self, stream: TextIO, routers: list[str]) -> None:
        self.writer = csv.writer(stream, lineterminator="\n")
        self.writer.writerow(["row", "prompt", *routers])

    def row(self, row: int, prompt: str, rates: Sequence[float]) -> None:
        self.writer.writerow([row, prompt, *map(repr, rates)])


class _Jsonl:
    def __init__(self, stream: TextIO, routers: list[str]) -> None:
        self.stream, self.routers = stream, routers

    def row(self, row: int, prompt: str, rates: Sequence[float]) -> None:
        record: dict[str, Any] = {
            "row": row,
            "prompt": prompt,
            "win_rates": dict(zip(self.routers, rates, strict=True)),
        }
        self.stream.write(json.dumps(record, ensure_ascii=False) + "\n")


def _writer(layout: str, stream: TextIO, out: Console, routers: list[str]) -> Writer:
    if layout == "csv":
        return _Csv(stream, routers)
    if layout == "jsonl":
        return _Jsonl(stream, routers)
    return _Table(out, routers)


@contextlib.contextmanager
def _stream(output: Path | None) -> Generator[TextIO]:
    """Standard output, or a file that gets its name only when it is complete."""
    if output is None:
        yield sys.stdout
        return
    if not output.parent.is_dir():
        raise UsageProblem(f"--output: no such folder {output.parent}")
    if output.is_dir():
        raise UsageProblem(f"--output: {output} is a folder, expected a file")
    part = output.with_name(output.name + ".part")
    try:
        with part.open("w", encoding="utf-8", newline="") as stream:
            yield stream
        part.replace(output)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _summary(out: Console, scores: Mapping[str, Sequence[float]], output: Path | None) -> None:
    import numpy as np

    n = len(next(iter(scores.values())))
    if not n:
        note("there was no prompt to score")
        return
    out.print(Text(f"\n{n:,} prompts" + (f", written to {output}" if output else "")))
    for name, rates in scores.items():
        low, middle, high = np.quantile(rates, [0.1, 0.5, 0.9])
        line = f"  {name}: median {middle:.3f}, 80 % between {low:.3f} and {high:.3f}"
        out.print(Text(line, style="dim"))


def layout_of(output: Path | None) -> str:
    """The layout that an output file's name stands for; a table where there is none.

    Raises:
        UsageProblem: The name stands for none.
    """
    if output is None:
        return "table"
    known = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
    with contextlib.suppress(KeyError):
        return known[output.suffix.lower()]
    raise UsageProblem(f"{output}: expected a name that ends in .csv or .jsonl, or --as csv or --as jsonl")
