"""Where the prompts of a command come from: its arguments, a file, or standard input."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ferroute.cli._run import BadInput, UsageProblem
from ferroute.errors import FerrouteError
from ferroute.prompts import read_prompts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ferroute.prompts import PromptBatches

BATCH = 1024
Rows = list[tuple[int, str]]


@dataclass
class Source:
    """Prompts to come, in batches of ``(row, prompt)``."""

    arguments: list[str]
    batches: PromptBatches | None = None
    limit: int | None = None
    later: Callable[[Path], PromptBatches] | None = None
    files: list[Path] = field(default_factory=list[Any])
    file: Path | None = None
    """The file that the batch last handed out is from, where there are several."""
    finished: list[PromptBatches] = field(default_factory=list[Any])

    @classmethod
    def of(
        cls,
        prompts: list[str],
        file: str | None,
        format: str | None = None,  # noqa: A002
        column: str | None = None,
        skip_bad: bool = False,
        limit: int | None = None,
        output: Path | None = None,
    ) -> Source:
        """The prompts that a command line names; a folder's or a pattern's file ``output`` is none of them.

        Raises:
            UsageProblem: Prompts are named twice, or not at all, or ``output`` is the file they are in.
            BadInput: The file cannot be opened.
        """
        if prompts and file is not None:
            raise UsageProblem("give prompts as arguments or with --file, not both")
        if prompts:
            if column or format:
                raise UsageProblem("--format and --column are for files and standard input")
            return cls(prompts, limit=limit)
        if file is None:
            if sys.stdin is None or sys.stdin.isatty():
                raise UsageProblem("no prompts: give some as arguments, name a file with --file, or pipe them in")
            file = "-"

        def opened(path: str | Path) -> PromptBatches:
            return read_prompts(path, format=format, column=column, skip_bad=skip_bad, batch_size=BATCH)

        try:
            files = several(file)
            if not files:
                if output is not None and file != "-" and _same(output, Path(file)):
                    raise UsageProblem(f"--output: {output} is the file that the prompts are read from")
                return cls([], opened(file), limit)
            if output is not None:
                files = [found for found in files if not _same(output, found)]
                if not files:
                    raise BadInput(f"{file}: there is nothing but {output}, which is to be written")
            return cls([], opened(files[0]), limit, opened, files, files[0])
        except FerrouteError as error:
            raise BadInput(str(error)) from None

    def __iter__(self) -> Iterator[Rows]:
        """Batches up to the limit.

        Raises:
            BadInput: A row is bad; everything before it has been handed out.
        """
        left = self.limit
        for batch in self._all():
            if left is None:
                yield batch
                continue
            if left <= 0:
                return
            yield batch[:left]
            left -= len(batch)
            if left <= 0:
                return

    def _all(self) -> Iterator[Rows]:
        if self.batches is None:
            rows = enumerate(self.arguments, start=1)
            while batch := list(islice(rows, BATCH)):
                yield batch
            return
        try:
            yield from self.batches
            for file in self.files[1:]:
                self.finished.append(self.batches)
                self.batches, self.file = self.later(file), file  # type: ignore[misc]
                yield from self.batches
        except FerrouteError as error:
            raise BadInput(str(error)) from None

    def notes(self, first: str | None) -> Iterator[str]:
        """What the user should know about the input: bad rows left out, JSON taken as plain text."""
        if self.batches is None:
            return
        read = [*self.finished, self.batches]
        if skipped := sum(batches.skipped for batches in read):
            rows = "1 bad row was" if skipped == 1 else f"{skipped:,} bad rows were"
            worst = next(batches.first_skipped for batches in read if batches.skipped)
            yield f"{rows} left out (--skip-bad); the first: {worst}"
        if first is not None and self.batches.format == "text" and first.lstrip().startswith('{"'):
            yield "the lines were read as plain text and look like JSON: --format jsonl reads the prompts in them"


SUFFIXES = (".parquet", ".jsonl", ".ndjson", ".csv", ".txt")


def several(name: str) -> list[Path]:
    """The files of a folder, or those that a pattern such as ``data/**/*.parquet`` fits, numbers by value.

    Empty where ``name`` is one file, standard input, or nothing that is there.

    Raises:
        BadInput: The folder holds none (its own files count, not those of folders in it), or no file fits the pattern.
    """
    path = Path(name)
    if name == "-" or path.is_file():
        return []
    if path.is_dir():
        inside = (file for file in path.iterdir() if not file.name.startswith((".", "_")))
        found = [file for file in inside if file.suffix.lower() in SUFFIXES and file.is_file()]
        problem = f"{name} is a folder without files of prompts ({', '.join(SUFFIXES)}); a pattern reaches deeper"
    elif any(mark in name for mark in "*?["):
        import glob

        matches = (Path(match) for match in glob.glob(name, recursive=True))  # noqa: PTH207 - absolute patterns, too
        found = [file for file in matches if file.is_file()]
        problem = f"{name}: no file fits this pattern"
    else:
        return []
    if not found:
        raise BadInput(problem)
    return sorted(found, key=_by_number)


def _same(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.samefile(other)


def _by_number(path: Path) -> list[tuple[int, int | str]]:
    parts = re.split(r"(\d+)", str(path))
    return [(0, int(part)) if part.isdigit() and part.isascii() else (1, part) for part in parts]
