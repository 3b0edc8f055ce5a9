"""How calls behave, and what happens when a router fails."""

from __future__ import annotations

import dataclasses
import pickle
from typing import TYPE_CHECKING, Any

import openai
import pytest

import ferroute
from fakeserver import Answer, FakeServer
from ferroute import CallPolicy, Controller, RoutingError, Share, _calls
from ferroute import controller as module
from ferroute.controller import ROUTER_CLS
from ferroute.errors import FerrouteError, InvalidTypeError, InvalidValueError, UnknownNameError
from ferroute.routers.base import Router

if TYPE_CHECKING:
    from collections.abc import Iterator

HELLO = [{"role": "user", "content": "Say hello"}]
KEY = "sk-very-secret-1234567890"


class Down(Router):
    """A router whose embedding endpoint is down."""

    def calculate_strong_win_rate(self, prompt: str) -> float:
        raise ConnectionError(f"no embeddings for {len(prompt)} characters")


class Half(Router):
    def calculate_strong_win_rate(self, prompt: str) -> float:
        return 0.5


class Foreign:
    """Not one of our routers, and down as well."""

    def route(self, prompt: str, threshold: float, pair: Any) -> str:
        raise TimeoutError("too slow")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    for name, cls in (("down", Down), ("half", Half), ("foreign", Foreign)):
        monkeypatch.setitem(ROUTER_CLS, name, cls)
    with FakeServer() as server:
        yield server


def controller(server: FakeServer, **policy: Any) -> Controller:
    return Controller(
        ["down", "half", "foreign"], "openai/big", "openai/small", api_base=server.url, policy=CallPolicy(**policy)
    )


# --- the policy itself ---


def test_a_policy_is_a_value() -> None:
    policy = CallPolicy(timeout=3, fallbacks=["openai/a", {"model": "openai/b", "api_key": KEY}])
    assert policy == CallPolicy(timeout=3, fallbacks=("openai/a", "openai/b")) and hash(policy) == hash(
        CallPolicy(timeout=3)
    )
    assert KEY not in repr(policy)
    with pytest.raises(dataclasses.FrozenInstanceError):
        policy.timeout = 5  # type: ignore[misc]
    changed = dataclasses.replace(policy, retries=0)
    assert (changed.retries, changed.timeout, policy.retries) == (0, 3, 2)
    other = pickle.loads(pickle.dumps(policy))
    assert other == policy and other.fallbacks[1].settings == {"api_key": KEY}


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"timeout": 0}, InvalidValueError),
        ({"timeout": -1}, InvalidValueError),
        ({"deadline": float("nan")}, InvalidValueError),
        ({"timeout": 10**400}, InvalidValueError),
        ({"connect_timeout": "5"}, InvalidTypeError),
        ({"timeout": True}, InvalidTypeError),
        ({"retries": -1}, InvalidValueError),
        ({"retries": 1.5}, InvalidTypeError),
        ({"failures_before_cooldown": 0}, InvalidValueError),
        ({"cooldown": -1}, InvalidValueError),
        ({"hedge": 1}, InvalidTypeError),
        ({"holdout": 1.5}, InvalidValueError),
        ({"holdout": -0.1}, InvalidValueError),
        ({"backend": "curl"}, InvalidValueError),
        ({"on_router_error": None}, InvalidTypeError),
        ({"fallbacks": 5}, InvalidTypeError),
        ({"fallbacks": [5]}, InvalidTypeError),
        ({"fallbacks": [{"api_key": KEY}]}, InvalidValueError),
        ({"fallbacks": [{"model": "bedrock/a", "backend": "litellm", "api_key": KEY}]}, InvalidValueError),
        ({"fallbacks": {"a": [{"model": "b", "backend": "litellm"}]}}, InvalidValueError),
    ],
)
def test_wrong_policies(wrong: dict[str, Any], error: type[Exception]) -> None:
    (name,) = wrong
    with pytest.raises(error) as caught:
        CallPolicy(**wrong)
    assert name in str(caught.value) and KEY not in str(caught.value)


