"""The commands around the server: `serve`, which is started elsewhere, and `check`, and their options."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer looks it up
from typing import Annotated

import typer

from ferroute.cli._run import FAILED, UsageProblem, ending

serving = typer.Typer()
# The server's own parser reads them, and answers --help.
_ITS_OWN = {"ignore_unknown_options": True, "allow_extra_args": True}


@serving.command(context_settings=_ITS_OWN, add_help_option=False)
def serve(context: typer.Context) -> None:
    """Serve routers and models over HTTP, for every client of OpenAI, Anthropic and Responses."""
    from ferroute.cli.serve import main

    main(context.args)


@serving.command(
    epilog="Example: ferroute check gateway.yaml"
    "\n\nExample: ferroute check new.yaml --replay prompts.jsonl --against old.yaml --max-cost-increase 5%"
    "\n\nExit codes: 0 no mistake, and no limit exceeded; 1 one of these; 2 not understood, or no such file; 3 the "
    "prompts could not be read."
)
def check(
    context: typer.Context,
    config: Annotated[
        Path | None, typer.Argument(metavar="CONFIG", help="A configuration of `ferroute serve`.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object (a line), for programs.")] = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON schema of configurations.")] = False,
    replay: Annotated[
        Path | None,
        typer.Option(
            "--replay",
            metavar="PROMPTS",
            help="Requests, one JSON object a line (messages or prompt, model), to be decided under both files.",
            show_default=False,
        ),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option("--against", metavar="CONFIG", help="The configuration before, for --replay.", show_default=False),
    ] = None,
    router: Annotated[
        str | None,
        typer.Option(
            "--router",
            metavar="MODEL",
            help="What requests ask for that name no model, such as router-local-0.5.",
            show_default=False,
        ),
    ] = None,
    strong_model: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Model for hard prompts, in place of CONFIG's tiers.", show_default=False),
    ] = None,
    weak_model: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Model for easy prompts, likewise.", show_default=False)
    ] = None,
    max_cost_increase: Annotated[
        str | None,
        typer.Option(metavar="PERCENT", help="Exit code 1 where it becomes dearer than this.", show_default=False),
    ] = None,
    max_changed: Annotated[
        str | None,
        typer.Option(metavar="PERCENT", help="Exit code 1 where more requests go elsewhere.", show_default=False),
    ] = None,
) -> None:
    """Check a configuration, and play requests through it and another one. No model is called.

    Without --replay: a summary with prices, and what may not be meant, such as a model that is shut down soon.
    """
    with ending(context.obj):
        from ferroute.cli import check as command
        from ferroute.errors import MissingFileError, UnreadableFileError

        if schema:
            command.print_schema()
            return
        if config is None:
            raise UsageProblem("name a configuration, or ask for the --schema")
        if (replay is None) != (against is None):
            raise UsageProblem("--replay and --against go together")
        given = (("--max-cost-increase", max_cost_increase), ("--max-changed", max_changed), ("--router", router))
        for option, value in given:
            if value is not None and replay is None:
                raise UsageProblem(f"{option} is for --replay")
        if (strong_model is None) != (weak_model is None):
            raise UsageProblem("--weak-model and --strong-model go together")
        pair = None if weak_model is None or strong_model is None else (weak_model, strong_model)
        try:
            if replay is None or against is None:
                fine = command.check(config, pair, as_json=as_json)
            else:
                limits = (
                    command.limit("--max-cost-increase", max_cost_increase),
                    command.limit("--max-changed", max_changed),
                )
                fine = command.replay(config, against, replay, router, limits, pair, as_json=as_json)
        except (MissingFileError, UnreadableFileError) as error:
            raise UsageProblem(str(error)) from None
        if not fine:
            raise typer.Exit(FAILED)
