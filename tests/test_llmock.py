"""Every fault llmock can inject, at OpenAI, Anthropic and Gemini, and its verdict on how we took it."""

from __future__ import annotations

import json
import os
import time
import warnings
from typing import TYPE_CHECKING, Any

import openai
import pytest

import ferroute
from servers.joined import joined, whole
from servers.llmock import PROGRAM, Llmock

if TYPE_CHECKING:
    from collections.abc import Iterator

MODELS = {"openai": "openai/gpt-4o", "anthropic": "anthropic/claude-haiku-4-5", "gemini": "gemini/gemini-2.5-pro"}
TOOLS = [
    {
        "type": "function",
        "function": {"name": "lookup", "parameters": {"type": "object", "properties": {"q": {"type": "string"}}}},
    }
]
AGAIN = (408, 409, 429, 500, 502, 503, 504, 529)
NEVER = (400, 401, 402, 403, 404, 405, 413, 415, 422, 501, 505)


def serve(*flags: str) -> Iterator[Llmock]:
    if not PROGRAM.exists():
        told = "not run: llmock (make target/llmock/.installed)"
        assert not os.environ.get("CI"), told
        pytest.skip(told)
    with Llmock(*flags) as mock:
        yield mock


@pytest.fixture(scope="module")
def mock() -> Iterator[Llmock]:
    # With a pause between chunks it can see that we stop reading at a spoiled one, and does not send the rest blindly.
    yield from serve("--stream-chunk-delay-ms", "20")


@pytest.fixture(params=MODELS)
def provider(request: pytest.FixtureRequest) -> str:
    return request.param


def ask(mock: Llmock, provider: str, **request: Any) -> Any:
    request = {"messages": [{"role": "user", "content": "Which animal hoots?"}], **request}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ferroute.completion(model=MODELS[provider], api_base=mock.base(provider), api_key="k", **request)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("status", AGAIN)
def test_what_may_pass_is_tried_again(mock: Llmock, provider: str, status: int, stream: bool) -> None:
    mock.queue({"type": "fail", "status": status, "retry_after": 0.05, "times": 2})
    answer = ask(mock, provider, stream=stream)
    assert (joined(answer) if stream else whole(answer))["choices"][0]["content"]
    assert [one["status"] for one in mock.requests()] == [status, status, 200]
    mock.check()


@pytest.mark.parametrize("status", NEVER)
def test_what_cannot_pass_is_not(mock: Llmock, provider: str, status: int) -> None:
    mock.queue({"type": "fail", "status": status, "times": None})
    with pytest.raises(openai.APIStatusError) as caught:
        ask(mock, provider)
    assert caught.value.status_code == status and len(mock.requests()) == 1
    mock.check()


def test_waits_grow_where_none_is_asked_for(mock: Llmock, provider: str) -> None:
    mock.queue({"type": "fail", "status": 500, "times": 2})
    assert whole(ask(mock, provider))["choices"][0]["content"]
    mock.check()


def test_the_wait_asked_for_is_kept(mock: Llmock, provider: str) -> None:
    mock.queue({"type": "fail", "status": 429, "retry_after": 0.7, "times": 2})
    assert whole(ask(mock, provider))["choices"][0]["content"]
    mock.check()


def test_an_outage_ends_in_an_error(mock: Llmock, provider: str) -> None:
    mock.queue({"type": "fail", "status": 503, "retry_after": 0.05, "times": None})
    with pytest.raises(openai.InternalServerError):
        ask(mock, provider)
    assert len(mock.requests()) == 3
    mock.check()


def test_a_prompt_that_is_too_long(mock: Llmock, provider: str) -> None:
    mock.queue({"type": "fail", "status": 400, "code": "context_length_exceeded", "message": "too long"})
    with pytest.raises(openai.BadRequestError, match="too long"):
        ask(mock, provider)
    mock.check()


def events_of(mock: Llmock, provider: str, **request: Any) -> int:
    """How many events the whole stream has."""
    mock.queue()
    joined(ask(mock, provider, stream=True, **request))
    return mock.requests()[0]["chunks_sent"]


