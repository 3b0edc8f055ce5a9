"""A conversation stays on its model unless going elsewhere pays for the prompt cache that is lost."""

from __future__ import annotations

import asyncio
import pickle
from typing import TYPE_CHECKING, Any

import pytest

from fakeserver import FakeServer
from ferroute import Controller, pricing
from ferroute.controller import ROUTER_CLS
from ferroute.routers.base import Request, RungRouter, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

LONG = "word " * 6_000
SYSTEM = {"role": "system", "content": LONG}
STICKY = {"sticky": True}
IMAGE = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://example.com/x.png"}}]}
# Dollars for a million tokens. 7,500 tokens from the cache of `top` cost less than they cost anew at `mid`, and more
# than at `low`.
PRICES = {
    "openai/sticky-low": {"input": 0.1, "output": 0.1},
    "openai/sticky-mid": {"input": 2, "output": 10},
    "openai/sticky-top": {"input": 10, "cache_read": 1, "output": 10},
}


class Last(RungRouter):
    """The rung is the first word of the last message."""

    def choose(self, request: Request) -> Verdict:
        rung, _, ceiling = request.text.partition(" below ")
        return Verdict(rung or "top", ceiling=ceiling or None)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    monkeypatch.setitem(ROUTER_CLS, "last", Last)
    pricing.override(PRICES)
    with FakeServer() as server:
        yield server
    pricing.override(None)


def controller(server: FakeServer, **policy: Any) -> Controller:
    tiers = {"low": "openai/sticky-low", "mid": "openai/sticky-mid", "top": "openai/sticky-top"}
    return Controller(["last"], tiers=tiers, api_base=server.url, policy={**STICKY, **policy})


class Talk:
    """A conversation that goes on turn by turn."""

    def __init__(self, c: Controller, first: str = "top", system: Any = SYSTEM) -> None:
        self.c = c
        self.messages: list[Any] = [system, {"role": "user", "content": first}]

    def turn(self, text: str | None = None, **call: Any) -> Any:
        if text is not None:
            self.messages.append({"role": "user", "content": text})
        response = self.c.completion(router="last", messages=list(self.messages), **call)
        self.messages.append({"role": "assistant", "content": "Hello"})
        return response.routing


def test_it_stays_while_the_cache_is_worth_more(server: FakeServer) -> None:
    talk = Talk(controller(server))
    assert talk.turn().tier == "top"
    stayed = talk.turn("mid")
    assert stayed.tier == "top"
    note = "stays on openai/sticky-top: moving to openai/sticky-mid would cost about $0.015 instead of $0.0076"
    assert stayed.notes == (note,)
    assert stayed.reason.endswith("; moved to top")
    # The cheapest one pays for it.
    went = talk.turn("low")
    assert went.tier == "low"
    assert not any("stays" in note for note in went.notes)
    # Up it goes whatever that costs, and then does not come down any more.
    assert talk.turn("top").tier == "top"
    again = talk.turn("low")
    assert again.tier == "top"
    assert again.notes == ("stays on openai/sticky-top: this conversation has once come back from a weaker model",)
    assert [request.json["model"] for request in server.requests] == [
        f"sticky-{rung}" for rung in ("top", "top", "low", "top", "top")
    ]


def test_without_the_policy_nothing_stays(server: FakeServer) -> None:
    talk = Talk(controller(server, sticky=False))
    assert [talk.turn().tier, talk.turn("mid").tier] == ["top", "mid"]


def test_a_short_conversation_is_free(server: FakeServer) -> None:
    talk = Talk(controller(server), system={"role": "system", "content": "Be brief."})
    assert talk.turn().tier == "top"
    # Its answers cost the same, and no provider caches so little.
    assert talk.turn("mid").tier == "mid"


def test_a_first_turn_only_begins_a_conversation(server: FakeServer) -> None:
    c = controller(server)
    assert Talk(c, "top").turn().tier == "top"
    assert Talk(c, "mid").turn().tier == "mid"
    # The same beginning again is a conversation of its own.
    c.completion(router="last", messages=[SYSTEM, {"role": "user", "content": "top"}])
    assert c.decide([SYSTEM, {"role": "user", "content": "top"}], "last").notes == ()


