"""What goes over the wire where two ways would be accepted, and the forms that only a few callers use."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any

import pytest

import ferroute
from ferroute.errors import FerrouteError
from requests_of_any_kind import PDF, PNG, TOOLS, WAV
from servers.compatible import PREFIXES
from servers.script import Script
from servers.strict import StrictServer

if TYPE_CHECKING:
    from collections.abc import Iterator

HELLO = [{"role": "user", "content": "Which animal?"}]


@pytest.fixture
def server() -> Iterator[StrictServer]:
    with StrictServer() as server:
        yield server


def ask(server: StrictServer, name: str, provider: str, **request: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ferroute.completion(
            **{"model": name, "messages": HELLO, "api_base": server.base(provider), "api_key": "k", "max_retries": 0}
            | request
        )


def sent(server: StrictServer) -> tuple[Any, dict[str, str]]:
    assert not server.refused
    return server.requests[-1].json, server.requests[-1].headers


@pytest.mark.parametrize(
    ("model", "asked", "version", "kept"),
    [
        ("claude-haiku-4-5", {"temperature": 0.3}, "2023-06-01", {"temperature": 0.3}),
        ("claude-haiku-4-5", {"temperature": 1.7}, "2023-06-01", {"temperature": 1}),
        ("claude-opus-4-6", {"temperature": 0.3, "top_p": 0.9}, "2023-06-01", None),
        ("claude-haiku-4-5", {}, "2026-10-21", {}),
        ("claude-opus-4-7", {"temperature": 0.3}, "2026-10-21", {}),
    ],
)
def test_sampling_decides_anthropics_version(
    server: StrictServer, model: str, asked: dict[str, Any], version: str, kept: dict[str, Any] | None
) -> None:
    ask(server, f"anthropic/{model}", "anthropic", **asked)
    body, headers = sent(server)
    assert headers["anthropic-version"] == version
    found = {name: body[name] for name in ("temperature", "top_p", "top_k") if name in body}
    assert found == kept if kept is not None else found["temperature"] == 0.3


def test_a_base_may_end_anywhere(server: StrictServer) -> None:
    """With or without the version's path and a slash, the path is never doubled."""
    for provider, name, ends in (
        ("anthropic", "anthropic/claude-haiku-4-5", ("", "/", "/v1", "/v1/")),
        ("gemini", "gemini/gemini-2.5-flash", ("", "/", "/v1beta", "/v1beta/")),
    ):
        for end in ends:
            assert ask(server, name, provider, api_base=f"{server.url}/{provider}{end}").choices[0].message.content
    assert not server.refused


def test_azure_by_deployment_and_by_version_one(server: StrictServer) -> None:
    ask(server, "azure/my-chat", "azure", api_version="2024-10-21")
    assert server.requests[-1].target == "/azure/openai/deployments/my-chat/chat/completions?api-version=2024-10-21"
    ask(server, "azure/my-chat", "azure", api_base=f"{server.url}/azure/openai/v1")
    assert server.requests[-1].target == "/azure/openai/v1/chat/completions"
    assert sent(server)[0]["model"] == "my-chat"


