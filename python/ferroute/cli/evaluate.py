"""``ferroute evaluate``: routers on a benchmark, or on outcomes of your own, with intervals and baselines."""

from __future__ import annotations

import contextlib
import io
import math
import random
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from ferroute.cli._output import console, json_line, note
from ferroute.cli._run import UsageProblem
from ferroute.evals import benchmarks
from ferroute.evals._tables import FORMATS, caption

if TYPE_CHECKING:
    from pathlib import Path

    from ferroute.controller import Controller
    from ferroute.evals.comparison import Comparison
    from ferroute.evals.results import RouterResult

WIDE = 120

BENCHMARKS = {"mmlu": benchmarks.MMLU, "gsm8k": benchmarks.GSM8K, "mt-bench": benchmarks.MTBench}


def open_benchmark(name: str | None, data: Path | None, columns: str | None) -> Any:
    """The benchmark by its name, or outcomes in a file.

    Raises:
        UsageProblem: Neither or both are given, or the name is unknown.
    """
    if (name is None) == (data is None):
        raise UsageProblem(f"give --benchmark ({', '.join(BENCHMARKS)}) or --data with outcomes of your own")
    if data is not None:
        names = columns.split(",") if columns else ["prompt", None, None]
        if len(names) != 3:
            raise UsageProblem(f"--columns: expected three names such as prompt,strong,weak, found {columns}")
        return benchmarks.Table(data, prompt=names[0], strong=names[1], weak=names[2])
    if name not in BENCHMARKS:
        raise UsageProblem(f"--benchmark: expected one of {', '.join(BENCHMARKS)}, found {name}")
    # RouteLLM's lines belong to RouteLLM's program.
    with contextlib.redirect_stdout(io.StringIO()):
        return BENCHMARKS[str(name)]()


def evaluate(
    benchmark: Any,
    controller: Controller,
    routers: list[str],
    *,
    num_results: int,
    bootstrap: int,
    seed: int,
    png: Path | None,
    as_json: bool,
) -> None:
    """Scores, compares, prints, draws."""
    random.seed(seed)
    compared = benchmark.compare(controller, routers, num_results, bootstrap=bootstrap, seed=seed)
    if png is not None:
        from ferroute.evals.plots import new_figure

        figure = new_figure()
        compared.plot(ax=figure.subplots())
        figure.savefig(png)
    if as_json:
        json_line(_record(benchmark, compared))
        return
    out = console()
    out.print(table(compared, out.width))
    out.print(Text(caption(list(compared.routers.values())), style="dim"))
    if skipped := getattr(benchmark, "skipped", 0):
        note(f"{skipped:,} rows without a score of both models were left out")
    if warning := benchmarks.seen(benchmark, routers):
        note(warning)
    if png is not None:
        out.print(f"Picture: {png}")


def table(compared: Comparison, width: int) -> Table:
    """The figures, each with its interval on a line below; fewer of them where there is little room."""
    results = compared.sorted()
    columns = list(dict.fromkeys(name for result in results for name in result.summary()))
    for name in ("20% qual", "80% qual"):
        if width < WIDE:
            columns.remove(name)
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    made.add_column("", no_wrap=True)
    for name in columns:
        made.add_column(name, justify="right")
    for result in results:
        known = result.name in compared.baselines
        made.add_row(Text(result.name, style="dim" if known else "bold"), *_cells(result, columns))
    for name, score in (("always strong", compared.strong_score), ("always weak", compared.weak_score)):
        cells = [_cell(column, score) if column == "AUC" else Text("-", style="dim") for column in columns]
        made.add_row(Text(name, style="dim"), *cells)
    return made


def _cells(result: RouterResult, columns: list[str]) -> list[Text]:
    summary = result.summary()
    return [_cell(name, summary[name]) if name in summary else Text("-", style="dim") for name in columns]


def _cell(name: str, value: Any) -> Text:
    shown = value.show(FORMATS.get(name, ".1f"), "" if name in FORMATS else "%")
    figure, _, interval = shown.partition(" ")
    return Text(figure).append(f"\n{interval.strip('()')}", style="dim") if interval else Text(figure)


def _record(benchmark: Any, compared: Comparison) -> dict[str, Any]:
    return {
        "benchmark": benchmark.name,
        "prompts": len(benchmark.prompts()),
        "bootstrap": compared.settings.bootstrap,
        "confidence": compared.settings.confidence,
        "results": [{key: _plain(value) for key, value in record.items()} for record in compared.records()],
        "points": {
            name: [dict(zip(result.points.dtype.names, row, strict=True)) for row in result.points.tolist()]
            for name, result in compared.routers.items()
        },
    }


def _plain(value: Any) -> Any:
    # NaN is not JSON.
    return None if isinstance(value, float) and math.isnan(value) else value
