"""Gemini's generateContent: what it refuses, and how it answers."""

from __future__ import annotations

import json
import re
from typing import Any

from servers.rules import Refused, number, one_of, only, require, text, version, whole
from servers.script import Asked, Script, event, pieces, signature, vector

# What the real API takes in place of a signature, for calls that it did not make.
DUMMIES = ("skip_thought_signature_validator", "context_engineering_is_the_way_to_go")
FIELDS = {
    "contents", "systemInstruction", "tools", "toolConfig", "generationConfig", "safetySettings", "cachedContent",
    "labels",
    "serviceTier",
}  # fmt: skip
GENERATION = {
    "maxOutputTokens", "temperature", "topP", "topK", "stopSequences", "candidateCount", "seed", "presencePenalty",
    "frequencyPenalty", "responseLogprobs", "logprobs", "responseMimeType", "responseSchema", "responseJsonSchema",
    "thinkingConfig", "responseModalities", "mediaResolution",
}  # fmt: skip
PAYLOADS = ("text", "inlineData", "fileData", "functionCall", "functionResponse")
SUBSET = {
    "type", "format", "title", "description", "nullable", "enum", "maxItems", "minItems", "properties", "required",
    "minProperties", "maxProperties", "minLength", "maxLength", "pattern", "example", "anyOf", "propertyOrdering",
    "default",
    "items", "minimum", "maximum",
}  # fmt: skip
STATUS = {
    400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED",
}  # fmt: skip


def _key(headers: dict[str, str], query: str) -> None:
    require("key=" not in query, "the API key must be in the header x-goog-api-key, never in the query")
    require(headers.get("x-goog-api-key"), "Method doesn't allow unregistered callers", 403)


def check(headers: dict[str, str], query: str, model: str, body: Any, *, streamed: bool) -> Asked:
    _key(headers, query)
    require(not streamed or "alt=sse" in query.split("&"), "streamGenerateContent is read as events: alt=sse")
    generation = version(model, "gemini-")
    require(generation != (0, 0), f"models/{model} is not found", 404)
    _fields(body, FIELDS, "")
    if "systemInstruction" in body:
        _fields(body["systemInstruction"], ("parts", "role"), "systemInstruction.")
        require(body["systemInstruction"].get("parts"), "systemInstruction.parts: empty")
        for part in body["systemInstruction"]["parts"]:
            _fields(part, ("text",), "systemInstruction.parts.")
            text(part.get("text"), "systemInstruction.parts.text")
    config = body.get("generationConfig", {})
    schema = _generation(config, model, generation)
    tools = _tools(body)
    mode, named = _tool_config(body, tools)
    after_tools, said = _contents(body.get("contents"), generation)
    shown = config.get("thinkingConfig", {}).get("includeThoughts", False)
    asked = Asked(
        model,
        said,
        [named] if named else tools,
        "required" if mode == "ANY" else mode.lower(),
        True,
        shown,
        after_tools,
    )
    asked.schema = schema
    asked.count = config.get("candidateCount", 1)
    return asked


OPAQUE = {"args", "response", "parametersJsonSchema", "responseJsonSchema", "labels", "properties"}


def spelled(value: Any) -> Any:
    """`snake_case` names as `camelCase`: the real API takes both, and google-genai sends some of the former."""
    if isinstance(value, list):
        return [spelled(item) for item in value]
    if not isinstance(value, dict):
        return value
    named = {re.sub(r"_([a-z])", lambda found: found[1].upper(), name): item for name, item in value.items()}
    return {name: item if name in OPAQUE else spelled(item) for name, item in named.items()}


def _fields(value: Any, allowed: Any, where: str) -> None:
    require(isinstance(value, dict), f"Invalid value at '{where}'")
    for name in value:
        require(
            name in allowed, f"Invalid JSON payload received. Unknown name \"{name}\" at '{where}': Cannot find field."
        )


