"""Helpers of the Python benchmarks: timing in turns, JSON lines."""

from __future__ import annotations

import json
import statistics
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def emit(bench: str, **figures: object) -> None:
    """Prints one JSON line of figures."""
    print(json.dumps({"bench": bench, **figures}), flush=True)


def per_call_us(function: Callable[[], object], calls: int = 200, rounds: int = 60) -> list[float]:
    """Microseconds a call takes, one figure a round, after a warm-up that does not count."""
    for _ in range(calls):
        function()
    figures = []
    for _ in range(rounds):
        start = time.perf_counter_ns()
        for _ in range(calls):
            function()
        figures.append((time.perf_counter_ns() - start) / calls / 1000)
    return figures


def spread(figures: list[float]) -> dict[str, float]:
    """Median, minimum, 90th percentile and maximum."""
    ordered = sorted(figures)
    return {
        "median": round(statistics.median(ordered), 3),
        "min": round(ordered[0], 3),
        "p90": round(ordered[int(0.9 * (len(ordered) - 1))], 3),
        "max": round(ordered[-1], 3),
    }


SENTENCE = (
    "please explain how a binary heap keeps its smallest entry on top when new numbers arrive in any order and what it "
    "costs in time and memory compared with a sorted list of 1,000 items that is searched with bisection (see f(x) = x)"
)


def text_of(words: int) -> str:
    """An ordinary English prompt of that many words."""
    sentence = SENTENCE.split()
    return " ".join(sentence[i % len(sentence)] for i in range(words))
