# ruff: noqa: ARG001 - every scorer is given everything
"""Marks for answers: right or wrong by a reference, or a judge's number.

A scorer takes the prompt, the answer's text and the reference (None where there is none) and returns a number; more is
better.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from ferroute.errors import InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Scorer = Callable[[str, str, str | None], float | Awaitable[float]]

NAMES = ("exact", "contains", "choice", "number", "regex", "regex:PATTERN", "judge", "judge:MODEL")

_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?(?:[eE][+-]?\d+)?|-?\.\d+")
_STATED = re.compile(r"answer\W{0,4}(?:is|:)?\W{0,6}\b([A-J])\b(?!')", re.IGNORECASE)
_FIRST = re.compile(r"^\W{0,3}([A-J])(?:[).:,\s*]|$)")
_ALONE = re.compile(r"(?<![\w'])\(?([A-J])\)?(?![\w'])")


def exact(prompt: str, answer: str, reference: str | None) -> float:
    """1 if answer and reference are the same words, whatever their case and spacing; else 0.

    Args:
        prompt: The prompt; only scorers of yours look at it.
        answer: The model's answer.
        reference: What is right.

    Raises:
        InvalidValueError: There is no reference.
    """
    return float(_words(answer) == _words(_needed(reference)))


def contains(prompt: str, answer: str, reference: str | None) -> float:
    """1 if the reference stands somewhere in the answer, whatever case and spacing; else 0.

    Args:
        prompt: The prompt; only scorers of yours look at it.
        answer: The model's answer.
        reference: What is right.

    Raises:
        InvalidValueError: There is no reference.
    """
    return float(_words(_needed(reference)) in _words(answer))


def choice(prompt: str, answer: str, reference: str | None) -> float:
    """1 if the letter that the answer settles on (A to J) is that of the reference; else 0.

    Looked for in this order: the last "answer is X", a letter at the beginning, the last letter that stands alone.

    Args:
        prompt: The prompt; only scorers of yours look at it.
        answer: The model's answer.
        reference: What is right.

    Raises:
        InvalidValueError: There is no reference.
    """
    return float(letter(answer) is not None and letter(answer) == letter(_needed(reference)))


def letter(text: str) -> str | None:
    """The letter (A to J) that a text settles on, or None.

    Args:
        text: The text.
    """
    stated = [found for found in _STATED.findall(text) if found.isupper()]
    if stated:
        return stated[-1]
    if first := _FIRST.match(text):
        return first[1]
    alone = _ALONE.findall(text)
    return alone[-1] if alone else None


def number(prompt: str, answer: str, reference: str | None) -> float:
    """1 if the last number of the answer is that of the reference, to a millionth (``#### 42`` works); else 0.

    Args:
        prompt: The prompt; only scorers of yours look at it.
        answer: The model's answer.
        reference: What is right.

    Raises:
        InvalidValueError: There is no reference, or it has no number.
    """
    found, wanted = last_number(answer), last_number(_needed(reference))
    if wanted is None:
        raise InvalidValueError(f"the reference {reference!r:.60} has no number")
    return float(found is not None and math.isclose(found, wanted, rel_tol=1e-6, abs_tol=1e-9))


def last_number(text: str) -> float | None:
    """The last number in a text; commas between digits are left out.

    Args:
        text: The text.
    """
    found = _NUMBER.findall(text)
    return float(found[-1].replace(",", "")) if found else None


def regex(pattern: str | None) -> Scorer:
    """A scorer: 1 if the pattern is found in the answer, else 0; without a pattern each reference is one.

    Args:
        pattern: A regular expression of Python's `re`, which ignores case and whose ``^`` and ``$`` fit every line;
            None: the reference is one.

    Raises:
        InvalidValueError: It is no regular expression.
    """
    fixed = None if pattern is None else _compiled(pattern)

    def score(prompt: str, answer: str, reference: str | None) -> float:
        return float(bool((fixed or _compiled(_needed(reference))).search(answer)))

    return score


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern, re.IGNORECASE | re.MULTILINE)
    except re.error as error:
        raise InvalidValueError(f"{pattern!r} is not a regular expression: {error}") from None


JUDGE = (
    "You grade an answer to a request. Consider whether it is correct, complete and helpful{against}. Think in a "
    "sentence or two, then end with a line of the form Rating: [[N]], N from 1 (useless) to 10 (perfect).\n\n"
    "Request:\n{prompt}\n{reference}\nAnswer:\n{answer}"
)
_RATING = re.compile(r"\[\[\s*(\d+(?:\.\d+)?)\s*\]\]")


def judge(ask: Callable[[str], Awaitable[str]]) -> Scorer:
    """A scorer: a model's mark from 1 to 10; ``ask`` puts a question to it.

    The scale and the form ``[[N]]`` of the mark are those of MT-Bench (Zheng et al. 2023, arXiv:2306.05685); the words
    are our own.

    Raises:
        InvalidValueError: The judge gave no mark; raised where an answer is scored.
    """

    async def score(prompt: str, answer: str, reference: str | None) -> float:
        text = JUDGE.format(
            against="" if reference is None else ", and whether it agrees with the reference",
            prompt=prompt,
            reference="" if reference is None else f"\nReference:\n{reference}\n",
            answer=answer,
        )
        said = await ask(text)
        ratings = [float(found) for found in _RATING.findall(said)]
        if not ratings or not 1 <= ratings[-1] <= 10:
            raise InvalidValueError(f"the judge gave no [[rating]] from 1 to 10: {said[-80:]!r}")
        return ratings[-1]

    return score


SIMPLE: dict[str, Any] = {"exact": exact, "contains": contains, "choice": choice, "number": number}


def needs_reference(name: Any) -> bool:
    """Whether a scorer by this name cannot do without references.

    Args:
        name: A scorer's name.
    """
    return isinstance(name, str) and (name in SIMPLE or name == "regex")


def _needed(reference: str | None) -> str:
    if reference is None:
        raise InvalidValueError("this way of scoring needs a reference answer, and the row has none")
    return reference


def _words(text: str) -> str:
    return " ".join(text.split()).casefold()
