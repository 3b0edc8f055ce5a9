"""Calls of a Controller and by name against local servers: who is asked, with which key, and what it cost."""

from __future__ import annotations

import contextlib
import copy
import json
import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import openai
import pydantic
import pytest
from openai.types.chat import ChatCompletionChunk

import ferroute
from fakeserver import Answer, FakeServer, chunk, completion, event
from ferroute import CallPolicy, Controller, ModelPair, _calls, _notes, completions, pricing, responses
from ferroute import controller as module
from ferroute.controller import ROUTER_CLS
from ferroute.endpoints import Endpoint, endpoint
from ferroute.errors import DroppedParameterWarning, InvalidTypeError, InvalidValueError
from ferroute.routers.base import Router

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HELLO = [{"role": "user", "content": "Say hello"}]
KEY = "sk-very-secret-1234567890"
USAGE = {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200}


class Length(Router):
    """Strong for texts of at least so many characters."""

    def calculate_strong_win_rate(self, prompt: str) -> float:
        return min(len(prompt) / 100, 1.0)


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[FakeServer, FakeServer]]:
    monkeypatch.setitem(ROUTER_CLS, "length", Length)
    with FakeServer() as strong, FakeServer() as weak:
        yield strong, weak


def controller(strong: FakeServer, weak: FakeServer, **kwargs: Any) -> Controller:
    return Controller(
        ["length"],
        {"model": "openai/gpt-5.2", "api_base": strong.url, "api_key": f"{KEY}-strong"},
        {"model": "openai/gpt-5-mini", "base_url": weak.url, "api_key": f"{KEY}-weak"},
        **kwargs,
    )


def priced(**message: Any) -> Answer:
    return Answer(body=json.dumps(completion(**message) | {"usage": USAGE}).encode())


def streamed(usage: bool = True) -> Answer:
    chunks = [chunk({"role": "assistant", "content": "Hel"}), chunk({"content": "lo"}), chunk({}, "stop")]
    if usage:
        chunks.append(event({"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [],
                             "usage": USAGE}))  # fmt: skip
    return Answer(headers={"content-type": "text/event-stream"}, chunks=[*chunks, b"data: [DONE]\n\n"])


def cost(model: str) -> Decimal:
    found = pricing.cost(model, input_tokens=1000, output_tokens=200)
    assert found is not None
    return found


# --- endpoints ---


def test_each_model_has_its_own_address_and_key(servers: tuple[FakeServer, FakeServer]) -> None:
    strong, weak = servers
    c = controller(strong, weak)
    c.completion(router="length", threshold=0.0, messages=HELLO)
    c.completion(router="length", threshold=1.0, messages=HELLO)
    for server, name, model in ((strong, "strong", "gpt-5.2"), (weak, "weak", "gpt-5-mini")):
        (request,) = server.requests
        assert request.headers["authorization"] == f"Bearer {KEY}-{name}" and request.json["model"] == model
    assert dict(c.model_counts["length"]) == {"openai/gpt-5.2": 1, "openai/gpt-5-mini": 1}
    assert all(type(name) is str for name in c.model_counts["length"])


def test_two_servers_may_serve_a_model_of_the_same_name(servers: tuple[FakeServer, FakeServer]) -> None:
    strong, weak = servers
    c = Controller(["length"], {"model": "llama", "api_base": strong.url}, {"model": "llama", "api_base": weak.url})
    for threshold in (0.0, 1.0, 1.0):
        c.completion(router="length", threshold=threshold, messages=HELLO)
    assert (len(strong.requests), len(weak.requests)) == (1, 2)


def test_what_an_endpoint_leaves_out_comes_from_the_controller(servers: tuple[FakeServer, FakeServer]) -> None:
    strong, weak = servers
    c = Controller(["length"], {"model": "big", "api_base": strong.url}, "small", api_base=weak.url, api_key=KEY)
    for threshold in (0.0, 1.0):
        c.completion(router="length", threshold=threshold, messages=HELLO)
    assert strong.requests[0].headers["authorization"] == weak.requests[0].headers["authorization"] == f"Bearer {KEY}"
    c.completion(router="length", threshold=0.0, messages=HELLO, api_base=weak.url, api_key="other")
    assert weak.requests[1].json["model"] == "big" and weak.requests[1].headers["authorization"] == "Bearer other"


