"""The command `doctor` and its options."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer looks it up
from typing import Annotated

import typer

from ferroute.cli._run import FAILED, UsageProblem, ending

doctoring = typer.Typer()


@doctoring.command(
    epilog="Example: ferroute doctor"
    "\n\nExample: ferroute doctor my/project --json > findings.json"
    "\n\nExit codes: 0 nothing is an error (there may be warnings), 1 something is, 2 not understood or no such folder."
)
def doctor(
    context: typer.Context,
    project: Annotated[
        Path | None,
        typer.Argument(metavar="PROJECT", help="A folder or file. (default: the current folder)", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")] = False,
) -> None:
    """Look for what will not work: old models, patched RouteLLM names, thresholds, clashes, missing keys.

    Offline. Reads Python, notebooks, YAML, Markdown, TOML, requirements and the names in .env files; runs nothing of
    the project and shows no value of a variable. Looks at the installed packages too.
    """
    with ending(context.obj):
        from ferroute.cli import doctor as command
        from ferroute.errors import MissingFileError

        try:
            fine = command.doctor(project, as_json=as_json)
        except MissingFileError as error:
            raise UsageProblem(str(error)) from None
        if not fine:
            raise typer.Exit(FAILED)
