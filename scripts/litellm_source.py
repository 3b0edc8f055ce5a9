"""LiteLLM: one flat object; each row becomes a price like the others, and what the model can do."""

from __future__ import annotations

import re
from collections import Counter
from decimal import Context, Decimal
from typing import Any

from genai_prices_source import amount
from price_patterns import holds

MODES = ("chat", "completion", "responses", "embedding")
RATES = {
    "input_cost_per_token": "in",
    "output_cost_per_token": "out",
    "cache_read_input_token_cost": "read",
    "cache_creation_input_token_cost": "write",
    "cache_creation_input_token_cost_above_1hr": "write_1h",
    "input_cost_per_audio_token": "in_audio",
    "output_cost_per_audio_token": "out_audio",
    "output_cost_per_reasoning_token": "reasoning",
}
SUFFIXES = {"": None, "_batches": "batch", "_flex": "flex", "_priority": "priority"}
ABOVE = re.compile(r"^(?P<base>.+?)_above_(?P<thousands>\d+)k_tokens(?P<suffix>_batches|_flex|_priority)?$")
MILLION = Decimal(1_000_000)
# Prefixes that people write here (src/providers/table.rs), and whose models they are in genai-prices. Of LiteLLM only
# their rows are kept: those of other gateways would only make the file larger.
PREFIXES: dict[str, str | None] = {
    "openai": "openai",
    "anthropic": "anthropic",
    "gemini": "google",
    "vertex_ai": "google",
    "bedrock": "aws",
    "azure": "azure",
    "azure_ai": "azure",
    "cohere": "cohere",
    "cohere_chat": "cohere",
    "groq": "groq",
    "together_ai": "together",
    "together": "together",
    "mistral": "mistral",
    "codestral": "mistral",
    "deepseek": "deepseek",
    "xai": "x-ai",
    "fireworks_ai": "fireworks",
    "openrouter": "openrouter",
    "perplexity": "perplexity",
    "cerebras": "cerebras",
    "baseten": "baseten",
    "moonshot": "moonshotai",
    "zai": "zai",
    "minimax": "minimax",
    "meta": "meta",
    "novita": "novita",
    "databricks": "databricks",
    "deepinfra": None,
    "nvidia_nim": None,
    "sambanova": None,
    "dashscope": None,
    "meta_llama": None,
    "nebius": None,
    "hyperbolic": None,
    "huggingface": None,
    "github": None,
    "vercel_ai_gateway": None,
    "anyscale": None,
    "ollama": None,
}
# Of these providers LiteLLM keeps the abilities complete: where a chat model lists some, a missing one is missing.
THOROUGH = {"openai", "anthropic", "gemini", "mistral", "deepseek", "xai", "cohere"}


def completions(prices: dict[str, dict[str, Any]], providers: list[dict[str, Any]]) -> tuple[list[Any], list[str]]:
    urls: Counter[str] = Counter()
    rows: dict[str, dict[str, Any]] = {}
    for key, entry in prices.items():
        target = entry
        if "alias_of" in entry:
            target = {**prices[entry["alias_of"]], **{k: v for k, v in entry.items() if k != "alias_of"}}
        if target.get("mode") not in MODES or key == "sample_spec":
            continue
        name = canonical(key, target["litellm_provider"])
        # A key that says its provider goes before the bare one of the same model.
        if name is None or (name in rows and key.lower() != name):
            continue
        row: dict[str, Any] = {"id": name}
        price, tiers = litellm_rates(target)
        if price and not known(name, providers):
            row["prices"] = price
            if tiers:
                row["tiers"] = [{"tier": tier, **found} for tier, found in tiers.items()]
            source = str(target.get("source") or "")
            if re.fullmatch(r"https?://[^\s'\"]{1,150}", source):
                row["source"] = source
                urls[source] += 1
        row |= abilities(name, target)
        if len(row) > 1:
            rows[name] = row
    sources = [url for url, times in urls.most_common() if times > 1]
    for row in rows.values():
        if "source" in row:
            row["source"] = sources.index(row["source"]) if row["source"] in sources else -1
            if row["source"] < 0:
                del row["source"]
    return [rows[name] for name in sorted(rows)], sources


def known(name: str, providers: list[dict[str, Any]]) -> bool:
    """Whether genai-prices has the model, by the same steps as src/pricing/names.rs; then its price counts."""
    prefix, _, ref = name.partition("/")
    by_id = {each["id"]: each for each in providers}
    first = by_id.get(PREFIXES[prefix] or "")
    if first is None:
        return False
    searched = [first, *(by_id[other] for other in first.get("fallback", []))]
    return any(holds(one.get("match", one["id"].lower()), ref) for each in searched for one in each["models"])


