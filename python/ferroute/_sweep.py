"""What the thresholds of one router do: shares of strong calls, costs and qualities, for the explorer to show."""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass
from typing import Any

from ferroute import _core
from ferroute._columns_of import numbers
from ferroute.errors import InvalidValueError

PLACES = 100
"""Steps of the slider: each moves a hundredth of the calls."""


@dataclass(frozen=True)
class Sweep:
    """What each threshold of one router does to the prompts it was read off.

    Attributes:
        name: The router's name.
        n: How many prompts.
        thresholds: Rising, ``[m]``; at the last one no call is strong.
        shares: Share of strong calls at each threshold, ``[m]``, 0..=1, falling.
        share_ends: Ends of the exact binomial interval (Clopper and Pearson 1934) of each share, ``[m]`` pairs.
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


def measured(result: Any) -> Sweep:
    """What a router's result says at each of its thresholds.

    Args:
        result: An `evals.results.RouterResult`, which offers its explorer itself and so is not imported here.

    Returns:
        The sweep, thresholds rising.

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


def unmeasured(name: str, values: Any, costs: Any, confidence: float) -> Sweep:
    """From win rates alone: a threshold for each hundredth of the calls, where equal scores go together."""
    import numpy as np

    values = np.asarray(values, dtype=np.float64)
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
