"""OpenAI's Chat Completions: what they refuse; `openai_says` says how they answer.

The same checks serve the compatible providers, each with the `Rules` of its row in `compatible.py`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from servers.rules import number, one_of, only, refuse, require, text, version, whole
from servers.script import Asked

SAMPLING = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "logprobs", "top_logprobs", "logit_bias")
FIELDS = {
    "model", "messages", "max_completion_tokens", "max_tokens", "reasoning_effort", *SAMPLING, "verbosity",
    "response_format", "tools", "tool_choice", "parallel_tool_calls", "stream", "stream_options", "n", "seed", "stop",
    "user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options", "service_tier",
    "store", "metadata", "modalities", "audio", "prediction", "web_search_options", "functions", "function_call",
}  # fmt: skip
MESSAGE_FIELDS = {
    "role",
    "content",
    "name",
    "refusal",
    "tool_calls",
    "function_call",
    "tool_call_id",
    "audio",
    "annotations",
}
# Signs of other providers' thinking. OpenAI itself and the strict ones take no such field.
FOREIGN = {"thinking_blocks", "extra_content"}
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


@dataclass(frozen=True)
class Rules:
    """How one provider differs; the defaults are those of a compatible server that knows little."""

    fields: frozenset[str] | None = None  # the ones it knows, where others are an error
    unknown: int = 400
    roles: tuple[str, ...] = ("system", "user", "assistant", "tool", "function")
    lengths: tuple[str, ...] = ("max_tokens",)
    refused: tuple[str, ...] = ()  # parameters
    choices: tuple[str, ...] = ("none", "auto", "required")
    call_id: str = r".+"
    most_temperature: float = 2.0
    most_n: int = 128
    foreign: frozenset[str] = frozenset(FOREIGN)
    alternates: bool = False
    model: str = r".+"
    by_family: bool = False  # OpenAI's own models, each with its rules
    # How it answers.
    stop: str = "stop"
    reasoning_field: str = "reasoning_content"
    usage: str = "openai"
    usage_unasked: bool = False  # on the last chunk of every stream
    comments: bool = False
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Family:
    """What one of OpenAI's models takes."""

    reasons: bool
    efforts: tuple[str, ...]
    images: bool = True
    audio: bool = False
    tools_with_effort: bool = True


def family(model: str) -> Family:
    if re.match(r"o\d", model):
        return Family(True, ("low", "medium", "high"), images="mini" not in model or model.startswith("o4"))
    if model.startswith("gpt-") and "-chat" not in model:
        major, minor = version(model, "gpt-")
        if major >= 5:
            efforts = (
                ("minimal", "low", "medium", "high") if (major, minor) == (5, 0) else ("none", "low", "medium", "high")
            )
            if (major, minor) >= (5, 2):
                efforts += ("xhigh",)
            if (major, minor) >= (5, 6):
                efforts += ("max",)
            return Family(True, efforts, tools_with_effort=(major, minor) != (5, 6))
    return Family(False, (), images="gpt-3.5" not in model, audio="audio" in model)


def check_chat(body: Any, rules: Rules) -> Asked:
    """Refuses what the provider would refuse, else says what is asked for."""
    require(isinstance(body, dict), "the body must be a JSON object")
    model = body.get("model")
    text(model, "model")
    require(re.fullmatch(rules.model, model), f"The model `{model}` does not exist", 404, code="model_not_found")
    if rules.fields is not None:
        for name in body:
            code = "unsupported_parameter" if rules.by_family else None
            require(
                name in rules.fields,
                f"Unrecognized request argument supplied: {name}",
                rules.unknown,
                param=name,
                code=code,
            )
    for name in rules.refused:
        require(name not in body, f"`{name}` is not supported", param=name)
    _lengths(body, rules)
    _sampling(body, rules)
    tools = _tools(body, rules)
    if rules.by_family:
        _family(model, body)
    after_tools, said = _messages(body.get("messages"), rules, family(model) if rules.by_family else None)
    schema = _response_format(body.get("response_format"))
    if "stream_options" in body:
        require(
            body.get("stream"),
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
            param="stream_options",
        )
        only(body["stream_options"], ("include_usage", "include_obfuscation"), "stream_options.")
    legacy = bool(body.get("functions"))
    choice = body.get("function_call" if legacy else "tool_choice", "auto")
    if isinstance(choice, dict):
        choice = choice["name"] if legacy else choice["function"]["name"]
    effort = body.get("reasoning_effort", "medium" if rules.by_family else "none")
    thinks = family(model).reasons and effort != "none" if rules.by_family else "reason" in model
    return Asked(
        model, said, tools, "required" if choice == "any" else choice,
        body.get("parallel_tool_calls", True) and not legacy, thinks, after_tools, schema, body.get("n", 1), legacy,
    )  # fmt: skip


