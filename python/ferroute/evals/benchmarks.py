"""RouteLLM's benchmarks with the outcomes of both models, and your own in the same form.

The outcomes of MMLU, GSM8K and MT-Bench come with the package (see ``data/benchmarks/README.md``); nothing is fetched.
"""

from __future__ import annotations

import abc
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from ferroute import _core
from ferroute.decision import ModelPair
from ferroute.errors import InvalidTypeError, InvalidValueError, UnknownNameError
from ferroute.evals import _cache
from ferroute.evals._figures import Rows, column, finite, whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from os import PathLike

    import numpy as np
    import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
    from numpy.typing import NDArray

    from ferroute.evals.comparison import Comparison

    Numbers = NDArray[np.float64]
    Points = Iterator[tuple[float, float, Mapping[str, int], int]]

__all__ = ["CURRENT_DIR", "GSM8K", "MMLU", "Benchmark", "MTBench", "Table"]

CURRENT_DIR = str(Path(__file__).parent)

STRONG, WEAK = "gpt-4-1106-preview", "mistralai/Mixtral-8x7B-Instruct-v0.1"
"""The pair whose outcomes RouteLLM published."""

_DATA = Path(__file__).parents[1] / "data" / "benchmarks"


class _NoOutcomes(UnknownNameError, AssertionError):
    """A model without outcomes: RouteLLM's MMLU and GSM8K raise KeyError there, its MT-Bench AssertionError."""


class Benchmark(abc.ABC):
    """Prompts whose answers by two models have been judged. Subclass it to bring your own kind."""

    @abc.abstractmethod
    def evaluate(self, controller: Any, router: str, num_results: int, overwrite_router_cache: bool) -> Points:
        """Yields ``(threshold, accuracy, model_counts, total)`` at each threshold of the router, rising.

        As in RouteLLM: the mean score in the benchmark's own unit, calls by model's name, and calls in all.

        Args:
            controller: The Controller that holds the router.
            router: Its name.
            num_results: Thresholds are the win rates' quantiles at 0, 1/num_results, .. 1.
            overwrite_router_cache: Score the prompts again even if win rates are kept.
        """

    @abc.abstractmethod
    def get_optimal_accuracy(self, strong_percent: float) -> float:
        """The best mean score at a share of strong calls, in the unit of `get_model_accuracy`.

        Args:
            strong_percent: Share of strong calls, 0..=1 (despite the name, which is RouteLLM's).
        """

    @abc.abstractmethod
    def get_model_accuracy(self, model: str) -> float:
        """The mean score of one model alone, in the benchmark's unit.

        Percent of right answers for `MMLU` and `GSM8K`, marks from 1 to 10 for `MTBench`, the scores' own for `Table`.

        Args:
            model: Name of the strong or of the weak model.
        """


