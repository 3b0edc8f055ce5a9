"""Thirty days of calls as a team might have made them, the same every time: for the page, and to look at."""

from __future__ import annotations

import math
import random
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ferroute.ledger import Ledger

WEAK, STRONG, BESIDE = "gpt-5.4-nano", "gpt-5.5", "gpt-5.4-mini"
THRESHOLD = 0.55
DAY = 86_400.0

# Dollars a million tokens, in and out: of this made-up month only, no prices of anybody.
_PRICES = {WEAK: (0.2, 1.25), STRONG: (5.0, 30.0), BESIDE: (0.75, 4.5)}
_TASKS = {
    "summarization": (0.30, 1400, 180),
    "coding": (0.62, 900, 520),
    "extraction": (0.22, 1900, 90),
    "support": (0.38, 500, 220),
    None: (0.45, 600, 260),
}


def cost(model: str, prompt: int, answer: int) -> Decimal:
    into, out = _PRICES[model]
    return Decimal(str(round((prompt * into + answer * out) / 1e6, 12)))


def fill(ledger: Ledger, now: float, *, days: float = 30, calls: int = 6000, scores: bool = True) -> None:
    """Enters so many calls of so many days before ``now`` (seconds since 1970), busier by day and from week to week."""
    lot = random.Random(5)
    begin = now - days * DAY
    for number in range(calls):
        at = _moment(lot, begin, now)
        task = lot.choices(list(_TASKS), weights=[3, 2, 2, 3, 2])[0]
        centre, prompt, answer = _TASKS[task]
        prompt = max(20, int(lot.lognormvariate(math.log(prompt), 0.5)))
        answer = max(5, int(lot.lognormvariate(math.log(answer), 0.4)))
        if lot.random() < 0.06:
            _by_name(ledger, at, prompt, answer, number)
            continue
        win_rate = min(0.999, max(0.001, lot.gauss(centre, 0.17)))
        holdout = lot.random() < 0.03
        strong = holdout or win_rate >= THRESHOLD
        model = STRONG if strong else WEAK
        longer = answer if strong else int(answer * 1.15)
        outcome = lot.choices(["ok", "failed", "cancelled"], weights=[96, 2, 2])[0]
        response = f"chatcmpl-demo-{number}"
        took = lot.lognormvariate(math.log(2600 if strong else 900), 0.5)
        ledger.add(
            model,
            prompt_tokens=prompt,
            completion_tokens=0 if outcome == "failed" else longer,
            cost=cost(model, prompt, 0 if outcome == "failed" else longer),
            router_cost=0,
            baseline=cost(STRONG, prompt, 0 if outcome == "failed" else answer),
            ttft_ms=took / 3,
            total_ms=took,
            outcome=outcome,
            error="connection" if outcome == "failed" else None,
            router="local",
            requested=f"router-local-{THRESHOLD}",
            win_rate=win_rate,
            threshold=THRESHOLD,
            holdout=holdout,
            task=task,
            text=f"a prompt about {task or 'something'}, number {number}",
            at=at,
            signs=["truncated"] if lot.random() < 0.01 else [],
            response=response,
        )
        if scores and outcome == "ok" and lot.random() < 0.16:
            _score(ledger, lot, response, win_rate, strong, at)
    ledger.flush()


def _moment(lot: random.Random, begin: float, now: float) -> float:
    while True:
        part = lot.random()
        at = begin + (now - begin) * part
        hour = at % DAY / 3600
        weekend = int(at // DAY + 4) % 7 in (0, 6)
        busy = (0.25 + 0.75 * math.exp(-((hour - 14) ** 2) / 18)) * (0.35 if weekend else 1.0) * (0.55 + 0.45 * part)
        if lot.random() < busy:
            return at


def _by_name(ledger: Ledger, at: float, prompt: int, answer: int, number: int) -> None:
    price = cost(BESIDE, prompt, answer) if number % 9 else None
    ledger.add(
        BESIDE, prompt_tokens=prompt, completion_tokens=answer, cost=price, total_ms=1400.0, requested=BESIDE, at=at
    )


def _score(ledger: Ledger, lot: random.Random, response: str, win_rate: float, strong: bool, at: float) -> None:
    """A judge's score, and of one call in three the other model's answer as well."""
    weak_score = 0.97 - 0.5 * win_rate
    passes = {STRONG: 0.94, WEAK: weak_score}
    own, other = (STRONG, WEAK) if strong else (WEAK, STRONG)
    judge = {"source": "judge:gpt-5.5", "probability": 0.16, "at": at + 60}
    ledger.add_outcome(response, score=float(lot.random() < passes[own]), **judge)
    if lot.random() < 0.34:
        ledger.add_outcome(response, score=float(lot.random() < passes[other]), model=other, **judge)
