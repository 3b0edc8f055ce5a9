"""What is said of an answer later: with every id that a caller is shown, and only of calls that are his."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from fakeserver import Answer, FakeServer, chunk, completion
from ferroute.gateway import Gateway
from test_gateway import ALWAYS_WEAK, HELLO, controller_at, rows, wait_for
from test_gateway_keys import ADMIN, made
from test_gateway_keys import served as with_keys

if TYPE_CHECKING:
    from collections.abc import Iterator

DONE = b"data: [DONE]\n\n"
MESSAGES = ("/v1/messages", {"model": ALWAYS_WEAK, "max_tokens": 9, "messages": HELLO})
RESPONSES = ("/v1/responses", {"model": ALWAYS_WEAK, "input": "Say hello"})
COMPLETIONS = ("/v1/chat/completions", {"model": ALWAYS_WEAK, "messages": HELLO})


@pytest.fixture
def upstream() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server


def named(name: str) -> Answer:
    return Answer(body=json.dumps(completion() | {"id": name}).encode())


def post(gateway: Gateway, path: str, body: Any, key: str | None = None) -> httpx.Response:
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    return httpx.post(f"{gateway.url}{path}", json=body, headers=headers, timeout=20)


@pytest.mark.parametrize("asked", [MESSAGES, RESPONSES, COMPLETIONS], ids=lambda asked: asked[0].rpartition("/")[2])
@pytest.mark.parametrize("ledger", ["memory:", "file"])
def test_every_id_that_is_shown_is_accepted(
    upstream: FakeServer, asked: tuple[str, Any], ledger: str, tmp_path: Any
) -> None:
    place = ledger if ledger == "memory:" else f"sqlite:///{tmp_path / 'calls.db'}"
    controller = controller_at(upstream, ledger=place)
    path, body = asked
    with Gateway(controller, port=0) as gateway:
        upstream.then(named("up-1"))
        answer = post(gateway, path, body)
        assert answer.status_code == 200 and "up-1" in answer.json()["id"]
        for shown in (answer.json()["id"], answer.headers["x-request-id"]):
            said = post(gateway, "/v1/feedback", {"id": shown, "score": 0.5, "source": shown[:5]})
            assert said.status_code == 200, (shown, said.text)
        pieces = [chunk({"content": "a"}), chunk({}, "stop"), DONE]
        upstream.then(Answer(chunks=pieces))
        stream = post(gateway, path, {**body, "stream": True})
        assert stream.status_code == 200 and "c1" in stream.text
        said = post(gateway, "/v1/feedback", {"id": stream.headers["x-request-id"], "score": 0.5})
        assert said.status_code == 200, said.text
        assert post(gateway, "/v1/feedback", {"id": "req_0000000000000000", "score": 1}).status_code == 404
        assert len(controller.ledger.outcomes()["source"]) == 3


def test_a_list_is_no_opinion(upstream: FakeServer) -> None:
    with Gateway(controller_at(upstream), port=0) as gateway:
        answer = post(gateway, "/v1/chat/completions", COMPLETIONS[1]).json()["id"]
        assert post(gateway, "/v1/feedback", [answer, 0.5, None, None]).status_code == 400


@pytest.mark.parametrize("ledger", ["memory:", "file"])
def test_only_ones_own_calls_are_scored(upstream: FakeServer, ledger: str, tmp_path: Any) -> None:
    place = ledger if ledger == "memory:" else f"sqlite:///{tmp_path / 'calls.db'}"
    with with_keys(upstream, place) as gateway:
        own, _ = made(gateway, name="own", team="search")
        mate, _ = made(gateway, name="mate", team="search")
        other, _ = made(gateway, name="other", team="legal")
        alone, _ = made(gateway, name="alone")
        upstream.then(named("up-1"))
        answer = post(gateway, *COMPLETIONS, key=own)
        (call,) = (row["id"] for row in wait_for(lambda: rows(gateway.controller.ledger), 1))

        def said(key: str, shown: Any, **more: Any) -> int:
            return post(gateway, "/v1/feedback", {"id": shown, "score": 1, **more}, key=key).status_code

        for shown in ("up-1", answer.headers["x-request-id"], int(call)):
            statuses = [said(key, shown) for key in (own, mate, ADMIN, other, alone)]
            assert statuses == [200, 200, 200, 404, 404], shown
        for source in ("gold", "judge:gpt-5.5", "Judge"):
            assert [said(key, "up-1", source=source) for key in (own, ADMIN)] == [403, 200], source
        assert said(own, "up-1", source="user") == 200