def test_numbers_of_numpy() -> None:
    np = pytest.importorskip("numpy")
    policy = CallPolicy(timeout=np.int64(5), deadline=np.float32(2.5), retries=np.int64(1), cooldown=np.float64(3),
                        holdout=np.float32(0.5))  # fmt: skip
    plain = CallPolicy(timeout=5, deadline=2.5, retries=1, cooldown=3, holdout=0.5)
    assert policy == plain and hash(policy) == hash(plain) and "np." not in repr(policy)
    for wrong in ({"timeout": np.True_}, {"retries": np.float32(1)}, {"timeout": np.array([5])}):
        with pytest.raises(InvalidTypeError):
            CallPolicy(**wrong)
    with pytest.raises(InvalidValueError):
        CallPolicy(timeout=np.float32("nan"))


def test_numbers_of_numpy_in_a_call(server: FakeServer) -> None:
    np = pytest.importorskip("numpy")
    given: dict[str, Any] = {"model": "openai/m", "messages": HELLO, "api_base": server.url, "api_key": KEY}
    for limit in (np.int64(5), np.float32(5)):
        ferroute.completion(**given, timeout=limit)
    server.then(Answer(status=500, headers={"retry-after-ms": "1"}))
    assert ferroute.completion(**given, max_retries=np.int64(1)).routing.attempts == 2
    for wrong in ({"timeout": np.True_}, {"max_retries": np.float32(1)}):
        with pytest.raises(InvalidTypeError):
            ferroute.completion(**given, **wrong)


def test_where_a_policy_comes_from(server: FakeServer) -> None:
    assert Controller(["random"], "a", "b").policy == CallPolicy()
    c = Controller(["half"], "a", "b", policy={"retries": 0})
    assert c.policy.retries == 0
    c.policy = CallPolicy(on_router_error="half")
    assert pickle.loads(pickle.dumps(c)).policy == c.policy
    with pytest.raises(UnknownNameError, match=r"on_router_error.*'mf'"):
        c.policy = CallPolicy(on_router_error="mf")
    with pytest.raises(UnknownNameError, match="'raise', 'strong', 'weak', 'half'"):
        Controller(["half"], "a", "b", policy=CallPolicy(on_router_error="mf"))
    with pytest.raises(InvalidTypeError, match="unknown 'retires'"):
        Controller(["half"], "a", "b", policy={"retires": 0})
    with pytest.raises(InvalidTypeError, match="policy is a CallPolicy"):
        Controller(["half"], "a", "b", policy=5)  # type: ignore[arg-type]


# --- calls ---


@pytest.mark.parametrize("where", ["policy", "call", "mapping"])
def test_fallbacks(server: FakeServer, where: str) -> None:
    with FakeServer() as other:
        server.then(Answer(status=500), Answer(status=500))
        fallback = {"model": "openai/second", "api_base": other.url, "api_key": "other"}
        given: dict[str, Any] = {
            "policy": {"policy": CallPolicy(retries=0, fallbacks=["openai/middle", fallback])},
            "mapping": {
                "policy": CallPolicy(retries=0, fallbacks={"openai/first": ["openai/middle", fallback], "*": []})
            },
            "call": {"max_retries": 0, "fallbacks": ["openai/middle", fallback]},
        }[where]
        r: Any = ferroute.completion(model="openai/first", messages=HELLO, api_base=server.url, api_key=KEY, **given)
        # A plain name is asked where the call was; an endpoint of its own is a stranger to the call's key.
        assert [request.json["model"] for request in server.requests] == ["first", "middle"]
        assert other.requests[0].json["model"] == "second"
        assert other.requests[0].headers["authorization"] == "Bearer other"
        assert r.model == "second" and r.routing.model == "openai/first" and r.routing.attempts == 3
        assert any("openai/second" in note for note in r.routing.notes)


def test_an_endpoints_own_address_is_not_its_fallbacks(server: FakeServer) -> None:
    with FakeServer() as other:
        other.then(*[Answer(status=500)] * 2)
        first = {"model": "openai/first", "api_base": other.url, "api_key": KEY}
        c = Controller(["half"], first, "openai/small", api_base=server.url, api_key="shared",
                       policy=CallPolicy(retries=0, fallbacks=["openai/second"]))  # fmt: skip
        assert c.completion(router="half", threshold=0.5, messages=HELLO).model == "second"
        assert server.requests[0].headers["authorization"] == "Bearer shared"
        third = {"model": "openai/third", "api_base": server.url}
        r: Any = ferroute.completion(model=first, messages=HELLO, max_retries=0, fallbacks=[third])
        assert r.model == "third" and "authorization" not in server.requests[1].headers
        assert len(other.requests) == 2