def _generation(config: Any, model: str, generation: tuple[int, int]) -> Any:
    _fields(config, GENERATION, "generation_config.")
    if "maxOutputTokens" in config:
        whole(config["maxOutputTokens"], 1, 1_000_000, "maxOutputTokens")
    ranges = {"temperature": (0, 2), "topP": (0, 1), "presencePenalty": (-2, 2), "frequencyPenalty": (-2, 2)}
    for name, (low, high) in ranges.items():
        if name in config:
            number(config[name], low, high, name)
    for name, (least, most) in {"topK": (1, 1_000_000), "seed": (-(2**31), 2**31 - 1), "logprobs": (0, 20)}.items():
        if name in config:
            whole(config[name], least, most, name)
    require("logprobs" not in config or config.get("responseLogprobs") is True, "logprobs needs responseLogprobs")
    if "candidateCount" in config:
        whole(config["candidateCount"], 1, 1 if generation >= (3, 0) else 8, "candidateCount")
    stops = config.get("stopSequences", [])
    fits = isinstance(stops, list) and len(stops) <= 5 and all(isinstance(stop, str) and stop for stop in stops)
    require(fits, "stopSequences: at most 5 strings")
    mime = config.get("responseMimeType", "text/plain")
    one_of(mime, ("text/plain", "application/json", "text/x.enum"), "responseMimeType")
    schemas = [name for name in ("responseSchema", "responseJsonSchema") if name in config]
    require(len(schemas) < 2, "responseSchema and responseJsonSchema cannot both be set")
    if schemas:
        require(mime == "application/json", f"{schemas[0]} needs responseMimeType application/json")
        require(isinstance(config[schemas[0]], dict), f"{schemas[0]}: expected an object")
    if "responseSchema" in config:
        _subset(config["responseSchema"], "responseSchema")
    if "thinkingConfig" in config:
        _thinking(config["thinkingConfig"], model, generation)
    return config[schemas[0]] if schemas else ({} if mime == "application/json" else None)


def _thinking(thinking: Any, model: str, generation: tuple[int, int]) -> None:
    _fields(thinking, ("thinkingBudget", "thinkingLevel", "includeThoughts"), "generation_config.thinking_config.")
    require(generation >= (2, 5), "Thinking is not supported for this model.")
    require(
        not {"thinkingBudget", "thinkingLevel"} <= set(thinking), "thinkingBudget and thinkingLevel cannot both be set"
    )
    if "thinkingBudget" in thinking:
        require(generation < (3, 0), "thinkingBudget is not supported by this model: use thinkingLevel")
        budget = thinking["thinkingBudget"]
        low, high = (128, 32768) if "pro" in model else (512, 24576) if "lite" in model else (0, 24576)
        whole(budget, -1, high, "thinkingBudget")
        fits = budget == -1 or budget >= low or (budget == 0 and "pro" not in model)
        require(fits, f"thinkingBudget: {budget} is invalid for this model")
    if "thinkingLevel" in thinking:
        require(generation >= (3, 0), "thinkingLevel is not supported by this model: use thinkingBudget")
        one_of(thinking["thinkingLevel"], ("MINIMAL", "LOW", "MEDIUM", "HIGH", "XHIGH"), "thinkingLevel")
    require(isinstance(thinking.get("includeThoughts", False), bool), "includeThoughts: expected a boolean")


def _subset(schema: Any, where: str) -> None:
    """The part of JSON Schema that `parameters` and `responseSchema` know."""
    _fields(schema, SUBSET, where)
    for name, item in schema.get("properties", {}).items():
        _subset(item, f"{where}.properties.{name}")
    for item in [*schema.get("anyOf", []), *([schema["items"]] if "items" in schema else [])]:
        _subset(item, where)


