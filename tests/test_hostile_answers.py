"""Answers of every dialect in every disguise, and broken in every way: the same answer, or an error that says so."""

from __future__ import annotations

import email.utils
import json
import time
import warnings
from typing import TYPE_CHECKING, Any

import openai
import pytest

import ferroute
from servers import faults as fault
from servers.compatible import PREFIXES
from servers.joined import joined, whole
from servers.script import Script, Tokens
from servers.strict import StrictServer

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "sk-very-secret-1234567890"
MODELS = {
    "openai": "openai/gpt-4o", "azure": "azure/my-chat", "anthropic": "anthropic/claude-haiku-4-5",
    "gemini": "gemini/gemini-2.5-pro",
    **{name: PREFIXES[name][0] + "maker/model" for name in PREFIXES if name != "openai"},
}  # fmt: skip
NATIVE = ("openai", "azure", "anthropic", "gemini")
TOOLS = [{"type": "function", "function": {"name": "lookup", "parameters": {"type": "object"}}}]
LONG = Script("é漢🦀 " * 12, "thinking of owls", tokens=Tokens(reasoning=7))
CALLS = Script(
    "Let me look.", "", [("lookup", '{"q": "é漢🦀", "deep": {"a": [1, null, true]}}'), ("lookup", "{}")], "tool_calls"
)


@pytest.fixture
def server() -> Iterator[StrictServer]:
    with StrictServer() as server:
        yield server


@pytest.fixture(params=MODELS)
def provider(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=NATIVE)
def native(request: pytest.FixtureRequest) -> str:
    return request.param


def ask(server: StrictServer, provider: str, **request: Any) -> Any:
    more = {"api_version": "2024-10-21"} if provider == "azure" else {}
    request = {"messages": [{"role": "user", "content": "Which animal?"}], **more, **request}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ferroute.completion(model=MODELS[provider], api_base=server.base(provider), api_key=KEY, **request)


DISGUISES = {
    "a byte at a time": fault.split(1), "seven bytes at a time": fault.split(7), "CRLF": fault.framed("\r\n"),
    "CR": fault.framed("\r"), "many lines": fault.framed(lines=True), "comments": fault.framed(comments=True),
    "no space": fault.framed(space=False), "byte order mark": fault.framed(mark=True), "huge comments": fault.huge(),
    "all of it": fault.framed("\r\n", lines=True, comments=True, mark=True, space=False),
}  # fmt: skip


STREAMS = [(name, script) for name in MODELS for script in (LONG, CALLS) if script is LONG or name != "perplexity"]


@pytest.mark.parametrize(
    ("provider", "script"), STREAMS, ids=[f"{name}-{'calls' if s.calls else 'text'}" for name, s in STREAMS]
)
def test_a_stream_in_any_disguise(server: StrictServer, provider: str, script: Script) -> None:
    request: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
    if script.calls:
        request["tools"] = TOOLS
    server.script(script)
    plain = joined(ask(server, provider, **request))
    assert plain["choices"][0]["content"] == script.text
    calls = list(plain["choices"][0]["calls"].values())
    assert [(call["name"], json.loads(call["arguments"])) for call in calls] == [
        (n, json.loads(a)) for n, a in script.calls
    ]
    assert (plain["usage"]["prompt_tokens"], plain["usage"]["total_tokens"]) == (120, 165)
    for disguise, change in DISGUISES.items():
        server.script(script)
        server.then(change)
        found = joined(ask(server, provider, **request))
        for choice in (*plain["choices"], *found["choices"]):
            for call in choice["calls"].values():
                call["id"] = None
        assert found == plain, disguise
    assert not server.refused


