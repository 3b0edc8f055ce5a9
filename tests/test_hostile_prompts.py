"""Prompts of ten megabytes and of odd characters, through every router and every way of asking."""

from __future__ import annotations

import asyncio
import math
import time
import tracemalloc
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from fakeserver import FakeServer
from ferroute import _core
from ferroute.controller import Controller, RoutingError
from ferroute.errors import FerrouteError, InvalidValueError
from ferroute.routers.base import Router
from ferroute.routers.routers import ROUTER_CLS
from hostile.limits import Refused, outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

GOLDENS = Path(__file__).parent / "goldens"
MEGABYTE = 1 << 20

LONG = {
    "one word": "a" * (10 * MEGABYTE),
    "words": "what is this? " * (10 * MEGABYTE // 14),
    "blanks": " " * (10 * MEGABYTE),
    "lines": "\n" * (10 * MEGABYTE),
    "brackets": "[{(" * (10 * MEGABYTE // 3),
    "digits": "1234567890" * MEGABYTE,
    "Chinese": "量子" * (10 * MEGABYTE // 6),
    "marks over marks": "e" + "\u0301" * (5 * MEGABYTE),
    "joined emoji": "👩\u200d" * (10 * MEGABYTE // 7),
    "halves": "\ud83d" * (3 * MEGABYTE),
    "zero bytes": "\0" * (10 * MEGABYTE),
}
ODD = {
    "empty": "",
    "half a pair": "a \ud800 b",
    "other half": "\udfff",
    "pair of halves": "\ud83d\ude00",
    "zero byte": "a\0b",
    "bidi": "\u202eevil\u202c\u2066\u2069 what",
    "ends of lines": "\r\n\u2028\u2029\x85\x0b\x0c",
    "controls": "".join(map(chr, range(32))) + "\x7f\x9b",
    "no characters": "\ufffe\uffff\U0010ffff",
    "byte order marks": "\ufeff\ufeffhello",
    "special tokens": "[CLS][SEP]</s><|eot_id|>[[5]]{question}{{}}",
    "a model string": "router-local-0.5",
    "tags": "\U000e0041\U000e007f",
}


@pytest.fixture(scope="module")
def server() -> Iterator[FakeServer]:
    with FakeServer(dim=_core.MfModel(GOLDENS / "mf" / "main" / "checkpoint").text_dim) as server:
        yield server


@pytest.fixture(scope="module")
def controller(server: FakeServer, tmp_path_factory: pytest.TempPathFactory) -> Controller:
    """Every router there is, those that embed or ask with a server that answers at once."""
    causal = GOLDENS / "causal_llm"
    where = {"api_base": server.url, "api_key": "k"}
    config = {
        "mf": {
            "checkpoint_path": str(GOLDENS / "mf" / "main" / "checkpoint"),
            "embedder": {"model": "openai/e", **where},
            "check_embedder": False,
        },
        "bert": {"checkpoint_path": str(GOLDENS / "bert" / "wordpiece" / "checkpoint")},
        "rules": {
            "rules": [
                {"when": {"pattern": ["(a|aa)+$", r"(\w+\s?)*\?$", "(?i)(x*)*y"]}, "use": "cheap"},
                {"when": {"words": ["evil", "\ufeff"]}, "use": "expensive"},
            ]
        },
        "semantic": {"routes": {"code": ["fix this bug", "write a function"]}, "map": {"code": "expensive"}},
        "llm_classifier": {"model": "openai/sorter", "preset": "article", **where},
    }
    assert causal.is_dir()
    tiers = {"cheap": "openai/small", "mid": "openai/medium", "expensive": "openai/large"}
    return Controller(list(ASKED), tiers=tiers, config=config, **where)


ASKED = {
    "random": "router-random-0.5",
    "local": "router-local-30%",
    "bert": "router-bert-0.4",
    "mf": "router-mf-0.4",
    "rules": "router-rules",
    "semantic": "router-semantic",
    "llm_classifier": "router-llm_classifier",
}


@pytest.mark.parametrize("router", ASKED)
def test_ten_megabytes_take_bounded_time(router: str, controller: Controller) -> None:
    for name, prompt in LONG.items():
        start = time.perf_counter()
        decision = controller.decide(prompt, model=ASKED[router])
        assert time.perf_counter() - start < 10, name
        assert decision.model in controller.tiers.values()
        if decision.win_rate is not None:
            assert 0 <= decision.win_rate <= 1
        assert len(str(decision)) < 5_000


@pytest.mark.parametrize("router", ASKED)
def test_odd_characters_are_decided_on(router: str, controller: Controller, server: FakeServer) -> None:
    async def asynchronously(prompt: str) -> Any:
        messages = [{"role": "user", "content": prompt}]
        return await controller.chat.completions.acreate(model=ASKED[router], messages=messages)

    decided = controller.decide_batch(list(ODD.values()), model=ASKED[router])
    assert len(decided) == len(ODD)
    for (name, prompt), batch in zip(ODD.items(), decided, strict=True):
        alone = controller.decide(prompt, model=ASKED[router])
        if router != "random":
            assert (alone.win_rate, alone.tier) == (batch.win_rate, batch.tier), name
        str(alone.explain())
        answer = controller.chat.completions.create(
            model=ASKED[router], messages=[{"role": "user", "content": [{"type": "text", "text": prompt}]}]
        )
        assert answer.choices[0].message.content, name
    assert asyncio.run(asynchronously(ODD["half a pair"])).choices[0].message.content
    # What went out is valid JSON in valid UTF-8: halves were joined or replaced.
    assert all(request.json for request in server.requests)


def test_ten_megabytes_in_a_batch_take_bounded_memory(controller: Controller) -> None:
    prompts = list(LONG.values())
    tracemalloc.start()
    try:
        rates = controller.batch_calculate_win_rate(np.array(prompts, dtype=object), "local")
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(rates) == len(prompts)
    assert most < 200 * MEGABYTE  # the halves are read by way of UTF-16


def test_ten_megabytes_are_sent_whole(controller: Controller, server: FakeServer) -> None:
    before = len(server.requests)
    for name in ("words", "halves"):
        messages = [{"role": "user", "content": LONG[name]}]
        assert controller.chat.completions.create(model="router-local-0.5", messages=messages).choices
    sent = server.requests[before].json["messages"][0]["content"]
    assert sent == LONG["words"]
    assert set(server.requests[before + 1].json["messages"][0]["content"]) == {"\ufffd"}


def test_guesses_read_any_text() -> None:
    from ferroute.tasks import guess_task

    for name, prompt in {**LONG, **ODD}.items():
        start = time.perf_counter()
        guess_task(prompt)
        _core.guess_language(prompt)
        _core.only_follows(prompt)
        assert time.perf_counter() - start < 5, name


# --- expressions that take for ever ---


def test_expressions_of_rules_are_bounded() -> None:
    huge = {
        "repeated": "(a{1000}){1000}",
        "repeated thrice": "((a{100}){100}){100}",
        "all letters": r"\pL{10000}",
        "nested": "(" * 2_000 + "a" + ")" * 2_000,
        "alternatives": "|".join(f"word{i}" for i in range(200_000)),
        "not closed": "(a",
        "looks around": "(?=a)(?!b)(?<=c)",
        "refers back": r"(a)\1",
    }
    for name, pattern in huge.items():
        start = time.perf_counter()
        with pytest.raises(InvalidValueError) as raised:
            _core.Rules(f"rules:\n  - when: {{pattern: '{pattern}'}}\n    use: cheap\n", "r.yaml")
        assert len(str(raised.value)) < 3_000, name
        assert time.perf_counter() - start < 5, name


CATASTROPHES = [r"(a|a)*$b", r"(a+)+$", r"(?=(a+)+b)a", r"(a*)*\1b", r"(.*)*(?<!x)y", "(?:a{1,500}){1,500}"]


@pytest.mark.parametrize("kind", ["Split", "Replace"])
def test_expressions_of_a_tokenizer_are_bounded(kind: str, tmp_path: Path) -> None:
    """They may look around and refer back, so they can be exponential."""
    import json

    golden = GOLDENS / "causal_llm" / "base_tokenizer"
    for file in golden.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    whole = json.loads((golden / "tokenizer.json").read_text())
    for pattern in CATASTROPHES:
        regex = {"Regex": pattern}
        if kind == "Split":
            split = {"type": "Split", "pattern": regex, "behavior": "Isolated", "invert": False}
            changed = whole | {"pre_tokenizer": split}
        else:
            changed = whole | {"normalizer": {"type": "Replace", "pattern": regex, "content": "b"}}
        (tmp_path / "tokenizer.json").write_text(json.dumps(changed))
        start = time.perf_counter()
        with warnings.catch_warnings(action="ignore"):
            outcome(lambda: _core.CausalTokenizer(tmp_path, []).encode("a" * 30_000 + "!"), FerrouteError)
        assert time.perf_counter() - start < 5, pattern


# --- numbers that are none ---

NUMBERS = [math.nan, math.inf, -math.inf, 1e308, -1e-9, 10**400, True, "0.5", None, np.float32("nan"), np.array([0.5])]


def test_thresholds_that_are_none_are_refused() -> None:
    controller = Controller(["local"], "openai/big", "openai/small")
    for number in NUMBERS:
        if number is not None and number is not True:
            decision = outcome(
                lambda number=number: controller.decide("hello", "local", number), RoutingError, ValueError, TypeError
            )
            assert isinstance(decision, Refused) or 0 <= float(decision.threshold) <= 1, number


def test_win_rates_that_are_none_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Odd(Router):
        rate: Any = 0.5

        def calculate_strong_win_rate(self, prompt: str) -> Any:
            return self.rate

    monkeypatch.setitem(ROUTER_CLS, "odd", Odd)
    controller = Controller(["odd"], "openai/big", "openai/small")
    for rate in [*NUMBERS, 2, -1, "x", [], {}, object(), 1j, np.nan]:
        Odd.rate = rate
        decision = outcome(lambda: controller.decide("hello", "odd", 0.5), ValueError, TypeError, OverflowError)
        assert isinstance(decision, Refused) or isinstance(decision.win_rate, float | None), rate
