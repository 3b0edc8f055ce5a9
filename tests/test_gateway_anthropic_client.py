"""The `anthropic` client, unmodified, against a running gateway, whoever's model answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anthropic
import pytest

from gateway_clients import MODELS, ROUTED, UPSTREAM_KEY, Served, served
from servers import faults

if TYPE_CHECKING:
    from collections.abc import Iterator

ASKED: Any = [{"role": "user", "content": "Which animal hoots?"}]
EVERY = [*MODELS, ROUTED]
TOOL: Any = {"name": "lookup", "input_schema": {"type": "object", "properties": {"q": {"type": "string"}}}}


@pytest.fixture(scope="module")
def module_at() -> Iterator[Served]:
    with served() as at:
        yield at


@pytest.fixture
def at(module_at: Served) -> Served:
    module_at.providers.forget()
    return module_at


@pytest.fixture
def client(at: Served) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=at.url, api_key="callers-key") as client:
        yield client


@pytest.mark.parametrize("model", EVERY)
def test_a_message(at: Served, client: anthropic.Anthropic, model: str) -> None:
    answer = client.messages.create(model=model, max_tokens=300, messages=ASKED, system="Be brief.")
    assert [block.type for block in answer.content] == ["text"]
    assert answer.content[0].text == "You said: Which animal hoots? é漢🦀"  # type: ignore[union-attr]
    assert (answer.stop_reason, answer.role, answer.type) == ("end_turn", "assistant", "message")
    usage = answer.usage
    read, written = usage.cache_read_input_tokens or 0, usage.cache_creation_input_tokens or 0
    assert usage.input_tokens + read + written == 120
    assert usage.output_tokens == 45
    assert at.providers.refused == []


@pytest.mark.parametrize("model", EVERY)
def test_a_stream(at: Served, client: anthropic.Anthropic, model: str) -> None:
    with client.messages.stream(model=model, max_tokens=300, messages=ASKED) as stream:
        said = "".join(stream.text_stream)
        answer = stream.get_final_message()
    assert said == "You said: Which animal hoots? é漢🦀"
    assert answer.content[0].text == said  # type: ignore[union-attr]
    assert (answer.stop_reason, answer.usage.output_tokens) == ("end_turn", 45)
    assert at.providers.refused == []


@pytest.mark.parametrize("model", EVERY)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_tools_and_back(at: Served, client: anthropic.Anthropic, model: str, stream: bool) -> None:
    messages: list[Any] = [{"role": "user", "content": "[call] [aloud] Which animal hoots?"}]
    asked: dict[str, Any] = {"model": model, "max_tokens": 300, "tools": [TOOL]}
    if stream:
        with client.messages.stream(messages=messages, **asked) as events:
            answer = events.get_final_message()
    else:
        answer = client.messages.create(messages=messages, **asked)
    assert answer.stop_reason == "tool_use"
    calls = [block for block in answer.content if block.type == "tool_use"]
    assert calls
    assert (calls[0].name, calls[0].input) == ("lookup", {"q": "é漢🦀 0"})
    results = [{"type": "tool_result", "tool_use_id": call.id, "content": "an owl"} for call in calls]
    messages += [{"role": "assistant", "content": answer.content}, {"role": "user", "content": results}]
    assert client.messages.create(messages=messages, **asked).content
    assert at.providers.refused == []


def test_thinking_in_a_loop_of_tools(at: Served, client: anthropic.Anthropic) -> None:
    thinking: Any = {"type": "enabled", "budget_tokens": 1024}
    asked: dict[str, Any] = {"model": "claude", "max_tokens": 3000, "tools": [TOOL], "thinking": thinking}
    messages: list[Any] = [{"role": "user", "content": "[call] Which animal hoots?"}]
    for stream in (False, True):
        if stream:
            with client.messages.stream(messages=messages, **asked) as events:
                answer = events.get_final_message()
        else:
            answer = client.messages.create(messages=messages, **asked)
        assert answer.content[0].type == "thinking"
        assert answer.content[0].signature
        calls = [block for block in answer.content if block.type == "tool_use"]
        results = [{"type": "tool_result", "tool_use_id": call.id, "content": "an owl"} for call in calls]
        again = [*messages, {"role": "assistant", "content": answer.content}, {"role": "user", "content": results}]
        client.messages.create(messages=again, **asked)
        sent = at.providers.requests[-1].json["messages"][1]["content"]
        assert sent[0]["type"] == "thinking", "its thoughts come back to it, with their proof"
    assert at.providers.refused == []


@pytest.mark.parametrize("model", EVERY)
def test_a_schema(at: Served, client: anthropic.Anthropic, model: str) -> None:
    schema = {
        "type": "object",
        "properties": {"ans": {"type": "string"}},
        "required": ["ans"],
        "additionalProperties": False,
    }
    config: Any = {"format": {"type": "json_schema", "schema": schema}}
    answer = client.messages.create(model=model, max_tokens=300, messages=ASKED, output_config=config)
    assert answer.content[0].text == '{"ans": "é漢🦀"}' or "é漢🦀" in answer.content[0].text  # type: ignore[union-attr]
    assert at.providers.refused == []


@pytest.mark.parametrize("model", EVERY)
def test_what_only_anthropic_knows_is_no_reason_to_fail(at: Served, client: anthropic.Anthropic, model: str) -> None:
    answer = client.messages.create(
        model=model, max_tokens=3000, messages=ASKED, thinking={"type": "adaptive"}, metadata={"user_id": "u" * 99},
        service_tier="auto", stop_sequences=["END"] if model != "gemini" else [],
    )  # fmt: skip
    assert answer.content
    assert at.providers.refused == []


async def test_the_asynchronous_client(at: Served) -> None:
    async with anthropic.AsyncAnthropic(base_url=at.url, api_key="callers-key") as client:
        async with client.messages.stream(model=ROUTED, max_tokens=300, messages=ASKED) as stream:
            said = [text async for text in stream.text_stream]
        assert "".join(said).startswith("You said")


def test_tokens_are_counted_as_an_estimate(at: Served, client: anthropic.Anthropic) -> None:
    assert client.messages.count_tokens(model=ROUTED, messages=ASKED).input_tokens == 4 + 5
    assert at.providers.requests == [], "nobody is asked"


STATUSES = [
    (400, anthropic.BadRequestError),
    (401, anthropic.AuthenticationError),
    (403, anthropic.PermissionDeniedError),
    (404, anthropic.NotFoundError),
    (413, anthropic.RequestTooLargeError),
]


@pytest.mark.parametrize(("status", "kind"), STATUSES, ids=str)
@pytest.mark.parametrize("model", ["gpt", "claude"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_providers_no_is_the_callers(
    at: Served, client: anthropic.Anthropic, status: int, kind: type[anthropic.APIStatusError], model: str, stream: bool
) -> None:
    at.providers.then(*[faults.status(status)] * 9)
    with pytest.raises(kind) as caught:
        client.messages.create(model=model, max_tokens=9, messages=ASKED, stream=stream)
    assert caught.value.status_code == status
    assert caught.value.response.json()["type"] == "error"
    assert len(at.providers.requests) == 1
    assert UPSTREAM_KEY not in str(caught.value)
    at.providers.forget()


def test_a_wrong_request_is_a_bad_request(at: Served, client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.BadRequestError, match="Invalid router"):
        client.messages.create(model="router-mf-0.5", max_tokens=9, messages=ASKED)
    with pytest.raises(anthropic.BadRequestError, match="messages") as caught:
        client.messages.create(model=ROUTED, max_tokens=9, messages=[])
    assert caught.value.request_id
    assert at.providers.requests == []


def test_a_stream_that_breaks_is_an_error(at: Served, client: anthropic.Anthropic) -> None:
    at.providers.then(faults.error_event(3))
    with (
        pytest.raises(anthropic.APIError),
        client.messages.stream(model="gpt", max_tokens=9, messages=ASKED) as stream,
    ):
        stream.get_final_message()
    at.providers.forget()
