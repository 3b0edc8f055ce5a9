"""``ferroute route``: which model each prompt would go to."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from rich.padding import Padding
from rich.text import Text

from ferroute.cli._output import (
    STRONG,
    WEAK,
    Column,
    Rows,
    ascii_only,
    console,
    fitted,
    json_line,
    note,
    one_line,
    percent,
    progress,
    row_column,
)

if TYPE_CHECKING:
    from rich.console import Console

    from ferroute.cli._inputs import Source
    from ferroute.controller import Controller
    from ferroute.decision import Decision


def route(
    source: Source, controller: Controller, router: str, threshold: float, *, as_json: bool, explain: bool = False
) -> None:
    """Decides prompt after prompt, as the Controller would if they were sent to it in this order."""
    out = console()
    counts: Counter[str] = Counter()
    first: str | None = None
    table: Rows | None = None
    alone = len(source.arguments) == 1
    # Rows on a terminal are their own progress.
    try:
        with progress("deciding", wanted=not out.is_terminal) as advance:
            for batch in source:
                for row, prompt in batch:
                    first = prompt if first is None else first
                    decision = controller.decide(prompt, router, threshold, remember=True)
                    counts[decision.model] += 1
                    if as_json:
                        json_line(_record(row, prompt, decision, explain=explain))
                    elif explain:
                        _explain(out, None if alone else (row, prompt), decision)
                    elif alone:
                        _show_one(out, decision, controller)
                    else:
                        table = table or _table(out, controller)
                        table.row(_cells(row, prompt, decision, controller, table))
                advance(len(batch))
    finally:
        for text in source.notes(first):
            note(text)
    if not as_json and not alone:
        _summary(out, counts, controller)


def _record(row: int, prompt: str, decision: Decision, *, explain: bool) -> dict[str, Any]:
    more = {"explanation": decision.explain().to_dict()} if explain else {}
    return {
        "row": row,
        "prompt": prompt,
        "model": decision.model,
        "router": decision.router,
        "win_rate": decision.win_rate,
        "threshold": decision.threshold,
        "share": decision.share,
        "warmup": decision.warmup,
        "reason": decision.reason,
        "routing_us": round(decision.routing_us, 3),
        "notes": list(decision.notes),
        **more,
    }


def _explain(out: Console, which: tuple[int, str] | None, decision: Decision) -> None:
    width = min(out.width, 100)
    if which is not None:
        row, prompt = which
        out.print(Text(fitted(f"{row}  {one_line(prompt)}", width, pad=False, ascii_only=ascii_only(out)), "bold"))
    out.print(Text(decision.explain().text(width, ascii_only=ascii_only(out))), soft_wrap=True)
    if which is not None:
        out.print()


def _style(model: str, controller: Controller) -> str:
    return STRONG if model == controller.model_pair.strong else WEAK


def _show_one(out: Console, decision: Decision, controller: Controller) -> None:
    out.print(Text(decision.model, style=_style(decision.model, controller)))
    rate = "not given" if decision.win_rate is None else f"{decision.win_rate:.4f}"
    rows = [("win rate", rate), ("reason", decision.reason), ("router", decision.router or "none")]
    for name, value in rows + [("note", text) for text in decision.notes]:
        line = Text.assemble((f"{name:9}", "dim"), value)
        out.print(Padding(line, (0, 0, 0, 2), expand=False))


def _table(out: Console, controller: Controller) -> Rows:
    pair = controller.model_pair
    model = min(max(len(pair.strong), len(pair.weak), 5), 28)
    columns = [row_column(out), Column("win rate", 8, right=True), Column("goes to", model)]
    if out.width >= 110:
        columns.append(Column("because", 44))
    return Rows(out, [*columns, Column("prompt")])


def _cells(row: int, prompt: str, decision: Decision, controller: Controller, table: Rows) -> list[tuple[str, str]]:
    rate = "" if decision.win_rate is None else f"{decision.win_rate:.3f}"
    cells = [(str(row), "dim"), (rate, ""), (decision.model, _style(decision.model, controller))]
    if len(table.columns) == 5:
        cells.append((decision.reason, "dim"))
    return [*cells, (one_line(prompt), "")]


def _summary(out: Console, counts: Counter[str], controller: Controller) -> None:
    total = sum(counts.values())
    if not total:
        note("there was no prompt to route")
        return
    pair = controller.model_pair
    names = dict.fromkeys([pair.strong, pair.weak, *counts])
    line = Text(f"\n{total:,} prompts: ")
    for index, model in enumerate(names):
        line.append(", " if index else "")
        line.append(f"{counts[model]:,} to ").append(model, _style(model, controller))
        line.append(f" ({percent(counts[model], total)})")
    out.print(line)
