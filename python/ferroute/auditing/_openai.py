"""Logs in OpenAI's words: a request with its response, lines of the Batch API, or one flat object a call.

Fields: https://platform.openai.com/docs/api-reference/chat/object and .../batch.
"""

from __future__ import annotations

from typing import Any

from ferroute.auditing._call import (
    Call,
    NotACall,
    answer_of,
    currency_of,
    failed,
    first,
    held,
    messages_of,
    moment,
    path,
    scores_into,
    text,
    usage_into,
)
from ferroute.auditing._streams import whole_of

COST = ("cost", "cost_usd", "total_cost", "response_cost")


def fits(record: Any) -> bool:
    """Whether a record is of this kind."""
    return any(
        path(record, name) is not None for name in ("messages", "request", "choices", "custom_id", "model", "prompt")
    )


def call(record: Any) -> Call:
    """The call of a record.

    Raises:
        NotACall: It failed, or was none to a chat model.
    """
    request = held(first(record, "request", "kwargs"))
    response = whole_of(held(path(record, "response")))
    if path(record, "custom_id") is not None:
        # The Batch API wraps bodies; its output has no request, its input no response.
        request = path(record, "body") if request is None else request
    request = _body(record if request is None else request)
    status = path(response, "status_code")
    refused = isinstance(status, int) and status >= 400
    if refused or failed(record) or failed(response) or failed(path(response, "body")):
        raise NotACall("failed")
    answered: Any = whole_of(_body(response)) if isinstance(response, dict) else (record if response is None else {})
    if path(record, "url") == "/v1/embeddings" or (
        path(answered, "object") == "list" and path(answered, "choices") is None
    ):
        raise NotACall("embedding")
    made = Call(
        # The dated name that a response may give says no more than the one asked for.
        model=text(path(request, "model")) or text(path(answered, "model")) or text(path(record, "model")),
        messages=messages_of(first(request, "messages", "input", "prompt")),
        at=moment(first(record, "timestamp", "created_at", "time", "start_time", "at", "created"))
        or moment(first(answered, "created", "created_at")),
        answer=response if isinstance(response, str) else answer_of(answered),
    )
    made.pay(first(record, *COST), currency_of(record))
    usage_into(made, held(first(answered, "usage") or first(record, "usage") or record))
    scores_into(made, record)
    return made


def joined(record: Any, asked: dict[str, Any], early: set[str]) -> tuple[bool, Any]:
    """A line of the Batch API's output with its request, where a line of the input had it before.

    Ids of answers without a request are put into ``early``.

    Returns:
        Whether the record is such a request, which is put into ``asked`` and waits; and the record.
    """
    key = path(record, "custom_id")
    if not isinstance(key, str):
        return False, record
    if path(record, "response") is None and path(record, "error") is None and path(record, "body") is not None:
        asked[key] = path(record, "body")
        return True, record
    request = asked.pop(key, None)
    if request is None and path(record, "request") is None:
        early.add(key)
    return False, record if request is None else {**record, "request": request}


def _body(wrapped: Any) -> Any:
    inner = path(wrapped, "body")
    return held(inner) if inner is not None else wrapped