def _lengths(body: dict[str, Any], rules: Rules) -> None:
    given = [name for name in ("max_tokens", "max_completion_tokens") if name in body]
    require(
        len(given) < 2, "'max_tokens' and 'max_completion_tokens' cannot be given at the same time", param="max_tokens"
    )
    for name in given:
        require(
            name in rules.lengths,
            f"Unsupported parameter: '{name}'",
            rules.unknown,
            param=name,
            code="unsupported_parameter",
        )
        whole(body[name], 1, 10_000_000, name)


def _sampling(body: dict[str, Any], rules: Rules) -> None:
    ranges = {
        "temperature": (0, rules.most_temperature), "top_p": (0, 1), "presence_penalty": (-2, 2),
        "frequency_penalty": (-2, 2),
    }  # fmt: skip
    for name, (low, high) in ranges.items():
        if name in body:
            number(body[name], low, high, name)
    if "n" in body:
        whole(body["n"], 1, rules.most_n, "n")
    if "top_logprobs" in body:
        require(body.get("logprobs") is True, "'top_logprobs' needs 'logprobs' to be true", param="top_logprobs")
        whole(body["top_logprobs"], 0, 20, "top_logprobs")
    stop = body.get("stop")
    if isinstance(stop, list):
        require(len(stop) <= 4 and all(isinstance(item, str) for item in stop), "stop: at most 4 strings", param="stop")
    elif stop is not None:
        text(stop, "stop")
    if "reasoning_effort" in body:
        one_of(body["reasoning_effort"], EFFORTS, "reasoning_effort", code="unsupported_value")
    if "verbosity" in body:
        one_of(body["verbosity"], ("low", "medium", "high"), "verbosity")
    if "service_tier" in body and rules.by_family:
        one_of(body["service_tier"], ("auto", "default", "flex", "scale", "priority", "fast"), "service_tier")


def _family(model: str, body: dict[str, Any]) -> None:
    kind = family(model)
    effort = body.get("reasoning_effort")
    if effort is not None:
        require(
            kind.reasons,
            "Unrecognized request argument supplied: reasoning_effort",
            param="reasoning_effort",
            code="unsupported_parameter",
        )
        require(
            effort in kind.efforts,
            f"Unsupported value: 'reasoning_effort' does not support '{effort}' with this model.",
            param="reasoning_effort", code="unsupported_value",
        )  # fmt: skip
    if not kind.reasons:
        return
    if "max_tokens" in body:
        message = (
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
        )
        refuse(message, param="max_tokens", code="unsupported_parameter")
    if effort != "none":
        for name in SAMPLING:
            require(
                name not in body,
                f"Unsupported parameter: '{name}' is not supported with this model.",
                param=name,
                code="unsupported_parameter",
            )
        if "tools" in body and effort is not None:
            require(
                kind.tools_with_effort, "Function tools with reasoning_effort are not supported for this model.",
                param="reasoning_effort",
            )  # fmt: skip


def _tools(body: dict[str, Any], rules: Rules) -> list[str]:
    names = []
    for at, tool in enumerate(body.get("tools") or ()):
        where = f"tools[{at}]."
        only(tool, ("type", "function"), where, rules.unknown)
        one_of(tool.get("type"), ("function",), f"{where}type")
        only(tool.get("function"), ("name", "description", "strict", "parameters"), f"{where}function.", rules.unknown)
        name = tool["function"].get("name")
        require(
            isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name),
            f"{where}function.name: {name!r} is invalid",
        )
        require(
            isinstance(tool["function"].get("parameters", {}), dict), f"{where}function.parameters: expected an object"
        )
        names.append(name)
    require(body.get("tools") != [], "tools: empty array", param="tools")
    for name in ("tool_choice", "parallel_tool_calls"):
        require(name not in body or names, f"'{name}' is only allowed when 'tools' are specified.", param=name)
    choice = body.get("tool_choice")
    if isinstance(choice, str):
        one_of(choice, rules.choices, "tool_choice")
    elif choice is not None:
        require(choice.get("type") == "function", "tool_choice: expected a function", param="tool_choice")
        one_of(choice.get("function", {}).get("name"), names, "tool_choice")
    return names or [function["name"] for function in body.get("functions") or ()]


def _response_format(form: Any) -> Any:
    if form is None:
        return None
    one_of(form.get("type"), ("text", "json_object", "json_schema"), "response_format.type")
    if form["type"] != "json_schema":
        only(form, ("type",), "response_format.")
        return {} if form["type"] == "json_object" else None
    only(form, ("type", "json_schema"), "response_format.")
    only(form["json_schema"], ("name", "description", "strict", "schema"), "response_format.json_schema.")
    name = form["json_schema"].get("name")
    require(
        isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name),
        "response_format.json_schema.name: invalid",
    )
    return form["json_schema"].get("schema", {})


