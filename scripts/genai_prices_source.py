"""genai-prices: a Python literal of nested calls, walked as a syntax tree."""

from __future__ import annotations

import ast
import re
from decimal import Decimal
from typing import Any

from price_patterns import regex

# genai-prices' units that calls of chat and embedding models are paid by, and their names in prices.json.
UNITS = {
    "input_mtok": "in",
    "output_mtok": "out",
    "cache_read_mtok": "read",
    "cache_write_mtok": "write",
    "cache_write_1h_mtok": "write_1h",
    "input_audio_mtok": "in_audio",
    "output_audio_mtok": "out_audio",
    "output_reasoning_mtok": "reasoning",
    "requests_kcount": "request",
}
# Searches, images, pages, seconds and cached sound are not in the usage of a chat completion.
OTHER_UNITS = re.compile(
    r"(cache_audio_read_mtok|searches_kcount|_image_\w*mtok|_video_\w*mtok|citation_mtok|hours|kpages|mchars|messages_kcount)$"
)

# Which request context of genai-prices is which service tier of ours.
TIERS = {
    ("processing", "batch"): "batch",
    ("service_tier", "flex"): "flex",
    ("service_tier", "priority"): "priority",
    ("service_tier", "fast"): "fast",
    ("speed", "fast"): "fast",
}
# The standard price again, or what no caller of ours can ask for.
OTHER_CONTEXTS = {("service_tier", "default"), ("route", "mistral/eu"), ("search_type", "fast"), ("search_type", "web")}


def providers_of(source: str) -> list[ast.Call]:
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.AnnAssign) and ast.unparse(statement.target) == "providers":
            assert isinstance(statement.value, ast.List)
            return [call for call in statement.value.elts if isinstance(call, ast.Call)]
    raise SystemExit("genai_prices/data.py has no list `providers`")


def arguments(call: ast.expr) -> dict[str, ast.expr]:
    assert isinstance(call, ast.Call), ast.unparse(call)
    assert not call.args, ast.unparse(call)
    return {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}


def called(call: ast.expr) -> str:
    assert isinstance(call, ast.Call), ast.unparse(call)
    return ast.unparse(call.func)


def provider(call: ast.Call) -> dict[str, Any]:
    given = arguments(call)
    result: dict[str, Any] = {"id": ast.literal_eval(given["id"])}
    if "pricing_urls" in given:
        result["source"] = ast.literal_eval(given["pricing_urls"])[0]
    if "model_match" in given:
        result["claims"] = clause(given["model_match"])
    if "fallback_model_providers" in given:
        result["fallback"] = ast.literal_eval(given["fallback_model_providers"])
    result["models"] = [model(each) for each in elements(given["models"])]
    return result


def elements(node: ast.expr) -> list[ast.expr]:
    assert isinstance(node, ast.List), ast.unparse(node)
    return node.elts


def model(call: ast.expr) -> dict[str, Any]:
    given = arguments(call)
    name = ast.literal_eval(given["id"])
    result: dict[str, Any] = {"id": name}
    matched = clause(given["match"])
    if matched != name.lower():
        result["match"] = matched
    if "context_window" in given:
        result["ctx"] = ast.literal_eval(given["context_window"])
    prices = given["prices"]
    if isinstance(prices, ast.List):
        dated = [
            {**constraint(arguments(each).get("constraint")), **rates(arguments(each)["prices"])}
            for each in prices.elts
        ]
        result["prices"] = dated[0] if len(dated) == 1 and not {"from", "hours"} & dated[0].keys() else dated
    else:
        result["prices"] = rates(prices)
    variants = []
    for each in elements(given["price_variants"]) if "price_variants" in given else []:
        variant = arguments(each)
        ((key, value),) = ast.literal_eval(variant["when"]).items()
        if (key, value) in TIERS:
            variants.append(
                {"tier": TIERS[key, value], **constraint(variant.get("constraint")), **rates(variant["prices"])}
            )
        elif (key, value) not in OTHER_CONTEXTS:
            raise SystemExit(f"{name}: a price variant for {key}={value}, which this script does not know")
    if variants:
        result["tiers"] = variants
    return result


def constraint(node: ast.expr | None) -> dict[str, Any]:
    if node is None or (isinstance(node, ast.Constant) and node.value is None):
        return {}
    given = arguments(node)
    if called(node) == "StartDateConstraint":
        year, month, day = (ast.literal_eval(each) for each in call_arguments(given["start_date"]))
        return {"from": f"{year:04}-{month:02}-{day:02}"}
    if called(node) == "TimeOfDateConstraint":
        return {"hours": [clock(given["start_time"]), clock(given["end_time"])]}
    raise SystemExit(f"a constraint this script does not know: {ast.unparse(node)}")


def call_arguments(node: ast.expr) -> list[ast.expr]:
    assert isinstance(node, ast.Call), ast.unparse(node)
    return node.args


def clock(node: ast.expr) -> int:
    """Seconds since midnight, UTC."""
    assert isinstance(node, ast.Call), ast.unparse(node)
    zone = [ast.unparse(keyword.value) for keyword in node.keywords if keyword.arg == "tzinfo"]
    assert zone in ([], ["datetime.UTC"], ["datetime.timezone.utc"]), zone
    assert {keyword.arg for keyword in node.keywords} <= {"tzinfo"}, ast.unparse(node)
    hour, minute, second = ([ast.literal_eval(each) for each in node.args] + [0, 0])[:3]
    return hour * 3600 + minute * 60 + second


def rates(node: ast.expr) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in arguments(node).items():
        if key in UNITS:
            result[UNITS[key]] = rate(value)
        elif not OTHER_UNITS.search(key):
            raise SystemExit(f"a unit of price this script does not know: {key}")
    return result


def rate(node: ast.expr) -> Any:
    if called(node) == "Decimal":
        return amount(Decimal(ast.literal_eval(call_arguments(node)[0])))
    given = arguments(node)
    assert called(node) == "TieredPrices", ast.unparse(node)
    tiers = sorted(
        (ast.literal_eval(tier["start"]), rate(tier["price"])) for tier in map(arguments, elements(given["tiers"]))
    )
    return [rate(given["base"]), *map(list, tiers)]


def clause(node: ast.expr) -> Any:
    given = arguments(node)
    kind = called(node)
    if kind in ("ClauseOr", "ClauseAnd"):
        parts = [clause(each) for each in elements(next(iter(given.values())))]
        if kind == "ClauseAnd":
            return {"all": parts}
        flat = [one for part in parts for one in (part if isinstance(part, list) else [part])]
        return list(dict.fromkeys(flat)) if all(isinstance(one, str) for one in flat) else flat
    text = ast.literal_eval(next(iter(given.values())))
    if kind == "ClauseRegex":
        return regex(text)
    if set(text) & set("*#"):
        raise SystemExit(f"a name with a sign that patterns use: {text}")
    text = text.lower()
    return {
        "ClauseEquals": text,
        "ClauseStartsWith": f"{text}*",
        "ClauseEndsWith": f"*{text}",
        "ClauseContains": f"*{text}*",
    }[kind]


def amount(value: Decimal) -> str:
    """Dollars without an exponent and without trailing zeros; text, so that no binary fraction comes in between."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
