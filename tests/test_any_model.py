"""Any valid request is accepted by every model that has what it needs, at servers that refuse what providers refuse."""

from __future__ import annotations

import itertools
import json
import os
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ferroute
from ferroute.errors import FerrouteError
from requests_of_any_kind import PNG, SCHEMA, TOOLS, requests
from servers.compatible import PREFIXES
from servers.joined import joined, whole
from servers.script import Script, Tokens
from servers.strict import StrictServer

if TYPE_CHECKING:
    from collections.abc import Iterator

EVERYTHING = frozenset({"images", "tools", "files"})


@dataclass(frozen=True)
class Model:
    """A model as a caller names it, and what it has."""

    name: str
    provider: str
    has: frozenset[str] = EVERYTHING
    more: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name.replace("/", "-")


def compatible(provider: str, model: str, *, has: set[str] | frozenset[str] = EVERYTHING) -> Model:
    return Model(PREFIXES[provider][0] + model, provider, frozenset(has))


MODELS = [
    compatible("openai", "gpt-4o"),
    compatible("openai", "gpt-3.5-turbo", has={"tools"}),
    compatible("openai", "gpt-5-mini"),
    compatible("openai", "gpt-5"),
    compatible("openai", "gpt-5.1"),
    compatible("openai", "gpt-5.2-2025-12-11"),
    compatible("openai", "o3-mini", has={"tools"}),
    compatible("openai", "o4-mini"),
    Model("azure/my-chat", "azure", more={"api_version": "2024-10-21", "base_model": "gpt-4o"}),
    Model("azure/my-reasoner", "azure", more={"api_version": "2024-10-21", "base_model": "gpt-5"}),
    Model("anthropic/claude-3-haiku-20240307", "anthropic", frozenset({"images", "tools"})),
    Model("anthropic/claude-3-5-haiku-20241022", "anthropic"),
    Model("anthropic/claude-3-7-sonnet-20250219", "anthropic"),
    Model("anthropic/claude-sonnet-4-20250514", "anthropic"),
    Model("anthropic/claude-haiku-4-5", "anthropic"),
    Model("anthropic/claude-opus-4-6", "anthropic"),
    Model("anthropic/claude-opus-4-7", "anthropic"),
    Model("gemini/gemini-2.0-flash", "gemini", EVERYTHING | {"audio"}),
    Model("gemini/gemini-2.5-flash", "gemini", EVERYTHING | {"audio"}),
    Model("gemini/gemini-2.5-flash-lite", "gemini", EVERYTHING | {"audio"}),
    Model("gemini/gemini-2.5-pro", "gemini", EVERYTHING | {"audio"}),
    Model("gemini/gemini-3-pro-preview", "gemini", EVERYTHING | {"audio"}),
    compatible("mistral", "mistral-small-latest", has={"tools"}),
    compatible("groq", "openai/gpt-oss-120b", has={"tools"}),
    compatible("together", "deepseek-ai/DeepSeek-V3", has={"tools"}),
    compatible("deepseek", "deepseek-chat", has={"tools"}),
    compatible("xai", "grok-4", has={"tools"}),
    compatible("fireworks", "deepseek-v3", has={"tools"}),
    compatible("openrouter", "some-maker/some-model", has={"tools", "images"}),
    compatible("perplexity", "sonar", has=set()),
    compatible("cerebras", "llama-3.3-70b", has={"tools"}),
    compatible("deepinfra", "meta-llama/Llama-3.3-70B", has={"tools"}),
    compatible("moonshot", "kimi-k2", has={"tools"}),
    compatible("vllm", "my-model", has={"tools"}),
    compatible("ollama", "llama3.2", has={"tools"}),
]
WITH_TOOLS = [model for model in MODELS if "tools" in model.has]


@pytest.fixture(scope="module")
def server() -> Iterator[StrictServer]:
    with StrictServer() as server:
        yield server


