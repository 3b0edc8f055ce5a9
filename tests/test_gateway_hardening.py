"""Callers who are slow, wrong, too large or gone: a clean no or a closed connection, and the server goes on."""

from __future__ import annotations

import json
import random
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from fakeserver import Answer, FakeServer, chunk
from ferroute.controller import Controller
from ferroute.errors import InvalidValueError
from ferroute.gateway import Gateway

if TYPE_CHECKING:
    from collections.abc import Iterator

STRONG, WEAK = "gpt-5.5", "gpt-5.4-nano"
BODY = json.dumps({"model": WEAK, "messages": [{"role": "user", "content": "Say hello"}]}).encode()
PATIENCE = 15
QUICK = {"header_timeout_s": 0.6, "body_timeout_s": 0.6, "idle_timeout_s": 1.5, "write_timeout_s": 1.0}


@pytest.fixture
def upstream() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server


@contextmanager
def served(upstream: FakeServer, host: str = "127.0.0.1", **server: Any) -> Iterator[Gateway]:
    controller = Controller(["random"], strong_model=STRONG, weak_model=WEAK, api_base=upstream.url, api_key="k")
    with Gateway(controller, host, port=0, door={"server": server}) as gateway:
        yield gateway


def head(length: int | None = None, *more: str, path: str = "/v1/chat/completions") -> bytes:
    lines = [f"POST {path} HTTP/1.1", "host: localhost", "content-type: application/json", *more]
    lines += [] if length is None else [f"content-length: {length}"]
    return "\r\n".join([*lines, "", ""]).encode()


WHOLE = head(len(BODY)) + BODY


def connect(gateway: Gateway) -> socket.socket:
    return socket.create_connection(("127.0.0.1", gateway.port), timeout=PATIENCE)


def rest(connection: socket.socket) -> bytes:
    """Everything until the server closes; longer than `PATIENCE` is a hang."""
    found = b""
    try:
        while piece := connection.recv(65536):
            found += piece
    except ConnectionResetError:
        pass
    return found


def said(gateway: Gateway, request: bytes, *, shut: bool = False) -> tuple[int, bytes]:
    """Status and all of what is answered to `request`, sent as it is; 0 where the connection is closed without."""
    with closing(connect(gateway)) as connection:
        try:
            connection.sendall(request)
            if shut:
                connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        answer = rest(connection)
    return (int(answer[9:12]), answer) if answer else (0, b"")


def alive(gateway: Gateway) -> None:
    answer = httpx.post(f"{gateway.url}/v1/chat/completions", content=BODY, timeout=PATIENCE)
    assert answer.status_code == 200, answer.text


def test_a_head_that_comes_too_slowly_is_not_waited_for(upstream: FakeServer) -> None:
    with served(upstream, **QUICK) as gateway, closing(connect(gateway)) as connection:
        begun = time.monotonic()
        answer = b""
        connection.settimeout(0.05)
        while time.monotonic() - begun < PATIENCE:
            try:
                connection.sendall(b"x")
                if not (piece := connection.recv(1000)):
                    break
                answer += piece
            except TimeoutError:
                continue
            except OSError:
                break
        assert time.monotonic() - begun < PATIENCE, "it is waited for"
        assert answer.startswith(b"HTTP/1.1 408 ") or not answer
        alive(gateway)


def test_a_body_that_comes_too_slowly_is_not_waited_for(upstream: FakeServer) -> None:
    with served(upstream, **QUICK) as gateway, closing(connect(gateway)) as connection:
        connection.sendall(head(100_000) + b"{")
        answer = rest(connection)
        assert answer.startswith(b"HTTP/1.1 408 ") and b"request_timeout" in answer
        alive(gateway)
    assert len(upstream.requests) == 1


def test_an_idle_connection_lasts_longer_than_a_head(upstream: FakeServer) -> None:
    with served(upstream, **QUICK) as gateway, closing(connect(gateway)) as connection:
        connection.sendall(WHOLE)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        time.sleep(0.9)
        connection.sendall(WHOLE)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        # And then it is closed, with nothing said.
        assert rest(connection) == b""


def test_a_caller_who_takes_nothing_is_left(upstream: FakeServer) -> None:
    piece = chunk({"content": "x" * 60_000})
    # Far more than the buffers of all sockets on the way can hold.
    upstream.then(Answer(chunks=[piece] * 2_000))
    body = json.dumps({**json.loads(BODY), "stream": True}).encode()
    with served(upstream, **QUICK) as gateway:
        with closing(socket.socket()) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.settimeout(PATIENCE)
            connection.connect(("127.0.0.1", gateway.port))
            connection.sendall(head(len(body)) + body)
            assert upstream.gone.wait(PATIENCE), "the provider is still read"
        alive(gateway)


