"""The `openai` client, unmodified, against a running gateway: chat, streams, tools, schemas, responses, errors."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest
from pydantic import BaseModel

from gateway_clients import MODELS, ROUTED, UPSTREAM_KEY, Served, served
from servers import faults

if TYPE_CHECKING:
    from collections.abc import Iterator

ASKED = [{"role": "user", "content": "Which animal hoots?"}]
EVERY = [*MODELS, ROUTED]
FUNCTION = {"name": "lookup", "parameters": {"type": "object", "properties": {"q": {"type": "string"}}}}
TOOL = {"type": "function", "function": FUNCTION}


class Ans(BaseModel):
    """What the servers answer a schema with."""

    ans: str


@pytest.fixture(scope="module")
def module_at() -> Iterator[Served]:
    with served() as at:
        yield at


@pytest.fixture
def at(module_at: Served) -> Served:
    module_at.providers.forget()
    return module_at


@pytest.fixture
def client(at: Served) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{at.url}/v1", api_key="callers-key") as client:
        yield client


@pytest.mark.parametrize("model", EVERY)
def test_chat(at: Served, client: openai.OpenAI, model: str) -> None:
    answer = client.chat.completions.create(model=model, messages=ASKED, max_completion_tokens=300)
    assert answer.choices[0].message.content == "You said: Which animal hoots? é漢🦀"
    assert answer.usage is not None
    assert answer.usage.total_tokens == 165
    assert at.providers.refused == []


@pytest.mark.parametrize("model", EVERY)
def test_a_stream(at: Served, client: openai.OpenAI, model: str) -> None:
    options: Any = {"include_usage": True}
    chunks = list(client.chat.completions.create(model=model, messages=ASKED, stream=True, stream_options=options))
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert said == "You said: Which animal hoots? é漢🦀"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 165
    assert at.providers.refused == []


@pytest.mark.parametrize("model", EVERY)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_tools_and_back(at: Served, client: openai.OpenAI, model: str, stream: bool) -> None:
    messages: list[Any] = [{"role": "user", "content": "[call] Which animal hoots?"}]
    if stream:
        with client.chat.completions.stream(model=model, messages=messages, tools=[TOOL]) as events:
            message = events.get_final_completion().choices[0].message
    else:
        message = client.chat.completions.create(model=model, messages=messages, tools=[TOOL]).choices[0].message
    assert message.tool_calls
    names = [call.function.name for call in message.tool_calls if call.type == "function"]
    assert set(names) == {"lookup"}
    assert json.loads(message.tool_calls[0].function.arguments) == {"q": "é漢🦀 0"}  # type: ignore[union-attr]
    messages.append(message.model_dump(exclude_none=True, exclude={"parsed"}) if stream else message)
    for call in message.tool_calls:
        messages.append({"role": "tool", "tool_call_id": call.id, "content": "an owl"})
        for piece in getattr(messages[-2], "tool_calls", None) or messages[-2].get("tool_calls", []):
            if isinstance(piece, dict):
                piece.get("function", {}).pop("parsed_arguments", None)
    last = client.chat.completions.create(model=model, messages=messages, tools=[TOOL])
    assert last.choices[0].message.content
    assert at.providers.refused == []


@pytest.mark.parametrize("model", EVERY)
def test_a_schema(at: Served, client: openai.OpenAI, model: str) -> None:
    answer = client.chat.completions.parse(model=model, messages=ASKED, response_format=Ans)
    assert answer.choices[0].message.parsed == Ans(ans="é漢🦀")
    assert at.providers.refused == []


async def test_the_asynchronous_client(at: Served) -> None:
    async with openai.AsyncOpenAI(base_url=f"{at.url}/v1", api_key="callers-key") as client:

        async def said(model: str) -> str | None:
            answer = await client.chat.completions.create(model=model, messages=ASKED)
            return answer.choices[0].message.content

        assert len(set(await asyncio.gather(*map(said, EVERY)))) == 1
        stream = await client.chat.completions.create(model=ROUTED, messages=ASKED, stream=True)
        pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]
        assert "".join(pieces).startswith("You said")


@pytest.mark.parametrize("model", EVERY)
def test_responses(at: Served, client: openai.OpenAI, model: str) -> None:
    answer = client.responses.create(model=model, input="Which animal hoots?", instructions="Be brief.")
    assert answer.output_text == "You said: Which animal hoots? é漢🦀"
    assert (answer.status, answer.store, answer.instructions) == ("completed", False, "Be brief.")  # type: ignore[attr-defined]
    assert answer.usage is not None
    assert answer.usage.total_tokens == 165
    parsed = client.responses.parse(model=model, input="Which animal hoots?", text_format=Ans)
    assert parsed.output_parsed == Ans(ans="é漢🦀")
    assert at.providers.refused == []


@pytest.mark.parametrize("model", EVERY)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_tools_of_responses_and_back(at: Served, client: openai.OpenAI, model: str, stream: bool) -> None:
    tools: Any = [{"type": "function", "strict": False, **FUNCTION}]
    items: list[Any] = [{"role": "user", "content": "[call] [aloud] Which animal hoots?"}]
    if stream:
        with client.responses.stream(model=model, input=items, tools=tools) as events:
            kinds = [event.type for event in events]
            answer = events.get_final_response()
        assert kinds[0] == "response.created"
        assert kinds[-1] == "response.completed"
        assert "response.output_text.delta" in kinds
        assert "response.function_call_arguments.done" in kinds
    else:
        answer = client.responses.create(model=model, input=items, tools=tools)
    assert answer.output_text == "Let me look."
    calls = [item for item in answer.output if item.type == "function_call"]
    assert calls
    assert json.loads(calls[0].arguments) == {"q": "é漢🦀 0"}
    # As the client's own documentation has it: what was said goes back as it came.
    items += [item.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for item in answer.output]
    items += [{"type": "function_call_output", "call_id": call.call_id, "output": "an owl"} for call in calls]
    assert client.responses.create(model=model, input=items, tools=tools).output_text
    assert at.providers.refused == []


def test_embeddings_and_models(at: Served, client: openai.OpenAI) -> None:
    vectors = client.embeddings.create(model="embedder", input=["an owl", "a cat"])
    assert [len(one.embedding) for one in vectors.data] == [1536, 1536] or len(vectors.data) == 2
    names = [model.id for model in client.models.list()]
    assert {*MODELS, "openai/gpt-5.5"} <= set(names)


STATUSES = [
    (400, openai.BadRequestError, 1),
    (401, openai.AuthenticationError, 1),
    (403, openai.PermissionDeniedError, 1),
    (404, openai.NotFoundError, 1),
    (422, openai.UnprocessableEntityError, 1),
]


@pytest.mark.parametrize(("status", "kind", "times"), STATUSES, ids=str)
@pytest.mark.parametrize("model", ["gpt", "claude", "gemini"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_providers_no_is_the_callers(
    at: Served,
    client: openai.OpenAI,
    status: int,
    kind: type[openai.APIStatusError],
    times: int,
    model: str,
    stream: bool,
) -> None:
    at.providers.then(*[faults.status(status)] * 9)
    with pytest.raises(kind) as caught:
        client.chat.completions.create(model=model, messages=ASKED, stream=stream)
    assert caught.value.status_code == status
    assert len(at.providers.requests) == times, "what cannot pass is asked once"
    assert UPSTREAM_KEY not in str(caught.value)
    at.providers.forget()


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_what_is_used_up_is_not_asked_for_again(at: Served, client: openai.OpenAI, provider: str) -> None:
    at.providers.then(*[faults.quota(provider)] * 9)
    with pytest.raises(openai.APIStatusError):
        client.chat.completions.create(model="gpt" if provider == "openai" else "claude", messages=ASKED)
    assert len(at.providers.requests) == 1
    at.providers.forget()


def test_what_may_pass_is_asked_again_by_the_gateway(at: Served, client: openai.OpenAI) -> None:
    at.providers.then(faults.status(503, retry_after="0.01"), faults.status(429, retry_after="0.01"))
    assert client.chat.completions.create(model="gpt", messages=ASKED).choices
    assert len(at.providers.requests) == 3


@pytest.mark.parametrize(
    ("request_", "param"),
    [
        ({"model": "router-random-x", "messages": ASKED}, None),
        ({"model": "router-mf-0.5", "messages": ASKED}, None),
        ({"model": ROUTED, "messages": []}, "messages"),
        ({"model": ROUTED, "messages": "hi"}, "messages"),
        ({"model": ROUTED, "messages": ASKED, "extra_body": {"ferroute": {"sesion": "x"}}}, "ferroute"),
    ],
    ids=["threshold", "router", "empty", "text", "extras"],
)
def test_a_wrong_request_is_a_bad_request(
    at: Served, client: openai.OpenAI, request_: dict[str, Any], param: str | None
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(**request_)
    assert caught.value.param == param
    assert caught.value.type == "invalid_request_error"
    assert at.providers.requests == []


def test_routing_errors_keep_the_originals_body(at: Served, client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="router-mf-0.5", messages=ASKED)
    told = caught.value.response.json()
    assert told["object"] == "error"
    assert told["message"].startswith("Invalid router mf.")
    assert told["error"]["message"] == told["message"]


def test_a_model_nobody_knows(at: Served, client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="no-such-model", messages=ASKED)
    assert caught.value.code == "model_not_found"


@pytest.mark.parametrize("name", ["previous_response_id", "conversation"])
def test_responses_have_no_memory(at: Served, client: openai.OpenAI, name: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model=ROUTED, input="hi", **{name: "x_1"})  # type: ignore[call-overload]
    assert caught.value.param == name
    assert at.providers.requests == []


def test_a_stream_that_breaks_is_an_error(at: Served, client: openai.OpenAI) -> None:
    at.providers.then(faults.error_event(3))
    with pytest.raises(openai.APIError):
        list(client.chat.completions.create(model="gpt", messages=ASKED, stream=True))
    at.providers.forget()
    at.providers.then(faults.error_event(3))
    first = next(iter(client.chat.completions.create(model="gpt", messages=ASKED, stream=True)))
    assert first.choices, "what has come is handed over before it breaks"
    at.providers.forget()
    at.providers.then(faults.error_event(3))
    with pytest.raises(openai.APIError), client.responses.stream(model="gpt", input="Which?") as events:
        list(events)
    at.providers.forget()


def test_the_reserved_object_is_not_for_the_model(at: Served, client: openai.OpenAI) -> None:
    said = {"ferroute": {"session": "s", "explain": True}, "stop": None}
    answer = client.chat.completions.create(model=ROUTED, messages=ASKED, extra_body=said)
    assert answer.model_extra is not None
    assert answer.model_extra["ferroute"]["model"] == "openai/gpt-5.4-nano"
    sent = at.providers.requests[0].json
    assert "ferroute" not in sent
    assert "stop" not in sent


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_who_answered_is_in_the_headers_of_a_raw_response(at: Served, client: openai.OpenAI, stream: bool) -> None:
    raw = client.chat.completions.with_raw_response.create(model=ROUTED, messages=ASKED, stream=stream)
    assert raw.headers["x-ferroute-model"] == "openai/gpt-5.4-nano"
    assert raw.headers["x-ferroute-router"] == "random"
    said: Any = raw.parse()
    assert list(said) if stream else said.choices


def test_a_stream_that_is_left_lets_the_next_one_begin(at: Served, client: openai.OpenAI) -> None:
    with client.chat.completions.create(model=ROUTED, messages=ASKED, stream=True) as stream:
        assert next(iter(stream)).choices
    assert client.chat.completions.create(model=ROUTED, messages=ASKED).choices


def test_the_decision_takes_the_bodies_of_all_protocols(at: Served) -> None:
    bodies: list[tuple[dict[str, Any], dict[str, str]]] = [
        ({"messages": ASKED}, {}),
        ({"input": "Which animal hoots?"}, {}),
        ({"messages": ASKED, "max_tokens": 9}, {"anthropic-version": "2023-06-01"}),
    ]
    for body, headers in bodies:
        answer = httpx.post(f"{at.url}/v1/decision", json={"model": ROUTED, **body}, headers=headers)
        assert (answer.status_code, answer.json()["model"]) == (200, "openai/gpt-5.4-nano"), body
    assert at.providers.requests == []
