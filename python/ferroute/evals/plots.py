"""Pictures of evaluations, in matplotlib (extra ``eval``), good enough to print.

Each function draws on axes of yours or on new ones, and returns them; ``axes.figure.savefig(path)`` writes the file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from ferroute.errors import InvalidValueError
from ferroute.evals._figures import OPTIMUM, RANDOM, column
from ferroute.plot import COLOURS, _matplotlib  # pyright: ignore[reportPrivateUsage]

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike, NDArray

    from ferroute.evals._figures import Compared, Shown

    Numbers = NDArray[np.float64]

MARKERS = ("o", "s", "D", "^", "v", "P")
GREY = "0.45"


def plot(result: Shown | Compared, kind: str = "quality", ax: Axes | None = None, bands: str = "pointwise") -> Axes:
    """Draws a result by the name of the picture: ``"quality"``, ``"cost"`` or ``"scores"``.

    Args:
        result: One router, or a comparison.
        kind: ``"quality"``, ``"cost"``, or of one router ``"scores"``.
        ax: Axes to draw on; None: new ones.
        bands: ``"pointwise"``, or ``"simultaneous"``: bands that hold over the whole curve together.

    Returns:
        The axes; ``.figure.savefig(path)`` writes the picture.

    Raises:
        InvalidValueError: There is no such picture, or no costs.
        NotBuiltError: matplotlib is not installed.
    """
    if kind == "quality":
        return quality_plot(result, ax=ax, bands=bands)
    if kind == "cost":
        return quality_plot(result, ax=ax, against="cost", bands=bands)
    if kind == "scores" and not hasattr(result, "baselines"):
        one = cast("Shown", result)
        if one.win_rates is None:
            raise InvalidValueError(f"{one.name} has no scores of its own to draw")
        return score_histogram(one.win_rates, thresholds=one.points["threshold"][1:-1], ax=ax)
    raise InvalidValueError(f"expected 'quality' or 'cost' (or 'scores' of one router), found {kind!r}")


def quality_plot(
    result: Shown | Compared,
    *,
    against: str = "share",
    title: str | None = None,
    ax: Axes | None = None,
    bands: str = "pointwise",
) -> Axes:
    """Mean score against the share of strong calls, or against mean dollars of a call, with confidence bands.

    Args:
        result: One router or a comparison, whose baselines are drawn in grey.
        against: ``"share"`` or ``"cost"``.
        title: Title; None: none.
        ax: Axes to draw on; None: new ones.
        bands: ``"pointwise"``, or ``"simultaneous"``: bands that hold for all routers over the whole curve together.

    Returns:
        The axes; ``.figure.savefig(path)`` writes the picture.

    Raises:
        InvalidValueError: There is no such axis or kind of bands, or there are no costs.
        NotBuiltError: matplotlib is not installed.
    """
    if against not in {"share", "cost"}:
        raise InvalidValueError(f"against: expected 'share' or 'cost', found {against!r}")
    wide = together(result, bands)
    axes = new_axes(ax)
    routers, baselines = _parts(result)
    one = (routers or baselines)[0]
    if against == "cost" and not one.has_costs:
        raise InvalidValueError("no costs were given: costs=(strong, weak), dollars a call or one number a row")
    field = "cost" if against == "cost" else "strong_percentage"
    # Where no curve is: two thirds of the way above the one, a third below the other.
    for score, label, at, above in (
        (one.strong_score, "strong model", 0.68, True),
        (one.weak_score, "weak model", 0.3, False),
    ):
        axes.axhline(score, color=GREY, linewidth=0.9, linestyle="-.", zorder=1)
        axes.annotate(
            f"{label} {float(score):.4g}",
            (at, score),
            (0, 3 if above else -3),
            xycoords=axes.get_yaxis_transform(),
            textcoords="offset points",
            ha="center",
            va="bottom" if above else "top",
            fontsize=8.5,
            color="0.3",
        )
    styles = {RANDOM: "--", OPTIMUM: (0, (1, 1))}
    greys = iter(("0.55", "0.35", "0.65"))
    for base in baselines:
        if field in base.points.dtype.names:
            line: dict[str, Any] = {
                "color": next(greys, "0.5"),
                "linewidth": 1.3,
                "linestyle": styles.get(base.name, "-"),
            }
            _curve(axes, base, field, band=False, marker=_small(base.name), **line)
    for i, router in enumerate(routers):
        marker = MARKERS[i % len(MARKERS)]
        colour = COLOURS[i % len(COLOURS)]
        style: dict[str, Any] = {"color": colour, "linewidth": 2, "marker": marker, "markersize": 4.5}
        _curve(axes, router, field, band=True, ends=wide.get(router.name, router.bands), **style)
    if against == "cost":
        axes.set_xlabel("mean cost of a call (US dollars)")
    else:
        axes.set_xlabel("calls to the strong model")
        axes.xaxis.set_major_formatter("{x:.0f}%")
        axes.set_xlim(-2, 102)
    axes.set_ylabel("mean score")
    finish(axes, title)
    handles, labels = axes.get_legend_handles_labels()
    first = len(labels) - len(routers)  # drawn last, named first
    handles, labels = handles[first:] + handles[:first], labels[first:] + labels[:first]
    axes.legend(handles, labels, fontsize=8.5, loc="lower right", framealpha=0.92, edgecolor="none")
    return axes


def _small(name: str) -> str:
    return "" if name in {RANDOM, OPTIMUM} else "."


def together(result: Any, bands: str) -> dict[str, Numbers]:
    """Simultaneous bands by name, if they are asked for and anything was resampled.

    Args:
        result: One router, or a comparison.
        bands: ``"pointwise"``, or ``"simultaneous"``: bands that hold over the whole curve together.

    Raises:
        InvalidValueError: There are no such bands.
    """
    if bands not in {"pointwise", "simultaneous"}:
        raise InvalidValueError(f"bands: expected 'pointwise' or 'simultaneous', found {bands!r}")
    if bands == "pointwise":
        return {}
    if hasattr(result, "baselines"):
        return result.simultaneous_bands() if result.settings.bootstrap else {}
    return {} if result.bands is None else {result.name: result.simultaneous_bands}


def _curve(axes: Any, result: Shown, field: str, band: bool, ends: Numbers | None = None, **style: Any) -> None:
    import numpy as np

    points = result.points
    if len(points) > 25:  # so many markers would be a thick line
        style["markevery"] = len(points) // 10
    order = np.argsort(points[field], kind="stable")
    label = result.name if result.name == RANDOM else f"{result.name}: APGR {float(result.apgr):.3f}"
    axes.plot(points[field][order], points["accuracy"][order], label=label, zorder=3 if band else 2, **style)
    if band and ends is not None:
        low, high = ends[order, 0], ends[order, 1]
        axes.fill_between(points[field][order], low, high, color=style["color"], alpha=0.15, linewidth=0, zorder=2)


def _parts(result: Shown | Compared) -> tuple[list[Shown], list[Shown]]:
    if hasattr(result, "baselines"):
        compared = cast("Compared", result)
        return list(compared.routers.values()), list(compared.baselines.values())
    return [cast("Shown", result)], []


def score_histogram(
    win_rates: ArrayLike | Mapping[str, ArrayLike],
    *,
    thresholds: ArrayLike = (),
    bins: int = 50,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """How a router's scores are spread, and where thresholds cut them.

    Args:
        win_rates: Scores ``[n]``, or label -> scores, drawn over each other.
        thresholds: Marked by lines, such as a result's ``points.threshold``.
        bins: Number of bars over the whole range.
        title: Title; None: none.
        ax: Axes to draw on; None: new ones.

    Returns:
        The axes; ``.figure.savefig(path)`` writes the picture.

    Raises:
        InvalidValueError: There is no score.
        NotBuiltError: matplotlib is not installed.
    """
    import numpy as np

    axes = new_axes(ax)
    given: Any = win_rates
    groups = (
        {str(k): column(str(k), v) for k, v in given.items()}
        if hasattr(given, "items")
        else {"": column("win_rates", given)}
    )
    if any(not scores.size for scores in groups.values()):
        raise InvalidValueError("win_rates is empty: expected at least one score")
    low, high = min(s.min() for s in groups.values()), max(s.max() for s in groups.values())
    edges = cast("Numbers", np.linspace(low, high if high > low else low + 1e-9, bins + 1))
    for i, (label, scores) in enumerate(groups.items()):
        weights = np.full(scores.size, 100 / scores.size)
        style: dict[str, Any] = {"color": COLOURS[i % len(COLOURS)], "label": label or None}
        axes.hist(scores, edges, weights=weights, histtype="stepfilled", alpha=0.3, **style)
        axes.hist(scores, edges, weights=weights, histtype="step", linewidth=1.5, color=style["color"])
    for i, threshold in enumerate(np.asarray(thresholds, dtype=np.float64).ravel().tolist()):
        label = "thresholds" if i == 0 else None
        axes.axvline(threshold, color=GREY, linewidth=1, linestyle=(0, (4, 3)), label=label, zorder=1)
    axes.set_xlabel("win rate of the strong model, as scored by the router")
    axes.set_ylabel("prompts")
    axes.yaxis.set_major_formatter("{x:g}%")
    finish(axes, title)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8.5)
    return axes


def reliability(
    win_rates: ArrayLike, strong_scores: ArrayLike, weak_scores: ArrayLike, bins: int = 10
) -> list[dict[str, float]]:
    """Whether a win rate of 0.6 means that the strong model wins six times in ten.

    A row counts 1 where the strong model scored more, 0 where it scored less, and one half where both scored the same.
    These are the points of a reliability diagram (Guo et al. 2017, arXiv:1706.04599), with groups of equal size in the
    place of bins of equal width.

    Args:
        win_rates: Scores of the router, ``[n]``.
        strong_scores: Scores of the strong model's answers, ``[n]``, in any unit; more is better.
        weak_scores: Scores of the weak model's answers, ``[n]``.
        bins: Groups of prompts with about equally many rows each, by rising win rate; equal win rates are in one
            group, so there may be fewer.

    Returns:
        For each group ``win_rate`` (mean), ``won`` (observed part, 0..=1), ``low`` and ``high`` (ends of its 95 %
        interval by the normal approximation of a mean), ``rows`` (how many).

    Raises:
        InvalidValueError: Lengths differ or are 0, or ``bins`` is below 1.
    """
    import numpy as np

    rates = column("win_rates", win_rates)
    strong, weak = column("strong_scores", strong_scores), column("weak_scores", weak_scores)
    if not rates.size or rates.size != strong.size or rates.size != weak.size:
        raise InvalidValueError(f"expected columns of one length, found {rates.size}, {strong.size} and {weak.size}")
    if bins < 1:
        raise InvalidValueError(f"bins: expected 1 or more, found {bins}")
    won = 0.5 + 0.5 * np.sign(strong - weak)
    order = np.argsort(rates, kind="stable")
    out: list[dict[str, float]] = []
    for rows in np.split(order, _borders(rates[order], min(bins, rates.size))):
        mean, spread = float(won[rows].mean()), float(won[rows].std()) / max(len(rows), 1) ** 0.5
        out.append(
            {
                "win_rate": float(rates[rows].mean()),
                "won": mean,
                "low": max(mean - 1.96 * spread, 0.0),
                "high": min(mean + 1.96 * spread, 1.0),
                "rows": float(len(rows)),
            }
        )
    return out


def _borders(rising: Numbers, groups: int) -> NDArray[np.int64]:
    """Where groups of about one size end, each moved to where the score changes: equal scores are not divided."""
    import numpy as np

    ends = np.cumsum([part.size for part in np.array_split(rising, groups)])[:-1]
    changes = np.flatnonzero(rising[1:] != rising[:-1]) + 1
    if not changes.size:
        return changes
    after = np.searchsorted(changes, ends).clip(max=changes.size - 1)
    before = (after - 1).clip(min=0)
    nearer = np.where(ends - changes[before] < changes[after] - ends, before, after)
    return np.unique(changes[nearer])


def reliability_diagram(
    win_rates: ArrayLike,
    strong_scores: ArrayLike,
    weak_scores: ArrayLike,
    *,
    bins: int = 10,
    label: str | None = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draws `reliability`: on the diagonal, scores are probabilities.

    Args:
        win_rates: Scores of the router, ``[n]``, each in 0..=1.
        strong_scores: Scores of the strong model's answers, ``[n]``.
        weak_scores: Scores of the weak model's answers, ``[n]``.
        bins: Groups of about equally many prompts.
        label: What the legend says; None: no legend.
        title: Title; None: none.
        ax: Axes to draw on; None: new ones.

    Returns:
        The axes; ``.figure.savefig(path)`` writes the picture.

    Raises:
        InvalidValueError: As for `reliability`.
        NotBuiltError: matplotlib is not installed.
    """
    axes = new_axes(ax)
    groups = reliability(win_rates, strong_scores, weak_scores, bins)
    colour = COLOURS[len(axes.containers) % len(COLOURS)]
    x, y = [group["win_rate"] for group in groups], [group["won"] for group in groups]
    errors = [[g["won"] - g["low"] for g in groups], [g["high"] - g["won"] for g in groups]]
    axes.axline((0, 0), slope=1, color=GREY, linewidth=1, linestyle="--", zorder=1)
    axes.errorbar(x, y, errors, color=colour, marker="o", markersize=4.5, linewidth=1.5, capsize=2, label=label)
    # As near as the data allow, and wide enough for what was drawn before.
    before = axes.get_xlim()[0] if len(axes.containers) > 1 else 1.0
    low = max(min([before + 0.05, *x, *(group["low"] for group in groups)]) - 0.05, 0.0)
    axes.set_xlim(low, 1)
    axes.set_ylim(low, 1)
    axes.set_aspect("equal")
    axes.set_xlabel("win rate of the strong model, as scored")
    axes.set_ylabel("won by the strong model (ties count half)")
    finish(axes, title)
    if label:
        axes.legend(frameon=False, fontsize=8.5, loc="upper left")
    return axes


