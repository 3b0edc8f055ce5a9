"""Anthropic as a Python caller meets it: OpenAI's types both ways, and a loop of tool calls that keeps its proofs."""

from __future__ import annotations

import json
import warnings

import pytest

import ferroute
from fakeserver import Answer, FakeServer
from ferroute.errors import DroppedParameterWarning
from ferroute.policy import CallPolicy

THOUGHT = {"type": "thinking", "thinking": "hm", "signature": "c2lnbmVk"}
CALL = {"type": "tool_use", "id": "toolu_py", "name": "look", "input": {"q": "owl"}}
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}]
USAGE = {"input_tokens": 40, "cache_read_input_tokens": 800, "cache_creation_input_tokens": 60, "output_tokens": 25}


def message(*content, stop="end_turn"):
    body = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-haiku-4-5", "content": content}
    return Answer(body=json.dumps({**body, "stop_reason": stop, "usage": USAGE}).encode())


def events(*content, stop="end_turn"):
    """The same message as a stream."""
    told = [{"type": "message_start", "message": {"id": "msg_1", "model": "m", "usage": {**USAGE, "output_tokens": 1}}}]
    deltas = {
        "text": lambda block: [{"type": "text_delta", "text": letter} for letter in block["text"]],
        "thinking": lambda block: [
            {"type": "thinking_delta", "thinking": block["thinking"]},
            {"type": "signature_delta", "signature": block["signature"]},
        ],
        "tool_use": lambda block: [{"type": "input_json_delta", "partial_json": json.dumps(block["input"])}],
    }
    for index, block in enumerate(content):
        empty = {"text": "", "thinking": "", "signature": "", "input": {}}
        start = {name: empty.get(name, value) for name, value in block.items()}
        told.append({"type": "content_block_start", "index": index, "content_block": start})
        made = deltas[block["type"]](block)
        told += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in made]
        told.append({"type": "content_block_stop", "index": index})
    told.append({"type": "message_delta", "delta": {"stop_reason": stop}, "usage": {"output_tokens": 25}})
    told.append({"type": "message_stop"})
    return Answer(chunks=[f"event: {event['type']}\r\ndata: {json.dumps(event)}\r\n\r\n".encode() for event in told])


@pytest.fixture
def server():
    with FakeServer() as server:
        yield server


def ask(server, messages, model="anthropic/claude-haiku-4-5", **more):
    return ferroute.completion(model=model, messages=messages, api_base=server.url, api_key="k", max_retries=0, **more)


@pytest.mark.parametrize("rebuilt", [False, True])
def test_a_loop_of_tool_calls(server, rebuilt):
    server.then(message(THOUGHT, {"type": "text", "text": "Let me look."}, CALL, stop="tool_use"), message(THOUGHT))
    messages = [{"role": "user", "content": "Which animal?"}]
    first = ask(server, messages, tools=TOOLS, reasoning_effort="low", max_tokens=4000)
    said = first.choices[0].message
    assert (said.content, said.reasoning_content, first.choices[0].finish_reason) == (
        "Let me look.",
        "hm",
        "tool_calls",
    )
    assert json.loads(said.tool_calls[0].function.arguments) == {"q": "owl"}
    assert (first.usage.prompt_tokens, first.usage.prompt_tokens_details.cached_tokens) == (900, 800)
    # Callers repeat the object, or make a message of the fields they know, which loses the proof.
    calls = [call.model_dump() for call in said.tool_calls]
    again = {"role": "assistant", "content": said.content, "tool_calls": calls} if rebuilt else said
    messages += [again, {"role": "tool", "tool_call_id": said.tool_calls[0].id, "content": "a bird"}]
    ask(server, messages, tools=TOOLS, reasoning_effort="low", max_tokens=4000)
    sent = server.requests[1].json
    assert sent["messages"][1]["content"] == [THOUGHT, {"type": "text", "text": "Let me look."}, CALL]
    assert sent["thinking"] == {"type": "enabled", "budget_tokens": 2048}


def test_a_stream(server):
    server.then(events(THOUGHT, {"type": "text", "text": "Oul é漢"}, CALL, stop="tool_use"))
    stream = ask(server, [{"role": "user", "content": "x"}], stream=True, stream_options={"include_usage": True})
    chunks = list(stream)
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert "".join(delta.content or "" for delta in deltas) == "Oul é漢"
    assert [delta.thinking_blocks for delta in deltas if getattr(delta, "thinking_blocks", None)] == [[THOUGHT]]
    calls = [call for delta in deltas for call in delta.tool_calls or ()]
    assert (calls[0].id, calls[0].function.name) == ("toolu_py", "look")
    assert json.loads("".join(call.function.arguments or "" for call in calls)) == {"q": "owl"}
    assert (chunks[-1].usage.total_tokens, chunks[-2].choices[0].finish_reason) == (925, "tool_calls")
    assert server.requests[0].headers["anthropic-version"] == "2026-10-21"


def test_what_is_left_out_is_told(server):
    server.then(*[message({"type": "text", "text": "a"})] * 3)
    hello = [{"role": "user", "content": "x"}]
    with pytest.warns(DroppedParameterWarning, match="temperature"):
        ask(server, hello, model="anthropic/claude-opus-4-7-20991231", temperature=0.5)
    assert "temperature" not in server.requests[0].json
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ask(server, hello, temperature=0.5)
    assert server.requests[1].headers["anthropic-version"] == "2023-06-01"
    with pytest.raises(ferroute.FerrouteError, match="temperature"):
        ask(server, hello, model="anthropic/claude-opus-4-7-20991231", temperature=0.5, policy=CallPolicy(strict=True))


def test_what_no_claude_takes_is_told_with_its_place(server):
    sound = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
    with pytest.raises(ferroute.FerrouteError, match="audio"):
        ask(server, [{"role": "user", "content": [sound]}])
    wrong = [
        {"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "image_url", "image_url": {"url": "x"}}]}
    ]
    with pytest.raises(ferroute.FerrouteError, match=r"messages\[0\]\.content\[1\]"):
        ask(server, wrong)
    assert not server.requests
