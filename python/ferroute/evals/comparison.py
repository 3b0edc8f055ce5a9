"""Several routers side by side, on the same draws, with the baselines every router has to beat."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ferroute import _core
from ferroute.errors import InvalidValueError, UnknownNameError
from ferroute.evals._figures import LENGTH, OPTIMUM, RANDOM, RULES, Curve, Estimate, Rows, column, estimate
from ferroute.evals.results import RouterResult, Settings, observed, study
from ferroute.routers._rules import RulesRouter

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike, NDArray

    Numbers = NDArray[np.float64]


class Comparison:
    """Results of several routers, best APGR first in tables; index it by name.

    Attributes:
        routers: Name -> result of the routers that were asked about.
        baselines: Name -> result of random mixing (as expected on average), prompt length and regex rules (where
            prompts are known) and the optimum (strong calls go where they gain most).
        weak_score: Mean score when the weak model answers everything.
        strong_score: Mean score when the strong model answers everything.
    """

    def __init__(self, routers: dict[str, RouterResult], baselines: dict[str, RouterResult]) -> None:
        self.routers, self.baselines = routers, baselines
        one = next(iter((routers or baselines).values()))
        self.settings = one.settings
        self.weak_score, self.strong_score = one.weak_score, one.strong_score

    def __getitem__(self, name: str) -> RouterResult:
        for results in (self.routers, self.baselines):
            if name in results:
                return results[name]
        raise UnknownNameError(f"no result named {name!r}; there are {', '.join(self)}")

    def __iter__(self) -> Iterator[str]:
        yield from self.routers
        yield from self.baselines

    def __len__(self) -> int:
        return len(self.routers) + len(self.baselines)

    def difference(self, first: str, second: str, figure: str = "apgr") -> Estimate:
        """How much ``first`` is ahead of ``second`` in ``auc``, ``apgr``, ``cpt20``, ``cpt50`` or ``cpt80``.

        Both are resampled with the same rows, so the interval is that of the difference: it is often much narrower
        than the two intervals side by side suggest.
        """
        a, b = self[first], self[second]

        def value(result: RouterResult) -> float:
            return float(result.cpt[int(figure[3:])] if figure.startswith("cpt") else getattr(result, figure))

        import numpy as np

        drawn = a.draws(figure), b.draws(figure)
        with np.errstate(invalid="ignore"):  # both infinite: left out
            both = None if drawn[0] is None or drawn[1] is None else drawn[0] - drawn[1]
        return estimate(value(a) - value(b), both, self.settings.confidence)

    def sorted(self) -> list[RouterResult]:
        """Routers by falling APGR, then the baselines by falling APGR."""

        def rank(result: RouterResult) -> float:
            return math.inf if math.isnan(result.apgr) else -result.apgr

        return sorted(self.routers.values(), key=rank) + sorted(self.baselines.values(), key=rank)

    def to_pandas(self) -> pd.DataFrame:
        """One row a router or baseline, figures as numbers with ``_low`` and ``_high`` beside them."""
        import pandas as pd  # pyright: ignore[reportMissingTypeStubs]

        return pd.DataFrame(self.records())

    def records(self) -> list[dict[str, Any]]:
        """The table as plain numbers: ``router``, ``baseline``, then each figure with its interval."""
        out: list[dict[str, Any]] = []
        for result in self.sorted():
            record: dict[str, Any] = {"router": result.name, "baseline": result.name in self.baselines}
            for name, value in result.summary().items():
                record |= {name: float(value), f"{name}_low": value.low, f"{name}_high": value.high}
            out.append(record)
        ends = (("always strong", 100.0, self.strong_score), ("always weak", 0.0, self.weak_score))
        for name, percent, score in ends:
            out.append({"router": name, "baseline": True, "strong_percentage": percent, "score": float(score)})
        return out

    def plot(self, kind: str = "quality", ax: Axes | None = None) -> Axes:
        """Draws ``"quality"`` against the share of strong calls, or against ``"cost"``."""
        from ferroute.evals import plots

        return plots.plot(self, kind, ax)

    def __repr__(self) -> str:
        from ferroute.evals._tables import text_table

        return text_table(self.sorted(), baselines=self.baselines, ends=(self.weak_score, self.strong_score))

    def _repr_html_(self) -> str:
        from ferroute.evals._tables import html_table

        return html_table(self.sorted(), baselines=self.baselines, ends=(self.weak_score, self.strong_score))


def compare(
    routers: Mapping[str, ArrayLike],
    strong_scores: ArrayLike,
    weak_scores: ArrayLike,
    num_results: int = 10,
    *,
    prompts: Sequence[str] | None = None,
    costs: Any = None,
    bootstrap: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
    on_ties: str = "merge",
) -> Comparison:
    """Compares routers with each other and with the baselines, each figure with an interval, all on the same draws.

    Args:
        routers: Name -> win rates, ``[n]``. May be empty: then only the baselines are computed.
        strong_scores: Quality when the strong model answers, ``[n]``, in any unit.
        weak_scores: Quality when the weak model answers, ``[n]``.
        num_results: As for `score_router`, and so are the next five.
        prompts: The prompts, ``[n]``: adds the baselines that look at them (their length; regex rules).
        costs: Dollars of a call, ``(strong, weak)``.
        bootstrap: Resamples.
        seed: Of the resamples.
        confidence: Of the intervals.
        on_ties: ``"merge"`` here, since rules and lengths repeat their scores; or ``"error"``.

    Raises:
        InvalidValueError: Lengths differ, a number is not finite, or a router has the name of a baseline.

    Example:
        >>> c = compare({"mine": [0.1, 0.9, 0.4, 0.6]}, [1, 1, 1, 1], [1, 0, 1, 0], 2, bootstrap=0)
        >>> list(c)
        ['mine', 'random mixing', 'optimum']
    """
    settings = Settings(num_results, bootstrap, seed, confidence, on_ties)
    rows = Rows.of(strong_scores, weak_scores, costs)
    return judge(routers, rows, settings, {} if prompts is None else prompt_baselines(prompts))


def judge(
    routers: Mapping[str, ArrayLike], rows: Rows, settings: Settings, simple: Mapping[str, Numbers]
) -> Comparison:
    """`compare` with everything read; ``simple`` are the scores of the baselines that look at prompts."""
    scored = {name: column(f"win rates of {name}", rates) for name, rates in routers.items()}
    asked = list(scored)
    taken = {RANDOM, LENGTH, RULES, OPTIMUM}.intersection(asked)
    if taken:
        raise InvalidValueError(f"{', '.join(sorted(taken))}: baselines have this name; give the router another one")
    scored |= simple
    results, drawn_best = study(scored, rows, settings, optimum=True)
    found = {result.name: result for result in results}
    baselines = {RANDOM: _random(rows, settings, drawn_best)}
    baselines |= {name: found[name] for name in scored if name not in asked}
    baselines[OPTIMUM] = _optimum(rows, settings, drawn_best)
    return Comparison({name: found[name] for name in asked}, baselines)


def prompt_baselines(prompts: Sequence[str], rules: Numbers | None = None) -> dict[str, Numbers]:
    """Scores that anybody can have without a router: the length of a prompt, and a few regular expressions."""
    import numpy as np

    texts = list(prompts)
    found = RulesRouter().calculate_strong_win_rates(texts) if rules is None else rules
    return {LENGTH: np.array([float(len(text)) for text in texts]), RULES: found}


def _steps(settings: Settings) -> Numbers:
    import numpy as np

    return np.linspace(100, 0, settings.num_results + 1)


def _random(rows: Rows, settings: Settings, models: Curve | None) -> RouterResult:
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
        money = {"strong_cost": models.strong_cost, "weak_cost": models.weak_cost}
        cost = None
        if models.strong_cost is not None and models.weak_cost is not None:
            cost = line(models.strong_cost, models.weak_cost)
        draws = Curve(
            percent=np.tile(share * 100, (settings.bootstrap, 1)),
            quality=line(models.strong, models.weak),
            cost=cost,
            weak=models.weak,
            strong=models.strong,
            **money,
        )
    return RouterResult(RANDOM, points, observed(points, rows), draws, settings, None)


def _optimum(rows: Rows, settings: Settings, draws: Curve | None) -> RouterResult:
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
