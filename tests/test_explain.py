"""A decision that explains itself: what is said of it holds when it is tried, for every kind of router."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import json
import pickle
import re
import subprocess
import sys
import warnings
from collections.abc import Mapping
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any, ClassVar

import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ferroute
from fakeserver import Answer, FakeServer, completion
from ferroute import CallPolicy, Controller, Share, _core
from ferroute.controller import ROUTER_CLS
from ferroute.decision import Shares
from ferroute.errors import RetiringModelWarning
from ferroute.explain import Candidate, Explanation, Score
from ferroute.routers.base import Router, RungRouter

AT = "2026-01-12"
KEY = "sk-very-secret-1234567890"
TIERS = {"cheap": "gpt-5-nano", "mid": "gpt-5-mini", "expensive": "gpt-5.2"}
PROMPTS = [
    "hi there",
    "What is the capital of France?",
    "Translate to German: the weather is nice.",
    "Prove that the square root of 2 is irrational.",
    "Find the race condition in this code: counter += 1 in two threads, no lock.",
    "",
]
USAGE = {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200}


class Length(Router):
    def calculate_strong_win_rate(self, prompt: str) -> float:
        return min(len(prompt) / 100, 1.0)


class Kinds(RungRouter):
    """Routes by what a prompt begins with."""

    thresholds: ClassVar = {"code": 0.5, "chat": 0.4}
    map: ClassVar = {"code": "expensive", "chat": "cheap"}

    def choose(self, request: Any) -> Any:
        first = request.text.partition(" ")[0]
        if first == "plain":
            return "mid"
        if first == "ask":
            return _core.Verdict(ask="router-length-0.3,0.7", floor="mid", reason="left open", fired=["open"])
        if first == "beside":
            return _core.Verdict(model="o3", reason="a model of its own")
        if first == "none":
            scores = [("code", 0.41), ("chat", 0.1)]
            return _core.Verdict(rung="mid", scores=scores, reason="nothing is near")
        return _core.Verdict(
            rung="expensive",
            label="code",
            fired=["first", "second"],
            scores=[("code", 0.61), ("chat", 0.32)],
            reason="near 'code'",
            notes=["a note of the router"],
        )

    def would_change(self, request: Any, verdict: Any) -> list[str]:
        first, label = request.text.partition(" ")[0], verdict.label or "unlabelled"
        return [f"mid if it began with 'plain' instead of {first!r} ({label})"]


class Foreign:
    """Not one of our routers at all."""

    def route(self, prompt: str, threshold: float, routed_pair: Any) -> str:
        return routed_pair.strong if len(prompt) > 20 else routed_pair.weak


class Hostile(RungRouter):
    map = 7

    @property
    def thresholds(self) -> Any:
        raise RuntimeError("no")

    @property
    def explain(self) -> Any:
        raise RuntimeError("no")

    def choose(self, request: Any) -> Any:
        return _core.Verdict("mid", scores=[("a", 0.5), ("b", 0.25)], label="a", fired=["<script>alert(1)</script>"])

    def would_change(self, request: Any, verdict: Any) -> list[str]:
        raise RuntimeError("no")


@pytest.fixture(autouse=True)
def routers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, cls in {"length": Length, "kinds": Kinds, "foreign": Foreign, "hostile": Hostile}.items():
        monkeypatch.setitem(ROUTER_CLS, name, cls)


def pair(*routers: str, **kwargs: Any) -> Controller:
    return Controller(list(routers), strong_model="gpt-5.2", weak_model="gpt-5-mini", **kwargs)


def ladder(*routers: str, **kwargs: Any) -> Controller:
    # At an address of one's own, where no provider shuts a model down while these tests are kept.
    return Controller(list(routers), tiers=TIERS, **{"api_base": "http://127.0.0.1:9/v1"} | kwargs)


def marks(explanation: Explanation) -> dict[str | None, str]:
    return {each.rung: each.mark for each in explanation.candidates}


class Reader(HTMLParser):
    """Reads a page, and insists that its elements are closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)
        if tag != "br":
            self.open.append(tag)
        for name, value in attrs:
            assert name in {"class", "hidden", "style", "title"}
            assert "url(" not in (value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.texts.append(data)


def read_html(explanation: Explanation) -> str:
    reader = Reader()
    reader.feed(explanation._repr_html_())
    assert not reader.open
    assert "script" not in reader.tags
    return "\n".join(reader.texts)


def check_shown(explanation: Explanation) -> str:
    """It can be shown in every form; its text."""
    text = str(explanation)
    assert all(len(line) <= 100 for line in text.splitlines()), text
    assert all(len(line) <= 72 for line in explanation.text(20).splitlines())
    assert explanation.text(ascii_only=True).isascii()
    assert repr(explanation) == text
    read_html(explanation)
    kept = json.loads(json.dumps(explanation.to_dict(), allow_nan=False))
    assert kept["model"] == explanation.model
    assert not re.search(r"\bnan\b|\bNone\b|\binf\b", text)
    return text


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("threshold", [0.0, 0.5, 0.6, 1.0])
def test_the_threshold_that_would_have_changed_a_pair_does(prompt: str, threshold: float) -> None:
    c = pair("local")
    decision = c.decide(prompt, router="local", threshold=threshold)
    explanation = decision.explain(at=AT)
    text = check_shown(explanation)
    (change,) = explanation.changes
    assert c.decide(prompt, router="local", threshold=change.thresholds[0]).model == change.model != decision.model
    shown = float(next(word for word in change.sentence.split() if word.replace(".", "").isdigit()))
    side = "from a threshold of" if change.rung == "strong" else "from any threshold above"
    assert side in text
    if change.rung == "strong":
        assert c.decide(prompt, router="local", threshold=shown).model == "gpt-5.2"
    elif shown < 1:
        assert c.decide(prompt, router="local", threshold=shown + 1e-9).model == "gpt-5-mini"


@given(
    length=st.integers(0, 120),
    cuts=st.lists(st.integers(0, 100), min_size=2, max_size=2).map(lambda cuts: [cut / 100 for cut in sorted(cuts)]),
)
@settings(max_examples=60, deadline=None)
def test_the_thresholds_that_would_have_changed_a_ladder_do(length: int, cuts: list[float]) -> None:
    ROUTER_CLS["length"] = Length
    c = ladder("length")
    decision = c.decide("x" * length, router="length", threshold=cuts)
    explanation = decision.explain(at=AT)
    assert marks(explanation)[decision.tier] == "chosen"
    for change in explanation.changes:
        there = c.decide("x" * length, router="length", threshold=list(change.thresholds))
        assert there.tier == change.rung != decision.tier
    if 0 < length < 100:
        assert explanation.runner_up is not None
        assert explanation.runner_up.by == pytest.approx(min(abs(length / 100 - cut) for cut in cuts))
        assert marks(explanation)[explanation.runner_up.rung] == "runner-up"


@pytest.mark.parametrize("prompt", PROMPTS)
def test_the_share_that_would_have_changed_it_does(prompt: str) -> None:
    c = pair("local")
    decision = c.decide(prompt, router="local", threshold=Share(0.3))
    explanation = decision.explain(at=AT)
    assert explanation.rank is not None
    assert "rank among recent scores" in check_shown(explanation)
    for change in explanation.changes:
        there = c.decide(prompt, router="local", threshold=Share(change.shares[0]))
        assert there.model == change.model != decision.model

    c = ladder("local")
    decision = c.decide(prompt, router="local", threshold=Shares(0.6, 0.15))
    explanation = decision.explain(at=AT)
    assert explanation.changes
    for change in explanation.changes:
        there = c.decide(prompt, router="local", threshold=Shares(*change.shares))
        assert there.tier == change.rung != decision.tier
    check_shown(explanation)


def test_costs_are_exact_and_those_of_this_request() -> None:
    c = ladder("length")
    messages = [{"role": "user", "content": "x" * 400}]
    explanation = c.decide(messages, router="length", threshold=[0.3, 0.7], max_tokens=100).explain(at=AT)
    # 400 characters are 100 tokens, and a message 4; the answer is held to 100.
    assert explanation.prompt_tokens == 104
    costs = [each.expected_cost_usd for each in explanation.candidates]
    rates = [("0.05", "0.4"), ("0.25", "2"), ("1.75", "14")]
    wanted = [(104 * Decimal(given) + 100 * Decimal(made)) / 1_000_000 for given, made in rates]
    assert costs == wanted
    assert explanation.runner_up is not None
    assert explanation.runner_up.dearer_usd == wanted[1] - wanted[2]
    assert "the answer's assumed, at most 100" in check_shown(explanation)


def test_an_unknown_price_is_said_to_be_unknown() -> None:
    c = Controller(["length"], tiers={"cheap": "ollama/any", "mid": "who-knows", "expensive": "gpt-5.2"})
    explanation = c.decide("x" * 50, router="length", threshold=[0.3, 0.7]).explain(at=AT)
    free, unknown, _ = explanation.candidates
    assert free.expected_cost_usd == 0
    assert (unknown.input_per_million, unknown.expected_cost_usd) == (None, None)
    text = check_shown(explanation)
    (row,) = (line for line in text.splitlines() if "who-knows" in line and "●" in line)
    assert row.count("unknown") == 2
    assert "$" not in row


def test_what_the_ledger_knows_of_a_model_goes_before_an_assumption() -> None:
    c = ladder("length")
    for _ in range(25):
        c.ledger.add("gpt-5-mini", prompt_tokens=10, completion_tokens=40)
    c.ledger.core.flush(10.0)
    explanation = c.decide("x" * 50, router="length", threshold=[0.3, 0.7]).explain(at=AT)
    assert [each.answer_tokens for each in explanation.candidates] == [500, 40, 500]
    assert "where known, else assumed" in " ".join(str(explanation).split())


def test_a_verdict_tells_labels_scores_rules_and_what_the_router_says() -> None:
    c = ladder("kinds", "length")
    explanation = c.decide("something", router="kinds").explain(at=AT)
    assert (explanation.tier, explanation.label, explanation.fired) == ("expensive", "code", ("first", "second"))
    assert explanation.scores == (Score("code", 0.61, 0.5, "expensive"), Score("chat", 0.32, 0.4, "cheap"))
    assert [change.sentence for change in explanation.changes] == [
        "cheap if 'chat' scored 0.61 or more (it scored 0.3200)",
        "mid if it began with 'plain' instead of 'something' (code)",
    ]
    assert explanation.runner_up is not None
    assert (explanation.runner_up.rung, explanation.runner_up.of) == ("cheap", "score")
    assert explanation.runner_up.by == pytest.approx(0.29)
    text = check_shown(explanation)
    assert "first, second" in text
    assert "a note of the router" in text
    assert "code 0.6100, counts from 0.5, stands for expensive" in text

    nothing = c.decide("none of it", router="kinds").explain(at=AT)
    assert nothing.changes[0].sentence == "expensive if 'code' scored 0.5 or more (it scored 0.4100)"
    plain = c.decide("plain word", router="kinds").explain(at=AT)
    assert (plain.tier, plain.runner_up, plain.scores) == ("mid", None, ())
    check_shown(plain)


def test_a_choice_that_rules_leave_open_is_measured_by_the_router_that_made_it() -> None:
    c = ladder("kinds", "length")
    decision = c.decide("ask me", router="kinds")
    explanation = decision.explain(at=AT)
    assert decision.tier == "mid"
    assert explanation.asked == ("kinds", "length")
    assert explanation.win_rate == pytest.approx(0.06)
    assert explanation.thresholds == (0.3, 0.7)
    assert explanation.limits == ("mid", None)
    assert marks(explanation) == {"cheap": "skipped", "mid": "chosen", "expensive": "runner-up"}
    assert explanation.candidates[0].why == "below the floor mid"
    assert explanation.changes[0].rung == "expensive"
    assert "kinds and then length" in check_shown(explanation)


def test_a_model_beside_the_ladder_is_a_candidate_of_its_own() -> None:
    explanation = ladder("kinds").decide("beside it", router="kinds").explain(at=AT)
    assert [each.mark for each in explanation.candidates] == ["open", "open", "open", "chosen"]
    last = explanation.candidates[-1]
    assert (last.rung, last.model) == (None, "o3")
    assert last.expected_cost_usd is not None
    check_shown(explanation)


def test_routers_of_any_kind_are_explained_and_never_raise() -> None:
    c = pair("foreign", "random", "local", "hostile")
    for router, threshold in [("foreign", 0.5), ("random", 0.5), ("local", Share(0.3)), ("hostile", None)]:
        for prompt in PROMPTS:
            explanation = c.decide(prompt, router=router, threshold=threshold).explain(at=AT)
            assert sum(each.mark == "chosen" for each in explanation.candidates) == 1
            check_shown(explanation)
    explanation = c.decide("x", router="hostile").explain(at=AT)
    assert "<script" not in explanation._repr_html_()
    assert "<script>alert(1)</script>" in read_html(explanation)
    foreign = c.decide("x", router="foreign", threshold=0.5).explain(at=AT)
    assert (foreign.runner_up, foreign.changes, foreign.win_rate) == (None, (), None)


@pytest.mark.parametrize("win_rate", [float("nan"), float("inf"), -1.0, 2.0])
def test_win_rates_that_are_none_are_explained(win_rate: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Length, "calculate_strong_win_rate", lambda self, prompt: win_rate)
    explanation = ladder("length").decide("x", router="length", threshold=[0.3, 0.7]).explain(at=AT)
    assert sum(each.mark == "chosen" for each in explanation.candidates) == 1
    assert json.dumps(explanation.to_dict(), allow_nan=False)
    assert explanation._repr_html_()
    assert str(explanation)


def test_the_words_that_spoke_for_and_against() -> None:
    explanation = pair("local").decide(PROMPTS[3], router="local", threshold=0.5).explain(at=AT)
    sizes = [abs(part) for _, part in explanation.words]
    assert sizes
    assert sizes == sorted(sizes, reverse=True)
    text = check_shown(explanation)
    assert re.search(r"^for +.*\+\d", text, re.MULTILINE)
    assert re.search(r"^against +.*-\d", text, re.MULTILINE)


def test_what_is_routed_on_is_what_was_said_then() -> None:
    c = pair("length")
    messages = [{"role": "user", "content": "What is\na ladder?"}]
    decision = c.decide(messages, router="length", threshold=0.5)
    before = decision.explain(at=AT)
    messages.append({"role": "assistant", "content": "x" * 4000})
    assert decision.explain(at=AT) == before
    assert before.view == "the last message"
    assert before.excerpt == "What is a ladder?"
    assert c.decide("hi", router="length", threshold=0.5).explain(at=AT).view == "the prompt"
    long = c.decide("word " * 400, router="length", threshold=0.5).explain(at=AT)
    assert long.excerpt is not None
    assert len(long.excerpt) <= 80
    assert long.excerpt.endswith("…")


def priced() -> Answer:
    return Answer(body=json.dumps(completion("m") | {"usage": USAGE}).encode())


def test_a_response_knows_what_it_cost_and_what_the_others_would_have() -> None:
    with FakeServer() as server:
        c = ladder("length", api_base=server.url, api_key=KEY)
        server.then(priced())
        messages = [{"role": "user", "content": "x" * 50}]
        response = c.chat.completions.create(model="router-length-0.3,0.7", messages=messages)
        explanation = response.routing.explain()
        assert (explanation.prompt_tokens, explanation.attempts) == (1000, 1)
        assert explanation.cost_usd == response.routing.cost_usd
        chosen = next(each for each in explanation.candidates if each.mark == "chosen")
        assert chosen.expected_cost_usd == explanation.cost_usd
        assert marks(explanation)["mid"] == "chosen"
        text = check_shown(explanation)
        assert "as the provider counted them" in text
        assert KEY not in text + explanation._repr_html_() + json.dumps(explanation.to_dict())

        stream = c.chat.completions.create(model="router-length-0.3,0.7", messages=messages, stream=True)
        assert marks(stream.routing.explain())["mid"] == "chosen"
        *_, last = list(stream)
        assert stream.routing.explain().attempts == 1
        assert marks(last.routing.explain())["mid"] == "chosen"

        async def asynchronous() -> Any:
            return await c.acompletion(model="router-length-0.3,0.7", messages=messages)

        assert marks(asyncio.run(asynchronous()).routing.explain())["mid"] == "chosen"


def test_a_model_asked_for_by_name_says_so() -> None:
    with FakeServer() as server:
        response = ferroute.completion(
            model="gpt-5.2", messages=[{"role": "user", "content": "hi"}], api_base=server.url, api_key=KEY
        )
    explanation = response.routing.explain()
    text = check_shown(explanation)
    assert explanation.router is None
    assert "asked for by name" in text
    assert [each.mark for each in explanation.candidates] == ["chosen"]


@pytest.mark.parametrize("kept", [lambda d: pickle.loads(pickle.dumps(d)), copy.deepcopy, dataclasses.replace])
def test_what_a_pickle_or_copy_keeps_is_said(kept: Any) -> None:
    decision = ladder("length").decide("x" * 50, router="length", threshold=[0.3, 0.7])
    explanation = kept(decision).explain(at=AT)
    assert explanation.missing is not None
    assert (explanation.win_rate, explanation.thresholds, explanation.tier) == (0.5, (0.3, 0.7), "mid")
    assert [(each.rung, each.mark) for each in explanation.candidates] == [("mid", "chosen")]
    assert explanation.changes == ()
    assert "not kept in" in check_shown(explanation)
    assert pickle.loads(pickle.dumps(decision.explain(at=AT))) == decision.explain(at=AT)


def test_the_lot_of_holdout_is_said_to_have_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeServer() as server:
        c = ladder("length", api_base=server.url, api_key=KEY, policy=CallPolicy(holdout=1.0))
        response = c.completion(router="length", threshold=[0.3, 0.7], messages=[{"role": "user", "content": "x"}])
    explanation = response.routing.explain()
    assert marks(explanation) == {"cheap": "runner-up", "mid": "open", "expensive": "chosen"}
    assert explanation.runner_up is not None
    assert explanation.runner_up.by is None
    assert "the lot of `holdout`" in " ".join(check_shown(explanation).split())


def test_a_router_that_failed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Any, prompt: str) -> float:
        raise RuntimeError("the disk is gone")

    monkeypatch.setattr(Length, "calculate_strong_win_rate", broken)
    c = ladder("length", "local", policy=CallPolicy(on_router_error="strong"))
    explanation = c.decide("x", router="length", threshold=[0.3, 0.7]).explain(at=AT)
    assert explanation.failed is not None
    assert "the disk is gone" in explanation.failed
    assert marks(explanation)["expensive"] == "chosen"
    check_shown(explanation)
    c.policy = CallPolicy(on_router_error="local")
    other = c.decide("x", router="length", threshold=[0.3, 0.7]).explain(at=AT)
    assert other.failed is not None
    assert other.win_rate is not None
    assert other.changes


