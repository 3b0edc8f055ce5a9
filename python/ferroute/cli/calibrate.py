"""``ferroute calibrate``: which threshold gives which share, as a table for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from ferroute import _scores, _tables
from ferroute.cli._output import Column, Rows, console, json_line, note, progress

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ferroute.cli._inputs import Source
    from ferroute.thresholds import Threshold


def scores_of(
    router: str, source: Source | None, win_rates: str | None, config: Mapping[str, Any] | None, name: str
) -> _scores.Scores:
    """Win rates of prompts, of a table's column, or the published ones."""
    if win_rates is not None:
        return _scores.of_table(win_rates, [router])[router]
    if source is None:
        return _scores.published(router)
    with progress(f"scoring with {router}:") as advance:
        batches = ([text for _row, text in rows] for rows in source)
        return _scores.of_prompts(router, batches, config, name, advance)


def show(
    scores: _scores.Scores, shares: Sequence[float], confidence: float, saved: Path | None, *, as_json: bool
) -> None:
    """Prints one line for each share: asked, threshold, achieved, interval."""
    found = [scores.threshold(share, confidence) for share in shares]
    if as_json:
        json_line(
            {
                "router": scores.router,
                "source": scores.source,
                "n": len(scores.values) if scores.sample else None,
                "thresholds": [_fields(one, scores.sample) for one in found],
                "saved": None if saved is None else str(saved),
            }
        )
        return
    out = console()
    n = f"{len(scores.values):,} prompts; " if scores.sample else ""
    out.print(Text(f"{scores.router}: {n}{scores.source}\n"))
    texts = [_shown(scores, one) for one in found]
    columns = (
        Column("asked", 7, True),
        Column("threshold", max(10, *(len(text) for text in texts)), True),
        Column("achieved", 8, True),
        Column("interval", 17),
    )
    table = Rows(out, columns)
    for one, text in zip(found, texts, strict=True):
        low, high = one.interval
        # Of quantiles that stand for scores, neither is known.
        achieved, interval = (f"{one.share:.1%}", f"{low:.1%} to {high:.1%}") if scores.sample else ("-", "-")
        cells = (_percent(one.asked), text, achieved, interval)
        table.row(list(zip(cells, ("", "bold", "", "dim"), strict=True)))
    out.print()
    if scores.sample:
        out.print(Text(f"Intervals are exact, at {_percent(confidence)}, for traffic like these prompts.", style="dim"))
    out.print(Text("Strong where the win rate is at least the threshold: higher threshold = fewer strong calls."))
    for one in found if scores.sample else ():
        if one.note:
            note(one.note)
    if saved is not None:
        if saved.parent == _tables.folder():
            use = f"router-{scores.router}-{_percent(shares[0])} is a fixed threshold from now on"
        else:
            use = f"a Controller takes it from its config: {scores.router}: {{calibration: {saved}}}"
        note(f"saved to {saved}; {use}")


def _shown(scores: _scores.Scores, one: Threshold) -> str:
    """The threshold with as many digits as it needs to achieve the share that stands beside it."""
    for digits in range(5, 17) if scores.sample else (5,):
        text = f"{one.threshold:.{digits}f}"
        if not scores.sample or f"{scores.share(float(text)):.1%}" == f"{one.share:.1%}":
            return text
    return repr(one.threshold)


def _fields(one: Threshold, sample: bool) -> dict[str, Any]:
    fields: dict[str, Any] = {"asked": one.asked, "threshold": one.threshold}
    if sample:
        fields |= {"share": one.share, "interval": list(one.interval), "confidence": one.confidence}
    return fields


def _percent(share: float) -> str:
    return f"{share * 100:.4g}%"
