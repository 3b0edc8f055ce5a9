"""Rungs that cannot serve a request are passed over, and the decision says why."""

from __future__ import annotations

import asyncio
import json
import pickle
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from fakeserver import Answer, FakeServer, completion
from ferroute import Controller, RoutingError, _serving
from ferroute.controller import ROUTER_CLS
from ferroute.decision import aside
from ferroute.pricing import PriceWarning
from ferroute.routers.base import Request, Router, RungRouter, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

# Facts of the price data: gpt-4 takes no images and has 8,192 tokens; gpt-5-chat takes no tools; gpt-5.4-pro does not
# hold itself to a schema. Nothing is known of `openai/new`.
IMAGE = [
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": "https://example.com/x.png"}},
        ],
    }
]
SOUND = [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}]}]
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
SCHEMA = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
HELLO = [{"role": "user", "content": "Say hello"}]
ELSEWHERE = "http://127.0.0.1:9/v1"


class Half(Router):
    """Scores everything the same."""

    def calculate_strong_win_rate(self, prompt: str) -> float:
        return 0.5


class Named(RungRouter):
    """Says what the test has given it."""

    verdict = Verdict("cheap")

    def choose(self, request: Request) -> Verdict:
        return self.verdict


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ROUTER_CLS, "half", Half)
    monkeypatch.setitem(ROUTER_CLS, "named", Named)
    monkeypatch.setattr(_serving, "_told", set())


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server


def pair(weak: str, strong: str = "openai/gpt-4o", base: str = ELSEWHERE, **more: Any) -> Controller:
    return Controller(["half", "named"], strong_model=strong, weak_model=weak, api_base=base, **more)


def ladder(*models: Any, base: str | None = ELSEWHERE, **more: Any) -> Controller:
    names = ("cheap", "mid", "expensive")
    tiers = dict(zip(names, models, strict=True))
    return Controller(["half", "named"], tiers=tiers, api_base=base, **more)


# --- what a request needs ---


def test_a_model_that_takes_no_images_is_skipped() -> None:
    c = pair("openai/gpt-4")
    decision = c.decide(IMAGE, "half", 0.9)
    assert decision.model == "openai/gpt-4o"
    assert decision.notes == ("weak model (openai/gpt-4) is skipped: takes no images",)
    assert decision.reason == "win rate 0.5000 < threshold 0.9: weak model; moved to the strong model"
    # The word and the choice are kept apart, for `explain`.
    trace = aside(decision).trace
    assert trace is not None
    assert (trace.wanted, trace.chosen, trace.barred) == (0, 1, ["takes no images", None])
    assert c.decide("What is this?", "half", 0.9).model == "openai/gpt-4"


@pytest.mark.parametrize(
    ("weak", "request_of", "why"),
    [
        ("openai/gpt-4", {"messages": SOUND}, "takes no audio"),
        ("openai/gpt-5-chat", {"tools": TOOLS}, "takes no tools"),
        ("openai/gpt-5.4-pro", {"response_format": SCHEMA}, "does not hold itself to a JSON schema"),
        (
            "openai/gpt-4",
            {"messages": [{"role": "user", "content": "word " * 8_000}]},
            "its context of 8,192 tokens is too short for about 10,004",
        ),
        (
            "openai/gpt-4",
            {"messages": [{"role": "user", "content": "x" * 24_000}], "max_tokens": 4_000},
            "its context of 8,192 tokens is too short for about 6,004 and an answer of 4,000",
        ),
    ],
)
def test_each_need_is_seen(weak: str, request_of: dict[str, Any], why: str) -> None:
    strong = "openai/new"
    c, request = pair(weak, strong), dict(request_of)
    messages = request.pop("messages", HELLO)
    decision = c.decide(messages, "half", 0.9, **request)
    assert (decision.model, decision.notes) == (strong, (f"weak model ({weak}) is skipped: {why}",))
    assert c.decide(HELLO, "half", 0.9).model == weak