def test_a_fallback_goes_the_way_of_the_call(server: FakeServer) -> None:
    by_litellm = {"model": "bedrock/a", "backend": "litellm"}
    assert CallPolicy(backend="litellm", fallbacks=[by_litellm]).fallbacks == ("bedrock/a",)
    with pytest.raises(InvalidValueError, match=r"'bedrock/a' has backend 'litellm'.*here 'native'"):
        ferroute.completion(model="openai/first", messages=HELLO, api_base=server.url, fallbacks=[by_litellm])
    assert not server.requests


@pytest.mark.filterwarnings("ignore::ferroute.pricing.PriceWarning")
async def test_a_fallback_that_cannot_be_asked_is_passed_over(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_calls, "_passed_over", set())
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    policy = CallPolicy(retries=0, fallbacks=["anthropic/claude-haiku-4-5", "bedrock/x", "openai/third"])
    c = Controller(["half"], "openai/big", "openai/small", policy=policy)
    with pytest.warns(RuntimeWarning, match="passed over") as caught:
        assert c.completion(router="half", threshold=0.5, messages=HELLO).model == "big"
    caught = [each for each in caught if each.category is RuntimeWarning]  # nobody has a price for these models
    assert [str(w.message).split("'")[1] for w in caught] == ["anthropic/claude-haiku-4-5", "bedrock/x"]
    assert caught[0].filename == __file__ and KEY not in str(caught[0].message)
    # Told once; and the next one that can be asked is.
    server.then(Answer(status=500))
    assert (await c.acompletion(router="half", threshold=0.5, messages=HELLO)).model == "third"


def test_no_fallback_for_others(server: FakeServer) -> None:
    server.then(Answer(status=500))
    policy = CallPolicy(retries=0, fallbacks={"openai/another": ["openai/second"]})
    with pytest.raises(openai.InternalServerError):
        ferroute.completion(model="openai/first", messages=HELLO, api_base=server.url, policy=policy)
    assert len(server.requests) == 1