@pytest.mark.parametrize("stop", ["never_seen", "ESCALATION"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_reason_nobody_knows_is_not_fatal(server: StrictServer, stop: str, stream: bool) -> None:
    models = {"openai": "openai/gpt-4o", "anthropic": "anthropic/claude-haiku-4-5", "gemini": "gemini/gemini-2.5-flash"}
    for provider, name in models.items():
        server.script(Script("Owl", stop=stop))
        answer = ask(server, name, provider, stream=stream)
        if stream:
            text = "".join(chunk.choices[0].delta.content or "" for chunk in answer if chunk.choices)
        else:
            text = answer.choices[0].message.content
        assert text == "Owl"


LEGACY = [
    ("openai", "openai/gpt-4o"), ("anthropic", "anthropic/claude-haiku-4-5"), ("gemini", "gemini/gemini-3-pro-preview"),
    ("mistral", "mistral/mistral-small-latest"), ("groq", PREFIXES["groq"][0] + "maker/model"),
]  # fmt: skip


@pytest.mark.parametrize(("provider", "name"), LEGACY, ids=[provider for provider, _ in LEGACY])
@pytest.mark.parametrize("stream", [False, True])
def test_functions_before_there_were_tools(server: StrictServer, provider: str, name: str, stream: bool) -> None:
    """Asked in the old form, answered in the old form, and the result goes back in it."""
    functions = [tool["function"] for tool in TOOLS[:2]]
    request: dict[str, Any] = {"functions": functions, "function_call": {"name": "lookup"}}
    server.script(Script("", "", [("lookup", '{"q": "é漢🦀"}')], "tool_calls"))
    answer = ask(server, name, provider, stream=stream, **request)
    if stream:
        deltas = [(chunk.choices[0].delta, chunk.choices[0].finish_reason) for chunk in answer if chunk.choices]
        called = [delta.function_call for delta, _ in deltas if delta.function_call]
        told = {"name": "".join(c.name or "" for c in called), "arguments": "".join(c.arguments or "" for c in called)}
        finish = [reason for _, reason in deltas if reason]
    else:
        message = answer.choices[0].message
        assert message.tool_calls is None
        told, finish = message.function_call.model_dump(), [answer.choices[0].finish_reason]
    assert not server.refused
    assert told["name"] == "lookup" and json.loads(told["arguments"]) == {"q": "é漢🦀"} and finish == ["function_call"]
    messages = [
        *HELLO,
        {"role": "assistant", "content": None, "function_call": told},
        {"role": "function", "name": "lookup", "content": "a bird"},
    ]
    assert ask(server, name, provider, messages=messages, functions=functions).choices[0].message.content
    assert not server.refused


def test_what_a_dialect_cannot_carry_is_refused_before_it_is_sent(server: StrictServer) -> None:
    audio = [{"type": "text", "text": "What?"}, {"type": "input_audio", "input_audio": {"data": WAV, "format": "wav"}}]
    with pytest.raises(FerrouteError, match="audio"):
        ask(server, "anthropic/claude-haiku-4-5", "anthropic", messages=[{"role": "user", "content": audio}])
    assert not server.requests


def test_media_arrive_whole(server: StrictServer) -> None:
    content = [
        {"type": "image_url", "image_url": {"url": PNG}}, {"type": "image_url", "image_url": {"url": "https://a.example/b.png"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": PDF}}, {"type": "text", "text": "What?"},
    ]  # fmt: skip
    data = PNG.partition(",")[2]
    messages = [{"role": "user", "content": content}]
    ask(server, "anthropic/claude-haiku-4-5", "anthropic", messages=messages)
    blocks = sent(server)[0]["messages"][0]["content"]
    assert [block["type"] for block in blocks] == ["image", "image", "document", "text"]
    assert blocks[0]["source"] == {"type": "base64", "media_type": "image/png", "data": data}
    assert blocks[1]["source"] == {"type": "url", "url": "https://a.example/b.png"}
    assert blocks[2]["source"]["media_type"] == "application/pdf"
    ask(server, "gemini/gemini-2.5-flash", "gemini", messages=messages)
    parts = sent(server)[0]["contents"][0]["parts"]
    assert parts[0] == {"inlineData": {"mimeType": "image/png", "data": data}}
    assert parts[1]["fileData"]["fileUri"] == "https://a.example/b.png"
    assert parts[2]["inlineData"]["mimeType"] == "application/pdf" and parts[3] == {"text": "What?"}


EFFORTS: dict[str, dict[str, Any]] = {
    "gemini/gemini-2.5-flash": {"none": 0, "minimal": 512, "low": 1024, "medium": 8192, "high": 24576},
    "gemini/gemini-3-flash-preview": {name: name.upper() for name in ("minimal", "low", "medium", "high", "xhigh")},
    "gemini/gemini-3-pro-preview": {"none": "MINIMAL", "minimal": "MINIMAL", "xhigh": "XHIGH", "max": "XHIGH"},
}


@pytest.mark.parametrize("name", EFFORTS)
def test_efforts_of_gemini_by_the_table(server: StrictServer, name: str) -> None:
    for effort, expected in EFFORTS[name].items():
        ask(server, name, "gemini", reasoning_effort=effort)
        thinking = sent(server)[0]["generationConfig"]["thinkingConfig"]
        assert thinking.get("thinkingBudget", thinking.get("thinkingLevel")) == expected


@pytest.mark.parametrize(
    ("name", "asked", "kept"),
    [
        ("gemini/gemini-2.5-pro", {"reasoning_effort": "none"}, {"reasoning_effort": "minimal"}),
        ("gemini/gemini-3-pro-preview", {"reasoning_effort": "none"}, {"reasoning_effort": "xhigh"}),
        ("gemini/gemini-2.5-flash", {"max_tokens": 9_000_000}, {"max_tokens": 900}),
        ("anthropic/claude-opus-4-6", {"reasoning_effort": "xhigh"}, {"reasoning_effort": "max"}),
    ],
)
def test_what_is_changed_is_refused_when_strict(
    server: StrictServer, name: str, asked: dict[str, Any], kept: dict[str, Any]
) -> None:
    provider = name.partition("/")[0]
    strict = ferroute.CallPolicy(strict=True)
    ask(server, name, provider, policy=strict, **kept)
    assert len(server.requests) == 1
    with pytest.raises(FerrouteError, match=next(iter(asked))):
        ask(server, name, provider, policy=strict, **asked)
    assert len(server.requests) == 1
    ask(server, name, provider, **asked)
    assert len(server.requests) == 2


def test_efforts_of_claude_by_the_table(server: StrictServer) -> None:
    table = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max"}
    for effort, expected in table.items():
        ask(server, "anthropic/claude-opus-4-7", "anthropic", reasoning_effort=effort)
        assert sent(server)[0]["output_config"]["effort"] == expected
    for effort, budget in {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16384}.items():
        ask(server, "anthropic/claude-haiku-4-5", "anthropic", reasoning_effort=effort, max_tokens=60_000)
        assert sent(server)[0]["thinking"]["type"] == "enabled"
        assert sent(server)[0]["thinking"]["budget_tokens"] == budget
    for name in ("claude-haiku-4-5", "claude-opus-4-6"):
        ask(server, f"anthropic/{name}", "anthropic", reasoning_effort="none")
        assert sent(server)[0].get("thinking", {"type": "disabled"})["type"] == "disabled"
