"""How a command ends: exit codes, errors as one line, pipes that close."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING

import typer

from ferroute._signals import stoppable
from ferroute.controller import RoutingError
from ferroute.errors import FerrouteError

if TYPE_CHECKING:
    from collections.abc import Generator

FAILED, USAGE, BAD_INPUT, INTERRUPTED, PIPE_CLOSED = 1, 2, 3, 130, 141


class BadInput(Exception):
    """Prompts that could not be read."""


class UsageProblem(Exception):
    """A command that was not understood."""


@contextlib.contextmanager
def ending(debug: bool) -> Generator[None]:
    """Turns what a command raises into one line on standard error and an exit code.

    SIGTERM unwinds the command as Ctrl-C does, with the code 143. With ``debug`` unexpected errors keep their
    traceback.
    """
    _lenient_output()
    try:
        with stoppable():
            yield
        sys.stdout.flush()
    except (typer.Exit, typer.Abort):
        raise
    except BrokenPipeError:
        # The interpreter would complain again when it flushes at exit.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(PIPE_CLOSED) from None
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except Exception as error:
        if debug:
            raise
        code = _code(error)
        text = str(error) or type(error).__name__
        if not isinstance(error, (BadInput, UsageProblem, FerrouteError, RoutingError)):
            text = f"{type(error).__name__}: {text}" if str(error) else text
        typer.echo(f"ferroute: {text}", err=True)
        if code == USAGE:
            typer.echo("Try 'ferroute --help', or --help after a command.", err=True)
        raise typer.Exit(code) from None


def _lenient_output() -> None:
    """Prompts may hold what the terminal's encoding does not: show a mark, do not fail."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")


def _code(error: Exception) -> int:
    if isinstance(error, BadInput):
        return BAD_INPUT
    # An unknown router or model, or a threshold out of range, was written on the command line.
    if isinstance(error, (UsageProblem, RoutingError, KeyError)):
        return USAGE
    return FAILED
