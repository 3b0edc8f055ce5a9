"""The server, asked as its callers ask it: by the real `openai` client and by plain HTTP."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest

from fakeserver import Answer, FakeServer, chunk, completion, event
from ferroute.controller import Controller
from ferroute.errors import FerrouteError
from ferroute.gateway import Gateway
from ferroute.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator

HELLO = [{"role": "user", "content": "Say hello"}]
STRONG, WEAK = "gpt-5.5", "gpt-5.4-nano"
ALWAYS_STRONG, ALWAYS_WEAK = "router-random-0", "router-random-1"
USAGE = {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500}
DONE = b"data: [DONE]\n\n"


@pytest.fixture
def upstream() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server


def controller_at(upstream: FakeServer, **kwargs: Any) -> Controller:
    return Controller(
        ["random"], strong_model=STRONG, weak_model=WEAK, api_base=upstream.url, api_key="upstream-key", **kwargs
    )


@contextmanager
def served(upstream: FakeServer, policy: Any = None, **kwargs: Any) -> Iterator[tuple[Gateway, openai.OpenAI]]:
    with (
        Gateway(controller_at(upstream, policy=policy), port=0, **kwargs) as gateway,
        openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="the-callers", max_retries=0) as client,
    ):
        yield gateway, client


@pytest.fixture
def client(upstream: FakeServer) -> Iterator[openai.OpenAI]:
    with served(upstream) as (_, client):
        yield client


def test_a_completion_says_by_whom_and_for_how_much(upstream: FakeServer, client: openai.OpenAI) -> None:
    upstream.then(Answer(body=json.dumps(completion(STRONG) | {"usage": USAGE, "odd": [1.50]}).encode()))
    raw = client.chat.completions.with_raw_response.create(
        model=ALWAYS_STRONG, messages=HELLO, user="u1", extra_body={"x_unknown": {"a": 1}}
    )
    answer = raw.parse()
    assert answer.choices[0].message.content == "Hello" and answer.model_extra == {"odd": [1.5]}
    (request,) = upstream.requests
    assert request.json == {"model": STRONG, "messages": HELLO, "user": "u1", "x_unknown": {"a": 1}}
    assert request.headers["authorization"] == "Bearer upstream-key"
    headers = raw.headers
    assert headers["x-ferroute-model"] == STRONG and headers["x-ferroute-router"] == "random"
    assert 0 <= float(headers["x-ferroute-win-rate"]) < 1 and headers["x-ferroute-threshold"] == "0"
    # gpt-5.5: 5 and 30 dollars a million.
    assert headers["x-ferroute-cost-usd"] == "0.02" and headers["x-ferroute-saved-usd"] == "0"
    assert headers["x-request-id"].startswith("req_") and answer._request_id == headers["x-request-id"]
    weak = client.chat.completions.with_raw_response.create(model=ALWAYS_WEAK, messages=HELLO)
    assert upstream.requests[1].json["model"] == WEAK == weak.headers["x-ferroute-model"]
    assert weak.headers["x-request-id"] != headers["x-request-id"]


def test_a_stream_arrives_as_it_is_sent(upstream: FakeServer, client: openai.OpenAI) -> None:
    words = [chunk({"content": word}) for word in ("one ", "two ", "three")]
    upstream.then(Answer(chunks=[*words, chunk({}, "stop"), DONE], chunk_delay=0.05))
    stream = client.chat.completions.create(model=ALWAYS_WEAK, messages=HELLO, stream=True)
    assert stream.response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert stream.response.headers["x-ferroute-model"] == WEAK
    times, text = [], ""
    for piece in stream:
        times.append(time.monotonic())
        text += piece.choices[0].delta.content or ""
    assert text == "one two three"
    assert times[-1] - times[0] > 0.1, "the chunks came one by one"


def test_explained_on_request(upstream: FakeServer, client: openai.OpenAI) -> None:
    body = json.dumps(completion(STRONG) | {"usage": USAGE}).encode()
    upstream.then(Answer(body=body), Answer(body=body))
    ask = client.chat.completions.create
    plain = ask(model=ALWAYS_STRONG, messages=HELLO)
    assert plain.model_extra == {}
    told = ask(model=ALWAYS_STRONG, messages=HELLO, extra_headers={"x-ferroute-explain": "1"}).model_extra["ferroute"]
    assert (told["model"], told["router"], told["cost_usd"], told["attempts"]) == (STRONG, "random", 0.02, 1)
    assert told["threshold"] == 0 and told["request_id"].startswith("req_")
    usage = event(
        {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [], "usage": USAGE}
    )
    upstream.then(Answer(chunks=[chunk({"content": "a"}), chunk({}, "stop"), usage, DONE]))
    pieces = list(ask(model=ALWAYS_STRONG, messages=HELLO, stream=True, extra_headers={"x-ferroute-explain": "1"}))
    assert [piece.model_extra for piece in pieces[:-1]] == [{}] * (len(pieces) - 1)
    assert pieces[-1].model_extra["ferroute"]["cost_usd"] == 0.02


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (404, openai.NotFoundError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
    ],
)
def test_a_providers_error_reaches_the_caller(upstream: FakeServer, status: int, error: type) -> None:
    with served(upstream, policy={"retries": 0}) as (_, client):
        for stream in (False, True):
            upstream.then(Answer(status=status, headers={"retry-after": "7"}))
            with pytest.raises(error, match=f"status {status}") as caught:
                client.chat.completions.create(model=ALWAYS_WEAK, messages=HELLO, stream=stream)
            assert "upstream-key" not in str(caught.value)
            assert caught.value.response.headers["retry-after"] == "7"
            assert caught.value.request_id.startswith("req_")


def test_what_cannot_be_routed(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="router-unheard-0.5", messages=HELLO)
    body: Any = caught.value.response.json()
    assert body["object"] == "error" and body["message"] == body["error"]["message"]
    assert "unheard" in body["message"]
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="gpt-4", messages=HELLO)
    assert missing.value.code == "model_not_found" and "gpt-4" in str(missing.value)


def test_models_by_name_and_alias(upstream: FakeServer) -> None:
    house = ("house", {"model": "openai/kept-here", "api_base": upstream.url, "api_key": "house-key"})
    with served(upstream, models=[house], aliases={"fast": ALWAYS_WEAK, "good": STRONG}) as (_, client):
        ask = client.chat.completions.with_raw_response.create
        assert ask(model="house", messages=HELLO).headers["x-ferroute-model"] == "house"
        assert ask(model="fast", messages=HELLO).headers["x-ferroute-router"] == "random"
        assert "x-ferroute-router" not in ask(model="good", messages=HELLO).headers
    first, second, third = upstream.requests
    assert first.json["model"] == "kept-here" and first.headers["authorization"] == "Bearer house-key"
    assert (second.json["model"], third.json["model"]) == (WEAK, STRONG)
    assert second.headers["authorization"] == "Bearer upstream-key"


def test_open_models_are_those_whose_key_is_at_hand(upstream: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "from-the-environment")
    monkeypatch.setenv("OPENAI_BASE_URL", upstream.url)
    with served(upstream, open_models=True) as (_, client):
        client.chat.completions.create(model="gpt-5.4-mini", messages=HELLO)
        with pytest.raises(openai.NotFoundError, match="ANTHROPIC_API_KEY"):
            client.chat.completions.create(model="claude-opus-4-5", messages=HELLO)
    (request,) = upstream.requests
    assert request.json["model"] == "gpt-5.4-mini"
    assert request.headers["authorization"] == "Bearer from-the-environment"


def test_a_caller_who_leaves_is_accounted_and_the_provider_let_go(upstream: FakeServer) -> None:
    controller = controller_at(upstream)
    endless = [chunk({"content": f"w{i} "}) for i in range(2000)]
    with (
        Gateway(controller, port=0) as gateway,
        openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="k", max_retries=0) as client,
    ):
        upstream.then(Answer(chunks=endless, chunk_delay=0.01))
        stream = client.chat.completions.create(model=ALWAYS_WEAK, messages=HELLO, stream=True)
        next(stream)
        stream.close()
        assert upstream.gone.wait(5), "the provider's connection is closed"
        upstream.gone.clear()
        upstream.then(Answer(delay=30))
        with pytest.raises(openai.APITimeoutError):
            client.chat.completions.create(model=ALWAYS_WEAK, messages=HELLO, timeout=0.3)
        assert upstream.gone.wait(5)
        calls = wait_for(lambda: rows(controller.ledger), 2)
    assert [call["outcome"] for call in calls] == ["cancelled", "cancelled"]
    assert calls[0]["completion_tokens"] > 0


def rows(ledger: Ledger) -> list[dict[str, Any]]:
    columns = ledger.core.calls((None, None, None, None))
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def wait_for(calls: Any, count: int) -> Any:
    until = time.monotonic() + 10
    while len(found := calls()) < count:
        assert time.monotonic() < until, found
        time.sleep(0.02)
    return found


def test_paths_that_are_none(upstream: FakeServer) -> None:
    with served(upstream) as (gateway, _), httpx.Client(base_url=gateway.url) as http:
        assert http.get("/health").json() == {"status": "online"}
        missing = http.get("/nowhere")
        assert (missing.status_code, missing.json()) == (404, {"detail": "Not Found"})
        wrong = http.get("/v1/chat/completions")
        assert (wrong.status_code, wrong.json()["detail"]) == (405, "Method Not Allowed")
        assert wrong.json()["error"]["code"] == "method_not_allowed"
        assert wrong.headers["allow"] == "POST"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"messages": []}', b'{"model": 1}', b"\xff\xfe", b"nul\0"])
def test_bodies_that_are_none(upstream: FakeServer, body: bytes) -> None:
    with served(upstream) as (gateway, _):
        answer = httpx.post(f"{gateway.url}/v1/chat/completions", content=body)
    assert answer.status_code == 400 and answer.json()["error"]["message"]
    assert not upstream.requests


def test_a_compressed_body_is_told_what_to_do(upstream: FakeServer) -> None:
    with served(upstream) as (gateway, _):
        answer = httpx.post(f"{gateway.url}/v1/chat/completions", content=b"x", headers={"content-encoding": "gzip"})
    assert answer.status_code == 415 and "compressed" in answer.json()["error"]["message"]


def test_a_model_that_cannot_be_called_stops_nothing(upstream: FakeServer) -> None:
    none: list[tuple[str, str]] = []
    with Gateway(Controller(["random"], STRONG, "anyscale/closed"), port=0, broken=none):
        assert [name for name, _ in none] == ["anyscale/closed", STRONG]
    controller = Controller(["random"], STRONG, {"model": WEAK, "api_base": upstream.url, "api_key": "k"})
    with pytest.raises(FerrouteError, match="OPENAI_API_KEY"):
        Gateway(controller, port=0)
    broken: list[tuple[str, str]] = []
    with (
        Gateway(controller, port=0, broken=broken) as gateway,
        openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="k", max_retries=2) as client,
    ):
        assert [name for name, _ in broken] == [STRONG] and "OPENAI_API_KEY" in broken[0][1]
        assert client.chat.completions.create(model=ALWAYS_WEAK, messages=HELLO).choices
        with pytest.raises(openai.InternalServerError, match="cannot be called") as caught:
            client.chat.completions.create(model=ALWAYS_STRONG, messages=HELLO)
        assert (caught.value.status_code, caught.value.code) == (503, "model_unavailable")
    assert len(upstream.requests) == 1


def test_a_reload_takes_everything_at_once(upstream: FakeServer) -> None:
    with served(upstream) as (gateway, client):
        ask = client.chat.completions.with_raw_response.create
        assert ask(model=ALWAYS_WEAK, messages=HELLO).headers["x-ferroute-model"] == WEAK
        other = Controller(["random"], STRONG, "gpt-5.4-mini", api_base=upstream.url, api_key="k")
        gateway.replace(other)
        assert ask(model=ALWAYS_WEAK, messages=HELLO).headers["x-ferroute-model"] == "gpt-5.4-mini"


MAKE = """
import sys
from ferroute.controller import Controller
from ferroute.gateway import Gateway
from ferroute.ledger import Ledger
controller = Controller(["random"], "gpt-5.5", "gpt-5.4-nano", api_base=sys.argv[1], api_key="k", ledger=sys.argv[2])
gateway = Gateway(controller, port=0)
print(gateway.url, flush=True)
"""
SERVE = f"""{MAKE}
gateway.run()
print("ended", flush=True)
"""
SERVE_ASIDE = f"""{MAKE}
import json, threading, urllib.request
def serve():
    gateway.run()
    print("ended", flush=True)
