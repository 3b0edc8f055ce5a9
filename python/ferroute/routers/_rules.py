"""The baseline beside the embedded router: regexes and the length, as anybody would write them in ten minutes.

`scripts/eval_local.py` measures the same rules. Nothing is fitted: a sign counts as much as half the length again.
"""

from __future__ import annotations

import math
import re

from ferroute.routers.base import Router, built_in, no_parallel

NAME = "regex rules"

HARD = [
    re.compile(pattern, re.IGNORECASE | re.MULTILINE)
    for pattern in (
        r"\b(prove|proof|derive|theorem|integral|equation|probability|matrix)\b",
        r"\b(calculate|compute|solve|evaluate|how (many|much))\b",
        r"```|\bdef \w+\(|\bclass \w+|[{};]\s*$|\breturn\b",
        r"\b(code|function|algorithm|program|python|java|sql|debug|implement)\b",
        r"[$\\^=]|\d\s*[+*/<>-]\s*\d|(\d[^\d\n]+){3}",
        r"\b(explain|analy[sz]e|compare|step by step|why)\b",
    )
]
EASY = re.compile(r"^\s*(hi|hello|hey|thanks|thank you|who (is|was)|what is the capital)\b", re.IGNORECASE)
SIGN = math.log(1.5)
LARGEST = math.log(2**20) + SIGN * len(HARD)


def score(prompt: str) -> float:
    """How hard a prompt looks, 0 to 1: the logarithm of its length and a fixed amount for each sign."""
    signs = sum(1 for sign in HARD if sign.search(prompt)) - bool(EASY.search(prompt))
    return min(max(math.log1p(len(prompt)) + SIGN * signs, 0.0) / LARGEST, 1.0)


@built_in
@no_parallel
class RulesRouter(Router):
    """Counts the signs of a hard task; a longer prompt is a harder one."""

    def calculate_strong_win_rate(self, prompt: str) -> float:
        """The score of the rules."""
        return score(prompt)