def benchmark_figure(
    lines: Sequence[Any],
    benchmark: str,
    routed_pair: Any,
    scores: tuple[float, float],
    optimum: Sequence[tuple[float, float]] | None = None,
    baselines: Sequence[Any] = (),
) -> Any:
    """RouteLLM's picture of a benchmark, with bands where lines have them and baselines in grey.

    Args:
        lines: One router each: its percentages, scores and bands.
        benchmark: The benchmark's name.
        routed_pair: Names of the strong and of the weak model.
        scores: Scores of the weak and of the strong model.
        optimum: Percentages of strong calls and scores of the optimum; None: not drawn.
        baselines: As ``lines``, drawn in grey.
    """
    figure = _matplotlib("figure").Figure(figsize=(6, 5), dpi=150)
    axes: Any = figure.subplots()
    for line, grey in zip(baselines, ("0.72", "0.55"), strict=False):
        axes.plot(line.percent, line.accuracy, label=line.method, marker=".", markersize=4, linewidth=1, color=grey)
    taken = {line.method for line in baselines}
    for i, line in enumerate(lines):
        colour = COLOURS[i % len(COLOURS)]
        label = f"{line.method} (router)" if line.method in taken else line.method
        axes.plot(line.percent, line.accuracy, label=label, marker=".", linestyle="-", color=colour, zorder=3)
        if line.bands is not None:
            axes.fill_between(
                line.percent, line.bands[:, 0], line.bands[:, 1], color=colour, alpha=0.13, linewidth=0, zorder=1
            )
    weak, strong = scores
    axes.axhline(y=weak, color="grey", linestyle="--", label=routed_pair.weak)
    axes.axhline(y=strong, color="red", linestyle="--", label=routed_pair.strong)
    if optimum:
        axes.plot(*zip(*optimum, strict=True), label="Optimal", marker="x", linestyle="-", color="black", linewidth=1)
    axes.set_xlabel("Strong Model Calls (%)")
    axes.set_ylabel("Performance")
    axes.set_title(f"Router Performance ({benchmark})")
    axes.legend(fontsize=8)
    return figure


def new_figure(size: tuple[float, float] = (6.4, 4.6)) -> Any:
    """An empty figure that needs no display and is not in pyplot's list.

    Args:
        size: Width and height in inches.
    """
    return _matplotlib("figure").Figure(figsize=size, dpi=150, layout="constrained")


def new_axes(ax: Axes | None) -> Any:
    """The axes given, or new ones in pyplot's hands.

    Args:
        ax: Axes to draw on; None: new ones.

    Raises:
        NotBuiltError: matplotlib is not installed.
    """
    if ax is not None:
        return ax
    return _matplotlib("pyplot").subplots(figsize=(6.4, 4.6), dpi=150, layout="constrained")[1]


def finish(axes: Any, title: str | None) -> None:
    """Title, grid and frame, the same in every picture.

    Args:
        axes: The axes.
        title: Title; None: none.
    """
    if title:
        axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
    axes.grid(color="0.92", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
