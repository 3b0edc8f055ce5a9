"""The result of one router: RouteLLM's figures, each with an interval, and what they save."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ferroute import _core
from ferroute.errors import InvalidTypeError, InvalidValueError
from ferroute.evals._figures import FRACTIONS, Curve, Estimate, Rows, column, estimate, finite, whole
from ferroute.evals._provenance import Provenance
from ferroute.evals._simultaneous import bands, nearest_points, repeated

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike, NDArray

    from ferroute._explorer import Explorer

    Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Settings:
    """How figures and intervals are computed.

    Attributes:
        num_results: Intervals between thresholds, 1 or more.
        bootstrap: Resamples of the prompts for the intervals; 0: no intervals.
        seed: Of the resamples, 0 to 2**64 - 1.
        confidence: Of the intervals, inside of 0..1.
        on_ties: ``"error"`` or ``"merge"``, as for `score_router`.

    Raises:
        InvalidTypeError: Something is no number.
        InvalidValueError: A number is out of its range, or there is no such way with ties.
    """

    num_results: int = 10
    bootstrap: int = 1000
    seed: int = 0
    confidence: float = 0.95
    on_ties: str = "error"

    def __post_init__(self) -> None:
        for name in ("num_results", "bootstrap", "seed"):
            object.__setattr__(self, name, whole(name, getattr(self, name)))
        if isinstance(self.confidence, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidTypeError(f"confidence: expected a number between 0 and 1, found {self.confidence!r:.60}")
        if self.on_ties not in {"error", "merge"}:
            raise InvalidValueError(f"on_ties: expected 'error' or 'merge', found {self.on_ties!r}")
        if not 0 < self.confidence < 1:
            raise InvalidValueError(f"confidence: expected a number between 0 and 1, found {self.confidence}")
        if self.bootstrap < 0:
            raise InvalidValueError(f"bootstrap: expected 0 resamples or more, found {self.bootstrap}")
        if not 0 <= self.seed < 2**64:
            raise InvalidValueError(f"seed: expected 0 to 2**64 - 1, found {self.seed}")
        if self.num_results < 1:
            raise InvalidValueError(f"num_results: expected 1 or more, found {self.num_results}")


class RouterResult:
    """How one router does on prompts whose scores under both models are known.

    Every figure is a `float` with the ends of its bootstrap interval as ``.low`` and ``.high``. APGR and the call
    percentages are those of RouteLLM (Ong et al. 2024, arXiv:2406.18665), computed as its evaluation program does.

    Attributes:
        name: What it is called in tables and pictures.
        points: Record array, one row a threshold: ``threshold``, ``accuracy`` (mean score), ``strong_count``,
            ``weak_count``, ``total``, ``strong_percentage``, and ``cost`` (mean dollars of a call) where costs are
            known. ``points.accuracy`` and ``points[0].threshold`` both work.
        bands: Ends of the interval of ``accuracy`` at each point's percentage of strong calls, ``[m, 2]``; None
            without resamples.
        auc: Area under the mean score over the share of strong calls, in the scores' unit.
        apgr: Average performance gap recovered: (mean score - weak) / (strong - weak), averaged over all shares of
            strong calls by trapezoids. 0.5 is random mixing, 0 the weak model, 1 the strong model's quality at no
            strong call; NaN or infinite where both models score the same.
        cpt: Call-performance thresholds: percent of calls to the strong model (interpolated as RouteLLM does) at which
            20, 50 and 80 percent of the gap between the models are recovered: ``cpt[20]``, ``cpt[50]``, ``cpt[80]``.
        weak_score: Mean score of the weak model.
        strong_score: Mean score of the strong model.
        win_rates: The scores the router was judged by, ``[n]``; None for baselines that have none.
        settings: Intervals' confidence, number of resamples, seed.
        provenance: Seed, hashes of the data, versions.
    """

    provenance: Provenance | None = None

    def __init__(
        self, name: str, points: Any, curve: Curve, draws: Curve | None, settings: Settings, win_rates: Numbers | None
    ) -> None:
        self.name = name
        self.points = points
        self.settings = settings
        self.win_rates = win_rates
        self._curve = curve
        self._draws = draws
        figures, drawn = curve.figures()[0], None if draws is None else draws.figures()

        def figure(index: int) -> Estimate:
            return self._estimate(float(figures[index]), None if drawn is None else drawn[:, index])

        self.auc, self.apgr = figure(0), figure(1)
        self.cpt = {round(100 * part): figure(2 + i) for i, part in enumerate(FRACTIONS)}
        self.weak_score = self._estimate(float(curve.weak[0]), None if draws is None else draws.weak)
        self.strong_score = self._estimate(float(curve.strong[0]), None if draws is None else draws.strong)
        self.bands = self._bands()

    def _estimate(self, value: float, draws: Numbers | None) -> Estimate:
        return estimate(value, draws, self.settings.confidence)

    def _bands(self) -> Numbers | None:
        import numpy as np

        _, _, quality = self.along()
        if quality is None:
            return None
        alpha = (1 - self.settings.confidence) / 2
        return np.stack([np.quantile(quality, q, axis=0) for q in (alpha, 1 - alpha)], axis=1)

    def share_at_quality(self, quality: float = 0.95) -> Estimate:
        """The least share of strong calls, 0..=1, at which the mean score reaches ``quality`` of the strong model's.

        "95 % of GPT-4's quality with 14 % of its calls" is ``share_at_quality(0.95) == 0.14``. The curve is taken as
        straight between points; where it never gets there the result is NaN.

        Args:
            quality: The part of the strong model's score that is kept, above 0; 0.95 is 95 %.

        Raises:
            InvalidTypeError: ``quality`` is no number.
            InvalidValueError: It is not above 0.
        """
        part = checked_part(quality)
        draws = None if self._draws is None else self._draws.percent_at(part) / 100
        return self._estimate(float(self._curve.percent_at(part)[0]) / 100, draws)

    def calls_saving_at_quality(self, quality: float = 0.95) -> Estimate:
        """The part of the strong calls that are saved against random mixing of the same quality.

        0.48: random mixing needs 100 strong calls where this router needs 52. NaN where the weak model alone is good
        enough.

        Args:
            quality: The part of the strong model's score that is kept, above 0; 0.95 is 95 %.

        Raises:
            InvalidValueError: ``quality`` is not above 0.
        """

        def saved(curve: Curve) -> Numbers:
            return saving(curve.percent_at(part), curve.random_at(part))

        part = checked_part(quality)
        draws = None if self._draws is None else saved(self._draws)
        return self._estimate(float(saved(self._curve)[0]), draws)

    def cost_at_quality(self, quality: float = 0.95) -> Estimate:
        """Mean dollars of a call at ``quality`` of the strong model's score; NaN where that is never reached.

        Args:
            quality: The part of the strong model's score that is kept, above 0; 0.95 is 95 %.

        Raises:
            InvalidValueError: There are no costs, or ``quality`` is not above 0.
        """

        def cost(curve: Curve) -> Numbers:
            return curve.cost_at(curve.percent_at(part))

        part = checked_part(quality)
        draws = None if self._draws is None else cost(self._draws)
        return self._estimate(float(cost(self._curve)[0]), draws)

    def cost_saving_at_quality(self, quality: float = 0.95, against: str = "random") -> Estimate:
        """The part of the money that is saved at ``quality`` of the strong model's score.

        Args:
            quality: The part of the strong model's score that is kept, above 0; 0.95 is 95 %.
            against: ``"random"``: random mixing of the same quality, which is what a router has to beat (figures of
                articles are of this kind where they say so); ``"strong"``: the strong model answering everything.

        Raises:
            InvalidValueError: There are no costs (`calls_saving_at_quality` needs none), ``quality`` is not above 0, or
                ``against`` is neither.
        """
        if against not in {"random", "strong"}:
            raise InvalidValueError(f"against: expected 'random' or 'strong', found {against!r}")

        def saved(curve: Curve) -> Numbers:
            spent = curve.cost_at(curve.percent_at(part))
            if against == "strong" and curve.strong_cost is not None:
                return saving(spent, curve.strong_cost)
            return saving(spent, curve.random_cost_at(curve.random_at(part)))

        part = checked_part(quality)
        draws = None if self._draws is None else saved(self._draws)
        return self._estimate(float(saved(self._curve)[0]), draws)

    @property
    def has_costs(self) -> bool:
        """Whether dollars stand beside the shares of calls."""
        return self._curve.cost is not None

    @property
    def cost_ends(self) -> tuple[float, float] | None:
        """Mean dollars of a call when the weak and when the strong model answers everything; None: no costs."""
        weak, strong = self._curve.weak_cost, self._curve.strong_cost
        return None if weak is None or strong is None else (float(weak[0]), float(strong[0]))

    def value(self, figure: str) -> float:
        """A figure by its name, as for `draws`.

        Args:
            figure: ``auc``, ``apgr``, ``cpt20``, ``cpt50``, ``cpt80``, ``share95`` or ``cost95``.

        Raises:
            InvalidValueError: There is no such figure, or there are no costs for ``cost95``.
        """
        if figure in _AT_95:
            return float(_AT_95[figure](self))
        self._checked(figure)
        return float(self.cpt[int(figure[3:])] if figure.startswith("cpt") else getattr(self, figure))

    def draws(self, figure: str) -> Numbers | None:
        """The resampled values of a figure, ``[b]``: auc, apgr, cpt20, cpt50, cpt80, share95 or cost95.

        The last two are the share of strong calls (0..=1) and the mean dollars of a call at 95 % of the strong model's
        score.

        Args:
            figure: ``auc``, ``apgr``, ``cpt20``, ``cpt50``, ``cpt80``, ``share95`` or ``cost95``.

        Raises:
            InvalidValueError: There is no such figure, or there are no costs for ``cost95``.
        """
        place = self._checked(figure)
        if self._draws is None:
            return None
        if figure in _AT_95:
            percent = self._draws.percent_at(0.95)
            return percent / 100 if figure == "share95" else self._draws.cost_at(percent)
        return self._draws.figures()[:, place]

    def _checked(self, figure: str) -> int:
        names = ["auc", "apgr", *(f"cpt{part:.0%}".rstrip("%") for part in FRACTIONS), *_AT_95]
        if figure not in names:
            raise InvalidValueError(f"expected one of {', '.join(names)}, found {figure!r}")
        return names.index(figure)

    def along(self, at: Numbers | None = None) -> tuple[Numbers, Numbers, Numbers | None]:
        """The mean score at percentages of strong calls.

        Args:
            at: Percentages, ``[k]``; None: those of the points.

        Returns:
            The percentages and the score at each, both ``[k]``, and that of each resample, ``[b, k]`` (None without
            resamples).
        """
        import numpy as np

        where = self._curve.percent[0] if at is None else np.asarray(at, dtype=np.float64)
        here = self._curve.quality[0]
        if at is not None:
            here = _core.eval_value_at(self._curve.percent, self._curve.quality, where[None])[0]
        if self._draws is None:
            return where, here, None
        repeated = np.tile(where, (self._draws.weak.size, 1))
        return where, here, _core.eval_value_at(self._draws.percent, self._draws.quality, repeated)

    def around(self) -> tuple[Numbers, Numbers | None]:
        """The score at the points, ``[m]``, and where resamples would have put it, ``[b, m]``.

        A resample has points of its own, whose distance from the observed curve is what the observed points' distance
        from the truth looks like; between its points it is an average, which chance moves less.
        """
        _, value, _ = self.along()
        if self._draws is None:
            return value, None
        percent, nearest = self._draws.percent, nearest_points(self._draws.percent, self._curve.percent[0])
        far = self._draws.quality - _core.eval_value_at(
            repeated(self._curve.percent, len(percent)), repeated(self._curve.quality, len(percent)), percent
        )
        return value, value + far[nearest]

    @property
    def simultaneous_bands(self) -> Numbers | None:
        """Bands over the whole curve at once, ``[m, 2]``: wider than ``bands``, which hold at each point alone.

        Max-t bootstrap (Romano and Wolf 2005; Montiel Olea and Plagborg-Moller 2019); None without resamples.
        """
        value, drawn = self.around()
        rows = int(self.points["total"][0])
        return None if drawn is None else bands([value], [drawn], self.settings.confidence, rows, self.spread / rows)[0]

    @property
    def spread(self) -> float:
        """What one row may change: about the range of the scores."""
        return self._curve.spread

    def summary(self) -> dict[str, Estimate]:
        """The figures by the names they have in tables."""
        figures = {f"{part}% qual": value for part, value in self.cpt.items()}
        figures |= {"AUC": self.auc, "APGR": self.apgr}
        figures["calls at 95%"] = _percent(self.share_at_quality())
        figures["calls saved"] = _percent(self.calls_saving_at_quality())
        if self.has_costs:
            figures["$ at 95%"] = self.cost_at_quality()
            figures["$ saved"] = _percent(self.cost_saving_at_quality())
        return figures

    def to_pandas(self) -> pd.DataFrame:
        """The points as a frame; with resamples also ``accuracy_low`` and ``accuracy_high``."""
        import pandas as pd  # pyright: ignore[reportMissingTypeStubs]

        frame = pd.DataFrame(self.points)
        if self.bands is not None:
            frame["accuracy_low"], frame["accuracy_high"] = self.bands[:, 0], self.bands[:, 1]
        return frame

    def plot(self, kind: str = "quality", ax: Axes | None = None) -> Axes:
        """Draws ``"quality"`` against the share of strong calls, or against ``"cost"``, or the ``"scores"``.

        Args:
            kind: ``"quality"``, ``"cost"`` or ``"scores"``.
            ax: Axes to draw on; None: new ones.

        Returns:
            The axes; ``.figure.savefig(path)`` writes the picture.

        Raises:
            InvalidValueError: There is no such picture, or there are no costs or scores for it.
            NotBuiltError: matplotlib is not installed.
        """
        from ferroute.evals import plots

        whole: Any = self
        return plots.plot(whole, kind, ax)

    def explore(self, share: float = 0.3) -> Explorer:
        """A slider over the threshold, for a notebook: share of strong calls, cost and quality with its band.

        Args:
            share: Share of strong calls where it begins, 0..=1.

        Returns:
            The explorer; ``.save("explorer.html")`` writes it to a file.

        Raises:
            InvalidValueError: It is a baseline, which has no threshold.
        """
        from ferroute._explorer import Explorer
        from ferroute._sweep import measured

        whole: Any = self
        return Explorer([measured(whole)], share)

    def __repr__(self) -> str:
        from ferroute.evals._tables import text_table

        whole: Any = self
        return text_table([whole])

    def _repr_html_(self) -> str:
        from ferroute.evals._tables import html_table

        whole: Any = self
        return html_table([whole])


_AT_95: dict[str, Any] = {"share95": RouterResult.share_at_quality, "cost95": RouterResult.cost_at_quality}
"""Figures at 95 % of the strong model's score, by the names that differences know them by."""


