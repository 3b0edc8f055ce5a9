"""Curves of quality over dollars, as observed and in every resample."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ferroute import _core
from ferroute.evals._figures import least_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from ferroute.evals._given import Given
    from ferroute.evals._policies import Policy

    Numbers = NDArray[np.float64]

AT_A_TIME = 64
"""Resamples whose counts are held at once."""

ALONE = 250_000
"""Products of this many multiplications are made by one thread: numpy's threads for larger ones wait by spinning, which
on a busy machine takes ten times what they save."""

STEPS = 100
"""Intervals of the dollar range that areas are taken over."""


@dataclass
class Models:
    """Means of the single models, ``[b, m]`` (``[1, m]`` as observed).

    Attributes:
        quality: Mean score.
        cost: Mean dollars of a call, or None.
        strong: Column of the strong model.
        weak: Column of the weak model.
    """

    quality: Numbers
    cost: Numbers | None
    strong: int
    weak: int


@dataclass
class DollarCurve:
    """Points of one router, ``[b, k]``, dearest first; NaN leaves a point out.

    Attributes:
        quality: Mean score.
        cost: Mean dollars of a call, or None.
        share: Share of calls to the strong model.
        models: The single models on the same draws.
        mixed: Whether the points are models of a mix, which differ between resamples.
    """

    quality: Numbers
    cost: Numbers | None
    share: Numbers
    models: Models
    mixed: bool = False

    @cached_property
    def _anchored(self) -> tuple[Numbers, Numbers, Numbers]:
        """Cost, quality and share of the points, with the weak model in front where it is cheaper than all of them.

        Any router can be mixed with the weak model, so its curve goes on down to it.
        """
        import numpy as np

        cost, models = _priced(self.cost), self.models
        low = _priced(models.cost)[:, models.weak]
        lowest = np.nanmin(cost, axis=1)
        first = np.where(low < lowest, low, np.nan)
        weak = models.quality[:, models.weak]
        shares = np.full_like(weak, float(models.strong == models.weak))
        return (
            np.column_stack([cost, first]),
            np.column_stack([self.quality, weak]),
            np.column_stack([self.share, shares]),
        )

    def cost_at(self, part: float) -> Numbers:
        """Least mean cost at which ``part`` of the strong model's score is reached, ``[b]``; NaN where it never is."""
        cost, quality, _ = self._anchored
        return least_at(cost, quality, part * self.models.quality[:, self.models.strong])

    def share_at(self, part: float) -> Numbers:
        """Share of strong calls there."""
        import numpy as np

        cost, _, share = self._anchored
        at = self.cost_at(part)
        known = np.where(np.isnan(at), 0.0, at)
        return np.where(np.isnan(at), np.nan, _core.eval_value_at(cost, share, known[:, None])[:, 0])

    def quality_at(self, dollars: Numbers) -> Numbers:
        """Mean score at mean costs ``[k]`` or ``[b, k]``: straight between points, held at both ends."""
        import numpy as np

        cost, quality, _ = self._anchored
        at = np.ascontiguousarray(np.broadcast_to(dollars, (len(cost), np.shape(dollars)[-1])), dtype=np.float64)
        return _core.eval_value_at(cost, quality, at)

    @cached_property
    def area(self) -> Numbers:
        """Mean score over the dollars from the weak to the strong model, ``[b]``; NaN where strong is not dearer."""
        import numpy as np

        cost, models = _priced(self.models.cost), self.models
        low, high = cost[:, models.weak], cost[:, models.strong]
        at = low[:, None] + np.linspace(0, 1, STEPS + 1) * (high - low)[:, None]
        quality = self.quality_at(at)
        area = (quality[:, 1:] + quality[:, :-1]).mean(axis=1) / 2
        return np.where(high > low, area, np.nan)


def _priced(cost: Numbers | None) -> Numbers:
    if cost is None:
        from ferroute.errors import InvalidValueError

        raise InvalidValueError("no costs were given: costs=[...], dollars a call of each model, or [n, m]")
    return cost


def curves(
    policies: Sequence[Policy], given: Given, bootstrap: int, seed: int
) -> tuple[list[DollarCurve], list[DollarCurve] | None, Models, Models | None]:
    """Curves of several routers and the means of the models: as observed, and resampled with the same rows for all."""
    import numpy as np

    rows = np.arange(len(given.scores))
    parts: list[Any] = [given.scores]
    if given.costs is not None:
        parts.append(given.costs)
    for policy in policies:
        parts.append(given.scores[rows, policy.choices].T)
        if given.costs is not None:
            parts.append(given.costs[rows, policy.choices].T)
        parts.append((policy.choices == given.strong).T)
    table: Numbers = np.concatenate(parts, axis=1, dtype=np.float64)
    widths = [part.shape[1] for part in parts]
    observed = _split(table.mean(axis=0)[None], widths, policies, given)
    if not bootstrap:
        return observed[0], None, observed[1], None
    drawn = _split(_resampled(table, bootstrap, seed), widths, policies, given)
    return observed[0], drawn[0], observed[1], drawn[1]


def _resampled(table: Numbers, times: int, seed: int) -> Numbers:
    """Means of the columns over rows drawn with replacement, ``[times, columns]``."""
    import numpy as np

    rng = np.random.Generator(np.random.PCG64(seed))
    rows = len(table)
    out = np.empty((times, table.shape[1]))
    at_once = ALONE // table.size if 2 * table.size <= ALONE else AT_A_TIME
    for start in range(0, times, at_once):
        count = min(at_once, times - start)
        drawn = rng.integers(0, rows, (count, rows)) + rows * np.arange(count)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=count * rows).reshape(count, rows)
        out[start : start + count] = counts.astype(np.float64) @ table
    return out / rows


def _split(
    means: Numbers, widths: list[int], policies: Sequence[Policy], given: Given
) -> tuple[list[DollarCurve], Models]:
    import numpy as np

    blocks = iter([np.ascontiguousarray(part) for part in np.split(means, np.cumsum(widths)[:-1], axis=1)])
    priced = given.costs is not None
    models = Models(next(blocks), next(blocks) if priced else None, given.strong, given.weak)
    found = [DollarCurve(next(blocks), next(blocks) if priced else None, next(blocks), models) for _ in policies]
    return found, models


def static_mix(models: Models) -> DollarCurve:
    """The best that fixed shares of the models can do: the upper hull of the single models, in each resample.

    Between two models it is the straight line of random mixing.
    """
    import numpy as np

    cost, quality = _priced(models.cost), models.quality
    hull_cost, hull_quality = np.full(cost.shape, np.nan), np.full(cost.shape, np.nan)
    share = np.zeros(cost.shape)
    for row in range(len(cost)):
        hull = upper_hull(cost[row], quality[row])
        hull_cost[row, : len(hull)], hull_quality[row, : len(hull)] = cost[row, hull], quality[row, hull]
        share[row, : len(hull)] = [float(at == models.strong) for at in hull]
    return DollarCurve(hull_quality, hull_cost, share, models, mixed=True)


def upper_hull(cost: Numbers, quality: Numbers) -> list[int]:
    """Models on the rising part of the upper hull, cheapest first."""
    import numpy as np

    hull: list[int] = []
    for at in np.lexsort((-quality, cost)):
        if hull and quality[at] <= quality[hull[-1]]:
            continue
        while len(hull) > 1:
            a, b = hull[-2], hull[-1]
            if (quality[b] - quality[a]) * (cost[at] - cost[a]) > (quality[at] - quality[a]) * (cost[b] - cost[a]):
                break
            hull.pop()
        hull.append(int(at))
    return hull
