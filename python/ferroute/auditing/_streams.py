"""Answers that were logged as they were streamed: chunk by chunk, and yet one call.

Chunks are OpenAI's (``chat.completion.chunk`` and the events of its Responses API) or Anthropic's events, as the text
of server-sent events, as a list, or as lines of their own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from ferroute.auditing._call import Call, first, messages_of, moment, path, text, usage_into

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Streams:
    """Chunks that are lines of their own, joined by their id.

    Attributes:
        open: The chunks of each stream, joined so far, with the place of the first.
    """

    open: dict[str, tuple[str, dict[str, Any]]] = field(default_factory=dict[str, Any])

    def take(self, place: str, record: Any) -> bool:
        """Whether a record is such a chunk, which is put to its stream."""
        if path(record, "object") != "chat.completion.chunk":
            return False
        _place, whole = self.open.setdefault(str(path(record, "id")), (place, {}))
        _add(whole, record)
        if "messages" not in whole and path(record, "messages") is not None:
            whole["messages"] = path(record, "messages")
        return True

    def left(self) -> Iterator[tuple[str, Call]]:
        """The calls that the chunks amount to."""
        for place, whole in self.open.values():
            made = Call(
                model=text(path(whole, "model")),
                messages=messages_of(path(whole, "messages")),
                at=moment(path(whole, "created")),
                answer=_said(whole),
            )
            usage_into(made, path(whole, "usage"))
            yield place, made
        self.open.clear()


def whole_of(response: Any) -> Any:
    """A response that is the text of a stream, or a list of its chunks, as one object; any other as it is."""
    if isinstance(response, str) and response.lstrip().startswith(("data:", "event:")):
        chunks: list[Any] = []
        for line in response.splitlines():
            if line.startswith("data:"):
                try:
                    chunks.append(json.loads(line[5:]))
                except (ValueError, RecursionError):  # the last one says [DONE]
                    continue
    elif isinstance(response, list):
        chunks = cast("list[Any]", response)
    else:
        return response
    if not any(_is_chunk(chunk) for chunk in chunks):
        return cast("Any", response)
    whole: dict[str, Any] = {}
    for chunk in chunks:
        _add(whole, chunk)
    return whole


def _is_chunk(chunk: Any) -> bool:
    kind = path(chunk, "type")
    return path(chunk, "object") == "chat.completion.chunk" or (
        isinstance(kind, str) and kind.startswith(("response.", "message_", "content_block_"))
    )


def _add(whole: dict[str, Any], chunk: Any) -> None:
    """Puts a chunk to what is joined so far; of usage the last one counts, which has the sums."""
    # Responses: the event that ends the stream has all. Anthropic: the first has the input, the last the output.
    inner = first(chunk, "response", "message")
    for source in (chunk, inner):
        for name in ("model", "created", "created_at", "error"):
            if (value := path(source, name)) is not None:
                whole.setdefault(name, value)
        usage = path(source, "usage")
        if isinstance(usage, dict):
            whole["usage"] = {**whole.get("usage", {}), **cast("dict[str, Any]", usage)}
    choices = path(chunk, "choices")
    listed = cast("list[Any]", choices) if isinstance(choices, list) else []
    # Of several answers to one prompt the first is the answer.
    said = [path(each, "delta", "content") or path(each, "text") for each in listed if not path(each, "index")]
    said += [path(chunk, "delta", "text"), path(chunk, "delta")]
    message = whole.setdefault("choices", [{"message": {"content": ""}}])[0]["message"]
    message["content"] += "".join(each for each in said if isinstance(each, str))


def _said(whole: dict[str, Any]) -> str:
    return whole["choices"][0]["message"]["content"]
