"""The commands below ``ferroute rules`` and their options."""

from __future__ import annotations

from typing import Annotated

import typer

from ferroute.cli._options import ColumnName, Format, Limit, SkipBad  # noqa: TC001 - typer looks them up
from ferroute.cli._run import FAILED, ending

ruling = typer.Typer(no_args_is_help=True, help="Check rules, and try them on prompts.")

Rules = Annotated[str, typer.Argument(metavar="RULES", help="A YAML file, or a preset's name.", show_default=False)]


@ruling.command(
    "test",
    epilog="Example: ferroute rules test rules.yaml prompts.jsonl"
    '\n\nExample: echo "What is quantum foam?" | ferroute rules test article -',
)
def try_out(
    context: typer.Context,
    rules: Rules,
    prompts: Annotated[
        str,
        typer.Argument(
            metavar="PROMPTS",
            help="Text, JSONL, CSV or Parquet: a file, a folder, a pattern; - is standard input.",
            show_default=False,
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, for programs.")] = False,
    column: ColumnName = None,
    format: Format = None,  # noqa: A002
    limit: Limit = None,
    skip_bad: SkipBad = False,
) -> None:
    """Show which rule fires on each prompt, and how often each does. No model is called.

    A line of JSONL is a request: prompt or messages, and what a call may have beside them: task, tags, metadata, tools,
    response_format. With "expect" (a rung, a model or a router) a line that goes elsewhere makes the exit code 1.

    Fields of --json: row, prompt, fired, rung, model, ask, floor, ceiling, task, reason, notes, and with "expect":
    expect, as_expected. The last line is {"summary": {prompts, fired, ends, wrong}}.
    """
    with ending(context.obj):
        from ferroute.cli import rules as command

        source = command.source_of(prompts, format, column, limit, skip_bad)
        if not command.try_out(rules, source, limit=limit, skip_bad=skip_bad, as_json=as_json):
            raise typer.Exit(FAILED)


@ruling.command(epilog="Example: ferroute rules check rules.yaml")
def check(
    context: typer.Context,
    rules: Rules,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")] = False,
) -> None:
    """Read rules and show them; a mistake is told with its line.

    Fields of --json: rules (name, place, when, then), otherwise, rungs.
    """
    with ending(context.obj):
        from ferroute.cli import rules as command

        command.check(rules, as_json=as_json)


@ruling.command(epilog="Example: ferroute rules show article > rules.yaml")
def show(
    context: typer.Context,
    preset: Annotated[str, typer.Argument(metavar="PRESET", help="Its name: article.", show_default=False)],
) -> None:
    """Print the YAML of a preset, as a start for rules of your own."""
    with ending(context.obj):
        from ferroute.cli import rules as command

        command.show(preset)
