"""The baseline beside the embedded router: a few regexes and the length, as anybody would write them in ten minutes."""

from __future__ import annotations

import re

from ferroute.routers.base import Router, no_parallel

NAME = "regex rules"

SIGNS = [
    re.compile(pattern, re.IGNORECASE | re.MULTILINE)
    for pattern in (
        r"\b(prove|derive|calculate|compute|solve|simplify|evaluate)\b",
        r"\b(step by step|explain why|analy[sz]e|compare|design|implement)\b",
        r"\b(how (many|much|long|far)|what is the (value|sum|probability|total))\b",
        r"(\d[^\d\n]+){3}",
        r"[=^\\$∑∫√]|\b(function|equation|matrix|theorem)\b",
        r"```|\b(def|class|return|python|sql|algorithm|code)\b|[{};]\s*$",
        r"^\s*\(?[A-J][.)]\s",
    )
]


@no_parallel
class RulesRouter(Router):
    """Counts which signs of a hard task a prompt shows; among equals the longer prompt is the harder one."""

    def calculate_strong_win_rate(self, prompt: str) -> float:
        """The share of signs that are there, and a little for length."""
        found = sum(1 for sign in SIGNS if sign.search(prompt))
        return (found + min(len(prompt), 4000) / 4001) / (len(SIGNS) + 1)
