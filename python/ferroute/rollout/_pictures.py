"""Pictures of ramps and A/B tests, in matplotlib."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ferroute.plot import COLOURS, LAYOUT, _matplotlib  # pyright: ignore[reportPrivateUsage]

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TOLD = {"paused": COLOURS[4], "reverted": COLOURS[1], "drifted": COLOURS[3]}
"""Moves that have a line of their own, and its colour."""


def _axes(ax: Axes | None) -> Axes:
    return _matplotlib("pyplot").subplots(**LAYOUT)[1] if ax is None else ax


def history_plot(kept: Any, ax: Axes | None = None) -> Axes:
    """The weak share of a ramp or watch over the audited requests."""
    drawn: Any = _axes(ax)
    moves, stages = kept.history, kept.stages
    first = next((s.weak_share for s in stages if moves and s.threshold == moves[0].before), kept.weak_share)
    n = [0, *(move.n for move in moves), max(kept.n, 1)]
    share = [first, *(move.weak_share for move in moves)]
    share.append(share[-1])
    _shares(drawn, n, share)
    _lines(drawn, [(move.n, move.kind) for move in moves])
    drawn.set_xlabel("audited requests")
    return drawn


def rehearsal_plot(done: Any, ax: Axes | None = None) -> Axes:
    """The weak share and the running loss of a rehearsal, with the bound and a 95% band of the loss."""
    import numpy as np

    drawn: Any = _axes(ax)
    count = np.arange(1, len(done.loss) + 1)
    _shares(drawn, count - 1, done.weak_share)
    running = np.cumsum(done.loss) / count
    spread = 1.96 * np.sqrt(np.maximum(np.cumsum(done.loss**2) / count - running**2, 0) / count)
    right: Any = drawn.twinx()
    # Of the first requests the mean says nothing yet.
    shown = slice(min(50, len(count) - 1), None)
    right.plot(count[shown], running[shown], color=COLOURS[1], label="mean loss so far")
    right.fill_between(
        count[shown], (running - spread)[shown], (running + spread)[shown], color=COLOURS[1], alpha=0.15, linewidth=0
    )
    right.axhline(done.max_quality_loss, color=COLOURS[1], linestyle="--", linewidth=1)
    right.set_ylabel("mean loss so far, and the bound")
    right.set_ylim(min(0.0, float((running - spread)[shown].min())), 3 * done.max_quality_loss)
    _lines(drawn, [(move.request or 0, move.kind) for move in done.moves])
    drawn.set_xlabel("requests")
    return drawn


def _shares(ax: Axes, n: Any, share: Any) -> None:
    drawn: Any = ax
    drawn.step(n, share, where="post", color=COLOURS[0])
    drawn.fill_between(n, share, step="post", color=COLOURS[0], alpha=0.15, linewidth=0)
    drawn.set_ylim(0, 1.02)
    drawn.set_ylabel("weak share")
    drawn.yaxis.set_major_formatter(_matplotlib("ticker").PercentFormatter(1))
    drawn.grid(alpha=0.3)


def _lines(ax: Axes, moves: list[tuple[int, str]]) -> None:
    drawn: Any = ax
    told: set[str] = set()
    for at, kind in moves:
        if kind in _TOLD:
            drawn.axvline(at, color=_TOLD[kind], linewidth=1, label=None if kind in told else kind)
            told.add(kind)
    if told:
        drawn.legend(loc="upper left")


def difference_plot(result: Any, ax: Axes | None = None) -> Axes:
    """The difference of an A/B test with its interval, and no difference as a line."""
    drawn: Any = _axes(ax)
    low, high = result.interval
    known = not math.isnan(result.difference)
    centre = result.difference if known else (low + high) / 2
    drawn.errorbar([centre], [0], xerr=[[centre - low], [high - centre]], fmt="o" if known else "", capsize=4)
    drawn.axvline(0, color="0.45", linewidth=1)
    drawn.set_yticks([])
    drawn.set_xlabel(f"mean score of b - a ({result.confidence:.0%} interval, valid at any time)")
    return drawn
