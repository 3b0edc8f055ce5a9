"""The server's other paths: embeddings, the list of models, decisions without a call, feedback, readiness."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest

from fakeserver import Answer, FakeServer
from ferroute.controller import Controller
from ferroute.gateway import Gateway
from test_gateway import ALWAYS_STRONG, ALWAYS_WEAK, HELLO, STRONG, WEAK, controller_at, rows, served, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

EMBEDDER = "text-embedding-3-small"


@pytest.fixture
def upstream() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server


def test_embeddings_are_handed_on_and_accounted(upstream: FakeServer) -> None:
    controller = controller_at(upstream)
    embedder = {"model": EMBEDDER, "api_base": upstream.url, "api_key": "e"}
    with (
        Gateway(controller, port=0, models=[embedder], aliases={"vectors": EMBEDDER}) as gateway,
        openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="k", max_retries=0) as client,
    ):
        raw = client.embeddings.with_raw_response.create(model="vectors", input=["a b", "c"], dimensions=8)
        answer = raw.parse()
        assert sorted(each.index for each in answer.data) == [0, 1] and len(answer.data[0].embedding) == 8
        assert raw.headers["x-ferroute-model"] == EMBEDDER
        # 2 tokens at 0.02 dollars a million.
        assert raw.headers["x-ferroute-cost-usd"] == "0.00000004"
        (request,) = upstream.requests
        assert request.json["model"] == EMBEDDER and request.json["dimensions"] == 8
        (call,) = wait_for(lambda: rows(controller.ledger), 1)
        assert (call["model"], call["prompt_tokens"], call["outcome"]) == (EMBEDDER, 2, "ok")
        upstream.then(Answer(status=400))
        with pytest.raises(openai.BadRequestError, match="status 400"):
            client.embeddings.create(model=EMBEDDER, input="a")
        with pytest.raises(openai.BadRequestError, match="not routed"):
            client.embeddings.create(model=ALWAYS_WEAK, input="a")
        with pytest.raises(openai.NotFoundError):
            client.embeddings.create(model="unheard-of", input="a")


def test_a_failed_embedding_is_tried_again(upstream: FakeServer) -> None:
    embedder = {"model": EMBEDDER, "api_base": upstream.url, "api_key": "e"}
    with served(upstream, models=[embedder]) as (_, client):
        upstream.then(Answer(status=503, headers={"retry-after": "0"}))
        assert client.embeddings.create(model=EMBEDDER, input="a").data
    assert len(upstream.requests) == 2


def test_models_with_their_prices(upstream: FakeServer) -> None:
    unpriced = ("house", {"model": "openai/kept-here", "api_base": upstream.url, "api_key": "k"})
    with served(upstream, models=[unpriced], aliases={"fast": ALWAYS_WEAK}) as (gateway, client):
        listed: dict[str, Any] = {each.id: each.model_dump() for each in client.models.list()}
        assert list(listed) == ["router-random", WEAK, STRONG, "house", "fast", "weak", "strong"]
        assert listed[STRONG]["ferroute"]["usd_per_million_tokens"]["output"] == 30.0
        assert listed[STRONG]["ferroute"]["tier"] == "strong" and listed[STRONG]["owned_by"] == "openai"
        assert listed["house"]["ferroute"] == {"kind": "model", "tier": None, "usd_per_million_tokens": None}
        assert listed["router-random"]["ferroute"]["kind"] == "router"
        assert listed["fast"]["ferroute"] == {"kind": "alias", "stands_for": ALWAYS_WEAK}
        assert client.models.retrieve("house").id == "house"
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("openai/unheard-of")
        other = httpx.get(f"{gateway.url}/v1/models", headers={"anthropic-version": "2023-06-01"}).json()
        assert other["has_more"] is False and other["first_id"] == "router-random"
        assert other["data"][0]["type"] == "model"


def test_a_decision_asks_nobody(upstream: FakeServer) -> None:
    with served(upstream) as (gateway, _):
        ask = f"{gateway.url}/v1/decision"
        strong = httpx.post(ask, json={"model": ALWAYS_STRONG, "messages": HELLO}).json()
        assert (strong["model"], strong["router"]) == (STRONG, "random") and 0 <= strong["win_rate"] < 1
        assert httpx.post(ask, json={"model": ALWAYS_WEAK, "messages": HELLO}).json()["model"] == WEAK
        named = httpx.post(ask, json={"model": WEAK, "messages": HELLO}).json()
        assert (named["model"], named["router"]) == (WEAK, None)
        wrong = httpx.post(ask, json={"model": "router-none-0.5", "messages": HELLO})
        assert wrong.status_code == 400 and wrong.json()["object"] == "error"
        anthropic = {"model": ALWAYS_STRONG, "max_tokens": 9, "messages": HELLO}
        said = httpx.post(ask, json=anthropic, headers={"anthropic-version": "2023-06-01"})
        assert said.json()["model"] == STRONG
        assert httpx.post(ask, json={"model": ALWAYS_WEAK, "input": "Say hello"}).json()["model"] == WEAK
        odd = httpx.post(ask, json={"model": "gpt-4"}, headers={"anthropic-version": "2023-06-01"})
        assert odd.status_code == 400 and odd.json()["type"] == "error", "the shape of its protocol"
    assert not upstream.requests


def test_feedback_reaches_the_ledger(upstream: FakeServer) -> None:
    controller = controller_at(upstream)
    with (
        Gateway(controller, port=0) as gateway,
        openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="k", max_retries=0) as client,
    ):
        answer = client.chat.completions.create(model=ALWAYS_WEAK, messages=HELLO)
        say = f"{gateway.url}/v1/feedback"
        assert httpx.post(say, json={"id": answer.id, "score": 0.25}).json() == {"status": "ok"}
        assert httpx.post(say, json={"id": answer.id, "thumbs": "up", "source": "user"}).status_code == 200
        unknown = httpx.post(say, json={"id": "chatcmpl-none", "score": 1})
        assert unknown.status_code == 404 and unknown.json()["error"]["code"] == "call_not_found"
        wrong = httpx.post(say, json={"id": answer.id, "score": 2})
        assert wrong.status_code == 400 and "0 to 1" in wrong.json()["error"]["message"]
        scores = controller.ledger.outcomes()
    assert sorted(zip(scores["source"], scores["score"], strict=True)) == [("feedback", 0.25), ("user", 1.0)]


def test_ready_is_more_than_healthy(upstream: FakeServer, tmp_path: Any) -> None:
    controller = Controller(
        ["random"], STRONG, WEAK, api_base=upstream.url, api_key="k", ledger=str(tmp_path / "calls.db")
    )
    with Gateway(controller, port=0) as gateway, httpx.Client(base_url=gateway.url) as http:
        assert http.get("/ready").json() == {"status": "ready"}
        assert http.head("/ready").status_code == 200
