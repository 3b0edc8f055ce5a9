"""A stream put together again, to be compared with the whole answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable


def joined(chunks: Iterable[Any]) -> dict[str, Any]:
    """Choices by index with content, reasoning, calls and reason; and the last usage told."""
    choices: dict[int, dict[str, Any]] = {}
    usage = None
    for chunk in chunks:
        told = chunk.model_dump() if hasattr(chunk, "model_dump") else chunk
        usage = told.get("usage") or usage
        for choice in told["choices"]:
            empty: dict[str, Any] = {"content": "", "reasoning": "", "calls": {}, "finish": None, "role": None}
            one = choices.setdefault(choice["index"], empty)
            delta = choice.get("delta") or {}
            one["role"] = delta.get("role") or one["role"]
            one["content"] += delta.get("content") or ""
            one["reasoning"] += delta.get("reasoning_content") or delta.get("reasoning") or ""
            for call in delta.get("tool_calls") or ():
                known = one["calls"].setdefault(call["index"], {"id": None, "name": "", "arguments": ""})
                known["id"] = call.get("id") or known["id"]
                function = call.get("function") or {}
                known["name"] += function.get("name") or ""
                known["arguments"] += function.get("arguments") or ""
            assert one["finish"] is None or not choice.get("finish_reason"), "a choice ends once"
            one["finish"] = choice.get("finish_reason") or one["finish"]
    return {"choices": [choices[at] for at in sorted(choices)], "usage": usage}


def whole(response: Any) -> dict[str, Any]:
    """The same of an answer that came at once."""
    told = response.model_dump() if hasattr(response, "model_dump") else response
    choices = []
    for choice in told["choices"]:
        message = choice["message"]
        calls = {at: {"id": call["id"], **call["function"]} for at, call in enumerate(message.get("tool_calls") or ())}
        reasoning = message.get("reasoning_content") or message.get("reasoning") or ""
        choices.append({
            "content": message.get("content") or "", "reasoning": reasoning, "calls": calls,
            "finish": choice["finish_reason"], "role": message.get("role"),
        })  # fmt: skip
    return {"choices": choices, "usage": told.get("usage")}