def _percent(value: Estimate) -> Estimate:
    return Estimate(*(None if part is None else float(part) * 100 for part in (value, value.low, value.high)))  # pyright: ignore[reportArgumentType]


def checked_part(quality: float) -> float:
    """A part of the strong model's score.

    Args:
        quality: The part of the strong model's score that is kept, above 0; 0.95 is 95 %.

    Raises:
        InvalidTypeError: It is no number.
        InvalidValueError: It is not above 0.
    """
    if isinstance(quality, str) or quality is None:  # pyright: ignore[reportUnnecessaryComparison, reportUnnecessaryIsInstance]
        raise InvalidTypeError(f"quality: expected a part of the strong model's score such as 0.95, found {quality!r}")
    if not quality > 0:
        raise InvalidValueError(f"quality: expected a part of the strong model's score such as 0.95, found {quality}")
    return float(quality)


def saving(spent: Numbers, random: Numbers) -> Numbers:
    """The part of ``random`` that is saved by spending less, ``[b]``; NaN where there is nothing to save.

    Args:
        spent: Calls or dollars of the router, ``[b]``.
        random: Those of random mixing, ``[b]``.
    """
    import numpy as np

    with np.errstate(divide="ignore", invalid="ignore"):
        saved = np.where(random > 0, 1 - spent / random, np.nan)
    # Random mixing saves nothing against itself, whatever is left of rounding.
    return np.where(np.abs(saved) < 1e-12, 0.0, saved)