class _Judged(Benchmark):
    """What the packed benchmarks and your own tables share."""

    name = ""
    """How the command line and file names call it."""

    _unit: float = 1.0
    """What a score of 1 is shown as."""

    _calls = 1
    """Judgements for each row."""

    seen_by: tuple[str, ...] = ()
    """Routers of this package that were trained on these questions."""

    def __init__(self, routed_pair: ModelPair | None, overwrite_cache: Sequence[str]) -> None:
        self.routed_pair = ModelPair(strong=STRONG, weak=WEAK) if routed_pair is None else routed_pair
        self.overwrite_cache = overwrite_cache
        self.cache_path = str(_cache.folder(_file_name(self.name)))
        self.cache: dict[str, Any] = {}
        self._keys: dict[str, str | None] = {}

    def prompts(self) -> list[str]:
        """The texts that are routed on."""
        raise NotImplementedError

    def __repr__(self) -> str:
        pair = self.routed_pair
        return f"<{type(self).__name__}: {len(self.prompts()):,} prompts, answered by {pair.strong} and {pair.weak}>"

    def _scores(self, model: str) -> Numbers:
        """Scores of one model, row by row, in units of ``_unit``."""
        raise NotImplementedError

    def scores(self) -> tuple[Numbers, Numbers]:
        """Scores of the strong and of the weak model, float64 ``[n]`` each, in the unit of `get_model_accuracy`.

        Raises:
            KeyError: There are no outcomes of one of them.
        """
        pair = self.routed_pair
        return self._scores(pair.strong) * self._unit, self._scores(pair.weak) * self._unit

    def _costs(self) -> tuple[Numbers, Numbers] | None:
        return None

    def _series(self) -> Any:
        """The prompts as RouteLLM hands them to a controller: a pandas Series."""
        import pandas as pd  # pyright: ignore[reportMissingTypeStubs]

        return pd.Series(self.prompts(), name="prompt")

    def win_rates(self, controller: Any, router: str, overwrite: bool = False) -> Numbers:
        """The router's scores of all prompts, float64 ``[n]``: kept ones if nothing they depend on has changed, or new.

        Args:
            controller: The Controller that holds the router, or what has its ``batch_calculate_win_rate``.
            router: Its name.
            overwrite: Score the prompts again even if win rates are kept.

        Raises:
            RoutingError: The Controller has no such router.
            InvalidValueError: The router has not given one finite number for each prompt.
        """
        prompts = self.prompts()
        instance = getattr(controller, "routers", {}).get(router)
        key = None if instance is None else _cache.key(instance, prompts)
        fresh = overwrite or router in self.overwrite_cache
        # An entry without a key was put there by the user.
        if not fresh and router in self.cache and self._keys.get(router, key) == key and self._trusted(router, key):
            return column(f"cached win rates of {router}", self.cache[router])
        path = None if key is None else Path(self.cache_path) / f"{_file_name(router)}-{key}.npy"
        rates = None if fresh or path is None else _cache.load(path, len(prompts))
        if rates is None:
            rates = self._ask(controller, router, prompts)
            if path is not None:
                _cache.save(path, rates)
        self.cache[router], self._keys[router] = rates, key
        return rates

    def _trusted(self, router: str, key: str | None) -> bool:
        return router not in self._keys or key is not None

    def _ask(self, controller: Any, router: str, prompts: list[str]) -> Numbers:
        from ferroute.controller import Controller

        given: Any = prompts
        if not isinstance(controller, Controller):
            # A stand-in was written for RouteLLM, which gives a Series.
            try:
                given = self._series()
            except ImportError:
                given = prompts
        rates = column(f"win rates of {router}", controller.batch_calculate_win_rate(prompts=given, router=router))
        if rates.size != len(prompts):
            raise InvalidValueError(f"router {router}: expected {len(prompts)} win rates, found {rates.size}")
        return finite(f"win rates of {router}", rates)

    def evaluate(
        self,
        controller: Any,
        router: str,
        num_results: int,
        overwrite_router_cache: bool,
        *,
        on_ties: str = "error",
    ) -> Points:
        """Yields ``(threshold, accuracy, model_counts, total)`` at each threshold of the router, rising.

        The first point sends everything to the strong model, the last one (``>`` its threshold) nothing.

        Args:
            controller: The Controller that holds the router.
            router: Its name.
            num_results: Thresholds are the win rates' quantiles at 0, 1/num_results, .. 1.
            overwrite_router_cache: Score the prompts again even if win rates are kept.
            on_ties: ``"error"`` where thresholds coincide, as in RouteLLM, or ``"merge"``: they are left out.

        Raises:
            KeyError: There are no outcomes of a model of the pair.
            InvalidValueError: Thresholds coincide.
        """
        pair, num_results = self.routed_pair, whole("num_results", num_results)
        rows = self._scores(pair.strong), self._scores(pair.weak)
        rates = self.win_rates(controller, router, overwrite_router_cache)
        merge = on_ties == "merge"
        thresholds, counts, means = _core.eval_curve(rates, [rows], num_results, merge)
        self._remember(rates)
        total = rates.size
        before = None
        for threshold, strong, mean in zip(thresholds.tolist(), counts.tolist(), means[0].tolist(), strict=True):
            if merge and before == (threshold, strong):
                continue
            before = (threshold, strong)
            strong_first = bool(rates[0] >= threshold) and strong > 0
            yield threshold, mean * self._unit, self._counts(strong, total, strong_first), total * self._calls

    def _remember(self, rates: Numbers) -> None:
        """RouteLLM leaves the win rates in the frame."""

    def _counts(self, strong: int, total: int, strong_first: bool) -> Mapping[str, int]:
        names = {self.routed_pair.strong: strong, self.routed_pair.weak: total - strong}
        order = names if strong_first else dict(reversed(names.items()))
        return Counter({name: n for name, n in order.items() if n})

    def get_model_accuracy(self, model: str) -> float:
        """The mean score of one model.

        Args:
            model: Its name.

        Raises:
            KeyError: There are no outcomes of this model.
        """
        return float(self._scores(model).mean()) * self._unit

    def get_optimal_accuracy(self, strong_percent: float) -> float:
        """The best mean score at a share of strong calls: they go where they gain most, and calls may be divided.

        Args:
            strong_percent: Share of strong calls, 0..=1 (RouteLLM's name for it).

        Raises:
            KeyError: There are no outcomes of a model of the pair.
        """
        pair = self.routed_pair
        return float(_core.eval_optimum(self._scores(pair.strong), self._scores(pair.weak), [strong_percent])[0]) * (
            self._unit
        )

    def compare(self, controller: Any, routers: Sequence[str], num_results: int = 10, **settings: Any) -> Comparison:
        """Routers of a Controller side by side, with intervals and baselines: `ferroute.evals.compare` on these rows.

        Args:
            controller: The Controller that holds the routers.
            routers: Their names.
            num_results: Intervals between thresholds, 1 or more.
            **settings: ``bootstrap``, ``seed``, ``confidence``, ``on_ties``, ``costs``, as `ferroute.evals.compare` has
                them.

        Raises:
            RoutingError: The Controller has no such router.
            InvalidValueError: A setting is out of its range.
        """
        return self.compare_scores(
            {name: self.win_rates(controller, name) for name in routers}, num_results, **settings
        )

    def compare_scores(self, win_rates: Mapping[str, Any], num_results: int = 10, **settings: Any) -> Comparison:
        """As `compare`, with win rates of your own.

        Args:
            win_rates: Router -> its scores in the order of `prompts`, ``[n]``.
            num_results: Intervals between thresholds, 1 or more.
            **settings: ``bootstrap``, ``seed``, ``confidence``, ``on_ties``, ``costs``, as `ferroute.evals.compare` has
                them.

        Raises:
            KeyError: There are no outcomes of a model of the pair.
            InvalidTypeError: A number is none.
            InvalidValueError: Win rates are not finite or not one for each prompt, or a setting is out of its range.
        """
        from ferroute.evals.comparison import judge, prompt_baselines
        from ferroute.evals.results import Settings

        costs = settings.pop("costs", None) or self._costs()
        strong, weak = (self._scores(model) for model in (self.routed_pair.strong, self.routed_pair.weak))
        simple = prompt_baselines(self.prompts(), self._rules())
        settings.setdefault("on_ties", "merge")
        made = Settings(num_results, **settings)
        return judge(win_rates, Rows.of(strong, weak, costs, self._unit), made, simple)

    def _rules(self) -> Numbers:
        """Scores of the regex rules, kept like those of a router."""
        from ferroute.routers._rules import RulesRouter

        prompts, rules = self.prompts(), RulesRouter()
        path = Path(self.cache_path) / f"rules-{_cache.key(rules, prompts)}.npy"
        rates = _cache.load(path, len(prompts))
        if rates is None:
            rates = rules.calculate_strong_win_rates(prompts)
            _cache.save(path, rates)
        return rates


