"""Commands and configurations in the README and the documentation: every option exists, every file passes its check."""

from __future__ import annotations

import argparse
import datetime as dt
import importlib
import json
import re
import shlex
import sys

import pytest
import typer
import yaml

from conftest import ROOT
from ferroute import _core
from ferroute._serving_build import with_tiers
from ferroute._serving_check import look
from ferroute._serving_config import read
from ferroute.cli.app import app
from ferroute.cli.serve import parser_of

PAGES = [ROOT / "README.md", ROOT / "benches" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SHELL = {"console", "sh", "bash", "text", ""}
INDENTED = re.compile(r"(?:^ {4}.*\n)+", re.MULTILINE)
INLINE = re.compile(r"`((?:ferroute|python -m (?:ferroute|routellm)\.[\w.]+) [a-z-][^`]*)`")
COMMAND = re.compile(r"^(?:\$ )?((?:ferroute |python -m (?:ferroute|routellm)\.).*)$", re.MULTILINE)


def written() -> list[tuple[str, str]]:
    """Every command line in blocks, indented lines and backticks, with its page."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        blocks = [body for kind, body in BLOCK.findall(text) if kind in SHELL]
        prose = BLOCK.sub("", text)
        blocks += [re.sub("^ {4}", "", block, flags=re.MULTILINE) for block in INDENTED.findall(prose)]
        lines = [line for block in blocks for line in COMMAND.findall(block.replace("\\\n", " "))]
        found += [(page.name, " ".join(line.split("\n"))) for line in [*lines, *INLINE.findall(prose)]]
    return sorted(set(found))


LINES = written()


def options_of(words: list[str]) -> tuple[set[str], str]:
    """What options a command of ours takes, and its name."""
    command, name = typer.main.get_command(app), "ferroute"
    while getattr(command, "commands", None):
        if not words or words[0].startswith("-") or words[0].isupper():  # `ferroute --version`, `ferroute COMMAND`
            break
        assert words[0] in command.commands, f"there is no `{name} {words[0]}`"
        command, name, words = command.commands[words[0]], f"{name} {words[0]}", words[1:]
    taken = {word for parameter in command.params for word in [*parameter.opts, *parameter.secondary_opts]}
    if name == "ferroute serve":
        taken = {word for action in parser_of()._actions for word in action.option_strings}
    return taken | {"--help", "-h"}, name


def options_of_module(module: str, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """What options one of RouteLLM's programs takes: its parser is asked where it would begin to read them."""
    seen: set[str] = set()

    class Read(Exception):
        pass

    def parse(parser, *_, **__):
        seen.update(word for action in parser._actions for word in action.option_strings)
        raise Read

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse)
    monkeypatch.setattr(sys, "argv", [module])
    with pytest.raises(Read):
        importlib.import_module(module).main()
    return seen


def words_of(line: str) -> list[str]:
    """The words of a command up to a pipe, a redirection or a comment."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|<>;&")
    lexer.whitespace_split, lexer.commenters = True, "#"
    words = []
    for word in lexer:
        if set(word) <= set("|<>;&"):
            break
        words.append(word)
    return words


def test_there_are_command_lines():
    assert len(LINES) > 60
    assert {"README.md", "gateway.md", "training.md"} <= {page for page, _ in LINES}


@pytest.mark.parametrize(("page", "line"), LINES, ids=lambda value: value[:60])
def test_documented_commands_exist_with_their_options(page, line, monkeypatch):
    words = words_of(line)
    if words[0] == "python":
        module, given = words[2].replace("routellm.", "ferroute.", 1), words[3:]
        taken, name = options_of_module(module, monkeypatch), module
    else:
        given = words[1:]
        taken, name = options_of(given)
    unknown = {word.split("=")[0] for word in given if re.match(r"--?[a-z]", word)} - taken
    assert not unknown, f"{page}: {name} has no {unknown}"


# --- configurations ---

GATEWAY = set(json.loads(_core.gateway_schema())["properties"])
YAML = [
    (page.name, body)
    for page in PAGES
    for kind, body in BLOCK.findall(page.read_text(encoding="utf-8"))
    if kind == "yaml"
]


def kind_of(parsed: object) -> str:
    """What a block of YAML is: a configuration of the server, rules, arguments of routers, or Prometheus' alerts."""
    if isinstance(parsed, list):
        return "alerts" if all({"alert", "expr"} <= entry.keys() for entry in parsed) else "nothing known"
    keys = set(parsed)
    if keys <= GATEWAY and keys - {"rules"}:
        return "gateway"
    if keys <= {"rules", "otherwise", "rungs", "preset"}:
        return "rules"
    from ferroute.controller import ROUTER_CLS

    return "routers" if keys <= set(ROUTER_CLS) else "nothing known"


@pytest.mark.parametrize(("page", "block"), YAML, ids=lambda value: value[:40])
def test_documented_configurations_pass_their_check(page, block, monkeypatch):
    kind = kind_of(yaml.safe_load(block))
    assert kind != "nothing known", f"{page}: what is this?"
    if kind == "rules":
        _core.Rules(block, page)
    if kind != "gateway":
        return
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "FERROUTE_ADMIN_KEY", "COLLECTOR_KEY"):
        monkeypatch.setenv(name, "a-key-of-16-characters-or-more")
    if not yaml.safe_load(block).keys() & {"tiers", "model_list", "strong_model"}:
        block = "tiers: {cheap: openai/gpt-5.4-mini, expensive: gpt-5.5}\n" + block
    config = read(block, page, "/nonexistent")
    with_tiers(config)
    look(config, dt.date(2026, 11, 27))


def test_every_kind_of_configuration_is_there():
    assert {kind_of(yaml.safe_load(block)) for _, block in YAML} >= {"gateway", "rules", "routers", "alerts"}
