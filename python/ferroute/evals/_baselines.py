"""What a router has to beat: chance, and what anybody has in ten minutes; and what no router can do better than."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ferroute import _core
from ferroute.evals._figures import LENGTH, OPTIMUM, RANDOM, RULES, Curve, Rows
from ferroute.evals.results import RouterResult, Settings, observed
from ferroute.routers._rules import RulesRouter

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]


def prompt_baselines(prompts: Sequence[str], rules: Numbers | None = None) -> dict[str, Numbers]:
    """Scores that anybody can have without a router: the length of a prompt, and a few regular expressions.

    Args:
        prompts: The texts, ``[n]``.
        rules: Scores of the regular expressions, ``[n]``, where they are at hand.

    Returns:
        Name of the baseline -> scores, float64 ``[n]``; the higher, the harder.
    """
    import numpy as np

    texts = list(prompts)
    found = RulesRouter().calculate_strong_win_rates(texts) if rules is None else rules
    return {LENGTH: np.array([float(len(text)) for text in texts]), RULES: found}


def _steps(settings: Settings) -> Numbers:
    import numpy as np

    return np.linspace(100, 0, settings.num_results + 1)


def random_mixing(rows: Rows, settings: Settings, models: Curve | None) -> RouterResult:
    """Random mixing, as it is on average: a straight line between the (resampled) models."""
    import numpy as np

    share = _steps(settings) / 100

    def line(strong: Numbers, weak: Numbers) -> Numbers:
        return weak[:, None] + share * (strong - weak)[:, None]

    def one(values: Numbers) -> Numbers:
        return np.array([values.mean()])

    costs = None
    if rows.costs:
        costs = line(one(rows.costs[0]), one(rows.costs[1]))[0]
    quality = line(one(rows.strong), one(rows.weak))[0] * rows.unit
    points = _records(1 - share, quality, share, rows.strong.size, costs)
    draws = None
    if models is not None:
        cost = None
        if models.strong_cost is not None and models.weak_cost is not None:
            cost = line(models.strong_cost, models.weak_cost)
        draws = Curve(
            percent=np.tile(share * 100, (settings.bootstrap, 1)),
            quality=line(models.strong, models.weak),
            cost=cost,
            weak=models.weak,
            strong=models.strong,
            weak_cost=models.weak_cost,
            strong_cost=models.strong_cost,
        )
    return RouterResult(RANDOM, points, observed(points, rows), draws, settings, None)


def optimum(rows: Rows, settings: Settings, draws: Curve | None) -> RouterResult:
    """The optimum: strong calls go where they gain most (``draws``: its resampled curve)."""
    share, quality = (part[::-1] for part in _core.eval_optimum_curve(rows.strong, rows.weak, settings.num_results))
    points = _records(share * math.nan, quality * rows.unit, share, rows.strong.size, None)
    return RouterResult(OPTIMUM, points, observed(points, rows), draws, settings, None)


def _records(thresholds: Numbers, quality: Numbers, share: Numbers, total: int, cost: Numbers | None) -> Any:
    import numpy as np

    records: Any = np.rec  # its types know no list of names
    # Calls may be divided here: these are expectations and bounds, not routed rows.
    columns: dict[str, Any] = {
        "threshold": thresholds,
        "accuracy": quality,
        "strong_count": share * total,
        "weak_count": (1 - share) * total,
        "total": np.full(len(share), total),
        "strong_percentage": share * 100,
    }
    if cost is not None:
        columns["cost"] = cost
    return records.fromarrays(list(columns.values()), names=",".join(columns))
