"""Pictures of comparisons among many models: quality against dollars, in matplotlib (extra ``eval``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ferroute.errors import InvalidValueError
from ferroute.evals.plots import COLOURS, GREY, MARKERS, finish, new_axes, together

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DASHES: dict[str, Any] = {"static mix": "--", "optimum": (0, (1, 1))}
NAMED = 12
"""Most models whose names stand beside their points."""


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
        raise InvalidValueError("no costs were given: costs=[...], dollars a call of each model, or [n, m]")
    wide = together(compared, bands)
    axes: Any = new_axes(ax)
    greys = iter(("0.55", "0.35", "0.65", "0.45"))
    for base in compared.baselines.values():
        if len(base.points) > 1:
            _line(axes, base, 1.3, color=next(greys, "0.5"), linestyle=DASHES.get(base.name, "-"))
    for i, router in enumerate(compared.routers.values()):
        colour, marker = COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]
        ends = wide.get(router.name, router.bands)
        if len(router.points) == 1:
            _cross(axes, router, ends, colour, marker)
            continue
        _line(axes, router, 2, color=colour, zorder=3)
        if ends is not None:
            at = router.points["cost"].argsort()
            x = router.points["cost"][at]
            axes.fill_between(x, ends[at, 0], ends[at, 1], color=colour, alpha=0.15, linewidth=0, zorder=2)
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
        loc="lower right",
        framealpha=0.92,
        edgecolor="none",
    )
    return axes


def _line(axes: Any, result: Any, width: float, **style: Any) -> None:
    points = result.points
    at = points["cost"].argsort(kind="stable")
    name = f"{result.name}: APGR {float(result.apgr):.3f}" if result.apgr == result.apgr else result.name  # NaN  # noqa: PLR0124
    axes.plot(points["cost"][at], points["score"][at], label=name, linewidth=width, **style)


def _cross(axes: Any, result: Any, ends: Any, colour: str, marker: str) -> None:
    """A router with one setting: a point with the interval of its score."""
    point = result.points[0]
    error = None if ends is None else [[point["score"] - ends[0, 0]], [ends[0, 1] - point["score"]]]
    axes.errorbar(
        point["cost"], point["score"], error, color=colour, marker=marker, markersize=6, capsize=3, label=result.name
    )


def _models(axes: Any, compared: Any) -> None:
    """The single models; the ends and the best ones by name."""
    costs, scores = compared.costs, compared.scores
    x, y = [float(costs[name]) for name in compared.models], [float(scores[name]) for name in compared.models]
    axes.scatter(x, y, s=16, color="0.25", zorder=4, label="single models")
    best = sorted(compared.models, key=lambda name: -float(scores[name]))[:NAMED]
    for name in {*best, compared.strong, compared.weak}:
        right = float(costs[name]) > 0.6 * max(x)
        axes.annotate(
            name.rpartition("/")[2],
            (float(costs[name]), float(scores[name])),
            (-5 if right else 5, 4),
            textcoords="offset points",
            ha="right" if right else "left",
            fontsize=7.5,
            color=GREY,
        )
