"""An audit as text of at most 80 columns, for the terminal and for `repr`.

Plain words only: a figure without proof of quality gets no colour and no praise.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from ferroute.auditing._words import dollars, percent, percents, range_of, several

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ferroute.auditing._findings import Findings

WIDTH = 80


def report(audit: Findings, width: int = WIDTH) -> str:
    """The whole report."""
    return "\n".join(line for title, lines in sections(audit, width) for line in (title, *lines, "")).rstrip()


def sections(audit: Findings, width: int = WIDTH) -> Iterator[tuple[str, list[str]]]:
    """Titles with their lines."""
    yield headline(audit), textwrap.wrap(f"{audit.verdict}: {audit.quality.why}", width)
    yield f"If calls of {audit.strong or 'the model'} moved to {audit.to}", _savings(audit, width)
    yield "Spend by model", _models(audit, width)
    for by, title in (("complexity", f"Mix by complexity (router {audit.router})"), ("task", "Mix by kind of task")):
        yield title, _mix(audit, by)
    if audit.dearest:
        yield f"Dearest calls that {audit.router} finds easy", _dearest(audit, width)
    yield "Prompts to label next", textwrap.wrap(labels(audit), width)
    if audit.unknown:
        yield "What these logs cannot tell", [line for text in audit.unknown for line in _bullet(text, width)]


def headline(audit: Findings) -> str:
    """Calls, spend and period in a line."""
    spent = "spend unknown" if audit.spend is None else f"{dollars(audit.spend)} spent"
    when = "" if audit.period is None else f", {audit.period[0][:10]} to {audit.period[1][:10]}"
    return f"Audit of {audit.calls:,} calls: {spent}{when}"


def _savings(audit: Findings, width: int) -> list[str]:
    if audit.saving.estimate is None:
        return textwrap.wrap(f"not known: {audit.saving.why}", width)
    head = ("moved", "calls", "less spent", f"{percent(audit.confidence)} interval", "of all spend")
    shown = audit.savings if audit.saving in audit.savings else (audit.saving, *audit.savings)
    rows = [
        (
            percent(each.move),
            f"{each.calls:,}",
            dollars(each.estimate),
            range_of(each.interval) if each.interval else "too few calls",
            percents(each.of_spend_interval) if each.of_spend_interval else percent(each.of_spend),
        )
        for each in sorted(shown, key=lambda each: each.move)
    ]
    note = (
        f"The interval is for the next period of as many calls. Nothing here says how good the answers of {audit.to} "
        "are."
    )
    return [*table(head, rows, width), *textwrap.wrap(note, width)]


def _models(audit: Findings, width: int) -> list[str]:
    head = ("model", "calls", "share", "spend", "share", "unpriced", "win rate")
    rows = [
        (
            each.model or "not named",
            f"{each.calls:,}",
            percent(each.share),
            dollars(each.spend),
            percent(each.spend_share),
            f"{each.unpriced:,}",
            "-" if each.win_rate is None else f"{each.win_rate:.3f}",
        )
        for each in audit.models[:12]
    ]
    more = len(audit.models) - len(rows)
    return [*table(head, rows, width), *([f"and {more:,} more"] if more else [])]


def _mix(audit: Findings, by: str) -> list[str]:
    head = (by if by == "task" else "prompts", "calls", "share", "spend", "share", "at the strong model")
    rows = [
        (
            part.name.replace("_", " "),
            f"{part.calls:,}",
            percent(part.share),
            dollars(part.spend),
            percent(part.spend_share),
            percent(part.strong_share),
        )
        for part in audit.mix
        if part.by == by
    ]
    return table(head, rows, WIDTH)


def _dearest(audit: Findings, width: int) -> list[str]:
    head = ("cost", f"at {audit.to}", "win rate", "prompt")
    rows = [(dollars(each.cost), dollars(each.cost_at), f"{each.win_rate:.3f}", each.prompt) for each in audit.dearest]
    return table(head, rows, width, left=(3,))


def labels(audit: Findings) -> str:
    """What the draw for labels is, in a sentence or two."""
    k = len(audit.to_label)
    if not k:
        return "none: no call has a prompt to label" if not audit.below else "none were asked for"
    which = "all of them" if audit.ceiling is None else f"those with a win rate below {audit.ceiling:.4f}"
    text = (
        f"{several(k, 'prompt')}, drawn by lot from {audit.below:,} of {audit.total:,} calls of "
        f"{audit.strong or 'the model'}: {which}."
    )
    if audit.ceiling is not None:
        text += " The others stay with the strong model at every threshold considered, so a label on them buys nothing."
    return text


def _bullet(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, initial_indent="- ", subsequent_indent="  ")


def table(head: Sequence[str], rows: Sequence[Sequence[str]], width: int, left: Sequence[int] = (0,)) -> list[str]:
    """Rows in columns as wide as they need; what is left of the line is for the widest, which is cut to it."""
    from rich.cells import cell_len, set_cell_size

    widths = [max(cell_len(row[at]) for row in (head, *rows)) for at in range(len(head))]
    widest = max(range(len(head)), key=lambda at: widths[at])
    widths[widest] = max(min(widths[widest], width - sum(widths) + widths[widest] - 2 * (len(head) - 1)), 8)

    def line(cells: Sequence[str]) -> str:
        placed: list[str] = []
        for at, (cell, size) in enumerate(zip(cells, widths, strict=True)):
            # Characters of East Asia take two columns of a terminal.
            shown = cell if cell_len(cell) <= size else set_cell_size(cell, size - 3).rstrip() + "..."
            room = " " * (size - cell_len(shown))
            placed.append(shown + room if at in left else room + shown)
        return "  ".join(placed).rstrip()

    return [line(head), *(line(row) for row in rows)]