def seen(benchmark: Any, routers: Iterable[str]) -> str | None:
    """A warning where a router was trained on the very questions it is judged on."""
    known = [router for router in routers if router in benchmark.seen_by]
    if not known:
        return None
    return (
        f"{known[0]} was trained on questions of {benchmark.name}: its figures here flatter it; those on questions it "
        "has not seen are in docs/local-router.md"
    )


def _file_name(name: str) -> str:
    return "".join(c if c.isalnum() or c in "_-" else "_" for c in name)[:60]


def _packed(name: str) -> dict[str, Any]:
    return _core.read_columns(_DATA / name)


class _Correct(_Judged):
    """Questions answered rightly or wrongly; accuracies are percentages."""

    _unit = 100.0

    def __init__(self, routed_pair: ModelPair | None, overwrite_cache: Sequence[str], columns: dict[str, Any]) -> None:
        super().__init__(routed_pair, overwrite_cache)
        self._before = len(columns["prompt"])
        kept = [i for i, contaminated in enumerate(columns["contaminated"]) if not contaminated]
        self._index = kept
        self._prompts: list[str] = [columns["prompt"][i] for i in kept]
        self._outcomes: dict[str, Numbers] = {
            WEAK: column("outcomes", [columns["weak"][i] for i in kept]),
            STRONG: column("outcomes", [columns["strong"][i] for i in kept]),
        }
        self._frame: Any = None  # a pandas frame, whose types are partly unknown

    @property
    def all_data(self) -> pd.DataFrame:
        """``prompt`` and one column of True and False for each model; the index is the row before decontamination.

        Made on first use (needs pandas). From then on it is what counts: change it, or put another in its place.
        """
        if self._frame is None:
            import pandas as pd  # pyright: ignore[reportMissingTypeStubs]

            columns = {name: values.astype(bool) for name, values in self._outcomes.items()}
            self._frame = pd.DataFrame({"prompt": self._prompts, **columns}, index=self._index)
        return self._frame

    @all_data.setter
    def all_data(self, frame: pd.DataFrame) -> None:
        self._frame = frame

    def prompts(self) -> list[str]:
        """The questions that are left after decontamination."""
        return self._prompts if self._frame is None else self._frame["prompt"].tolist()

    def _series(self) -> Any:
        return cast("Any", self.all_data)["prompt"]

    def _scores(self, model: str) -> Numbers:
        known = self._outcomes if self._frame is None else self._frame
        if model not in known or model == "prompt":
            raise _no_outcomes(self.name, model, self._outcomes)
        outcomes = column(f"outcomes of {model}", known[model])
        if not outcomes.size:
            raise InvalidValueError(f"{self.name}: there is no question left")
        return outcomes

    def _remember(self, rates: Numbers) -> None:
        if self._frame is not None:
            self._frame["strong_win_rates"] = rates

    def get_model_accuracy(self, model: str) -> float:
        """Percentage of questions that a model answered correctly.

        Args:
            model: Its name.

        Raises:
            KeyError: There are no outcomes of this model.
        """
        scores = self._scores(model)
        return int(scores.sum()) / scores.size * 100

    def get_optimal_accuracy(self, strong_percent: float) -> float:
        """The best accuracy in percent at a share of strong calls: they go where only the strong model is right.

        As in RouteLLM the share of calls is not rounded to whole ones, and not checked.

        Args:
            strong_percent: Share of strong calls, 0..=1.

        Raises:
            KeyError: There are no outcomes of a model of the pair.
        """
        strong, weak = self._scores(self.routed_pair.strong), self._scores(self.routed_pair.weak)
        total = weak.size
        gained = min(total * strong_percent, int(((weak == 0) & (strong == 1)).sum()))
        return (int(weak.sum()) + gained) / total * 100


