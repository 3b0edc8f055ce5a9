"""Writes the page of the commands, from the options that the command line itself has.

The server's and RouteLLM's programs read their options with argparse, the rest with typer; both are shown alike.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

import typer

from ferroute.cli.app import app
from ferroute.cli.serve import parser_of

if TYPE_CHECKING:
    from collections.abc import Iterator


def page() -> str:
    """The page in Markdown."""
    lines = [
        "# Commands",
        "",
        "`ferroute COMMAND --help` says the same in a terminal. Made from the options themselves by",
        "`scripts/docs_commands.py`.",
        "",
        "Exit codes: 0 done, 1 something failed, 2 the command was not understood, 3 the prompts could not be read.",
    ]
    for name, command in commands():
        lines += ["", f"## {name}", ""]
        lines += _server() if name == "ferroute serve" else _command(name, command)
    return "\n".join(lines) + "\n"


def commands() -> Iterator[tuple[str, Any]]:
    """Each command with its words, ``ferroute rules test`` for instance, groups left out."""
    group = typer.main.get_command(app)

    def below(command: Any, name: str) -> Iterator[tuple[str, Any]]:
        for word, inner in sorted(getattr(command, "commands", {}).items()):
            if getattr(inner, "commands", None):
                yield from below(inner, f"{name} {word}")
            else:
                yield f"{name} {word}", inner

    return below(group, "ferroute")


def _command(name: str, command: Any) -> list[str]:
    usage, rows = [name], []
    for parameter in command.params:
        if parameter.name == "help":
            continue
        metavar = parameter.metavar or parameter.name.upper()
        if parameter.param_type_name == "argument":
            shown = metavar if parameter.required else f"[{metavar}]"
            usage.append(shown + ("..." if parameter.nargs == -1 else ""))
            names = f"`{usage[-1]}`"
        else:
            names = ", ".join(f"`{word}`" for word in [*parameter.opts, *parameter.secondary_opts])
            names += "" if parameter.is_flag else f" {metavar}"
        rows.append((names, parameter.help or ""))
    return _block(" ".join([*usage, "[OPTIONS]"]), command.help or "", rows, command.epilog or "")


def _server() -> list[str]:
    parser = parser_of()
    rows = []
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction):
            continue
        names = ", ".join(f"`{word}`" for word in action.option_strings) or f"`[{action.metavar}]`"
        takes = action.option_strings and action.nargs != 0
        rows.append((f"{names} {action.metavar or action.dest.upper()}" if takes else names, action.help or ""))
    return _block("ferroute serve [CONFIG] [OPTIONS]", parser.description or "", rows, parser.epilog or "")


def _block(usage: str, text: str, rows: list[tuple[str, str]], epilog: str) -> list[str]:
    lines = ["```text", usage, "```", "", _plain(text)]
    if rows:
        lines += ["", "| Option | |", "|---|---|", *(f"| {_cell(shown)} | {_cell(what)} |" for shown, what in rows)]
    return [*lines, "", _plain(epilog)]


def _plain(text: str) -> str:
    """Text of a terminal as Markdown: examples in a line of their own, as code."""
    paragraphs = []
    for paragraph in text.replace("\b", "").split("\n\n"):
        if paragraph.startswith("Example: ") and ". " not in paragraph:
            paragraphs.append(f"    {paragraph.removeprefix('Example: ')}")
        else:
            paragraphs.append(paragraph)
    return "\n\n".join(paragraphs)


def _cell(text: str) -> str:
    return text.replace("\n", " ").replace("|", "\\|")