def test_models_are_assigned_at_run_time(servers: tuple[FakeServer, FakeServer]) -> None:
    strong, weak = servers
    c = Controller(["length"], "openai/a", "openai/b", api_base=strong.url)
    c.model_pair.weak = {"model": "openai/c", "api_base": weak.url}  # type: ignore[assignment]
    assert c.completion(router="length", threshold=1.0, messages=HELLO).routing.model == "openai/c"
    c.model_pair = ModelPair("openai/a", "openai/d")
    c.completion(router="length", threshold=1.0, messages=HELLO)
    assert [r.json["model"] for r in weak.requests] == ["c"] and strong.requests[0].json["model"] == "d"


def test_an_endpoint_is_its_name_and_shows_no_key() -> None:
    made = endpoint({"model": "openai/a", "api_key": KEY, "api_base": "http://h", "organization": None}, "strong_model")
    assert isinstance(made, Endpoint) and made == "openai/a" and hash(made) == hash("openai/a")
    assert made.settings == {"api_key": KEY, "api_base": "http://h"}
    pair = ModelPair(strong={"model": "openai/a", "api_key": KEY}, weak="openai/b")  # type: ignore[arg-type]
    assert pair == ModelPair("openai/a", "openai/b")
    assert repr(pair) == "ModelPair(strong='openai/a', weak='openai/b')"
    c = Controller(["random"], {"model": "openai/a", "api_key": KEY}, "openai/b")
    decision = c.decide("x", "random", 0.0)
    for shown in (repr(made), str(made), f"{made}", repr(pair), repr(c), repr(decision), decision._repr_html_()):
        assert KEY not in shown
    assert KEY.encode() not in pickle.dumps(decision)
    for other in (pickle.loads(pickle.dumps(pair)), copy.deepcopy(pair)):
        assert other == pair and other.strong.settings == {"api_key": KEY}
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(pair.strong, protocol))
        assert type(again) is Endpoint and again == pair.strong and again.settings == {"api_key": KEY}
    assert pickle.loads(pickle.dumps(c)).model_pair.strong.settings == {"api_key": KEY}


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"api_key": KEY}, InvalidValueError, "needs a 'model'"),
        ({"model": "", "api_key": KEY}, InvalidValueError, "found an empty one"),
        ({"model": 5, "api_key": KEY}, InvalidValueError, "found int"),
        ({"model": "a", "apikey": KEY}, InvalidValueError, "unknown setting 'apikey'"),
        ({"model": "a", "api_key": KEY, "backend": "x"}, InvalidValueError, "`backend` is one of"),
    ],
)
def test_wrong_endpoints(given: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said) as caught:
        Controller(["random"], given, "b")
    assert KEY not in str(caught.value)


def test_a_patched_completion_gets_exactly_the_originals_keywords(
    servers: tuple[FakeServer, FakeServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, Any]] = []
    monkeypatch.setattr(module, "completion", lambda **kwargs: seen.append(kwargs))
    c = controller(*servers, policy={"retries": 5, "fallbacks": ["openai/x"]})
    c.completion(router="length", threshold=1.0, messages=HELLO, seed=1, ferroute={"session": "s"},
                 extra_body={"a": 1, "ferroute": {"session": "t"}})  # fmt: skip
    assert seen == [
        {
            "model": "openai/gpt-5-mini",
            "messages": HELLO,
            "api_base": servers[1].url,
            "api_key": f"{KEY}-weak",
            "seed": 1,
            "extra_body": {"a": 1},
        }
    ]