def _tools(body: dict[str, Any]) -> list[str]:
    names: list[str] = []
    for at, tool in enumerate(body.get("tools", ())):
        _fields(tool, ("functionDeclarations", "googleSearch", "codeExecution", "urlContext"), f"tools[{at}].")
        for declaration in tool.get("functionDeclarations", ()):
            where = f"tools[{at}].function_declarations[{len(names)}]."
            allowed = (
                "name",
                "description",
                "parameters",
                "parametersJsonSchema",
                "response",
                "responseJsonSchema",
                "behavior",
            )
            _fields(declaration, allowed, where)
            name = declaration.get("name")
            fits = isinstance(name, str) and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.:-]{0,127}", name)
            require(fits, f"{where}name: Invalid function name {name!r}")
            require(name not in names, f"Duplicate function declaration found: {name}")
            require(
                not {"parameters", "parametersJsonSchema"} <= set(declaration),
                f"{where}parameters: given in both forms",
            )
            if "parameters" in declaration:
                _subset(declaration["parameters"], f"{where}parameters")
            require(
                isinstance(declaration.get("parametersJsonSchema", {}), dict),
                f"{where}parametersJsonSchema: not an object",
            )
            names.append(str(name))
    return names


def _tool_config(body: dict[str, Any], tools: list[str]) -> tuple[str, str | None]:
    given = body.get("toolConfig")
    if given is None:
        return "AUTO", None
    _fields(given, ("functionCallingConfig",), "tool_config.")
    calling = given.get("functionCallingConfig", {})
    _fields(calling, ("mode", "allowedFunctionNames"), "tool_config.function_calling_config.")
    mode = calling.get("mode", "AUTO")
    one_of(mode, ("AUTO", "ANY", "NONE", "VALIDATED"), "mode")
    require(tools or mode in ("AUTO", "NONE"), "Function calling config is set without function_declarations.")
    names = calling.get("allowedFunctionNames", [])
    require(
        not names or mode in ("ANY", "VALIDATED"),
        "allowedFunctionNames should only be set when mode is ANY or VALIDATED",
    )
    for name in names:
        one_of(name, tools, "allowedFunctionNames")
    return mode, names[0] if names else None


def _contents(contents: Any, generation: tuple[int, int]) -> tuple[bool, str]:
    """Whether the last turn holds function responses, and what the last user turn says."""
    require(isinstance(contents, list) and contents, "contents is not specified")
    calls: list[Any] = []
    said = ""
    for at, content in enumerate(contents):
        where = f"contents[{at}]"
        _fields(content, ("role", "parts"), f"{where}.")
        role = content.get("role", "user")
        one_of(role, ("user", "model"), f"{where}.role")
        parts = content.get("parts")
        require(isinstance(parts, list) and parts, f"{where}.parts: must not be empty")
        for index, part in enumerate(parts):
            _part(part, f"{where}.parts[{index}]", role)
        responses = [part["functionResponse"] for part in parts if "functionResponse" in part]
        if calls or responses:
            _responses(calls, responses, where)
        calls = [part["functionCall"] for part in parts if "functionCall" in part]
        if calls:
            require(role == "model", f"{where}: function calls belong to the model")
            before = contents[at - 1].get("role", "user") if at else None
            message = "Please ensure that function call turn comes immediately after a user turn"
            require(before == "user", message)
        if role == "user":
            said = "".join(part.get("text", "") for part in parts)
    require(not calls, "the last turn's function calls have no response")
    require(contents[-1].get("role", "user") == "user", "the last turn must be the user's")
    for at, content in enumerate(contents[_current_turn(contents) :], _current_turn(contents)):
        _missing(content["parts"], generation, f"contents[{at}]")
    return any("functionResponse" in part for part in contents[-1]["parts"]), said


def _current_turn(contents: list[Any]) -> int:
    """Index of the last user turn that is more than function responses: from there on a lost signature is missed."""
    for at in reversed(range(len(contents))):
        if contents[at].get("role", "user") == "user" and not any(
            "functionResponse" in part for part in contents[at]["parts"]
        ):
            return at
    return 0


