"""Routers among many models: what quality each amount of money buys, and what fixed shares of the models would."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ferroute import _core
from ferroute._grid import Shown
from ferroute.errors import InvalidValueError
from ferroute.evals._baselines import prompt_baselines
from ferroute.evals._dollars import NO_COSTS, DollarCurve, Models, curves
from ferroute.evals._figures import LENGTH, OPTIMUM, RULES, Estimate, estimate
from ferroute.evals._policies import Policy, oracle, policy_of, thresholds
from ferroute.evals._provenance import Provenance
from ferroute.evals._side_by_side import SideBySide, by_apgr
from ferroute.evals._simultaneous import bands, repeated
from ferroute.evals.results import checked_part, saving

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from ferroute.evals._given import Given

    Numbers = NDArray[np.float64]

__all__ = ["ModelComparison", "ModelResult"]

STATIC, BEST = "static mix", "best single model"
"""Names of the baselines that two models do not have."""

POINTS = 40
"""Settings of a router that are looked at, where nobody says."""


class ModelResult:
    """How one router does among several models.

    Every figure is a `float` with the ends of its bootstrap interval as ``.low`` and ``.high``. Its curve goes over
    the points by mean cost, straight between them, and down to the weak model where that is cheaper, since any router
    can be mixed with it. AUC and APGR are RouteLLM's figures (Ong et al. 2024, arXiv:2406.18665) over dollars in the
    place of calls.

    Attributes:
        name: What it is called in tables and pictures.
        points: Record array: ``setting`` (threshold or exchange rate of score for dollars; NaN for a plain choice),
            ``score`` (mean), ``cost`` (mean dollars of a call, where known), ``strong_share``.
        calls: Share of calls to each model at each point, ``[k, m]``; None for a mix.
        bands: Ends of the interval of the score at each point's mean cost, ``[k, 2]``; None without resamples.
        score: Mean score when cost is no matter: at the lowest threshold, at exchange rate 0, of the one choice, or of
            the best model of a mix.
        auc: Mean score over the dollars between the weak and the strong model; NaN without costs, or where the strong
            model is not the dearer one.
        apgr: That area above the weak model's score, over the strong model's above it; NaN where `auc` is. A fixed mix
            of the two alone has 0.5.
        settings: Intervals' confidence, number of resamples, seed.
        provenance: Seed, hashes of the data, versions.
    """

    provenance: Provenance | None = None

    def __init__(
        self,
        name: str,
        points: Any,
        calls: Numbers | None,
        curve: DollarCurve,
        draws: DollarCurve | None,
        settings: Any,
        rows: int,
    ) -> None:
        self.name, self.points, self.calls, self.settings = name, points, calls, settings
        self._curve, self._draws, self._rows = curve, draws, rows
        self.score = self._estimate(self.value("score"), self.draws("score"))
        nothing = Estimate(float("nan"))
        self.auc = self._figure("auc") if self.has_costs else nothing
        self.apgr = self._figure("apgr") if self.has_costs else nothing
        self.bands = self._bands() if self.has_costs else None

    @property
    def has_costs(self) -> bool:
        """Whether dollars are known."""
        return self._curve.cost is not None

    def _estimate(self, value: float, draws: Numbers | None) -> Estimate:
        return estimate(value, draws, self.settings.confidence)

    def _figure(self, name: str) -> Estimate:
        return self._estimate(self.value(name), self.draws(name))

    def value(self, figure: str) -> float:
        """A figure by its name, as for `draws`.

        Args:
            figure: ``auc``, ``apgr``, ``score``, ``share95`` or ``cost95``.

        Raises:
            InvalidValueError: There is no such figure, or there are no costs for one of dollars.
        """
        return float(_figure(self._curve, figure)[0])

    def draws(self, figure: str) -> Numbers | None:
        """The resampled values of ``auc``, ``apgr``, ``score``, ``share95`` or ``cost95``, ``[b]``.

        The last two are the share of strong calls (0..=1) and the mean dollars of a call at 95 % of the strong model's
        score.

        Args:
            figure: ``auc``, ``apgr``, ``score``, ``share95`` or ``cost95``.
        """
        return None if self._draws is None else _figure(self._draws, figure)

    def along(self, at: Numbers | None = None) -> tuple[Numbers, Numbers, Numbers | None]:
        """The mean score at mean costs.

        Args:
            at: Dollars of a call, ``[k]``; None: those of the points.

        Returns:
            The dollars and the score at each, both ``[k]``, and that of each resample, ``[b, k]`` (None without
            resamples).

        Raises:
            InvalidValueError: There are no costs.
        """
        if not self.has_costs:
            raise InvalidValueError(NO_COSTS)
        where = self.points["cost"] if at is None else at
        here = self._curve.quality_at(where)[0]
        return where, here, None if self._draws is None else self._draws.quality_at(where)

    def around(self) -> tuple[Numbers, Numbers | None]:
        """The score at the points, ``[k]``, and where resamples would have put it, ``[b, k]``.

        A setting costs something else in each resample; what counts is how far it is from the observed curve there.
        """
        _, value, drawn = self.along()
        if self._draws is None or self._draws.cost is None or self._draws.mixed:
            return value, drawn
        times = len(self._draws.cost)
        cost, quality, _ = self._curve.anchored
        observed = _core.eval_value_at(repeated(cost, times), repeated(quality, times), self._draws.cost)
        return value, value + self._draws.quality - observed

    @property
    def simultaneous_bands(self) -> Numbers | None:
        """Bands over the whole curve at once, ``[k, 2]``; None without resamples.

        Max-t bootstrap (Romano and Wolf 2005; Montiel Olea and Plagborg-Moller 2019).
        """
        value, drawn = self.around()
        least = self.spread / self._rows
        return None if drawn is None else bands([value], [drawn], self.settings.confidence, self._rows, least)[0]

    @property
    def spread(self) -> float:
        """What one row may change: about the range of the scores."""
        return self._curve.models.spread

    def _bands(self) -> Numbers | None:
        import numpy as np

        _, _, drawn = self.along()
        if drawn is None:
            return None
        alpha = (1 - self.settings.confidence) / 2
        return np.stack([np.quantile(drawn, q, axis=0) for q in (alpha, 1 - alpha)], axis=1)

    def share_at_quality(self, quality: float = 0.95) -> Estimate:
        """Share of strong calls, 0..=1, where the curve first reaches ``quality`` of the strong model's score.

        Args:
            quality: The part of the strong model's score that is kept, above 0; 0.95 is 95 %.

        Raises:
            InvalidValueError: ``quality`` is not above 0, or there are no costs.
        """
        part = checked_part(quality)
        draws = None if self._draws is None else self._draws.share_at(part)
        return self._estimate(float(self._curve.share_at(part)[0]), draws)

    def cost_at_quality(self, quality: float = 0.95) -> Estimate:
        """Least mean dollars of a call at which ``quality`` of the strong model's score is reached; NaN: never.

        Args:
            quality: The part of the strong model's score that is kept, above 0; 0.95 is 95 %.

        Raises:
            InvalidValueError: There are no costs, or ``quality`` is not above 0.
        """
        part = checked_part(quality)
        draws = None if self._draws is None else self._draws.cost_at(part)
        return self._estimate(float(self._curve.cost_at(part)[0]), draws)

    def cost_saving_at_quality(self, quality: float = 0.95, against: str = "static") -> Estimate:
        """The part of the money that is saved at ``quality`` of the strong model's score; below 0 it costs more.

        Args:
            quality: The part of the strong model's score that is kept, above 0; 0.95 is 95 %.
            against: ``"static"``: the best fixed shares of the models that have that quality, which is what a router
                has to beat; ``"strong"``: the strong model answering everything.

        Raises:
            InvalidValueError: There are no costs, ``quality`` is not above 0, or ``against`` is neither.
        """
        if against not in {"static", "strong"}:
            raise InvalidValueError(f"against: expected 'static' or 'strong', found {against!r}")
        part = checked_part(quality)

        def saved(curve: DollarCurve) -> Numbers:
            spent, models = curve.cost_at(part), curve.models
            if against == "strong" and models.cost is not None:
                return saving(spent, models.cost[:, models.strong])
            return saving(spent, models.mix.cost_at(part))

        draws = None if self._draws is None else saved(self._draws)
        return self._estimate(float(saved(self._curve)[0]), draws)

    def summary(self) -> dict[str, Estimate]:
        """The figures by the names they have in tables."""
        figures = {"score": self.score}
        if self.has_costs:
            figures |= {"AUC": self.auc, "APGR": self.apgr, "$ at 95%": self.cost_at_quality()}
            figures["$ saved"] = self.cost_saving_at_quality()
            figures["$ below strong"] = self.cost_saving_at_quality(against="strong")
        return figures

    def to_pandas(self) -> pd.DataFrame:
        """The points as a frame; with resamples also ``score_low`` and ``score_high``."""
        import pandas as pd  # pyright: ignore[reportMissingTypeStubs]

        frame = pd.DataFrame(self.points)
        if self.bands is not None:
            frame["score_low"], frame["score_high"] = self.bands[:, 0], self.bands[:, 1]
        return frame

    def __repr__(self) -> str:
        figures = ", ".join(f"{name} {value!r}" for name, value in self.summary().items())
        return f"<{self.name}: {len(self.points)} points; {figures}>"


_FIGURES = ("auc", "apgr", "score", "share95", "cost95")


def _figure(curve: DollarCurve, figure: str) -> Numbers:
    import numpy as np

    if figure == "cost95":
        return curve.cost_at(0.95)
    if figure == "share95":
        return curve.share_at(0.95)
    if figure == "auc":
        return curve.area
    if figure == "score":
        # The first setting is that of a router to which cost is no matter; a mix has its best model.
        return np.nanmax(curve.quality, axis=1) if curve.mixed else curve.quality[:, 0]
    if figure != "apgr":
        raise InvalidValueError(f"expected one of {', '.join(_FIGURES)}, found {figure!r}")
    weak, strong = (curve.models.quality[:, at] for at in (curve.models.weak, curve.models.strong))
    with np.errstate(divide="ignore", invalid="ignore"):
        return (curve.area - weak) / (strong - weak)


class ModelComparison(SideBySide[ModelResult], Shown):
    """Results of several routers among many models; index it by name.

    Attributes:
        routers: Name -> result of the routers that were asked about.
        baselines: Name -> result of the static mix (the best fixed shares of the models), the best single model,
            prompt length and regex rules between the strong and the weak model (where prompts are known), and the
            optimum (what somebody would choose who knew scores and costs beforehand).
        models: Names.
        strong: The model that qualities are parts of.
        weak: The cheap end.
        scores: Mean score of each model by name, with interval.
        costs: Mean dollars of a call of each model by name, with interval; None where unknown.
        notes: What was left out or could not be known, in words.
        provenance: Seed, hashes of the data, versions.
    """

    def __init__(
        self,
        routers: dict[str, ModelResult],
        baselines: dict[str, ModelResult],
        *,
        given: Given,
        observed: Models,
        drawn: Models | None,
        settings: Any,
        provenance: Provenance,
    ) -> None:
        self.routers, self.baselines, self.settings = routers, baselines, settings
        self.models, self.notes, self.provenance = list(given.models), tuple(given.notes), provenance
        self.strong, self.weak = given.models[given.strong], given.models[given.weak]
        self._rows = len(given.scores)
        for name in self:
            self[name].provenance = provenance

        def each(values: Numbers, draws: Numbers | None) -> dict[str, Estimate]:
            return {
                name: estimate(float(values[0, i]), None if draws is None else draws[:, i], settings.confidence)
                for i, name in enumerate(given.models)
            }

        self.scores = each(observed.quality, None if drawn is None else drawn.quality)
        self.costs = None if observed.cost is None else each(observed.cost, None if drawn is None else drawn.cost)

    @property
    def best_single(self) -> str:
        """The model with the best mean score."""
        return max(self.scores, key=lambda name: float(self.scores[name]))

    def sorted(self) -> list[ModelResult]:
        """Routers by falling APGR, then the baselines by falling APGR."""
        return by_apgr(self.routers) + by_apgr(self.baselines)

    def records(self) -> list[dict[str, Any]]:
        """The table as plain numbers: ``router``, ``baseline``, then each figure with its interval."""
        out: list[dict[str, Any]] = []
        for result in self.sorted():
            record: dict[str, Any] = {"router": result.name, "baseline": result.name in self.baselines}
            for name, value in result.summary().items():
                record |= {name: float(value), f"{name}_low": value.low, f"{name}_high": value.high}
            out.append(record)
        return out

    def plot(self, kind: str = "cost", ax: Axes | None = None, bands: str = "pointwise") -> Axes:
        """Draws mean score against mean ``"cost"``, with the single models as points.

        With ``bands="simultaneous"`` the bands hold for all routers over the whole curve together.

        Args:
            kind: ``"cost"``: against mean dollars of a call; ``"quality"``, as between two models, is the same here.
            ax: Axes to draw on; None: new ones.
            bands: ``"pointwise"``, or ``"simultaneous"``: bands that hold over the whole curve together.

        Returns:
            The axes; ``.figure.savefig(path)`` writes the picture.

        Raises:
            InvalidValueError: There is no such picture or kind of bands.
            NotBuiltError: matplotlib is not installed.
        """
        from ferroute.evals._dollar_plots import dollar_plot

        if kind not in {"cost", "quality"}:
            raise InvalidValueError(f"expected 'cost', found {kind!r}")
        return dollar_plot(self, bands=bands, ax=ax)

    def _on_paper(self) -> tuple[list[str], list[list[str]], str, str]:
        head, rows, note = self._grid_of()
        return head, rows, f"Routing among {len(self.models)} models", note

    def _grid_of(self) -> tuple[list[str], list[list[str]], str]:
        from ferroute.evals._tables import many_grid

        head, rows = many_grid(self.sorted(), self.baselines)
        parts = [
            f"{self._rows:,} prompts, {len(self.models)} models",
            f"strong {self.strong} {float(self.scores[self.strong]):.4g}",
            f"weak {self.weak} {float(self.scores[self.weak]):.4g}",
        ]
        if self.costs is not None:
            parts.append(
                "$ at 95%: mean dollars of a call where 95 % of the strong score are reached; saved: against the best "
                "fixed mix of that quality"
            )
        if self.settings.bootstrap:
            parts.append(
                f"in brackets {self.settings.confidence:.0%} intervals, {self.settings.bootstrap:,} paired resamples "
                "of the prompts"
            )
        return head, rows, "; ".join([*parts, *self.notes])

    def _table(self) -> tuple[Sequence[str], Sequence[Sequence[str]], str]:
        head, rows, note = self._grid_of()
        return head, rows, note if self.provenance is None else f"{note}; {self.provenance.line()}"

    def _grid(self) -> Numbers:
        import numpy as np

        if self.costs is None:
            raise InvalidValueError(NO_COSTS)
        return np.linspace(float(self.costs[self.weak]), float(self.costs[self.strong]), 51)


def judge_among(routers: Mapping[str, Any], given: Given, settings: Any) -> ModelComparison:
    """Compares routers among the models of ``given``.

    Raises:
        InvalidValueError: A router has the name of a baseline.
    """
    points = settings.num_results
    taken = {STATIC, BEST, LENGTH, RULES, OPTIMUM}.intersection(routers)
    if taken:
        raise InvalidValueError(f"{', '.join(sorted(taken))}: baselines have this name; give the router another one")
    policies = {str(name): policy_of(str(name), scores, given, points) for name, scores in routers.items()}
    asked = list(policies)
    best = int(given.scores.mean(axis=0).argmax())
    policies[BEST] = _always(best, given)
    if given.prompts is not None:
        for name, scores in prompt_baselines(given.prompts).items():
            policies[name] = thresholds(scores, given, points)
    policies[OPTIMUM] = oracle(given, points)
    found, drawn, models, drawn_models = curves(list(policies.values()), given, settings.bootstrap, settings.seed)
    rows = len(given.scores)
    results = {
        name: ModelResult(name, _points(curve, policy), _calls(policy, given), curve, draws, settings, rows)
        for (name, policy), curve, draws in zip(policies.items(), found, drawn or [None] * len(found), strict=True)
    }
    baselines = {name: result for name, result in results.items() if name not in asked}
    if given.costs is not None:
        drawn_mix = None if drawn_models is None else drawn_models.mix
        mix = ModelResult(STATIC, _points(models.mix, None), None, models.mix, drawn_mix, settings, rows)
        baselines = {STATIC: mix, **baselines}
    tables = [given.scores] if given.costs is None else [given.scores, given.costs]
    return ModelComparison(
        {name: results[name] for name in asked},
        baselines,
        given=given,
        observed=models,
        drawn=drawn_models,
        settings=settings,
        provenance=Provenance.of(
            tables, {name: policies[name].choices for name in asked}, rows, given.models, settings
        ),
    )


def _always(model: int, given: Given) -> Policy:
    import numpy as np

    return Policy("choice", np.array([np.nan]), np.full((1, len(given.scores)), model, dtype=np.int16))


def _calls(policy: Policy, given: Given) -> Numbers:
    import numpy as np

    return np.stack([(policy.choices == at).mean(axis=1) for at in range(len(given.models))], axis=1)


def _points(curve: DollarCurve, policy: Policy | None) -> Any:
    import numpy as np

    records: Any = np.rec  # its types know no list of names
    known = np.isfinite(curve.quality[0])
    columns: dict[str, Any] = {
        "setting": np.full(int(known.sum()), np.nan) if policy is None else policy.settings[known],
        "score": curve.quality[0][known],
    }
    if curve.cost is not None:
        columns["cost"] = curve.cost[0][known]
    columns["strong_share"] = curve.share[0][known]
    return records.fromarrays(list(columns.values()), names=",".join(columns))