def test_a_router_that_failed_is_named_where_a_verdict_has_asked_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Any, prompt: str) -> float:
        raise RuntimeError("the disk is gone")

    monkeypatch.setattr(Length, "calculate_strong_win_rate", broken)
    c = ladder("length", "kinds", policy=CallPolicy(on_router_error="strong"))
    explanation = c.decide("ask me", router="kinds").explain(at=AT)
    assert "router 'length' failed (RuntimeError: the disk is gone)" in str(explanation.failed)
    assert explanation.asked == ("kinds", "length")
    assert marks(explanation)["expensive"] == "chosen"
    check_shown(explanation)
    monkeypatch.undo()


class BadMapping(Mapping[str, Any]):
    def __getitem__(self, key: str) -> Any:
        raise RuntimeError("no")

    def __iter__(self) -> Any:
        raise RuntimeError("no")

    def __len__(self) -> int:
        raise RuntimeError("no")

    def get(self, key: str, default: Any = None) -> Any:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    "has",
    [
        {"map": BadMapping()},
        {"thresholds": BadMapping()},
        {"thresholds": {"a": 10**400}},
        {"thresholds": 10**400},
        {"thresholds": {"a": float("nan"), "b": float("inf")}},
        {"map": {"a": 3, "b": None}},
    ],
)
def test_maps_and_thresholds_that_are_none_are_explained(has: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(Hostile, "thresholds")
    for name, value in has.items():
        monkeypatch.setattr(Hostile, name, value, raising=False)
    explanation = ladder("hostile").decide("x", router="hostile").explain(at=AT)
    assert [(score.name, score.score) for score in explanation.scores] == [("a", 0.5), ("b", 0.25)]
    json.dumps(explanation.to_dict(), allow_nan=False)
    assert marks(explanation)["mid"] == "chosen"
    explanation.text()
    read_html(explanation)


NASTY = "\x1b[2Ja\rb\nc\u202ed\u2066e\u2028f\x9b1mg"
UNSAFE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


class Nasty(RungRouter):
    """Says what it says with a terminal's control characters."""

    map: ClassVar = {NASTY: "mid"}

    def choose(self, request: Any) -> Any:
        if request.text == "beside":
            return _core.Verdict(model="o3" + NASTY, reason=NASTY)
        if request.text == "ask":
            return _core.Verdict(ask="router-length-0.5", reason=NASTY)
        return _core.Verdict("mid", label=NASTY, reason=NASTY, fired=[NASTY], scores=[(NASTY, 0.9)], notes=[NASTY])

    def would_change(self, request: Any, verdict: Any) -> list[str]:
        return [NASTY]


def check_safe(decision: Any) -> None:
    said = "".join((decision.reason, *decision.notes))
    assert not UNSAFE.search(said)
    assert "\n" not in said
    check_shown_safely(decision)


def check_shown_safely(decision: Any) -> None:
    explanation = decision.explain(at=AT)
    shown = str(explanation), explanation._repr_html_(), str(decision), decision._repr_html_()
    assert not any(UNSAFE.search(each) for each in shown)
    assert len(str(decision).splitlines()) == 1
    check_shown(explanation)


@pytest.mark.parametrize("prompt", ["x", "ask", "beside", NASTY])
def test_control_characters_of_others_are_not_shown(prompt: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ROUTER_CLS, "nasty", Nasty)
    c = ladder("nasty", "length")
    check_safe(c.decide(prompt, router="nasty"))

    def broken(self: Any, prompt: str) -> float:
        raise RuntimeError(NASTY)

    monkeypatch.setattr(Length, "calculate_strong_win_rate", broken)
    # Asked by the one that stands in for it, it would fail again.
    for instead in ("mid",) if prompt == "ask" else ("mid", "nasty"):
        c.policy = CallPolicy(on_router_error=instead)
        check_safe(c.decide(prompt, router="length", threshold=0.5))


def test_control_characters_in_names_of_ones_own_are_not_shown() -> None:
    tiers = {"cheap" + NASTY: "openai/m" + NASTY, "mid": "gpt-5-mini", "expensive": "gpt-5.2"}
    check_shown_safely(
        Controller(["length"], tiers=tiers, api_base="http://127.0.0.1:9/v1").decide(
            NASTY, router="length", threshold=[0.3, 0.7]
        )
    )


def test_a_refusal_is_quoted_without_its_control_characters() -> None:
    refusal = json.dumps({"error": {"message": f"wrong key {NASTY}", "code": "invalid_api_key"}}).encode()
    with FakeServer() as server:
        c = ladder("length", api_base=server.url, api_key=KEY, policy=CallPolicy(fallbacks=["gpt-5.2"], retries=0))
        server.then(Answer(status=401, body=refusal))
        response = c.completion(router="length", threshold=[0.3, 0.7], messages=[{"role": "user", "content": "x"}])
        c.policy = CallPolicy(retries=0)
        server.then(Answer(status=401, body=refusal))
        with pytest.raises(openai.AuthenticationError) as raised:
            c.completion(router="length", threshold=[0.3, 0.7], messages=[{"role": "user", "content": "x"}])
    assert "wrong key" in "".join(response.routing.notes)
    check_safe(response.routing)
    assert "wrong key" in str(raised.value)
    assert not UNSAFE.search(str(raised.value))
    # What the provider has sent stays as it was.
    assert json.loads(raised.value.response.content)["error"]["message"] == f"wrong key {NASTY}"


def test_endpoints_never_show_their_keys() -> None:
    tiers = {
        "cheap": {"model": "gpt-5-nano", "api_base": f"http://user:{KEY}@localhost:1/v1?key={KEY}", "api_key": KEY},
        "expensive": {"model": "azure/eu", "api_key": KEY, "base_model": "gpt-5.2"},
    }
    decision = Controller(["length"], tiers=tiers).decide("x", router="length", threshold=0.5)
    explanation = decision.explain(at=AT)
    assert KEY not in str(explanation) + explanation._repr_html_() + json.dumps(explanation.to_dict())
    assert explanation.candidates[1].input_per_million == Decimal("1.75")


def test_names_as_long_as_a_book_fit() -> None:
    long = "who/" * 200
    c = Controller(["length"], tiers={"a" * 300: long + "1", "b" * 300: long + "2"})
    check_shown(c.decide("y" * 5000, router="length", threshold=0.5).explain(at=AT))
    shown = Explanation(model=long, router="r" * 500, reason="because " * 90, candidates=(Candidate("a", long),))
    check_shown(shown)


def test_nothing_of_it_is_imported_before_it_is_asked_for() -> None:
    code = """
import sys
from ferroute.controller import Controller
c = Controller(["local"], strong_model="gpt-5.5", weak_model="gpt-5.4-mini")
decision = c.decide("hi", router="local", threshold=0.5)
assert not [name for name in sys.modules if "explain" in name and name.startswith("ferroute.")]
decision.explain()
assert not {"numpy", "openai", "yaml", "httpx", "pydantic"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_an_explanation_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # That a model has ended is said when a Controller is made, and not again.
        warnings.simplefilter("ignore", RetiringModelWarning)
        c = Controller(["length"], strong_model="who-knows", weak_model="gpt-4-0613")
        warnings.simplefilter("error")
        c.decide("x", router="length", threshold=0.5).explain()


def test_the_command_explains(capsys: pytest.CaptureFixture[str]) -> None:
    from ferroute.cli import main

    def run(*arguments: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main(["route", *arguments])
        assert not ended.value.code
        return capsys.readouterr().out

    one = run(PROMPTS[3], "--threshold", "0.6", "--explain")
    assert "otherwise  " in one
    assert "gpt-5.5" in one
    several = run(*PROMPTS[:2], "--share", "30%", "--explain")
    assert several.count("routed on") == 2
    assert "2 prompts: " in several
    record = json.loads(run(PROMPTS[3], "--threshold", "0.6", "--json", "--explain"))
    assert record["explanation"]["candidates"][0]["rung"] == "weak"
    assert "explanation" not in json.loads(run(PROMPTS[3], "--json"))


def test_a_model_that_filters_skip_says_why() -> None:
    tiers = {"cheap": "gpt-oss-20b", "mid": "gpt-5-mini", "expensive": "gpt-5.2"}
    c = Controller(["length"], tiers=tiers, api_base="http://127.0.0.1:9/v1")
    # 600,000 characters are 150,000 tokens; the first model has room for 131,072, the others for 272,000.
    messages = [{"role": "user", "content": "x" * 600_000}, {"role": "user", "content": "x"}]
    decision = c.decide(messages, router="length", threshold=[0.5, 0.7])
    assert decision.tier == "mid"
    explanation = decision.explain(at=AT)
    assert marks(explanation) == {"cheap": "skipped", "mid": "chosen", "expensive": "runner-up"}
    assert "131,072" in str(explanation.candidates[0].why)
    assert "131,072 tokens" in " ".join(check_shown(explanation).split())


def test_a_view_of_the_conversation_is_named() -> None:
    messages = [
        {"role": "user", "content": "Write a poem"},
        {"role": "assistant", "content": "Roses"},
        {"role": "user", "content": "go on"},
    ]
    c = ladder("length")
    for view, said in [("last", "the last message"), ("first", "the first message of the user")]:
        explanation = c.decide(messages, router="length", threshold=0.5, policy=CallPolicy(view=view)).explain(at=AT)
        assert explanation.view == said
    assert explanation.excerpt == "Write a poem"
    policy = CallPolicy(join_short_turns=True)
    joined = c.decide(messages, router="length", threshold=0.5, policy=policy).explain(at=AT)
    assert "which only goes on" in str(joined.view)
    assert joined.excerpt == "Write a poem go on"


def test_turns_that_are_joined_are_said_to_be_only_where_they_are() -> None:
    def seen(view: str, *said: str) -> str:
        messages = [{"role": "user", "content": each} for each in said]
        policy = CallPolicy(view=view, join_short_turns=True)
        return str(ladder("length").decide(messages, router="length", threshold=0.5, policy=policy).explain(at=AT).view)

    poem = "Write a poem about roses"
    assert seen("last", poem, "go on", "yes").startswith("the last message, which only goes on")
    assert seen("last", "go on", poem) == "the last message"
    assert seen("last", "go on") == "the last message"
    assert seen("first", poem, "go on") == "the first message of the user"
    assert seen("user_turns", poem, "go on") == "all turns of the user"


def test_a_conversation_that_stays_says_why() -> None:
    # 100,000 tokens that the provider keeps for a tenth of their price.
    turns = [{"role": "system", "content": "y" * 400_000}, {"role": "user", "content": "x" * 90}]
    with FakeServer() as server:
        c = ladder("length", api_base=server.url, api_key=KEY, policy=CallPolicy(sticky=True))
        c.completion(router="length", threshold=[0.3, 0.7], messages=turns, ferroute={"session": "s"})
        turns += [{"role": "assistant", "content": "yes"}, {"role": "user", "content": "x" * 50}]
        decision = c.decide(turns, router="length", threshold=[0.3, 0.9], ferroute={"session": "s"})
        explanation = decision.explain(at=AT)
    assert explanation.stay is not None
    assert decision.tier == "expensive"
    assert marks(explanation)["expensive"] == "chosen"
    assert marks(explanation)["mid"] == "runner-up"
    assert explanation.changes[0].rung == "mid"
    check_shown(explanation)


def test_an_answer_that_was_escalated_is_explained() -> None:
    with FakeServer() as server:
        server.then(Answer(body=json.dumps(completion(content="") | {"usage": USAGE}).encode()))
        c = ladder("length", api_base=server.url, api_key=KEY, policy=CallPolicy(escalate_on=["empty"]))
        response = c.completion(router="length", threshold=[0.3, 0.7], messages=[{"role": "user", "content": "x"}])
    explanation = response.routing.explain()
    assert explanation.attempts == 2
    assert "gave an empty answer" in " ".join(check_shown(explanation).split())


def escalated(**kwargs: Any) -> Answer:
    return Answer(body=json.dumps(completion(**kwargs) | {"usage": USAGE}).encode())


def test_who_answered_after_an_escalation_is_told_beside_who_was_chosen() -> None:
    messages = [{"role": "user", "content": "x"}]
    policy = CallPolicy(escalate_on=["empty"])
    with FakeServer() as server:
        server.then(escalated(content=""), escalated(content=""), escalated(content="here"))
        c = ladder("length", api_base=server.url, api_key=KEY, policy=policy)
        response = c.completion(router="length", threshold=[0.3, 0.7], messages=messages)
        server.then(escalated(content=""), escalated(content="here"))
        two = pair("length", api_base=server.url, api_key=KEY, policy=policy)
        of_pair = two.completion(router="length", threshold=0.5, messages=messages).routing.explain()
    decision = response.routing
    assert (decision.tier, decision.model) == ("cheap", "gpt-5-nano")
    explanation = decision.explain()
    assert marks(explanation) == {"cheap": "chosen", "mid": "runner-up", "expensive": "answered"}
    assert explanation.answered == "gpt-5.2"
    # All three gave so many tokens.
    assert decision.cost_usd == sum(each.expected_cost_usd or 0 for each in explanation.candidates)
    text = check_shown(explanation)
    assert re.search(r"^◆ +expensive .* answered$", text, re.MULTILINE)
    assert "answered by gpt-5.2" in text
    assert [each.mark for each in of_pair.candidates] == ["chosen", "answered"]


@pytest.mark.parametrize(
    ("fallback", "expected"),
    [
        ("gpt-5-mini", [("cheap", "chosen"), ("mid", "answered"), ("expensive", "open")]),
        ("o3", [("cheap", "chosen"), ("mid", "runner-up"), ("expensive", "open"), (None, "answered")]),
    ],
)
def test_who_answered_after_a_fallback_is_told(fallback: str, expected: list[tuple[str | None, str]]) -> None:
    messages = [{"role": "user", "content": "x"}]
    policy = CallPolicy(fallbacks=[fallback], retries=0, failures_before_cooldown=100)
    refused = Answer(status=404, body=b'{"error": {"message": "no such model"}}')
    with FakeServer() as server:
        c = ladder("length", api_base=server.url, api_key=KEY, policy=policy)
        server.then(refused, escalated())
        explanation = c.completion(router="length", threshold=[0.3, 0.7], messages=messages).routing.explain()
        server.then(refused)
        stream = c.completion(router="length", threshold=[0.3, 0.7], messages=messages, stream=True)
        list(stream)
        server.then(refused, escalated())
        by_name = ferroute.completion(
            model="gpt-5-nano", messages=messages, api_base=server.url, api_key=KEY, policy=policy
        ).routing.explain()
    assert [(each.rung, each.mark) for each in explanation.candidates] == expected
    answered = next(each for each in explanation.candidates if each.mark == "answered")
    assert (answered.model, answered.expected_cost_usd) == (fallback, explanation.cost_usd)
    assert stream.routing.explain().answered == fallback
    check_shown(explanation)
    named = [(each.model, each.mark) for each in by_name.candidates]
    assert named == [("gpt-5-nano", "chosen"), (fallback, "answered")]
    check_shown(by_name)


def test_rules_and_semantic_routes_are_explained() -> None:
    routes = {
        "code": ["Write a Python function", "Fix this null pointer exception", "Explain this SQL query"],
        "cooking": ["A recipe for lentil soup", "How long do I boil potatoes?", "Can I freeze cooked pasta?"],
    }
    config = {
        "rules": {"preset": "article"},
        "semantic": {"routes": routes, "map": {"code": "expensive", "cooking": "cheap"}, "otherwise": "mid"},
    }
    c = ladder("rules", "semantic", "local", config=config)
    rules = c.decide("Great film!", router="rules", ferroute={"task": "classification"})
    explanation = rules.explain(at=AT)
    assert (rules.tier, explanation.label) == ("cheap", "classification_sentiment")
    assert explanation.fired
    assert explanation.changes
    check_shown(explanation)
    semantic = c.decide("How long do I boil rice?", router="semantic")
    explanation = semantic.explain(at=AT)
    assert (semantic.tier, explanation.label) == ("cheap", "cooking")
    assert {score.name: score.rung for score in explanation.scores} == {"cooking": "cheap", "code": "expensive"}
    assert all(score.threshold is not None for score in explanation.scores)
    assert explanation.runner_up is not None
    assert explanation.runner_up.rung == "expensive"
    check_shown(explanation)
