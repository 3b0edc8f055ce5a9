"""A spend as rows of plain numbers, one a model, for data frames and spreadsheets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ferroute._sums import ModelSums

COLUMNS = {
    "model": "text",
    "queries": "whole",
    "share": "number",
    **dict.fromkeys(
        ("ok", "cancelled", "failed", "hedged", "escalated", "holdout", "shadows", "attempts", "estimated", "unpriced"),
        "whole",
    ),
    "prompt_tokens": "whole",
    "completion_tokens": "whole",
    "cached_tokens": "whole",
    "cache_write_tokens": "whole",
    "reasoning_tokens": "whole",
    "cost_usd": "number",
    "router_cost_usd": "number",
    "total_usd": "number",
    "shadow_cost_usd": "number",
    "cost_per_query_usd": "number",
    "baseline_usd": "number",
    "saved_usd": "number",
    "saved_share": "number",
    **{f"{what}_ms_{at}": "number" for what in ("first_token", "total") for at in ("p50", "p95", "p99")},
}
"""Columns of `ferroute.spend.Spend.rows` and their kinds."""


def row(model: ModelSums, queries: int) -> dict[str, Any]:
    """A model's values for `COLUMNS`; ``queries``: those of all models."""
    out: dict[str, Any] = {name: getattr(model, name, None) for name in COLUMNS}
    compared = model.compared > 0
    out["share"] = model.queries / queries if queries else 0.0
    out["cost_usd"] = float(model.cost) if model.has_price else None
    out["router_cost_usd"] = float(model.router_cost)
    out["shadow_cost_usd"] = float(model.shadow_cost)
    out["total_usd"] = float(model.total) if model.has_price else None
    out["cost_per_query_usd"] = None if model.cost_per_query is None else float(model.cost_per_query)
    out["baseline_usd"] = float(model.baseline) if compared else None
    out["saved_usd"] = float(model.saved) if compared else None
    for what, times in (("first_token", model.first_token), ("total", model.latency)):
        for at in ("p50", "p95", "p99"):
            out[f"{what}_ms_{at}"] = None if times is None else getattr(times, at)
    return out
