"""The commands that judge routers, `evaluate` and `collect`, and their options."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer looks it up
from typing import Annotated

import typer

from ferroute.cli._options import Config, Limit, Strong, Weak, controller_of
from ferroute.cli._run import ending

judging = typer.Typer()


@judging.command(
    epilog="Example: ferroute evaluate --benchmark mt-bench --router local --png quality.png"
    "\n\nExample: ferroute evaluate --data outcomes.parquet --router local --router random"
)
def evaluate(
    context: typer.Context,
    benchmark: Annotated[
        str | None, typer.Option(metavar="NAME", help="mmlu, gsm8k or mt-bench.", show_default=False)
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="Or your own outcomes: Parquet, Arrow, JSONL or CSV.", exists=True, show_default=False
        ),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(metavar="A,B,C", help="Their columns. (default: prompt,strong,weak)", show_default=False),
    ] = None,
    router: Annotated[
        list[str] | None,
        typer.Option(help="Name of a router; repeat it to compare. (default: local)", show_default=False),
    ] = None,
    config: Config = None,
    imports: Annotated[
        list[str] | None,
        typer.Option(
            "--import",
            metavar="MODULE",
            help="Import this module first: yours, that adds to ROUTER_CLS.",
            show_default=False,
        ),
    ] = None,
    num_results: Annotated[int, typer.Option(min=1, help="Intervals between thresholds.")] = 10,
    bootstrap: Annotated[int, typer.Option(min=0, help="Resamples for the intervals; 0: none.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of the resamples, and of the random router.")] = 0,
    png: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Write the picture here.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")] = False,
) -> None:
    """Judge routers on prompts whose answers by two models are marked, beside baselines, with intervals.

    RouteLLM's program with its flags and output is python -m ferroute.evals.evaluate.
    """
    with ending(context.obj):
        from ferroute._imports import import_modules
        from ferroute.cli import evaluate as command

        import_modules(imports or ())
        opened = command.open_benchmark(benchmark, data, columns)
        routers = list(dict.fromkeys(router or ["local"]))
        controller = controller_of(routers, opened.routed_pair.strong, opened.routed_pair.weak, config)
        command.evaluate(
            opened,
            controller,
            routers,
            num_results=num_results,
            bootstrap=bootstrap,
            seed=seed,
            png=png,
            as_json=as_json,
        )


@judging.command(
    epilog="Example: ferroute collect --file test.jsonl --score choice --strong gpt-5.5 --weak gpt-5.4-mini"
    " --output outcomes.parquet"
)
def collect(
    context: typer.Context,
    file: Annotated[
        Path,
        typer.Option("--file", "-f", metavar="PATH", help="Prompts: JSONL, CSV, Parquet, Arrow or text.", exists=True),
    ],
    score: Annotated[
        str,
        typer.Option(help="exact, contains, choice, number, regex, regex:PATTERN or judge:MODEL."),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="PATH", help="Outcomes; .parquet or .jsonl. Resumed if there.")
    ],
    strong: Strong = "gpt-5.5",
    weak: Weak = "gpt-5.4-mini",
    column: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Column of prompts. (default: prompt, question, text)", show_default=False),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Column of right answers. (default: reference, answer, target)", show_default=False
        ),
    ] = None,
    limit: Limit = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Calls in flight at most.")] = 8,
    keep_answers: Annotated[bool, typer.Option("--keep-answers", help="Keep the texts of the answers.")] = False,
    system: Annotated[
        str | None, typer.Option(help="A system message before every prompt.", show_default=False)
    ] = None,
    temperature: Annotated[float | None, typer.Option(help="(default: the model's)", show_default=False)] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="(default: the model's)", show_default=False)] = None,
    strong_base: Annotated[
        str | None, typer.Option(metavar="URL", help="Server of the strong model.", show_default=False)
    ] = None,
    weak_base: Annotated[
        str | None, typer.Option(metavar="URL", help="Server of the weak model.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")] = False,
) -> None:
    """Ask two models the same prompts, mark their answers, keep the outcomes for evaluate.

    Keys come from the providers' environment variables. A run that was stopped goes on where it was.
    """
    with ending(context.obj):
        from ferroute.cli import collect as command

        options = {"temperature": temperature, "max_tokens": max_tokens}
        code = command.run(
            file,
            {"model": strong, **({"api_base": strong_base} if strong_base else {})},
            {"model": weak, **({"api_base": weak_base} if weak_base else {})},
            score,
            output,
            column=column,
            reference=reference,
            limit=limit,
            concurrency=concurrency,
            keep_answers=keep_answers,
            system=system,
            options={name: value for name, value in options.items() if value is not None},
            as_json=as_json,
        )
        if code:
            raise typer.Exit(code)