def _part(part: Any, where: str, role: str) -> None:
    _fields(part, (*PAYLOADS, "thought", "thoughtSignature", "videoMetadata"), f"{where}.")
    payloads = [name for name in PAYLOADS if name in part]
    require(len(payloads) == 1, f"{where}: expected one of {PAYLOADS}, found {payloads}")
    kind, value = payloads[0], part[payloads[0]]
    require(role == "model" or not ({"thought", "thoughtSignature"} & set(part)), f"{where}: only the model thinks")
    if kind == "text":
        text(value, f"{where}.text")
    elif kind == "inlineData":
        _fields(value, ("mimeType", "data", "displayName"), f"{where}.inline_data.")
        mime = value.get("mimeType", "")
        require(
            re.fullmatch(r"(image|audio|video|application|text)/[\w.+-]+", mime),
            f"{where}.inline_data.mime_type: {mime!r}",
        )
        require(re.fullmatch(r"[A-Za-z0-9+/_-]+={0,2}", value.get("data", "")), f"{where}.inline_data.data: not base64")
    elif kind == "fileData":
        _fields(value, ("mimeType", "fileUri", "displayName"), f"{where}.file_data.")
        require(re.match(r"https?://|gs://", value.get("fileUri", "")), f"{where}.file_data.file_uri")
    elif kind == "functionCall":
        _fields(value, ("id", "name", "args"), f"{where}.function_call.")
        text(value.get("name"), f"{where}.function_call.name")
        require(isinstance(value.get("args", {}), dict), f"{where}.function_call.args: expected an object")
    else:
        _fields(value, ("id", "name", "response"), f"{where}.function_response.")
        require(value.get("name"), f"{where}.function_response.name: Name cannot be empty")
        require(isinstance(value.get("response"), dict), f"{where}.function_response.response: expected an object")
    sent = part.get("thoughtSignature")
    if sent is not None:
        issued = (signature("gemini", _signed(part)), signature("gemini", "text"))
        require(sent in issued or sent in DUMMIES, f"{where}: Thought signature is not valid.")
        require(not _is_signed(part) or sent == issued[0], f"{where}: Thought signature is not that of the call.")


def _responses(calls: list[Any], responses: list[Any], where: str) -> None:
    message = "Please ensure that the number of function response parts is equal to the number of function call parts"
    require(
        len(calls) == len(responses), f"{where}: {message} of the function call turn: {len(calls)} != {len(responses)}"
    )
    names = sorted(call["name"] for call in calls)
    require(
        names == sorted(response["name"] for response in responses),
        f"{where}: responses are named otherwise than the calls",
    )
    by_id = {call["id"]: call["name"] for call in calls if call.get("id")}
    for response in responses:
        if response.get("id"):
            require(
                by_id.get(response["id"]) == response["name"],
                f"{where}: function response {response['id']!r} answers no call",
            )


def _signed(part: Any) -> str:
    """What the signature of a part covers."""
    call = part.get("functionCall")
    return "text" if call is None else f"{call['name']}|{json.dumps(call.get('args', {}), sort_keys=True)}"


def _is_signed(part: Any) -> bool:
    """Whether this server made the call, and signed it."""
    return str(part.get("functionCall", {}).get("id", "")).startswith("signed_")


def _missing(parts: list[Any], generation: tuple[int, int], where: str) -> None:
    """From 3 on the first call of a step comes back with its signature."""
    for part in parts:
        lost = generation >= (3, 0) and _is_signed(part) and not part.get("thoughtSignature")
        name = part.get("functionCall", {}).get("name")
        require(not lost, f"{where}: Function call {name!r} is missing a thought_signature in functionCall parts.")


def error(refused: Refused) -> Any:
    status = refused.kind or STATUS.get(refused.status, "INTERNAL")
    told: dict[str, Any] = {"code": refused.status, "message": refused.message, "status": status}
    if refused.code:
        reason = {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": refused.code,
            "domain": "googleapis.com",
        }
        told["details"] = [reason]
    return {"error": told}