def _messages(messages: Any, rules: Rules, kind: Family | None) -> tuple[bool, str]:
    """Whether the last turn holds tool results, and what the last user turn says."""
    require(isinstance(messages, list) and messages, "messages: expected a list that is not empty", param="messages")
    waiting: set[str] = set()
    known: set[str] = set()
    said = ""
    for at, message in enumerate(messages):
        where = f"messages[{at}]."
        require(isinstance(message, dict), f"{where[:-1]}: expected an object")
        role = message.get("role")
        require(
            role in rules.roles,
            f"{where}role: expected one of {rules.roles}, found {role!r}",
            rules.unknown,
            param="messages",
        )
        for name in message:
            require(name not in rules.foreign, f"{where}{name}: unknown field", rules.unknown, param="messages")
            if rules.fields is not None:
                known_here = MESSAGE_FIELDS if rules.by_family else MESSAGE_FIELDS - {"refusal", "annotations", "audio"}
                require(name in known_here, f"{where}{name}: unknown field", rules.unknown, param="messages")
        if waiting:
            require(
                role == "tool",
                f"An assistant message with 'tool_calls' must be followed by tool messages responding to "
                f"each 'tool_call_id'. Without a response: {sorted(waiting)}", param="messages",
            )  # fmt: skip
        if role == "tool":
            call = message.get("tool_call_id")
            require(
                call in waiting, f"{where}tool_call_id: {call!r} is no call of the message before", param="messages"
            )
            waiting.discard(call)
        found = _content(message.get("content"), where, role, kind)
        if role == "user":
            said = found
        calls = message.get("tool_calls")
        if role == "assistant":
            require(
                calls or message.get("function_call") or message.get("content") is not None or message.get("refusal"),
                f"{where}content: expected a text",
            )
            for call in calls or ():
                waiting.add(_call(call, where, rules, known))
        else:
            require(calls is None, f"{where}tool_calls: only an assistant has them")
            require(
                "content" in message and message["content"] is not None, f"{where}content: missing", param="messages"
            )
    require(not waiting, f"tool calls without a response: {sorted(waiting)}", param="messages")
    if rules.alternates:
        _alternates([message["role"] for message in messages])
    return messages[-1]["role"] in ("tool", "function"), said


def _alternates(roles: list[str]) -> None:
    while roles and roles[0] == "system":
        roles = roles[1:]
    wanted = ["user" if at % 2 == 0 else "assistant" for at in range(len(roles))]
    require(
        roles == wanted and len(roles) % 2,
        "After the (optional) system message(s), user and assistant roles should be alternating.",
    )


def _call(call: Any, where: str, rules: Rules, known: set[str]) -> str:
    only(
        call,
        ("id", "type", "function") + (("index",) if rules.fields is None else ()),
        f"{where}tool_calls.",
        rules.unknown,
    )
    identity = call.get("id")
    fits = isinstance(identity, str) and re.fullmatch(rules.call_id, identity)
    require(fits, f"{where}tool_calls: id {identity!r} does not match {rules.call_id}", rules.unknown)
    require(identity not in known, f"{where}tool_calls: id {identity!r} is used twice")
    known.add(identity)
    require(call.get("type", "function") == "function", f"{where}tool_calls: expected type function")
    only(call.get("function"), ("name", "arguments"), f"{where}tool_calls.function.", rules.unknown)
    text(call["function"].get("name"), f"{where}tool_calls.function.name")
    text(call["function"].get("arguments"), f"{where}tool_calls.function.arguments")
    return identity


PARTS = {
    "user": ("text", "image_url", "input_audio", "file"), "assistant": ("text", "refusal"), "tool": ("text",),
    "system": ("text",), "developer": ("text",), "function": ("text",),
}  # fmt: skip


def _content(content: Any, where: str, role: str, kind: Family | None) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    require(isinstance(content, list) and content, f"{where}content: expected a string or a list of parts")
    said = []
    for at, part in enumerate(content):
        place = f"{where}content[{at}]"
        one_of(part.get("type"), PARTS[role], f"{place}.type")
        if part["type"] == "text":
            only(part, ("type", "text"), f"{place}.")
            text(part.get("text"), f"{place}.text")
            said.append(part["text"])
        elif part["type"] == "image_url":
            url = part["image_url"].get("url", "")
            require(kind is None or kind.images, f"{place}: this model takes no images", code="invalid_image")
            require(
                re.match(r"https://|data:image/(png|jpeg|gif|webp);base64,", url),
                f"{place}: not an image URL",
                code="invalid_image_url",
            )
            one_of(part["image_url"].get("detail", "auto"), ("auto", "low", "high", "original"), f"{place}.detail")
        elif part["type"] == "input_audio":
            require(kind is None or kind.audio, f"{place}: this model takes no audio")
            one_of(part["input_audio"].get("format"), ("wav", "mp3"), f"{place}.format")
        elif part["type"] == "file":
            require(kind is None or kind.images, f"{place}: this model takes no files")
            require(part["file"].get("file_data", part["file"].get("file_id")), f"{place}: no file")
    return "".join(said)
