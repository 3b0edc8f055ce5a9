"""Chat completions against a local server: what is sent, what comes back, and what happens when it goes wrong."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import enum
import gc
import json
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from fakeserver import Answer, FakeServer, chunk, completion, event
from ferroute import _json, responses
from ferroute.completions import acompletion
from ferroute.completions import completion as complete
from ferroute.errors import InvalidTypeError, InvalidValueError, NotBuiltError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "sk-very-secret-1234567890"
TLS = Path(__file__).parent / "goldens" / "tls"
HELLO = [{"role": "user", "content": "Say hello"}]


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server


def ask(server: FakeServer, **kwargs: Any) -> Any:
    kwargs = {"model": "openai/big", "messages": HELLO, "api_base": server.url, "api_key": KEY, **kwargs}
    return complete(**kwargs)


async def aask(server: FakeServer, **kwargs: Any) -> Any:
    kwargs = {"model": "openai/big", "messages": HELLO, "api_base": server.url, "api_key": KEY, **kwargs}
    return await acompletion(**kwargs)


# --- what comes back ---


def test_answer_is_openais_and_reads_like_a_dict(server: FakeServer) -> None:
    r = ask(server)
    assert isinstance(r, ChatCompletion)
    assert r.choices[0].message.content == r["choices"][0]["message"]["content"] == "Hello"
    assert r["choices"][0].message["content"] == "Hello"
    assert r["model"] == r.model == "big"
    assert r.usage.total_tokens == r["usage"]["total_tokens"] == 11
    assert "usage" in r and "service_tier" not in r and "nonsense" not in r
    assert r.get("service_tier", "none") == "none" and r["service_tier"] is None
    with pytest.raises(KeyError, match="nonsense"):
        r["nonsense"]
    assert r._request_id == "req-1"


def test_routing_stays_out_of_the_dump(server: FakeServer) -> None:
    r = ask(server)
    assert r.routing.model == "openai/big" and r.routing.router is None
    before = r.model_dump()
    assert responses.attach(r, {"model": "big"}) is r
    assert r.routing == {"model": "big"}
    assert r.model_dump() == before and "routing" not in r.model_dump_json()
    for other in (pickle.loads(pickle.dumps(r)), copy.deepcopy(r)):
        assert type(other) is type(r) and other == r and other.routing == r.routing
        assert other["choices"][0]["message"]["content"] == "Hello"


def test_attach_to_something_else() -> None:
    assert responses.attach({"a": 1}, "d") == {"a": 1}
    assert responses.attach(None, "d") is None

    class Patched:
        routing: Any

    assert responses.attach(Patched(), "d").routing == "d"


def test_unknown_fields_survive(server: FakeServer) -> None:
    body = completion(reasoning_content="hm")
    body["x_new"] = {"a": [1]}
    server.then(Answer(body=json.dumps(body).encode()))
    r = ask(server)
    assert r.x_new == r["x_new"] == {"a": [1]}
    assert r.choices[0].message["reasoning_content"] == "hm"


def test_answer_that_does_not_fit_is_still_returned(server: FakeServer) -> None:
    server.then(Answer(body=json.dumps(completion(finish=None)).encode()))
    r = ask(server)
    assert r.choices[0].finish_reason is None
    assert "id" in r
    assert r["choices"][0]["message"]["content"] == "Hello"
    responses.attach(r, 1)
    assert r.routing == 1 and "_routing" not in r.model_dump(warnings=False)


def test_reasons_to_stop_are_openais(server: FakeServer) -> None:
    for native, word, kept in (
        ("eos", "stop", None),
        ("error", "stop", "error"),
        ("model_length", "length", "model_length"),
    ):
        server.then(Answer(body=json.dumps(completion(finish=native)).encode()))
        choice = ask(server).choices[0]
        assert (choice.finish_reason, getattr(choice, "native_finish_reason", None)) == (word, kept)


def test_tools(server: FakeServer) -> None:
    call = {"id": "call_7", "type": "function", "function": {"name": "lookup", "arguments": '{"q":'}}
    server.then(Answer(body=json.dumps(completion(content=None, finish="tool_calls", tool_calls=[call])).encode()))
    tools = [{"type": "function", "function": {"name": "lookup", "parameters": {"type": "object"}}}]
    r = ask(server, tools=tools, tool_choice="auto")
    assert r.choices[0].message.tool_calls[0].function.arguments == '{"q":'
    assert r["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "lookup"
    assert server.requests[0].json["tools"] == tools
    # The answer goes back into a conversation as it is, without fields that were not in it.
    ask(
        server, messages=[*HELLO, r.choices[0].message, {"role": "tool", "tool_call_id": "call_7", "content": "a bird"}]
    )
    sent = server.requests[1].json["messages"][1]
    assert sent == {"role": "assistant", "content": None, "tool_calls": [call]}


# --- what is sent ---


def test_body_is_untouched(server: FakeServer) -> None:
    messages = [{"content": 'é漢🦀 " \\ \u2028', "role": "user", "zz": 1, "aa": [1.5, None, True]}]
    ask(server, messages=messages, z_unknown={"b": 1, "a": 2}, temperature=0, stop=None, n=openai.NOT_GIVEN)
    expected = {"model": "big", "messages": messages, "z_unknown": {"b": 1, "a": 2}, "temperature": 0}
    assert server.requests[0].body == json.dumps(expected, ensure_ascii=False, separators=(",", ":")).encode()
    assert server.requests[0].path == "/v1/chat/completions"
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"


def test_client_keywords_are_not_sent(server: FakeServer) -> None:
    ask(
        server, organization="org", timeout=5, max_retries=1, extra_headers={"X-A": "b", "authorization": "Bearer own"},
        extra_query={"q": "1 2"}, extra_body={"extra": None, "temperature": 1}, api_version="v9", temperature=0,
    )  # fmt: skip
    request = server.requests[0]
    assert request.json == {"model": "big", "messages": HELLO, "temperature": 1, "extra": None}
    assert request.headers["openai-organization"] == "org"
    assert request.headers["x-a"] == "b" and request.headers["authorization"] == "Bearer own"
    assert request.target == "/v1/chat/completions?q=1+2&api-version=v9"


def test_model_names(server: FakeServer) -> None:
    for model in ("openai/big", "meta-llama/Llama-3", "hosted_vllm/a/b"):
        ask(server, model=model)
    assert [request.json["model"] for request in server.requests] == ["big", "meta-llama/Llama-3", "a/b"]


def test_extra_body_may_name_the_stream(server: FakeServer) -> None:
    assert len(list(ask(server, extra_body={"stream": True}))) == 5


class Color(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Part:
    type: str
    text: str


def test_objects_in_messages(server: FakeServer) -> None:
    content = [Part("text", "hi"), {"n": np.int64(3), "x": np.float32(0.5), "v": np.arange(2), "c": Color.RED}]
    ask(server, messages=({"role": "user", "content": content},))
    sent = server.requests[0].json["messages"][0]["content"]
    assert sent == [{"type": "text", "text": "hi"}, {"n": 3, "x": 0.5, "v": [0, 1], "c": "red"}]


def test_broken_unicode_is_repaired(server: FakeServer) -> None:
    ask(server, messages=[{"role": "user", "content": "a\ud83d b \ud83e\udd80 \udc00"}])
    assert server.requests[0].json["messages"][0]["content"] == "a\ufffd b 🦀 \ufffd"


@pytest.mark.parametrize(
    ("content", "error", "where"),
    [
        (object(), InvalidTypeError, r"messages\[0\].content .*object"),
        ([{"a": {1, 2}}], InvalidTypeError, r"messages\[0\].content\[0\].a .*set"),
        (b"bytes", InvalidTypeError, r"messages\[0\].content .*bytes"),
        ({"x": float("nan")}, InvalidValueError, r"messages\[0\].content.x"),
        ({(1, 2): 3}, InvalidTypeError, r"messages\[0\].content"),
    ],
)
def test_what_json_cannot_hold(server: FakeServer, content: Any, error: type[Exception], where: str) -> None:
    with pytest.raises(error, match=where):
        ask(server, messages=[{"role": "user", "content": content}])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), json_values, max_size=4))
def test_json_goes_in_as_it_is(body: dict[str, Any]) -> None:
    sent = _json.encode(body)
    assert json.loads(sent) == body
    assert sent == json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


@given(st.text(st.characters(codec=None, categories=["Cs", "Ll"])))
def test_any_text_becomes_unicode(text: str) -> None:
    sent = json.loads(_json.encode({"a": text}))["a"]
    assert sent == text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def test_messages_that_contain_themselves(server: FakeServer) -> None:
    loop: list[Any] = []
    loop.append(loop)
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for content in (loop, deep):
        with pytest.raises(InvalidValueError, match="cannot be sent"):
            ask(server, messages=[{"role": "user", "content": content}])


def test_wrong_arguments(server: FakeServer) -> None:
    for wrong in (
        {"messages": "hi"},
        {"messages": None},
        {"model": 3},
        {"timeout": "1"},
        {"max_retries": 1.5},
        {"extra_headers": 3},
        {"extra_body": 3},
        {"api_key": 3},
    ):
        with pytest.raises(InvalidTypeError, match=next(iter(wrong))):
            ask(server, **wrong)
    for wrong in (
        {"timeout": 0},
        {"timeout": -1.0},
        {"timeout": 10**400},
        {"max_retries": -1},
        {"max_retries": 10**5000},
        {"model": ""},
        {"extra_headers": {"a b": "c"}},
    ):
        with pytest.raises(InvalidValueError):
            ask(server, **wrong)
    with pytest.raises(TypeError, match="messages"):
        complete(model="openai/big")  # type: ignore[call-arg]
    assert not server.requests


@pytest.mark.parametrize("make", ["completion", "Client", "Embedder"])
@pytest.mark.parametrize("name", ["api_key", "organization", "api_base", "extra_headers", "extra_query"])
def test_broken_unicode_in_a_keyword_is_not_shown(make: str, name: str) -> None:
    from ferroute import _core

    broken: Any = f"{KEY}\ud800"
    broken = {"a": broken} if name.startswith("extra") else broken

    def call(model: str, **given: Any) -> Any:
        made = getattr(_core, make, None)
        return made(model, **given) if made else complete(model=model, messages=HELLO, **given)

    with pytest.raises(InvalidValueError, match=f"`{name}` is not valid Unicode") as caught:
        call("openai/big", **{name: broken})
    check_no_key(caught.value)
    assert caught.value.__context__ is None


def test_wrong_retries_of_a_client() -> None:
    from ferroute._core import Client

    for wrong in (-1, 1001, 2**40, 10**5000):
        with pytest.raises(InvalidValueError, match="`max_retries` must be a whole number from 0 to 1000"):
            Client("openai/x", api_key="k", max_retries=wrong)
    with pytest.raises(TypeError, match="max_retries"):
        Client("openai/x", api_key="k", max_retries=1.5)  # type: ignore[arg-type]


def test_providers_that_cannot_be_called() -> None:
    with pytest.raises(UnknownNameError, match="openrouter"):
        complete(model="mixtral", messages=HELLO)
    with pytest.raises(InvalidValueError, match="ANTHROPIC_API_KEY"):
        complete(model="anthropic/claude-x", messages=HELLO)
    with pytest.raises(NotBuiltError, match="OpenAI-compatible"):
        complete(model="bedrock/anthropic.claude-x", messages=HELLO)
    with pytest.raises(NotBuiltError, match="closed in 2024"):
        complete(model="anyscale/a/b", messages=HELLO)


def test_environment_is_read_at_call_time(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidValueError, match="OPENAI_API_KEY"):
        complete(model="gpt-4", messages=HELLO)
    monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/other/")
    monkeypatch.setenv("OPENAI_API_KEY", "from-env")
    complete(model="gpt-4", messages=HELLO)
    assert server.requests[0].path == "/other/chat/completions"
    assert server.requests[0].headers["authorization"] == "Bearer from-env"


# --- streams ---


def test_stream(server: FakeServer) -> None:
    tools = [
        chunk({"tool_calls": [{"index": 0, "id": "call_1", "function": {"name": "f", "arguments": ""}}]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"a"'}}]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]}),
        chunk({}, "tool_calls"),
        event({"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [],
               "usage": {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10}}),
        b": keep-alive\n\n", b"data: [DONE]\r\n\r\n",
    ]  # fmt: skip
    server.then(Answer(chunks=tools))
    stream = ask(server, stream=True, stream_options={"include_usage": True})
    stream.routing = "decision"
    assert stream.usage is None
    chunks = list(stream)
    assert all(isinstance(part, ChatCompletionChunk) for part in chunks)
    arguments = "".join(c.choices[0].delta.tool_calls[0].function.arguments for c in chunks[:3])
    assert arguments == '{"a":1}' and chunks[0]["choices"][0]["delta"]["tool_calls"][0]["id"] == "call_1"
    assert stream.usage.total_tokens == 10 and stream.routing == "decision"
    assert list(stream) == []
    assert server.requests[0].json == {
        "model": "big",
        "messages": HELLO,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def test_async_stream(server: FakeServer) -> None:
    stream = await aask(server, stream=True)
    text = "".join([part.choices[0].delta.content or "" async for part in stream])
    assert text == "w0 w1 w2 "
    async with await aask(server, stream=True) as stream:
        assert (await anext(stream))["choices"][0]["delta"]["role"] == "assistant"
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
    await stream.aclose()


def test_split_anywhere(server: FakeServer) -> None:
    whole = b"".join(
        [chunk({"content": "é漢🦀"}), b": x\r\n\r\n", chunk({"content": "z"}, "stop"), b"data: [DONE]\n\n"]
    )
    server.then(Answer(chunks=[whole[i : i + 1] for i in range(len(whole))]))
    assert [part.choices[0].delta.content for part in ask(server, stream=True)] == ["é漢🦀", "z"]


def test_stream_cut(server: FakeServer) -> None:
    cut = Answer(chunks=[chunk({"content": "a"}), chunk({"content": "b"})], cut=True)
    ended = Answer(chunks=[chunk({"content": "a"}), chunk({"content": "b"})])
    for answer in (cut, ended):
        server.then(answer)
        stream = ask(server, stream=True)
        assert [next(stream).choices[0].delta.content for _ in range(2)] == ["a", "b"]
        with pytest.raises(openai.APIConnectionError, match="cut") as caught:
            next(stream)
        check_no_key(caught.value)
    assert len(server.requests) == 2  # nothing is repeated after the first chunk


def test_stream_without_end_mark_but_finished(server: FakeServer) -> None:
    for cut in (False, True):
        server.then(Answer(chunks=[chunk({"content": "a"}), chunk({}, "stop")], cut=cut))
        assert len(list(ask(server, stream=True))) == 2


@pytest.mark.parametrize(
    ("last", "error"),
    [
        (event({"error": {"message": "broken", "code": "server_error"}}), openai.InternalServerError),
        (event({"error": {"message": "slow", "code": 429}}), openai.RateLimitError),
        (b"data: {not json\n\n", openai.APIConnectionError),
        (b"data: [1]\n\n", openai.APIConnectionError),
        (b"data: \xff\xfe\n\n", openai.APIConnectionError),
    ],
)
async def test_stream_breaks(server: FakeServer, last: bytes, error: type[Exception]) -> None:
    server.then(Answer(chunks=[chunk({"content": "a"}), last]), Answer(chunks=[chunk({"content": "a"}), last]))
    stream = ask(server, stream=True)
    assert next(stream).choices[0].delta.content == "a"
    with pytest.raises(error):
        next(stream)
    with pytest.raises(StopIteration):
        next(stream)
    astream = await aask(server, stream=True)
    await anext(astream)
    with pytest.raises(error):
        await anext(astream)


def test_json_where_a_stream_was_asked(server: FakeServer) -> None:
    whole = completion()
    server.then(Answer(body=json.dumps(whole).encode()), Answer(body=b'{"error":{"message":"no","code":402}}'))
    chunks = list(ask(server, stream=True))
    assert chunks[0].choices[0].delta.content == whole["choices"][0]["message"]["content"]
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None, "stop"]
    with pytest.raises(openai.APIStatusError) as caught:
        ask(server, stream=True)
    assert caught.value.status_code == 402


def slow_stream() -> Answer:
    return Answer(chunks=[chunk({"content": "a"})] * 100, chunk_delay=0.05)


@pytest.mark.parametrize("way", ["close", "with", "drop"])
def test_leaving_a_stream_closes_the_connection(server: FakeServer, way: str) -> None:
    server.then(slow_stream())
    stream = ask(server, stream=True)
    next(stream)
    if way == "close":
        stream.close()
        stream.close()
        assert list(stream) == []
    elif way == "with":
        with stream:
            pass
    else:
        del stream
        gc.collect()
    assert server.gone.wait(1)


@pytest.mark.parametrize("way", ["aclose", "cancel", "drop"])
async def test_leaving_an_async_stream_closes_the_connection(server: FakeServer, way: str) -> None:
    server.then(Answer(chunks=[chunk({"content": "a"})] * 100, chunk_delay=0.5))
    stream = await aask(server, stream=True)
    await anext(stream)
    if way == "aclose":
        await stream.aclose()
    elif way == "cancel":
        task = asyncio.create_task(anext(stream))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    else:
        del stream
        gc.collect()
    assert await asyncio.to_thread(server.gone.wait, 1)


def test_close_from_another_thread(server: FakeServer) -> None:
    server.then(Answer(chunks=[chunk({"content": "a"}), b": nothing more\n\n"], chunk_delay=5))
    stream = ask(server, stream=True)
    next(stream)
    threading.Timer(0.1, stream.close).start()
    start = time.monotonic()
    assert list(stream) == []
    assert time.monotonic() - start < 2


async def test_two_readers_of_one_stream(server: FakeServer) -> None:
    server.then(Answer(chunks=[chunk({"content": "a"}), chunk({"content": "b"}, "stop")], chunk_delay=0.2))
    stream = await aask(server, stream=True)
    await anext(stream)
    first = asyncio.create_task(anext(stream))
    await asyncio.sleep(0.02)
    with pytest.raises(InvalidValueError, match="already waiting"):
        await anext(stream)
    assert (await first).choices[0].delta.content == "b"


# --- failures ---

STATUSES = [
    (400, openai.BadRequestError), (401, openai.AuthenticationError), (402, openai.APIStatusError),
    (403, openai.PermissionDeniedError), (404, openai.NotFoundError), (409, openai.ConflictError),
    (422, openai.UnprocessableEntityError), (429, openai.RateLimitError), (500, openai.InternalServerError),
    (529, openai.InternalServerError), (307, openai.APIStatusError),
]  # fmt: skip


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("status", "error"), STATUSES)
def test_error_statuses(server: FakeServer, status: int, error: type[Exception], stream: bool) -> None:
    server.then(Answer(status=status, headers={"location": "http://127.0.0.1:9/"}))
    with pytest.raises(error) as caught:
        ask(server, max_retries=0, stream=stream)
    e: Any = caught.value
    assert type(e) is error and e.status_code == status
    assert e.code == "some_code" and e.param == "p" and e.type == "some_type"
    assert e.message == f"Error code: {status} - status {status}"
    assert e.request_id == "req-1" and e.response.headers["x-request-id"] == "req-1"
    assert type(e.response).__name__ == "Response" and e.response.json()["error"]["code"] == "some_code"
    assert str(e.request.url) == f"{server.url}/v1/chat/completions"
    check_no_key(e)


def test_same_error_as_the_openai_client(server: FakeServer) -> None:
    theirs = openai.OpenAI(base_url=f"{server.url}/v1", api_key=KEY, max_retries=0)
    for body in (
        b'{"error":{"message":"m","code":"c","param":null,"type":"t"}}',
        b'{"detail":"x"}',
        b"plain text",
        b"",
        b'"json"',
        b"[1]",
    ):
        server.then(Answer(status=400, body=body), Answer(status=400, body=body))
        with pytest.raises(openai.BadRequestError) as expected:
            theirs.chat.completions.create(model="big", messages=HELLO)  # type: ignore[arg-type]
        with pytest.raises(openai.BadRequestError) as caught:
            ask(server)
        for name in ("message", "body", "code", "param", "type", "args", "status_code"):
            assert getattr(caught.value, name) == getattr(expected.value, name), (body, name)
    theirs.close()


def test_not_json(server: FakeServer) -> None:
    for body in (b"<html>", b"", b"[1]", b"3"):
        # Once more, and then no more.
        server.then(Answer(body=body), Answer(body=body))
        with pytest.raises(openai.APIResponseValidationError) as caught:
            ask(server)
        check_no_key(caught.value)
    assert len(server.requests) == 8


def test_error_under_status_200(server: FakeServer) -> None:
    server.then(Answer(body=b'{"error":{"message":"no credit","code":402}}'))
    with pytest.raises(openai.APIStatusError, match="no credit") as caught:
        ask(server)
    assert caught.value.status_code == 402


def test_key_repeated_by_the_server_is_blanked(server: FakeServer) -> None:
    server.then(Answer(status=401, body=json.dumps({"error": {"message": f"wrong key {KEY}"}}).encode()))
    with pytest.raises(openai.AuthenticationError, match=r"wrong key \[key\]") as caught:
        ask(server)
    check_no_key(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        b"\xff " + KEY.encode(),
        json.dumps({"error": {"message": KEY}}).replace("-", "\\u002d").encode(),
        b'{"error":{"message":"\\ud800 sk\\u002dvery-secret-1234567890"}}',
        json.dumps({"error": {"message": "the header says azure-secret"}}).encode(),
    ],
)
def test_nothing_secret_is_left_of_an_answer(server: FakeServer, body: bytes) -> None:
    headers = {"x-echo": f"Bearer {KEY}", "location": f"http://x/?key={KEY}&more=azure-secret"}
    server.then(Answer(status=400, headers=headers, body=body))
    with pytest.raises(openai.BadRequestError) as caught:
        ask(server, extra_headers={"api-key": "azure-secret"})
    check_no_key(caught.value)
    response = caught.value.response
    assert "azure-secret" not in f"{caught.value} {response.headers} {response.text} {caught.value.body}"
    assert KEY not in f"{caught.value.body} {response.text}"


def test_unknown_error_under_status_200_is_retried_once(server: FakeServer) -> None:
    server.then(*[Answer(body=b'{"error":{"message":"odd","type":"odd"}}')] * 2)
    with pytest.raises(openai.InternalServerError, match="odd"):
        ask(server)
    assert len(server.requests) == 2
    server.then(*[Answer(body=b'{"error":{"message":"no such model","type":"invalid_request_error"}}')] * 2)
    with pytest.raises(openai.BadRequestError):
        ask(server)
    server.then(Answer(body=b'{"error":{"message":"no such key","type":"authentication_error"}}'))
    with pytest.raises(openai.AuthenticationError):
        ask(server)
    assert len(server.requests) == 5


@pytest.mark.parametrize("stream", [False, True])
def test_bodies_that_nest_without_end(server: FakeServer, stream: bool) -> None:
    deep = b"[" * 2000 + b"]" * 2000
    for body in (deep, b'{"error":' + deep + b"}", b'{"error":{"message":"too much","more":' + deep + b"}}"):
        server.then(Answer(status=400, body=body))
        with pytest.raises(openai.BadRequestError, match=r"Error code: 400|status 400") as caught:
            ask(server, stream=stream)
        check_no_key(caught.value)
    whole = json.dumps(completion()).encode()
    for body in (whole[:-1] + b',"more":' + deep + b"}", b'{"more":' + deep + b"," + whole[1:]):
        server.then(Answer(body=body), Answer(body=body))
        with pytest.raises((openai.APIResponseValidationError, openai.APIConnectionError), match="JSON"):
            ask(server, stream=stream)


def test_a_chunk_that_nests_without_end(server: FakeServer) -> None:
    deep = b'data: {"choices":[],"more":' + b"[" * 2000 + b"]" * 2000 + b"}\n\n"
    server.then(Answer(chunks=[chunk({"content": "so far"}), deep]))
    stream = ask(server, stream=True)
    next(stream)
    with pytest.raises(openai.APIConnectionError, match="deep") as caught:
        next(stream)
    assert caught.value.partial_text == "so far"  # type: ignore[attr-defined]
    assert list(stream) == []


def test_whole_numbers_of_any_length(server: FakeServer) -> None:
    digits = b"9" * 5000
    server.then(Answer(status=400, body=b'{"error":{"message":"too much","code":' + digits + b"}}"))
    with pytest.raises(openai.BadRequestError, match="Error code: 400 - too much"):
        ask(server)
    more = b'{"x":' + digits + b","
    server.then(Answer(body=more + json.dumps(completion()).encode()[1:]))
    assert ask(server).choices[0].message.content == "Hello"
    said = chunk({"content": "a"}, "stop").replace(b"{", more, 1)
    server.then(Answer(chunks=[said, b"data: [DONE]\n\n"]))
    assert [piece.choices[0].delta.content for piece in ask(server, stream=True)] == ["a"]


def test_half_of_a_pair_is_no_reason_to_fail(server: FakeServer) -> None:
    body = json.dumps(completion(content="owl \ud83e")).encode()
    server.then(Answer(body=body))
    assert ask(server).choices[0].message.content == "owl \ufffd"
    halves = [
        b'data: {"choices":[{"index":0,"delta":{"content":"%s"},"finish_reason":%s}]}\n\n' % piece
        for piece in ((rb"owl \ud83e", b"null"), (rb"\udd89", b'"stop"'))
    ]
    server.then(Answer(chunks=halves))
    assert "".join(piece.choices[0].delta.content for piece in ask(server, stream=True)) == "owl \U0001f989"


def test_an_answer_without_a_choice_is_none(server: FakeServer) -> None:
    for body in (b"{}", b'{"detail":"x"}', b'{"choices":[]}', b'{"choices":[{}]}'):
        server.then(Answer(body=body), Answer())
        assert ask(server).routing.attempts == 2
    server.then(Answer(chunks=[b"data: [DONE]\n\n"]), Answer())
    stream = ask(server, stream=True)
    assert "".join(piece.choices[0].delta.content or "" for piece in stream) and stream.routing.attempts == 2


def test_a_closed_service_is_asked_elsewhere(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANYSCALE_API_BASE", server.url)
    monkeypatch.setenv("ANYSCALE_API_KEY", "k")
    model = "anyscale/mistralai/Mixtral-8x7B-Instruct-v0.1"
    assert complete(model=model, messages=HELLO).choices[0].message.content == "Hello"
    monkeypatch.setenv("FERROUTE_ANYSCALE", "hosted_vllm")
    monkeypatch.setenv("HOSTED_VLLM_API_BASE", server.url)
    with pytest.warns(UserWarning, match="asked as `hosted_vllm/mistralai/Mixtral"):
        complete(model=model, messages=HELLO)
    complete(model=model, messages=HELLO)  # once is enough: pytest makes an error of any other
    assert [request.json["model"] for request in server.requests] == ["mistralai/Mixtral-8x7B-Instruct-v0.1"] * 3


async def test_nobody_there(server: FakeServer) -> None:
    for kwargs in ({}, {"stream": True}):
        with pytest.raises(openai.APIConnectionError, match=r"127\.0\.0\.1:9") as caught:
            await aask(server, api_base="http://127.0.0.1:9/path?token=hunter2", max_retries=0, **kwargs)
        check_no_key(caught.value)
        assert "hunter2" not in "".join(traceback.format_exception_only(caught.value))
    with pytest.raises(InvalidValueError, match="line break") as refused:
        await aask(server, api_key=f"{KEY}\n")
    check_no_key(refused.value)


@pytest.mark.parametrize("kind", ["float", "httpx"])
async def test_timeouts(server: FakeServer, kind: str) -> None:
    timeout = 0.2 if kind == "float" else openai.Timeout(60, read=0.2)
    server.then(Answer(delay=5), Answer(delay=5), Answer(chunks=[chunk({"content": "a"})] * 2, chunk_delay=5))
    start = time.monotonic()
    with pytest.raises(openai.APITimeoutError, match=r"0\.2 s") as caught:
        ask(server, timeout=timeout, max_retries=0)
    check_no_key(caught.value)
    with pytest.raises(openai.APITimeoutError):
        await aask(server, timeout=timeout, max_retries=0)
    stream = ask(server, timeout=timeout, max_retries=0, stream=True)
    next(stream)
    with pytest.raises(openai.APITimeoutError):
        next(stream)
    assert time.monotonic() - start < 3


@pytest.mark.parametrize("stream", [False, True])
def test_retries_are_counted(server: FakeServer, stream: bool) -> None:
    again = Answer(status=429, headers={"retry-after-ms": "5"})
    for retries, failures in ((0, 1), (1, 2), (2, 3), (4, 5)):
        server.requests.clear()
        server.then(*[again] * failures)
        with pytest.raises(openai.RateLimitError):
            ask(server, max_retries=retries, stream=stream)
        assert len(server.requests) == retries + 1
    server.requests.clear()
    server.then(again, again)
    assert ask(server, stream=stream)
    assert len(server.requests) == 3  # two retries by default
    assert len({request.body for request in server.requests}) == 1


def test_what_is_not_retried(server: FakeServer) -> None:
    server.then(
        Answer(status=400),
        Answer(status=500, headers={"x-should-retry": "false"}),
        Answer(status=429, headers={"retry-after": "3600"}),
    )
    for _ in range(3):
        with pytest.raises(openai.APIStatusError):
            ask(server)
    assert len(server.requests) == 3


def test_answer_cut_in_the_middle_is_retried(server: FakeServer) -> None:
    server.then(Answer(body=json.dumps(completion()).encode(), cut=True))
    assert ask(server).choices[0].message.content == "Hello"
    assert len(server.requests) == 2


def test_connections_are_reused(server: FakeServer) -> None:
    for _ in range(20):
        ask(server)
    list(ask(server, stream=True))
    list(ask(server, stream=True))
    # One of the calling thread's own; a stream's is free again only when its last bytes were read.
    assert len(server.requests) == 22 and server.connections <= 3


async def test_cancelled_call_closes_the_connection(server: FakeServer) -> None:
    server.then(Answer(delay=10))
    task = asyncio.create_task(aask(server))
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(server.gone.wait, 1)


async def test_loop_is_not_blocked(server: FakeServer) -> None:
    server.then(*[Answer(delay=0.3)] * 20)
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticking = asyncio.create_task(tick())
    start = time.monotonic()
    await asyncio.gather(*(aask(server) for _ in range(20)))
    assert time.monotonic() - start < 2 and ticks > 10
    ticking.cancel()


# --- threads, processes, signals ---


def test_threads(server: FakeServer) -> None:
    seen: list[str] = []

    def work(name: str) -> None:
        for _ in range(10):
            seen.append(ask(server, model=f"openai/{name}").model)
            assert len(list(ask(server, stream=True))) == 5

    threads = [threading.Thread(target=work, args=(f"m{i}",)) for i in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == sorted(f"m{i}" for i in range(16) for _ in range(10))


def test_proxy_is_used(server: FakeServer) -> None:
    code = "print(ask().choices[0].message.content)"
    env = {**os.environ, "http_proxy": server.url, "no_proxy": ""}
    out, err = run(code, "http://example.invalid/v1", env=env).communicate(timeout=60)
    assert out.strip() == "Hello", err
    assert server.requests[0].target == "http://example.invalid/v1/chat/completions"


def test_certificate_file_is_used() -> None:
    code = "print(ask(max_retries=0).choices[0].message.content)"
    with FakeServer(tls=(TLS / "server.pem", TLS / "server.key")) as server:
        known = {**os.environ, "SSL_CERT_FILE": str(TLS / "ca.pem")}
        out, err = run(code, server.url, env=known).communicate(timeout=60)
        assert out.strip() == "Hello", err
        out, err = run(code, server.url).communicate(timeout=60)
        assert "APIConnectionError" in err
        assert "certificate" in err
        assert len(server.requests) == 1


def test_without_certificates_the_reason_is_told() -> None:
    env = {**os.environ, "SSL_CERT_FILE": "/nonexistent", "SSL_CERT_DIR": "/nonexistent"}
    _, err = run("ask(max_retries=0)", "https://127.0.0.1:9", env=env).communicate(timeout=60)
    assert "MissingFileError" in err and "No CA certificates were loaded" in err and "SSL_CERT_FILE" in err


def run(code: str, url: str, **kwargs: Any) -> subprocess.Popen[str]:
    setup = f"""
        from ferroute.completions import completion, acompletion
        KEY = {KEY!r}
        def ask(**more):
            return completion(model="openai/big", messages=[], api_base={url!r}, api_key=KEY, **more)
    """
    source = textwrap.dedent(setup) + textwrap.dedent(code)
    return subprocess.Popen(
        [sys.executable, "-c", source], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kwargs
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fork(server: FakeServer) -> None:
    code = """
        import os, sys
        assert ask().model == "big"
        stream = ask(stream=True)
        next(stream)
        pid = os.fork()
        if pid == 0:
            try:
                next(stream)
            except ValueError as error:
                refused = "process" in str(error)
            del stream
            ok = ask().model == "big" and len(list(ask(stream=True))) == 5
            os._exit(0 if ok and refused else 3)
        assert os.waitpid(pid, 0)[1] == 0
        assert len(list(stream)) == 4
        assert ask().model == "big"
        print("fine")
    """
    out, err = run(code, server.url).communicate(timeout=60)
    assert out.strip() == "fine", err


@pytest.mark.parametrize(
    "what", ["ask()", "next(ask(stream=True))", "[next(s) for s in [ask(stream=True)] for _ in range(9)]"]
)
def test_ctrl_c(server: FakeServer, what: str) -> None:
    slow = Answer(delay=30) if "range" not in what else Answer(chunks=[chunk({"content": "a"})] * 2, chunk_delay=30)
    server.then(slow)
    child = run(f"try:\n    {what}\nexcept KeyboardInterrupt:\n    print('stopped')\n", server.url)
    deadline = time.monotonic() + 20
    while not server.requests and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.3)
    start = time.monotonic()
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=20)
    assert out.strip() == "stopped", err
    assert server.gone.wait(1) and time.monotonic() - start < 2


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="needs signals")
def test_a_signal_handler_may_make_a_call(server: FakeServer) -> None:
    inner: list[Any] = []
    before = signal.signal(signal.SIGUSR1, lambda *_: inner.append(ask(server, model="openai/inner").model))
    try:
        server.then(Answer(delay=0.6))
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        assert ask(server).model == "big"
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert inner == ["inner"]


def test_nothing_heavy_is_imported_with_the_module() -> None:
    code = "import sys, ferroute.completions, ferroute.responses; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    assert not {"openai", "httpx", "httpx2", "pydantic", "numpy"} & set(loaded)


def test_reprs_hold_no_key() -> None:
    from ferroute._core import Client, Embedder

    for made in (
        Client("openai/x", api_key=KEY, extra_headers=[("a", KEY)], extra_query=[("q", KEY)]),
        Embedder("openai/x", api_key=KEY),
    ):
        assert KEY not in repr(made) + str(made.base_url) + str(dir(made))
        assert "openai" in repr(made)


def check_no_key(error: BaseException) -> None:
    """No trace of the key in anything a log or a debugger would show of the error itself."""
    shown = [repr(error), str(error), repr(error.args), repr(vars(error)), *traceback.format_exception(error)]
    for name in ("request", "response"):
        part = getattr(error, name, None)
        if part is not None:
            shown += [repr(part), repr(part.headers), repr(getattr(part, "content", "")), repr(vars(part))]
    assert error.__cause__ is None and (error.__context__ is None or error.__suppress_context__)
    assert KEY not in " ".join(shown)