def score_router(
    win_rates: ArrayLike,
    strong_scores: ArrayLike,
    weak_scores: ArrayLike,
    num_results: int = 10,
    *,
    costs: Any = None,
    bootstrap: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
    on_ties: str = "error",
    name: str = "router",
) -> RouterResult:
    """RouteLLM's figures for a router whose prompts were answered by both models.

    They are defined in Ong et al. 2024, arXiv:2406.18665; `RouterResult` says how each is computed. Scores keep their
    unit: nothing is rescaled. Correct or not as 0 and 1 (or booleans) gives an AUC between 0 and 1; multiply them by
    100 for RouteLLM's percentages. APGR and the call percentages are the same either way.

    Args:
        win_rates: The router's scores, ``[n]``; the strong model answers from a threshold on.
        strong_scores: Quality when the strong model answers, ``[n]``; more is better.
        weak_scores: Quality when the weak model answers, ``[n]``.
        num_results: Thresholds are the win rates' quantiles at 0, 1/num_results, .. 1.
        costs: What a call costs in dollars, as ``(strong, weak)`` or ``{"strong": ..., "weak": ...}``: one number each,
            or one a row, ``[n]``.
        bootstrap: Resamples for the intervals; 0: none.
        seed: The same seed gives the same intervals.
        confidence: Of the intervals, inside of 0..1.
        on_ties: What to do when thresholds coincide because many win rates are equal: ``"error"`` as RouteLLM does,
            or ``"merge"``: repeated points are left out, the figures are those of the points that remain.
        name: What tables and pictures call it.

    Returns:
        The result: ``.apgr``, ``.auc``, ``.cpt[50]``, ``.points``, ``.share_at_quality(0.95)``, ``.plot()``, ...

    Raises:
        InvalidValueError: Lengths differ, a number is not finite or out of its range, or thresholds coincide.
        InvalidTypeError: Something is no column of numbers.

    Example:
        >>> r = score_router([0.1, 0.9, 0.4, 0.6], strong_scores=[1, 1, 1, 1], weak_scores=[1, 0, 1, 0], num_results=2)
        >>> float(r.apgr), float(r.share_at_quality(1.0))
        (0.75, 0.5)
    """
    settings = Settings(num_results, bootstrap, seed, confidence, on_ties)
    rows = Rows.of(strong_scores, weak_scores, costs)
    scored = {name: column("win_rates", win_rates)}
    result = study(scored, rows, settings)[0][0]
    result.provenance = Provenance.of(rows.columns(), scored, rows.strong.size, ("strong", "weak"), settings)
    return result


