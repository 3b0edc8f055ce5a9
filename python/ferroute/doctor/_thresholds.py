"""Thresholds of a project: figures that were calibrated elsewhere, and texts that have their direction reversed.

A higher threshold means fewer calls of the strong model. `looks_reversed` reads English by rule: a direction, the word
"threshold", then the first amount with what it is of. It stays silent where a condition or a negation is in between.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import defaultdict
from typing import TYPE_CHECKING

from ferroute.doctor._findings import Finding, Severity
from ferroute.doctor._mentions import places

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ferroute.doctor._files import Code, Document

_STRING = re.compile(r"\brouter-([A-Za-z0-9_]+)-(\d+(?:\.\d+)?|\.\d+)(?![\d.]*[%,\w]|\.\d)")
# RouteLLM's README: half of the Chatbot Arena prompts, for the pair that its checkpoints were trained with.
_README = 0.11593

_UP, _DOWN = (
    r"higher|larger|greater|bigger|raise[sd]?|raising|increase[sd]?|increasing",
    r"lower|smaller|reduce[sd]?|reducing|decrease[sd]?|decreasing|lowering|lowers",
)
_BEFORE = re.compile(
    rf"\b(?:(?P<up>{_UP})|(?P<down>{_DOWN}))\s+(?:(?:the|a|an|your|this|router|routing|cost|win.rate)\s+){{0,3}}"
    r"threshold(?:s|\s+values?)?\b",
    re.IGNORECASE,
)
_AFTER = re.compile(
    r"\bthresholds?\s*(?:[:(,-]\s*)?(?:(?:is|gets)\s+)?(?:(?P<up>higher|rises|increases|grows|goes\s+up)|"
    r"(?P<down>lower|falls|decreases|drops|goes\s+down))\b",
    re.IGNORECASE,
)
_SENTENCE_ENDS = re.compile(r"[.!?;](?=\s|$)|\n\s*\n")
_MORE, _LESS = (
    r"more|most|increas\w+|rais\w+|higher|larger|greater|improv\w+",
    r"fewer|less|reduc\w+|decreas\w+|lower\w*|sav(?:e|es|ing)|cut(?:s|ting)?",
)
_STRONG = (
    r"strong(?:er)?|gpt-?[45][\w.-]*|expensive|costly|powerful|premium|frontier|capable|costs?|spend(?:ing)?|money|"
    r"bill|quality"
)
_WEAK = r"weak(?:er)?|cheap(?:er)?|small(?:er)?|mixtral[\w.-]*|mini|inexpensive|savings?"
_PAIR = re.compile(
    rf"\b(?:(?P<more>{_MORE})|(?P<less>{_LESS}))\b(?:\W+\w+){{0,6}}?\W+(?:(?P<strong>{_STRONG})|(?P<weak>{_WEAK}))\b",
    re.IGNORECASE,
)
_UNSURE = re.compile(
    r"\b(?:if|when|until|unless|because|since|where|while|not|never|n't|without)\b(?!\s+you\s+(?:want|need|prefer|like))|n't\b",
    re.IGNORECASE,
)
_KNOWN = re.compile(r"\b(?:revers\w+|wrong\w*|mistak\w+|contrary|other\s+way|misread\w*)\b", re.IGNORECASE)
_REACH = 110


def of_thresholds(document: Document) -> Iterator[Finding]:
    """Thresholds and texts about them."""
    yield from _of_strings(document)
    if document.about_routing:
        for cell, text in _texts(document):
            for at, words in looks_reversed(text):
                line = text.count("\n", 0, at) + 1
                yield Finding(
                    "warning",
                    "threshold",
                    f'looks reversed: "{words}"',
                    "The strong model answers when the win rate is at least the threshold, so a higher threshold means "
                    "fewer strong calls, and costs less",
                    "Check the text and the number that was chosen by it",
                    document.path,
                    line,
                    cell,
                )


def _of_strings(document: Document) -> Iterator[Finding]:
    held: dict[tuple[str, str, int | None], list[int]] = defaultdict(list)
    pieces = [(code.cell, code.text) for code in document.code] + document.prose
    for cell, text in pieces or [(None, document.text)]:
        for found in _STRING.finditer(text):
            held[found[1], found[2], cell].append(text.count("\n", 0, found.start()) + 1)
    for (router, figure, cell), lines in held.items():
        told = _of_string(router, float(figure))
        if told is not None:
            severity, what, why, todo = told
            name = f"router-{router}-{figure}{places(lines)}"
            yield Finding(severity, "threshold", f"{name}: {what}", why, todo, document.path, min(lines), cell)


def _of_string(router: str, threshold: float) -> tuple[Severity, str, str, str] | None:
    calibrate = f"`ferroute calibrate --router {router} --file prompts.jsonl --share 30%` gives yours"
    if threshold > 1:
        return "error", "the threshold is above 1", "Such a request is refused", f"Ask for a share: router-{router}-30%"
    if router == "mf" and threshold == _README:
        why = (
            "RouteLLM calibrated it for half of the Chatbot Arena prompts, with gpt-4-1106-preview and mixtral-8x7b; "
            "other traffic gives another share"
        )
        return "warning", "the figure of RouteLLM's README", why, calibrate
    if router == "local" and 0 < threshold < 1:
        why = "Scores of `local` are a ranking, so the same number means another share on every kind of traffic"
        return "warning", "a fixed threshold", why, "Ask for a share: router-local-30%"
    if router in ("mf", "sw_ranking", "bert", "causal_llm") and 0 < threshold < 1:
        why = "It holds for the checkpoint, the embedding and the traffic that it was calibrated with"
        return "note", "a calibrated threshold", why, calibrate
    return None


def looks_reversed(text: str) -> Iterator[tuple[int, str]]:
    """Where an English text says that a higher threshold means more strong calls: the offset, and the words."""
    for pattern in (_BEFORE, _AFTER):
        for found in pattern.finditer(text):
            tail = text[found.end() : found.end() + _REACH]
            end = _SENTENCE_ENDS.search(tail)
            tail = tail if end is None else tail[: end.start()]
            pair = _PAIR.search(tail)
            if pair is None or _UNSURE.search(tail, 0, pair.end()):
                continue
            start = max(text.rfind(".", 0, found.start()), text.rfind("\n\n", 0, found.start()), 0)
            if _KNOWN.search(text, start, found.end() + _REACH):
                continue
            up = found["up"] is not None
            stronger = (pair["more"] is not None) == (pair["strong"] is not None)
            if up == stronger:
                yield found.start(), " ".join((found[0] + tail[: pair.end()]).split())[:120]


def _texts(document: Document) -> Iterator[tuple[int | None, str]]:
    """What people wrote for people, each line where it stands in its file or cell."""
    yield from document.prose
    for code in document.code:
        yield code.cell, _comments(code)
    if document.kind in (".yaml", ".yml", ".toml"):
        lines = document.text.splitlines()
        yield None, "\n".join(line.partition("#")[2] for line in lines)


def _comments(code: Code) -> str:
    """Comments and docstrings; everything else is blank."""
    lines = [""] * (code.text.count("\n") + 2)
    try:
        for token in tokenize.generate_tokens(io.StringIO(code.text).readline):
            if token.type == tokenize.COMMENT:
                lines[token.start[0] - 1] = token.string.lstrip("#!: ")
    except (tokenize.TokenError, SyntaxError, ValueError):
        pass  # what came before is there
    for node in ast.walk(code.tree) if code.tree is not None else ():
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            for offset, line in enumerate(node.value.value.splitlines()):
                if node.lineno - 1 + offset < len(lines):
                    lines[node.lineno - 1 + offset] = line
    return "\n".join(lines)
