"""Names of models in a project's files, and whether anything says that the name is not a call at its provider."""

from __future__ import annotations

import ast
import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from ferroute import _core

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ferroute.doctor._files import Code, Document

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,78}[A-Za-z0-9]")
# Shorter names are words of other things too: these count only where something near says "model".
_SHORT = 4
# A dict or call with one of these speaks of another host, of a day of its own, or of the pair a checkpoint knows.
_ELSEWHERE = frozenset(("api_base", "base_url", "azure_endpoint"))
_NOT_A_CALL = frozenset((*_ELSEWHERE, "at", "checkpoint_path"))


class Mention(NamedTuple):
    """A name in a file.

    Attributes:
        name: As it stands there.
        line: From 1.
        cell: Of a notebook.
        read: Whether it stands in a text for people, and nothing runs it.
    """

    name: str
    line: int
    cell: int | None
    read: bool


def mentions(document: Document) -> Iterator[Mention]:
    """Names that may be of models; who asks the price data decides."""
    for code in document.code:
        if code.tree is not None:
            yield from _of_code(code, code.tree)
    if document.kind in (".yaml", ".yml", ".toml"):
        yield from _of_settings(document.text)
    for cell, text in document.prose:
        yield from _of_page(text, cell)


def _of_code(code: Code, tree: ast.Module) -> Iterator[Mention]:
    quiet: set[int] = set()
    near_model: set[int] = set()
    for node in ast.walk(tree):
        names = _names_of(node)
        if names and not _NOT_A_CALL.isdisjoint(names):
            quiet.update(id(inner) for inner in ast.walk(node))
        near_model.update(id(value) for name, value in _named(node) if "model" in name.lower())
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Constant) and isinstance(node.value, str)) or id(node) in quiet:
            continue
        if NAME.fullmatch(node.value) and (len(node.value) >= _SHORT or id(node) in near_model):
            yield Mention(node.value, node.lineno, code.cell, read=False)


def _names_of(node: ast.AST) -> set[str]:
    if isinstance(node, (ast.Dict, ast.Call)):
        return {name for name, _ in _named(node)}
    return set()


def _named(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Keywords, keys and variables with what they are given."""
    if isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                yield key.value, value
    elif isinstance(node, ast.Call):
        for keyword in node.keywords:
            if keyword.arg is not None:
                yield keyword.arg, keyword.value
    elif isinstance(node, ast.Assign):
        for target in node.targets:
            if isinstance(target, ast.Name):
                yield target.id, node.value
            elif isinstance(target, ast.Attribute):
                yield target.attr, node.value


def _of_settings(text: str) -> Iterator[Mention]:
    for number, line in enumerate(text.splitlines(), start=1):
        said = re.sub(r"(^|\s)#.*", "", line)
        if any(word in said for word in _ELSEWHERE):
            continue
        for name in _tokens(said):
            if len(name) >= _SHORT or "model" in said.lower():
                yield Mention(name, number, None, read=False)


def _of_page(text: str, cell: int | None) -> Iterator[Mention]:
    """Only what is set as code: prose may speak of the past."""
    fenced = False
    for number, line in enumerate(text.splitlines(), start=1):
        if line.lstrip().startswith(("```", "~~~")):
            fenced = not fenced
            continue
        parts = [line] if fenced else re.findall(r"`([^`]+)`", line)
        for part in parts:
            if "at=" in part or any(word in part for word in _ELSEWHERE):
                continue
            for name in _tokens(part):
                if len(name) >= _SHORT:
                    yield Mention(name, number, cell, read=True)


def _tokens(text: str) -> list[str]:
    return [found.rstrip(".:/") for found in NAME.findall(text)]


@lru_cache(maxsize=10_000)
def ends_on(name: str) -> str | None:
    """The day a model is shut down; None where the name is of none, or no day is known."""
    if not any(c.isdigit() for c in name) and not name.rpartition("/")[2].startswith("deepseek-"):
        return None
    facts = _core.pricing_facts(name)
    return None if facts is None else facts[3]


@lru_cache(maxsize=10_000)
def is_priced(name: str) -> bool:
    """Whether the name is of a model with a price."""
    return any(c.isdigit() for c in name) and _core.pricing_price(name, None, None) is not None


def places(lines: list[int]) -> str:
    """Further lines of the same file, for the end of a sentence."""
    rest = sorted(set(lines))[1:]
    if not rest:
        return ""
    shown = ", ".join(map(str, rest[:5])) + (", ..." if len(rest) > 5 else "")
    return f" (also line{'s'[: len(rest) != 1]} {shown})"
