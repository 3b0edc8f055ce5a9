"""``ferroute spend``: what calls cost, and what routing saved."""

from __future__ import annotations

import csv
import sys
from typing import TYPE_CHECKING

from rich.text import Text

from ferroute._accuracy import NOT_MEASURED
from ferroute._spend_rows import COLUMNS
from ferroute._spend_text import amount, duration
from ferroute.cli._output import Column, Rows, console, json_line, note
from ferroute.cli._run import UsageProblem
from ferroute.errors import InvalidValueError
from ferroute.ledger import Ledger

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from ferroute.spend import ModelSums, Spend


def spend(
    ledger: str,
    *,
    since: str | None,
    until: str | None,
    router: str | None,
    model: str | None,
    strong: str | None,
    weak: str | None,
    passing: float,
    png: Path | None,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Reads a ledger and shows its sums."""
    url = ledger if ":" in ledger.replace(":\\", "") else f"sqlite:{ledger}"
    try:
        book = Ledger(url, create=False)
        found = book.spend(
            since=since, until=until, router=router, model=model, strong=strong, weak=weak, passing=passing
        )
    except InvalidValueError as error:
        raise UsageProblem(str(error)) from None
    if book.in_memory:
        raise UsageProblem("a ledger in memory belongs to the process that fills it; expected a file or a database")
    if png is not None:
        found.save_plot(png)
    if as_json:
        json_line(found.as_dict())
    elif as_csv:
        _csv(found)
    else:
        _show(console(), found)
        for text in found.notes():
            note(text)
        if png is not None:
            note(f"picture written to {png}")


def _csv(found: Spend) -> None:
    writer = csv.DictWriter(sys.stdout, list(COLUMNS), lineterminator="\n")
    writer.writeheader()
    writer.writerows(found.rows())


def _show(out: Console, found: Spend) -> None:
    if not found.queries and not found.hedged and not found.shadows:
        out.print(Text("no calls"))
        return
    names = min(max((len(model.model) for model in found.models), default=5), 32)
    columns = [
        Column("model", max(names, 5)),
        Column("queries", 10, right=True),
        Column("share", 6, right=True),
        Column("cost", 12, right=True),
        Column("per query", 11, right=True),
        Column("saved (est.)", 12, right=True),
    ]
    wide = out.width >= names + 51 + 12 + 46
    if wide:
        columns += [
            Column("first token p50", 15, right=True),
            Column("total p50", 9, right=True),
            Column("p95", 8, right=True),
            Column("p99", 8, right=True),
        ]
    table = Rows(out, columns)
    for model in found.models:
        table.row(_cells(model, found.queries, wide))
    out.print()
    total = f"{found.queries:,} queries cost {amount(found.total)}"
    if found.router_cost:
        total += f", {amount(found.router_cost)} of it for routing"
    if found.cost_per_query is not None:
        total += f"; {amount(found.cost_per_query)} each"
    out.print(Text(total, style="bold"))
    if found.compared:
        share = "" if found.saved_share is None else f" ({found.saved_share:.1%})"
        out.print(Text(f"estimated saving against the strong model alone: {amount(found.saved)}{share}"))
    if found.saving is not None:
        of = found.saving
        interval = f"95 %: {amount(of.low)} to {amount(of.high)}"
        out.print(Text(f"measured saving on {of.holdout:,} calls by lot: {amount(of.usd)} ({interval})"))
    if found.accuracy is None and (found.compared or found.saving is not None):
        out.print(Text(NOT_MEASURED, style="yellow"))
    for line in found.lines():
        out.print(Text(line))
    if not wide and found.latency is not None:
        times = found.latency
        text = f"time: half within {duration(times.p50)}, 95 % within {duration(times.p95)}"
        out.print(Text(f"{text}, 99 % within {duration(times.p99)}"))
    ends = [f"{count:,} {name}" for name, count in (("cancelled", found.cancelled), ("failed", found.failed)) if count]
    if ends:
        out.print(Text(", ".join(ends)))


def _cells(model: ModelSums, queries: int, wide: bool) -> list[tuple[str, str]]:
    cells = [
        (model.model, "bold"),
        (f"{model.queries:,}", ""),
        (f"{model.queries / queries:.1%}" if queries else "-", ""),
        (amount(model.total), "") if model.has_price else ("unpriced", "yellow"),
        ("-" if model.cost_per_query is None else amount(model.cost_per_query), ""),
        (amount(model.saved) if model.compared else "-", "green" if model.saved > 0 else ""),
    ]
    if wide:
        times = model.latency
        cells.append(("-" if model.first_token is None else duration(model.first_token.p50), ""))
        ends = () if times is None else (times.p50, times.p95, times.p99)
        cells += [(duration(at), "") for at in ends] or [("-", "")] * 3
    return cells
