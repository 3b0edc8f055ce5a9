"""How each callable of `ferroute._core` is called rightly: its arguments, by name."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ferroute import _core

GOLDENS = Path(__file__).parent.parent / "goldens"
ROWS = 30
NOWHERE = "http://127.0.0.1:9/v1"
"""Nothing listens there, so a call fails at once."""

MADE_BY_CALLS = {"Reply": "made by a call", "EventStream": "made by a call", "GatewayBody": "made by a request"}
"""Classes that cannot be made from Python; what they take is tested with the servers."""

NOT_CALLED = {"Gateway.serve": "serves until it is stopped; tests/test_gateway_serve.py has its argument"}
"""Callables that are left out, and why."""


AMOUNT_OF_WORK = {
    "CausalModel(max_new_tokens)",
    "Fitting.chance(times)",
    "Fitting.folds(folds)",
    "MfTrainer.fit(epochs)",
    "eval_resample(resamples)",
    "eval_resample(num_results)",
    "eval_curve(num_results)",
    "eval_optimum_curve(num_results)",
}
"""Arguments that say how much is to be done: of whole numbers they get none above 1, which would be done."""


def columns(n: int = ROWS) -> tuple[Any, Any, Any]:
    """Win rates, strong and weak scores."""
    rates = np.linspace(0, 1, n)
    return rates, np.ones(n), (rates < 0.5).astype(float)


@cache
def subject(name: str) -> Any:
    """An object of a class, whose methods are called."""
    ladder = [("cheap", "openai/a"), ("mid", "openai/b"), ("expensive", "openai/c")]
    checkpoint = GOLDENS / "causal_llm" / "checkpoint"
    config = "tiers: {cheap: openai/a, expensive: openai/b}\n"
    makers: dict[str, Any] = {
        "Ladder": lambda: _core.Ladder(ladder),
        "ShareWindow": lambda: _core.ShareWindow([0.1, 0.9]),
        "RampPlan": lambda: _core.RampPlan(**RECIPES["RampPlan"]()),
        "Ramp": lambda: _core.Ramp(None, subject("RampPlan")),
        "Request": lambda: _core.Request("hello"),
        "Serving": lambda: _core.Serving([("openai/gpt-5.4-mini", {}), ("openai/gpt-5.5", {})], False),
        "Verdict": lambda: _core.Verdict("cheap"),
        "Rules": lambda: _core.Rules(RULES),
        "MfModel": lambda: _core.MfModel(GOLDENS / "mf" / "small" / "checkpoint"),
        "BertModel": lambda: _core.BertModel(GOLDENS / "bert" / "wordpiece" / "checkpoint"),
        "Client": lambda: client(),
        "Embedder": lambda: _core.Embedder("openai/e", api_base=NOWHERE, api_key="k", max_retries=0),
        "Classifier": lambda: _core.Classifier("openai/c", api_base=NOWHERE, api_key="k", max_retries=0),
        "PromptBatches": lambda: _core.read_prompts(GOLDENS / "injections.jsonl"),
        "CausalPrompt": lambda: _core.CausalPrompt("s", "{question}", "{instruction}", "{instruction}"),
        "CausalTokenizer": lambda: _core.CausalTokenizer(GOLDENS / "causal_llm" / "base_tokenizer", ["[[1]]"]),
        "CausalModel": lambda: _core.CausalModel(
            checkpoint, GOLDENS / "causal_llm" / "base_tokenizer", labels=[f"[[{n}]]" for n in range(1, 6)]
        ),
        "Fitting": lambda: _core.Fitting(**RECIPES["Fitting"]()),
        "FittedModel": lambda: subject("Fitting").model(**RECIPES["Fitting.model"]()),
        "MfTrainer": lambda: _core.MfTrainer(4, 3, 5),
        "ParquetWriter": lambda: _core.ParquetWriter("written.parquet", {"a": "text", "b": "number"}),
        "SemanticModel": lambda: _core.SemanticModel(**RECIPES["SemanticModel"]()),
        "SwRanking": ranking,
        "Ledger": lambda: _core.Ledger("memory:"),
        "GatewayConfig": lambda: _core.read_gateway_config(config, "gateway.yaml", ".")[0],
        "GatewaySetup": lambda: _core.GatewaySetup(**RECIPES["GatewaySetup"]()),
        "Keys": lambda: _core.Keys("sqlite:///keys.db"),
        "Bank": lambda: _core.Bank("sqlite:///keys.db"),
        "Gateway": lambda: _core.Gateway(_core.GatewaySetup(**RECIPES["GatewaySetup"]())),
    }
    return makers.get(name, getattr(_core, name))()


def client(**more: Any) -> Any:
    return _core.Client("openai/m", api_base=NOWHERE, api_key="k", max_retries=0, **more)


def ranking() -> Any:
    prompt = '["a question that is long enough"]'
    battles = {
        "model_a": [f"m{i % 3}" for i in range(ROWS)],
        "model_b": [f"m{(i + 1) % 3}" for i in range(ROWS)],
        "prompt": [prompt] * ROWS,
        "winner_model_a": np.array([float(i % 2) for i in range(ROWS)]),
        "winner_model_b": np.array([float((i + 1) % 2) for i in range(ROWS)]),
    }
    _core.write_columns("battles.parquet", battles)
    np.save("battles.npy", np.random.default_rng(0).standard_normal((ROWS, 4)).astype(np.float32))
    return _core.SwRanking(["battles.parquet"], ["battles.npy"], 2)


def endpoint() -> dict[str, Any]:
    return {
        "model": "openai/m",
        "api_base": NOWHERE,
        "api_key": "k",
        "organization": None,
        "extra_headers": None,
        "extra_query": None,
        "api_version": None,
        "base_model": None,
        "max_retries": 0,
        "timeout": 5.0,
    }


def entry() -> dict[str, Any]:
    """A call for the ledger."""
    numbers = ("prompt_tokens", "completion_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens")
    nothing = ("error", "router", "requested", "tier", "session", "key", "text", "task", "signs", "response", "at")
    return {
        "model": "openai/m",
        **dict.fromkeys(numbers, 1),
        **dict.fromkeys(nothing),
        "estimated": False,
        "cost": "0.1",
        "router_cost": None,
        "baseline": None,
        "ttft_ms": None,
        "total_ms": 1.0,
        "outcome": "ok",
        "attempts": 1,
        "win_rate": 0.5,
        "threshold": 0.5,
        "holdout": False,
        "tags": [],
    }


RULES = '{"rules": [{"when": {"words": ["bug"]}, "use": "expensive"}], "otherwise": "cheap"}'

_TOKENS = (1, 1, 0, 0, 0, 0, 0, 0)
_AT = "2026-01-12"
_WANTED = (None, None, None, None)
_X = {"strong": 0, "weak": 1, "threads": 1}


def small_matrix() -> Any:
    return np.zeros((3, subject("MfModel").text_dim), dtype=np.float32)


def battles() -> Any:
    return np.array([[0, 1, 0], [1, 2, 1], [2, 0, 2]] * 10)


RECIPES: dict[str, Any] = {
    # routing
    "parse_model_name": lambda: {
        "model": "router-local-0.5", "hyphenated": ["my-own"], "naming": ["rules"], "rungs": 2,
    },
    "validate": lambda: {"router": "a", "routers": {"a": 1}, "number": 0.5, "is_share": False, "shown": "0.5"},
    "validate_cuts": lambda: {
        "router": "a", "routers": {"a": 1}, "cuts": [0.1, 0.2], "are_shares": False, "ladder": subject("Ladder"),
    },
    "parse_float": lambda: {"text": "0.5"},
    "float_repr": lambda: {"value": 0.5},
    "percent": lambda: {"share": 0.5},
    "percents": lambda: {"shares": [0.6, 0.1]},
    "ShareWindow": lambda: {"pseudo_scores": [0.5]},
    "ShareWindow.push": lambda: {"win_rate": 0.5},
    "Ladder": lambda: {"rungs": [("a", "openai/a"), ("b", "openai/b")]},
    "Ladder.pair": lambda: {"weak": "openai/a", "strong": "openai/b"},
    "Ladder.find": lambda: {"name": "cheap"},
    "Ladder.by_threshold": lambda: {"win_rate": 0.5, "threshold": 0.5},
    "Ladder.by_thresholds": lambda: {"win_rate": 0.5, "cuts": [0.2, 0.3]},
    "Ladder.by_shares": lambda: {
        "window": subject("ShareWindow"), "win_rate": 0.5, "shares": [0.6, 0.1], "prompt": "x",
    },
    "Ladder.settle": lambda: {"wanted": 1, "floor": 0, "ceiling": 2, "barred": [None, "why", None]},
    # rollout
    "RampPlan": lambda: {
        "stages": [(0.2, 0.3), (0.5, 0.6)], "start": 1, "certified": True, "reference": np.linspace(0, 1, ROWS),
        "max_quality_loss": 0.05, "confidence": 0.95, "horizon": None, "rates": (0.1, 0.1), "revert_on_drift": True,
        "regret": False,
    },
    "RampPlan.rehearse": lambda: dict(zip(("win_rates", "strong", "weak"), columns(), strict=True)) | {
        "rate": 0.5, "seed": 0,
    },
    "Ramp": lambda: {"path": None, "plan": subject("RampPlan")},
    "Ramp.of_lines": lambda: {"text": subject("Ramp").lines()},
    "Ramp.keeps": lambda: {"plan": subject("RampPlan")},
    "Ramp.observe": lambda: {"win_rate": 0.5, "strong": 1.0, "weak": 0.5, "probability": 1.0, "threshold": 0.5},
    "Ramp.observe_many": lambda: dict(zip(("win_rates", "strong", "weak"), columns(), strict=True)) | {
        "probability": 1.0, "threshold": 0.5,
    },
    "Ramp.moves": lambda: {"start": 0},
    "ramp_stages": lambda: {"win_rates": np.linspace(0, 1, ROWS), "shares": [0.2, 0.5]},
    "Trial": lambda: {"split": 0.5, "confidence": 0.95},
    "Trial.observe": lambda: {"second": True, "score": 0.5, "key": "k"},
    "ab_arm": lambda: {"salt": "s", "key": "k", "split": 0.5},
    "ab_required_n": lambda: {"effect": 0.1, "baseline": 0.5, "power": 0.8, "split": 0.5, "confidence": 0.95},
    # request
    "Request": lambda: {
        "messages": [{"role": "user", "content": "hi"}], "keywords": {"max_tokens": 5}, "text": "t", "task": "x",
        "session": "s", "tags": [("a", "b")],
    },
    "Serving": lambda: {"rungs": [("openai/a", {}), ("openai/b", {})], "skips_retired": False},
    "Serving.check_text": lambda: {"chars": 10, "max_latency_ms": None},
    "Serving.check": lambda: {
        "request": subject("Request"), "max_latency_ms": 5.0, "stream": False, "api_base": None, "api_key": None,
    },
    "Serving.in_place_of": lambda: {"model": "openai/a", "reason": "why", "barred": [None, None]},
    "Sessions.stay": lambda: {
        "serving": subject("Serving"), "request": subject("Request"), "wanted": 0, "ceiling": 1, "barred": [None, None],
    },
    "Sessions.remember": lambda: {"serving": subject("Serving"), "request": subject("Request"), "rung": 0},
    "viewed": lambda: {"request": subject("Request"), "view": "last", "join": True},
    "only_follows": lambda: {"turn": "yes"},
    "Verdict": lambda: {
        "rung": "cheap", "model": None, "floor": None, "ceiling": None, "ask": None, "label": "l", "reason": "r",
        "fired": ["f"], "scores": [("a", 0.5)], "notes": ["n"],
    },
    "explain": lambda: {
        "rungs": [("cheap", "openai/a", ["a"], None, 10.0), ("expensive", "openai/b", ["b"], None, 10.0)], "ladder": 2,
        "reach": [0, 1], "wanted": 0, "chosen": 0, "answered": None, "held": None, "floor": None, "ceiling": None,
        "win_rate": (0.5, [0.6]), "rank": None, "named": None, "prompt_tokens": 5, "at": _AT,
    },
    "read_rules": lambda: {"path": "rules.yaml"},
    "rules_preset": lambda: {"name": "article"},
    "Rules": lambda: {"source": RULES, "name": "r.yaml", "otherwise": None, "ladder": None},
    "Rules.choose": lambda: {"request": subject("Request")},
    "Rules.choose_text": lambda: {"prompt": "hello"},
    "Rules.without_each": lambda: {"request": subject("Request")},
    "Rules.bind": lambda: {"ladder": ["cheap", "mid", "expensive"]},
    # matrix factorisation
    "MfModel": lambda: {
        "path": GOLDENS / "mf" / "small" / "checkpoint", "dim": None, "num_models": None, "text_dim": None,
        "num_classes": None, "use_proj": None,
    },
    "MfModel.from_arrays": lambda: {
        "models": np.zeros((3, 4)), "classifier": np.zeros((1, 4)), "projection": np.zeros((4, 5)),
    },
    "MfModel.save": lambda: {"folder": "saved", "config": None},
    "MfModel.win_rate": lambda: {"vector": small_matrix()[0], "strong": 0, "weak": 1},
    "MfModel.win_rates": lambda: {"x": small_matrix(), **_X},
    "MfModel.win_rates_pairs": lambda: {"x": small_matrix(), "pairs": [(0, 1)], "threads": 1},
    "MfModel.logits": lambda: {"vector": small_matrix()[0], "models": [0, 1]},
    "torch_conversion_command": lambda: {"path": "pytorch_model.bin"},
    # evals
    "eval_curve": lambda: {
        "win_rates": columns()[0], "pairs": [columns()[1:]], "num_results": 10, "merge": True,
    },
    "eval_resample": lambda: {
        "win_rates": [columns()[0]], "pairs": [columns()[1:]], "num_results": 5, "resamples": 3, "seed": 0,
        "optimum": True, "threads": 1,
    },
    "eval_figures": lambda: {
        "percent": np.array([[0.0, 50.0, 100.0]]), "quality": np.array([[0.1, 0.5, 0.9]]), "weak": np.array([0.1]),
        "strong": np.array([0.9]), "fractions": [0.5],
    },
    "eval_percent_at": lambda: {
        "percent": np.array([[0.0, 100.0]]), "quality": np.array([[0.1, 0.9]]), "wanted": np.array([0.5]),
    },
    "eval_value_at": lambda: {
        "percent": np.array([[0.0, 100.0]]), "values": np.array([[0.1, 0.9]]), "at": np.array([[5.0]]),
    },
    "eval_optimum": lambda: {"strong": columns()[1], "weak": columns()[2], "fractions": [0.1, 0.5]},
    "eval_optimum_curve": lambda: {"strong": columns()[1], "weak": columns()[2], "num_results": 10},
    "eval_interp": lambda: {"x": np.array([0.5]), "xp": np.array([0.0, 1.0]), "fp": np.array([0.0, 1.0])},
    # local, bert
    "LocalModel.win_rate": lambda: {"text": "hi"},
    "LocalModel.win_rates": lambda: {"texts": ["hi"], "threads": 1},
    "LocalModel.features": lambda: {"texts": ["hi"], "threads": 1},
    "LocalModel.tokenize": lambda: {"text": "hi"},
    "LocalModel.explain": lambda: {"text": "hi", "limit": 3},
    "BertModel": lambda: {"path": GOLDENS / "bert" / "wordpiece" / "checkpoint", "num_labels": 3},
    "BertModel.win_rate": lambda: {"text": "hi", "threads": 1},
    "BertModel.win_rates": lambda: {"texts": ["hi"], "threads": 1, "progress": None},
    "BertModel.logits": lambda: {"texts": ["hi"], "threads": 1, "progress": None},
    "BertModel.logits_of_ids": lambda: {"ids": [1, 2], "types": [0, 0], "threads": 1},
    "BertModel.encode": lambda: {"text": "hi"},
    "BertModel.decode": lambda: {"ids": [1, 2]},
    "BertModel.token_to_id": lambda: {"token": "a"},
    # calls
    "Policy": lambda: {
        "connect_timeout": 1.0, "first_byte_timeout": 1.0, "between_chunks_timeout": 1.0, "timeout": 1.0,
        "deadline": 1.0, "retries": 0, "failures_before_cooldown": 3, "cooldown": 30.0, "hedge": False, "strict": False,
        "escalate_on": ["empty"],
    },
    "Client": lambda: endpoint() | {
        "policy": subject("Policy"), "connect_timeout": 1.0, "fallbacks": [(None, client())], "climb": [],
        "left_out": [], "ledger": subject("Ledger"),
    },
    **{
        f"Client.{name}": lambda: {"body": b'{"messages": []}', "decided": None}
        for name in ("chat", "achat", "chat_stream", "achat_stream")
    },
    "Embedder": lambda: endpoint() | {
        "dimensions": 4, "max_tokens": 100, "cache_size": 10, "batch_size": 4, "concurrency": 2, "base64": True,
    },
    "Embedder.embed": lambda: {"text": "hi"},
    "Embedder.aembed": lambda: {"text": "hi"},
    "Embedder.embed_batch": lambda: {"texts": ["hi"], "progress": None},
    "Embedder.aembed_batch": lambda: {"texts": ["hi"], "progress": None},
    "Classifier": lambda: endpoint() | {
        "preset": None, "labels": [("a", "b"), ("c", "d")], "map": [("a", "cheap"), ("c", "mid")],
        "instructions": "sort", "fallback": "mid", "cache": 10,
    },
    "Classifier.injected": lambda: {"text": "hi"},
    "Classifier.messages": lambda: {"text": "hi"},
    "Classifier.classify": lambda: {"request": subject("Request")},
    "Classifier.aclassify": lambda: {"request": subject("Request")},
    "Classifier.classify_batch": lambda: {"texts": ["hi"], "progress": None},
    # prices
    "pricing_cost": lambda: {"models": ["openai/gpt-5.5"], "tokens": _TOKENS, "tier": None, "at": _AT},
    "pricing_price": lambda: {"model": "openai/gpt-5.5", "tier": None, "at": _AT},
    "pricing_scenario": lambda: {
        "requests": 10, "tokens": _TOKENS, "mix": [("openai/gpt-5.5", 0.5), ("openai/gpt-5.4-mini", 0.5)],
        "baseline": "openai/gpt-5.5", "tier": None, "at": _AT,
    },
    "pricing_ratio": lambda: {
        "strong": "openai/gpt-5.5", "weak": "openai/gpt-5.4-mini", "tokens": _TOKENS, "tier": None, "at": _AT,
    },
    "pricing_facts": lambda: {"model": "openai/gpt-5.5"},
    "pricing_shut_down": lambda: {"model": "openai/gpt-5.5", "at": _AT},
    "pricing_override": lambda: {"json": "{}"},
    # files
    "read_prompts": lambda: {
        "path": GOLDENS / "injections.jsonl", "format": "jsonl", "column": None, "skip_bad": True, "batch_size": 4,
    },
    "read_columns": lambda: {"path": "columns.parquet", "columns": ["a"]},
    "read_matrix": lambda: {"path": "matrix.npy", "column": None},
    "write_columns": lambda: {"path": "columns.parquet", "columns": {"a": ["x", None], "b": np.zeros(2)}},
    "ParquetWriter": lambda: {"path": "made.parquet", "columns": {"a": "text"}},
    "ParquetWriter.write": lambda: {"values": [["x"], np.zeros(1)]},
    "ParquetWriter.__exit__": lambda: {"kind": None, "_value": None, "_trace": None},
    "hash_of_file": lambda: {"path": "matrix.npy"},
    # causal
    "label_probability": lambda: {"logits": [0.1, 0.2, 0.3], "threshold": 2},
    "CausalPrompt": lambda: {
        "system_message": "s", "classifier_message": "{question}", "system": "{instruction}", "user": "{instruction}",
    },
    "CausalPrompt.render": lambda: {"question": "q"},
    "CausalTokenizer": lambda: {"path": GOLDENS / "causal_llm" / "base_tokenizer", "special_tokens": ["[[1]]"]},
    "CausalTokenizer.encode": lambda: {"text": "hi"},
    "CausalTokenizer.decode": lambda: {"ids": [1, 2]},
    "CausalTokenizer.tokens": lambda: {"ids": [1, 2]},
    "CausalTokenizer.token_to_id": lambda: {"token": "a"},
    "CausalModel": lambda: {
        "checkpoint": GOLDENS / "causal_llm" / "checkpoint", "tokenizer": GOLDENS / "causal_llm" / "base_tokenizer",
        "labels": [f"[[{n}]]" for n in range(1, 6)], "own_tokenizer": False, "bf16": False, "max_new_tokens": 2,
        "threads": 1,
    },
    "CausalModel.share": lambda: {"prompt": subject("CausalPrompt")},
    "CausalModel.answer": lambda: {"ids": [1, 2]},
    "CausalModel.answers": lambda: {"prompt": subject("CausalPrompt"), "texts": ["a"], "progress": None},
    "CausalModel.first_logits": lambda: {"ids": [1, 2]},
    # statistics
    "quantiles": lambda: {"values": columns()[0], "at": [0.5], "percent": True},
    "quantile": lambda: {"values": [0.1, 0.2], "at": 0.5},
    "binomial_interval": lambda: {"successes": 3, "trials": 10, "confidence": 0.95},
    "certify_threshold": lambda: dict(zip(("win_rates", "strong", "weak"), columns(), strict=True)) | {
        "gold": None, "risk": "all", "most": 0.1, "delta": 0.05, "start": None, "ceiling": 1.0, "seed": 0,
    },
    "first_weak_share": lambda: {"rows": 100, "most": 0.1, "delta": 0.05},
    "afford_threshold": lambda: {
        "win_rates": columns()[0], "scores": columns()[1:], "costs": columns()[1:], "cap": 1.0, "weak_is_dearer": False,
        "budget": 0.5, "delta": 0.05, "seed": 0,
    },
    # learning
    "Fitting": lambda: {
        "features": np.random.default_rng(0).random((ROWS, 64 + 42)).astype(np.float32), "width": 64,
        "logits": np.zeros(ROWS), "outcomes": np.stack(columns()[1:], axis=1), "threads": 1,
    },
    "Fitting.folds": lambda: {"units": np.arange(ROWS, dtype=np.uint32), "folds": 3, "seed": 0},
    "Fitting.steps": lambda: {"models": 2},
    "Fitting.model": lambda: {
        "pair": (0, 1), "models": ["a", "b"], "win_rates": columns()[0], "embedding": None, "projection": None,
        "zero_shot": True, "neighbours": (3, 1.0), "progress": None,
    },
    "Fitting.cross_validated": lambda: {
        "pair": (0, 1), "folds": np.arange(ROWS, dtype=np.uint32) % 3, "zero_shot": True, "neighbours": (3, 1.0),
        "progress": None,
    },
    "Fitting.chance": lambda: {
        "pair": (0, 1), "folds": np.arange(ROWS, dtype=np.uint32) % 3, "units": np.arange(ROWS, dtype=np.uint32),
        "times": 2, "seed": 0, "zero_shot": False, "progress": None,
    },
    "FittedModel.load": lambda: {"path": "fitted.bin"},
    "FittedModel.from_bytes": lambda: {"content": subject("FittedModel").to_bytes()},
    "FittedModel.save": lambda: {"path": "fitted.bin"},
    "FittedModel.with_card": lambda: {"card": "{}"},
    "FittedModel.win_rate": lambda: {"text": "hi", "embedding": None},
    "FittedModel.explain": lambda: {"text": "hi", "embedding": None, "limit": 3},
    "FittedModel.scores": lambda: {"texts": ["hi"], "embeddings": None, "threads": 1},
    "FittedModel.win_rates": lambda: {"texts": ["hi"], "embeddings": None, "threads": 1},
    "FittedModel.with_model": lambda: {
        "name": "c", "features": subject_features(), "logits": np.zeros(ROWS), "outcomes": columns()[1],
    },
    "FittedModel.project": lambda: {"embeddings": np.zeros((2, 64), dtype=np.float32)},
    "MfTrainer": lambda: {"dim": 4, "num_models": 3, "text_dim": 5, "use_proj": True, "seed": 1},
    "MfTrainer.of": lambda: {"model": subject("MfModel")},
    "MfTrainer.fit": lambda: {
        "x": np.zeros((3, 5)), "train": battles(), "held_out": battles(), "epochs": 1, "patience": 1, "batch_size": 4,
        "lr": 1e-3, "weight_decay": 1e-5, "alpha": 0.1, "shuffle": True, "seed": 1, "threads": 1, "on_epoch": None,
    },
    "MfTrainer.epoch": lambda: {
        "x": np.zeros((3, 5)), "battles": battles(), "batch_size": 4, "lr": 1e-3, "weight_decay": 1e-5, "alpha": 0.1,
        "shuffle": True, "seed": 1, "threads": 1,
    },
    "MfTrainer.evaluate": lambda: {"x": np.zeros((3, 5)), "battles": battles(), "threads": 1},
    "split_battles": lambda: {"battles": battles(), "share": 0.5, "seed": 0},
    # semantic, sw_ranking, tasks
    "SemanticModel": lambda: {
        "routes": [("a", "cheap", ["fix this bug"]), ("b", "expensive", ["write a poem"])], "otherwise": "cheap",
        "vectors": np.eye(2, 4), "ordinary": np.ones((1000, 4)),
    },
    "SemanticModel.choose": lambda: {"request": subject("Request")},
    "SemanticModel.choose_vector": lambda: {"vector": np.ones(4)},
    "SemanticModel.verdict": lambda: {"similarities": [0.1, 0.2]},
    "SemanticModel.similarities": lambda: {"texts": ["hi"]},
    "SemanticModel.similarities_of": lambda: {"vectors": np.ones((2, 4))},
    "SemanticModel.with_thresholds": lambda: {"thresholds": [0.1, 0.2]},
    "SemanticModel.fitted": lambda: {"similarities": [0.1, 0.2], "labels": [0]},
    "SemanticModel.judged": lambda: {"similarities": [0.1, 0.2], "labels": [0]},
    "bradley_terry": lambda: {
        "a": np.arange(ROWS, dtype=np.uint32) % 3, "b": (np.arange(ROWS, dtype=np.uint32) + 1) % 3,
        "winners": np.zeros(ROWS, dtype=np.uint8), "labels": 3, "weights": np.ones(ROWS),
    },
    "cut_tiers": lambda: {"ratings": [1.0, 2.0, 3.0], "num_tiers": 2},
    "sw_weightings": lambda: {"similarities": columns()[0]},
    "SwRanking": lambda: {
        "battles": ["battles.parquet"], "embeddings": ["battles.npy"], "num_tiers": 2, "column": None,
        "model2tier": {"m0": 0, "m1": 1, "m2": 1}, "threads": 1,
    },
    "SwRanking.open": lambda: {"path": "saved.index"},
    "SwRanking.save": lambda: {"path": "saved.index", "sources": "{}"},
    "SwRanking.similarities": lambda: {"vector": np.ones(4), "threads": 1},
    "SwRanking.similarities_of_row": lambda: {"x": np.ones((2, 4)), "row": 0, "threads": 1},
    "SwRanking.tier_ratings": lambda: {"vector": np.ones(4), "threads": 1},
    "SwRanking.tier_ratings_of_weights": lambda: {"weights": np.ones(ROWS)},
    "SwRanking.win_rate": lambda: {"vector": np.ones(4), **_X},
    "SwRanking.win_rate_of_weights": lambda: {"weights": np.ones(ROWS), "strong": 0, "weak": 1},
    "SwRanking.win_rates": lambda: {"x": np.ones((2, 4)), **_X},
    "guess_task": lambda: {"text": "hi"},
    "task_alias": lambda: {"name": "code"},
    "task_cues": lambda: {"text": "hi"},
    "guess_language": lambda: {"text": "this is an English text about nothing"},
    # ledger
    "Ledger": lambda: {"url": "memory:", "store": "features", "create": True},
    "Ledger.answer_tokens": lambda: {"model": "openai/m"},
    "Ledger.add": entry,
    "Ledger.add_outcome": lambda: {
        "response": "r", "call": None, "score": 0.5, "source": "s", "model": None, "probability": None, "at": None,
        "began_by": None,
    },
    "Ledger.mark_drawn": lambda: {"response": "r", "probability": 0.5, "began_by": 1.0},
    "Ledger.drawn": lambda: {"response": "r"},
    "Ledger.outcomes": lambda: {"wanted": _WANTED, "tags": []},
    "Ledger.accuracy": lambda: {"wanted": _WANTED, "passing": 0.5, "strong": None, "weak": None},
    "Ledger.flush": lambda: {"timeout": 1.0},
    "Ledger.close": lambda: {"timeout": 1.0},
    "Ledger.spend": lambda: {"wanted": _WANTED},
    "Ledger.failures": lambda: {"wanted": _WANTED},
    "Ledger.calls": lambda: {"wanted": _WANTED, "most": 5},
    "ledger_features": lambda: {"packed": b""},
    "ledger_flush_all": lambda: {"timeout": 1.0},
    "ledger_hold_all": lambda: {"timeout": 1.0},
    # gateway
    "GatewayConfig.place": lambda: {"way": "tiers"},
    "read_gateway_config": lambda: {"text": "tiers: {a: openai/a, b: openai/b}", "name": "g.yaml", "folder": "."},
    "GatewaySetup": lambda: {
        "ladder": _core.Ladder.pair("openai/a", "openai/b"), "clients": [("openai/a", client()), ("openai/b", "why")],
        "like": client(), "models": [("m", client())], "deciding": None, "aliases": [("x", "m")], "open_models": False,
        "door": None,
    },
    "Keys": lambda: {"url": "sqlite:///keys.db", "create": True},
    "Keys.check": lambda: {"new": '{"name": "a"}'},
    "Keys.create": lambda: {"new": '{"name": "a"}'},
    "Keys.show": lambda: {"name": "a"},
    "Keys.revoke": lambda: {"name": "a"},
    "Bank": lambda: {"url": "sqlite:///keys.db"},
    "Bank.close": lambda: {"limit": 1.0},
    "GatewayDoor": lambda: {
        "policies": "[]", "config": subject("GatewayConfig"), "bank": None, "keys": None, "required": False,
        "admin": None, "hosts": [], "cors": [], "public": False, "max_body": 1.0, "max_connections": 10,
        "header_timeout": 1.0, "body_timeout": 1.0, "idle_timeout": 1.0, "write_timeout": 1.0,
    },
    "GatewaySeeing": lambda: {
        "metrics": True, "logs": "off", "verbose": False, "otlp": None, "otlp_headers": None, "sample": 1.0,
        "told": None,
    },
    "GatewaySeeing.say": lambda: {"level": "info", "event": "e", "message": "m"},
    "GatewayPage": lambda: {
        "ledger": None, "rungs": [(None, "openai/a")], "routers": ["local"], "models": ["m"], "config": None,
        "keys": False, "experiments": None,
    },
    "GatewayPage.renew": lambda: RECIPES["GatewayPage"](),
    "GatewayPage.refused": lambda: {"why": "w"},
    "Gateway": lambda: {"setup": _core.GatewaySetup(**RECIPES["GatewaySetup"]()), "page": None, "seeing": None},
    "Gateway.handle": lambda: {
        "method": "POST", "target": "/v1/chat/completions", "headers": [(b"host", b"localhost")],
        "body": b'{"model": "router-random-0.5", "messages": [{"role": "user", "content": "hi"}]}',
    },
    "Gateway.swap": lambda: {"setup": _core.GatewaySetup(**RECIPES["GatewaySetup"]())},
    "Gateway.bind": lambda: {"host": "127.0.0.1", "port": 0, "workers": 1},
    "Gateway.stop": lambda: {"now": True},
}  # fmt: skip
"""Name -> the right arguments."""


def subject_features() -> Any:
    return RECIPES["Fitting"]()["features"]