def test_the_callers_session_tells_conversations_apart(server: FakeServer) -> None:
    c = controller(server)
    messages = [SYSTEM, {"role": "user", "content": "top"}]
    c.completion(router="last", messages=messages, ferroute={"session": "a"})
    messages = [SYSTEM, {"role": "user", "content": "mid"}]
    assert c.decide(messages, "last", ferroute={"session": "a"}).tier == "top"
    assert c.decide(messages, "last", ferroute={"session": "b"}).tier == "mid"
    assert c.decide(messages, "last").tier == "mid"


def test_decide_reads_and_does_not_write(server: FakeServer) -> None:
    c = controller(server)
    talk = Talk(c)
    after = [*talk.messages, {"role": "assistant", "content": "Hello"}, {"role": "user", "content": "mid"}]
    c.decide(talk.messages, "last")
    assert c.decide(after, "last").tier == "mid"
    talk.turn()
    assert [c.decide(after, "last").tier for _ in range(2)] == ["top", "top"]
    c.decide([*after[:-1], {"role": "user", "content": "low"}], "last")
    assert c.decide(after, "last").tier == "top"


def test_a_barred_model_is_left(server: FakeServer) -> None:
    pricing.override({**PRICES, "openai/sticky-top": "gpt-4"})
    talk = Talk(controller(server), system={"role": "system", "content": "word " * 2_000})
    assert talk.turn().tier == "top"
    talk.messages.append(IMAGE)
    talk.messages.append({"role": "user", "content": "mid"})
    went = talk.turn()
    assert went.tier == "mid"
    assert not any("stays" in note for note in went.notes)


def test_a_ceiling_is_kept(server: FakeServer) -> None:
    talk = Talk(controller(server))
    talk.turn()
    assert talk.turn("mid below mid").tier == "mid"


def test_an_unknown_price_keeps_it_where_it_is(server: FakeServer) -> None:
    prices = {name: price for name, price in PRICES.items() if name != "openai/sticky-mid"}
    pricing.override(prices)
    talk = Talk(controller(server))
    talk.turn()
    stayed = talk.turn("mid")
    assert (stayed.tier, stayed.notes) == (
        "top",
        ("stays on openai/sticky-top: the price of openai/sticky-mid is not known",),
    )
    # Up it goes without a price, too.
    pricing.override({})
    other = Talk(controller(server), "low")
    with pytest.warns(pricing.PriceWarning):
        assert other.turn().tier == "low"
    with pytest.warns(pricing.PriceWarning):
        assert other.turn("top").tier == "top"


def test_streams_and_the_asynchronous_way_stay_too(server: FakeServer) -> None:
    c = controller(server)
    messages = [SYSTEM, {"role": "user", "content": "top"}]
    for _ in c.completion(router="last", messages=messages, stream=True):
        pass
    messages += [{"role": "assistant", "content": "Hello"}, {"role": "user", "content": "mid"}]

    async def after() -> None:
        assert (await c.acompletion(router="last", messages=messages)).routing.tier == "top"
        stream = await c.acompletion(router="last", messages=messages, stream=True)
        assert stream.routing.tier == "top"
        async for _ in stream:
            pass

    asyncio.run(after())


def test_who_was_held_out_leaves_no_trace(server: FakeServer) -> None:
    c = controller(server, holdout=1.0)
    talk = Talk(c, "mid")
    assert talk.turn().tier == "top"
    assert c.decide([*talk.messages, {"role": "user", "content": "mid"}], "last").notes == ()


def test_pickles_know_no_conversation(server: FakeServer) -> None:
    c = controller(server)
    talk = Talk(c)
    talk.turn()
    after = [*talk.messages, {"role": "user", "content": "mid"}]
    assert c.decide(after, "last").tier == "top"
    assert pickle.loads(pickle.dumps(c)).decide(after, "last").tier == "mid"
    assert LONG[:50] not in repr(vars(c))
