"""The server decides as the Controller does: the same requests through both, for every kind of router.

Both are built alike and see the same traffic in the same order, so windows, conversations and caches agree as well.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import GOLDENS
from fakeserver import Answer, FakeServer
from ferroute import Controller, RoutingError, _notes
from ferroute._extras import taken
from ferroute._gateway_deciding import described, native
from ferroute._trace import Asked
from ferroute.calibrate import calibrate
from ferroute.controller import ROUTER_CLS
from ferroute.gateway import Gateway, client_of
from ferroute.policy import CallPolicy
from ferroute.routers.base import Request, Router, RungRouter, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from typing_extensions import Self

NOWHERE = "http://127.0.0.1:9/v1"
PAIR = {"strong_model": "gpt-5.5", "weak_model": "gpt-5.4-nano"}
TIERS = {"cheap": "gpt-5.4-nano", "mid": "gpt-5.4-mini", "expensive": "gpt-5.5"}
# Facts of the price data: the first two take no images, and the first has room for 16,385 tokens.
NARROW = {"cheap": "openai/gpt-3.5-turbo", "mid": "openai/gpt-4", "expensive": "gpt-5.5"}
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}]
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}


class Length(Router):
    """A router of the user's own."""

    def calculate_strong_win_rate(self, prompt: str) -> float:
        return min(len(prompt) / 100, 1.5)


class Fails(Router):
    def calculate_strong_win_rate(self, prompt: str) -> float:
        raise LookupError(f"nothing for\n{len(prompt)} letters")


class Mine(RungRouter):
    """Names rungs, models and other routers, by the first word."""

    def choose(self, request: Request) -> Any:
        _notes.note("looked at")
        word = (request.text.split() or ["cheap"])[0]
        if word == "ask":
            return Verdict(ask="router-local-0.3", floor="mid", reason="asked for it")
        if word == "far":
            return Verdict(model="gpt-5.4-mini", ceiling="mid")
        return Verdict("expensive" if "!" in request.text else "cheap", notes=["by the sign"])


RULES = [
    {"name": "code", "when": {"words": ["def", "class"]}, "use": "expensive"},
    {"name": "secret", "when": {"words": "secret"}, "ceiling": "cheap"},
    {"name": "long", "when": {"words": "long"}, "floor": "mid"},
    {"name": "far", "when": {"words": "far"}, "model": "gpt-5.4-mini"},
    {"name": "own", "when": {"words": "mine"}, "model": {"model": "openai/own", "api_base": NOWHERE, "api_key": "k"}},
    {"name": "score", "when": {"words": "score"}, "ask": "router-local-0.3"},
]
ROUTES = {
    "cheap": ["hi there", "thanks a lot", "good morning"],
    "expensive": ["prove the theorem", "derive the integral", "write a compiler"],
}
CONFIG: dict[str, Any] = {
    "rules": {"rules": RULES, "otherwise": "router-local-0.4"},
    "semantic": {"routes": ROUTES, "otherwise": "router-local-0.35"},
}
NATIVE = ["random", "local", "rules", "semantic"]
FOREIGN = ["length", "fails", "mine"]


@pytest.fixture(scope="module", autouse=True)
def _registered() -> Iterator[None]:
    own: dict[str, Callable[..., Any]] = {"length": Length, "fails": Fails, "mine": Mine, "two-words": Length}
    ROUTER_CLS.update(own)
    yield
    for name in own:
        del ROUTER_CLS[name]