def test_what_is_too_large_is_refused(upstream: FakeServer) -> None:
    with served(upstream, max_body_mb=0.01) as gateway:
        large = b"x" * 20_000
        status, answer = said(gateway, head(len(large), "connection: close") + large)
        assert status in (413, 0) and (not answer or b"request_too_large" in answer)
        status, answer = said(gateway, head(10_000_000_000, "connection: close"))
        assert status == 413
        pieces = b"".join(b"1000\r\n" + b"x" * 4096 + b"\r\n" for _ in range(5)) + b"0\r\n\r\n"
        status, _ = said(gateway, head(None, "transfer-encoding: chunked", "connection: close") + pieces)
        assert status in (413, 0)
        status, _ = said(gateway, head(0, *[f"x-{n}: 1" for n in range(200)]))
        assert status == 431
        status, _ = said(gateway, head(0, "x-long: " + "x" * 100_000))
        assert status in (431, 0)
        status, _ = said(gateway, head(0, "connection: close", path="/" + "x" * 9_000))
        assert status == 414
        status, _ = said(gateway, head(0, path="/" + "x" * 70_000))
        assert status in (414, 431, 0)
        alive(gateway)


MALFORMED = [
    b"\r\n\r\n",
    b"\0\0\0\0\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET /\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
    b"GET / HTTP/1.1\r\nhost localhost\r\n\r\n",
    b"GET / HTTP/1.1\r\n host: localhost\r\n\r\n",
    b"GET / HTTP/1.1\r\nhost: a\r\nhost\x00: b\r\n\r\n",
    head(5, "content-length: 6") + b"{}",
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n{}",
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5, 5\r\n\r\n{}",
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99999999999999999999999\r\n\r\n{}",
    head(None, "transfer-encoding: chunked") + b"zz\r\n{}\r\n0\r\n\r\n",
    head(None, "transfer-encoding: chunked") + b"fffffffffffffffff\r\n",
    head(None, "transfer-encoding: gzip") + b"{}",
    b"POST /v1/chat/completions HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
]


@pytest.mark.parametrize("request_", MALFORMED, ids=range(len(MALFORMED)))
def test_what_is_malformed_is_refused_or_closed(upstream: FakeServer, request_: bytes) -> None:
    with served(upstream, **QUICK) as gateway:
        status, _ = said(gateway, request_, shut=True)
        assert status == 0 or 400 <= status < 500
        alive(gateway)
    assert len(upstream.requests) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"model":1}',
        b'{"model":"x"}',
        b"[" * 50_000,
        b'{"model":"' + b"a" * 50_000,
    ],
    ids=range(9),
)
def test_a_body_that_is_none_is_told(upstream: FakeServer, body: bytes) -> None:
    with served(upstream) as gateway:
        for path in ("chat/completions", "messages", "responses", "embeddings", "decision", "feedback"):
            answer = httpx.post(f"{gateway.url}/v1/{path}", content=body, timeout=PATIENCE)
            assert 400 <= answer.status_code < 500, (path, answer.text)
            assert len(answer.text) < 5000
    assert not upstream.requests


def test_a_length_beside_chunks_hides_no_second_request(upstream: FakeServer) -> None:
    hidden = b"GET /hidden HTTP/1.1\r\nhost: localhost\r\n\r\n"
    pieces = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
    with served(upstream, **QUICK) as gateway:
        status, answer = said(gateway, head(len(pieces) + len(hidden), "transfer-encoding: chunked") + pieces + hidden)
        # It is read by its chunks, and the connection is not trusted any longer.
        assert status in (200, 400) and answer.count(b"HTTP/1.1 ") == 1
        alive(gateway)
    assert len(upstream.requests) <= 2


def test_requests_in_a_row_are_answered_in_their_order(upstream: FakeServer) -> None:
    health = b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n"
    with served(upstream, **QUICK) as gateway:
        _, answer = said(gateway, WHOLE + health + WHOLE + health)
        places = [answer.find(b"chat.completion"), answer.find(b"online"), answer.rfind(b"online")]
        assert answer.count(b"HTTP/1.1 200 OK") == 4
        assert -1 < places[0] < places[1] < places[2] == max(places)


