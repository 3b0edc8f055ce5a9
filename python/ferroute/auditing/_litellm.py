"""LiteLLM's spend logs: rows of its table ``LiteLLM_SpendLogs``, as the proxy's ``/spend/logs`` gives them.

Fields: ``litellm/proxy/schema.prisma`` of BerriAI/litellm. ``messages`` and ``response`` are filled only where the
proxy stores prompts; ``proxy_server_request`` then has the request's body.
"""

from __future__ import annotations

from typing import Any

from ferroute.auditing._call import (
    Call,
    NotACall,
    answer_of,
    believed,
    first,
    held,
    messages_of,
    moment,
    path,
    scores_into,
    text,
    whole,
)


def fits(record: Any) -> bool:
    """Whether a record is of this kind."""
    return path(record, "spend") is not None and any(
        path(record, name) is not None for name in ("request_id", "startTime", "call_type", "api_key")
    )


def call(record: Any) -> Call:
    """The call of a row.

    Raises:
        NotACall: It failed, was answered from LiteLLM's own cache, or was none to a chat model.
    """
    kind = str(path(record, "call_type") or "completion").lower()
    if not any(word in kind for word in ("completion", "responses", "messages", "generate_content")):
        raise NotACall("embedding" if "embedding" in kind else "other")
    if str(path(record, "status") or "success").lower() == "failure":
        raise NotACall("failed")
    if str(path(record, "cache_hit")).lower() == "true":
        raise NotACall("cached")
    asked = held(path(record, "proxy_server_request"))
    made = Call(
        model=text(path(record, "model")) or text(path(record, "model_group")),
        messages=_messages(path(record, "messages")) or _messages(first(asked, "body", "messages")),
        prompt_tokens=whole(path(record, "prompt_tokens")),
        completion_tokens=whole(path(record, "completion_tokens")),
        cached_tokens=_cached(held(path(record, "metadata"))),
        at=moment(first(record, "startTime", "start_time")),
        answer=answer_of(path(record, "response")),
    )
    made.pay(believed(path(record, "spend"), whole(path(record, "total_tokens"))))
    scores_into(made, record)
    return made


def _messages(value: Any) -> list[Any] | None:
    # Without stored prompts the column holds an empty object.
    value = held(value)
    return messages_of(value) if value else None


def _cached(metadata: Any) -> int | None:
    usage = first(metadata, "usage_object", "additional_usage_values")
    return whole(first(usage, "cache_read_input_tokens") or path(usage, "prompt_tokens_details", "cached_tokens"))
