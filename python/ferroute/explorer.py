"""A threshold explorer for notebooks: a slider that says what each threshold means.

It says the share of strong calls, the cost and the expected quality, each with its interval. It is one piece of HTML
with an inline script: it needs no server, no kernel and no widgets, works in a saved notebook and as a file of its own,
and without scripts it is a picture and a table. Higher threshold = fewer strong calls.

Example:
    >>> explore([0.1, 0.4, 0.6, 0.9], costs=(0.01, 0.001))
    <explorer of 'router' (4 prompts): 5 thresholds, cost, quality not measured>
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from ferroute import _core
from ferroute._columns_of import fraction, numbers
from ferroute._whole_file import write_whole
from ferroute.errors import InvalidTypeError, InvalidValueError
from ferroute.thresholds import checked_scores

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import ArrayLike

    from ferroute.evals.results import RouterResult

__all__ = ["Explorer", "Sweep", "explore"]

PLACES = 100
"""Steps of the slider: each moves a hundredth of the calls."""

_NAME_MOST = 60


@dataclass(frozen=True)
class Sweep:
    """What each threshold of one router does to the prompts it was read off.

    Attributes:
        name: The router's name.
        n: How many prompts.
        thresholds: Rising, ``[m]``; at the last one no call is strong.
        shares: Share of strong calls at each threshold, ``[m]``, 0..=1, falling.
        share_ends: Ends of the exact binomial interval (Clopper and Pearson) of each share, ``[m]`` pairs.
        confidence: That of intervals and bands, in 0..1.
        costs: Mean US dollars of a call, ``[m]``; None: not known.
        cost_ends: Mean US dollars of a call, all weak and all strong; None: not known.
        qualities: Mean score, ``[m]``, in the scores' own unit; None: not measured.
        bands: Ends of the interval of each quality, ``[m]`` pairs; None: not measured, or no resamples.
        quality_ends: Mean score of the weak and of the strong model; None: not measured.
    """

    name: str
    n: int
    thresholds: tuple[float, ...]
    shares: tuple[float, ...]
    share_ends: tuple[tuple[float, float], ...]
    confidence: float
    costs: tuple[float, ...] | None = None
    cost_ends: tuple[float, float] | None = None
    qualities: tuple[float, ...] | None = None
    bands: tuple[tuple[float, float], ...] | None = None
    quality_ends: tuple[float, float] | None = None

    @property
    def callable(self) -> bool:
        """Whether the name can stand in ``model="router-<name>-<threshold>"``."""
        return self.name.isidentifier() and self.name != "router"


class Explorer:
    """Thresholds of one or several routers, to look through in a notebook or in a file; made by `explore`.

    Attributes:
        sweeps: What is shown, one a router.
        share: Share of strong calls where the slider begins, 0..=1.
    """

    def __init__(self, sweeps: Iterable[Sweep], share: float = 0.3) -> None:
        self.sweeps = tuple(sweeps)
        self.share = fraction("share", share)
        if not self.sweeps:
            raise InvalidValueError("win_rates: expected the scores of at least one router, found none")

    def to_html(self) -> str:
        """All of it as one page that needs no other file and no network; names are escaped."""
        from ferroute._explorer_page import page

        whole: Any = self.sweeps
        return page(whole, self.share, f"Thresholds of {', '.join(sweep.name for sweep in self.sweeps)}")

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes `to_html` to a file, whole or not at all.

        Args:
            path: The file, such as ``"explorer.html"``.

        Returns:
            The file.

        Raises:
            UnreadableFileError: It cannot be written.
        """
        return write_whole(path, self.to_html())

    def __repr__(self) -> str:
        one = self.sweeps[0]
        names = ", ".join(repr(sweep.name) for sweep in self.sweeps)
        cost = "cost not known" if one.costs is None else "cost"
        quality = "quality not measured" if one.qualities is None else "quality"
        return f"<explorer of {names} ({one.n:,} prompts): {len(one.shares):,} thresholds, {cost}, {quality}>"

    def _repr_html_(self) -> str:
        import secrets

        from ferroute._explorer_page import block

        whole: Any = self.sweeps
        return block(whole, self.share, secrets.token_hex(6))


