"""What a conversation is routed on: the text of its last message, unless the policy views it in another way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from ferroute import _core
from ferroute._refusals import EmptyMessages

if TYPE_CHECKING:
    from ferroute.policy import CallPolicy


def viewed(messages: Any, policy: CallPolicy) -> Any:
    """The text of a conversation that is routed on, as the policy views it."""
    last = routed_text(messages)
    if policy.view == "last" and not policy.join_short_turns:
        return last
    return _core.viewed(_core.Request(messages), policy.view, policy.join_short_turns)


def routed_text(messages: Any) -> Any:
    """The text routed on: the last message's content; of a list of parts their texts, and nothing for None."""
    try:
        last = messages[-1]
    except IndexError:
        raise EmptyMessages("messages is empty: there is no last message to route on.") from None
    content: Any = cast("dict[str, Any]", last)["content"] if isinstance(last, dict) else getattr(last, "content", None)
    if content is None:
        return ""
    if isinstance(content, (list, tuple)):
        parts = cast("list[Any]", content)
        texts = (part if isinstance(part, str) else _part_text(part) for part in parts)
        return "\n".join(text for text in texts if text)
    return content


def _part_text(part: Any) -> str:
    text: Any = cast("dict[str, Any]", part).get("text") if isinstance(part, dict) else getattr(part, "text", None)
    return text if isinstance(text, str) else ""
