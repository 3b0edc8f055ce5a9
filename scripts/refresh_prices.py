"""Writes data/prices/prices.json from two pinned wheels, which are read as zip files and never imported.

    python scripts/refresh_prices.py            # pip downloads the wheels
    python scripts/refresh_prices.py --wheels DIR

To refresh: raise the two versions and READ below, run it, look at the difference, run the tests;
`tests/test_prices_peer.py` compares the result with genai-prices itself.

genai-prices (MIT) is the source: every provider with its models in order, the names each model matches, dated, hourly
and tiered prices, and what batch, flex, priority and fast cost. LiteLLM's price file (MIT) completes it with models
that genai-prices does not know, and with what a model can do and when it is shut down.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter
from decimal import Context, Decimal
from pathlib import Path
from typing import Any

GENAI_PRICES = "0.2.3"
LITELLM = "1.110.2"
# The day on which both were read.
READ = "2026-11-26"

TARGET = Path(__file__).resolve().parent.parent / "data" / "prices" / "prices.json"
LITELLM_FILE = "litellm/model_prices_and_context_window_backup.json"

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheels", type=Path, help="folder that holds the two wheels already")
    parser.add_argument("--out", type=Path, default=TARGET)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = options.wheels or download(Path(made))
        data = member(folder, "genai_prices", GENAI_PRICES, "genai_prices/data.py")
        prices = json.loads(member(folder, "litellm", LITELLM, LITELLM_FILE), parse_float=Decimal, parse_int=int)
    providers = [provider(call) for call in providers_of(data)]
    rows, sources = completions(prices, providers)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(render(providers, rows, sources), encoding="utf-8")
    models = sum(len(each["models"]) for each in providers)
    print(
        f"{options.out}: {models} models of {len(providers)} providers, {len(rows)} rows of LiteLLM, "
        f"{options.out.stat().st_size / 1000:.0f} kB"
    )


def download(folder: Path) -> Path:
    for name in (f"genai-prices=={GENAI_PRICES}", f"litellm=={LITELLM}"):
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        subprocess.run([*command, "--dest", str(folder), name], check=True)
    return folder


def member(folder: Path, name: str, version: str, path: str) -> str:
    wheels = sorted(folder.glob(f"{name}-{version}-*.whl"))
    if not wheels:
        raise SystemExit(f"no wheel {name}-{version}-*.whl in {folder}")
    with zipfile.ZipFile(wheels[0]) as wheel:
        return wheel.read(path).decode()


# --- genai-prices: a Python literal of nested calls, walked as a syntax tree ---


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


def amount(value: Decimal) -> str:
    """Dollars without an exponent and without trailing zeros; text, so that no binary fraction comes in between."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


# --- what names a model matches: patterns in which * is any text and # one digit ---


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


NO_SLASH = "(?![^/]+/)"
NO_SPEECH = "^(?!.*-[tT][tT][sS](?:$|-))"


def regex(source: str) -> Any:
    """The few forms of expression that are used, as patterns; anything else stops the script."""
    if source == NO_SPEECH:
        return {"not": ["*-tts", "*-tts-*"]}
    if source.startswith("^" + NO_SLASH):
        return {"all": [{"not": "*/*"}, regex("^" + source[1 + len(NO_SLASH) :])]}
    if not source.startswith("^"):
        raise SystemExit(f"an expression this script does not know: {source}")
    found = sorted(expand(source[1:].removesuffix("$")))
    end = "" if source.endswith("$") else "*"
    return [text + end for text in found] if len(found) > 1 else found[0] + end


TOKEN = re.compile(
    r"\\d\{(?P<many>\d+)\}|(?P<digit>\\d)|\\(?P<escaped>[^\w])|\[(?P<set>[\w@-]+)\]|(?P<plain>[\w/:@=-])"
)


def expand(source: str) -> set[str]:
    """All texts an expression of literals, digits, sets, optional groups and alternatives stands for."""
    texts, rest = {""}, source
    while rest:
        if rest.startswith("("):
            inner, rest = group(rest)
            choices = {text for part in alternatives(inner.removeprefix("?:")) for text in expand(part)}
        else:
            token = TOKEN.match(rest)
            if not token:
                raise SystemExit(f"an expression this script does not know: {source}")
            rest = rest[token.end() :]
            if token["many"]:
                choices = {"#" * int(token["many"])}
            elif token["digit"]:
                choices = {"#"}
            else:
                choices = set(token["set"] or token["escaped"] or token["plain"])
        if rest.startswith("?"):
            rest, choices = rest[1:], choices | {""}
        texts = {text + choice for text in texts for choice in choices}
    return texts


def group(source: str) -> tuple[str, str]:
    depth = 0
    for index, sign in enumerate(source):
        depth += (sign == "(") - (sign == ")")
        if depth == 0:
            return source[1:index], source[index + 1 :]
    raise SystemExit(f"an open bracket: {source}")


def alternatives(source: str) -> list[str]:
    parts, depth = [""], 0
    for sign in source:
        depth += (sign == "(") - (sign == ")")
        if sign == "|" and depth == 0:
            parts.append("")
        else:
            parts[-1] += sign
    return parts


# --- LiteLLM: one flat object; each row becomes a price like the others, and what the model can do ---

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


def holds(pattern: Any, name: str) -> bool:
    if isinstance(pattern, list):
        return any(holds(each, name) for each in pattern)
    if isinstance(pattern, dict):
        return (
            all(holds(each, name) for each in pattern["all"]) if "all" in pattern else not holds(pattern["not"], name)
        )
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*").replace(r"\#", "[0-9]"), name) is not None


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


# --- the file: one line a model, so that a refresh can be read as a difference ---


def render(providers: list[dict[str, Any]], rows: list[Any], sources: list[str]) -> str:
    def line(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

    head = {
        "version": f"genai-prices {GENAI_PRICES}, litellm {LITELLM}",
        "as_of": READ,
        "genai_prices": GENAI_PRICES,
        "litellm": LITELLM,
        "prefixes": PREFIXES,
    }
    parts = ["{", *(f"{line(key)}:{line(value)}," for key, value in head.items()), '"providers":[']
    for index, each in enumerate(providers):
        rest = {key: value for key, value in each.items() if key != "models"}
        parts.append(line(rest)[:-1] + ',"models":[')
        parts += [line(one) + ("," if i + 1 < len(each["models"]) else "") for i, one in enumerate(each["models"])]
        parts.append("]}" + ("," if index + 1 < len(providers) else ""))
    parts += ["],", f'"sources":{line(sources)},', '"rows":[']
    parts += [line(row) + ("," if index + 1 < len(rows) else "") for index, row in enumerate(rows)]
    parts += ["]}", ""]
    return "\n".join(parts)


if __name__ == "__main__":
    main()
