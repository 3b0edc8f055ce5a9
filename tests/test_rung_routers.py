"""Routers that name a rung: what they are asked, what their verdicts lead to, and what happens when they fail."""

from __future__ import annotations

import asyncio
import pickle
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from fakeserver import FakeServer
from ferroute import Controller, RoutingError, _notes
from ferroute.controller import ROUTER_CLS
from ferroute.decision import aside
from ferroute.endpoints import Endpoint
from ferroute.errors import InvalidTypeError, InvalidValueError
from ferroute.routers.base import Request, Router, RungRouter, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TIERS = {"cheap": "gpt-5-nano", "mid": "gpt-5-mini", "expensive": "gpt-5.2"}
# Where no provider is, so that the day on which it ends a model bars none of them.
NOWHERE = "http://127.0.0.1:9/v1"


class Says(RungRouter):
    """Returns what the prompt is the key of, else the prompt itself as a rung."""

    verdicts: dict[str, Any] = {}  # noqa: RUF012 - each test has its own

    def choose(self, request: Request) -> Any:
        self.asked = request
        said = self.verdicts.get(request.text, request.text)
        if isinstance(said, Exception):
            raise said
        return said


class Half(Router):
    """Scores everything the same."""

    def calculate_strong_win_rate(self, prompt: str) -> float:
        return 0.5


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Says, "verdicts", {})
    monkeypatch.setitem(ROUTER_CLS, "says", Says)
    monkeypatch.setitem(ROUTER_CLS, "my-says", Says)
    monkeypatch.setitem(ROUTER_CLS, "half", Half)


@pytest.fixture
def c() -> Controller:
    return Controller(["says", "my-says", "half"], tiers=TIERS, api_base=NOWHERE)


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


# --- where a verdict leads ---


def test_the_two_part_form(c: Controller) -> None:
    for model, router in (("router-says", "says"), ("router-my-says", "my-says")):
        decision = c.decide("mid", model=model)
        assert (decision.router, decision.tier, decision.model) == (router, "mid", "gpt-5-mini")
        assert (decision.win_rate, decision.threshold, decision.share) == (None, None, None)
    assert c.decide("mid", "router-says").tier == "mid" == c.decide("mid", "says").tier
    assert c.route("expensive", "says") == "gpt-5.2"
    assert c.decide("mid", "says").reason == "says chose it: mid"
    with pytest.raises(RoutingError, match=r"Router or threshold unspecified\."):
        c.decide("x", "half")
    with pytest.raises(RoutingError, match=r"Router or threshold unspecified\."):
        c.decide("x", "nobody")
    with pytest.raises(ValueError, match="not enough values to unpack"):
        c.decide("x", model="router-half")


def test_rungs_by_name_and_by_place(c: Controller) -> None:
    tiers = [c.decide(name, "says").tier for name in ("cheap", "weak", "mid", "strong", "expensive")]
    assert tiers == ["cheap", "cheap", "mid", "expensive", "expensive"]
    four = Controller(["says"], tiers={"a": "1", "b": "2", "c": "3", "d": "4"})
    assert [four.decide(name, "says").tier for name in ("cheap", "mid", "c", "expensive")] == ["a", "b", "c", "d"]
    pair = Controller(["says"], "big", "small")
    decisions = [pair.decide(name, "says") for name in ("cheap", "mid", "expensive", "strong")]
    assert [decision.model for decision in decisions] == ["small", "small", "big", "big"]
    assert {decision.tier for decision in decisions} == {None}
    with pytest.raises(RoutingError) as caught:
        c.decide("best", "says")
    assert str(caught.value) == 'unknown rung "best"; there are cheap, mid, expensive'