def ask(server: StrictServer, model: Model, **request: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is left out is warned of; other tests are about that
        return ferroute.completion(
            model=model.name, api_base=server.base(model.provider), api_key="k", max_retries=0, **model.more, **request
        )


def check_accepted(server: StrictServer, model: Model, request: dict[str, Any]) -> None:
    """Whole and streamed, the request is accepted, and both say the same."""
    server.forget()
    count = request.get("n", 1)
    answer = ask(server, model, **request)
    assert not server.refused
    told = whole(answer)
    assert len(told["choices"]) == count
    assert told["usage"]["completion_tokens"] >= 45 and told["usage"]["total_tokens"] >= 165
    server.forget()
    streamed = joined(ask(server, model, **request, stream=True, stream_options={"include_usage": True}))
    assert not server.refused
    for one, other in zip(told["choices"], streamed["choices"], strict=True):
        for choice in (one, other):  # ids are numbered, and an input without fields may be spelled in two ways
            for call in choice["calls"].values():
                assert call.pop("id")
                call["arguments"] = json.loads(call["arguments"])
            choice["content"] = spaced(choice["content"])
            assert choice["finish"] in ("stop", "tool_calls")
        assert one == other
    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert streamed["usage"][name] == told["usage"][name]


def spaced(content: str) -> str:
    """A schema's content may be an input turned back into text: the same JSON counts as the same."""
    try:
        return json.dumps(json.loads(content))
    except ValueError:
        return content


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_every_model_takes_any_request(server: StrictServer, model: Model) -> None:
    @settings(
        max_examples=int(os.environ.get("FERROUTE_EXAMPLES", "25")), deadline=None, derandomize=True,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(requests(set(model.has)))
    def accepted(request: dict[str, Any]) -> None:
        check_accepted(server, model, request)

    accepted()


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_every_parameter_alone(server: StrictServer, model: Model) -> None:
    """What hypothesis may not draw together in a short run: each value by itself."""
    from requests_of_any_kind import FORMATS

    hello = [{"role": "user", "content": "Say it as json"}]
    efforts = ["none", "minimal", "low", "medium", "high", "xhigh", "max"]
    requests: list[dict[str, Any]] = [{"reasoning_effort": effort, "max_tokens": 2000} for effort in efforts]
    requests += [{"reasoning_effort": effort, "temperature": 0.5} for effort in ("none", "high")]
    requests += [{"response_format": form, "reasoning_effort": "high"} for form in FORMATS]
    requests += [
        {"max_tokens": 5},
        {"max_completion_tokens": 5},
        {"n": 2, "temperature": 1},
        {"stop": ["a", "b", "c", "d"]},
    ]
    if "tools" in model.has:
        named = {"type": "function", "function": {"name": "now"}}
        requests += [{"tools": TOOLS, "tool_choice": choice} for choice in ("auto", "none", "required", named)]
        requests += [
            {"tools": TOOLS, "tool_choice": "required", "reasoning_effort": "high", "parallel_tool_calls": False}
        ]
        requests += [{"tools": TOOLS, "response_format": FORMATS[2], "reasoning_effort": "low"}]
    for request in requests:
        check_accepted(server, model, {"messages": hello, **request})


def follow(messages: list[Any], answer: Any, *, plain: bool = False) -> None:
    """The answer and the results of its calls, appended as callers do; `plain` keeps what OpenAI's shape holds."""
    message = answer.choices[0].message
    messages.append(stripped(message) if plain and message.tool_calls else message)
    results = [(call.id, f"result of {call.function.name}") for call in message.tool_calls or ()]
    messages.extend({"role": "tool", "tool_call_id": call, "content": said} for call, said in results)


def stripped(message: Any) -> dict[str, Any]:
    calls = [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.function.name, "arguments": call.function.arguments},
        }
        for call in message.tool_calls
    ]
    return {"role": "assistant", "content": message.content, "tool_calls": calls}


def steps(server: StrictServer, models: list[Model], *, plain: bool, **request: Any) -> list[Any]:
    """One conversation: calls made by each model, answered by the next."""
    messages: list[Any] = [{"role": "developer", "content": "Use tools."}]
    answers = []
    for before, after in itertools.pairwise(models):
        for model, said in ((before, "What is it? [call]"), (after, None)):
            if said:
                messages.append({"role": "user", "content": said})
            answers.append(ask(server, model, messages=messages, tools=TOOLS[:2], **request))
            assert not server.refused, (str(before), str(after))
            follow(messages, answers[-1], plain=plain)
    return answers


