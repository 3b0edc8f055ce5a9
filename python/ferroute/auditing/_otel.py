"""OpenTelemetry's ``gen_ai`` spans and events: OTLP as JSON, or one flat span a line.

Names: https://github.com/open-telemetry/semantic-conventions-genai (gen-ai-spans.md, gen-ai-events.md), the older ones
of conventions 1.36 and before, and the indexed ones that instrumentations wrote before there were any.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from ferroute.auditing._call import (
    Call,
    NotACall,
    answer_of,
    first,
    held,
    messages_of,
    moment,
    number,
    path,
    scores_into,
    text,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHAT = ("chat", "text_completion", "generate_content", "completion")
_OTHER_EVENTS = ("gen_ai.choice", "gen_ai.evaluation.result")
_USER_EVENTS = ("gen_ai.system.message", "gen_ai.user.message", "gen_ai.assistant.message", "gen_ai.tool.message")


def fits(record: Any) -> bool:
    """Whether a record is of this kind."""
    if any(path(record, name) is not None for name in ("resourceSpans", "resource_spans", "resourceLogs")):
        return True
    if path(record, "attributes") is not None and id_of(record) is not None:
        return True
    return any(str(name).startswith("gen_ai.") for name in attributes(record))


def spans(record: Any) -> Iterator[Any]:
    """The spans and events in an OTLP document; a flat span is its own."""
    groups = first(record, "resourceSpans", "resource_spans", "resourceLogs")
    if groups is None:
        yield record
        return
    for group in _listed(groups):
        inside = first(group, "scopeSpans", "scope_spans", "instrumentationLibrarySpans", "scopeLogs")
        for scope in _listed(inside):
            yield from _listed(first(scope, "spans", "logRecords"))


def call(record: Any) -> Call:
    """The call of a span.

    Raises:
        NotACall: It is none of a chat model, or failed.
    """
    said, event = attributes(record), event_of(record)
    if event in _USER_EVENTS:
        body = _value(path(record, "body"))
        return Call(messages=messages_of(first(body, "content") or first(said, "content", "gen_ai.event.content")))
    if not any(name.startswith("gen_ai.") for name in said) or event in _OTHER_EVENTS:
        raise NotACall("other")
    operation = str(first(said, "gen_ai.operation.name", "llm.request.type") or "chat").lower()
    if operation not in _CHAT:
        raise NotACall("embedding" if "embedding" in operation else "other")
    status = path(record, "status", "code") or path(record, "status", "status_code")
    if said.get("error.type") or status in {2, "STATUS_CODE_ERROR", "ERROR"}:
        raise NotACall("failed")
    asked, answered = _contents(record, said)
    made = Call(
        model=text(said.get("gen_ai.request.model")) or text(said.get("gen_ai.response.model")),
        messages=asked,
        prompt_tokens=whole(first(said, "gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens")),
        completion_tokens=whole(first(said, "gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens")),
        cached_tokens=whole(said.get("gen_ai.usage.cache_read.input_tokens")),
        at=moment(
            first(record, "startTimeUnixNano", "start_time_unix_nano", "start_time", "startTime", "timeUnixNano")
        ),
        answer=answered,
    )
    made.pay(said.get("gen_ai.usage.cost"), said.get("gen_ai.usage.cost.currency"))
    scores_into(made, said)
    if made.score is None:
        made.score = number(said.get("gen_ai.evaluation.score.value"))
    return made


def id_of(record: Any) -> tuple[str, str] | None:
    """The ids of the trace and the span that a record is, or belongs to."""
    trace = first(record, "traceId", "trace_id") or first(path(record, "context"), "trace_id", "traceId")
    span = first(record, "spanId", "span_id") or first(path(record, "context"), "span_id", "spanId")
    return (str(trace or ""), str(span)) if span else None


def is_message(record: Any) -> bool:
    """Whether a log record is an event that holds but one message of a request."""
    return event_of(record) in _USER_EVENTS


def event_of(record: Any) -> str:
    """The name of the event that a log record is; empty for a span."""
    return str(first(record, "eventName", "event_name") or first(attributes(record), "event.name") or "")


def attributes(record: Any) -> dict[str, Any]:
    """Attributes by name, of OTLP's list of keys and values or of an object."""
    found = held(path(record, "attributes"))
    if isinstance(found, dict):
        return cast("dict[str, Any]", found)
    if isinstance(found, list):
        pairs = cast("list[Any]", [each for each in cast("list[Any]", found) if isinstance(each, dict)])
        return {str(path(each, "key")): _value(path(each, "value")) for each in pairs}
    named = cast("dict[Any, Any]", record) if isinstance(record, dict) else {}
    return {name: value for name, value in named.items() if isinstance(name, str)}


def _value(wrapped: Any) -> Any:
    """A value of OTLP's JSON, where each is an object with its type."""
    if not isinstance(wrapped, dict):
        return wrapped
    for name, value in cast("dict[str, Any]", wrapped).items():
        if name == "arrayValue":
            return [_value(each) for each in _listed(path(value, "values"))]
        if name == "kvlistValue":
            return {str(path(each, "key")): _value(path(each, "value")) for each in _listed(path(value, "values"))}
        return value
    return None


def _contents(record: Any, said: dict[str, Any]) -> tuple[list[Any] | None, str | None]:
    """The messages sent and the text answered, wherever the instrumentation put them."""
    asked = messages_of(first(said, "gen_ai.input.messages", "gen_ai.prompt"))
    answered = answer_of(first(said, "gen_ai.output.messages", "gen_ai.completion"))
    if asked is None:
        asked = _indexed(said, "gen_ai.prompt") or None
    if answered is None and (made := _indexed(said, "gen_ai.completion")):
        answered = text(made[-1]["content"])
    if asked is None:
        asked = _of_events(record) or None
    return asked, answered


def _indexed(said: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Messages under ``gen_ai.prompt.0.role``, ``gen_ai.prompt.0.content`` and so on."""
    made: list[dict[str, Any]] = []
    # A message that calls a tool has no content.
    while any(
        f"{name}.{len(made)}.{part}" in said for part in ("content", "role", "finish_reason", "tool_calls.0.name")
    ):
        content = said.get(f"{name}.{len(made)}.content")
        made.append({"role": said.get(f"{name}.{len(made)}.role") or "user", "content": content or ""})
    return made


def _of_events(record: Any) -> list[Any]:
    made: list[Any] = []
    for event in _listed(path(record, "events")):
        name, inside = path(event, "name"), attributes(event)
        if name in {"gen_ai.content.prompt", "gen_ai.client.inference.operation.details"}:
            made += messages_of(first(inside, "gen_ai.input.messages", "gen_ai.prompt")) or []
        elif name in _USER_EVENTS:
            content = first(inside, "content", "gen_ai.event.content")
            made += messages_of(content) or []
    return made


def _listed(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []
