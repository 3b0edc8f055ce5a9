"""What genai-prices says; run with the Python of its own venv, it prints JSON lines that `test_prices_peer.py` reads.

Every model of every provider by an identifier that finds it, at several usages, days, hours and tiers.
"""

from __future__ import annotations

import datetime as dt
import json
import random
import sys
import warnings
from typing import TYPE_CHECKING

from genai_prices import Usage, calc_price
from genai_prices.data import providers

if TYPE_CHECKING:
    from decimal import Decimal

    from genai_prices.types import ModelInfo, Provider

CONTEXTS: dict[str, dict[str, str] | None] = {
    "default": None,
    "batch": {"processing": "batch"},
    "flex": {"service_tier": "flex"},
    "priority": {"service_tier": "priority"},
    "fast": {"service_tier": "fast", "speed": "fast"},
}


def names(clause: object) -> list[str]:
    """Texts that a condition mentions, as candidates."""
    found = [getattr(clause, key) for key in ("equals", "starts_with", "contains", "ends_with") if hasattr(clause, key)]
    for part in getattr(clause, "or_", None) or getattr(clause, "and_", None) or []:
        found += names(part)
    return found


def name_of(provider: Provider, model: ModelInfo) -> str | None:
    for name in (model.id, *names(model.match)):
        if name.strip() == name and provider.find_model(name, all_providers=providers) is model:
            return name
    return None


def usage(draw: random.Random) -> dict[str, int]:
    prompt = draw.choice([0, 1, 37, 1_000, 99_999, 100_001, 128_001, 200_000, 200_001, 272_001, 999_983])
    completion = draw.choice([0, 1, 500, 8_191, 64_000])
    cached = int(prompt * draw.choice([0, 0, 0.25, 0.5]))
    written = int(prompt * draw.choice([0, 0, 0.25, 0.5]))
    reasoning = int(completion * draw.choice([0, 0, 0.5, 1]))
    # Of cached sound genai-prices wants to know how much there is, which no answer tells.
    heard = 0 if cached or written else int(prompt * draw.choice([0, 0.5, 1]))
    return {
        "input_tokens": prompt,
        "output_tokens": completion,
        "cached_tokens": cached,
        "cache_write_tokens": written,
        "cache_write_1h_tokens": int(written * draw.choice([0, 0, 0.5, 1])),
        "reasoning_tokens": reasoning,
        "input_audio_tokens": heard,
        "output_audio_tokens": 0 if reasoning else int(completion * draw.choice([0, 0.5, 1])),
    }


def moment(draw: random.Random) -> dt.datetime:
    day = dt.date(2025, 5, 1) + dt.timedelta(days=draw.randrange(640))
    return dt.datetime.combine(day, dt.time(draw.randrange(24), draw.randrange(60)), tzinfo=dt.timezone.utc)


def expected(name: str, provider: str | None, counts: dict[str, int], tier: str, at: dt.datetime) -> Decimal | None:
    given = Usage(
        input_tokens=counts["input_tokens"],
        output_tokens=counts["output_tokens"],
        cache_read_tokens=counts["cached_tokens"],
        cache_write_tokens=counts["cache_write_tokens"],
        cache_write_1h_tokens=counts["cache_write_1h_tokens"],
        output_reasoning_tokens=counts["reasoning_tokens"],
        input_audio_tokens=counts["input_audio_tokens"],
        output_audio_tokens=counts["output_audio_tokens"],
    )
    try:
        found = calc_price(given, name, provider_id=provider, genai_request_timestamp=at, price_context=CONTEXTS[tier])
    except (LookupError, ValueError):
        return None
    priced = found.model_price.input_mtok is not None or found.model_price.output_mtok is not None
    return found.total_price if priced else None


def main(seed: int, times: int) -> None:
    warnings.simplefilter("ignore")
    draw = random.Random(seed)
    for provider in providers:
        for model in provider.models:
            name = name_of(provider, model)
            if name is None:
                continue
            for index in range(times):
                counts, tier, at = usage(draw), draw.choice(list(CONTEXTS)) if index else "default", moment(draw)
                total = expected(name, provider.id, counts, tier, at)
                bare = expected(name, None, counts, tier, at) if provider.model_match else None
                row = [
                    provider.id,
                    name,
                    counts,
                    tier,
                    at.isoformat(),
                    *(None if x is None else str(x) for x in (total, bare)),
                ]
                print(json.dumps(row))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
