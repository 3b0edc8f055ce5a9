"""`langchain-openai`, unmodified, against a running gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel, SecretStr

from gateway_clients import MODELS, ROUTED, Served, served

langchain_openai = pytest.importorskip("langchain_openai", reason="not run: langchain-openai (pip install -e .[dev])")

if TYPE_CHECKING:
    from collections.abc import Iterator

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


async def test_asynchronously(at: Served) -> None:
    said = await chat(at, ROUTED).ainvoke("Which animal hoots?")
    assert said.text.startswith("You said")