def test_a_long_prompt_alone_is_seen_too() -> None:
    c = pair("openai/gpt-4")
    assert c.decide("word " * 8_000, "half", 0.9).model == "openai/gpt-4o"
    assert c.decide("word " * 6_000, "half", 0.9).model == "openai/gpt-4"
    assert c.route("word " * 8_000, "half", 0.9) == "openai/gpt-4o"


def test_what_nobody_knows_is_assumed_to_be_there() -> None:
    c = pair("openai/new", "openai/newer")
    everything = IMAGE + SOUND + [{"role": "user", "content": "word " * 300_000}]
    decision = c.decide(everything, "half", 0.9, tools=TOOLS, response_format=SCHEMA, max_tokens=10**9)
    assert (decision.model, decision.notes) == ("openai/new", ())


def test_a_base_model_says_what_a_deployment_can() -> None:
    weak = {"model": "azure/mine", "base_model": "gpt-4", "api_base": "https://x.openai.azure.com", "api_key": "k"}
    c = Controller(["half"], strong_model="openai/gpt-4o", weak_model=weak, api_base=ELSEWHERE)
    assert c.decide(IMAGE, "half", 0.9).model == "openai/gpt-4o"


def test_the_nearest_above_serves_else_the_nearest_below() -> None:
    c = ladder("openai/gpt-4", "openai/gpt-3.5-turbo", "openai/gpt-4o")
    decision = c.decide(IMAGE, "half", [0.9, 0.95])
    assert decision.tier == "expensive"
    assert [note.partition(" is")[0] for note in decision.notes] == [
        "cheap (openai/gpt-4)",
        "mid (openai/gpt-3.5-turbo)",
    ]
    c = ladder("openai/gpt-4o", "openai/gpt-4o-mini", "openai/gpt-4")
    assert c.decide(IMAGE, "half", [0.1, 0.2]).tier == "mid"


def test_with_nobody_left_each_is_named_with_its_reason() -> None:
    c = ladder("openai/gpt-4", "openai/gpt-3.5-turbo", "openai/gpt-4-1106-preview")
    with pytest.raises(RoutingError) as caught:
        c.decide(IMAGE, "half", [0.3, 0.7])
    said = str(caught.value)
    for model in ("openai/gpt-4", "openai/gpt-3.5-turbo", "openai/gpt-4-1106-preview"):
        assert f"({model}): takes no images" in said


def test_prices_of_ones_own_are_looked_at_when_they_come() -> None:
    from ferroute import pricing

    c = pair("openai/new")
    assert c.decide(IMAGE, "half", 0.9).model == "openai/new"
    pricing.override({"openai/new": "gpt-4"})
    try:
        assert c.decide(IMAGE, "half", 0.9).model == "openai/gpt-4o"
    finally:
        pricing.override(None)
    assert c.decide(IMAGE, "half", 0.9).model == "openai/new"


def test_other_models_in_the_pair_are_seen_at_once() -> None:
    c = pair("openai/new")
    assert c.decide(IMAGE, "half", 0.9).model == "openai/new"
    c.model_pair.weak = "openai/gpt-4"
    assert c.decide(IMAGE, "half", 0.9).model == "openai/gpt-4o"


def test_a_prompt_that_is_no_text_is_no_matter_of_the_filters(monkeypatch: pytest.MonkeyPatch) -> None:
    class Odd:
        def route(self, prompt: Any, threshold: float, pair: Any) -> str:
            return pair.weak

    monkeypatch.setitem(ROUTER_CLS, "odd", Odd)
    c = Controller(["odd"], strong_model="openai/gpt-4o", weak_model="openai/gpt-4")
    assert c.decide(42, "odd", 0.5).model == "openai/gpt-4"


# --- models beyond the ladder ---


