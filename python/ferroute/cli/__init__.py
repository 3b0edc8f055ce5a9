"""The command ``ferroute``; typer and rich are loaded when it runs, not when it is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs the command line and exits.

    Args:
        arguments: Words after the program's name; None: those of this process.

    Exit codes:
        0: done. 1: something failed while running. 2: the command was not understood. 3: the prompts could not be
        read. 130: interrupted with Ctrl-C. 141: whoever read the output stopped reading.
    """
    import sys

    from ferroute._installation import shadowed

    if message := shadowed():
        sys.stderr.write(f"warning: {message}\n")
    words = sys.argv[1:] if arguments is None else list(arguments)
    if words[:1] == ["serve"]:
        # A server starts without what makes the other commands comfortable.
        from ferroute.cli.serve import main as serve

        serve(words[1:])
    from ferroute.cli.app import app

    app(args=arguments, prog_name="ferroute")
    raise SystemExit(0)
