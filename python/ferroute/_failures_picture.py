"""The picture of failures: a bar for each rung and kind of task, with the interval of its rate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ferroute.plot import COLOURS, LAYOUT, _matplotlib, dress  # pyright: ignore[reportPrivateUsage]

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from matplotlib.axes import Axes


def draw(groups: Sequence[Any], title: str, ax: Axes | None) -> Axes:
    """Draws the bars, the first group on top; groups without an answer have none."""
    made: Any = None if ax is not None else _matplotlib("pyplot").subplots(**LAYOUT)[1]
    axes: Any = ax or made  # matplotlib's own types are partly unknown
    shown = [group for group in groups if group.calls][::-1]
    rungs = list(dict.fromkeys(group.rung for group in groups))
    rates = [group.rate or 0.0 for group in shown]
    below = [rate - group.low for rate, group in zip(rates, shown, strict=True)]
    above = [group.high - rate for rate, group in zip(rates, shown, strict=True)]
    bars = axes.barh(
        range(len(shown)),
        rates,
        height=0.6,
        color=[COLOURS[rungs.index(group.rung) % len(COLOURS)] for group in shown],
        xerr=[below, above],
        error_kw={"ecolor": "0.35", "capsize": 3, "linewidth": 1},
    )
    axes.bar_label(bars, [f"{group.failed:,} of {group.calls:,}" for group in shown], padding=6, fontsize=9)
    axes.set_yticks(range(len(shown)), [f"{group.rung}, {group.task}" for group in shown])
    axes.set_xlim(0, min(1.0, max([group.high for group in shown], default=0.5)) * 1.3)
    axes.xaxis.set_major_formatter("{x:.0%}")
    axes.set_xlabel("share of answers with a sign of failure, 95 % interval")
    dress(axes, title, grid="x")
    return axes


def save(path: str | PathLike[str], groups: Sequence[Any], title: str) -> None:
    """Writes the picture to a file, without a display and without pyplot's state."""
    figure = _matplotlib("figure").Figure(**LAYOUT)
    draw(groups, title, figure.subplots())
    figure.savefig(path)
