"""What a caller is told when something does not work, or was not done as he asked."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import anthropic
import httpx
import openai
import pytest

from fakeserver import Answer, FakeServer, chunk
from ferroute.controller import Controller
from ferroute.gateway import Gateway
from ferroute.policy import CallPolicy
from test_gateway import ALWAYS_WEAK, HELLO, WEAK, controller_at, served

if TYPE_CHECKING:
    from collections.abc import Iterator

EXPLAINED = {"x-ferroute-explain": "1"}


@pytest.fixture
def upstream() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server


def test_parameters_that_were_left_out_are_told(upstream: FakeServer) -> None:
    with served(upstream) as (gateway, _):
        ask: dict[str, Any] = {"model": WEAK, "max_tokens": 9, "messages": HELLO, "top_k": 5}
        whole = httpx.post(f"{gateway.url}/v1/messages", json=ask, headers=EXPLAINED, timeout=20)
        assert whole.status_code == 200, whole.text
        assert "top_k" not in upstream.requests[0].json
        assert "top_k" in whole.headers["x-ferroute-note"]
        assert any("`top_k`" in note for note in whole.json()["ferroute"]["notes"])
        stream = httpx.post(f"{gateway.url}/v1/messages", json={**ask, "stream": True}, headers=EXPLAINED, timeout=20)
        (told,) = [line for line in stream.text.splitlines() if '"ferroute"' in line]
        assert any("`top_k`" in note for note in json.loads(told.removeprefix("data: "))["ferroute"]["notes"])


def test_what_the_server_has_tried_again_clients_do_not(upstream: FakeServer) -> None:
    policy = CallPolicy(retries=1)
    with (
        Gateway(controller_at(upstream, policy=policy), port=0) as gateway,
        openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="k", max_retries=2) as client,
    ):
        upstream.then(*[Answer(status=503, headers={"retry-after-ms": "1"})] * 8)
        with pytest.raises(openai.InternalServerError):
            client.chat.completions.create(model=WEAK, messages=HELLO)
        assert len(upstream.requests) == 2


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("POST", "/v1/nothing", 404), ("GET", "/v1/chat/completions", 405), ("POST", "/v1/messages/batches", 404)],
)
def test_paths_that_are_none_are_told_in_the_protocol(
    upstream: FakeServer, method: str, path: str, status: int
) -> None:
    with served(upstream) as (gateway, _):
        answer = httpx.request(method, f"{gateway.url}{path}", timeout=20)
        assert answer.status_code == status and answer.json()["detail"] in {"Not Found", "Method Not Allowed"}
        assert answer.json()["error"]["message"] and answer.json()["error"]["type"]
        assert (answer.json().get("type") == "error") is ("messages" in path)


def test_chunks_that_are_none_are_the_callers_mistake(upstream: FakeServer) -> None:
    with served(upstream) as (gateway, _), socket.create_connection((gateway.host, gateway.port), 10) as wire:
        head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"
        wire.sendall(head + b"zz\r\n{}\r\n0\r\n\r\n")
        assert wire.recv(4096).startswith(b"HTTP/1.1 400 ")


def test_an_anthropic_error_has_the_requests_id(upstream: FakeServer) -> None:
    with (
        served(upstream) as (gateway, _),
        anthropic.Anthropic(base_url=gateway.url, api_key="k", max_retries=0) as client,
        pytest.raises(anthropic.NotFoundError) as caught,
    ):
        client.messages.create(model="unheard-of", max_tokens=9, messages=[{"role": "user", "content": "Hi"}])
    assert caught.value.body["request_id"] == caught.value.response.headers["x-request-id"]


def test_a_router_without_a_threshold_is_told_what_is_missing(upstream: FakeServer) -> None:
    with served(upstream) as (_, client), pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="router-random", messages=HELLO)
    assert "give a threshold, such as router-random-0.5" in str(caught.value)
    assert caught.value.response.json()["object"] == "error"


def test_a_router_with_a_threshold_is_a_model(upstream: FakeServer) -> None:
    with served(upstream) as (gateway, client):
        assert client.models.retrieve("router-random-0.5").id == "router-random-0.5"
        for none in ("router-random-2", "router-none-0.5"):
            with pytest.raises(openai.NotFoundError):
                client.models.retrieve(none)
        listed = httpx.get(f"{gateway.url}/v1/models", headers={"anthropic-version": "2023-06-01"}).json()
        year = time.gmtime().tm_year
        assert re.fullmatch(rf"({year}|{year - 1})-\d\d-\d\dT\d\d:\d\d:\d\dZ", listed["data"][0]["created_at"])


def test_keys_of_others_are_not_repeated(upstream: FakeServer) -> None:
    body = {"error": {"message": "Incorrect API key: sk-proj-abcd1234EFGH, sent as Bearer eyJabc.123456"}}
    with served(upstream) as (_, client):
        upstream.then(Answer(status=401, body=json.dumps(body).encode()))
        with pytest.raises(openai.AuthenticationError) as caught:
            client.chat.completions.create(model=WEAK, messages=HELLO)
    assert caught.value.body["message"] == "Incorrect API key: [key], sent as Bearer [key]"


def test_a_stream_that_the_end_of_the_server_cuts_says_so(upstream: FakeServer) -> None:
    pieces = [chunk({"content": f"{n} "}) for n in range(200)]
    upstream.then(Answer(chunks=pieces, chunk_delay=0.2))
    gateway = Gateway(controller_at(upstream), port=0)
    thread = threading.Thread(target=gateway.run, kwargs={"drain": 1.0})
    thread.start()
    try:
        url = f"{gateway.url}/v1/chat/completions"
        body = {"model": ALWAYS_WEAK, "messages": HELLO, "stream": True}
        with httpx.stream("POST", url, json=body, timeout=20) as answer:
            lines = answer.iter_lines()
            assert next(lines).startswith("data: ")
            gateway.stop()
            last = [line for line in lines if line][-1]
        assert json.loads(last.removeprefix("data: "))["error"]["code"] == "server_stopping"
    finally:
        gateway.stop(now=True)
        thread.join(20)
    assert not thread.is_alive()


def test_an_exception_of_a_router_is_told_by_its_first_line(upstream: FakeServer) -> None:
    from ferroute.controller import ROUTER_CLS
    from ferroute.routers.base import Router

    class Leaks(Router):
        def calculate_strong_win_rate(self, prompt: str) -> float:
            raise LookupError("refused sk-abcd1234efgh for\nthe prompt: " + prompt)

    ROUTER_CLS["leaks"] = Leaks
    try:
        controller = Controller(["leaks"], "gpt-5.5", WEAK, api_base=upstream.url, api_key="k")
        with Gateway(controller, port=0) as gateway:
            body = {"model": "router-leaks-0.5", "messages": [{"role": "user", "content": "my secret"}]}
            answer = httpx.post(f"{gateway.url}/v1/chat/completions", json=body, timeout=20)
    finally:
        del ROUTER_CLS["leaks"]
    assert answer.status_code == 500
    assert "(LookupError: refused [key] for)" in answer.json()["error"]["message"]
    assert "sk-abcd" not in answer.text and "my secret" not in answer.text
