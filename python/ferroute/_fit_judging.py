"""From held-out scores to a report: figures with intervals, baselines, and the verdict."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, cast

from ferroute import _core
from ferroute._fit_report import LEVEL, SURE, FitReport, Row
from ferroute.evals._figures import RANDOM, Estimate
from ferroute.evals.comparison import compare

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ferroute.evals.comparison import Comparison

    Numbers = NDArray[np.float64]

ZERO_SHOT = "router local (no labels)"
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Judged:
    """What was fitted on, and how it was parted."""

    name: str
    prompts: list[str]
    table: Numbers
    names: list[str]
    pair: tuple[int, int]
    folds: NDArray[np.uint32]
    units: NDArray[np.uint32]
    groups: int | None
    costs: Numbers | None


def judge(
    data: Judged, scores: Numbers, chance: tuple[float, float] | None, bootstrap: int, seed: int
) -> tuple[Numbers, FitReport]:
    """The held-out win rates ``[n]``, and the report on them.

    Args:
        data: What was fitted on.
        scores: Expected scores ``[n, m]``, each row's by a fit without its fold.
        chance: The test by shuffled labels, ``(statistic, p_value)``; None: standard errors instead.
        bootstrap: Resamples.
        seed: Of the resamples.
    """
    import numpy as np

    strong, weak = data.pair
    ahead = scores[:, strong] - scores[:, weak]
    win_rates = ((1 + ahead) / 2).clip(0, 1)
    both = cast("NDArray[np.bool_]", ~np.isnan(data.table[:, [strong, weak]]).any(axis=1))
    outcomes = data.table[both][:, [strong, weak]]
    p_value, z = (None, None) if chance is None else (chance[1], None)
    notes: list[str] = []
    table: list[Row] = []
    compared: Comparison | None = None
    nothing = Estimate(math.nan)
    apgr, gap = nothing, nothing
    judged = int(both.sum())
    if judged < len(both):
        notes.append(f"{len(both) - judged:,} prompts lack an outcome of the pair: fitted on, left out of the figures")
    if judged:
        compared, money = _compared(data, both, outcomes, win_rates, bootstrap, seed)
        notes += money
        gap = _gap(outcomes[:, 0] - outcomes[:, 1], data.units[both])
        if gap > 0:
            apgr = compared[data.name].apgr
        table = _rows(compared, data.name, gap > 0)
        if chance is None:
            z = _errors(ahead[both], outcomes[:, 0] - outcomes[:, 1], data.folds[both], data.units[both])
        if gap <= 0:
            notes.append(
                f"on these prompts {data.names[strong]} scores no better than {data.names[weak]}: there is no gap to "
                "recover, so the table has mean scores over all shares of strong calls in the place of the APGR"
            )
        elif gap.low is not None and gap.low <= 0:
            notes.append(
                f"{data.names[strong]} is ahead by {gap.show('+.3f')} on average, which may be chance: an APGR is a "
                "part of that gap, and means little"
            )
        elif apgr.interval is not None and apgr.interval[1] - apgr.interval[0] > 1:
            notes.append("the interval of the APGR is wide: the two models hardly differ, or the prompts are few")
        beyond = (p_value <= LEVEL) if p_value is not None else (z is not None and z >= SURE)
        better = beyond and float(compared.difference(data.name, RANDOM, "auc")) > 0
    else:
        better = False
    report = FitReport(
        router=data.name,
        strong=data.names[strong],
        weak=data.names[weak],
        n=len(data.prompts),
        judged=judged,
        folds=int(data.folds.max()) + 1,
        groups=data.groups,
        means={name: float(mean) for name, mean in zip(data.names, np.nanmean(data.table, axis=0), strict=True)},
        apgr=apgr,
        gap=gap,
        better_than_random=bool(better),
        p_value=p_value,
        z=z,
        confidence=_CONFIDENCE,
        table=tuple(table),
        notes=tuple(notes),
        comparison=compared,
    )
    return win_rates, report


def _compared(
    data: Judged, both: NDArray[np.bool_], outcomes: Numbers, win_rates: Numbers, bootstrap: int, seed: int
) -> tuple[Comparison, list[str]]:
    prompts = [prompt for prompt, keep in zip(data.prompts, both, strict=True) if keep]
    dollars, notes = None, list[str]()
    if data.costs is not None:
        costs = data.costs[both] if data.costs.ndim == 2 else data.costs
        pair: Any = [costs[..., place] for place in data.pair]
        if any(math.isnan(float(part.mean())) for part in pair):
            notes.append("a price is not known: no figures in dollars")
        else:
            dollars = tuple(part if part.ndim else float(part) for part in pair)
    routers = {data.name: win_rates[both], ZERO_SHOT: _core.LocalModel().win_rates(prompts)}
    compared = compare(
        routers,
        outcomes[:, 0],
        outcomes[:, 1],
        prompts=prompts,
        costs=dollars,
        bootstrap=bootstrap,
        seed=seed,
        confidence=_CONFIDENCE,
    )
    return compared, notes


def _rows(compared: Comparison, name: str, has_gap: bool) -> list[Row]:
    """The router, what it is compared with, and by how much it is ahead: in APGR, or in mean score without a gap."""
    found: list[Row] = []
    for other in compared:
        result = compared[other]
        ahead = None if other == name else compared.difference(name, other, "apgr" if has_gap else "auc")
        apgr = result.apgr if has_gap else Estimate(math.nan)
        found.append(Row(other, apgr, ahead, result.share_at_quality(0.95), result.auc))
    return found


def _gap(difference: Numbers, units: NDArray[np.uint32]) -> Estimate:
    """Mean of the differences with a normal interval, whose rows of a unit count as one observation."""
    import numpy as np

    mean = float(difference.mean())
    sums = np.bincount(units, difference - mean)
    count = int(np.unique(units).size)
    error = math.sqrt(float(sums @ sums) * count / (count - 1)) / len(difference) if count > 1 else math.inf
    reach = NormalDist().inv_cdf((1 + _CONFIDENCE) / 2) * error
    return Estimate(mean, mean - reach, mean + reach) if math.isfinite(reach) else Estimate(mean)


def _errors(scores: Numbers, labels: Numbers, folds: NDArray[np.uint32], units: NDArray[np.uint32]) -> float:
    """How many standard errors the covariance of scores and labels within folds is above 0.

    Of two errors the larger one: that of rows which depend on nothing, and that of whole units, which also holds where
    hard prompts spread more than easy ones.
    """
    import numpy as np

    products, apart = np.zeros(len(scores)), 0.0
    for fold in range(int(folds.max()) + 1):
        held = folds == fold
        if held.sum() < 2:
            continue
        score, label = scores[held] - scores[held].mean(), labels[held] - labels[held].mean()
        products[held] = score * label
        apart += float(score @ score) * float(label @ label) / (int(held.sum()) - 1)
    sums = np.bincount(units, products)
    variance = max(apart, float(sums @ sums))
    return float(products.sum()) / math.sqrt(variance) if variance > 0 else 0.0
