"""How OpenAI's Chat Completions and Embeddings answer, and the compatible providers, each by its `Rules`."""

from __future__ import annotations

import base64
import json
import struct
from typing import TYPE_CHECKING, Any

from servers.rules import Refused, one_of, only, require, text
from servers.script import Asked, Script, event, pieces, vector

if TYPE_CHECKING:
    from servers.openai import Rules


def error(refused: Refused) -> Any:
    return {
        "error": {
            "message": refused.message, "type": refused.kind or "invalid_request_error", "param": refused.param,
            "code": refused.code,
        }
    }  # fmt: skip


def usage(script: Script, asked: Asked, rules: Rules) -> Any:
    tokens = script.tokens
    made = tokens.made * asked.count
    base: dict[str, Any] = {
        "prompt_tokens": tokens.prompt,
        "completion_tokens": made,
        "total_tokens": tokens.prompt + made,
    }
    if rules.usage == "deepseek":
        return {
            **base,
            "prompt_cache_hit_tokens": tokens.cached,
            "prompt_cache_miss_tokens": tokens.prompt - tokens.cached,
        }
    if rules.usage == "plain":
        return base
    details = {"cached_tokens": tokens.cached, "cache_write_tokens": tokens.written, "audio_tokens": 0}
    reasoning = {
        "reasoning_tokens": tokens.reasoning,
        "audio_tokens": 0,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    }
    base |= {"prompt_tokens_details": details, "completion_tokens_details": reasoning}
    if rules.usage == "xai":  # reasoning beside the completion
        base |= {"completion_tokens": made - tokens.reasoning}
    if rules.usage == "cost":
        base["cost"] = 0.00123
    if rules.usage == "estimated_cost":
        base["estimated_cost"] = 0.00123
    return base


def _finish(script: Script, asked: Asked, rules: Rules) -> str:
    called = "function_call" if asked.legacy else "tool_calls"
    return called if script.calls else rules.stop if script.stop == "stop" else script.stop


def call_id(at: int, rules: Rules) -> str:
    return f"Call{at:05d}" if rules.call_id != r".+" and "9" in rules.call_id else f"call_{at}"


def answer(script: Script, asked: Asked, rules: Rules, serial: int, model: str | None = None) -> Any:
    """One whole answer, `n` choices of the same."""
    message: dict[str, Any] = {
        "role": "assistant",
        "content": script.text or (None if script.calls else ""),
        "refusal": None,
    }
    if script.thinking and not rules.by_family:
        message[rules.reasoning_field] = script.thinking
    if script.calls and asked.legacy:
        message["function_call"] = dict(zip(("name", "arguments"), script.calls[0], strict=True))
    elif script.calls:
        message["tool_calls"] = [
            {
                "id": call_id(serial * 10 + at, rules),
                "type": "function",
                "function": {"name": name, "arguments": arguments},
            }
            for at, (name, arguments) in enumerate(script.calls)
        ]
    choices = [
        {"index": at, "finish_reason": _finish(script, asked, rules), "logprobs": None, "message": message}
        for at in range(asked.count)
    ]
    return {
        "id": f"chatcmpl-{serial}", "object": "chat.completion", "created": 1795550000, "model": model or asked.model,
        **({"service_tier": "default"} if rules.by_family else {}), "choices": choices, "usage": usage(script,
        asked, rules), **rules.extra,
    }  # fmt: skip


def events(script: Script, asked: Asked, rules: Rules, serial: int, body: Any, model: str | None = None) -> list[bytes]:
    """The same as a stream."""
    base = {
        "id": f"chatcmpl-{serial}",
        "object": "chat.completion.chunk",
        "created": 1795550000,
        "model": model or asked.model,
    }
    told = (body.get("stream_options") or {}).get("include_usage", False)
    null = {"usage": None} if told else {}

    def chunk(at: int, delta: Any, finish: str | None = None, **more: Any) -> bytes:
        choice = {"index": at, "delta": delta, "logprobs": None, "finish_reason": finish}
        return event({**base, "choices": [choice], **null, "obfuscation": "x1", **more})

    out = [b": PROCESSING\n\n"] if rules.comments else []
    used = usage(script, asked, rules)
    for at in range(asked.count):
        out.append(chunk(at, {"role": "assistant", "content": "", "refusal": None}))
        if not rules.by_family:
            out += [chunk(at, {rules.reasoning_field: piece}) for piece in pieces(script.thinking)]
        out += [chunk(at, {"content": piece}) for piece in pieces(script.text)]
        for index, (name, arguments) in enumerate(script.calls):
            function = {"name": name, "arguments": ""}
            if asked.legacy:
                out.append(chunk(at, {"function_call": function}))
                out += [chunk(at, {"function_call": {"arguments": piece}}) for piece in pieces(arguments)]
                break
            first = {
                "index": index,
                "id": call_id(serial * 10 + index, rules),
                "type": "function",
                "function": function,
            }
            out.append(chunk(at, {"tool_calls": [first]}))
            out += [
                chunk(at, {"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
                for piece in pieces(arguments)
            ]
        last = {"usage": used} if rules.usage_unasked else {}
        if rules.usage == "groq":
            last = {"x_groq": {"id": "req_1", "usage": used}}
        out.append(chunk(at, {}, _finish(script, asked, rules), **last))
    if rules.comments:
        out.append(b": PROCESSING\n\n")
    if told:
        out.append(event({**base, "choices": [], "usage": used}))
    return [*out, b"data: [DONE]\n\n"]


def embeddings(body: Any) -> Any:
    """Small vectors that depend on the text alone, exact in float32, in reverse order."""
    only(body, ("model", "input", "dimensions", "encoding_format", "user"), "")
    text(body.get("model"), "model")
    given = body.get("input")
    texts = [given] if isinstance(given, str) else given
    require(isinstance(texts, list) and texts, "input: expected a string or a list that is not empty", param="input")
    require(
        all(isinstance(item, (str, list, int)) and item != "" for item in texts), "'$.input' is invalid.", param="input"
    )
    one_of(body.get("encoding_format", "float"), ("float", "base64"), "encoding_format")
    rows = []
    for index, item in enumerate(texts):
        numbers = vector(item if isinstance(item, str) else json.dumps(item), body.get("dimensions", 4))
        packed = base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()
        rows.append(
            {
                "object": "embedding",
                "index": index,
                "embedding": packed if body.get("encoding_format") == "base64" else numbers,
            }
        )
    used = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
    return {"object": "list", "model": body["model"], "data": rows[::-1], "usage": used}