threading.Thread(target=serve, daemon=True).start()
asked = {{"model": "router-random-0.0", "messages": [{{"role": "user", "content": "hi"}}]}}
assert urllib.request.urlopen(gateway.url + "/v1/chat/completions", json.dumps(asked).encode()).status == 200
import os, signal
if hasattr(os, "fork"):
    child = os.fork()
    if child == 0:
        signal.alarm(3)  # it has no such thread, so it does not wait for its end
        sys.exit()
    assert os.waitpid(child, 0)[1] == 0
"""


@contextmanager
def in_a_process(upstream: FakeServer, ledger: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-c", SERVE, upstream.url, ledger]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().strip()
        finally:
            if process.poll() is None:
                process.kill()


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_signal_lets_streams_end(upstream: FakeServer, tmp_path: Any) -> None:
    upstream.then(
        Answer(chunks=[*[chunk({"content": f"w{i} "}) for i in range(20)], chunk({}, "stop"), DONE], chunk_delay=0.2)
    )
    with in_a_process(upstream, str(tmp_path / "a.db")) as (process, url):
        with (
            openai.OpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0) as client,
            httpx.Client(base_url=url) as other,
        ):
            stream = client.chat.completions.create(model=ALWAYS_WEAK, messages=HELLO, stream=True)
            text = next(stream).choices[0].delta.content or ""
            process.send_signal(signal.SIGTERM)
            time.sleep(0.2)
            asked = {"model": ALWAYS_WEAK, "messages": HELLO}
            refused = other.post("/v1/chat/completions", json=asked)
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "server_stopping")
            assert refused.headers["connection"] == "close" and refused.headers["retry-after"] == "1"
            assert other.get("/health").status_code == 200
            ready = other.get("/ready")
            assert (ready.status_code, ready.json()) == (503, {"status": "stopping"})
            text += "".join(piece.choices[0].delta.content or "" for piece in stream)
        assert text.split()[-1] == "w19"
        assert process.wait(10) == 0 and process.stdout is not None and process.stdout.read() == "ended\n"
    with Ledger(str(tmp_path / "a.db")) as ledger:
        assert [call["outcome"] for call in rows(ledger)] == ["ok"]


def test_a_server_on_a_daemon_thread_ends_with_the_process(upstream: FakeServer, tmp_path: Any) -> None:
    """Else the interpreter's end unwinds that thread in the middle of the core."""
    python = [sys.executable, "-W", "ignore::DeprecationWarning"]  # of forking with threads, from Python 3.12 on
    command = [*python, "-c", SERVE_ASIDE, upstream.url, str(tmp_path / "a.db")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.splitlines()[1:]) == (0, ["ended"]), done.stderr
    with Ledger(str(tmp_path / "a.db")) as ledger:
        assert [call["outcome"] for call in rows(ledger)] == ["ok"]


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_second_signal_does_not_wait(upstream: FakeServer, tmp_path: Any) -> None:
    upstream.then(Answer(chunks=[chunk({"content": f"w{i} "}) for i in range(2000)], chunk_delay=0.05))
    with (
        in_a_process(upstream, str(tmp_path / "a.db")) as (process, url),
        openai.OpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0) as client,
    ):
        next(client.chat.completions.create(model=ALWAYS_WEAK, messages=HELLO, stream=True))
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
        assert process.poll() is None, "it waits for the stream"
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
