"""Sums over calls as the ledger's core gives them: tokens, exact money, percentiles of times."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Latency:
    """Percentiles of times, in milliseconds.

    Attributes:
        n: Whole answers they are of.
        p50: The median.
        p95: The 95th percentile.
        p99: The 99th percentile.
    """

    n: int
    p50: float
    p95: float
    p99: float


@dataclass(frozen=True)
class Measured:
    """A saving measured on calls by lot, with its 95 % interval, in US dollars; negative is a loss.

    Attributes:
        usd: Saved on all routed calls.
        low: Lower end of the interval.
        high: Upper end.
        baseline_usd: What all routed calls would have cost at the strong model.
        holdout: Calls that went to the strong model by lot.
        routed: Calls routed as usual.
    """

    usd: float
    low: float
    high: float
    baseline_usd: float
    holdout: int
    routed: int

    @property
    def share(self) -> float | None:
        """The part of ``baseline_usd`` that was saved; negative is a loss, None for a baseline of 0."""
        return self.usd / self.baseline_usd if self.baseline_usd else None


@dataclass(frozen=True)
class Sums:
    """Sums over calls; money in US dollars, of the calls that have a price.

    Attributes:
        queries: Calls of the caller's: all requests but retries, losers of hedged ones, answers that were escalated and
            rungs asked in vain.
        ok: Of these, whole answers.
        cancelled: Closed or dropped by the caller.
        failed: Failed for good.
        hedged: Second requests that lost, beside the calls; their cost counts.
        escalated: Answers after which the next rung was asked, beside the calls; their cost counts.
        holdout: Calls sent to the strong model by lot.
        shadows: Answers of another model beside the calls, to compare with (audits); they are in no other sum.
        attempts: Requests sent to providers.
        estimated: Calls whose tokens are an estimate (cancelled streams).
        unpriced: Calls without a price: their tokens are in the sums, their money is missing.
        unpriced_shadows: Of ``shadows``, those without a price.
        unpriced_routing: Calls of a router whose own cost is not known.
        prompt_tokens: Whole prompts.
        completion_tokens: Whole completions.
        cached_tokens: Of the prompts, read from caches.
        cache_write_tokens: Of the prompts, written to caches.
        reasoning_tokens: Of the completions, hidden reasoning.
        cost: Of the models.
        router_cost: Of choosing them.
        shadow_cost: Of ``shadows``, which is in no other sum.
        compared: Calls with an estimated saving.
        baseline: Of these, the estimated cost at the strong model.
        saved: Of these, the estimated saving; negative is a loss.
    """

    queries: int
    ok: int
    cancelled: int
    failed: int
    hedged: int
    escalated: int
    holdout: int
    shadows: int
    attempts: int
    estimated: int
    unpriced: int
    unpriced_shadows: int
    unpriced_routing: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    cost: Decimal
    router_cost: Decimal
    shadow_cost: Decimal
    compared: int
    baseline: Decimal
    saved: Decimal

    @property
    def total(self) -> Decimal:
        """Cost of models and of choosing them; audits (``shadow_cost``) are not in it."""
        return self.cost + self.router_cost

    @property
    def has_price(self) -> bool:
        """Whether the cost of any call is known; else `cost` is 0 for want of a price."""
        return self.queries > self.unpriced or self.cost != 0 or (self.queries == 0 and self.shadows > 0)

    @property
    def cost_per_query(self) -> Decimal | None:
        """Mean of `total` over the calls with a price; None without any."""
        priced = self.queries - self.unpriced
        return self.total / priced if priced > 0 else None

    @property
    def saved_share(self) -> float | None:
        """The part of ``baseline`` that was saved, by the estimate; negative is a loss, None for a baseline of 0."""
        return float(self.saved / self.baseline) if self.baseline else None


@dataclass(frozen=True)
class ModelSums(Sums):
    """One model's sums, with its times.

    Attributes:
        model: Its name, as callers have it.
        first_token: Times until the first content, of streams; None where there were none.
        latency: Times until the end; None without a whole answer.
    """

    model: str = ""
    first_token: Latency | None = None
    latency: Latency | None = None


_MONEY = ("cost", "router_cost", "shadow_cost", "baseline", "saved")
SUMS = tuple(Sums.__dataclass_fields__)


def dollars(value: Decimal) -> str:
    """Without zeros that say nothing."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _exact(picodollars: int) -> Decimal:
    """Dollars with no more digits than they need."""
    return Decimal(dollars(Decimal(picodollars).scaleb(-12)))


def sums(line: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of `Sums` from the core's."""
    values = {name: _exact(line[name]) if name in _MONEY else line[name] for name in SUMS if name != "queries"}
    return values | {"queries": line["calls"]}


def latency(found: tuple[int, float, float, float] | None) -> Latency | None:
    """Percentiles from the core's."""
    return None if found is None else Latency(*found)
