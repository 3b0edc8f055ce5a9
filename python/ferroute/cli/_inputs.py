"""Where the prompts of a command come from: its arguments, a file, or standard input."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from ferroute.cli._run import BadInput, UsageProblem
from ferroute.errors import FerrouteError
from ferroute.prompts import read_prompts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ferroute.prompts import PromptBatches

BATCH = 1024
Rows = list[tuple[int, str]]


@dataclass
class Source:
    """Prompts to come, in batches of ``(row, prompt)``."""

    arguments: list[str]
    batches: PromptBatches | None = None
    limit: int | None = None

    @classmethod
    def of(
        cls,
        prompts: list[str],
        file: str | None,
        format: str | None = None,  # noqa: A002
        column: str | None = None,
        skip_bad: bool = False,
        limit: int | None = None,
    ) -> Source:
        """The prompts that a command line names.

        Raises:
            UsageProblem: Prompts are named twice, or not at all.
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
        try:
            return cls([], read_prompts(file, format=format, column=column, skip_bad=skip_bad, batch_size=BATCH), limit)
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
        except FerrouteError as error:
            raise BadInput(str(error)) from None

    def notes(self, first: str | None) -> Iterator[str]:
        """What the user should know about the input: bad rows left out, JSON taken as plain text."""
        if self.batches is None:
            return
        if skipped := self.batches.skipped:
            rows = "1 bad row was" if skipped == 1 else f"{skipped:,} bad rows were"
            yield f"{rows} left out (--skip-bad); the first: {self.batches.first_skipped}"
        if first is not None and self.batches.format == "text" and first.lstrip().startswith('{"'):
            yield "the lines were read as plain text and look like JSON: --format jsonl reads the prompts in them"
