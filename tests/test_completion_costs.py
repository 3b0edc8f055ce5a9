"""What callers are told of costs where things do not go as usual: no price, no answer, a late word on the tokens."""

from __future__ import annotations

import json
import warnings
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import openai
import pytest

import ferroute
from fakeserver import Answer, FakeServer, chunk, completion, event
from ferroute import pricing

if TYPE_CHECKING:
    from collections.abc import Iterator

HELLO = [{"role": "user", "content": "Say hello"}]
USAGE = {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500}
COST = Decimal("0.00875")  # of gpt-5.2
WHOLE = Answer(body=json.dumps(completion() | {"usage": USAGE}).encode())
DONE = b"data: [DONE]\n\n"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    monkeypatch.setattr(pricing, "_missed", set())
    with FakeServer() as server:
        yield server


def ask(server: FakeServer, model: str = "openai/gpt-5.2", **kwargs: Any) -> Any:
    return ferroute.completion(model=model, messages=HELLO, api_base=server.url, api_key="k", **kwargs)


def streamed(*chunks: bytes, delay: float = 0.0) -> Answer:
    return Answer(headers={"content-type": "text/event-stream"}, chunks=[*chunks], chunk_delay=delay)


def counted() -> bytes:
    return event(
        {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [], "usage": USAGE}
    )


def test_an_unknown_price_warns_once_and_is_noted_always(server: FakeServer) -> None:
    server.then(WHOLE, WHOLE, streamed(chunk({"content": "a"}), chunk({}, "stop"), counted(), DONE))
    with pytest.warns(pricing.PriceWarning, match="no price is known for openai/unheard-of") as caught:
        first = ask(server, "openai/unheard-of")
    assert [warning.filename for warning in caught] == [__file__]
    second = ask(server, "openai/unheard-of")
    (note,) = first.routing.notes
    assert "no price is known for `openai/unheard-of`" in note and second.routing.notes == (note,)
    with pytest.warns(pricing.PriceWarning, match="openai/new-to-us"):
        chunks = list(ask(server, "openai/new-to-us", stream=True))
    assert chunks[-1].routing.cost_usd is None and chunks[-1].routing.notes


def test_a_filter_of_warnings_does_not_throw_an_answer_away(server: FakeServer) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ask(server, "openai/unheard-of").choices[0].message.content


async def test_the_warning_of_an_asynchronous_call_names_the_callers_line(server: FakeServer) -> None:
    with pytest.warns(pricing.PriceWarning, match="unheard-of") as caught:
        await ferroute.acompletion(model="openai/unheard-of", messages=HELLO, api_base=server.url, api_key="k")
    assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.parametrize("stream", [False, True])
def test_a_failure_says_what_it_cost(server: FakeServer, stream: bool) -> None:
    server.then(*[Answer(503, {"retry-after-ms": "1"}, b"{}")] * 2)
    with pytest.raises(openai.InternalServerError) as caught:
        ask(server, stream=stream, max_retries=1)
    routing = caught.value.routing  # type: ignore[attr-defined]
    assert (routing.attempts, routing.cost_usd) == (2, 0)
    # Nobody knows whether what did not come in time is on the bill: the prompt may be.
    server.then(Answer(delay=1))
    with pytest.raises(openai.APITimeoutError) as late:
        ask(server, stream=stream, timeout=0.2, max_retries=0)
    routing = late.value.routing  # type: ignore[attr-defined]
    assert routing.attempts == 1 and routing.cost_usd > 0


@pytest.mark.parametrize("ending", ["late", "no reason"])
async def test_the_last_chunk_gets_to_know_costs_that_come_after_it(server: FakeServer, ending: str) -> None:
    def answer() -> Answer:
        if ending == "late":
            # More than a second after the reason to stop.
            return streamed(chunk({"content": "a"}) + chunk({}, "stop"), counted() + DONE, delay=1.2)
        return streamed(chunk({"content": "a"}), chunk({"content": "b"}), counted(), DONE)

    server.then(answer(), answer())
    stream = ask(server, stream=True)
    chunks = list(stream)
    assert [each.routing.cost_usd for each in chunks] == [None, COST]
    assert stream.routing.cost_usd == COST
    astream = await ferroute.acompletion(
        model="openai/gpt-5.2", messages=HELLO, api_base=server.url, api_key="k", stream=True
    )
    assert [each.routing.cost_usd async for each in astream][:-1] == [None]
    assert astream.routing.cost_usd == COST


def test_a_whole_answer_in_place_of_a_stream_has_its_costs(server: FakeServer) -> None:
    server.then(WHOLE)
    chunks = list(ask(server, stream=True))
    assert [each.routing.cost_usd for each in chunks] == [None, COST]


def test_a_tier_that_is_paid_for_in_advance_has_the_ordinary_price() -> None:
    usual = pricing.cost("gpt-5.2", input_tokens=1000, output_tokens=500)
    assert pricing.cost("gpt-5.2", input_tokens=1000, output_tokens=500, service_tier="scale") == usual