@pytest.mark.parametrize("kind", ["disconnect", "truncate", "malformed", "stall"])
@pytest.mark.parametrize("tools", [False, True], ids=["text", "tools"])
def test_a_broken_stream_is_never_taken_for_an_answer(mock: Llmock, provider: str, kind: str, tools: bool) -> None:
    """Before the first content we ask again ourselves; after it the caller hears of it, and asks again."""
    request: dict[str, Any] = {"tools": TOOLS, "tool_choice": "required"} if tools else {}
    count = events_of(mock, provider, **request)
    # At the latest in place of the event with the reason to stop; what comes after that is not missed.
    reason = count - {"openai": 3, "anthropic": 2, "gemini": 1}[provider]
    # A spoiled event must have others behind it: llmock blames us when it has sent everything before we can stop it.
    last = reason - 1 if kind == "malformed" else reason
    for after in sorted({0, 2, last} & set(range(reason + 1))):
        mock.queue({"type": "stream_fault", "kind": kind, "after_chunks": after, "stall_seconds": 30.0})
        told: Any = None
        for _ in range(3):
            try:
                told = joined(ask(mock, provider, stream=True, timeout=1.5 if kind == "stall" else 30, **request))
            except openai.APIConnectionError:  # which a time-out is too
                time.sleep(0.1)  # as an application would; llmock takes an overlapping request for another call
                continue
            break
        assert told is not None
        choice = told["choices"][0]
        assert choice["finish"] == ("tool_calls" if tools else "stop")
        assert json.loads(choice["calls"][0]["arguments"]) if tools else choice["content"]
        assert len(mock.requests()) == 2, after
        mock.check()


@pytest.mark.parametrize("kind", ["disconnect", "truncate", "malformed", "stall"])
def test_what_was_delivered_is_told_with_the_error(mock: Llmock, provider: str, kind: str) -> None:
    count = events_of(mock, provider)
    mock.queue({"type": "stream_fault", "kind": kind, "after_chunks": count - 3, "stall_seconds": 30.0})
    seen: list[str] = []
    stream = ask(mock, provider, stream=True, timeout=1.5 if kind == "stall" else 30)
    with pytest.raises(openai.APIConnectionError) as caught:
        seen.extend(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    assert "".join(seen) and len(mock.requests()) == 1
    assert caught.value.partial_text == "".join(seen)


def test_slow_is_not_broken(mock: Llmock, provider: str) -> None:
    mock.queue({"type": "delay", "seconds": 0.3}, {"type": "slow_first_token", "seconds": 0.3})
    assert whole(ask(mock, provider))["choices"][0]["content"]
    assert joined(ask(mock, provider, stream=True))["choices"][0]["content"]
    assert len(mock.requests()) == 2
    mock.check()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_calls_pass_whatever_they_say(mock: Llmock, provider: str, stream: bool) -> None:
    for kind, name in (("malformed_arguments", "lookup"), ("unknown_tool", None)):
        mock.queue({"type": "tool_fault", "kind": kind})
        answer = ask(mock, provider, tools=TOOLS, stream=stream)
        choice = (joined(answer) if stream else whole(answer))["choices"][0]
        call = choice["calls"][0]
        assert choice["finish"] == "tool_calls" and call["id"]
        assert call["name"] == name if name else call["name"] not in ("", "lookup")
        mock.check()
    mock.queue({"type": "reply", "text": "Hm.", "tool_calls": [{"name": "lookup", "arguments": {"q": "é漢🦀"}}]})
    answer = ask(mock, provider, tools=TOOLS, stream=stream)
    choice = (joined(answer) if stream else whole(answer))["choices"][0]
    assert json.loads(choice["calls"][0]["arguments"]) == {"q": "é漢🦀"} and choice["content"] == "Hm."
    mock.check()


def test_a_tool_loop_ends(mock: Llmock, provider: str) -> None:
    mock.queue()
    messages: list[Any] = [{"role": "user", "content": "Which animal hoots?"}]
    message = ask(mock, provider, messages=messages, tools=TOOLS).choices[0].message
    messages += [message, {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "the owl"}]
    assert ask(mock, provider, messages=messages, tools=TOOLS).choices[0].message.content
    mock.check()


@pytest.fixture(scope="module")
def limited() -> Iterator[Llmock]:
    yield from serve("--rpm", "120", "--context-window", "40")


def test_quotas_and_windows_of_the_server(limited: Llmock, provider: str) -> None:
    """A quota of two requests a second: when it is spent, each waits as long as it is told to."""
    limited.queue()
    with pytest.raises(openai.BadRequestError):
        ask(limited, provider, messages=[{"role": "user", "content": "word " * 100}])
    for at in range(123):
        assert whole(ask(limited, provider, messages=[{"role": "user", "content": f"number {at}"}]))["choices"]
    assert any(one["status"] == 429 for one in limited.requests())
    limited.check()