def study(
    win_rates: dict[str, Numbers], rows: Rows, settings: Settings, optimum: bool = False
) -> tuple[list[RouterResult], Curve | None]:
    """Results of several routers on the same draws; with ``optimum`` also its resampled curve.

    Args:
        win_rates: Name -> win rates, ``[n]``.
        rows: Scores and costs of both models.
        settings: How figures and intervals are computed.
        optimum: Whether the optimum is resampled as well.
    """
    pairs = rows.pairs()
    merge = settings.on_ties == "merge"
    for name, rates in win_rates.items():
        finite(f"win rates of {name}", rates)
    curves = {name: _core.eval_curve(rates, pairs, settings.num_results, merge) for name, rates in win_rates.items()}
    draws, best = _drawn(list(win_rates.values()), rows, settings, optimum)
    results: list[RouterResult] = []
    for index, (name, (thresholds, strong, means)) in enumerate(curves.items()):
        points = _points(thresholds, strong, [means[0] * rows.unit, *means[1:]], rows.strong.size)
        results.append(
            RouterResult(
                name, points, observed(points, rows), None if draws is None else draws[index], settings, win_rates[name]
            )
        )
    return results, best


def _drawn(
    win_rates: Sequence[Numbers], rows: Rows, settings: Settings, optimum: bool
) -> tuple[list[Curve] | None, Curve | None]:
    if not settings.bootstrap:
        return None, None
    pairs = rows.pairs()
    table: Any = _core.eval_resample(
        list(win_rates), pairs, settings.num_results, settings.bootstrap, settings.seed, optimum
    )
    points = settings.num_results + 1
    means = table[:, table.shape[1] - 2 * len(pairs) :]
    models: dict[str, Any] = {"strong": means[:, 0] * rows.unit, "weak": means[:, 1] * rows.unit}
    if rows.costs:
        models |= {"strong_cost": means[:, 2].copy(), "weak_cost": means[:, 3].copy()}

    def block(index: int) -> Numbers:
        return table[:, index * points : (index + 1) * points].copy()

    each = 1 + len(pairs)
    curves = [
        Curve(
            percent=block(i * each),
            quality=block(i * each + 1) * rows.unit,
            cost=block(i * each + 2) if rows.costs else None,
            **models,
        )
        for i in range(len(win_rates))
    ]
    if not optimum:
        return curves, None
    first = len(win_rates) * each * points
    middle = first + (table.shape[1] - 2 * len(pairs) - first) // 2
    percent, quality = table[:, first:middle].copy(), table[:, middle : 2 * middle - first] * rows.unit
    return curves, Curve(percent=percent, quality=quality, cost=None, **models)


