"""Langfuse's observations: of its API, of a table downloaded in the browser, or of an export to a bucket.

Fields: https://langfuse.com/docs/api-and-data-platform/features/blob-storage-export-fields (snake case) and the API's
``ObservationsView`` (camel case).
"""

from __future__ import annotations

from typing import Any, cast

from ferroute.auditing._call import (
    SCORES,
    Call,
    NotACall,
    answer_of,
    believed,
    first,
    held,
    messages_of,
    moment,
    number,
    path,
    scores_into,
    text,
    usage_into,
    whole,
)

_SIGNS = ("traceId", "trace_id", "usageDetails", "usage_details", "providedModelName", "provided_model_name")


def fits(record: Any) -> bool:
    """Whether a record is of this kind."""
    if _is_trace(record):
        return True
    has_sign = any(path(record, name) is not None for name in _SIGNS)
    return has_sign and any(path(record, name) is not None for name in ("type", "input", "observationId"))


def call(record: Any) -> Call:
    """The call of an observation.

    Raises:
        NotACall: It is none of a model (a trace, a span, an event, a tool), or failed.
    """
    if _is_trace(record):
        raise NotACall("trace without its observations")
    kind = str(path(record, "type") or "GENERATION").upper()
    if kind != "GENERATION":
        raise NotACall("embedding" if kind == "EMBEDDING" else "other")
    if str(path(record, "level") or "").upper() == "ERROR":
        raise NotACall("failed")
    made = Call(
        model=text(first(record, "model", "providedModelName", "provided_model_name")),
        messages=messages_of(path(record, "input")),
        at=moment(first(record, "startTime", "start_time", "timestamp")),
        answer=answer_of(path(record, "output")),
    )
    usage = held(first(record, "usageDetails", "usage_details", "usage") or {})
    usage_into(made, usage)
    _beside(made, usage)
    if made.prompt_tokens is None:
        made.prompt_tokens = whole(first(record, "promptTokens", "inputTokens", "inputUsage", "input_tokens"))
        made.completion_tokens = whole(
            first(record, "completionTokens", "outputTokens", "outputUsage", "output_tokens")
        )
    costs = held(first(record, "costDetails", "cost_details") or {})
    cost = first(record, "calculatedTotalCost", "totalCost", "total_cost")
    made.pay(believed(path(costs, "total") if cost is None else cost, (made.prompt_tokens or 0) or None))
    scores_into(made, record)
    if made.score is None:
        made.score = _score(held(path(record, "scores")))
    return made


def _is_trace(record: Any) -> bool:
    """Whether a record is a trace that names its observations, or none; traces that hold them are taken apart."""
    return isinstance(path(record, "observations"), list) and path(record, "model") is None


def _beside(made: Call, usage: Any) -> None:
    """Parts of the input that Langfuse counts under names of their own, beside ``input``."""
    if not isinstance(usage, dict) or path(usage, "input") is None:
        return
    parts = {name: whole(value) or 0 for name, value in cast("dict[str, Any]", usage).items() if name != "input"}
    cached = sum(count for name, count in parts.items() if ("cache" in name and "read" in name) or "cached" in name)
    more = sum(count for name, count in parts.items() if name.startswith("input_") or "cache" in name)
    made.prompt_tokens = (made.prompt_tokens or 0) + more
    made.cached_tokens = cached or None
    thought = sum(count for name, count in parts.items() if name.startswith("output_"))
    made.completion_tokens = (made.completion_tokens or 0) + thought


def _score(scores: Any) -> float | None:
    """The score of a list of scores, or of an object from names to values, where there is but one that is meant."""
    if isinstance(scores, list):
        listed = cast("list[Any]", scores)
        scores = {str(path(each, "name")): path(each, "value") for each in listed if isinstance(each, dict)}
    if not isinstance(scores, dict):
        return None
    values = {name.lower(): number(value) for name, value in cast("dict[str, Any]", scores).items()}
    known = {name: value for name, value in values.items() if value is not None}
    named = [known[name] for name in SCORES if name in known]
    # Several scores of unknown meaning are not averaged: which one counts is for the user to say (`columns=`).
    return named[0] if named else next(iter(known.values())) if len(known) == 1 else None
