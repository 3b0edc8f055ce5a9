"""Pictures of comparisons among many models: quality against dollars, in matplotlib (extra ``eval``)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

from ferroute.errors import InvalidValueError
from ferroute.evals._dollars import NO_COSTS, upper_hull
from ferroute.evals.plots import GREY, MARKERS, finish, new_axes, together
from ferroute.plot import COLOURS

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

DASHES: dict[str, Any] = {"static mix": "--", "optimum": (0, (1, 1))}

SPAN = 30
"""From how many times the cheapest model's cost on dollars are drawn on a logarithmic scale."""


def dollar_plot(compared: Any, *, bands: str = "pointwise", title: str | None = None, ax: Axes | None = None) -> Axes:
    """Mean score against mean dollars of a call: routers with bands, baselines in grey, single models as points.

    Args:
        compared: A `ferroute.evals.ModelComparison`.
        bands: ``"pointwise"`` or ``"simultaneous"``.
        title: Title; None: none.
        ax: Axes to draw on; None: new ones.

    Raises:
        InvalidValueError: There are no costs.
        NotBuiltError: matplotlib is not installed.
    """
    if compared.costs is None:
        raise InvalidValueError(NO_COSTS)
    wide = together(compared, bands)
    axes: Any = new_axes(ax)
    costs = [float(cost) for cost in compared.costs.values()]
    if min(costs) > 0 and max(costs) > SPAN * min(costs):
        axes.set_xscale("log")
    greys = iter(("0.55", "0.35", "0.65", "0.45"))
    for base in compared.baselines.values():
        if len(base.points) > 1:
            _line(axes, base, None, color=next(greys, "0.5"), linestyle=DASHES.get(base.name, "-"), linewidth=1.3)
    for i, router in enumerate(compared.routers.values()):
        colour, marker = COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]
        ends = wide.get(router.name, router.bands)
        if len(router.points) == 1:
            _cross(axes, router, ends, colour, marker)
            continue
        _line(axes, router, ends, color=colour, linewidth=2, zorder=3)
    _models(axes, compared)
    axes.set_xlabel("mean cost of a call (US dollars)")
    axes.set_ylabel("mean score")
    finish(axes, title)
    handles, labels = axes.get_legend_handles_labels()
    first = {name: at for at, name in enumerate(compared.routers)}  # routers are named first
    order = sorted(range(len(labels)), key=lambda at: first.get(labels[at].split(": APGR")[0], len(first)))
    axes.legend(
        [handles[at] for at in order],
        [labels[at] for at in order],
        fontsize=8.5,
        loc="best",
        framealpha=0.92,
        edgecolor="none",
    )
    return axes


def _line(axes: Any, result: Any, ends: Any, **style: Any) -> None:
    """A curve that is straight in dollars on any scale, with its band."""
    import numpy as np

    points = result.points
    at = points["cost"].argsort(kind="stable")
    cost: Numbers = points["cost"][at]
    low, high = float(cost[0]), float(cost[-1])
    x = np.unique(np.concatenate([cost, np.linspace(low, high, 200)]))
    if axes.get_xscale() == "log" and low > 0:
        x = np.unique(np.concatenate([x, cast("Any", np.geomspace(low, high, 200)).clip(low, high)]))
    label = result.name if math.isnan(result.apgr) else f"{result.name}: APGR {float(result.apgr):.3f}"
    axes.plot(x, np.interp(x, cost, points["score"][at]), label=label, **style)
    if ends is not None:
        bottom, top = (np.interp(x, cost, cast("Numbers", ends[at, side])) for side in (0, 1))
        axes.fill_between(x, bottom, top, color=style["color"], alpha=0.15, linewidth=0, zorder=2)


def _cross(axes: Any, result: Any, ends: Any, colour: str, marker: str) -> None:
    """A router with one setting: a point with the interval of its score."""
    point = result.points[0]
    error = None if ends is None else [[point["score"] - ends[0, 0]], [ends[0, 1] - point["score"]]]
    axes.errorbar(
        point["cost"], point["score"], error, color=colour, marker=marker, markersize=6, capsize=3, label=result.name
    )


def _models(axes: Any, compared: Any) -> None:
    """The single models, with the names of the ends and of those that no mix of others beats."""
    import numpy as np

    x = np.array([float(compared.costs[name]) for name in compared.models])
    y = np.array([float(compared.scores[name]) for name in compared.models])
    axes.scatter(x, y, s=16, color="0.25", zorder=4, label="single models")
    named = {compared.models[at] for at in upper_hull(x, y)} | {compared.strong, compared.weak}
    for name in sorted(named):
        dearest = float(compared.costs[name]) == x.max()
        axes.annotate(
            name.rpartition("/")[2],
            (float(compared.costs[name]), float(compared.scores[name])),
            (-6 if dearest else 5, 5 if dearest else -9),
            textcoords="offset points",
            ha="right" if dearest else "left",
            fontsize=7.5,
            color=GREY,
            zorder=5,
        )
