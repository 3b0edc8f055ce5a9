"""Tokens of what nobody has counted, by the rule of the core: four characters each.

Only for calls that another package makes; those of ferroute's own are estimated in the core.
"""

from __future__ import annotations

import json
from typing import Any, cast

from ferroute import _json
from ferroute.errors import FerrouteError

_PER_MESSAGE = 4
# An image of ordinary size, as OpenAI counts one in high detail.
_PER_IMAGE = 765


def tokens(chars: int) -> int:
    """Tokens of a text of so many characters."""
    return -(-chars // 4)


def prompt_tokens(request: dict[str, Any]) -> int:
    """Tokens of a request's messages and tools; 0 where they cannot be read."""
    try:
        body = json.loads(_json.encode({name: request.get(name) for name in ("messages", "tools", "functions")}))
    except FerrouteError:
        return 0
    messages: list[Any] = body["messages"] if isinstance(body["messages"], list) else []
    tools = (body[name] for name in ("tools", "functions") if body[name])
    return sum(_PER_MESSAGE + _of_message(each) for each in messages) + sum(tokens(_chars(each)) for each in tools)


def made_chars(answer: Any) -> int:
    """Characters of the texts, reasoning and tool calls in an answer or chunk, of objects or dicts."""
    made = 0
    for choice in _listed(read(answer, "choices")):
        for said in (read(choice, "delta"), read(choice, "message")):
            texts = [read(said, name) for name in ("content", "reasoning_content", "refusal")]
            calls = [read(call, "function") for call in _listed(read(said, "tool_calls"))]
            for call in (*calls, read(said, "function_call")):
                texts += read(call, "name"), read(call, "arguments")
            made += sum(len(text) for text in texts if isinstance(text, str))
    return made


def is_last(chunk: Any) -> bool:
    """Whether a chunk says why the answer ends."""
    return any(read(choice, "finish_reason") for choice in _listed(read(chunk, "choices")))


def is_part(chunk: Any) -> bool:
    """Whether a chunk is part of an answer; one that only tells the usage is not."""
    return bool(_listed(read(chunk, "choices")))


def _listed(value: Any) -> list[Any] | tuple[Any, ...]:
    return cast("list[Any] | tuple[Any, ...]", value) if isinstance(value, (list, tuple)) else ()


def read(holder: Any, name: str) -> Any:
    """An attribute of an object, or an item of a dict; None where there is none."""
    if isinstance(holder, dict):
        return cast("dict[str, Any]", holder).get(name)
    return getattr(holder, name, None)


def _of_message(message: Any) -> int:
    content = read(message, "content")
    if isinstance(content, list):
        made = sum(_of_part(part) for part in cast("list[Any]", content))
    else:
        made = tokens(_chars(content)) if isinstance(content, str) else 0
    calls = read(message, "tool_calls")
    return made + (tokens(_chars(calls)) if calls else 0)


def _of_part(part: Any) -> int:
    text = read(part, "text") or read(part, "refusal")
    # The bytes of an image say nothing about its tokens.
    return tokens(len(text)) if isinstance(text, str) else _PER_IMAGE


def _chars(value: Any) -> int:
    """Characters in a value of JSON, names included."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, list):
        return sum(map(_chars, cast("list[Any]", value)))
    if isinstance(value, dict):
        return sum(len(name) + _chars(item) for name, item in cast("dict[str, Any]", value).items())
    return 1