def test_a_verdict_in_full(c: Controller) -> None:
    Says.verdicts["x"] = verdict = Verdict(
        "mid", label="code", reason="it is code", fired=["r1"], scores=[("code", 0.9)], notes=["a remark"]
    )
    decision = c.decide("x", "says")
    assert (decision.tier, decision.reason, decision.notes) == ("mid", "it is code: mid", ("a remark",))
    trace = aside(decision).trace
    assert trace is not None and trace.verdict is verdict
    assert (trace.kind, trace.name, trace.wanted, trace.chosen) == ("verdict", "says", 1, 1)
    assert isinstance(trace.router, Says) and trace.asked.text == "x"


def test_a_named_model_need_not_be_on_the_ladder(c: Controller) -> None:
    Says.verdicts |= {"own": Verdict(model="gpt-5-mini"), "other": Verdict(model="gpt-4o", reason="a favourite")}
    own, other = c.decide("own", "says"), c.decide("other", "says")
    assert (own.model, own.tier) == ("gpt-5-mini", "mid")
    assert (other.model, other.tier, other.reason) == ("gpt-4o", None, "a favourite: gpt-4o")


def test_floor_and_ceiling_clamp_a_named_rung(c: Controller) -> None:
    Says.verdicts |= {
        "up": Verdict("cheap", floor="mid"),
        "down": Verdict("expensive", ceiling="mid", reason="enough"),
        "both": Verdict("cheap", floor="expensive", ceiling="mid"),
        "floor": Verdict(floor="mid"),
        "ceiling": Verdict(ceiling="mid"),
        "nothing": Verdict(),
    }
    assert [c.decide(p, "says").tier for p in ("up", "down", "both", "floor", "ceiling")] == [
        "mid", "mid", "expensive", "mid", "mid",
    ]  # fmt: skip
    down = c.decide("down", "says")
    assert down.reason == "enough: expensive; moved to mid"
    assert down.notes == ("lowered from expensive to mid, the highest allowed",)
    with pytest.raises(RoutingError, match="names neither a rung nor a model, nor a router to ask"):
        c.decide("nothing", "says")


# --- left to a learned router ---


def test_the_choice_is_left_to_another_router(c: Controller) -> None:
    Says.verdicts["x"] = Verdict(ask="router-half-0.3,0.7", reason="left open")
    decision = c.decide("x", "says")
    assert (decision.router, decision.tier, decision.win_rate) == ("says", "mid", 0.5)
    assert decision.threshold == (0.3, 0.7)
    assert decision.reason == "left open; half: win rate 0.5000 >= 0.3 and < 0.7: mid"
    trace = aside(decision).trace
    assert trace is not None and trace.other is not None and trace.other.name == "half"
    Says.verdicts["x"] = Verdict(ask="router-half-0.6,0.7", floor="mid")
    raised = c.decide("x", "says")
    assert (raised.tier, raised.notes) == ("mid", ("raised from cheap to mid, the lowest allowed",))
    Says.verdicts["x"] = Verdict(ask="router-half-60%,15%", ceiling="cheap")
    assert c.decide("x", "says").tier == "cheap"


def test_the_callers_threshold_goes_to_the_learned_router(c: Controller) -> None:
    Says.verdicts["x"] = Verdict(ask="router-half-0.3,0.7")
    for threshold, tier in (([0.5, 0.5], "expensive"), ([0.6, 0.9], "cheap"), (0.5, "expensive"), (0.6, "cheap")):
        assert c.decide("x", "says", threshold).tier == tier
    assert c.decide("x", model="router-says-0.4,0.6").tier == "mid"
    # Where the verdict names a rung it has no effect, but it is checked all the same.
    assert c.decide("cheap", "says", 0.0).tier == "cheap"
    with pytest.raises(RoutingError, match="must not fall"):
        c.decide("cheap", "says", [0.7, 0.3])


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        ("router-nobody-0.5", r"Invalid router nobody. Available routers are \['says', 'my-says', 'half'\]."),
        ("router-half-0.7,0.3", "must not fall"),
        ("router-half-0.3,x", "must be floats"),
        ("router-says", "in a circle: says -> says"),
    ],
)
def test_a_router_that_cannot_be_asked(c: Controller, ask: str, says: str) -> None:
    Says.verdicts["x"] = Verdict(ask=ask)
    for decide in (lambda: c.decide("x", "says"), lambda: c.decide_batch(["x"], "says")):
        with pytest.raises(RoutingError, match=says):
            decide()


@pytest.mark.parametrize("ask", ["half", "router-half"])
def test_a_name_alone_will_do_where_the_caller_says_the_rest(c: Controller, ask: str) -> None:
    Says.verdicts["x"] = Verdict(ask=ask)
    assert c.decide("x", "says", [0.3, 0.7]).tier == "mid"
    assert c.decide("x", model="router-says-0.1,0.2").tier == "expensive"
    with pytest.raises(RoutingError, match=rf"Router 'says' leaves the choice to '{ask}'; expected .*threshold unspec"):
        c.decide("x", "says")


@pytest.mark.parametrize("ask", ["", "router", "nobody", "half-", "router-half-a-b-c", "local\nx"])
def test_nonsense_that_is_to_be_asked_is_a_routing_error(c: Controller, ask: str) -> None:
    Says.verdicts["x"] = Verdict(ask=ask)
    for threshold in (None, [0.3, 0.7]):
        with pytest.raises(RoutingError, match=r"Router 'says' leaves the choice to .*expected a loaded router"):
            c.decide("x", "says", threshold)
    with pytest.raises(RoutingError, match=r"^prompt 1: Router 'says' leaves the choice to"):
        c.decide_batch(["mid", "x"], "says")


def test_rung_routers_ask_each_other(c: Controller, monkeypatch: pytest.MonkeyPatch) -> None:
    class First(Says):
        def choose(self, request: Request) -> Any:
            return Verdict(ask="router-says", floor="cheap", ceiling="mid")

    monkeypatch.setitem(ROUTER_CLS, "first", First)
    c = Controller(["first", "says", "half"], tiers=TIERS, api_base=NOWHERE)
    Says.verdicts["x"] = Verdict(ask="router-half-0.1,0.2", floor="mid")
    assert c.decide("x", "first").tier == "mid"
    assert c.decide("expensive", "first").tier == "mid"
    Says.verdicts["x"] = Verdict(ask="router-first")
    with pytest.raises(RoutingError, match="circle: first -> says -> first"):
        c.decide("x", "first")


# --- what a router is asked ---


def test_the_whole_request_is_asked(c: Controller, server: FakeServer) -> None:
    messages = [{"role": "system", "content": "be brief"}, *user("mid")]
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    extras = {"task": "translation", "session": 7, "tags": {"team": "legal", "beta": ""}}
    c.decide(messages, "says", ferroute=extras, tools=tools, max_tokens=5, metadata={"a": "b"})

    def seen() -> tuple[Any, ...]:
        asked = c.routers["says"].asked
        return asked.text, asked.turns, asked.tools, asked.max_tokens, asked.metadata, asked.task, asked.session

    expected = ("mid", 1, True, 5, [("a", "b")], "translation", "7")
    assert seen() == expected
    assert c.routers["says"].asked.tags == [("team", "legal"), ("beta", "")]
    del c.routers["says"].asked
    c.completion(
        model="router-says", messages=messages, tools=tools, max_tokens=5, ferroute=extras, api_base=server.url,
        metadata={"a": "b"}, api_key="k",
    )  # fmt: skip
    assert seen() == expected
    assert "ferroute" not in server.requests[0].json
    c.completion(
        model="router-says", messages=messages, api_base=server.url, api_key="k",
        extra_body={"tools": tools, "max_tokens": 5, "metadata": {"a": "b"}, "ferroute": {**extras, "tags": ["x"]}},
    )  # fmt: skip
    assert seen() == expected and c.routers["says"].asked.tags == [("x", "")]


@pytest.mark.parametrize(
    ("extras", "error", "says"),
    [
        (7, InvalidTypeError, "`ferroute` must be a dict, found int"),
        ({"taks": "x"}, InvalidValueError, "`ferroute`: unknown 'taks'; known are session, task, tags"),
        ({"task": 7}, InvalidTypeError, "task is a string, found int"),
        ({"tags": "legal"}, InvalidTypeError, "tags is a list of strings or a dict of them, found str"),
        ({"tags": ["a", 3]}, InvalidTypeError, "tags are strings, found 3 (int)"),
        ({"tags": {"a": 3}}, InvalidTypeError, "tags are strings, found 3 (int)"),
    ],
)
def test_extras_that_are_none(c: Controller, extras: Any, error: type[Exception], says: str) -> None:
    for call in (
        lambda: c.decide("mid", "says", ferroute=extras),
        lambda: c.completion(model="router-says", messages=user("mid"), ferroute=extras),
    ):
        with pytest.raises(error) as caught:
            call()
        assert says in str(caught.value)


def test_lone_surrogates_are_question_marks(c: Controller) -> None:
    for talk in ("mid", [*user("hi"), {"role": "assistant", "content": "ok"}, *user("mid")]):
        decision = c.decide(
            talk, "says", ferroute={"task": "\ud800a", "session": "ß\ud800", "tags": {"\udc00": "é\ud800"}}
        )
        trace = aside(decision).trace
        assert trace is not None
        assert trace.asked.extras == ("?a", "ß?", (("?", "é?"),))
        assert (decision.tier, c.routers["says"].asked.tags) == ("mid", [("?", "é?")])


def test_task_and_tags_go_with_the_call(c: Controller, monkeypatch: pytest.MonkeyPatch) -> None:
    import ferroute.controller as module
    from ferroute import _calls

    contexts = []
    monkeypatch.setattr(module, "completion", lambda **_: contexts.append(_calls.routed.get()))
    c.completion(model="router-says", messages=user("mid"), ferroute={"task": "coding", "tags": ["a"], "session": "s"})
    (context,) = contexts
    assert (context.task, context.tags, context.session) == ("coding", (("a", ""),), "s")
    assert (context.requested, context.decision.tier, context.text) == ("router-says", "mid", "mid")


# --- failures ---


def test_on_router_error_covers_verdicts(c: Controller) -> None:
    Says.verdicts |= {"boom": ConnectionError("no line"), "odd": 7}
    for prompt, error in (("boom", ConnectionError), ("odd", InvalidTypeError)):
        with pytest.raises(error):
            c.decide(prompt, "says")
        for other, tier in (("mid", "mid"), ("strong", "expensive"), ("weak", "cheap")):
            assert c.decide(prompt, "says", policy={"on_router_error": other}).tier == tier
        asked = c.decide(prompt, "says", [0.3, 0.7], policy={"on_router_error": "half"})
        assert (asked.router, asked.tier) == ("half", "mid")
        with pytest.raises(RoutingError, match=r"failed .* and 'half', which is to be asked instead, needs a thresh"):
            c.decide(prompt, "says", policy={"on_router_error": "half"})
    decision = c.decide("boom", "says", policy={"on_router_error": "mid"})
    assert decision.reason == "mid, because router 'says' failed (ConnectionError: no line)"


def test_the_lot_keeps_to_a_ceiling(c: Controller, server: FakeServer) -> None:
    tiers = {
        name: {"model": f"openai/{model}", "api_base": server.url, "api_key": "k"} for name, model in TIERS.items()
    }
    c = Controller(["says", "half"], tiers=tiers, policy={"holdout": 1.0}, api_base=NOWHERE)
    Says.verdicts |= {
        "low": Verdict("cheap", ceiling="mid"),
        "asks": Verdict(ask="router-half-0.9,0.9", ceiling="mid"),
        "beyond": Verdict(model="openai/gpt-5.4-nano", ceiling="cheap"),
        "both": Verdict("cheap", floor="mid", ceiling="cheap"),
        "free": Verdict("cheap"),
    }
    expected = {"low": "mid", "asks": "mid", "beyond": "cheap", "both": "mid", "free": "expensive"}
    for prompt, tier in expected.items():
        routing = c.completion(model="router-says", messages=user(prompt)).routing
        assert (routing.tier, aside(routing).held_out) == (tier, True), prompt
        assert routing.reason.startswith(f"held out: sent to {tier} by lot")
    assert "strongest model allowed" in str(c.completion(model="router-says", messages=user("low")).routing.explain())


def test_a_failure_that_is_met_again_ends(c: Controller, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(self: Any, prompt: str) -> float:
        raise ConnectionError(prompt)

    monkeypatch.setattr(Half, "calculate_strong_win_rate", fails)
    Says.verdicts["x"] = Verdict(ask="router-half-0.3,0.7")
    with pytest.raises(ConnectionError):
        c.decide("x", "half", [0.3, 0.7], policy={"on_router_error": "says"})


def test_names_are_checked_at_construction(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    class Checking(Says):
        def check(self, ladder: Sequence[str], routers: Any) -> None:
            seen.append((list(ladder), list(routers)))
            if "mid" not in ladder:
                raise InvalidValueError("rules.yaml:3: there is no rung 'mid'")

    monkeypatch.setitem(ROUTER_CLS, "checking", Checking)
    Controller(["checking", "half"], tiers=TIERS, api_base=NOWHERE)
    with pytest.raises(InvalidValueError, match=r"rules.yaml:3"):
        Controller(["checking"], "big", "small")
    assert seen == [(list(TIERS), ["checking", "half"]), (["weak", "strong"], ["checking"])]


# --- calls, batches, threads ---


async def test_calls_of_every_kind(c: Controller, server: FakeServer) -> None:
    where = {"api_base": server.url, "api_key": "k"}
    response = c.chat.completions.create(model="router-says", messages=user("mid"), **where)
    assert (response.routing.tier, response.routing.router) == ("mid", "says")
    response = await c.acompletion(router="says", messages=user("cheap"), **where)
    assert response.routing.tier == "cheap"
    with c.completion(model="router-says", messages=user("expensive"), stream=True, **where) as stream:
        assert stream.routing.tier == "expensive" and list(stream)
    stream = await c.acompletion(model="router-my-says", messages=user("mid"), stream=True, **where)
    assert stream.routing.tier == "mid" and [chunk async for chunk in stream]
    Says.verdicts["x"] = Verdict(ask="router-half-0.3,0.7")
    response = await c.acompletion(model="router-says-0.6,0.7", messages=user("x"), **where)
    assert (response.routing.tier, response.routing.win_rate) == ("cheap", 0.5)
    asked = [request.json["model"] for request in server.requests]
    assert asked == ["gpt-5-mini", "gpt-5-nano", "gpt-5.2", "gpt-5-mini", "gpt-5-nano"]
    assert c.model_counts["says"]["gpt-5-nano"] == 2


def test_models_beyond_the_ladder_bring_their_settings(c: Controller, server: FakeServer) -> None:
    c.routers["says"].endpoints = {"own": Endpoint("own", {"api_base": server.url, "api_key": "k"})}
    Says.verdicts["x"] = Verdict(model="own")
    with pytest.warns(UserWarning, match="own"):
        response = c.completion(model="router-says", messages=user("x"))
    assert (response.routing.model, response.routing.tier) == ("own", None)
    assert server.requests[0].json["model"] == "own"


async def test_the_event_loop_is_not_blocked(
    c: Controller, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = []

    def slow(self: Any, request: Request) -> str:
        threads.append(threading.current_thread())
        time.sleep(0.05)
        return "mid"

    monkeypatch.setattr(Says, "choose", slow)
    call = c.acompletion(model="router-says", messages=user("x"), api_base=server.url, api_key="k")
    await call
    assert threads[0] is not threading.main_thread()

    async def own(self: Any, request: Request) -> str:
        await asyncio.sleep(0)
        return "cheap"

    monkeypatch.setattr(Says, "achoose", own)
    response = await c.acompletion(model="router-says", messages=user("x"), api_base=server.url, api_key="k")
    assert response.routing.tier == "cheap" and len(threads) == 1


def test_a_batch_is_decided_as_one_by_one(c: Controller) -> None:
    Says.verdicts |= {
        "rung": "mid",
        "ask": Verdict(ask="router-half-0.3,0.7", reason="left open", notes=["n"]),
        "asks": Verdict(ask="router-half-0.6,0.7", floor="mid"),
        "model": Verdict(model="gpt-4o"),
        "clamped": Verdict("expensive", ceiling="cheap"),
    }
    for router, threshold in (("says", None), ("says", [0.1, 0.6]), ("my-says", 0.5)):
        prompts = [*Says.verdicts, "ask"]
        for prompt, many in zip(prompts, c.decide_batch(prompts, router, threshold), strict=True):
            alone = c.decide(prompt, router, threshold)
            assert {**vars(many), "routing_us": 0} == {**vars(alone), "routing_us": 0}
    Says.verdicts["boom"] = ConnectionError("no line")
    with pytest.raises(ConnectionError):
        c.decide_batch(["rung", "boom"], "says")
    c.policy = {"on_router_error": "cheap"}  # type: ignore[assignment]
    assert [decision.tier for decision in c.decide_batch(["rung", "boom"], "says")] == ["mid", "cheap"]


def test_a_batch_shares_its_costs(c: Controller, monkeypatch: pytest.MonkeyPatch) -> None:
    from decimal import Decimal

    def paid(self: Any, prompts: Sequence[str], progress: Any = None) -> list[Any]:
        _notes.charge(Decimal("0.03"))
        return ["mid"] * len(prompts)

    monkeypatch.setattr(Says, "choose_batch", paid)
    costs = [decision.router_cost_usd for decision in c.decide_batch(["a", "b", "c"], "says")]
    assert costs == [Decimal("0.01")] * 3


def test_win_rates_of_a_batch_are_places_on_the_ladder(c: Controller) -> None:
    Says.verdicts |= {"model": Verdict(model="gpt-5-mini"), "other": Verdict(model="x"), "open": Verdict(ask="half")}
    prompts = ["cheap", "mid", "expensive", "strong", "model", "other", "open"]
    rates = c.batch_calculate_win_rate(np.array(prompts), "says")
    assert rates.tolist() == [0.0, 0.5, 1.0, 1.0, 0.5, 0.5, 0.5]
    four = Controller(["says"], tiers={"a": "1", "b": "2", "c": "3", "d": "4"})
    assert four.batch_calculate_win_rate(["b", "d"], "says") == pytest.approx([1 / 3, 1.0])


def test_pickles(c: Controller) -> None:
    made = pickle.loads(pickle.dumps(c))
    assert made.decide("mid", "says").tier == "mid" and made.decide("mid", model="router-my-says").tier == "mid"


def requests_of_a_batch() -> tuple[list[Any], list[Any]]:
    """Prompts and conversations, and a task and tags for each."""
    prompts: list[Any] = ["x", "y", user("x"), [*user("x"), {"role": "assistant", "content": "a"}, *user("legal")]]
    return prompts, [{"task": "coding"}, None, {"tags": {"team": "legal"}}, {"task": "translation", "tags": ["beta"]}]


@pytest.mark.parametrize("router", ["rules", "semantic", "local"])
def test_requests_of_a_batch_are_decided_as_one_by_one(router: str) -> None:
    rules = [
        {"name": "legal", "when": {"tags": {"team": "legal"}}, "floor": "mid", "ask": "router-local-0.9,0.95"},
        {"name": "tools", "when": {"tools": True}, "use": "mid"},
        {"name": "gold", "when": {"metadata": {"plan": "gold"}}, "use": "expensive"},
    ]
    routes = {"law": ["legal advice on a contract"], "letters": ["x y z"]}
    config: dict[str, Any] = {
        "rules": {"rules": rules, "preset": "article"},
        "semantic": {"routes": routes, "map": {"law": "expensive", "letters": "cheap"}, "thresholds": 0.2},
    }
    c = Controller(["rules", "semantic", "local"], tiers=TIERS, config=config, api_base=NOWHERE)
    threshold = [0.3, 0.7] if router == "local" else None
    prompts, extras = requests_of_a_batch()
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]
    for request in (
        {},
        {"tools": tools},
        {"metadata": {"plan": "gold"}},
        {"max_tokens": 5, "policy": {"sticky": True}},
    ):
        for objects in (extras, extras[0], None):
            each = objects if isinstance(objects, list) else [objects] * len(prompts)
            many = c.decide_batch(prompts, router, threshold, ferroute=objects, **request)
            for prompt, one, decision in zip(prompts, each, many, strict=True):
                alone = c.decide(prompt, router, threshold, ferroute=one, **request)
                assert {**vars(decision), "routing_us": 0} == {**vars(alone), "routing_us": 0}
    if router == "rules":
        many = c.decide_batch(prompts, router, ferroute=extras)
        assert [one.tier for one in many] == ["expensive", "mid", "mid", "mid"]
        assert [one.tier for one in c.decide_batch(["x", "y"], router, tools=tools)] == ["mid", "mid"]
        assert [one.tier for one in c.decide_batch(["x"], router, metadata={"plan": "gold"})] == ["expensive"]


def test_what_a_batch_cannot_be(c: Controller) -> None:
    with pytest.raises(InvalidValueError, match="an object for each of 2 prompts, found 1"):
        c.decide_batch(["mid", "mid"], "says", ferroute=[{"task": "coding"}])
    with pytest.raises(InvalidValueError, match="prompt 1: `ferroute`: unknown 'taks'"):
        c.decide_batch(["mid", "mid"], "says", ferroute=[None, {"taks": "coding"}])
    with pytest.raises(InvalidTypeError, match="one for each; found str"):
        c.decide_batch(["mid"], "says", ferroute="coding")  # type: ignore[arg-type]
    with pytest.raises(InvalidTypeError, match="a single list of messages"):
        c.decide_batch(user("mid"), "says")
    Says.verdicts["boom"] = ConnectionError("no line")
    with pytest.raises(ConnectionError):
        c.decide_batch(["mid", "boom"], "says", ferroute={"task": "x"})
    c.policy = {"on_router_error": "cheap"}  # type: ignore[assignment]
    assert [one.tier for one in c.decide_batch(["mid", "boom"], "says", ferroute={"task": "x"})] == ["mid", "cheap"]


# --- what a router may ask is checked when the Controller is made ---

ASKED = [
    ("router-half", "router 'half' needs thresholds, such as router-half-0.3,0.7 or router-half-60%,15%"),
    ("router-half-abc", "Threshold abc must be a float"),
    ("router-half-2,3", "Invalid threshold 2.0. Threshold must be"),
    ("router-half-7", "Invalid threshold 7.0"),
    ("router-half-130%", "Invalid share 130%"),
    ("router-half-0.7,0.3", "Thresholds must not fall"),
    ("router-half-15%,60%", "Shares must not rise"),
    ("router-half-0.1,0.2,0.3", "Expected 2 thresholds, one for each step between the 3 rungs"),
    ("router-half-0.3,70%", "Thresholds 0.3,70% must be floats"),
]


def config_that_asks(model: str) -> list[tuple[str, dict[str, Any], str]]:
    """Router, its arguments, and where these ask."""
    routes = {"law": ["legal advice"]}
    rule = {"when": {"words": "a"}, "ask": model}
    return [
        ("rules", {"rules": [rule]}, r"rules\[0\].ask"),
        ("rules", {"preset": "article", "otherwise": model}, "otherwise"),
        ("semantic", {"routes": routes, "map": {"law": model}}, "semantic: route 'law'"),
        ("semantic", {"routes": routes, "map": {"law": "mid"}, "otherwise": model}, "semantic: otherwise"),
    ]


@pytest.mark.parametrize(("model", "said"), ASKED)
def test_what_is_asked_is_checked_at_construction(model: str, said: str) -> None:
    for router, arguments, place in config_that_asks(model):
        with pytest.raises(InvalidValueError, match=rf"^{place}: '{model}': .*{said}"):
            Controller([router, "half"], tiers=TIERS, config={router: arguments}, api_base=NOWHERE)


@pytest.mark.parametrize("model", ["router-half-0.3,0.7", "router-half-60%,15%", "router-half-0.5", "router-my-says"])
def test_what_can_be_asked_is_accepted(model: str) -> None:
    for router, arguments, _ in config_that_asks(model):
        c = Controller([router, "half", "my-says"], tiers=TIERS, config={router: arguments}, api_base=NOWHERE)
        Says.verdicts = {"a": "mid", "legal advice": "mid", "zz": "mid"}
        for prompt in Says.verdicts:
            assert c.decide(prompt, router).tier in TIERS


def test_a_router_that_decides_by_itself_takes_one_threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    class Own(Half):
        def route(self, prompt: str, threshold: float, routed_pair: Any) -> str:
            return routed_pair.weak

    monkeypatch.setitem(ROUTER_CLS, "own", Own)
    config = {"rules": {"preset": "article", "otherwise": "router-own-0.3,0.7"}}
    with pytest.raises(InvalidValueError, match=r"otherwise: .*'own' decides by itself"):
        Controller(["rules", "own"], tiers=TIERS, config=config, api_base=NOWHERE)


def test_circles_are_refused_at_construction(tmp_path: Any) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text("rules:\n  - when: {words: a}\n    ask: router-rules\n", encoding="utf-8")
    with pytest.raises(InvalidValueError, match=r"rules.yaml:3:10: .*in a circle: rules -> rules"):
        Controller(["rules"], tiers=TIERS, config={"rules": {"file": file}}, api_base=NOWHERE)
    semantic = {"routes": {"law": ["legal advice"]}, "map": {"law": "router-rules"}}
    config = {"rules": {"preset": "article", "otherwise": "router-semantic"}, "semantic": semantic}
    with pytest.raises(InvalidValueError, match=r"route 'law': .*in a circle: rules -> semantic -> rules"):
        Controller(["rules", "semantic"], tiers=TIERS, config=config, api_base=NOWHERE)
    config["rules"] = {"preset": "article", "otherwise": "mid"}
    assert Controller(["rules", "semantic"], tiers=TIERS, config=config, api_base=NOWHERE)


def test_bounds_hold_on_the_ladder_alone() -> None:
    rules = [
        {"when": {"words": "a"}, "floor": "expensive"},
        {"when": {"words": "b"}, "model": "gpt-4o"},
        {"model": "gpt-5-nano"},
    ]
    c = Controller(["rules"], tiers=TIERS, config={"rules": {"rules": rules}}, api_base=NOWHERE)
    off = c.decide("a b", "rules")
    assert (off.model, off.tier) == ("gpt-4o", None)
    assert "at least" not in off.reason
    assert off.notes == ("gpt-4o is on no rung, so the floor expensive cannot hold",)
    assert "or above" not in str(off.explain())
    on = c.decide("a", "rules")
    assert on.tier == "expensive" and "raised from cheap to expensive, the lowest allowed" in on.notes


def test_routers_of_ones_own_say_what_they_may_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    class Asking(Says):
        def asked_routers(self) -> list[tuple[str, str]]:
            return [("router-half", "teams.csv:7")]

    monkeypatch.setitem(ROUTER_CLS, "asking", Asking)
    with pytest.raises(InvalidValueError, match=r"^teams.csv:7: 'router-half': router 'half' needs thresholds"):
        Controller(["asking", "half"], tiers=TIERS, api_base=NOWHERE)