def _no_outcomes(benchmark: str, model: str, known: Mapping[str, Any]) -> _NoOutcomes:
    return _NoOutcomes(
        f"{benchmark} has no outcomes of the model {model!r}, only of {', '.join(map(repr, known))}; for another pair "
        "collect outcomes with `ferroute collect` and evaluate on those (`--data`)"
    )


class MMLU(_Correct):
    """14,037 multiple-choice questions in 57 domains (5 of 14,042 are left out as contaminated); scores in percent.

    Questions: Hendrycks et al. 2021, arXiv:2009.03300. Which of them each model got right is what RouteLLM published
    (``data/benchmarks/README.md``).

    Args:
        domains: Names of `ferroute.evals.mmlu.domains.ALL_MMLU_DOMAINS`; None: all.
        routed_pair: The two models whose outcomes count; None: the published pair.
        overwrite_cache: Routers whose kept win rates are not to be used.

    Raises:
        KeyError: A domain is unknown.
    """

    name = "mmlu"
    seen_by = ("local",)

    def __init__(
        self,
        domains: Sequence[str] | None = None,
        routed_pair: ModelPair | None = None,
        overwrite_cache: Sequence[str] = (),
    ) -> None:
        columns = _packed("mmlu.parquet")
        if domains is not None:
            columns = _of_domains(columns, domains)
        super().__init__(routed_pair, overwrite_cache, columns)
        print(f"Remaining {len(self._prompts)}/{self._before} prompts for MMLU after decontamination")  # noqa: T201


