"""``ferroute failures``: answers that can be seen to have failed, by rung and kind of task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from ferroute.cli._output import Column, Rows, console, json_line, note
from ferroute.cli._run import UsageProblem
from ferroute.errors import InvalidValueError
from ferroute.ledger import Ledger

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from ferroute.failures import Failures


def failures(
    ledger: str,
    *,
    since: str | None,
    until: str | None,
    router: str | None,
    model: str | None,
    png: Path | None,
    as_json: bool,
) -> None:
    """Reads a ledger and shows what failed."""
    url = ledger if ":" in ledger.replace(":\\", "") else f"sqlite:{ledger}"
    try:
        book = Ledger(url, create=False)
        found = book.failures(since=since, until=until, router=router, model=model)
    except InvalidValueError as error:
        raise UsageProblem(str(error)) from None
    if book.in_memory:
        raise UsageProblem("a ledger in memory belongs to the process that fills it; expected a file or a database")
    if png is not None:
        found.save_plot(png)
    if as_json:
        json_line(found.as_dict())
        return
    _show(console(), found)
    for text in found.notes():
        note(text)
    if png is not None:
        note(f"picture written to {png}")


def _show(out: Console, found: Failures) -> None:
    if not found.groups:
        out.print(Text("no answers"))
        return
    titles, lines = found.table()
    widest = [min(max(len(row[at]) for row in [titles, *lines]), 32) for at in range(len(titles))]
    table = Rows(out, [Column(title, widest[at], right=at > 1) for at, title in enumerate(titles)])
    for line in lines:
        table.row([(cell, "bold" if at == 0 else "") for at, cell in enumerate(line)])
    out.print()
    rate = "" if found.rate is None else f" ({found.rate:.1%})"
    out.print(Text(f"{found.failed:,} of {found.calls:,} answers show a sign of failure{rate}", style="bold"))
