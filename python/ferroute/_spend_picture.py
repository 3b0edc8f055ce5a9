"""The picture of a spend: each model's share of the queries and of the cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ferroute.plot import COLOURS, LAYOUT, _matplotlib, dress  # pyright: ignore[reportPrivateUsage]

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Bars:
    """One model's two bars: its queries, and its cost in US dollars (None: unpriced)."""

    model: str
    queries: int
    cost: float | None


def draw(models: Sequence[Bars], title: str, ax: Axes | None) -> Axes:
    """Draws the bars, the first model on top."""
    made: Any = None if ax is not None else _matplotlib("pyplot").subplots(**LAYOUT)[1]
    axes: Any = ax or made  # matplotlib's own types are partly unknown
    models = list(models)[::-1]
    queries, cost = sum(model.queries for model in models), sum(model.cost or 0.0 for model in models)
    shares = {
        "queries": [model.queries / queries if queries else 0.0 for model in models],
        "cost": [(model.cost or 0.0) / cost if cost else 0.0 for model in models],
    }
    places = range(len(models))
    for (name, values), offset, colour in zip(shares.items(), (0.2, -0.2), COLOURS[:2], strict=True):
        bars = axes.barh([place + offset for place in places], values, height=0.38, color=colour, label=name)
        texts = [_label(name, model, share) for model, share in zip(models, values, strict=True)]
        axes.bar_label(bars, texts, padding=4, fontsize=9)
    axes.set_yticks(list(places), [model.model for model in models])
    axes.set_xlim(0, 1.25)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1.0])
    axes.xaxis.set_major_formatter("{x:.0%}")
    axes.set_xlabel("share of all queries, share of all cost")
    dress(axes, title, grid="x")
    if models:
        axes.legend(frameon=False, loc="lower right")
    return axes


def save(path: str | PathLike[str], models: Sequence[Bars], title: str) -> None:
    """Writes the picture to a file, without a display and without pyplot's state."""
    figure = _matplotlib("figure").Figure(**LAYOUT)
    draw(models, title, figure.subplots())
    figure.savefig(path)


def _label(name: str, model: Bars, share: float) -> str:
    if name == "queries":
        return f"{model.queries:,} ({share:.0%})"
    return "unpriced" if model.cost is None else f"${model.cost:,.4g} ({share:.0%})"
