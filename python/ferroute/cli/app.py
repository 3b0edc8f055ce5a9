"""The commands and their options; each command's work is in a file of its own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ferroute.cli._run import UsageProblem, ending

if TYPE_CHECKING:
    from ferroute.controller import Controller

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

Prompts = Annotated[
    list[str] | None, typer.Argument(help="Prompts; none: from --file or standard input.", show_default=False)
]
File = Annotated[
    str | None,
    typer.Option(
        "--file",
        "-f",
        metavar="PATH",
        help="Text, JSONL, CSV or Parquet: a file, a folder, a pattern; - is standard input.",
        show_default=False,
    ),
]
Format = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="text, jsonl, csv or parquet. (default: by the file's extension)", show_default=False
    ),
]
ColumnName = Annotated[
    str | None,
    typer.Option(
        "--column",
        metavar="NAME",
        show_default=False,
        help="Field or column with the prompt. (default: prompt, messages, question or text)",
    ),
]
Limit = Annotated[int | None, typer.Option(min=1, help="Stop after this many prompts.", show_default=False)]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave out rows without a usable prompt, and count them.")]
Config = Annotated[
    Path | None,
    typer.Option(
        metavar="YAML", exists=True, dir_okay=False, help="Arguments of each router, by name.", show_default=False
    ),
]
Strong = Annotated[str, typer.Option(help="Model for hard prompts.")]
Weak = Annotated[str, typer.Option(help="Model for all others.")]


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
    strong: Strong = "gpt-5.2",
    weak: Weak = "gpt-5-mini",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, for programs.")] = False,
    column: ColumnName = None,
    format: Format = None,  # noqa: A002
    limit: Limit = None,
    skip_bad: SkipBad = False,
    config: Config = None,
) -> None:
    """Show which model each prompt would go to, and why. No model is called.

    A share is ranked among the prompts seen so far, as it would be in a running service.

    Fields of --json: row, prompt, model, router, win_rate, threshold, share, warmup, reason, routing_us, notes.
    """
    with ending(context.obj):
        from ferroute.cli import route as command
        from ferroute.cli._inputs import Source

        cut = _cut(share, threshold)
        source = Source.of(prompts or [], file, format, column, skip_bad, limit)
        command.route(source, _controller([router], strong, weak, config), router, cut, as_json=as_json)


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
        controller = _controller(routers, "strong", "weak", config)
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
        shares = [float(_share(text)) for text in share or ("5%", "10%", "20%", "30%", "50%", "70%", "90%")]
        source = None if file is None else Source.of([], file, format, column, skip_bad, limit)
        name = "prompts of standard input" if file == "-" else f"prompts of {Path(file or '').name}"
        scores = command.scores_of(router, source, win_rates, _read_config(config), name)
        saved = None
        if scores.sample and not no_save and (save is not None or file is not None):
            saved = scores.table().save(save)
        command.show(scores, shares, confidence, saved, as_json=as_json)


training = typer.Typer(no_args_is_help=True, help="Train a router from data of your own.")
app.add_typer(training, name="train")


@training.command(
    epilog="Example: ferroute train mf --battles battles.jsonl --embedder local --output my_mf"
    "\n\nExample: ferroute train mf --battles battles.json --embeddings embeddings.npy"
    " --embedder text-embedding-3-small --output my_mf"
)
def mf(
    context: typer.Context,
    battles: Annotated[
        str, typer.Option(metavar="PATH", help="JSON, JSONL, CSV, Parquet, Arrow, a folder or a Hub data set.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder of the checkpoint.")],
    embeddings: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help=".npy, Parquet or Arrow: embeddings of the prompts; row = idx of a battle.",
            show_default=False,
        ),
    ] = None,
    embedder: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="'local' or an embedding model; without --embeddings it embeds the prompts.",
            show_default=False,
        ),
    ] = None,
    api_base: Annotated[
        str | None,
        typer.Option(metavar="URL", help="OpenAI-compatible endpoint of the embedding model.", show_default=False),
    ] = None,
    dimensions: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Width the endpoint is asked for.", show_default=False),
    ] = None,
    instruction: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Put before every prompt that is embedded.", show_default=False),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A name of the table; repeat it in the order of rows. (default: the standard 64, or those found)",
            show_default=False,
        ),
    ] = None,
    dim: Annotated[int, typer.Option(help="Numbers in a model's row.")] = 128,
    no_proj: Annotated[bool, typer.Option("--no-proj", help="No projection; --dim is the embeddings' width.")] = False,
    epochs: Annotated[int, typer.Option(help="Passes over the battles at most.")] = 100,
    patience: Annotated[
        int, typer.Option(help="End after so many epochs without a smaller held-out loss; 0: never.")
    ] = 10,
    batch_size: Annotated[int, typer.Option(help="Battles in a batch.")] = 64,
    lr: Annotated[float, typer.Option(help="Learning rate of Adam.")] = 3e-4,
    weight_decay: Annotated[float, typer.Option(help="Weight decay of Adam.")] = 1e-5,
    alpha: Annotated[float, typer.Option(help="Deviation of the noise on embeddings.")] = 0.1,
    split: Annotated[float, typer.Option(help="Share of the battles trained on; the rest is held out.")] = 0.95,
    ties: Annotated[
        str, typer.Option(metavar="drop|half", help="Leave ties out, or take them as half a win each.")
    ] = "drop",
    seed: Annotated[int, typer.Option(help="Equal seeds give equal bytes.")] = 42,
    threads: Annotated[
        int | None, typer.Option(help="At most so many. (default: one for each processor)", show_default=False)
    ] = None,
    date: Annotated[str | None, typer.Option(help="A date for the report.", show_default=False)] = None,
) -> None:
    """Train a matrix factorisation from battles between models, on the CPU.

    A battle has model_a, model_b, winner (model_a, model_b or tie), and idx (a row of the embeddings) or
    prompt. Beside the checkpoint, training.json and training.txt report losses and held-out accuracy.
    """
    with ending(context.obj):
        import sys

        from ferroute.routers.matrix_factorization.report import check_output
        from ferroute.routers.matrix_factorization.train_matrix_factorization import train

        source: Any = embedder
        asked = {"api_base": api_base, "dimensions": dimensions, "instruction": instruction}
        asked = {name: value for name, value in asked.items() if value is not None}
        if asked and embedder == "local":
            raise UsageProblem(f"--{next(iter(asked)).replace('_', '-')} is for an endpoint, not for --embedder local")
        if asked:
            source = {"model": embedder or "text-embedding-3-small", **asked}
        check_output(output)
        trained = train(
            battles,
            embeddings,
            embedder=source,
            models=model,
            dim=dim,
            epochs=epochs,
            patience=patience or None,
            batch_size=batch_size,
            lr=lr,
            weight_decay=weight_decay,
            alpha=alpha,
            use_proj=not no_proj,
            split=split,
            ties=ties,
            seed=seed,
            threads=threads,
            progress=sys.stderr.isatty(),
            date=date,
        )
        trained.save(output)
        typer.echo(f"{trained.report}\nwritten to {output}")


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
    strong: Strong = "gpt-5.2",
    weak: Weak = "gpt-5-mini",
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
            share=_share(share),
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


@app.command(
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
        controller = _controller(routers, opened.routed_pair.strong, opened.routed_pair.weak, config)
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


@app.command(
    epilog="Example: ferroute collect --file test.jsonl --score choice --strong gpt-5.2 --weak gpt-5-mini"
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
    strong: Strong = "gpt-5.2",
    weak: Weak = "gpt-5-mini",
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
    png: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Write a picture here, too.", show_default=False)
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="One line a model, for spreadsheets.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")] = False,
) -> None:
    """Show what calls cost and what routing saved, by model.

    The estimated saving compares with a forecast of the same calls at the strong model; the measured one needs a
    holdout. Money of --json is text, in US dollars; an unknown price is counted as unpriced, never as 0.

    Fields of --json: queries, ok, cancelled, failed, unpriced, tokens, cost, router_cost, total, cost_per_query,
    baseline, saved, saved_share, saving, models, routers, first_token, latency, lost.
    """
    with ending(context.obj):
        from ferroute.cli import spend as command

        if as_csv and as_json:
            raise UsageProblem("--csv and --json contradict each other")
        command.spend(
            ledger, since=since, until=until, router=router, model=model, png=png, as_csv=as_csv, as_json=as_json
        )


@app.command()
def version(context: typer.Context) -> None:
    """Show the version."""
    with ending(context.obj):
        _version()


def _version() -> None:
    from ferroute import _core

    typer.echo(f"ferroute {_core.__version__}" + (" (debug build)" if _core.DEBUG_BUILD else ""))


def _cut(share: str | None, threshold: float | None) -> float:
    """The threshold, or the share in its place."""
    if share is not None and threshold is not None:
        raise UsageProblem("give --share or --threshold, not both")
    return _share(share or "30%") if threshold is None else threshold


def _share(text: str) -> float:
    from ferroute.decision import Share

    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*%\s*", text)
    if not found or float(found[1]) > 100:
        raise UsageProblem(f"--share: expected a percentage such as 30%, found {text}")
    return Share(float(found[1]) / 100)


def _controller(routers: list[str], strong: str, weak: str, config: Path | None) -> Controller:
    from ferroute.controller import Controller

    return Controller(routers, strong_model=strong, weak_model=weak, config=_read_config(config))


def _read_config(path: Path | None) -> dict[str, Any] | None:
    from ferroute._config import read_config
    from ferroute.errors import FerrouteError

    try:
        return read_config(path)
    except FerrouteError as error:
        raise UsageProblem(f"--config {error}") from None