def test_a_named_model_beyond_the_ladder_is_filtered_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Named, "verdict", Verdict(model="openai/gpt-3.5-turbo", reason="a rule"))
    c = ladder("openai/gpt-4", "openai/gpt-4o", "openai/gpt-4-1106-preview")
    assert c.decide("hello", "named").model == "openai/gpt-3.5-turbo"
    decision = c.decide(IMAGE, "named")
    assert (decision.model, decision.tier) == ("openai/gpt-4o", "mid"), "the highest that takes images"
    assert decision.notes[0] == "openai/gpt-3.5-turbo is skipped: takes no images"
    assert decision.reason == "a rule: openai/gpt-3.5-turbo; moved to mid"
    c = ladder("openai/gpt-4", "openai/gpt-3.5-turbo", "openai/gpt-4-1106-preview")
    monkeypatch.setattr(Named, "verdict", Verdict(model="openai/gpt-4-0613"))
    with pytest.raises(RoutingError, match=r"openai/gpt-4-0613: takes no images; openai/gpt-4: takes no images"):
        c.decide(IMAGE, "named")


# --- models that were shut down ---


def test_on_a_ladder_a_model_that_was_shut_down_is_skipped_with_one_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.delenv("OPENAI_API_BASE", raising=False)
    c = ladder("gpt-4-1106-preview", "gpt-5.2", "anthropic/claude-opus-4-5", base=None)
    with pytest.warns(PriceWarning, match="gpt-4-1106-preview is skipped: its provider has shut it down on 2026-10-23"):
        decision = c.decide("hello", "half", [0.9, 0.95])
    assert decision.tier == "mid"
    assert "its provider has shut it down on 2026-10-23" in decision.notes[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert c.decide("hello", "half", [0.9, 0.95]).tier == "mid"
        # Elsewhere it may be served on.
        assert c.decide(HELLO, "half", [0.9, 0.95], api_base=ELSEWHERE).tier == "cheap"
        c.api_base = ELSEWHERE
        assert c.decide("hello", "half", [0.9, 0.95]).tier == "cheap"


def test_for_a_pair_it_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    c = Controller(["half"], strong_model="gpt-5.2", weak_model="gpt-4-1106-preview")
    decision = c.decide("hello", "half", 0.9)
    assert (decision.model, decision.notes) == ("gpt-4-1106-preview", ())


# --- how models do at the moment ---


def test_a_model_that_rests_is_skipped(server: FakeServer) -> None:
    policy = {"failures_before_cooldown": 1, "retries": 0, "cooldown": 60}
    c = pair("openai/rests-a", "openai/rests-b", server.url, policy=policy)
    assert c.decide("hello", "half", 0.9).model == "openai/rests-a"
    server.then(Answer(status=500))
    with pytest.raises(Exception, match="status 500"):
        c.completion(router="half", threshold=0.9, messages=HELLO)
    decision = c.decide("hello", "half", 0.9)
    assert decision.model == "openai/rests-b"
    assert decision.notes[0].startswith("weak model (openai/rests-a) is skipped: it has failed and rests for another ")
    # Every Controller of the process knows it; another key's failures say nothing.
    assert pair("openai/rests-a", base=server.url).decide("hello", "half", 0.9).model != "openai/rests-a"
    assert (
        pair("openai/rests-a", base=server.url, api_key="other").decide("hello", "half", 0.9).model == "openai/rests-a"
    )
    assert c.completion(router="half", threshold=0.9, messages=HELLO).routing.model == "openai/rests-b"
    # Where all rest, the one that was wanted is asked all the same.
    server.then(Answer(status=500))
    with pytest.raises(Exception, match="status 500"):
        c.completion(router="half", threshold=0.1, messages=HELLO)
    response = c.completion(router="half", threshold=0.9, messages=HELLO)
    assert response.routing.model == "openai/rests-a"
    assert any("may answer all the same" in note for note in response.routing.notes)
    # It has answered, and is well again.
    assert c.decide("hello", "half", 0.9).notes == ()


def test_a_slow_model_is_skipped_where_there_is_a_limit(server: FakeServer) -> None:
    c = pair("openai/slow", "openai/quick", server.url)
    limited = {"max_latency_ms": 20}
    server.then(*[Answer(delay=0.04)] * 10)
    for calls in range(10):
        assert c.decide("hello", "half", 0.9, policy=limited).model == "openai/slow", calls
        c.completion(router="half", threshold=0.9, messages=HELLO)
    decision = c.decide("hello", "half", 0.9, policy=limited)
    assert decision.model == "openai/quick"
    assert "(95th percentile), over the limit of 20" in decision.notes[0]
    assert c.decide(HELLO, "half", 0.9, policy=limited).model == "openai/quick"
    # Without a limit, with a wider one, and for streams, of which none was seen, nothing is against it.
    assert c.decide("hello", "half", 0.9).model == "openai/slow"
    assert c.decide("hello", "half", 0.9, policy={"max_latency_ms": 20_000}).model == "openai/slow"
    assert c.decide(HELLO, "half", 0.9, policy=limited, stream=True).model == "openai/slow"


# --- from end to end ---


def test_calls_of_every_kind_go_to_the_rung_that_can(server: FakeServer) -> None:
    c = ladder("openai/gpt-4", "openai/gpt-4o", "openai/gpt-4o-mini", base=server.url)
    c.ledger.flush()
    model = "router-half-0.9,0.95"
    response = c.completion(model=model, messages=IMAGE)
    assert (response.routing.tier, response.routing.notes[0]) == (
        "mid",
        "cheap (openai/gpt-4) is skipped: takes no images",
    )
    assert "".join(
        part.choices[0].delta.content or "" for part in c.completion(model=model, messages=IMAGE, stream=True)
    )

    async def both() -> None:
        response = await c.acompletion(model=model, messages=IMAGE)
        assert response.routing.tier == "mid"
        stream = await c.acompletion(model=model, messages=IMAGE, stream=True)
        assert stream.routing.tier == "mid"
        async for _ in stream:
            pass

    asyncio.run(both())
    assert [request.json["model"] for request in server.requests] == ["gpt-4o"] * 4
    assert dict(c.model_counts["half"]) == {"openai/gpt-4o": 4}
    assert pickle.loads(pickle.dumps(c)).decide(IMAGE, "half", [0.9, 0.95]).tier == "mid"


def test_what_an_extra_body_asks_for_is_needed_too(server: FakeServer) -> None:
    c = pair("openai/gpt-5-chat", "openai/new", server.url)
    response = c.completion(model="router-half-0.9", messages=HELLO, extra_body={"tools": TOOLS})
    assert response.routing.model == "openai/new"


def test_many_prompts_are_filtered_as_one_by_one() -> None:
    c = pair("openai/gpt-4")
    prompts = ["short", "word " * 8_000]
    many = c.decide_batch(prompts, router="half", threshold=0.9)
    assert [made.model for made in many] == ["openai/gpt-4", "openai/gpt-4o"]
    assert [made.model for made in many] == [c.decide(prompt, "half", 0.9).model for prompt in prompts]


def test_escalation_leaves_out_who_cannot_serve(server: FakeServer) -> None:
    c = ladder(
        "openai/gpt-4o", "openai/gpt-4", "openai/gpt-4o-mini", base=server.url, policy={"escalate_on": ["empty"]}
    )
    server.then(Answer(body=json.dumps(completion("m", "")).encode()))
    c.completion(model="router-half-0.9,0.95", messages=IMAGE)
    assert [request.json["model"] for request in server.requests] == ["gpt-4o", "gpt-4o-mini"]


def test_the_lot_leaves_a_model_alone_that_cannot_serve(server: FakeServer) -> None:
    c = pair("openai/gpt-4o", "openai/gpt-4", server.url, policy={"holdout": 1.0})
    assert c.completion(model="router-half-0.9", messages=IMAGE).routing.model == "openai/gpt-4o"
    assert c.completion(model="router-half-0.9", messages=HELLO).routing.model == "openai/gpt-4"