def test_usage_is_told_in_one_shape(server: StrictServer, provider: str) -> None:
    """By the table: the whole prompt, what of it was cached, the whole completion; and no usage chunk unasked."""
    server.script(LONG, LONG, LONG)
    seen = [
        whole(ask(server, provider))["usage"],
        joined(ask(server, provider, stream=True, stream_options={"include_usage": True}))["usage"],
    ]
    for usage in seen:
        assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (120, 45, 165)
        if provider not in ("together", "ollama"):
            assert usage["prompt_tokens_details"]["cached_tokens"] == 64
        if provider not in ("together", "ollama", "deepseek"):
            assert usage["completion_tokens_details"]["reasoning_tokens"] == 7
    assert all(chunk.choices for chunk in ask(server, provider, stream=True)) or provider == "azure"


def read(stream: Any) -> tuple[str, Any]:
    """The text a caller sees, and what it ended with where that was an error."""
    seen = ""
    try:
        for chunk in stream:
            seen += chunk.choices[0].delta.content or "" if chunk.choices else ""
    except openai.APIConnectionError as error:
        return seen, error
    return seen, None


BREAKS = {"cut": "cut", "reset": "reset", "half-closed": "half", "stalled": "stall", "ended": "whole"}


@pytest.mark.parametrize("how", BREAKS)
def test_a_stream_that_breaks(server: StrictServer, native: str, how: str) -> None:
    """Before the first content it is asked for again; after it, an error that holds what there was."""
    server.script(LONG)
    asked = len(list(ask(server, native, stream=True)))
    assert asked > 10
    for after in (0, 1, 6, 9, 11):
        server.forget()
        server.script(LONG, LONG)
        server.then(fault.cut(after, BREAKS[how]))
        seen, failure = read(ask(server, native, stream=True, timeout=1.5 if how == "stalled" else 30, max_retries=1))
        if failure is None:
            assert seen == LONG.text and len(server.requests) == 2
        else:
            assert len(server.requests) == 1
            assert failure.partial_text == seen and LONG.text.startswith(seen)
            assert KEY not in f"{failure!r} {vars(failure)}"


def test_an_error_in_a_stream(server: StrictServer, native: str) -> None:
    server.script(LONG, LONG)
    server.then(fault.error_event(0), None)
    assert joined(ask(server, native, stream=True))["choices"][0]["content"] == LONG.text
    assert len(server.requests) == 2
    server.script(LONG)
    server.then(fault.error_event(9))
    with pytest.raises(openai.APIError, match="Overloaded"):
        joined(ask(server, native, stream=True))
    assert len(server.requests) == 3


def test_the_end_mark_may_be_missing_after_the_reason(server: StrictServer) -> None:
    server.then(fault.no_end_mark())
    assert joined(ask(server, "openai", stream=True))["choices"][0]["finish"] == "stop"
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "said",
    [b"", b"<html>proxy</html>", b'{"cut', b"null", b"[]", b'"text"', b'{"a":' * 400, b"\xff\xfe", b'{"n": NaN}'],
    ids=["empty", "page", "cut", "null", "list", "text", "deep", "binary", "NaN"],
)
def test_a_body_that_is_no_answer_is_asked_for_once_more(server: StrictServer, native: str, said: bytes) -> None:
    server.then(fault.body(said))
    assert whole(ask(server, native))["choices"][0]["content"]
    assert len(server.requests) == 2
    server.forget()
    server.then(*[fault.body(said)] * 5)
    with pytest.raises(openai.APIError) as caught:
        ask(server, native)
    assert len(server.requests) == 2 and KEY not in str(caught.value)


def test_an_error_under_status_200_is_asked_for_once_more(server: StrictServer, native: str) -> None:
    server.then(fault.error_inside())
    assert whole(ask(server, native))["choices"][0]["content"]
    assert len(server.requests) == 2


def soon() -> str:
    return email.utils.formatdate(time.time() + 1, usegmt=True)


WAITS: dict[str, dict[str, str]] = {
    "seconds": {"retry_after": "0.1"}, "milliseconds": {"retry_after_ms": "100", "retry_after": "60"},
    "date": {"retry_after": "date"},
    "told to": {"x_should_retry": "true", "retry_after_ms": "10"}, "nonsense": {"retry_after": "soon"},
    "past": {"retry_after": "Wed, 21 Oct 2015 07:28:00 GMT"}, "negative": {"retry_after": "-5"},
}  # fmt: skip


