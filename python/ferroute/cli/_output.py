"""Tables that fit the terminal and can be printed row by row, notes and progress on standard error."""

from __future__ import annotations

import contextlib
import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

STRONG, WEAK = "bold dark_orange", "cyan"


class Output(Console):
    """A console that leaves a closed pipe to `_run.ending`, where rich would exit by itself."""

    def on_broken_pipe(self) -> None:
        """Called by rich while it handles the `BrokenPipeError`."""
        raise BrokenPipeError


def console() -> Console:
    """Standard output; width and colours as the terminal has them, no colours in a pipe."""
    return Output(highlight=False)


def note(text: str) -> None:
    """A line on standard error."""
    Output(stderr=True, highlight=False, soft_wrap=True).print(Text("note: ", style="yellow") + Text(text))


def json_line(value: dict[str, Any]) -> None:
    """One JSON object on a line of standard output."""
    plain = not (sys.stdout.encoding or "").lower().startswith("utf")
    sys.stdout.write(json.dumps(value, ensure_ascii=plain) + "\n")


def one_line(text: str) -> str:
    """A prompt's words on one line, without control characters that a terminal would obey."""
    return " ".join("".join(c if c.isprintable() else " " for c in text[:2000]).split())


@dataclass
class Column:
    """A column of a `Rows` table; the one of width 0 takes the room that is left."""

    title: str
    width: int = 0
    right: bool = False


def row_column(out: Console) -> Column:
    """Row numbers: seven digits where there is room."""
    return Column("row", 7 if out.width >= 60 else 5, right=True)


class Rows:
    """Prints a table row by row, so that a million rows need no memory."""

    def __init__(self, out: Console, columns: Sequence[Column]) -> None:
        self.out = out
        taken = sum(column.width for column in columns) + 2 * (len(columns) - 1)
        self.columns = [
            column if column.width else Column(column.title, max(out.width - taken, 8), column.right)
            for column in columns
        ]
        self._line([(column.title, "bold") for column in self.columns])
        self._line([("─" * column.width, "dim") for column in self.columns] if not ascii_only(out) else [])

    def row(self, cells: Sequence[tuple[str, str]]) -> None:
        """Prints one row of ``(text, style)``."""
        self._line(cells)

    def _line(self, cells: Sequence[tuple[str, str]]) -> None:
        plain, last = ascii_only(self.out), len(self.columns) - 1
        texts = [
            fitted(text, column.width, column.right, pad=index < last, ascii_only=plain)
            for index, ((text, _style), column) in enumerate(zip(cells, self.columns, strict=False))
        ]
        if not self.out.is_terminal:
            # Nothing to colour; asking rich for each of many rows would take most of the time.
            self.out.file.write("  ".join(texts) + "\n")
            return
        line = Text("  ").join(Text(text, style) for text, (_text, style) in zip(texts, cells, strict=False))
        self.out.print(line, no_wrap=True, crop=False, overflow="ignore")


def fitted(text: str, width: int, right: bool = False, pad: bool = True, ascii_only: bool = False) -> str:
    """``text`` cut or padded to ``width`` columns of a terminal."""
    size = cell_len(text)
    if size > width:
        mark = "..." if ascii_only else "…"
        return set_cell_size(text, max(width - len(mark), 0)) + mark
    if right:
        return " " * (width - size) + text
    return text + " " * (width - size) if pad else text


def ascii_only(out: Console) -> bool:
    """Whether the output takes no Unicode."""
    return not out.encoding.lower().startswith("utf")


@contextlib.contextmanager
def progress(text: str, wanted: bool = True) -> Generator[Callable[[int], None]]:
    """A counter on standard error while work goes on; nothing where that is no terminal.

    Yields:
        A function that takes the number newly done.
    """
    err = Output(stderr=True)
    if not (wanted and err.is_terminal):
        yield lambda _done: None
        return
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn(text + " {task.completed:,} prompts"), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done: bar.advance(task, done)


def percent(part: float, whole: float) -> str:
    """``part`` of ``whole`` in percent."""
    return f"{part / whole:.1%}" if whole else "-"
