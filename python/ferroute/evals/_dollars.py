"""Curves of quality over dollars, as observed and in every resample."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ferroute import _core
from ferroute.errors import InvalidValueError
from ferroute.evals._figures import least_at, spread

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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

AT_ONCE, MOST_NUMBERS = 1 << 25, 1 << 27
"""Numbers that are averaged together (256 MiB), and that one router may need."""

NO_COSTS = "no costs were given: costs=[...], dollars a call of each model, or [n, m]"

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
        spread: What one row may change.
    """

    quality: Numbers
    cost: Numbers | None
    strong: int
    weak: int
    spread: float

    @cached_property
    def mix(self) -> DollarCurve:
        """The best that fixed shares of the models can do: the upper hull of the single models, in each resample.

        Between two models it is the straight line of random mixing.
        """
        import numpy as np

        cost, quality = _priced(self.cost), self.quality
        hull_cost, hull_quality = np.full(cost.shape, np.nan), np.full(cost.shape, np.nan)
        share = np.zeros(cost.shape)
        for row in range(len(cost)):
            hull = upper_hull(cost[row], quality[row])
            hull_cost[row, : len(hull)], hull_quality[row, : len(hull)] = cost[row, hull], quality[row, hull]
            share[row, : len(hull)] = [float(at == self.strong) for at in hull]
        return DollarCurve(hull_quality, hull_cost, share, self, mixed=True)


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
    def anchored(self) -> tuple[Numbers, Numbers, Numbers]:
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
        cost, quality, _ = self.anchored
        return least_at(cost, quality, part * self.models.quality[:, self.models.strong])

    def share_at(self, part: float) -> Numbers:
        """Share of strong calls there."""
        import numpy as np

        cost, _, share = self.anchored
        at = self.cost_at(part)
        known = np.where(np.isnan(at), 0.0, at)
        return np.where(np.isnan(at), np.nan, _core.eval_value_at(cost, share, known[:, None])[:, 0])

    def quality_at(self, dollars: Numbers) -> Numbers:
        """Mean score at mean costs ``[k]`` or ``[b, k]``: straight between points, held at both ends."""
        import numpy as np

        cost, quality, _ = self.anchored
        at = np.ascontiguousarray(
            np.broadcast_to(dollars, (len(cost), np.asarray(dollars).shape[-1])), dtype=np.float64
        )
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
        raise InvalidValueError(NO_COSTS)
    return cost


def curves(
    policies: Sequence[Policy], given: Given, bootstrap: int, seed: int
) -> tuple[list[DollarCurve], list[DollarCurve] | None, Models, Models | None]:
    """Curves of several routers and the means of the models: as observed, and resampled with the same rows for all.

    Raises:
        InvalidValueError: A router has too many settings for so many rows.
    """
    import numpy as np

    rows, priced = np.arange(len(given.scores)), given.costs is not None

    def blocks() -> Iterator[list[Any]]:
        """Columns whose means are wanted, of the models and then of each router."""
        yield [given.scores, given.costs] if priced else [given.scores]
        for policy in policies:
            numbers = policy.choices.size * (3 if priced else 2)
            if numbers > MOST_NUMBERS:
                found = f"{len(policy.choices):,} settings of {rows.size:,} rows"
                raise InvalidValueError(f"num_results: {found} do not fit in memory: ask for fewer")
            tables = [given.scores, given.costs] if given.costs is not None else [given.scores]
            yield [
                *(np.transpose(table[rows, policy.choices]) for table in tables),
                np.transpose(policy.choices == given.strong),
            ]

    observed, drawn = _means(blocks(), bootstrap, seed)

    def made(means: list[list[Numbers]]) -> tuple[list[DollarCurve], Models]:
        models = Models(means[0][0], means[0][1] if priced else None, given.strong, given.weak, spread(given.scores))
        return [DollarCurve(m[0], m[1] if priced else None, m[-1], models) for m in means[1:]], models

    found, models = made(observed)
    if not bootstrap:
        return found, None, models, None
    drawn_curves, drawn_models = made(drawn)
    return found, drawn_curves, models, drawn_models


def _means(blocks: Iterator[list[Any]], bootstrap: int, seed: int) -> tuple[list[list[Numbers]], list[list[Numbers]]]:
    """Means of the columns of each block, ``[1, k]``, and in resamples with the same rows for all, ``[b, k]``."""
    import numpy as np

    observed: list[list[Numbers]] = []
    drawn: list[list[Numbers]] = []
    waiting: list[list[Any]] = []

    def flush() -> None:
        parts = [part for block in waiting for part in block]
        table: Numbers = np.concatenate(parts, axis=1, dtype=np.float64)
        ends = np.cumsum([part.shape[1] for part in parts])[:-1]
        for means, into in ((table.mean(axis=0)[None], observed), (_resampled(table, bootstrap, seed), drawn)):
            split = iter([np.ascontiguousarray(part) for part in np.split(means, ends, axis=1)])
            into += [[next(split) for _ in block] for block in waiting]
        waiting.clear()

    size = 0
    for block in blocks:
        waiting.append(block)
        size += sum(part.size for part in block)
        if size > AT_ONCE:
            flush()
            size = 0
    if waiting:
        flush()
    return observed, drawn


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
        counts = np.reshape(np.bincount(drawn.ravel(), minlength=count * rows), (count, rows))
        out[start : start + count] = counts.astype(np.float64) @ table
    return out / rows


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
