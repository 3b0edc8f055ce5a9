"""`langchain-openai`, unmodified, against a running gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest
from pydantic import BaseModel, SecretStr

from gateway_clients import MODELS, ROUTED, UPSTREAM_KEY, Served, served
from servers import faults

langchain_openai = pytest.importorskip("langchain_openai", reason="not run: langchain-openai (pip install -e .[dev])")

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from langchain_openai import ChatOpenAI

EVERY = [*MODELS, ROUTED]


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


def chat(at: Served, model: str, **kwargs: Any) -> ChatOpenAI:
    made: ChatOpenAI = langchain_openai.ChatOpenAI(
        model=model, base_url=f"{at.url}/v1", api_key=SecretStr("callers-key"), **kwargs
    )
    return made


@pytest.mark.parametrize("model", EVERY)
@pytest.mark.parametrize("responses", [False, True], ids=["chat", "responses"])
def test_invoke_and_stream(at: Served, model: str, responses: bool) -> None:
    asked = chat(at, model, use_responses_api=responses)
    assert asked.invoke("Which animal hoots?").text == "You said: Which animal hoots? é漢🦀"
    pieces = list(asked.stream("Which animal hoots?"))
    assert "".join(piece.text for piece in pieces) == "You said: Which animal hoots? é漢🦀"
    assert at.providers.refused == []


@pytest.mark.parametrize("model", EVERY)
def test_tools_and_back(at: Served, model: str) -> None:
    from langchain_core.messages import HumanMessage, ToolMessage
    from langchain_core.tools import tool

    @tool
    def lookup(q: str) -> str:
        """Finds a fact."""
        return "an owl"

    asked = chat(at, model).bind_tools([lookup])
    messages: list[Any] = [HumanMessage("[call] Which animal hoots?")]
    said = asked.invoke(messages)
    assert said.tool_calls  # type: ignore[attr-defined]
    messages.append(said)
    calls = said.tool_calls  # type: ignore[attr-defined]
    messages += [ToolMessage(lookup.invoke(call["args"]), tool_call_id=call["id"]) for call in calls]
    assert asked.invoke(messages).text
    assert at.providers.refused == []


@pytest.mark.parametrize("model", EVERY)
def test_structured_output(at: Served, model: str) -> None:
    assert chat(at, model).with_structured_output(Ans).invoke("Which animal hoots?") == Ans(ans="é漢🦀")
    assert at.providers.refused == []


@pytest.fixture
async def own() -> AsyncIterator[httpx.AsyncClient]:
    """One asynchronous client for a test: langchain's own is kept for the whole process, beyond the test's loop."""
    async with httpx.AsyncClient() as made:
        yield made


async def test_asynchronously(at: Served, own: httpx.AsyncClient) -> None:
    said = await chat(at, ROUTED, http_async_client=own).ainvoke("Which animal hoots?")
    assert said.text.startswith("You said")


@pytest.mark.parametrize("model", EVERY)
def test_tokens_are_counted_whole_and_streamed(at: Served, model: str) -> None:
    whole = chat(at, model).invoke("Which animal hoots?").usage_metadata
    assert whole is not None
    assert whole["total_tokens"] == whole["input_tokens"] + whole["output_tokens"] == 165
    asked = chat(at, model, stream_usage=True)
    pieces = list(asked.stream("Which animal hoots?"))
    added = sum(pieces[1:], pieces[0])
    assert added.usage_metadata is not None
    assert added.usage_metadata["total_tokens"] == 165


@pytest.mark.parametrize("model", EVERY)
def test_tool_calls_come_whole_out_of_a_stream(at: Served, model: str) -> None:
    tool = {"type": "function", "function": {"name": "lookup", "parameters": {"type": "object", "properties": {}}}}
    pieces = list(chat(at, model).bind_tools([tool]).stream("[call] Which animal hoots?"))
    added = sum(pieces[1:], pieces[0])
    assert {call["name"] for call in added.tool_calls} == {"lookup"}
    assert added.tool_calls[0]["args"] == {"q": "é漢🦀 0"}
    assert added.invalid_tool_calls == []


@pytest.mark.parametrize("choice", ["lookup", "required", "none"])
def test_a_choice_of_tools_reaches_the_provider(at: Served, choice: str) -> None:
    tool = {"type": "function", "function": {"name": "lookup", "parameters": {"type": "object", "properties": {}}}}
    chat(at, "gpt").bind_tools([tool], tool_choice=choice).invoke("Which animal hoots?")
    named = {"type": "function", "function": {"name": "lookup"}}
    assert at.providers.requests[0].json["tool_choice"] == (named if choice == "lookup" else choice)


# The openai client's type of a message knows no parsed object, which pydantic tells langchain when it copies one.
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning")
def test_a_streamed_structure_is_validated(at: Served) -> None:
    asked = chat(at, ROUTED).with_structured_output(Ans, include_raw=True)
    said: Any = asked.invoke("Which animal hoots?")
    assert said["parsed"] == Ans(ans="é漢🦀")
    assert said["parsing_error"] is None
    *_, last = chat(at, ROUTED).with_structured_output(Ans).stream("Which animal hoots?")
    assert last == Ans(ans="é漢🦀")


async def test_batches_and_asynchronous_streams(at: Served, own: httpx.AsyncClient) -> None:
    prompts: list[Any] = ["Which animal hoots?", "Which animal barks?", "Which animal neighs?"]
    asked = chat(at, ROUTED, http_async_client=own)
    wanted = [f"You said: {prompt} é漢🦀" for prompt in prompts]
    assert [said.text for said in asked.batch(prompts, {"max_concurrency": 2})] == wanted
    assert [said.text for said in await asked.abatch(prompts)] == wanted
    assert "".join([piece.text async for piece in asked.astream(prompts[0])]) == wanted[0]
    assert len(at.providers.requests) == 7


def test_who_answered_is_in_the_headers(at: Served) -> None:
    said = chat(at, ROUTED, include_response_headers=True).invoke("Which animal hoots?")
    headers = said.response_metadata["headers"]
    assert headers["x-ferroute-model"] == "openai/gpt-5.4-nano"
    assert headers["x-ferroute-router"] == "random"
    assert 0 <= float(headers["x-ferroute-win-rate"]) <= 1


def test_the_reserved_object_and_the_systems_word_go_through(at: Served) -> None:
    asked = chat(at, ROUTED, extra_body={"ferroute": {"session": "s", "tags": {"team": "search"}}}, temperature=0.0)
    asked.invoke([("system", "Be brief."), ("human", "Which animal hoots?")])
    sent = at.providers.requests[0].json
    assert "ferroute" not in sent
    assert [message["role"] for message in sent["messages"]] == ["system", "user"]


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, openai.BadRequestError), (401, openai.AuthenticationError), (404, openai.NotFoundError)],
    ids=str,
)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_providers_no_is_the_callers(at: Served, status: int, kind: type[Exception], stream: bool) -> None:
    at.providers.then(*[faults.status(status)] * 9)
    asked = chat(at, "claude", max_retries=0)
    with pytest.raises(kind) as caught:
        list(asked.stream("hi")) if stream else asked.invoke("hi")
    assert UPSTREAM_KEY not in str(caught.value)
    at.providers.forget()


def test_a_router_nobody_knows_is_said(at: Served) -> None:
    with pytest.raises(openai.BadRequestError, match="Invalid router mf"):
        chat(at, "router-mf-0.5").invoke("hi")


def test_fallbacks_of_langchain_work_on_our_errors(at: Served) -> None:
    asked = chat(at, "no-such-model").with_fallbacks([chat(at, ROUTED)])
    assert asked.invoke("Which animal hoots?").text.startswith("You said")


async def test_embeddings(at: Served, own: httpx.AsyncClient) -> None:
    made = langchain_openai.OpenAIEmbeddings(
        model="embedder",
        base_url=f"{at.url}/v1",
        api_key=SecretStr("callers-key"),
        check_embedding_ctx_length=False,
        http_async_client=own,
    )
    vectors = made.embed_documents(["an owl", "a dog"])
    assert len(vectors) == 2
    assert len(vectors[0]) == len(made.embed_query("an owl")) > 0
    assert len(await made.aembed_query("an owl")) == len(vectors[0])