def test_a_wrapped_completion_keeps_what_the_controller_knows(
    servers: tuple[FakeServer, FakeServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = module.completion

    def wrapped(**kwargs: Any) -> Any:
        # Another call on the way is not the routed one.
        aside = original(model="openai/other", messages=[{"role": "user", "content": "Safe?"}], api_base=servers[0].url)
        assert aside.routing.router is None and aside.routing.model == "openai/other"
        return original(**kwargs)

    monkeypatch.setattr(module, "completion", wrapped)
    servers[1].then(priced())
    c = controller(*servers, api_key=KEY)
    r = c.completion(router="length", threshold=1.0, messages=HELLO)
    assert r.routing.router == "length" and r.routing.cost_usd == cost("gpt-5-mini")
    assert "authorization" not in servers[0].requests[0].headers
    # Both have cost something.
    assert [call["model"] for call in calls(c)] == ["openai/other", "openai/gpt-5-mini"]
    assert c.spend(router="length").queries == 1


def calls(c: Controller) -> list[dict[str, Any]]:
    return c.spend().calls().to_dict("records")


def test_a_wrapper_that_retries(servers: tuple[FakeServer, FakeServer], monkeypatch: pytest.MonkeyPatch) -> None:
    original = module.completion

    def again(**kwargs: Any) -> Any:
        with contextlib.suppress(openai.InternalServerError):
            return original(**kwargs)
        return original(**kwargs)

    monkeypatch.setattr(module, "completion", again)
    monkeypatch.setattr(Length, "calculate_strong_win_rate", _costing)
    servers[1].then(Answer(status=500), priced())
    c = controller(*servers, policy={"retries": 0})
    r = c.completion(router="length", threshold=1.0, messages=HELLO)
    assert r.routing.router == "length" and r.routing.cost_usd == cost("gpt-5-mini")
    both = calls(c)
    assert [(call["router"], call["outcome"]) for call in both] == [("length", "failed"), ("length", "ok")]
    # Routing was paid for once.
    assert [call["router_cost_usd"] for call in both] == [Decimal("0.25"), 0]


@pytest.mark.parametrize("way", ["thread", "name", "copy", "by_name"])
async def test_wrappers_that_call_another_way(
    servers: tuple[FakeServer, FakeServer], monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    original, aoriginal = module.completion, module.acompletion
    ways: dict[str, Any] = {
        "thread": lambda kwargs: in_a_thread(lambda: original(**kwargs)),
        "name": lambda kwargs: original(**kwargs | {"model": "openai/gpt-5-nano"}),
        "copy": lambda kwargs: original(**copy.deepcopy(kwargs)),
        "by_name": lambda kwargs: ferroute.completion(**kwargs),
    }
    seen: list[dict[str, Any]] = []

    def wrapped(**kwargs: Any) -> Any:
        seen.append(dict(kwargs))
        return ways[way](kwargs)

    async def awrapped(**kwargs: Any) -> Any:
        if way == "name":
            kwargs["model"] = "openai/gpt-5-nano"
        return await aoriginal(**kwargs)

    monkeypatch.setattr(module, "completion", wrapped)
    monkeypatch.setattr(module, "acompletion", awrapped)
    c = controller(*servers, policy={"retries": 0, "fallbacks": ["openai/gpt-5.1"]}, api_base=servers[0].url)
    for asynchronous in (False, True):
        servers[1].then(Answer(status=500))
        servers[0].then(priced())
        given: dict[str, Any] = {"router": "length", "threshold": 1.0, "messages": HELLO}
        r = await c.acompletion(**given) if asynchronous else c.completion(**given)
        # Policy (a fallback was asked), decision and ledger.
        assert servers[0].requests[-1].json["model"] == "gpt-5.1"
        assert (r.routing.router, r.routing.model) == ("length", "openai/gpt-5-mini")
        assert r.routing.cost_usd == cost("gpt-5.1")
        assert any("was made to openai/gpt-5-nano" in note for note in r.routing.notes) == (way == "name")
    assert [call["router"] for call in calls(c)] == ["length"] * 2 and c.spend().queries == 2
    assert seen == [{"model": "openai/gpt-5-mini", "messages": HELLO, "api_base": servers[1].url,
                     "api_key": f"{KEY}-weak"}]  # fmt: skip
    assert pickle.loads(pickle.dumps(seen)) == seen and json.loads(json.dumps(seen)) == seen


def in_a_thread(call: Any) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result()


def _costing(self: Length, prompt: str) -> float:
    _notes.charge(Decimal("0.25"))
    return 0.1


@pytest.mark.parametrize("unset", [None, openai.NOT_GIVEN, openai.omit], ids=["none", "not_given", "omit"])
async def test_what_is_not_given_leaves_what_the_controller_says(
    servers: tuple[FakeServer, FakeServer], unset: Any
) -> None:
    c = Controller(["length"], "openai/a", "openai/gpt-5-mini", api_base=servers[1].url, api_key=KEY,
                   policy={"retries": 0, "fallbacks": ["openai/gpt-5.1"]})  # fmt: skip
    names = ("api_base", "api_key", "base_url", "policy", "ledger", "fallbacks", "timeout", "max_retries", "extra_body",
             "extra_headers", "extra_query", "backend", "ferroute", "organization", "temperature")  # fmt: skip
    given: dict[str, Any] = {"router": "length", "threshold": 1.0, "messages": HELLO, **dict.fromkeys(names, unset)}
    for asynchronous in (False, True):
        servers[1].then(Answer(status=500))
        r = await c.acompletion(**given) if asynchronous else c.completion(**given)
        assert r.model == "gpt-5.1" and r.routing.router == "length"
    assert {request.headers["authorization"] for request in servers[1].requests} == {f"Bearer {KEY}"}
    assert c.spend().queries == 2
    r = ferroute.completion(model={"model": "openai/b", "api_base": servers[0].url, "api_key": "own"}, messages=HELLO,
                            **dict.fromkeys(names, unset))  # fmt: skip
    assert servers[0].requests[0].headers["authorization"] == "Bearer own"
    assert set(servers[0].requests[0].json) == {"model", "messages"}


async def test_the_base_url_of_a_call_goes_before_all(servers: tuple[FakeServer, FakeServer]) -> None:
    c = controller(*servers, api_base=servers[1].url)
    weak: dict[str, Any] = {"router": "length", "threshold": 1.0, "messages": HELLO, "base_url": servers[0].url}
    c.completion(**weak)
    await c.acompletion(**weak)
    assert (len(servers[0].requests), len(servers[1].requests)) == (2, 0)
    assert "base_url" not in servers[0].requests[0].json


class Names(Controller):
    """Chooses by a rule of its own."""

    def _get_routed_model_for_completion(self, messages: Any, router: str, threshold: float) -> str:
        if threshold:
            super()._get_routed_model_for_completion(messages, router, threshold)
        return self.model_pair.weak


class Third:
    """A router of another kind, which knows a third model, or rather where it is."""

    def route(self, prompt: str, threshold: float, pair: Any) -> Any:
        return endpoint({"model": "llama", "api_base": prompt, "api_key": KEY}, "third")


async def test_who_chooses_an_endpoint_gets_that_one(
    servers: tuple[FakeServer, FakeServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ROUTER_CLS, "third", Third)
    strong, weak = servers
    pair = [{"model": "llama", "api_base": server.url, "api_key": KEY} for server in servers]
    c: Controller = Names(["length"], *pair)
    # Once with a choice of ours beneath, which was for the strong model, and once without.
    for threshold in (0.0, 0.01):
        r = c.completion(router="length", threshold=threshold, messages=HELLO)
        assert KEY.encode() not in pickle.dumps(r.routing) and type(r.routing.model) is str
        await c.acompletion(router="length", threshold=threshold, messages=HELLO)
    assert (len(strong.requests), len(weak.requests)) == (0, 4)
    c = Controller(["third"], pair[0], "small")
    c.completion(router="third", threshold=0.5, messages=[{"role": "user", "content": weak.url}])
    assert (len(strong.requests), len(weak.requests)) == (0, 5)
    # By lot it is the strong one all the same.
    c.policy = CallPolicy(holdout=1.0)
    c.completion(router="third", threshold=0.5, messages=[{"role": "user", "content": weak.url}])
    assert (len(strong.requests), len(weak.requests)) == (1, 5)


# --- money ---


def test_an_answer_says_what_it_cost_and_what_routing_saved(servers: tuple[FakeServer, FakeServer]) -> None:
    servers[1].then(priced())
    c = controller(*servers)
    r = c.completion(router="length", threshold=1.0, messages=HELLO)
    routing = r.routing
    assert (routing.model, routing.router, routing.attempts) == ("openai/gpt-5-mini", "length", 1)
    assert routing.cost_usd == cost("gpt-5-mini") and routing.router_cost_usd == 0
    assert routing.saved_usd == cost("gpt-5.2") - cost("gpt-5-mini") > 0
    assert "cost_usd" not in r.model_dump_json()
    for other in (pickle.loads(pickle.dumps(r)), copy.deepcopy(r), r.model_copy()):
        assert other.routing == routing
    servers[0].then(priced())
    strong = c.completion(router="length", threshold=0.0, messages=HELLO).routing
    assert strong.saved_usd == 0 and strong.cost_usd == cost("gpt-5.2")


def test_the_same_by_name(servers: tuple[FakeServer, FakeServer]) -> None:
    servers[0].then(priced())
    r: Any = ferroute.completion(model="openai/gpt-5.2", messages=HELLO, api_base=servers[0].url)
    routing = r.routing
    assert (routing.model, routing.router, routing.win_rate) == ("openai/gpt-5.2", None, None)
    assert routing.cost_usd == cost("gpt-5.2") and routing.saved_usd is None and routing.attempts == 1
    assert "asked for by name" in str(routing) and "gpt-5.2" in routing._repr_html_()


def test_a_mapping_goes_for_a_model(servers: tuple[FakeServer, FakeServer]) -> None:
    r: Any = ferroute.completion(
        model={"model": "llama", "api_base": servers[0].url, "api_key": "k", "base_model": "gpt-5.2",
               "extra_headers": {"x-team": "a"}},
        messages=HELLO,
    )  # fmt: skip
    sent = servers[0].requests[0]
    assert sent.headers["authorization"] == "Bearer k" and sent.headers["x-team"] == "a"
    usage = r.usage
    assert r.routing.cost_usd == pricing.cost("gpt-5.2", usage.prompt_tokens, usage.completion_tokens)


def test_an_unknown_price_is_none(servers: tuple[FakeServer, FakeServer]) -> None:
    c = Controller(["length"], {"model": "openai/gpt-5.2", "api_base": servers[0].url},
                   {"model": "nobody-knows-this", "api_base": servers[1].url})  # fmt: skip
    routing = c.completion(router="length", threshold=1.0, messages=HELLO).routing
    assert routing.cost_usd is None and routing.saved_usd is None and routing.router_cost_usd == 0


@pytest.mark.parametrize("usage_asked", [True, False])
def test_the_last_chunk_of_a_stream_has_the_costs(servers: tuple[FakeServer, FakeServer], usage_asked: bool) -> None:
    servers[1].then(streamed())
    options = {"stream_options": {"include_usage": True}} if usage_asked else {}
    stream = controller(*servers).completion(router="length", threshold=1.0, messages=HELLO, stream=True, **options)
    assert stream.routing.model == "openai/gpt-5-mini" and stream.routing.cost_usd is None
    chunks = list(stream)
    assert all(c.routing.router == "length" and c.routing.cost_usd is None for c in chunks[:-1])
    last = chunks[-1].routing
    assert last.cost_usd == stream.routing.cost_usd == cost("gpt-5-mini")
    assert last.saved_usd == cost("gpt-5.2") - cost("gpt-5-mini") and last.attempts == 1
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "Hello"
    assert chunks[-1].routing == pickle.loads(pickle.dumps(chunks[-1])).routing
    assert "routing" not in chunks[-1].model_dump_json()


async def test_the_same_asynchronously(servers: tuple[FakeServer, FakeServer]) -> None:
    servers[1].then(streamed(), priced())
    c = controller(*servers)
    stream = await c.acompletion(router="length", threshold=1.0, messages=HELLO, stream=True)
    chunks = [each async for each in stream]
    assert chunks[-1].routing.cost_usd == stream.routing.cost_usd == cost("gpt-5-mini")
    r = await c.acompletion(router="length", threshold=1.0, messages=HELLO)
    assert r.routing.cost_usd == cost("gpt-5-mini") and r.routing.saved_usd == stream.routing.saved_usd


def test_a_closed_stream_has_estimated_costs(servers: tuple[FakeServer, FakeServer]) -> None:
    servers[1].then(streamed(usage=False))
    stream = controller(*servers).completion(router="length", threshold=1.0, messages=HELLO, stream=True)
    next(stream)
    stream.close()
    assert 0 < stream.routing.cost_usd < cost("gpt-5-mini")


class Paying(Length):
    """A router whose embedding is far dearer than what it saves."""

    def calculate_strong_win_rate(self, prompt: str) -> float:
        from ferroute._notes import charge

        charge(self.price)
        return super().calculate_strong_win_rate(prompt)

    price: Decimal | None = Decimal("0.5")


def test_a_dear_router_is_a_loss(servers: tuple[FakeServer, FakeServer], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ROUTER_CLS, "length", Paying)
    servers[1].then(priced(), priced())
    c = controller(*servers)
    routing = c.completion(router="length", threshold=1.0, messages=HELLO).routing
    assert routing.router_cost_usd == Decimal("0.5")
    assert routing.saved_usd == cost("gpt-5.2") - cost("gpt-5-mini") - Decimal("0.5") < 0
    assert c.decide("x", "length", 1.0).router_cost_usd == Decimal("0.5")
    monkeypatch.setattr(Paying, "price", None)
    routing = c.completion(router="length", threshold=1.0, messages=HELLO).routing
    assert routing.router_cost_usd is None and routing.saved_usd is None and routing.cost_usd == cost("gpt-5-mini")


class Loose(pydantic.BaseModel):
    """As litellm's and openai's: takes whatever a provider adds."""

    model_config = pydantic.ConfigDict(extra="allow")
    id: str


class Full(pydantic.BaseModel):
    routing: str


class Old:
    """pydantic 1 writes out whatever an object has."""

    __config__ = None

    def __init__(self, **fields: Any) -> None:
        vars(self).update(fields)

    def dict(self) -> dict[str, Any]:
        return dict(vars(self))


class Items(dict[str, Any]):
    """Some make items of their attributes."""

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value


def test_the_decision_is_beside_what_others_objects_hold() -> None:
    decision = Controller(["random"], "a", "b").decide("x", "random", 0.0)
    for made in (Loose(id="c"), ChatCompletionChunk.model_construct(id="c"), Items(id="c")):
        given = responses.attach(made, decision)
        assert given is made and given.routing is decision
        dumped = dict(made) if isinstance(made, Items) else made.model_dump(mode="json", exclude_unset=True)
        assert dumped == {"id": "c"} and "routing" not in repr(made)
        if not isinstance(made, Items):
            assert made.model_extra == {} and json.loads(made.model_dump_json(exclude_unset=True)) == {"id": "c"}
            assert pickle.loads(pickle.dumps(made)).routing == copy.deepcopy(made).routing == decision
    assert responses.attach(Full(routing="own"), decision).routing == "own"
    assert responses.attach(Old(a=1), decision).dict() == {"a": 1}
    assert responses.attach({"a": 1}, decision) == {"a": 1} and responses.attach(None, decision) is None


# --- failures ---


def test_a_failure_knows_the_decision(servers: tuple[FakeServer, FakeServer]) -> None:
    servers[1].then(Answer(status=400, body=b'{"error": {"message": "no"}}'))
    with pytest.raises(openai.BadRequestError) as caught:
        controller(*servers).completion(router="length", threshold=1.0, messages=HELLO)
    error: Any = caught.value
    assert error.routing.model == "openai/gpt-5-mini" and error.request.url.host == "127.0.0.1"


def test_a_broken_stream_carries_what_had_come(servers: tuple[FakeServer, FakeServer]) -> None:
    chunks = [chunk({"role": "assistant", "content": "Hel"}), chunk({"content": "lo"})]
    servers[1].then(Answer(headers={"content-type": "text/event-stream"}, chunks=chunks, cut=True))
    stream = controller(*servers).completion(router="length", threshold=1.0, messages=HELLO, stream=True)
    with pytest.raises(openai.APIConnectionError) as caught:
        list(stream)
    error: Any = caught.value
    assert error.partial_text == "Hello"
    assert error.partial_usage.completion_tokens > 0 and error.partial_usage.prompt_tokens > 0
    assert error.routing.cost_usd == stream.routing.cost_usd > 0


# --- what is for us and not for the model ---


@pytest.mark.parametrize("way", ["keyword", "extra_body"])
def test_extras_do_not_reach_the_model(servers: tuple[FakeServer, FakeServer], way: str) -> None:
    extras = {"ferroute": {"session": "s1", "task": "code", "tags": ["a"]}}
    given = extras if way == "keyword" else {"extra_body": {**extras, "x": 1}}
    body = given.get("extra_body")
    controller(*servers).completion(router="length", threshold=1.0, messages=HELLO, **given)
    ferroute.completion(model="openai/m", messages=HELLO, api_base=servers[1].url, **given)
    assert len(servers[1].requests) == 2
    for request in servers[1].requests:
        assert "ferroute" not in request.json and ("x" in request.json) == (way == "extra_body")
    assert body is None or "ferroute" in body, "the caller's own dict was changed"


@pytest.mark.parametrize(("extras", "error"), [("s", InvalidTypeError), ({"sesion": "s"}, InvalidValueError)])
def test_wrong_extras(servers: tuple[FakeServer, FakeServer], extras: Any, error: type[Exception]) -> None:
    c = controller(*servers)
    with pytest.raises(error, match="`ferroute`"):
        c.completion(router="length", threshold=1.0, messages=HELLO, ferroute=extras)
    with pytest.raises(error, match="`ferroute`"):
        ferroute.completion(model="openai/m", messages=HELLO, api_base=servers[1].url, ferroute=extras)
    assert not servers[1].requests and not c.model_counts


def test_a_dropped_parameter_warns_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completions, "_warned", set())
    with pytest.warns(DroppedParameterWarning, match="m: `logprobs` is left out: it does not take it") as caught:
        completions.warn_dropped("m", [("logprobs", "it does not take it")])
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        completions.warn_dropped("m", [("logprobs", "it does not take it")])
    with pytest.warns(DroppedParameterWarning, match="other"):
        completions.warn_dropped("other", [("logprobs", "it does not take it")])


async def test_a_warning_loses_no_answer(
    servers: tuple[FakeServer, FakeServer], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given: dict[str, Any] = {"messages": HELLO, "api_base": servers[0].url, "api_key": "k", "temperature": 0.5}
    warned: set[tuple[str, str]] = set()
    monkeypatch.setattr(completions, "_warned", warned)
    monkeypatch.setattr(warnings, "showwarning", lambda *args: print(*args[:4]))
    for kind in ("answer", "async", "stream"):
        warned.clear()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            if kind == "async":
                r: Any = await ferroute.acompletion(model="openai/gpt-5-mini", **given)
            else:
                r = ferroute.completion(model="openai/gpt-5-mini", stream=kind == "stream", **given)
        assert list(r) if kind == "stream" else r.choices[0].message.content
        shown = capsys.readouterr().out
        assert "`temperature` is left out" in shown and __file__ in shown and "DroppedParameterWarning" in shown


# --- the ledger ---


async def test_calls_are_entered_in_the_controllers_ledger(servers: tuple[FakeServer, FakeServer]) -> None:
    servers[1].then(priced(), priced(), streamed(), Answer(status=400))
    servers[0].then(priced())
    c = controller(*servers)
    weak = {"router": "length", "threshold": 1.0, "messages": HELLO}
    c.completion(**weak, ferroute={"session": "s1"})
    await c.acompletion(**weak)
    list(c.completion(**weak, stream=True))
    with pytest.raises(openai.BadRequestError):
        c.completion(**weak)
    c.completion(model="router-length-0.0", messages=HELLO)
    spend = c.spend()
    assert spend.queries == 5 and spend.total == 3 * cost("gpt-5-mini") + cost("gpt-5.2")
    assert {line.model: line.queries for line in spend.models} == {"openai/gpt-5-mini": 4, "openai/gpt-5.2": 1}
    assert spend.saved == 3 * (cost("gpt-5.2") - cost("gpt-5-mini"))
    calls = spend.calls()
    assert sorted(calls["requested"]) == ["router-length-0.0"] + ["router-length-1.0"] * 4
    assert set(calls["session"].dropna()) == {"s1"} and set(calls["router"]) == {"length"}
    assert c.spend(model="openai/gpt-5.2").queries == 1 and c.spend(router="other").queries == 0
    # What was asked for by name is in nobody's ledger, unless it is told to.
    ferroute.completion(model="openai/gpt-5.2", messages=HELLO, api_base=servers[0].url)
    assert c.spend().queries == 5
    ferroute.completion(model="openai/gpt-5.2", messages=HELLO, api_base=servers[0].url, ledger=c.ledger)
    assert c.spend().queries == 6


def test_a_ledger_on_disk_is_shared_by_its_url(servers: tuple[FakeServer, FakeServer], tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'calls.db'}"
    servers[1].then(*[priced()] * 3)
    c = controller(*servers, ledger=url)
    other = pickle.loads(pickle.dumps(c))
    for each in (c, other):
        each.completion(router="length", threshold=1.0, messages=HELLO)
        each.ledger.flush()
    ferroute.completion(model="openai/gpt-5-mini", messages=HELLO, api_base=servers[1].url, ledger=url)
    assert _calls.opened(url) is c.ledger and _calls.opened("memory:") is not _calls.opened("memory:")
    c.ledger.flush()
    from ferroute.ledger import Ledger

    with Ledger(url) as book:
        assert book.spend().total == 3 * cost("gpt-5-mini")
    other.ledger.close()
    c.ledger.close()


def test_a_held_out_call_is_marked(servers: tuple[FakeServer, FakeServer]) -> None:
    servers[0].then(priced())
    c = controller(*servers, policy={"holdout": 1.0})
    c.completion(router="length", threshold=1.0, messages=HELLO)
    calls = c.spend().calls()
    assert list(calls["holdout"]) == [True] and list(calls["model"]) == ["openai/gpt-5.2"]