@pytest.mark.parametrize("form", WAITS)
@pytest.mark.parametrize("status", [429, 529])
def test_waits_in_every_form(server: StrictServer, native: str, form: str, status: int) -> None:
    headers = {name: soon() if value == "date" else value for name, value in WAITS[form].items()}
    server.then(fault.status(status, **headers))
    assert whole(ask(server, native))["choices"][0]["content"]
    assert len(server.requests) == 2


def test_told_not_to(server: StrictServer, native: str) -> None:
    server.then(fault.status(500, x_should_retry="false"))
    with pytest.raises(openai.InternalServerError):
        ask(server, native)
    server.then(fault.status(400, x_should_retry="true", retry_after_ms="1"))
    assert whole(ask(server, native))["choices"][0]["content"]
    assert len(server.requests) == 3


@pytest.mark.parametrize("stream", [False, True])
def test_geminis_wait_is_in_the_body(server: StrictServer, stream: bool) -> None:
    server.then(fault.retry_delay("0.05s"))
    assert ask(server, "gemini", stream=stream)
    assert len(server.requests) == 2


def test_an_empty_account_is_not_asked_again(server: StrictServer, native: str) -> None:
    server.then(*[fault.quota(native)] * 3)
    with pytest.raises(openai.RateLimitError) as caught:
        ask(server, native)
    assert len(server.requests) == 1 and KEY not in str(caught.value)


@pytest.mark.parametrize("ending", ["cut", "reset"])
def test_a_connection_that_ends_without_an_answer(server: StrictServer, native: str, ending: str) -> None:
    server.then(fault.silent(ending))
    assert whole(ask(server, native))["choices"][0]["content"]
    assert len(server.requests) == 2


def test_a_kept_connection_that_was_closed(server: StrictServer, native: str) -> None:
    """The server closes it unannounced between two calls: the second is none the wiser."""
    server.then(*[fault.closes()] * 4)
    for _ in range(5):
        assert whole(ask(server, native, max_retries=1))["choices"][0]["content"]
        time.sleep(0.02)


def test_every_dialect_is_refused_in_its_own_words(server: StrictServer, native: str) -> None:
    for status, error in (
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (403, openai.PermissionDeniedError),
        (404, openai.NotFoundError),
    ):
        server.then(fault.status(status, "no such thing"))
        with pytest.raises(error, match="no such thing") as caught:
            ask(server, native)
        assert caught.value.status_code == status and KEY not in f"{caught.value!r} {caught.value.response.headers}"


def test_azures_filter_is_a_bad_request(server: StrictServer) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        ask(server, "azure", messages=[{"role": "user", "content": "[filtered]"}])
    assert caught.value.code == "content_filter" and len(server.requests) == 1


def test_the_key_travels_where_it_should(server: StrictServer, provider: str) -> None:
    ask(server, provider)
    request = server.requests[0]
    carriers = {name for name, value in request.headers.items() if KEY in value}
    expected = {"anthropic": {"x-api-key"}, "gemini": {"x-goog-api-key"}, "azure": {"api-key"}}
    assert carriers == expected.get(provider, {"authorization"}) and KEY not in request.target


@pytest.mark.parametrize("provider", ["openai", "azure", "gemini"])
@pytest.mark.parametrize("count", [1, 3])
def test_embeddings(server: StrictServer, provider: str, count: int) -> None:
    from ferroute._core import Embedder
    from servers.script import vector

    name = {
        "openai": "openai/text-embedding-3-small",
        "azure": "azure/my-embedder",
        "gemini": "gemini/gemini-embedding-001",
    }[provider]
    more = {"api_version": "2024-10-21"} if provider == "azure" else {}
    embedder = Embedder(name, api_base=server.base(provider), api_key=KEY, **more)
    texts = [f"é漢🦀 {at}" for at in range(count)]
    rows = embedder.embed_batch(texts)
    assert rows.tolist() == [vector(text, rows.shape[1]) for text in texts]
    assert not server.refused and len(server.requests) == 1