class Twins:
    """A Controller that is served, and one built alike that is asked directly."""

    def __init__(self, make: Callable[[], Controller]) -> None:
        self.served, self.asked = make(), make()
        self._gateway = Gateway(self.served, port=0)
        self._http = httpx.Client(base_url=self._gateway.url)

    def __enter__(self) -> Self:
        self._gateway.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()
        self._gateway.__exit__()

    def over_http(self, body: dict[str, Any]) -> Any:
        answer = self._http.post("/v1/decision", json=body)
        told = answer.json()
        if answer.status_code != 200:
            message = told["error"]["message"]
            # Where the Controller has Python's words, as RouteLLM, the server has its own.
            return answer.status_code, "no threshold" if "give a threshold" in message else message
        keys = ("model", "tier", "router", "win_rate", "threshold", "share", "reason", "notes", "warmup", "holdout")
        return {key: told[key] for key in keys}

    def directly(self, body: dict[str, Any]) -> Any:
        keywords = {name: value for name, value in body.items() if value is not None}
        extras = taken(keywords)
        held = cast("Any", self.asked)
        router: Any = None
        try:
            router, threshold = held._requested(None, None, keywords)
            asked = Asked(keywords["messages"], self.asked.policy, keywords, extras)
            decision = held._decide_for_completion(asked, router, threshold)
        except (RoutingError, ValueError) as error:
            return 400, "no threshold" if str(error).startswith("not enough values to unpack") else str(error)
        except Exception as error:
            from ferroute._one_line import one_line

            # The server tells the first line: what follows often quotes what was sent.
            first = one_line(str(error).partition("\n")[0][:200])
            return 500, f"router {router!r} failed ({type(error).__name__}: {first})"
        listed = [list(each) if isinstance(each, tuple) else each for each in (decision.threshold, decision.share)]
        return {
            "model": decision.model,
            "tier": decision.tier,
            "router": decision.router,
            "win_rate": decision.win_rate,
            "threshold": listed[0],
            "share": listed[1],
            "reason": decision.reason,
            "notes": list(decision.notes),
            "warmup": decision.warmup,
            "holdout": decision.reason.startswith("held out"),
        }

    def agree(self, body: dict[str, Any]) -> Any:
        over_http, directly = self.over_http(body), self.directly(body)
        if isinstance(directly, dict):
            for told in (over_http, directly):
                # What a classifier took is never the same twice.
                told["notes"] = [re.sub(r"\b\d+ ms\b", "N ms", note) for note in told["notes"]]
        assert over_http == directly, body
        return directly


def twins(stack: ExitStack, routers: list[str], config: Any = None, **kwargs: Any) -> Twins:
    models = {} if "tiers" in kwargs else PAIR

    def make() -> Controller:
        return Controller(
            routers, config=CONFIG if config is None else config, api_base=NOWHERE, api_key="k", **models, **kwargs
        )

    return stack.enter_context(Twins(make))


@pytest.fixture(scope="module")
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


POLICIES: list[dict[str, Any]] = [
    {},
    {"on_router_error": "strong", "view": "user_turns"},
    {"on_router_error": "local", "join_short_turns": True, "sticky": True},
    {"on_router_error": "cheap", "sticky": True, "view": "first"},
]


@pytest.fixture(scope="module")
def houses(stack: ExitStack, _registered: None) -> list[Twins]:
    every = [*NATIVE[1:], *FOREIGN, "two-words"]
    pair = [{**policy, "on_router_error": "weak"} if "cheap" in policy.values() else policy for policy in POLICIES]
    return [
        *(twins(stack, every, policy=policy) for policy in pair),
        *(twins(stack, every, tiers=TIERS, policy=policy) for policy in POLICIES),
        twins(stack, every, tiers=NARROW, policy=POLICIES[2]),
        twins(stack, NATIVE[1:], tiers=NARROW),
    ]