def canonical(key: str, provider_: str) -> str | None:
    """`provider/model` in lower case, by the prefix that people write."""
    name = provider_.lower()
    name = re.sub(r"^vertex_ai-.*", "vertex_ai", name)
    name = {
        "bedrock_converse": "bedrock",
        "text-completion-openai": "openai",
        "text-completion-codestral": "codestral",
        "fireworks_ai-embedding-models": "fireworks_ai",
        "azure_text": "azure",
        "cohere_chat": "cohere",
    }.get(name, name)
    key = key.lower()
    for prefix in (name, provider_.lower()):
        key = key.removeprefix(prefix + "/")
    if name not in PREFIXES or (name == "bedrock" and "/" in key):  # the slash: prices of one region
        return None
    return f"{name}/{key}"


def litellm_rates(entry: dict[str, Any]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    base: dict[str, dict[str, Decimal]] = {}
    above: dict[str, dict[str, list[tuple[int, Decimal]]]] = {}
    for key, value in entry.items():
        if not isinstance(value, int | Decimal) or isinstance(value, bool) or "cost" not in key:
            continue
        price = per_million(value)
        if match := ABOVE.match(key):
            if match["base"] in RATES:
                tier = SUFFIXES[match["suffix"] or ""] or ""
                start = int(match["thousands"]) * 1000
                above.setdefault(tier, {}).setdefault(RATES[match["base"]], []).append((start, price))
            continue
        for suffix, tier in SUFFIXES.items():
            if key.removesuffix(suffix) in RATES and (suffix or key in RATES):
                base.setdefault(tier or "", {})[RATES[key.removesuffix(suffix)]] = price
                break
    if isinstance(entry.get("tiered_pricing"), list):
        tiered(entry["tiered_pricing"], base, above)
    if isinstance(entry.get("input_cost_per_request"), int | Decimal):
        base.setdefault("", {})["request"] = Decimal(entry["input_cost_per_request"]) * 1000
    standard = base.get("", {})
    if "in" not in standard:
        return {}, {}
    result = {}
    for tier, found in base.items():
        unit_rates: dict[str, Any] = {}
        for unit, price in found.items():
            # Zero beside a price for input says that nobody looked; such tokens cost what input does.
            if unit in ("write", "write_1h") and not price:
                continue
            steps = sorted(above.get(tier, {}).get(unit, []))
            unit_rates[unit] = [amount(price), *([s, amount(p)] for s, p in steps)] if steps else amount(price)
        # Parts need the price of what they are a part of.
        if tier == "" and "write" not in unit_rates:
            unit_rates.pop("write_1h", None)
        if tier == "" and "out" not in unit_rates:
            unit_rates.pop("reasoning", None)
            unit_rates.pop("out_audio", None)
        result[tier] = unit_rates
    standard_rates = result.pop("")
    return standard_rates, {tier: found for tier, found in result.items() if found}


def per_million(value: Any) -> Decimal:
    """Twelve digits: what is beyond them came from binary fractions, as in 1.6000000000000001e-06."""
    return +(Decimal(value) * MILLION).normalize(Context(prec=12))


def tiered(steps: list[dict[str, Any]], base: Any, above: Any) -> None:
    """Prices by the length of the whole prompt, as a list of ranges."""
    for step in sorted((step for step in steps if "range" in step), key=lambda step: step["range"][0]):
        start = int(step["range"][0])
        for key, unit in RATES.items():
            if key in step:
                price = per_million(step[key])
                if start == 0:
                    base.setdefault("", {})[unit] = price
                elif unit in base.get("", {}):
                    above.setdefault("", {}).setdefault(unit, []).append((start, price))


def abilities(name: str, entry: dict[str, Any]) -> dict[str, Any]:
    """What the model can do: true, false where that is known, absent where it is not."""
    provider_, _, ref = name.partition("/")
    thorough = provider_ in THOROUGH and entry.get("supports_function_calling") is True and not ref.startswith("ft:")
    modalities = entry.get("supported_modalities")
    found: dict[str, Any] = {}
    for short, key in (("ctx", "max_input_tokens"), ("max", "max_output_tokens")):
        if isinstance(entry.get(key), int | Decimal):
            found[short] = int(entry[key])

    def able(flag: str, modality: str | None, missing: bool | None) -> bool | None:
        if isinstance(entry.get(flag), bool):
            return entry[flag]
        if modality and isinstance(modalities, list):
            return modality in modalities
        return missing

    flags = {
        "images": able("supports_vision", "image", False if thorough else None),
        "tools": able("supports_function_calling", None, None),
        "audio": able("supports_audio_input", "audio", False if thorough and provider_ != "mistral" else None),
        "schema": able("supports_response_schema", None, None),
        "reasoning": able("supports_reasoning", None, None),
    }
    if entry["mode"] != "embedding":
        can = "".join(flag[0] for flag, value in flags.items() if value is True)
        cannot = "".join(flag[0] for flag, value in flags.items() if value is False)
        if can:
            found["can"] = can
        if cannot:
            found["cannot"] = cannot
    day = entry.get("deprecation_date")
    if isinstance(day, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", day):
        found["shutdown"] = day
    return found