def _points(thresholds: Numbers, strong: Any, means: list[Numbers], total: int) -> Any:
    """The points as records; repeated ones are left out."""
    import numpy as np

    records: Any = np.rec  # its types know no list of names
    keep = np.ones(len(thresholds), dtype=bool)
    # Equal thresholds come one after the other and route alike, but for the last, which leaves out the rows on it.
    keep[1:] = (thresholds[1:] != thresholds[:-1]) | (strong[1:] != strong[:-1])
    columns: dict[str, Any] = {
        "threshold": thresholds,
        "accuracy": means[0],
        "strong_count": strong.astype(np.int64),
        "weak_count": total - strong.astype(np.int64),
        "total": np.full(len(strong), total, dtype=np.int64),
        "strong_percentage": strong / total * 100,
    }
    if len(means) > 1:
        columns["cost"] = means[1]
    return records.fromarrays([values[keep] for values in columns.values()], names=",".join(columns))


def observed(points: Any, rows: Rows) -> Curve:
    """The curve of points that were not resampled.

    Args:
        points: Record array of the points.
        rows: Scores and costs of both models.
    """
    import numpy as np

    def one(values: Any) -> Numbers:
        return np.array([values], dtype=np.float64)

    def mean(values: Numbers) -> Numbers:
        return np.array([values.mean()])

    return Curve(
        percent=one(points["strong_percentage"]),
        quality=one(points["accuracy"]),
        cost=one(points["cost"]) if "cost" in points.dtype.names else None,
        weak=mean(rows.weak) * rows.unit,
        strong=mean(rows.strong) * rows.unit,
        weak_cost=mean(rows.costs[1]) if rows.costs else None,
        strong_cost=mean(rows.costs[0]) if rows.costs else None,
        spread=rows.spread,
    )
