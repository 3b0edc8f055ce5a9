"""Several routers side by side, on the same draws, with the baselines every router has to beat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, overload

from ferroute.errors import InvalidTypeError, InvalidValueError
from ferroute.evals import _given
from ferroute.evals._baselines import optimum, prompt_baselines, random_mixing
from ferroute.evals._figures import LENGTH, OPTIMUM, RANDOM, RULES, Rows, column
from ferroute.evals._policies import win_rates_of
from ferroute.evals._provenance import Provenance
from ferroute.evals._side_by_side import SideBySide, by_apgr
from ferroute.evals.results import RouterResult, Settings, study

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike, NDArray

    from ferroute._explorer import Explorer
    from ferroute.evals.model_comparison import ModelComparison
    from ferroute.evals.outcome_table import OutcomeTable

    Numbers = NDArray[np.float64]

__all__ = ["Comparison", "compare", "judge", "prompt_baselines"]


class Comparison(SideBySide[RouterResult]):
    """Results of several routers between two models, best APGR first in tables; index it by name.

    The figures are those of `RouterResult`, which says where they come from.

    Attributes:
        routers: Name -> result of the routers that were asked about.
        baselines: Name -> result of random mixing (as expected on average), prompt length and regex rules (where
            prompts are known) and the optimum (strong calls go where they gain most).
        weak_score: Mean score when the weak model answers everything.
        strong_score: Mean score when the strong model answers everything.
        pair: Names of the strong and the weak model.
        notes: What was left out or could not be known, in words.
        provenance: Seed, hashes of the data, versions.
    """

    def __init__(
        self,
        routers: dict[str, RouterResult],
        baselines: dict[str, RouterResult],
        *,
        pair: tuple[str, str] = ("strong", "weak"),
        notes: Sequence[str] = (),
        provenance: Provenance | None = None,
    ) -> None:
        self.routers, self.baselines = routers, baselines
        one = next(iter((routers or baselines).values()))
        self.settings = one.settings
        self.weak_score, self.strong_score = one.weak_score, one.strong_score
        self.pair, self.notes, self.provenance = pair, tuple(notes), provenance
        self._rows = int(one.points["total"][0])
        for name in self:
            self[name].provenance = provenance

    @property
    def best_single(self) -> str:
        """The model that is better when it answers everything."""
        return self.pair[0] if self.strong_score >= self.weak_score else self.pair[1]

    def sorted(self) -> list[RouterResult]:
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
        ends = (("always strong", 100.0, self.strong_score), ("always weak", 0.0, self.weak_score))
        for name, percent, score in ends:
            out.append({"router": name, "baseline": True, "strong_percentage": percent, "score": float(score)})
        return out

    def plot(self, kind: str = "quality", ax: Axes | None = None, bands: str = "pointwise") -> Axes:
        """Draws ``"quality"`` against the share of strong calls, or against ``"cost"``.

        With ``bands="simultaneous"`` the bands hold for all routers over the whole curve together.

        Args:
            kind: ``"quality"`` (against the share of strong calls) or ``"cost"`` (against dollars a call).
            ax: Axes to draw on; None: new ones.
            bands: ``"pointwise"``, or ``"simultaneous"``: bands that hold over the whole curve together.

        Returns:
            The axes; ``.figure.savefig(path)`` writes the picture.

        Raises:
            InvalidValueError: There is no such picture or kind of bands, or there are no costs.
            NotBuiltError: matplotlib is not installed.
        """
        from ferroute.evals import plots

        return plots.plot(self, kind, ax, bands)

    def explore(self, name: str | None = None, share: float = 0.3) -> Explorer:
        """A slider over the threshold, for a notebook: share of strong calls, cost and quality with its band.

        Args:
            name: The router; None: all that have win rates, best APGR first, to choose among.
            share: Share of strong calls where it begins, 0..=1.

        Returns:
            The explorer; ``.save("explorer.html")`` writes it to a file.

        Raises:
            InvalidValueError: It is a baseline, or no router has win rates: then there is no threshold.
            UnknownNameError: There is no such router.
        """
        from ferroute._explorer import Explorer
        from ferroute._sweep import measured

        if name is not None:
            return self[name].explore(share)
        return Explorer([measured(one) for one in by_apgr(self.routers) if one.win_rates is not None], share)

    def _on_paper(self) -> tuple[list[str], list[list[str]], str, str]:
        from ferroute.evals._tables import grid

        head, rows = grid(self.sorted(), self.baselines, (self.weak_score, self.strong_score))
        return head, rows, f"Routing between {self.pair[0]} and {self.pair[1]}", self._caption(with_provenance=False)

    def _caption(self, with_provenance: bool = True) -> str:
        from ferroute.evals._tables import caption

        better = "strong" if self.strong_score >= self.weak_score else "weak"
        parts = [caption(self.sorted()), f"best single model: always {better}", *self.notes]
        if self.provenance is not None and with_provenance:
            parts.append(self.provenance.line())
        return "; ".join(parts)

    def __repr__(self) -> str:
        from ferroute.evals._tables import text_table

        ends = (self.weak_score, self.strong_score)
        return text_table(self.sorted(), self.baselines, ends, self._caption())

    def _repr_html_(self) -> str:
        from ferroute.evals._tables import html_table

        ends = (self.weak_score, self.strong_score)
        return html_table(self.sorted(), self.baselines, ends, self._caption())

    def _grid(self) -> Numbers:
        import numpy as np

        return np.linspace(0, 100, min(self.settings.num_results, 100) + 1)


@overload
def compare(
    routers: Mapping[str, ArrayLike],
    outcomes: ArrayLike | OutcomeTable,
    costs: Any = None,
    num_results: int | None = None,
    *,
    models: Sequence[str] | None = None,
    pair: tuple[str, str] | None = None,
    prompts: Sequence[str] | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
    on_ties: str = "merge",
) -> Comparison | ModelComparison: ...
@overload
def compare(
    routers: Mapping[str, ArrayLike],
    strong_scores: ArrayLike,
    weak_scores: ArrayLike,
    num_results: int | None = None,
    *,
    prompts: Sequence[str] | None = None,
    costs: Any = None,
    bootstrap: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
    on_ties: str = "merge",
) -> Comparison: ...
def compare(  # pyright: ignore[reportInconsistentOverload]
    routers: Mapping[str, ArrayLike],
    outcomes: Any = None,
    second: Any = None,
    num_results: int | None = None,
    *,
    strong_scores: Any = None,
    weak_scores: Any = None,
    costs: Any = None,
    models: Sequence[str] | None = None,
    pair: tuple[str, str] | None = None,
    prompts: Sequence[str] | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
    on_ties: str = "merge",
) -> Comparison | ModelComparison:
    """Compares routers with each other and with the baselines, each figure with an interval, all on the same draws.

    Two forms: ``compare(routers, outcomes, costs)``, and RouteLLM's columns, ``compare(routers, strong_scores,
    weak_scores, num_results, costs=...)``.

    Args:
        routers: Name -> win rates, ``[n]`` (strong from a threshold on), or predicted scores of all models, ``[n, m]``
            (the model with the most score left after its cost, at each exchange rate of score for dollars), or the
            model chosen for each row, by name or, among more than two, by column. May be empty: then only the baselines
            are computed.
        outcomes: Scores of the strong and the weak model, ``[n, 2]``, or of many models, ``[n, m]``, in any unit, or an
            `OutcomeTable`. Rows where one is NaN are left out, and the notes say how many.
        second: Dollars of a call of each model, ``[m]`` or ``[n, m]`` (None or NaN: unknown, then there are no
            dollars, and the notes say so); in the other form the weak model's scores.
        num_results: Intervals between thresholds or exchange rates; None: 100 (or the number of rows) between two
            models, which makes figures at a given quality exact to a percent of the calls, and 40 among more; in the
            other form 10, as in RouteLLM.
        strong_scores: Scores of the strong model, ``[n]``, by keyword.
        weak_scores: Scores of the weak model, ``[n]``, by keyword.
        costs: ``second`` by keyword, dollars a call.
        models: Names of the columns; of a table: which ones.
        pair: Names of the strong and the weak model; None: of two columns the first is strong; of a table, or among
            more, the best mean score is strong and the cheapest model weak, and the notes say which.
        prompts: The prompts, ``[n]``: adds the baselines that look at them (their length; regex rules).
        bootstrap: Resamples; 0: no intervals.
        seed: Of the resamples.
        confidence: Of the intervals, inside of 0..1.
        on_ties: ``"merge"`` here, since rules and lengths repeat their scores; or ``"error"``.

    Returns:
        A `Comparison` between two models, a `ModelComparison` among more.

    Raises:
        InvalidTypeError: Outcomes or costs are no numbers.
        InvalidValueError: Lengths differ, a number is not finite, or a router has the name of a baseline.
        UnknownNameError: A router names a model that is no column.

    Example:
        >>> c = compare({"mine": [0.1, 0.9, 0.4, 0.6]}, [[1, 1], [1, 0], [1, 1], [1, 0]], (0.01, 0.001), bootstrap=0)
        >>> list(c), float(c["mine"].share_at_quality(1.0)), round(float(c["mine"].cost_at_quality(1.0)), 4)
        (['mine', 'random mixing', 'optimum'], 0.5, 0.0055)
    """
    import numpy as np

    if not isinstance(routers, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidTypeError(
            f'routers: expected a name for each router\'s scores, {{"mine": scores}}, found {type(routers).__name__}'
        )
    strong = strong_scores if strong_scores is not None else outcomes
    weak = weak_scores if weak_scores is not None else second
    if strong_scores is not None or weak_scores is not None or _given.is_column(outcomes):
        if weak is None:
            raise InvalidTypeError(
                "outcomes: expected scores of both models [n, 2], found one column; or give strong and weak scores"
            )
        settings = Settings(10 if num_results is None else num_results, bootstrap, seed, confidence, on_ties)
        rows = Rows.of(strong, weak, costs)
        return judge(routers, rows, settings, {} if prompts is None else prompt_baselines(prompts))
    if second is not None and costs is not None:
        raise InvalidTypeError("costs: given twice")
    given = _given.read(outcomes, second if costs is None else costs, models, pair, prompts)
    if len(given.models) > 2:
        from ferroute.evals.model_comparison import POINTS, judge_among

        points = POINTS if num_results is None else num_results
        return judge_among(routers, given, Settings(points, bootstrap, seed, confidence, on_ties))
    results = min(100, len(given.scores)) if num_results is None else num_results
    settings = Settings(results, bootstrap, seed, confidence, on_ties)
    strong, weak = given.strong, given.weak
    rows = Rows(np.array(given.scores[:, strong]), np.array(given.scores[:, weak]))
    if given.costs is not None:
        rows.costs = np.array(given.costs[:, strong]), np.array(given.costs[:, weak])
    scored = {name: win_rates_of(str(name), values, given) for name, values in routers.items()}
    simple = {} if given.prompts is None else prompt_baselines(given.prompts)
    return judge(scored, rows, settings, simple, (given.models[strong], given.models[weak]), given.notes)


def judge(
    routers: Mapping[str, ArrayLike],
    rows: Rows,
    settings: Settings,
    simple: Mapping[str, Numbers],
    pair: tuple[str, str] = ("strong", "weak"),
    notes: Sequence[str] = (),
) -> Comparison:
    """`compare` with everything read; ``simple`` are the scores of the baselines that look at prompts.

    Args:
        routers: Name -> win rates, ``[n]``.
        rows: Scores and costs of both models.
        settings: How figures and intervals are computed.
        simple: Name -> scores of a baseline, ``[n]``.
        pair: Names of the strong and the weak model.
        notes: What was left out or decided, in words.

    Raises:
        InvalidValueError: A router has the name of a baseline.
    """
    scored = {name: column(f"win rates of {name}", rates) for name, rates in routers.items()}
    asked = list(scored)
    taken = {RANDOM, LENGTH, RULES, OPTIMUM}.intersection(asked)
    if taken:
        raise InvalidValueError(f"{', '.join(sorted(taken))}: baselines have this name; give the router another one")
    provenance = Provenance.of(rows.columns(), scored, rows.strong.size, pair, settings)
    scored |= simple
    results, drawn_best = study(scored, rows, settings, optimum=True)
    found = {result.name: result for result in results}
    baselines = {RANDOM: random_mixing(rows, settings, drawn_best)}
    baselines |= {name: found[name] for name in scored if name not in asked}
    baselines[OPTIMUM] = optimum(rows, settings, drawn_best)
    return Comparison({name: found[name] for name in asked}, baselines, pair=pair, notes=notes, provenance=provenance)