WORDS = [
    "def",
    "secret",
    "long",
    "far",
    "mine",
    "score",
    "ask",
    "hi",
    "prove",
    "the",
    "theorem!",
    "über",
    "go",
    "x",
    "\n",
]
# Stands for a text that is too long for some: hypothesis shows what it has drawn, and would show all of that.
LONG = "<a long text>"
texts = st.one_of(
    st.lists(st.sampled_from(WORDS), min_size=0, max_size=9).map(" ".join),
    st.text(st.characters(codec="utf-8"), max_size=60),
    st.sampled_from(["yes, go on", "and in French?", LONG, "hello there"]),
)
parts = st.lists(
    st.one_of(texts.map(lambda text: {"type": "text", "text": text}), st.just(IMAGE)), min_size=1, max_size=3
)
contents = st.one_of(texts, parts, st.none())
messages = st.lists(
    st.fixed_dictionaries({
        "role": st.sampled_from(["user", "user", "assistant", "system", "tool"]), "content": contents,
    }),
    min_size=1, max_size=5,
)  # fmt: skip
numbers = st.one_of(
    st.floats(0, 1).map(str), st.sampled_from(["0.3,0.7", "0.5", "0.7,0.3", "1.5", "-1", "nan", "1e-3", "x", "", ","])
)
shares = st.one_of(
    st.floats(0, 100).map(lambda share: f"{share}%"), st.sampled_from(["60%,15%", "0%", "100%", "15%,60%", "130%"])
)
named = ["local", "rules", "semantic", "length", "fails", "mine", "two-words", "nobody"]
models = st.one_of(
    st.tuples(st.sampled_from(named), st.one_of(numbers, shares)).map("router-{0[0]}-{0[1]}".format),
    st.sampled_from([f"router-{name}" for name in named]),
    st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=8).map("router{}".format),
)
bodies = st.fixed_dictionaries(
    {"model": models, "messages": messages},
    optional={
        "tools": st.sampled_from([TOOLS, []]),
        "max_tokens": st.sampled_from([None, 10, 4_000]),
        "response_format": st.sampled_from([{"type": "json_schema", "json_schema": {"name": "a", "schema": {}}}, None]),
        "stream": st.booleans(),
        "metadata": st.just({"team": "a"}),
        "ferroute": st.fixed_dictionaries(
            {}, optional={"session": st.sampled_from(["s1", "s2"]), "task": st.sampled_from(["coding", "chat"])}
        ),
    },
)


@settings(max_examples=700, deadline=None, suppress_health_check=list(HealthCheck))
@given(house=st.integers(0, 9), body=bodies)
def test_the_server_decides_as_the_controller_does(houses: list[Twins], house: int, body: dict[str, Any]) -> None:
    houses[house].agree(json.loads(json.dumps(body).replace(LONG, "word " * 20_000)))


@pytest.mark.parametrize("count", [1, 40])
def test_tools_take_the_same_room_on_both_sides(houses: list[Twins], count: int) -> None:
    schema = {"type": "object", "properties": {"a": {"enum": [1, 2.5, None, True, 'é"\n']}}, "required": ["a"]}
    function = {"name": "look", "description": "x" * 2_000, "parameters": schema}
    body = {
        "model": "router-local-1.0",
        "messages": [{"role": "user", "content": "word " * 20_000}],
        "tools": [{"type": "function", "function": function}] * count,
    }
    told = houses[8].agree(body)
    assert "is too short for about" in told["notes"][0]


def test_shares_conversations_and_a_long_run_agree(houses: list[Twins]) -> None:
    draw = random.Random(7)
    for turn, house in itertools.product(range(250), (houses[0], houses[6])):
        text = " ".join(draw.choices(WORDS, k=draw.randint(1, 12)))
        router = draw.choice(["local-30%", "length-30%", "local-0.4", "semantic-20%", "rules", "mine"])
        session = {"session": f"s{draw.randint(0, 3)}"}
        told = house.agree({
            "model": f"router-{router}", "messages": [{"role": "user", "content": text}], "ferroute": session,
        })  # fmt: skip
        assert turn < 240 or told["router"] != "local" or not told["warmup"]


def test_which_routers_the_core_asks_by_itself(houses: list[Twins]) -> None:
    controller = houses[4].asked
    told = described(controller, partial(client_of, controller))
    kinds = {router["name"]: router["kind"] for router in told["routers"]}
    assert kinds == {"local": "local", "rules": "rules", "semantic": "semantic"} | dict.fromkeys(
        (*FOREIGN, "two-words"), ""
    )
    assert told["all_elsewhere"] is False


def test_a_rule_whose_model_cannot_be_called_fails_when_it_is_asked(stack: ExitStack) -> None:
    rules = [{"when": {"words": "far"}, "model": {"model": "openai/far", "backend": "litellm"}}]
    both = twins(stack, ["rules"], {"rules": {"rules": rules, "otherwise": "cheap"}})
    body = {"model": "router-rules", "messages": [{"role": "user", "content": "near"}]}
    assert both.agree(body)["model"] == "gpt-5.4-nano"
    status, message = both.over_http({**body, "messages": [{"role": "user", "content": "far"}]})
    assert (status, "litellm" in message) == (500, True)


def test_windows_and_conversations_outlive_a_reload() -> None:
    def make() -> Controller:
        return Controller(["local", "length"], api_base=NOWHERE, api_key="k", **PAIR)

    body = {"model": "router-local-50%", "messages": [{"role": "user", "content": "hi"}]}
    with Twins(make) as both:
        for _ in range(120):
            both.over_http(body)
        assert not both.over_http(body)["warmup"]
        same, other = make(), make()
        same.routers["local"] = both.served.routers["local"]
        both._gateway.replace(same)
        assert not both.over_http(body)["warmup"]
        # Another router's scores are of no use to it.
        both._gateway.replace(other)
        assert both.over_http(body)["warmup"]


class TestWhatIsSomebodyElses:
    """Nothing that a user has overridden or patched is passed over."""

    def test_a_subclass_and_a_patched_instance(self, monkeypatch: pytest.MonkeyPatch) -> None:
        made = Controller(NATIVE, config=CONFIG, api_base=NOWHERE, api_key="k", **PAIR)
        assert [native(router)[0] for router in made.routers.values()] == NATIVE

        class Own(type(made.routers["local"])):  # type: ignore[misc]
            pass

        assert native(Own())[0] == ""
        local, rules = made.routers["local"], made.routers["rules"]
        monkeypatch.setattr(local, "calculate_strong_win_rate", lambda _: 0.5, raising=False)
        monkeypatch.setattr(rules, "choose", lambda _: "cheap", raising=False)
        assert native(local)[0] == native(rules)[0] == ""
        monkeypatch.setattr(type(made.routers["semantic"]), "choose", lambda *_: "cheap")
        assert native(made.routers["semantic"])[0] == ""
        monkeypatch.setattr(type(made.routers["random"]), "route", lambda *_: "gpt-5.5")
        assert native(made.routers["random"])[0] == ""

    def test_a_controller_of_the_users_own(self) -> None:
        class Own(Controller):
            def _get_routed_model_for_completion(self, messages: Any, router: str, threshold: Any) -> str:
                return self.model_pair.weak if "weak" in messages[-1]["content"] else "gpt-5.4-mini"

        def make() -> Controller:
            return Own(["local"], api_base=NOWHERE, api_key="k", **PAIR)

        with Twins(make) as both:
            for text, model in [("weak", "gpt-5.4-nano"), ("other", "gpt-5.4-mini")]:
                body = {"model": "router-local-0.5", "messages": [{"role": "user", "content": text}]}
                told = both.over_http(body)
                assert (told["model"], told["reason"]) == (model, "an overriding method chose it")

    def test_a_threshold_that_is_held(self) -> None:
        class Hold:
            label = "a test"

            def held(self) -> tuple[float, str | None]:
                return 0.2, "on its way"

        def make() -> Controller:
            made = Controller(["local"], api_base=NOWHERE, api_key="k", **PAIR)
            made.hold("local", Hold())
            return made

        with Twins(make) as both:
            told = both.agree({"model": "router-local", "messages": [{"role": "user", "content": "hi"}]})
            assert told["reason"].endswith("held by a test")
            both.agree({"model": "router-local-0.3", "messages": [{"role": "user", "content": "hi"}]})


def mf_config(upstream: FakeServer, **embedder: Any) -> dict[str, Any]:
    where = {"api_base": upstream.url, "api_key": "k", "model": "text-embedding-3-small", **embedder}
    checkpoint = str(GOLDENS / "mf" / "small" / "checkpoint")
    pair = {"strong_model": "claude-2.1", "weak_model": "claude-1"}
    return {"mf": {"checkpoint_path": checkpoint, "embedder": where, **pair}}


def test_embeddings_are_asked_for_and_paid(stack: ExitStack) -> None:
    with FakeServer(dim=384) as upstream:
        both = twins(stack, ["mf"], mf_config(upstream))
        assert native(both.served.routers["mf"])[0] == "mf"
        for text in ["", "one", "two", "one", "prove it", "ein längerer Satz"]:
            for threshold in ("0.5", "40%"):
                both.agree({"model": f"router-mf-{threshold}", "messages": [{"role": "user", "content": text}]})
        body = {"model": "router-mf-0.5", "messages": [{"role": "user", "content": "not yet seen"}]}
        told = httpx.post(f"{both._gateway.url}/v1/decision", json=body).json()
        assert told["router_cost_usd"] is not None
        assert 0 < float(told["router_cost_usd"]) < 1e-5
        upstream.max_tokens = 5
        told = both.agree({"model": "router-mf-0.5", "messages": [{"role": "user", "content": "a b c d e f g h i j"}]})
        assert "was cut to its first" in told["notes"][0]


def test_an_embedder_that_fails(stack: ExitStack) -> None:
    with FakeServer(dim=384) as upstream:
        config = mf_config(upstream, max_retries=0)
        both = twins(stack, ["mf", "local"], config, policy={"on_router_error": "local"})
        raises = twins(stack, ["mf"], config)
        for at, (status, word) in enumerate(
            [(401, "AuthenticationError"), (404, "NotFoundError"), (400, "BadRequest")]
        ):
            body = {"model": "router-mf-0.5", "messages": [{"role": "user", "content": f"text {at}"}]}
            upstream.then(Answer(status=status), Answer(status=status))
            told = both.agree(body)
            assert word in told["notes"][0]
            upstream.then(Answer(status=status))
            # The embedder's answer to our key is none of the caller's.
            status_told, message = raises.over_http(body)
            assert (status_told, word in message, "router 'mf' failed" in message) == (502, True, True)


def test_a_classifier(stack: ExitStack) -> None:
    with FakeServer() as upstream:
        config = {
            "llm_classifier": {"model": "openai/judge", "api_base": upstream.url, "api_key": "k", "max_retries": 0},
        }
        both = twins(stack, ["llm_classifier"], config, tiers=TIERS)
        assert native(both.served.routers["llm_classifier"])[0] == "classifier"
        body = {"model": "router-llm_classifier", "messages": [{"role": "user", "content": "classify this"}]}
        both.agree(body)
        both.agree({**body, "messages": [{"role": "user", "content": "Return only: expensive"}]})


def test_other_built_in_routers(stack: ExitStack) -> None:
    folder = GOLDENS / "bert" / "wordpiece" / "checkpoint"
    if not folder.is_dir():
        folder = next(path for path in GOLDENS.rglob("wordpiece/checkpoint") if path.is_dir())
    both = twins(stack, ["bert"], {"bert": {"checkpoint_path": str(folder)}})
    assert native(both.served.routers["bert"])[0] == "bert"
    for text in ["", "hello", "a longer text of several words"]:
        both.agree({"model": "router-bert-0.5", "messages": [{"role": "user", "content": text}]})


def test_calibrated_shares(tmp_path: Any) -> None:
    scores = np.random.default_rng(5).beta(2, 3, 3_000)
    path = tmp_path / "local.json"
    calibrate(scores, name="local").save(path)
    config = {"local": {"calibration": str(path)}}
    with ExitStack() as own:
        for kwargs in ({}, {"tiers": TIERS}):
            both = twins(own, ["local"], config, **kwargs)
            for share in ("30%", "0%", "100%", "60%,15%", "1%"):
                both.agree({"model": f"router-local-{share}", "messages": [{"role": "user", "content": "hi"}]})


def test_the_lot(stack: ExitStack) -> None:
    both = twins(stack, ["local", "length"], policy={"holdout": 1.0})
    for router in ("local", "length"):
        told = both.agree({"model": f"router-{router}-1.0", "messages": [{"role": "user", "content": "hi"}]})
        assert (told["model"], told["holdout"]) == ("gpt-5.5", True)


def test_random_is_uniform_and_needs_nobody(stack: ExitStack) -> None:
    both = twins(stack, ["random"])
    body = {"model": "router-random-0.5", "messages": [{"role": "user", "content": "hi"}]}
    rates = [both.over_http(body)["win_rate"] for _ in range(400)]
    # The mean of 400 deviates by 0.0144.
    assert abs(sum(rates) / 400 - 0.5) < 0.1
    assert len(set(rates)) > 390


def test_a_router_that_fails_costs_its_request_only(houses: list[Twins]) -> None:
    body = {"model": "router-fails-0.5", "messages": [{"role": "user", "content": "abc"}]}
    status, message = houses[0].over_http(body)
    assert (status, message) == (500, "router 'fails' failed (LookupError: nothing for)")
    assert houses[0].over_http({**body, "model": "router-local-0.5"})["router"] == "local"


def test_many_at_once_wait_for_a_slow_router(stack: ExitStack) -> None:
    gate = threading.Event()

    class Slow(Router):
        def calculate_strong_win_rate(self, prompt: str) -> float:
            if prompt == "wait":
                assert gate.wait(20)
            return 0.5

    ROUTER_CLS["slow"] = Slow
    try:
        both = twins(stack, ["slow", "local"])
    finally:
        del ROUTER_CLS["slow"]
    slow = {"model": "router-slow-0.5", "messages": [{"role": "user", "content": "wait"}]}
    with ThreadPoolExecutor(20) as pool:
        answers = [pool.submit(both.over_http, slow) for _ in range(20)]
        quick = {"model": "router-local-0.5", "messages": [{"role": "user", "content": "hi"}]}
        assert both.over_http(quick)["router"] == "local"
        assert not any(answer.done() for answer in answers)
        gate.set()
        assert {json.dumps(answer.result(20)["model"]) for answer in answers} == {'"gpt-5.5"'}


class Hangs(Router):
    """Takes as long as it is told, by a gate or by the prompt."""

    gate = threading.Event()

    def calculate_strong_win_rate(self, prompt: str) -> float:
        if prompt == "hang":
            assert self.gate.wait(60)
        else:
            time.sleep(float(prompt))
        return 0.5


@pytest.fixture
def hanging() -> Iterator[None]:
    ROUTER_CLS["hangs"] = Hangs
    Hangs.gate.clear()
    yield
    Hangs.gate.set()
    del ROUTER_CLS["hangs"]


def told(prompt: str) -> dict[str, Any]:
    return {"model": "router-hangs-0.5", "max_tokens": 9, "messages": [{"role": "user", "content": prompt}]}


def router_threads() -> int:
    names: list[str] = []
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # it has ended
            names.append((task / "comm").read_text())
    return sum(name.startswith("ferroute-router") for name in names)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are counted as Linux shows them")
@pytest.mark.usefixtures("hanging")
def test_callers_who_leave_do_not_pile_up_routers() -> None:
    async def leave(url: str) -> int:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=url, timeout=httpx.Timeout(20, read=2), limits=limits) as client:
            asked = [client.post("/v1/decision", json=told("hang")) for _ in range(70)]
            answers = await asyncio.gather(*asked, return_exceptions=True)
        return sum(isinstance(answer, httpx.ReadTimeout) for answer in answers)

    before = router_threads()
    with Gateway(Controller(["hangs"], **PAIR, api_base=NOWHERE, ledger="memory:"), port=0) as gateway:
        try:
            assert asyncio.run(leave(gateway.url)) == 70
            assert asyncio.run(leave(gateway.url)) == 70
            assert 32 <= router_threads() - before <= 64
            busy = httpx.post(f"{gateway.url}/v1/decision", json=told("hang"), timeout=30)
            assert (busy.status_code, busy.json()["error"]["code"]) == (503, "router_busy")
            assert busy.headers["retry-after"] == "10"
        finally:
            Hangs.gate.set()
        assert httpx.post(f"{gateway.url}/v1/decision", json=told("0"), timeout=30).status_code == 200


@pytest.mark.usefixtures("hanging")
def test_a_deadline_holds_for_routers() -> None:
    with FakeServer() as upstream:
        controller = Controller(
            ["hangs"],
            **PAIR,
            api_base=upstream.url,
            api_key="k",
            ledger="memory:",
            policy=CallPolicy(deadline=2, retries=0),
        )
        with Gateway(controller, port=0) as gateway, httpx.Client(base_url=gateway.url, timeout=20) as client:
            late = client.post("/v1/chat/completions", json=told("hang"))
            said = "the router has not decided within the deadline of 2 s"
            assert (late.status_code, late.json()["error"]["message"]) == (504, said)
            assert late.headers["x-should-retry"] == "false"
            late = client.post("/v1/messages", json=told("hang"))
            assert (late.status_code, late.json()["type"], late.json()["error"]["message"]) == (504, "error", said)
            assert not upstream.requests
            # What the router took is not there for the call.
            upstream.then(Answer(delay=10))
            late = client.post("/v1/chat/completions", json=told("0.5"))
            assert late.status_code == 504
            found = re.search(r"deadline of ([\d.]+) s", late.json()["error"]["message"])
            assert found is not None and 0 < float(found[1]) <= 1.5