def usage(script: Script) -> Any:
    """Thoughts beside the candidates; the prompt of tool use beside the prompt."""
    tokens = script.tokens
    told = {
        "promptTokenCount": tokens.prompt - 10, "cachedContentTokenCount": tokens.cached, "toolUsePromptTokenCount": 10,
        "candidatesTokenCount": tokens.made - tokens.reasoning, "totalTokenCount": tokens.prompt + tokens.made,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": tokens.prompt - 10}],
    }  # fmt: skip
    return told | ({"thoughtsTokenCount": tokens.reasoning} if tokens.reasoning else {})


def _parts(script: Script, asked: Asked, serial: int) -> list[Any]:
    """Calls of models before 3 have no id; of parallel calls only the first is signed."""
    new = version(asked.model, "gemini-") >= (3, 0)
    parts: list[Any] = [{"text": script.thinking, "thought": True}] if script.thinking else []
    if script.text:
        parts.append({"text": script.text})
    for at, (name, arguments) in enumerate(script.calls):
        call: dict[str, Any] = {"name": name, "args": json.loads(arguments)}
        if new:
            call["id"] = f"{'plain' if at else 'signed'}_{serial}_{at}"
        part: dict[str, Any] = {"functionCall": call}
        if new and not at:
            part["thoughtSignature"] = signature("gemini", _signed(part))
        parts.append(part)
    return parts


STOPS = {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP", "content_filter": "SAFETY"}


def _stop(script: Script) -> str:
    return "STOP" if script.calls else STOPS.get(script.stop, script.stop)


def answer(script: Script, asked: Asked, serial: int) -> Any:
    candidates = [
        {
            "index": at,
            "content": {"role": "model", "parts": _parts(script, asked, serial * 10 + at)},
            "finishReason": _stop(script),
        }
        for at in range(asked.count)
    ]
    return {
        "candidates": candidates,
        "usageMetadata": usage(script),
        "modelVersion": asked.model,
        "responseId": f"r{serial}",
    }


def events(script: Script, asked: Asked, serial: int) -> list[bytes]:
    """Texts in pieces, calls whole; the usage grows, the last one counts."""
    out = []
    used = usage(script)
    growing = {**used, "candidatesTokenCount": 1, "totalTokenCount": used["promptTokenCount"] + 11}
    base = {"modelVersion": asked.model, "responseId": f"r{serial}"}

    def chunk(at: int, parts: list[Any], finish: str | None = None, told: Any = growing) -> bytes:
        candidate: dict[str, Any] = {"index": at, "content": {"role": "model", "parts": parts}}
        if finish:
            candidate["finishReason"] = finish
        return event({"candidates": [candidate], "usageMetadata": told, **base})

    for at in range(asked.count):
        for part in _parts(script, asked, serial * 10 + at):
            if "text" in part:
                out += [chunk(at, [{**part, "text": piece}]) for piece in pieces(part["text"])]
            else:
                out.append(chunk(at, [part]))
        out.append(chunk(at, [{"text": ""}], _stop(script), used))
    return out


def check_embeddings(headers: dict[str, str], query: str, model: str, body: Any, *, many: bool) -> Any:
    _key(headers, query)
    if not many:
        return {"embedding": {"values": _values(body, model)}}
    only(body, ("requests",), "")
    require(body.get("requests"), "requests: empty")
    for request in body["requests"]:
        found = request.get("model")
        require(found == f"models/{model}", f"requests.model: expected models/{model}, found {found!r}")
    return {"embeddings": [{"values": _values(request, model)} for request in body["requests"]]}


def _values(request: Any, model: str) -> list[float]:
    _fields(request, ("model", "content", "outputDimensionality", "taskType", "title"), "")
    require("model" not in request or request["model"] == f"models/{model}", "model: does not match the path")
    _fields(request.get("content"), ("parts", "role"), "content.")
    said = "".join(part["text"] for part in request["content"].get("parts", []))
    require(said, "content: empty")
    return vector(said, request.get("outputDimensionality", 4))