def _of_domains(columns: dict[str, Any], domains: Sequence[str]) -> dict[str, Any]:
    if isinstance(domains, str):
        raise InvalidTypeError(f"domains is a list of names, found the string {domains!r}")
    if not len(domains):
        raise InvalidValueError("domains: expected at least one name, or None for all of them")
    rows: dict[str, list[int]] = {}
    for i, domain in enumerate(columns["domain"]):
        rows.setdefault(domain, []).append(i)
    unknown = [domain for domain in domains if domain not in rows]
    if unknown:
        raise UnknownNameError(f"MMLU has no domain {unknown[0]!r}; the names are in ferroute.evals.mmlu.domains")
    chosen = [i for domain in domains for i in rows[domain]]
    return {name: [values[i] for i in chosen] for name, values in columns.items()}


class GSM8K(_Correct):
    """1,307 word problems (12 of 1,319 are left out as contaminated); scores in percent.

    Questions: Cobbe et al. 2021, arXiv:2110.14168. Which of them each model got right is what RouteLLM published
    (``data/benchmarks/README.md``).

    Args:
        routed_pair: The two models whose outcomes count; None: the published pair.
        overwrite_cache: Routers whose kept win rates are not to be used.
    """

    name = "gsm8k"
    seen_by = ("local",)

    def __init__(self, routed_pair: ModelPair | None = None, overwrite_cache: Sequence[str] = ()) -> None:
        super().__init__(routed_pair, overwrite_cache, _packed("gsm8k.parquet"))
        print(f"{len(self._prompts)}/{self._before} questions for GSM8K after decontamination.")  # noqa: T201


