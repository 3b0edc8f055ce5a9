"""Strategies for chat requests that are valid in OpenAI's shape, whatever the model behind them takes."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

PNG = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAA"
    "AABJRU5ErkJggg=="
)
PDF = "data:application/pdf;base64,JVBERi0xLjQKJUVPRgo="
WAV = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQAAAAA="

TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": "lookup", "description": "find a fact", "strict": True,
            "parameters": {
                "type": "object", "properties": {"q": {"$ref": "#/$defs/question"}}, "required": ["q"],
                "additionalProperties": False, "$defs": {"question": {"type": "string"}},
            },
        },
    },
    {"type": "function", "function": {"name": "now"}},
    {"type": "function", "function": {"name": "get-weather_2", "description": "", "parameters": {}}},
]  # fmt: skip
SCHEMA = {
    "name": "ans",
    "strict": True,
    "schema": {"type": "object", "properties": {"ans": {"type": "string"}}, "additionalProperties": False},
}

words = st.sampled_from(["Which animal?", "é漢🦀", "a\nb", "[aloud] tell me", "x" * 300, "{}", '"', "now as json"])
odd_ids = st.sampled_from(["call_1", "functions.lookup:0", "é|漢", "x" * 64, "toolu_01ABC", "abc123XYZ", "a/b+c=", "1"])
arguments = st.sampled_from(['{"q":"owl"}', "{}", "", '{"q": "é\\u6f22", "deep": {"a": [1, null]}}', '{"broken":'])
FORMATS: list[dict[str, Any]] = [
    {"type": "text"},
    {"type": "json_object"},
    {"type": "json_schema", "json_schema": SCHEMA},
]


def parts(needs: set[str]) -> st.SearchStrategy[Any]:
    """Content of a user message: a text, or a list of parts of the kinds in `needs`."""
    choices: list[st.SearchStrategy[Any]] = [st.builds(lambda text: {"type": "text", "text": text}, words)]
    if "images" in needs:
        urls = st.sampled_from([PNG, "https://example.com/owl.png"])
        choices.append(st.builds(lambda url: {"type": "image_url", "image_url": {"url": url, "detail": "low"}}, urls))
    if "audio" in needs:
        choices.append(st.just({"type": "input_audio", "input_audio": {"data": WAV, "format": "wav"}}))
    if "files" in needs:
        choices.append(st.just({"type": "file", "file": {"filename": "a.pdf", "file_data": PDF}}))
    return st.one_of(words, st.lists(st.one_of(choices), min_size=1, max_size=3))


@st.composite
def histories(draw: Any, needs: set[str]) -> list[dict[str, Any]]:
    """A conversation that waits for the model: it ends with the user, or with the results of all calls."""
    messages: list[dict[str, Any]] = []
    role = draw(st.sampled_from([None, "system", "developer"]))
    if role:
        messages.append(
            {"role": role, "content": draw(st.one_of(words, st.just([{"type": "text", "text": "Be brief."}])))}
        )
    for turn in range(draw(st.integers(0, 3))):
        messages.append({"role": "user", "content": draw(parts(needs))})
        kind = draw(st.sampled_from(["text", "calls", "two users", "system"]))
        if kind == "text":
            messages.append({"role": "assistant", "content": draw(words)})
        elif kind == "system":
            messages.append({"role": draw(st.sampled_from(["system", "developer"])), "content": draw(words)})
        elif kind == "calls" and "tools" in needs:
            messages += draw(calls(turn))
            if draw(st.booleans()):
                messages.append({"role": "assistant", "content": draw(words)})
    if not messages or messages[-1]["role"] != "tool" or draw(st.booleans()):
        messages.append({"role": "user", "content": draw(parts(needs))})
    return messages


@st.composite
def calls(draw: Any, turn: int) -> list[dict[str, Any]]:
    """An assistant turn with calls, and their results in any order."""
    made = []
    for at in range(draw(st.integers(1, 3))):
        identity = f"{draw(odd_ids)}{turn}{at}"
        function = {"name": draw(st.sampled_from(["lookup", "now"])), "arguments": draw(arguments)}
        made.append({"id": identity, "type": "function", "function": function})
    said = draw(st.sampled_from([None, "", "Let me look."]))
    results = [
        {
            "role": "tool",
            "tool_call_id": call["id"],
            "content": draw(st.sampled_from(["a bird", "", '{"a": 1}', "[1]"])),
        }
        for call in made
    ]
    return [{"role": "assistant", "content": said, "tool_calls": made}, *draw(st.permutations(results))]


PARAMETERS: dict[str, st.SearchStrategy[Any]] = {
    "temperature": st.sampled_from([0, 0.3, 1, 2]), "top_p": st.sampled_from([0.1, 1]),
    "presence_penalty": st.sampled_from([-1.5, 0, 1]), "frequency_penalty": st.sampled_from([0, 0.5]),
    "seed": st.integers(0, 1000), "stop": st.sampled_from(["END", ["a", "b", "c", "d"], ["\n\n"], [" ", "x"], []]),
    "n": st.sampled_from([1, 2, 3]), "user": st.just("someone"), "logit_bias": st.just({"50256": -100}),
    "reasoning_effort": st.sampled_from(["none", "minimal", "low", "medium", "high", "xhigh", "max"]),
    "verbosity": st.sampled_from(["low", "high"]), "service_tier": st.sampled_from(["auto", "default"]),
    "response_format": st.sampled_from(FORMATS), "metadata": st.just({"a": "b"}), "store": st.just(False),
    "safety_identifier": st.just("s"), "prompt_cache_key": st.just("p"),
}  # fmt: skip


@st.composite
def requests(draw: Any, needs: set[str]) -> dict[str, Any]:
    """Keywords of one completion that needs no more than `needs` (of images, tools, audio, files)."""
    request: dict[str, Any] = {"messages": draw(histories(needs))}
    chosen = draw(st.lists(st.sampled_from(sorted(PARAMETERS)), max_size=5, unique=True))
    request |= {name: draw(PARAMETERS[name]) for name in chosen}
    length = draw(st.sampled_from([None, "max_tokens", "max_completion_tokens"]))
    if length:
        request[length] = draw(st.sampled_from([1, 300, 2000]))
    if draw(st.integers(0, 4)) == 0:
        request["logprobs"] = True
        if draw(st.booleans()):
            request["top_logprobs"] = 3
    if "tools" in needs and draw(st.booleans()):
        request["tools"] = TOOLS[: draw(st.integers(1, 3))]
        named = {"type": "function", "function": {"name": "lookup"}}
        choice = draw(st.sampled_from([None, "auto", "none", "required", named]))
        if choice is not None:
            request["tool_choice"] = choice
        if draw(st.booleans()):
            request["parallel_tool_calls"] = draw(st.booleans())
    return json.loads(json.dumps(request))
