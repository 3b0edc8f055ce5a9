"""The commands and their options; each command's work is in a file of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ferroute.cli._auditing import auditing
from ferroute.cli._doctoring import doctoring
from ferroute.cli._judging import judging
from ferroute.cli._keys import keeping
from ferroute.cli._options import (
    ColumnName,
    Config,
    File,
    Format,
    Limit,
    Prompts,
    SkipBad,
    Strong,
    Weak,
    controller_of,
    read_config,
    share_of,
    threshold_of,
)
from ferroute.cli._proving import proving
from ferroute.cli._rules import ruling
from ferroute.cli._run import UsageProblem, ending
from ferroute.cli._serving import serving
from ferroute.cli._training import training

app = typer.Typer(
    name="ferroute",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Send each prompt to the cheapest language model that is good enough.",
    epilog="Exit codes: 0 done, 1 something failed, 2 the command was not understood, 3 the prompts could not be read.",
)
app.add_typer(training, name="train")
app.add_typer(ruling, name="rules")
app.add_typer(keeping, name="keys")


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and stop.")] = False,
    debug: Annotated[bool, typer.Option("--debug", envvar="FERROUTE_DEBUG", help="Show tracebacks of errors.")] = False,
) -> None:
    if version:
        _version()
        raise typer.Exit
    context.obj = debug


@app.command(
    epilog='Example: ferroute route "What is 2+2?" "Prove that there is no largest prime." --share 50%'
    "\n\nExample: ferroute route --file prompts.jsonl --threshold 0.6 --json > decisions.jsonl"
    '\n\nExample: ferroute route "What is 2+2?" --threshold 0.6 --explain'
)
def route(
    context: typer.Context,
    prompts: Prompts = None,
    file: File = None,
    router: Annotated[str, typer.Option(help="Name of the router.")] = "local",
    share: Annotated[
        str | None,
        typer.Option(metavar="PERCENT", help="Share of calls to the strong model. (default: 30%)", show_default=False),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            help="Or: win rate from which on the strong model answers. Higher = fewer strong calls.", show_default=False
        ),
    ] = None,
    strong: Strong = "gpt-5.5",
    weak: Weak = "gpt-5.4-mini",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, for programs.")] = False,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Show what each decision is made of, and what would have changed it."),
    ] = False,
    column: ColumnName = None,
    format: Format = None,  # noqa: A002
    limit: Limit = None,
    skip_bad: SkipBad = False,
    config: Config = None,
) -> None:
    """Show which model each prompt would go to, and why. No model is called.

    A share is ranked among the prompts seen so far, as it would be in a running service.

    Fields of --json: row, prompt, model, router, win_rate, threshold, share, warmup, reason, routing_us, notes; with
    --explain explanation too.
    """
    with ending(context.obj):
        from ferroute.cli import route as command
        from ferroute.cli._inputs import Source

        cut = threshold_of(share, threshold)
        source = Source.of(prompts or [], file, format, column, skip_bad, limit)
        command.route(
            source, controller_of([router], strong, weak, config), router, cut, as_json=as_json, explain=explain
        )


@app.command(
    epilog="Example: ferroute score --file prompts.csv --router local --router random --output scores.csv"
    '\n\nExample: echo "What is 2+2?" | ferroute score --json'
)
def score(
    context: typer.Context,
    prompts: Prompts = None,
    file: File = None,
    router: Annotated[
        list[str] | None,
        typer.Option(help="Name of a router; repeat it to compare. (default: local)", show_default=False),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="PATH", help="File to write; .csv, .jsonl or .parquet.", show_default=False
        ),
    ] = None,
    layout: Annotated[
        str | None,
        typer.Option(
            "--as",
            metavar="LAYOUT",
            help="table, csv, jsonl or parquet. (default: by --output, else table)",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Short for --as jsonl.")] = False,
    column: ColumnName = None,
    format: Format = None,  # noqa: A002
    limit: Limit = None,
    skip_bad: SkipBad = False,
    config: Config = None,
) -> None:
    """Score prompts: the win rate of each, under one router or several.

    Columns of CSV and Parquet: row, prompt, then a router's name each. Fields of JSONL: row, prompt, win_rates (router:
    number). With several files, the file comes first. Rows are streamed, so files may be larger than memory.
    """
    with ending(context.obj):
        from ferroute.cli import score as command
        from ferroute.cli._inputs import Source

        if as_json and layout not in {None, "jsonl"}:
            raise UsageProblem(f"--json and --as {layout} contradict each other")
        wanted = "jsonl" if as_json else layout or command.layout_of(output)
        if wanted not in {"table", "csv", "jsonl", "parquet"}:
            raise UsageProblem(f"--as: expected table, csv, jsonl or parquet, found {wanted}")
        if wanted == "table" and output is not None:
            raise UsageProblem("a table is for reading here: --output takes csv, jsonl or parquet")
        source = Source.of(prompts or [], file, format, column, skip_bad, limit, output)
        routers = list(dict.fromkeys(router or ["local"]))
        # The names of models play no part in scores.
        controller = controller_of(routers, "strong", "weak", config)
        command.score(source, controller, routers, layout=wanted, output=output)


@app.command(
    epilog="Example: ferroute calibrate --router local --file prompts.jsonl --share 10% --share 30%"
    "\n\nExample: ferroute calibrate --router mf --win-rates scores.csv"
)
def calibrate(
    context: typer.Context,
    router: Annotated[str, typer.Option(help="Name of the router.")] = "local",
    share: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PERCENT", help="Wanted share of strong calls; repeat it. (default: a few)", show_default=False
        ),
    ] = None,
    file: File = None,
    win_rates: Annotated[
        str | None,
        typer.Option(
            "--win-rates",
            metavar="TABLE",
            help="Or: a table with a column of win rates called like the router. Neither: published ones.",
            show_default=False,
        ),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="Save the calibration table here. (default: with --file, where Controllers find it)",
            show_default=False,
        ),
    ] = None,
    no_save: Annotated[bool, typer.Option("--no-save", help="Save no table.")] = False,
    confidence: Annotated[float, typer.Option(min=0.0, max=0.9999, help="Of the intervals.")] = 0.95,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")] = False,
    column: ColumnName = None,
    format: Format = None,  # noqa: A002
    limit: Limit = None,
    skip_bad: SkipBad = False,
    config: Config = None,
) -> None:
    """Find the threshold for a share of strong calls, on your own prompts.

    The table that is saved turns router-NAME-30% into a fixed threshold, for this router and configuration.

    Fields of --json: router, source, n, thresholds (asked, threshold, share, interval, confidence), saved.
    """
    with ending(context.obj):
        from ferroute.cli import calibrate as command
        from ferroute.cli._inputs import Source

        if file is not None and win_rates is not None:
            raise UsageProblem("give --file or --win-rates, not both")
        if save is not None and no_save:
            raise UsageProblem("--save and --no-save contradict each other")
        shares = [float(share_of(text)) for text in share or ("5%", "10%", "20%", "30%", "50%", "70%", "90%")]
        source = None if file is None else Source.of([], file, format, column, skip_bad, limit)
        name = "prompts of standard input" if file == "-" else f"prompts of {Path(file or '').name}"
        scores = command.scores_of(router, source, win_rates, read_config(config), name)
        saved = None
        if scores.sample and not no_save and (save is not None or file is not None):
            saved = scores.table().save(save)
        command.show(scores, shares, confidence, saved, as_json=as_json)


@app.command(epilog="Example: ferroute demo --png share.png --strong claude-opus-4-5 --weak claude-haiku-4-5")
def demo(
    context: typer.Context,
    png: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Write the picture here, too.", show_default=False)
    ] = None,
    prompts: Annotated[
        int | None, typer.Option(min=20, help="Draw this many of the prompts. (default: all)", show_default=False)
    ] = None,
    share: Annotated[str, typer.Option(metavar="PERCENT", help="Share of calls to the strong model.")] = "30%",
    strong: Strong = "gpt-5.5",
    weak: Weak = "gpt-5.4-mini",
    requests: Annotated[int, typer.Option(min=1, help="Requests on the bill.")] = 1_000_000,
    output_tokens: Annotated[int, typer.Option(min=0, help="Assumed tokens of an answer.")] = 300,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")] = False,
) -> None:
    """Route real prompts offline: where they go, what it would cost, and a picture.

    The prompts are those of GSM8K and MT-Bench; prices are from the package. No key, no network, no model is called.

    Fields of --json: model, strong_model, weak_model, share, requests, output_tokens, sample, mix, bill, all_strong,
    saving, png.
    """
    with ending(context.obj):
        from ferroute.cli import demo as command
        from ferroute.errors import NotBuiltError

        report = command.run(
            share=share_of(share),
            strong=strong,
            weak=weak,
            prompts=prompts,
            requests=requests,
            output_tokens=output_tokens,
        )
        written, problem = None, None
        if png is not None:
            try:
                written = command.write_png(report, png)
            except NotBuiltError as error:
                problem = error
        command.show(report, written, as_json=as_json)
        if problem is not None:
            raise problem


for _group in (judging, auditing, proving, serving, doctoring):
    app.registered_commands += _group.registered_commands


@app.command(
    epilog="Example: ferroute spend --ledger calls.db --since 7d"
    "\n\nExample: ferroute spend --ledger postgresql://me@db/calls --router mf --json"
)
def spend(
    context: typer.Context,
    ledger: Annotated[
        str,
        typer.Option(
            "--ledger",
            "-l",
            envvar="FERROUTE_LEDGER",
            metavar="URL|PATH",
            help="sqlite:///calls.db, postgresql://..., or the path of an SQLite file.",
            show_default=False,
        ),
    ],
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="From here on: 7d, 24h, 30min, or an ISO date or time.", show_default=False),
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Before here.", show_default=False)] = None,
    router: Annotated[str | None, typer.Option(help="Calls decided by this router.", show_default=False)] = None,
    model: Annotated[str | None, typer.Option(help="Calls of this model.", show_default=False)] = None,
    strong: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL", help="The strong model, where calls were routed by shares or ladders.", show_default=False
        ),
    ] = None,
    weak: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL", help="The weak model, whose answers beside the strong one's count.", show_default=False
        ),
    ] = None,
    passing: Annotated[float, typer.Option(help="An outcome with at least this score counts as success.")] = 0.5,
    png: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Write a picture here, too.", show_default=False)
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="One line a model, for spreadsheets.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")] = False,
) -> None:
    """Show what calls cost and what routing saved, by model.

    The estimated saving compares with a forecast of the same calls at the strong model; the measured one needs a
    holdout. What is known of the quality comes from outcomes in the ledger; without them it says "not measured". Money
    of --json is text, in US dollars; an unknown price is counted as unpriced, never as 0.

    Fields of --json: queries, ok, cancelled, failed, unpriced, tokens, cost, router_cost, total, cost_per_query,
    baseline, saved, saved_share, saving, accuracies, shadow_cost, models, routers, first_token, latency, lost.
    """
    with ending(context.obj):
        from ferroute.cli import spend as command

        if as_csv and as_json:
            raise UsageProblem("--csv and --json contradict each other")
        command.spend(
            ledger,
            since=since,
            until=until,
            router=router,
            model=model,
            strong=strong,
            weak=weak,
            passing=passing,
            png=png,
            as_csv=as_csv,
            as_json=as_json,
        )


@app.command(
    epilog="Example: ferroute failures --ledger calls.db --since 7d"
    "\n\nExample: ferroute failures --ledger postgresql://me@db/calls --png failures.png"
)
def failures(
    context: typer.Context,
    ledger: Annotated[
        str,
        typer.Option(
            "--ledger",
            "-l",
            envvar="FERROUTE_LEDGER",
            metavar="URL|PATH",
            help="sqlite:///calls.db, postgresql://..., or the path of an SQLite file.",
            show_default=False,
        ),
    ],
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="From here on: 7d, 24h, 30min, or an ISO date or time.", show_default=False),
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Before here.", show_default=False)] = None,
    router: Annotated[str | None, typer.Option(help="Calls decided by this router.", show_default=False)] = None,
    model: Annotated[str | None, typer.Option(help="Calls of this model.", show_default=False)] = None,
    png: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Write a picture here, too.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")] = False,
) -> None:
    """Show answers that can be seen to have failed, by rung and kind of task.

    Signs: empty, refusal, truncated, invalid_json, invalid_schema, bad_tool_arguments, asked_again.

    Fields of --json: calls, failed, rate, signs, groups (rung, model, task, calls, failed, rate, low, high, escalated,
    errors and the signs), forgotten.
    """
    with ending(context.obj):
        from ferroute.cli import failures as command

        command.failures(ledger, since=since, until=until, router=router, model=model, png=png, as_json=as_json)


@app.command()
def version(context: typer.Context) -> None:
    """Show the version."""
    with ending(context.obj):
        _version()


def _version() -> None:
    from ferroute import _core

    typer.echo(f"ferroute {_core.__version__}" + (" (debug build)" if _core.DEBUG_BUILD else ""))