class MTBench(_Judged):
    """72 conversations of two turns (8 of 80 are left out as contaminated), judged from 1 to 10.

    Questions: Zheng et al. 2023, arXiv:2306.05685. The judgements are those that RouteLLM published
    (``data/benchmarks/README.md``). The router sees the first turn; a call is a judgement, so there are two of them for
    each question.

    Args:
        routed_pair: The two models whose scores count; None: the published pair.
        overwrite_cache: Routers whose kept win rates are not to be used.
    """

    name = "mt-bench"
    _calls = 2

    _SIDES: ClassVar = {WEAK: "weak", STRONG: "strong"}

    def __init__(self, routed_pair: ModelPair | None = None, overwrite_cache: Sequence[str] = ()) -> None:
        super().__init__(routed_pair, overwrite_cache)
        self._columns = _packed("mt_bench.parquet")
        self._kept = [i for i, contaminated in enumerate(self._columns["contaminated"]) if not contaminated]
        self._questions: Any = None  # pandas frames
        self._judgements: Any = None
        print(f"{len(self._kept)} questions for MT bench after decontamination.")  # noqa: T201
        if all(path.name.startswith("rules-") for path in Path(self.cache_path).glob("*.npy")):
            print("Error loading MT Bench cache, starting fresh.")  # noqa: T201 - RouteLLM's line

    @property
    def questions(self) -> pd.DataFrame:
        """``question_id``, ``category``, ``turns``, ``turn1``, ``turn2`` of the questions that are left (pandas)."""
        if self._questions is None:
            import pandas as pd  # pyright: ignore[reportMissingTypeStubs]

            c = self._columns
            first, second = [c["prompt"][i] for i in self._kept], [c["prompt_2"][i] for i in self._kept]
            self._questions = pd.DataFrame(
                {
                    "question_id": [int(c["question_id"][i]) for i in self._kept],
                    "category": [c["category"][i] for i in self._kept],
                    "turns": [list(turns) for turns in zip(first, second, strict=True)],
                    "turn1": first,
                    "turn2": second,
                },
                index=self._kept,
            )
        return self._questions

    @questions.setter
    def questions(self, frame: pd.DataFrame) -> None:
        self._questions = frame

    @property
    def judgements(self) -> pd.DataFrame:
        """``question_id``, ``model``, ``turn``, ``score`` of all 80 questions (pandas), without the judge's text."""
        if self._judgements is None:
            import pandas as pd  # pyright: ignore[reportMissingTypeStubs]

            c = self._columns
            self._judgements = pd.DataFrame(
                [
                    {
                        "question_id": int(c["question_id"][i]),
                        "model": model,
                        "turn": turn,
                        "score": c[f"{side}_{turn}"][i],
                    }
                    for model, side in self._SIDES.items()
                    for i in range(len(c["question_id"]))
                    for turn in (1, 2)
                ]
            )
        return self._judgements

    @judgements.setter
    def judgements(self, frame: pd.DataFrame) -> None:
        self._judgements = frame

    def prompts(self) -> list[str]:
        """The first turns of the questions that are left after decontamination."""
        if self._questions is not None:
            return [turns[0] for turns in self._questions["turns"]]
        return [self._columns["prompt"][i] for i in self._kept]

    def _series(self) -> Any:
        frame = cast("Any", self.questions)
        return frame["turns"].str[0]

    def _by_question(self, model: str) -> dict[int, float]:
        """Mean judgement of each of all questions."""
        if self._judgements is not None:
            mine = self._judgements[self._judgements["model"] == model]
            means: dict[Any, float] = mine.groupby("question_id")["score"].mean().to_dict()
        else:
            side, c = self._SIDES.get(model), self._columns
            if side is None:
                raise _no_outcomes("MT-Bench", model, self._SIDES)
            scores = zip(c["question_id"], c[f"{side}_1"], c[f"{side}_2"], strict=True)
            means = {int(question): (float(first) + float(second)) / 2 for question, first, second in scores}
        if not means:
            raise _no_outcomes("MT-Bench", model, self._SIDES)
        return means

    def _scores(self, model: str) -> Numbers:
        means = self._by_question(model)
        if self._questions is not None:
            ids = [int(question) for question in self._questions["question_id"]]
        else:
            ids = [int(self._columns["question_id"][i]) for i in self._kept]
        if not ids:
            raise InvalidValueError(f"{self.name}: there is no question left")
        missing = [question for question in ids if question not in means]
        if missing:
            raise _NoOutcomes(f"MT-Bench: no judgement of {model!r} for question {missing[0]}")
        return column(f"scores of {model}", [means[question] for question in ids])

    def _counts(self, strong: int, total: int, strong_first: bool) -> Mapping[str, int]:
        pair = self.routed_pair
        counts = [(pair.strong, 2 * strong), (pair.weak, 2 * (total - strong))]
        # The more frequent model first; of equals the one that answered the first question.
        counts = counts if strong_first or not strong else counts[::-1]
        return dict(sorted(counts, key=lambda item: -item[1]))

    def get_optimal_accuracy(self, strong_percent: float) -> float:
        """The best mean score at a share of strong calls, 0..=1.

        As in RouteLLM the mean is over all 80 questions, calls are counted against the 72 that are left, and the share
        is not checked.

        Args:
            strong_percent: Share of strong calls, 0..=1.

        Raises:
            KeyError: There are no outcomes of a model of the pair.
        """
        strong, weak = self._by_question(self.routed_pair.strong), self._by_question(self.routed_pair.weak)
        calls = int(len(self.prompts()) * strong_percent)
        gains = sorted((strong[question] - weak[question] for question in strong), reverse=True)
        return (sum(weak.values()) + sum(gain for gain in gains[:calls] if gain > 0)) / len(weak)


