"""What a spend looks like to a reader: lines of its table, amounts and times."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from decimal import Decimal

    from ferroute._sums import ModelSums

TITLES = (
    "model",
    "queries",
    "share",
    "prompt",
    "completion",
    "cost",
    "per query",
    "saved (est.)",
    "first token p50/p95",
    "total p50/p95/p99",
)


def cells(model: ModelSums, queries: int) -> tuple[str, ...]:
    """A model's line under `TITLES`; ``queries``: those of all models."""
    first, total = model.first_token, model.latency
    return (
        model.model,
        f"{model.queries:,}",
        f"{model.queries / queries:.1%}" if queries else "-",
        f"{model.prompt_tokens:,}",
        f"{model.completion_tokens:,}",
        amount(model.total) if model.has_price else "unpriced",
        "-" if model.cost_per_query is None else amount(model.cost_per_query),
        amount(model.saved) if model.compared else "-",
        "-" if first is None else f"{duration(first.p50)} / {duration(first.p95)}",
        "-" if total is None else f"{duration(total.p50)} / {duration(total.p95)} / {duration(total.p99)}",
    )


def duration(milliseconds: float) -> str:
    """Milliseconds, or seconds where they are many, as a reader wants them."""
    return f"{milliseconds / 1000:.2f} s" if milliseconds >= 1000 else f"{milliseconds:.0f} ms"


def amount(dollars: Decimal | float) -> str:
    """Dollars with cents, or with three digits that say something where that is less."""
    value = float(dollars)
    sign, value = ("-" if value < 0 else ""), abs(value)
    if value == 0 or value >= 1:
        return f"{sign}${value:,.2f}"
    text = f"{value:.12f}"
    digits = next((index for index, digit in enumerate(text[2:]) if digit != "0"), 9)
    return f"{sign}${value:.{min(digits + 3, 12)}f}"