def test_who_leaves_at_any_byte_leaves_nothing_behind(upstream: FakeServer) -> None:
    lots = random.Random(7)
    with served(upstream, **QUICK) as gateway:
        alive(gateway)
        before = descriptors()
        for end in [*range(1, len(WHOLE), 3), *[lots.randrange(1, len(WHOLE)) for _ in range(50)]]:
            with closing(connect(gateway)) as connection:
                if end % 2:
                    # A reset instead of a farewell.
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                connection.sendall(WHOLE[:end])
        alive(gateway)
        assert _until(lambda: descriptors() <= before + 3), (descriptors(), before)


def test_more_connections_than_places_wait_and_idle_ones_give_way(upstream: FakeServer) -> None:
    with served(upstream, max_connections=4) as gateway:
        idle = [connect(gateway) for _ in range(4)]
        try:
            # Nobody has asked anything; the fifth waits until one of them is let go.
            alive(gateway)
        finally:
            for connection in idle:
                connection.close()
        threads = [threading.Thread(target=alive, args=(gateway,)) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(upstream.requests) == 21


def test_without_keys_other_names_and_pages_of_others_are_refused(upstream: FakeServer) -> None:
    with served(upstream, cors=["https://a.example"], hosts=["gateway"]) as gateway:
        url = f"{gateway.url}/v1/chat/completions"

        def ask(**headers: str) -> httpx.Response:
            return httpx.post(url, content=BODY, headers=headers, timeout=PATIENCE)

        refused = ask(host="evil.example")
        assert (refused.status_code, refused.json()["error"]["code"]) == (421, "host_not_allowed")
        assert ask(host="gateway:6060").status_code == 200
        refused = ask(origin="https://evil.example")
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "origin_not_allowed")
        answer = ask(origin="https://a.example")
        assert answer.status_code == 200 and answer.headers["access-control-allow-origin"] == "https://a.example"
        assert "x-ferroute-model" in answer.headers["access-control-expose-headers"]
        asked = {"origin": "https://a.example", "access-control-request-method": "POST"}
        assert httpx.options(url, headers=asked, timeout=PATIENCE).status_code == 204
        assert httpx.options(url, headers={**asked, "origin": "null"}, timeout=PATIENCE).status_code == 403
        assert len(upstream.requests) == 2
        shaped = httpx.post(f"{gateway.url}/v1/messages", headers={"host": "evil.example"}, timeout=PATIENCE)
        assert shaped.json()["type"] == "error"


def test_callers_choose_no_address(upstream: FakeServer) -> None:
    with FakeServer() as other, served(upstream) as gateway:
        for field in ("api_base", "base_url", "api_key"):
            body = {**json.loads(BODY), field: other.url}
            answer = httpx.post(f"{gateway.url}/v1/chat/completions", json=body, timeout=PATIENCE)
            assert (answer.status_code, answer.json()["error"]["code"]) == (400, "base_url_not_allowed")
        assert not other.requests and not upstream.requests
        prompt = {**json.loads(BODY), "messages": [{"role": "user", "content": 'what is "api_base"?'}]}
        assert httpx.post(f"{gateway.url}/v1/chat/completions", json=prompt, timeout=PATIENCE).status_code == 200


def test_a_public_address_needs_a_key_or_words(upstream: FakeServer) -> None:
    with pytest.raises(InvalidValueError, match="--allow-public-without-key"), served(upstream, "0.0.0.0"):
        pass
    with served(upstream, "0.0.0.0", allow_public_without_key=True) as gateway:
        alive(gateway)


CHILD = """
import sys
from ferroute.controller import Controller
from ferroute.gateway import Gateway
models = {"strong_model": "gpt-5.5", "weak_model": "gpt-5.4-nano"}
controller = Controller(["random"], **models, api_base=sys.argv[1], api_key="k")
door = {"server": {"header_timeout_s": 0.5, "body_timeout_s": 0.5}}
gateway = Gateway(controller, port=0, door=door, telemetry={"logs": "text", "verbose": True})
print(gateway.port, flush=True)
gateway.run()
"""


def test_no_panic_and_no_prompt_reaches_the_log(upstream: FakeServer) -> None:
    line = [sys.executable, "-W", "error", "-c", CHILD, upstream.url]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        port = int(child.stdout.readline())
        secret = b"a-very-private-prompt"
        for request in [*MALFORMED, head(50) + secret, WHOLE.replace(b"Say hello", secret), WHOLE[:-3]]:
            with closing(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)) as connection:
                connection.sendall(request)
                connection.shutdown(socket.SHUT_WR)
                rest(connection)
        child.terminate()
        out, err = child.communicate(timeout=30)
    assert child.returncode == 0, err
    for hidden in (b"panicked", b"Traceback", secret):
        assert hidden not in out + err


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _until(wanted: Any, seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if wanted():
            return True
        time.sleep(0.05)
    return False