class Table(_Judged):
    """Outcomes of your own: prompts with a score of each model, and costs if you have them.

    Args:
        source: A Parquet, Arrow, JSONL or CSV file, or a mapping of columns. `ferroute collect` writes such files.
        routed_pair: The two models; None: ``strong`` and ``weak``.
        overwrite_cache: Routers whose kept win rates are not to be used.
        prompt: Column of the prompts; by default ``prompt``.
        strong: Column of the strong model's scores; more is better. Any unit; 0 and 1 for wrong and right. By default
            ``strong`` or ``strong_score``.
        weak: Column of the weak model's scores; by default ``weak`` or ``weak_score``.
        strong_cost: Column of the strong model's costs in dollars; by default ``strong_cost`` if there is one.
        weak_cost: Column of the weak model's costs; by default ``weak_cost`` if there is one.
        name: How pictures and files call it; by default the file's name.

    Raises:
        InvalidValueError: A column is missing or has no numbers. Rows without a score of both models are left out
            (attribute ``skipped``).
    """

    def __init__(
        self,
        source: str | PathLike[str] | Mapping[str, Any],
        routed_pair: ModelPair | None = None,
        overwrite_cache: Sequence[str] = (),
        *,
        prompt: str | None = None,
        strong: str | None = None,
        weak: str | None = None,
        strong_cost: str | None = None,
        weak_cost: str | None = None,
        name: str | None = None,
    ) -> None:
        import numpy as np

        given: Any = source
        if hasattr(given, "keys"):
            columns = {str(key): given[key] for key in given.keys()}  # noqa: SIM118 - frames iterate otherwise
            where = name or "table"
        else:
            columns = _core.read_columns(given)
            where = name or Path(given).stem
        self.name = where
        super().__init__(routed_pair or ModelPair(strong="strong", weak="weak"), overwrite_cache)
        strong, weak = (
            given or next((usual for usual in (side, f"{side}_score") if usual in columns), side)
            for given, side in ((strong, "strong"), (weak, "weak"))
        )
        prompt = prompt or "prompt"
        wanted = {prompt, strong, weak, *(c for c in (strong_cost, weak_cost) if c)}
        if missing := sorted(wanted - columns.keys()):
            raise InvalidValueError(f"{where}: no column {missing[0]!r}; there are {', '.join(columns)}")
        texts: list[Any] = list(columns[prompt])
        scores = {side: _numbers(where, side, columns[side]) for side in (strong, weak)}
        if any(values.size != len(texts) for values in scores.values()):
            raise InvalidValueError(f"{where}: its columns differ in length")
        usable = np.isfinite(scores[strong]) & np.isfinite(scores[weak])
        usable &= np.array([isinstance(text, str) for text in texts], dtype=bool)
        costs = strong_cost or "strong_cost", weak_cost or "weak_cost"
        self._money: tuple[Numbers, Numbers] | None = None
        if all(cost in columns for cost in costs):
            money = [_numbers(where, cost, columns[cost]) for cost in costs]
            known = usable & np.isfinite(money[0]) & np.isfinite(money[1])
            # Costs of some rows only would make dollars of other rows than the scores are of.
            if known.sum() == usable.sum():
                self._money = money[0][usable], money[1][usable]
        if not usable.any():
            raise InvalidValueError(f"{where}: no row has a prompt and a score of both models")
        self.skipped = int(len(texts) - usable.sum())
        self._prompts: list[str] = [text for text, good in zip(texts, usable, strict=True) if good]
        self._by_model = {
            self.routed_pair.strong: scores[strong][usable],
            self.routed_pair.weak: scores[weak][usable],
        }

    def prompts(self) -> list[str]:
        """The prompts with a score of both models."""
        return self._prompts

    def _scores(self, model: str) -> Numbers:
        if model not in self._by_model:
            raise _no_outcomes(self.name, model, self._by_model)
        return self._by_model[model]

    def _costs(self) -> tuple[Numbers, Numbers] | None:
        return self._money


def _numbers(where: str, name: str, values: Any) -> Numbers:
    try:
        return column(name, values)
    except InvalidTypeError:
        raise InvalidValueError(f"{where}: column {name!r} does not hold numbers") from None
