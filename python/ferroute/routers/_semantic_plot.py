"""Pictures of similarities beside the thresholds of semantic routes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ferroute.plot import COLOURS, LAYOUT, _matplotlib, dress  # pyright: ignore[reportPrivateUsage]

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

_OWN, _OTHER, _MARK = COLOURS[0], "0.6", COLOURS[1]


def bars(text: str, near: NDArray[np.float64], needed: Mapping[str, float], title: str | None, ax: Axes | None) -> Axes:
    """One text: a bar for each route, dark where it reaches the threshold."""
    axes = _axes(len(needed), ax)
    reached = [float(one) >= threshold for one, threshold in zip(near, needed.values(), strict=True)]
    colours = [_OWN if yes else _OTHER for yes in reached]
    axes.barh(range(len(needed)), near, height=0.6, color=colours, zorder=2)
    _thresholds(axes, needed, "threshold")
    shown = text if len(text) <= 60 else text[:59] + "…"
    return _dressed(axes, needed, title or f"“{' '.join(shown.split())}”".replace("$", r"\$"))


def dots(
    near: NDArray[np.float64],
    labels: Sequence[int | None] | None,
    needed: Mapping[str, float],
    title: str | None,
    ax: Axes | None,
) -> Axes:
    """Many texts: each a dot in every route, own ones above the line and others below it."""
    import numpy as np

    axes = _axes(len(needed), ax)
    # A fixed seed: the same picture each time.
    spread = np.random.default_rng(0).uniform(0.05, 0.33, size=near.shape)
    for at in range(len(needed)):
        own = np.zeros(len(near), dtype=bool) if labels is None else np.array([label == at for label in labels])
        groups = [("other prompts", ~own, 1, _OTHER), ("prompts of the route", own, -1, _OWN)]
        for label, rows, side, colour in groups if labels is not None else groups[:1]:
            axes.plot(
                near[rows, at],
                at + side * spread[rows, at],
                "o",
                markersize=4,
                alpha=0.7,
                markeredgewidth=0,
                color=colour,
                label=(label if labels is not None else "prompts") if at == 0 else None,
            )
    _thresholds(axes, needed, "threshold")
    # Beneath the picture, where no dot is.
    axes.legend(frameon=False, loc="upper right", bbox_to_anchor=(1.0, -0.08), ncols=3, fontsize=9)
    return _dressed(axes, needed, title or "Similarity to each route")


def _axes(routes: int, ax: Axes | None) -> Any:
    if ax is not None:
        return ax
    return _matplotlib("pyplot").subplots(**{**LAYOUT, "figsize": (8, 1.4 + 0.55 * routes)})[1]


def _thresholds(axes: Any, needed: Mapping[str, float], label: str) -> None:
    for at, threshold in enumerate(needed.values()):
        axes.plot([threshold] * 2, [at - 0.38, at + 0.38], color=_MARK, linewidth=2, label=label if at == 0 else None)


def _dressed(axes: Any, needed: Mapping[str, float], title: str) -> Axes:
    axes.set_yticks(range(len(needed)), [name.replace("$", r"\$") for name in needed])
    axes.set_ylim(len(needed) - 0.5, -0.5)
    axes.axvline(0, color="0.45", linewidth=1, zorder=1)
    axes.set_xlabel("similarity", loc="left")
    dress(axes, title)
    return axes
