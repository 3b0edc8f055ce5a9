"""Gemini through the Python face, against the server that refuses what Google refuses."""

from __future__ import annotations

import json

import pytest

import ferroute
from servers.script import Script, Tokens
from servers.strict import StrictServer

TOOLS = [
    {
        "type": "function",
        "function": {"name": name, "parameters": {"type": "object", "properties": {"q": {"type": "string"}}}},
    }
    for name in ("lookup", "1st-guess")
]


@pytest.fixture(scope="module")
def server():
    with StrictServer() as running:
        yield running


def ask(server, messages, model="gemini/gemini-3-flash-preview", **more):
    return ferroute.completion(model=model, messages=messages, api_base=server.base("gemini"), api_key="k", **more)


@pytest.mark.parametrize("rebuilt", [False, True])
def test_a_loop_of_tools_keeps_its_signatures(server, rebuilt):
    """Also for callers who rebuild the message from the fields they know."""
    server.forget()
    messages = [{"role": "user", "content": f"[call][aloud] {rebuilt}"}]
    first = ask(server, messages, tools=TOOLS, reasoning_effort="low").choices[0]
    assert first.finish_reason == "tool_calls"
    assert [call.function.name for call in first.message.tool_calls] == ["lookup", "1st-guess"]
    assert first.message.content == "Let me look."
    assert first.message.reasoning_content.startswith("thinking about")
    if rebuilt:
        calls = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.function.name, "arguments": call.function.arguments},
            }
            for call in first.message.tool_calls
        ]
        messages.append({"role": "assistant", "content": first.message.content, "tool_calls": calls})
    else:
        messages.append(first.message.model_dump())
    messages += [{"role": "tool", "tool_call_id": call.id, "content": "a bird"} for call in first.message.tool_calls]
    second = ask(server, messages, tools=TOOLS)
    assert second.choices[0].finish_reason == "stop"
    assert server.refused == []
    sent = json.loads(server.requests[-1].body)
    signed = [part for content in sent["contents"] for part in content["parts"] if "thoughtSignature" in part]
    assert len(signed) == 1
    assert "functionCall" in signed[0]


def test_a_conversation_comes_from_another_provider(server):
    server.forget()
    call = {"id": "toolu_1", "type": "function", "function": {"name": "lookup", "arguments": '{"q": "owl"}'}}
    thoughts = [{"type": "thinking", "thinking": "an owl", "signature": "c29uZXQ="}]
    messages = [
        {"role": "user", "content": "which animal?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [call],
            "thinking_blocks": thoughts,
            "reasoning_content": "an owl",
        },
        {"role": "tool", "tool_call_id": "toolu_1", "content": "a bird"},
    ]
    for model in ("gemini/gemini-2.5-flash", "gemini/gemini-3-flash-preview"):
        assert ask(server, messages, model=model).choices[0].finish_reason == "stop"
    assert server.refused == []
    assert all("c29uZXQ=" not in str(request.body) for request in server.requests)


def test_a_stream_says_what_the_answer_says_and_costs_as_much(server):
    server.forget()
    script = Script("Owl é漢🦀", "thinking", tokens=Tokens(prompt=900, cached=800, made=23, reasoning=20))
    server.script(script, script)
    messages = [{"role": "user", "content": "x"}]
    whole = ask(server, messages, model="gemini/gemini-2.5-flash", reasoning_effort="high")
    stream = ask(
        server,
        messages,
        model="gemini/gemini-2.5-flash",
        reasoning_effort="high",
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
    assert "".join(delta.content or "" for delta in deltas) == whole.choices[0].message.content == "Owl é漢🦀"
    assert "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas) == "thinking"
    used = whole.usage
    assert (used.prompt_tokens, used.completion_tokens, used.total_tokens) == (900, 23, 923)
    assert used.prompt_tokens_details.cached_tokens == 800
    assert used.completion_tokens_details.reasoning_tokens == 20
    assert chunks[-1].usage == used
    assert whole.routing.cost_usd is not None
    assert stream.routing.cost_usd == whole.routing.cost_usd


def test_what_is_left_out_is_said(server):
    with pytest.warns(UserWarning, match="logit_bias"):
        ask(server, [{"role": "user", "content": "x"}], logit_bias={"1": 2})
    with pytest.raises(ferroute.FerrouteError, match="verbosity"):
        ask(server, [{"role": "user", "content": "x"}], verbosity="low", policy=ferroute.CallPolicy(strict=True))