@pytest.mark.parametrize("first", WITH_TOOLS, ids=str)
@pytest.mark.parametrize("plain", [False, True], ids=["whole", "plain"])
def test_a_conversation_changes_its_model_between_call_and_result(
    server: StrictServer, first: Model, plain: bool
) -> None:
    for second in WITH_TOOLS:
        server.forget()
        answers = steps(server, [first, second, first, second], plain=plain, reasoning_effort="low", max_tokens=4000)
        assert answers[0].choices[0].finish_reason == "tool_calls"
        assert answers[1].choices[0].message.content


@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    models=st.lists(st.sampled_from(WITH_TOOLS), min_size=2, max_size=6), effort=st.sampled_from([None, "none", "high"])
)
def test_a_conversation_walks_over_many_models(models: list[Model], effort: str | None) -> None:
    with StrictServer() as server:
        steps(server, models, plain=False, **({"reasoning_effort": effort} if effort else {}))


@pytest.mark.parametrize("model", [model for model in MODELS if model.provider in ("anthropic", "gemini")], ids=str)
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_own_thinking_comes_back_in_a_tool_loop(server: StrictServer, model: Model, streamed: bool) -> None:
    """Three rounds of calls with thinking: the server refuses a round that lost or changed what it signed."""
    server.forget()
    messages: list[Any] = [{"role": "user", "content": "Look it up. [call]"}]
    for _ in range(3):
        server.script(
            Script("", "so I think", [("lookup", '{"q":"é漢🦀"}'), ("now", "{}")], "tool_calls", Tokens(reasoning=9))
        )
        request = {"messages": messages, "tools": TOOLS[:2], "reasoning_effort": "medium", "max_tokens": 20000}
        if model.name.startswith("anthropic/claude-3-"):
            request["max_tokens"] = 4000
        if streamed:
            told = joined(ask(server, model, **request, stream=True))["choices"][0]
            calls = [
                {"id": call["id"], "type": "function", "function": {k: call[k] for k in ("name", "arguments")}}
                for call in told["calls"].values()
            ]
            messages.append({"role": "assistant", "content": told["content"] or None, "tool_calls": calls})
            messages += [{"role": "tool", "tool_call_id": call["id"], "content": "a bird"} for call in calls]
        else:
            follow(messages, ask(server, model, **request))
        assert not server.refused
    assert ask(server, model, messages=messages, tools=TOOLS[:2], max_tokens=4000).choices[0].message.content
    assert not server.refused


@pytest.mark.parametrize(
    "model", [model for model in MODELS if "images" not in model.has and model.provider == "openai"], ids=str
)
def test_what_a_model_lacks_is_told_before_it_is_asked(server: StrictServer, model: Model) -> None:
    server.forget()
    content = [{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": PNG}}]
    with pytest.raises(FerrouteError, match="image") as caught:
        ask(server, model, messages=[{"role": "user", "content": content}])
    assert model.name.partition("/")[2] in str(caught.value)
    assert not server.requests


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_schema_output_is_content(server: StrictServer, model: Model) -> None:
    """Also where the model knows no schemas and a forced tool stands in: never a call, in either form."""
    server.forget()
    forced = model.provider == "anthropic" and any(word in model.name for word in ("claude-3-", "claude-sonnet-4-2"))
    form = {"type": "json_schema", "json_schema": SCHEMA}
    for stream in (False, True):
        if forced:
            server.script(Script("", "", [("", '{"ans": "é漢🦀"}')], "tool_calls"))
        request = {"messages": [{"role": "user", "content": "as json"}], "response_format": form, "stream": stream}
        answer = ask(server, model, **request)
        told = (joined(answer) if stream else whole(answer))["choices"][0]
        assert not server.refused
        if forced:
            sent = server.requests[-1].json
            assert sent["tool_choice"]["type"] == "tool" and sent["tools"][0]["input_schema"] == SCHEMA["schema"]
        assert json.loads(told["content"]) == {"ans": "é漢🦀"}
        assert not told["calls"] and told["finish"] == "stop"
