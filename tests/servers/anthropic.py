"""Anthropic's Messages, in both API versions: what it refuses, and how it answers."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from servers.rules import Refused, number, one_of, only, require, text, version, whole
from servers.script import Asked, Script, event, pieces, signature

OLD, NEW = "2023-06-01", "2026-10-21"
FIELDS = {
    "model", "max_tokens", "messages", "system", "metadata", "stop_sequences", "stream", "temperature", "top_p",
    "top_k",
    "tools", "tool_choice", "thinking", "output_config", "service_tier", "speed", "container", "inference_geo",
    "cache_control",
}  # fmt: skip
KINDS = {
    400: "invalid_request_error", 401: "authentication_error", 402: "billing_error", 403: "permission_error",
    404: "not_found_error", 409: "conflict_error", 413: "request_too_large", 429: "rate_limit_error", 500: "api_error",
    503: "overloaded_error", 504: "timeout_error", 529: "overloaded_error",
}  # fmt: skip
EFFORTS = ("low", "medium", "high", "xhigh", "max")


@dataclass(frozen=True)
class Family:
    """What a Claude takes, by the number in its name."""

    number: tuple[int, int]
    longest: int

    @property
    def adaptive(self) -> bool:
        return self.number >= (4, 6)

    @property
    def budgeted(self) -> bool:
        return (3, 7) <= self.number < (4, 6)

    @property
    def effort(self) -> bool:
        return self.number >= (4, 6)

    @property
    def schema(self) -> bool:
        return self.number >= (4, 5)

    @property
    def samples(self) -> bool:
        return self.number < (4, 7)


def family(model: str) -> Family:
    found = version(model, "claude-")
    longest = {(3, 0): 4096, (3, 5): 8192}.get(found, 32_000 if "opus" in model and found < (4, 5) else 64_000)
    return Family(found, 128_000 if found >= (4, 6) else longest)


def check(headers: dict[str, str], body: Any) -> Asked:
    key = headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")
    require(key, "x-api-key header is required", 401)
    asked_version = headers.get("anthropic-version")
    require(asked_version, "anthropic-version: header is required")
    one_of(asked_version, (OLD, NEW), "anthropic-version")
    require(headers.get("content-type", "").startswith("application/json"), "content-type: expected application/json")
    only(body, FIELDS, "")
    text(body.get("model"), "model")
    kind = family(body["model"])
    require(kind.number != (0, 0), f"model: {body['model']}", 404)
    require("max_tokens" in body, "max_tokens: Field required")
    whole(body["max_tokens"], 1, kind.longest, "max_tokens")
    _sampling(body, asked_version == NEW, kind)
    thinking = _thinking(body, kind)
    tools = _tools(body, thinking)
    schema = _output(body, kind)
    _others(body)
    after_tools, said = _messages(body.get("messages"), asked_version == NEW, thinking)
    choice = body.get("tool_choice", {"type": "auto"})
    word = {"any": "required", "tool": choice.get("name", "")}.get(choice["type"], choice["type"])
    parallel = not choice.get("disable_parallel_tool_use", False)
    return Asked(body["model"], said, tools, word, parallel, thinking in ("enabled", "adaptive"), after_tools, schema)


def _sampling(body: dict[str, Any], new: bool, kind: Family) -> None:
    for name in ("temperature", "top_p", "top_k"):
        if name not in body:
            continue
        require(not new, f"{name}: not supported with anthropic-version {NEW}")
        if name == "top_k":
            whole(body[name], 0, 1_000_000, name)
        else:
            number(body[name], 0, 1, name)
        if not kind.samples:
            require(name != "top_k" and body[name] == 1, f"{name}: only the default is supported by this model")


def _thinking(body: dict[str, Any], kind: Family) -> str:
    thinking = body.get("thinking")
    if thinking is None:
        return ""
    one_of(thinking.get("type"), ("enabled", "adaptive", "disabled"), "thinking.type")
    only(
        thinking,
        {"enabled": ("type", "budget_tokens", "display"), "adaptive": ("type", "display")}.get(
            thinking["type"], ("type",)
        ),
        "thinking.",
    )
    if thinking["type"] == "enabled":
        require(kind.budgeted, "thinking.type: 'enabled' is not supported by this model")
        whole(thinking.get("budget_tokens"), 1024, 1_000_000, "thinking.budget_tokens")
        require(
            thinking["budget_tokens"] < body["max_tokens"], "`max_tokens` must be greater than `thinking.budget_tokens`"
        )
        require(body.get("temperature", 1) == 1, "`temperature` may only be set to 1 when thinking is enabled")
        require("top_k" not in body, "`top_k` must be unset when thinking is enabled")
        require(
            body.get("top_p", 1) >= 0.95,
            "`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled",
        )
    elif thinking["type"] == "adaptive":
        require(kind.adaptive, "thinking.type: 'adaptive' is not supported by this model")
    else:
        require(kind.budgeted or kind.adaptive, "thinking: not supported by this model")
    return thinking["type"]


def _tools(body: dict[str, Any], thinking: str) -> list[str]:
    names: list[str] = []
    for at, tool in enumerate(body.get("tools", ())):
        where = f"tools.{at}."
        only(tool, ("name", "description", "input_schema", "strict", "type", "cache_control"), where)
        name = tool.get("name")
        require(
            isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9_-]{1,128}", name), f"{where}name: {name!r} is invalid"
        )
        require(name not in names, "tools: Tool names must be unique.")
        require(
            "description" not in tool or isinstance(tool["description"], str), f"{where}description: expected a string"
        )
        schema = tool.get("input_schema")
        require(
            isinstance(schema, dict) and schema.get("type") == "object", f"{where}input_schema.type: expected 'object'"
        )
        names.append(name)
    choice = body.get("tool_choice")
    if choice is not None:
        require(names, "tool_choice: may only be specified while providing tools")
        one_of(choice.get("type"), ("auto", "any", "tool", "none"), "tool_choice.type")
        allowed = {
            "auto": ("type", "disable_parallel_tool_use"),
            "any": ("type", "disable_parallel_tool_use"),
            "none": ("type",),
        }
        only(choice, allowed.get(choice["type"], ("type", "name", "disable_parallel_tool_use")), "tool_choice.")
        if choice["type"] == "tool":
            one_of(choice.get("name"), names, "tool_choice.name")
        if choice["type"] in ("tool", "any"):
            require(thinking in ("", "disabled"), "Thinking may not be enabled when tool_choice forces tool use.")
    return names


def _output(body: dict[str, Any], kind: Family) -> Any:
    config = body.get("output_config")
    if config is None:
        return None
    only(config, ("effort", "format"), "output_config.")
    if "effort" in config:
        require(kind.effort, "output_config.effort: not supported by this model")
        one_of(config["effort"], EFFORTS, "output_config.effort")
    if "format" not in config:
        return None
    require(kind.schema, "output_config.format: not supported by this model")
    only(config["format"], ("type", "schema"), "output_config.format.")
    one_of(config["format"].get("type"), ("json_schema",), "output_config.format.type")
    require(isinstance(config["format"].get("schema"), dict), "output_config.format.schema: expected an object")
    return config["format"]["schema"]


def _others(body: dict[str, Any]) -> None:
    if "metadata" in body:
        only(body["metadata"], ("user_id",), "metadata.")
        text(body["metadata"].get("user_id"), "metadata.user_id")
    if "service_tier" in body:
        one_of(body["service_tier"], ("auto", "standard_only"), "service_tier")
    if "speed" in body:
        one_of(body["speed"], ("standard", "fast"), "speed")
    for stop in body.get("stop_sequences", ()):
        require(
            isinstance(stop, str) and stop.strip(), "stop_sequences: each stop sequence must contain non-whitespace"
        )
    if "cache_control" in body:
        _cache(body["cache_control"], "cache_control")
    system = body.get("system", "x")
    if isinstance(system, list):
        for at, block in enumerate(system):
            only(block, ("type", "text", "cache_control", "citations"), f"system.{at}.")
            one_of(block.get("type"), ("text",), f"system.{at}.type")
            require(block.get("text", "").strip(), f"system.{at}: text content blocks must be non-empty")
    else:
        text(system, "system")


def _cache(value: Any, where: str) -> None:
    only(value, ("type", "ttl"), f"{where}.")
    one_of(value.get("type"), ("ephemeral",), f"{where}.type")
    one_of(value.get("ttl", "5m"), ("5m", "1h"), f"{where}.ttl")


BLOCKS = {
    "text": ("type", "text", "cache_control", "citations"), "image": ("type", "source", "cache_control"),
    "document": ("type", "source", "title", "context", "citations", "cache_control"),
    "tool_use": ("type", "id", "name", "input", "cache_control"), "thinking": ("type", "thinking", "signature"),
    "tool_result": ("type", "tool_use_id", "content", "is_error", "cache_control"), "redacted_thinking": ("type",
    "data"),
}  # fmt: skip
OF_ROLE = {
    "user": ("text", "image", "document", "tool_result"),
    "assistant": ("text", "tool_use", "thinking", "redacted_thinking", "document"),
}


def _messages(messages: Any, new: bool, thinking: str) -> tuple[bool, str]:
    require(isinstance(messages, list) and messages, "messages: at least one message is required")
    seen: set[str] = set()
    waiting: list[str] = []
    said, before = "", "assistant"
    for at, message in enumerate(messages):
        where = f"messages.{at}"
        only(message, ("role", "content"), f"{where}.")
        one_of(message.get("role"), ("user", "assistant"), f"{where}.role")
        role = message["role"]
        require(role != before, f"{where}: roles must alternate between user and assistant, the first is a user turn")
        before = role
        content = message.get("content")
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        require(isinstance(blocks, list) and blocks, f"{where}.content: expected content that is not empty")
        for number_, block in enumerate(blocks):
            _block(block, f"{where}.content.{number_}", role, new)
        if role == "assistant":
            require(not waiting, f"{where}: `tool_use` ids were found without `tool_result` blocks: {waiting}")
            waiting = [block["id"] for block in blocks if block["type"] == "tool_use"]
            for identity in waiting:
                require(identity not in seen, f"{where}: `tool_use` ids must be unique, {identity} is not")
                seen.add(identity)
            _order(blocks, where)
        else:
            _results(blocks, waiting, where)
            waiting = []
            said = "".join(block.get("text", "") for block in blocks)
    require(not waiting, f"`tool_use` ids were found without `tool_result` blocks: {waiting}")
    if thinking in ("enabled", "adaptive"):
        _loop(messages, thinking)
    last = messages[-1]["content"]
    return isinstance(last, list) and any(block["type"] == "tool_result" for block in last), said


def _order(blocks: list[Any], where: str) -> None:
    """Thinking comes first, whatever else a turn holds."""
    kinds = [block["type"] in ("thinking", "redacted_thinking") for block in blocks]
    require(kinds == sorted(kinds, reverse=True), f"{where}: thinking blocks must be at the start of the turn")
    require(not all(kinds), f"{where}: the turn holds nothing but thinking")


def _results(blocks: list[Any], waiting: list[str], where: str) -> None:
    results = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
    for identity in results:
        require(identity in waiting, f"{where}: unexpected `tool_use_id` in `tool_result`: {identity}")
    require(len(set(results)) == len(results), f"{where}: each tool_use must have a single result")
    missing = sorted(set(waiting) - set(results))
    require(
        not missing, f"{where}: `tool_use` ids were found without `tool_result` blocks immediately after: {missing}"
    )
    first = [block["type"] == "tool_result" for block in blocks]
    require(first == sorted(first, reverse=True), f"{where}: tool_result blocks must come first in the content")


def _loop(messages: list[Any], thinking: str) -> None:
    """In a tool loop, thinking comes back as it was; with a budget, such a turn must begin with it."""
    for message in reversed(messages):
        blocks = [] if isinstance(message["content"], str) else message["content"]
        if message["role"] == "user":
            if not any(block["type"] == "tool_result" for block in blocks):
                return
            continue
        begins = blocks[0]["type"] in ("thinking", "redacted_thinking") if blocks else False
        own = any(block["type"] == "tool_use" and block["id"].startswith("toolu_signed") for block in blocks)
        if thinking == "enabled" or own:
            require(
                begins,
                "Expected `thinking` or `redacted_thinking`, but found `tool_use`: a loop lost its thinking",
            )


def _block(block: Any, where: str, role: str, new: bool) -> None:
    require(isinstance(block, dict), f"{where}: expected an object")
    kind = block.get("type")
    one_of(kind, OF_ROLE[role], f"{where}.type")
    only(block, BLOCKS[kind], f"{where}.")
    if "cache_control" in block:
        _cache(block["cache_control"], f"{where}.cache_control")
    if kind == "text":
        text(block.get("text"), f"{where}.text")
        require(block["text"].strip(), f"{where}: text content blocks must contain non-whitespace text")
        require(
            not (new and role == "user" and block.get("citations")),
            f"{where}.citations: not permitted in a user message",
        )
    elif kind == "image":
        _source(block.get("source"), where, r"image/(png|jpeg|gif|webp)")
    elif kind == "document":
        require(
            not (new and role == "assistant"), f"{where}: document blocks are not permitted in an assistant message"
        )
        _source(block.get("source"), where, r"application/pdf")
    elif kind == "tool_use":
        fits = isinstance(block.get("id"), str) and re.fullmatch(r"[a-zA-Z0-9_-]+", block["id"])
        require(fits, f"{where}.id: String should match pattern '^[a-zA-Z0-9_-]+$', found {block.get('id')!r}")
        require(isinstance(block.get("input"), dict), f"{where}.input: Input should be a valid dictionary")
        text(block.get("name"), f"{where}.name")
    elif kind == "thinking":
        text(block.get("thinking"), f"{where}.thinking")
        good = block.get("signature") == signature("anthropic", block["thinking"])
        require(good, f"{where}: Invalid `signature` in `thinking` block")
    elif kind == "redacted_thinking":
        require(
            block.get("data") == signature("anthropic", "redacted"),
            f"{where}: Invalid `data` in `redacted_thinking` block",
        )
    elif kind == "tool_result":
        content = block.get("content", "")
        require(isinstance(block.get("is_error", False), bool), f"{where}.is_error: expected a boolean")
        for at, part in enumerate([] if isinstance(content, str) else content):
            one_of(part.get("type"), ("text", "image", "document"), f"{where}.content.{at}.type")
            _block(part, f"{where}.content.{at}", "user", new)


def _source(source: Any, where: str, media: str) -> None:
    require(isinstance(source, dict), f"{where}.source: expected an object")
    one_of(source.get("type"), ("base64", "url"), f"{where}.source.type")
    if source["type"] == "url":
        only(source, ("type", "url"), f"{where}.source.")
        require(re.match(r"https://", source.get("url", "")), f"{where}.source.url: Only HTTPS URLs are supported.")
    else:
        only(source, ("type", "media_type", "data"), f"{where}.source.")
        require(
            re.fullmatch(media, source.get("media_type", "")),
            f"{where}.source.media_type: {source.get('media_type')!r}",
        )
        require(re.fullmatch(r"[A-Za-z0-9+/]+={0,2}", source.get("data", "")), f"{where}.source.data: not base64")


def error(refused: Refused) -> Any:
    kind = refused.kind or KINDS.get(refused.status, "api_error")
    return {"type": "error", "error": {"type": kind, "message": refused.message}, "request_id": "req_1"}


def _usage(script: Script) -> dict[str, Any]:
    tokens = script.tokens
    return {
        "input_tokens": tokens.prompt - tokens.cached - tokens.written, "cache_read_input_tokens": tokens.cached,
        "cache_creation_input_tokens": tokens.written,
        "cache_creation": {"ephemeral_5m_input_tokens": tokens.written, "ephemeral_1h_input_tokens": 0},
        "output_tokens": tokens.made, "output_tokens_details": {"thinking_tokens": tokens.reasoning},
        "service_tier": "standard",
    }  # fmt: skip


def _blocks(script: Script, serial: int) -> list[Any]:
    blocks: list[Any] = []
    if script.thinking:
        blocks.append(
            {"type": "thinking", "thinking": script.thinking, "signature": signature("anthropic", script.thinking)}
        )
        blocks.append({"type": "redacted_thinking", "data": signature("anthropic", "redacted")})
    if script.text:
        blocks.append({"type": "text", "text": script.text})
    prefix = "toolu_signed" if script.thinking else "toolu"
    for at, (name, arguments) in enumerate(script.calls):
        blocks.append(
            {"type": "tool_use", "id": f"{prefix}_{serial}_{at}", "name": name, "input": json.loads(arguments)}
        )
    return blocks


STOPS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}


def _stop(script: Script) -> str:
    return "tool_use" if script.calls else STOPS.get(script.stop, script.stop)


def answer(script: Script, asked: Asked, serial: int) -> Any:
    return {
        "id": f"msg_{serial}", "type": "message", "role": "assistant", "model": asked.model,
        "stop_reason": _stop(script),
        "stop_sequence": None, "content": _blocks(script, serial), "usage": _usage(script),
    }  # fmt: skip


def events(script: Script, asked: Asked, serial: int) -> list[bytes]:
    used = _usage(script)
    start = {
        "id": f"msg_{serial}", "type": "message", "role": "assistant", "model": asked.model, "content": [],
        "stop_reason": None, "stop_sequence": None, "usage": {**used, "output_tokens": 1,
        "output_tokens_details": None},
    }  # fmt: skip
    out = [_event("message_start", message=start), _event("ping")]
    for index, block in enumerate(_blocks(script, serial)):
        empty = {"text": "", "thinking": "", "signature": "", "input": {}}
        shown = (
            {name: empty.get(name, value) for name, value in block.items()}
            if block["type"] != "redacted_thinking"
            else block
        )
        out.append(_event("content_block_start", index=index, content_block=shown))
        deltas: list[Any] = []
        if block["type"] == "text":
            deltas = [{"type": "text_delta", "text": piece} for piece in pieces(block["text"])]
        elif block["type"] == "thinking":
            deltas = [{"type": "thinking_delta", "thinking": piece} for piece in pieces(block["thinking"])]
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
        elif block["type"] == "tool_use" and block["input"]:  # an empty input has no fragments
            arguments = json.dumps(block["input"], ensure_ascii=False)
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ["", *pieces(arguments)]]
        out += [_event("content_block_delta", index=index, delta=delta) for delta in deltas]
        out.append(_event("content_block_stop", index=index))
        out.append(_event("something_new", index=index))  # events nobody knows are no error
    last = {"stop_reason": _stop(script), "stop_sequence": None}
    final = {"output_tokens": used["output_tokens"], "output_tokens_details": used["output_tokens_details"]}
    return [*out, _event("message_delta", delta=last, usage=final), _event("message_stop")]


def _event(kind: str, **more: Any) -> bytes:
    return event({"type": kind, **more}, kind)