def test_a_key_is_not_told_to_another_provider(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.setenv("GROQ_API_BASE", server.url)
    server.then(Answer(status=500), Answer(status=500))
    ferroute.completion(
        model="openai/first", messages=HELLO, api_key=KEY, max_retries=0, fallbacks=["groq/second", "openai/third"]
    )
    sent = [(request.json["model"], request.headers.get("authorization")) for request in server.requests]
    assert sent == [("first", f"Bearer {KEY}"), ("second", None), ("third", f"Bearer {KEY}")]


def test_retries_and_limits_of_the_policy(server: FakeServer) -> None:
    server.then(*[Answer(status=500, headers={"retry-after-ms": "1"})] * 4)
    c = controller(server, retries=3)
    with pytest.raises(openai.InternalServerError):
        c.completion(router="half", threshold=0.5, messages=HELLO)
    assert len(server.requests) == 4
    server.then(Answer(delay=5))
    c.policy = CallPolicy(retries=0, first_byte_timeout=0.1)
    with pytest.raises(openai.APITimeoutError):
        c.completion(router="half", threshold=0.5, messages=HELLO)
    server.then(Answer(status=503, headers={"retry-after": "60"}))
    c.policy = CallPolicy(deadline=1)
    with pytest.raises(openai.APIError):
        c.completion(router="half", threshold=0.5, messages=HELLO)
    # What a call says goes before its policy.
    server.then(Answer(status=500))
    with pytest.raises(openai.InternalServerError):
        c.completion(router="half", threshold=0.5, messages=HELLO, num_retries=0)
    assert len(server.requests) == 7
    server.then(Answer(status=500))
    with pytest.raises(openai.InternalServerError):
        c.completion(router="half", threshold=0.5, messages=HELLO, policy=CallPolicy(retries=0))


# --- a router that fails ---


def test_a_failing_router_raises_by_default(server: FakeServer) -> None:
    c = controller(server)
    for router, error in (("down", ConnectionError), ("foreign", TimeoutError)):
        with pytest.raises(error):
            c.completion(router=router, threshold=0.5, messages=HELLO)
    assert not server.requests and not c.model_counts


@pytest.mark.parametrize("router", ["down", "foreign"])
@pytest.mark.parametrize(("side", "model"), [("strong", "openai/big"), ("weak", "openai/small")])
async def test_a_side_instead(server: FakeServer, router: str, side: str, model: str) -> None:
    c = controller(server, on_router_error=side)
    sync = c.completion(router=router, threshold=0.5, messages=HELLO)
    twin = await c.acompletion(router=router, threshold=0.5, messages=HELLO)
    for routing in (sync.routing, twin.routing, c.decide("Say hello", router, 0.5)):
        assert (routing.model, routing.router, routing.win_rate, routing.threshold) == (model, router, None, 0.5)
        error = "ConnectionError: no embeddings" if router == "down" else "TimeoutError: too slow"
        assert f"the {side} model, because router {router!r} failed ({error}" in routing.reason
    assert [request.json["model"] for request in server.requests] == [model.removeprefix("openai/")] * 2
    assert dict(c.model_counts[router]) == {model: 2}
    assert c.route("Say hello", router, 0.5) == model


async def test_another_router_instead(server: FakeServer) -> None:
    c = controller(server, on_router_error="half")
    for threshold, model in ((0.5, "openai/big"), (0.6, "openai/small")):
        sync = c.completion(router="down", threshold=threshold, messages=HELLO)
        twin = await c.acompletion(router="foreign", threshold=threshold, messages=HELLO)
        for routing in (sync.routing, twin.routing):
            assert (routing.model, routing.router, routing.win_rate) == (model, "half", 0.5)
            assert "failed" in routing.notes[0] and "so 'half' was asked" in routing.notes[0]
    share = c.decide("x", "down", Share(1.0))
    assert share.share == 1.0 and share.model == "openai/big"


def test_another_router_that_fails_as_well(server: FakeServer) -> None:
    c = controller(server, on_router_error="down")
    with pytest.raises(ConnectionError) as caught:
        c.completion(router="foreign", threshold=0.5, messages=HELLO)
    assert isinstance(caught.value.__context__, TimeoutError)
    with pytest.raises(ConnectionError):
        c.completion(router="down", threshold=0.5, messages=HELLO)
    with pytest.raises(RoutingError):
        # A wrong request is no failure of a router.
        c.completion(router="foreign", threshold=Share(0.5), messages=HELLO)


def test_the_policy_of_one_call(server: FakeServer) -> None:
    c = controller(server)
    given = {"router": "down", "threshold": 0.5, "messages": HELLO}
    assert c.completion(**given, policy=CallPolicy(on_router_error="weak")).routing.model == "openai/small"
    with pytest.raises(ConnectionError):
        c.completion(**given)


# --- holdout ---


async def test_holdout(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    c = controller(server, holdout=0.25)
    lots = iter([0.3, 0.2, 0.25, 0.1])
    monkeypatch.setattr(module, "_lot", lambda: next(lots))
    given = {"router": "half", "threshold": 0.9, "messages": HELLO}
    answers = [c.completion(**given), c.completion(**given), c.completion(**given), await c.acompletion(**given)]
    assert [r.routing.model for r in answers] == ["openai/small", "openai/big", "openai/small", "openai/big"]
    assert dict(c.model_counts["half"]) == {"openai/small": 2, "openai/big": 2}
    assert "held out" in answers[1].routing.reason and answers[1].routing.win_rate == 0.5
    # Neither asking nor routing alone is a completion.
    assert c.decide("x", "half", 0.9).model == c.route("x", "half", 0.9) == "openai/small"


def test_holdout_leaves_the_seed_of_random_alone(server: FakeServer) -> None:
    import random

    c = Controller(["random"], "openai/big", "openai/small", api_base=server.url, policy={"holdout": 1.0})
    random.seed(5)
    expected = random.random()
    random.seed(5)
    routing = c.completion(router="random", threshold=0.5, messages=HELLO).routing
    assert routing.win_rate == expected and routing.model == "openai/big"


def test_errors_of_ours_are_ours() -> None:
    assert issubclass(InvalidValueError, FerrouteError) and issubclass(InvalidValueError, ValueError)