def explore(
    win_rates: Mapping[str, ArrayLike] | ArrayLike,
    strong_scores: ArrayLike | None = None,
    weak_scores: ArrayLike | None = None,
    *,
    costs: Any = None,
    name: str = "router",
    share: float = 0.3,
    confidence: float = 0.95,
    bootstrap: int = 1000,
    seed: int = 0,
) -> Explorer:
    """An explorer from win rates alone, or from win rates and outcomes.

    From win rates alone it shows the share of strong calls (and the cost, where costs are given), and says that quality
    is not measured. With the scores of both models it shows the expected quality with a band.

    Args:
        win_rates: The router's scores, ``[n]``, each in 0..=1; or a mapping from a router's name to its scores.
        strong_scores: Quality when the strong model answers, ``[n]``, in any unit; more is better. None: not known.
        weak_scores: Quality when the weak model answers, ``[n]``; None: not known.
        costs: US dollars of a call, as ``(strong, weak)`` or ``{"strong": ..., "weak": ...}``: one number each, or one
            a row, ``[n]``. None: not known.
        name: The router's name, where ``win_rates`` is no mapping.
        share: Share of strong calls where the slider begins, 0..=1.
        confidence: Of intervals and bands, in 0..1.
        bootstrap: Resamples for the bands of quality; 0: no bands.
        seed: Of the resamples.

    Returns:
        The explorer: last in a cell it shows itself; ``.save("explorer.html")`` writes it to a file.

    Raises:
        InvalidValueError: There is no score, one is not finite, win rates lie outside of 0..=1, or lengths differ.
        InvalidTypeError: Something is no number, or only one of the models has scores.

    Example:
        >>> shown = explore({"mine": [0.2, 0.8] * 50}, [1, 1] * 50, [1, 0] * 50, costs=(0.01, 0.001), bootstrap=0)
        >>> shown.sweeps[0].shares, shown.sweeps[0].qualities
        ((1.0, 0.5, 0.5, 0.0), (1.0, 1.0, 1.0, 0.5))
    """
    if (strong_scores is None) != (weak_scores is None):
        raise InvalidTypeError("strong_scores and weak_scores: expected scores of both models or of none, found one")
    confidence = fraction("confidence", confidence, below=True)
    given = cast("Mapping[str, Any]", win_rates) if isinstance(win_rates, Mapping) else {name: win_rates}
    named = {str(key)[:_NAME_MOST]: checked_scores(values, f"win rates of {key}") for key, values in given.items()}
    if strong_scores is None or weak_scores is None:
        return Explorer((_unmeasured(key, values, costs, confidence) for key, values in named.items()), share)
    from ferroute.evals.results import score_router

    return Explorer(
        (
            measured(
                score_router(
                    values,
                    strong_scores,
                    weak_scores,
                    min(PLACES, len(values)),
                    costs=costs,
                    bootstrap=bootstrap,
                    seed=seed,
                    confidence=confidence,
                    on_ties="merge",
                    name=key,
                )
            )
            for key, values in named.items()
        ),
        share,
    )


def measured(result: RouterResult) -> Sweep:
    """What a router's result says at each of its thresholds.

    Raises:
        InvalidValueError: It has none: a baseline, such as random mixing.
    """
    points = result.points
    if result.win_rates is None:
        raise InvalidValueError(f"{result.name}: has no win rates, so there is no threshold to explore")
    # Highest threshold first, or lowest: points of every result are sorted here once.
    order = sorted(
        range(len(points)), key=lambda at: (-int(points["strong_count"][at]), float(points["threshold"][at]))
    )
    counts = [int(points["strong_count"][at]) for at in order]
    n = int(points["total"][0])
    thresholds = [float(points["threshold"][at]) for at in order]
    # RouteLLM's last point leaves out the rows that are on its threshold, so in truth it lies just above them.
    if counts[-1] == 0:
        thresholds[-1] = math.nextafter(max(thresholds[-1], float(result.win_rates.max())), math.inf)
    costs = cost_ends = None
    if result.has_costs:
        costs = tuple(float(points["cost"][at]) for at in order)
        cost_ends = result.cost_ends
    bands = None
    if result.bands is not None:
        bands = tuple((float(result.bands[at, 0]), float(result.bands[at, 1])) for at in order)
    return Sweep(
        name=result.name,
        n=n,
        thresholds=tuple(thresholds),
        shares=tuple(count / n for count in counts),
        share_ends=tuple(_core.binomial_interval(count, n, result.settings.confidence) for count in counts),
        confidence=result.settings.confidence,
        costs=costs,
        cost_ends=cost_ends,
        qualities=tuple(float(points["accuracy"][at]) for at in order),
        bands=bands,
        quality_ends=(float(result.weak_score), float(result.strong_score)),
    )


def _unmeasured(name: str, values: Any, costs: Any, confidence: float) -> Sweep:
    """From win rates alone: a threshold for each hundredth of the calls, where equal scores go together."""
    import numpy as np

    scores: list[float] = np.sort(values).tolist()
    n = len(scores)
    # The highest threshold at which at least so many are strong is a score; beyond the last one nobody is.
    wanted = {math.ceil(round(n * step / PLACES, 9)) for step in range(1, PLACES + 1)}
    thresholds = [*sorted({scores[n - count] for count in wanted}), math.nextafter(scores[-1], math.inf)]
    counts = [n - bisect.bisect_left(scores, value) for value in thresholds]
    found = cost_ends = None
    if costs is not None:
        from ferroute.evals._figures import costs_of

        strong, weak = (numbers("costs", each, n) for each in costs_of(costs, n))
        if not (np.isfinite(strong).all() and np.isfinite(weak).all()):
            raise InvalidValueError("costs: expected dollars of every call, found a number that is not finite")
        found = tuple(float(np.mean(np.where(values >= value, strong, weak))) for value in thresholds)
        cost_ends = float(weak.mean()), float(strong.mean())
    return Sweep(
        name=name,
        n=n,
        thresholds=tuple(thresholds),
        shares=tuple(count / n for count in counts),
        share_ends=tuple(_core.binomial_interval(count, n, confidence) for count in counts),
        confidence=confidence,
        costs=found,
        cost_ends=cost_ends,
    )
