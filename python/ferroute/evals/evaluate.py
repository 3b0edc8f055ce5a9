"""``python -m ferroute.evals.evaluate``: routers on a benchmark, with RouteLLM's flags, lines, table and picture.

After RouteLLM's table come the same figures with bootstrap intervals, beside the baselines: random mixing, prompt
length, regex rules, always strong, always weak, the optimum. pandas and matplotlib are not needed; without matplotlib
there is no picture.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import re
import sys
from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ferroute import _core
from ferroute._config import read_config
from ferroute._imports import import_modules
from ferroute.errors import FerrouteError, InvalidValueError, NotBuiltError
from ferroute.evals import benchmarks
from ferroute.evals._figures import FRACTIONS, column, finite
from ferroute.evals._tables import metrics_table
from ferroute.routers.routers import ROUTER_CLS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import numpy as np
    import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
    from numpy.typing import NDArray

    from ferroute.decision import ModelPair
    from ferroute.evals.comparison import Comparison

    Numbers = NDArray[np.float64]

# RouteLLM sets it too: tokenizers warn when a process that used them forks.
os.environ["TOKENIZERS_PARALLELISM"] = "false"

NAMES = ("mmlu", "mt-bench", "gsm8k")


@dataclass
class Line:
    """The points of one method, by rising percentage of strong calls."""

    method: str
    percent: Numbers
    accuracy: Numbers
    bands: Numbers | None = None


def generate_results(
    df_router_result: pd.DataFrame,
    benchmark: Any,
    benchmark_name: str,
    routed_pair: ModelPair,
    output: str,
    plot_optimal: bool = False,
) -> None:
    """Prints both models' scores and the table of metrics, and writes ``<output>/<benchmark_name>.png``.

    Args:
        df_router_result: Columns ``method``, ``strong_percentage``, ``accuracy``, one row a point; with
            ``accuracy_low`` and ``accuracy_high`` the picture has bands.
        benchmark: Anything with ``get_model_accuracy`` (and ``get_optimal_accuracy`` for ``plot_optimal``).
        benchmark_name: Name of the picture.
        routed_pair: The two models.
        output: Folder of the picture.
        plot_optimal: Whether the best that any router could do is drawn too.
    """
    lines: list[Line] = []
    given: Any = df_router_result  # pandas' types are partly unknown
    for method in given["method"].unique():
        frame = given[given["method"] == method].sort_values("strong_percentage", kind="stable")
        bands: Any = None
        if {"accuracy_low", "accuracy_high"} <= set(frame.columns):
            bands = frame[["accuracy_low", "accuracy_high"]].to_numpy(dtype="float64")
        percent, accuracy = (frame[name].to_numpy(dtype="float64") for name in ("strong_percentage", "accuracy"))
        lines.append(Line(str(method), percent, accuracy, bands))
    _report(lines, benchmark, benchmark_name, routed_pair, output, plot_optimal)


def _report(
    lines: list[Line],
    benchmark: Any,
    benchmark_name: str,
    routed_pair: ModelPair,
    output: str,
    plot_optimal: bool = False,
    baselines: Sequence[Line] = (),
) -> None:
    weak = float(benchmark.get_model_accuracy(routed_pair.weak))
    _say(f"{routed_pair.weak} score: {weak}")
    strong = float(benchmark.get_model_accuracy(routed_pair.strong))
    _say(f"{routed_pair.strong} score: {strong}")
    best = None
    if plot_optimal:
        best = [(percent, float(benchmark.get_optimal_accuracy(percent / 100))) for percent in range(0, 101, 10)]
    path = f"{output}/{benchmark_name}.png"
    try:
        from ferroute.evals.plots import benchmark_figure

        figure = benchmark_figure(lines, benchmark_name, routed_pair, (weak, strong), best, baselines)
        _say(f"Saving plot to {path}")
        figure.savefig(path, bbox_inches="tight")
    except NotBuiltError as error:
        _say(f"No plot: {error}")
    rows = [_metrics(index, line, weak, strong) for index, line in enumerate(lines)]
    # NaN, where both models score the same, comes last.
    rows.sort(key=lambda row: (math.isnan(row[4]), -row[4]))
    _say(f"Metrics:\n {metrics_table(rows)}")


def _metrics(index: int, line: Line, weak: float, strong: float) -> tuple[int, str, list[float], float, float]:
    import numpy as np

    figures = _core.eval_figures(
        np.array([line.percent]),
        np.array([line.accuracy]),
        np.array([weak]),
        np.array([strong]),
        list(FRACTIONS),
    )[0].tolist()
    return index, line.method, figures[2:], figures[0], figures[1]


def pretty_print_results(
    threshold: float,
    accuracy: float,
    model_counts: Mapping[str, int],
    total: int,
    router: str = "router",
    benchmark: str = "benchmark",
) -> None:
    """Prints what one threshold of a router gives on a benchmark.

    Args:
        threshold: The threshold, 0..=1.
        accuracy: Percent of right answers, or the mean mark.
        model_counts: Calls by model.
        total: Number of prompts.
        router: The router's name.
        benchmark: The benchmark's name.
    """
    header = f"{'=' * 15} {router} with threshold {threshold} on {benchmark} {'=' * 15}"
    counts = ", ".join(f"{model}: {count}" for model, count in model_counts.items())
    shares = ", ".join(f"{model}: {count / total * 100:.3f}%" for model, count in model_counts.items())
    _say(f"\n{header}")
    _say(f"Average accuracy: {accuracy:.3f}")
    _say(f"Model counts: {counts}")
    _say(f"Model %: {shares}")
    _say(f"{'=' * len(header)}\n")


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - the program's output


def parser() -> argparse.ArgumentParser:
    """The command line: RouteLLM's flags, and ours after them."""
    made = argparse.ArgumentParser(
        prog="ferroute.evals.evaluate",
        description="Evaluate routers on benchmarks whose outcomes come with the package, or on outcomes of your own.",
    )
    routers = list(ROUTER_CLS)
    made.add_argument("--routers", nargs="+", default=["random"], choices=routers, help="routers to evaluate")
    made.add_argument(
        "--benchmark", nargs="+", choices=NAMES, metavar="NAME", help=f"one or more of {', '.join(NAMES)}"
    )
    made.add_argument("--output", default=".", help="folder of the pictures")
    made.add_argument(
        "--overwrite-cache",
        nargs="*",
        default=[],
        choices=routers,
        help="routers whose kept win rates are not to be used",
    )
    made.add_argument("--parallel", type=int, default=os.cpu_count(), help="accepted; all cores are used as needed")
    made.add_argument("--strong-model", default=benchmarks.STRONG)
    made.add_argument("--weak-model", default=benchmarks.WEAK)
    made.add_argument("--config", help="YAML file with the arguments of each router")
    made.add_argument("--num-results", type=int, default=10, help="intervals between thresholds")
    made.add_argument("--random-iters", type=int, default=10, help="rounds that the random router is averaged over")
    ours = made.add_argument_group("beyond RouteLLM")
    ours.add_argument("--data", metavar="FILE", help="your own outcomes: columns prompt, strong, weak[, costs]")
    ours.add_argument("--columns", metavar="A,B,C", help="their names, if others than prompt,strong,weak")
    ours.add_argument("--win-rates", metavar="FILE", help="evaluate these columns, one a router, as well")
    ours.add_argument("--bootstrap", type=int, default=1000, help="resamples for the intervals; 0: none")
    ours.add_argument("--seed", type=int, default=0, help="of the resamples")
    ours.add_argument("--on-ties", choices=("merge", "error"), default="merge", help="where thresholds coincide")
    _add_import(ours)
    ours.add_argument("--more-plots", action="store_true", help="also scores, reliability, and dollars where known")
    ours.add_argument("--plot-optimal", action="store_true", help="draw the best that any router could do")
    return made


def _add_import(to: Any) -> None:
    to.add_argument(
        "--import",
        dest="imports",
        action="append",
        default=[],
        metavar="MODULE",
        help="import this module first: yours, that adds to ROUTER_CLS",
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the program.

    Args:
        arguments: Words after the program's name; None: those of this process.
    """
    first = argparse.ArgumentParser(prog="ferroute.evals.evaluate", add_help=False, allow_abbrev=False)
    _add_import(first)
    try:
        # What these modules add to the registry may be named.
        import_modules(first.parse_known_args(arguments)[0].imports)
    except FerrouteError as error:
        first.exit(1, f"{first.prog}: {error}\n")
    made = parser()
    args = made.parse_args(arguments)
    if not args.benchmark and not args.data:
        made.error(f"--benchmark is required: one of {', '.join(NAMES)} (or --data with outcomes of your own)")
    for name, least in (("num_results", 1), ("random_iters", 1), ("bootstrap", 0), ("seed", 0)):
        if getattr(args, name) < least:
            made.error(f"--{name.replace('_', '-')}: expected {least} or more, found {getattr(args, name)}")
    if args.benchmark and len(args.benchmark) == 1:
        args.benchmark = args.benchmark[0]
    _say(str(args))
    try:
        _run(args)
    except (FerrouteError, OSError) as error:
        made.exit(1, f"{made.prog}: {error}\n")


def _run(args: argparse.Namespace) -> None:
    from ferroute import _lifecycle
    from ferroute.controller import Controller

    Path(args.output).mkdir(parents=True, exist_ok=True)
    # Outcomes of the models are read, none of them is called: that they have ended is no news here.
    with _lifecycle.told_to(lambda _: None):
        controller = Controller(
            routers=args.routers,
            config=read_config(args.config),
            strong_model=args.strong_model,
            weak_model=args.weak_model,
            progress_bar=True,
        )
    asked = [args.benchmark] if isinstance(args.benchmark, str) else args.benchmark or []
    for name in [*asked, *([None] if args.data else [])]:
        benchmark = _open(name, args, controller.model_pair)
        label = name or benchmark.name
        # Before any work: models without outcomes are an error that says so.
        for model in (controller.model_pair.weak, controller.model_pair.strong):
            benchmark.get_model_accuracy(model)
        columns = _columns(args.win_rates, benchmark)
        benchmark.cache.update(columns)
        _evaluate(args, controller, benchmark, label, dict.fromkeys([*controller.routers, *columns]))


def _open(name: str | None, args: argparse.Namespace, pair: ModelPair) -> Any:
    if name == "mmlu":
        from ferroute.evals.mmlu.domains import ALL_MMLU_DOMAINS

        _say("Running eval for full MMLU.")
        return benchmarks.MMLU(ALL_MMLU_DOMAINS, pair, args.overwrite_cache)
    if name == "mt-bench":
        _say("Running eval for MT Bench.")
        return benchmarks.MTBench(pair, args.overwrite_cache)
    if name == "gsm8k":
        _say("Running eval for GSM8k.")
        return benchmarks.GSM8K(pair, args.overwrite_cache)
    names = args.columns.split(",") if args.columns else [None, None, None]
    if len(names) != 3:
        raise InvalidValueError(f"--columns: expected three names such as prompt,strong,weak, found {args.columns!r}")
    _say(f"Running eval for {args.data}.")
    table = benchmarks.Table(args.data, pair, args.overwrite_cache, prompt=names[0], strong=names[1], weak=names[2])
    left_out = f", {table.skipped} rows without a score of both models left out" if table.skipped else ""
    _say(f"{len(table.prompts())} prompts{left_out}.")
    return table


def _columns(path: str | None, benchmark: Any) -> dict[str, Numbers]:
    """Columns of win rates for the benchmark's prompts, by name."""
    if path is None:
        return {}
    rows = len(benchmark.prompts())
    found: dict[str, Numbers] = {}
    for name, values in _core.read_columns(path).items():
        if isinstance(values, list) or _NUMBERING.fullmatch(name):
            continue  # texts
        if (values < -1e-6).any() or (values > 1 + 1e-6).any():
            sys.stderr.write(f"{path}: column {name} is left out: its numbers are not between 0 and 1\n")
            continue
        if values.size != rows:
            raise InvalidValueError(f"{path}: column {name} has {values.size} win rates for {rows} prompts")
        found[name] = finite(f"{path}: column {name}", column(name, values))
    if not found:
        raise InvalidValueError(f"{path}: no column of win rates between 0 and 1")
    return found


_NUMBERING = re.compile(r"|row|index|Unnamed: \d+|__index_level_\d+__")
"""Columns that number the rows, as `ferroute collect` and pandas write them."""


def _evaluate(args: argparse.Namespace, controller: Any, benchmark: Any, label: str, routers: Iterable[str]) -> None:
    lines: list[Line] = []
    rates: dict[str, Numbers] = {}
    for router in routers:
        # Reproducible router by router, as RouteLLM has it.
        random.seed(0)
        if router == "random" and router not in benchmark.cache:
            lines.append(_averaged(args, controller, benchmark, router))
            continue
        points: list[tuple[float, float]] = []
        for threshold, accuracy, counts, total in benchmark.evaluate(
            controller, router, args.num_results, False, on_ties=args.on_ties
        ):
            _say(f"Evaluating router: {router} with threshold {threshold}...")
            pretty_print_results(threshold, accuracy, counts, total, router, label)
            points.append((counts.get(controller.model_pair.strong, 0) / total * 100, accuracy))
        rates[router] = benchmark.cache[router]
        if len(points) < args.num_results + 1:
            _say(f"{router}: equal win rates, {len(points)} of {args.num_results + 1} thresholds are different.")
        lines.append(_line(router, points))
    compared = benchmark.compare_scores(
        {_named(name): values for name, values in rates.items()},
        args.num_results,
        bootstrap=args.bootstrap,
        seed=args.seed,
    )
    for line in lines:
        if line.method in rates:
            _add_bands(line, compared[_named(line.method)])
        elif line.method == "random":  # averaged
            _add_bands(line, compared["random mixing"])
    _report(
        lines, benchmark, label, controller.model_pair, args.output, args.plot_optimal, list(_baseline_lines(compared))
    )
    if args.more_plots:
        _draw_more(benchmark, rates, compared, f"{args.output}/{label}")
    _say(f"\nWith baselines:\n{compared!r}")
    if warning := benchmarks.seen(benchmark, rates):
        _say(f"Note: {warning}.")
    _say("")


def _draw_more(benchmark: Any, rates: Mapping[str, Numbers], compared: Comparison, path: str) -> None:
    """Scores with their thresholds and reliability of each router, and dollars where they are known."""
    from ferroute.evals import plots

    def save(name: str, draw: Callable[..., object], size: tuple[float, float] = (6.4, 4.6)) -> None:
        figure = plots.new_figure(size)
        draw(ax=figure.subplots())
        _say(f"Saving plot to {path}-{name}.png")
        figure.savefig(f"{path}-{name}.png")

    try:
        if compared["random mixing"].has_costs:
            save("cost", partial(plots.plot, compared, "cost"))
        for router, values in rates.items():
            draw = partial(plots.plot, compared.routers[_named(router)], "scores")
            save(f"{router}-scores", draw)
            draw = partial(plots.reliability_diagram, values, *benchmark.scores(), label=router)
            save(f"{router}-reliability", draw, (4.8, 4.8))
    except NotBuiltError:
        return  # the reason was given where the first picture is missing


def _named(router: str) -> str:
    """A router's name in a comparison, where the baselines' names are taken."""
    return f"{router} (router)" if router in _BASELINES else router


_BASELINES = ("random mixing", "prompt length", "regex rules", "optimum")


def _line(method: str, points: Sequence[tuple[float, float]], bands: Numbers | None = None) -> Line:
    import numpy as np

    rising = sorted(points)
    return Line(method, np.array([x for x, _ in rising]), np.array([y for _, y in rising]), bands)


def _add_bands(line: Line, result: Any) -> None:
    """Bands of a comparison's result, whose points fall in percentage."""
    if result.bands is not None and len(result.bands) == len(line.percent):
        line.bands = result.bands[::-1]


def _averaged(args: argparse.Namespace, controller: Any, benchmark: Any, router: str) -> Line:
    """The mean accuracy at each percentage of strong calls, over rounds of other draws."""
    found: defaultdict[float, list[float]] = defaultdict(list)
    # Nothing to watch.
    controller.progress_bar = False
    for _ in range(args.random_iters):
        for _threshold, accuracy, counts, total in benchmark.evaluate(
            controller, router, args.num_results, True, on_ties=args.on_ties
        ):
            found[counts.get(controller.model_pair.strong, 0) / total * 100].append(accuracy)
    controller.progress_bar = True
    return _line(router, [(percent, sum(values) / len(values)) for percent, values in found.items()])


def _baseline_lines(compared: Comparison) -> Iterable[Line]:
    for name in ("prompt length", "regex rules"):
        points = compared[name].points
        yield _line(name, list(zip(points.strong_percentage.tolist(), points.accuracy.tolist(), strict=True)))


if __name__ == "__main__":
    main()
