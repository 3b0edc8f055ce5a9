"""A small OpenAI-compatible server on a thread of its own, as well-behaved or hostile as a test asks.

with FakeServer() as server:
    server.then(Answer(status=429), Answer())        # the next two answers; after them the usual one
    ...
    server.requests[0].json["model"], server.connections, server.gone.wait(1)
"""

from __future__ import annotations

import base64
import json
import struct
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from servers.script import event, vector
from servers.wire import Reply, Request, WireServer

if TYPE_CHECKING:
    from pathlib import Path


@dataclass
class Answer:
    """What to send. Without body and chunks: the usual answer to the request."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    chunks: list[bytes] | None = None  # sent one by one, as they are
    delay: float = 0.0  # before the first byte
    chunk_delay: float = 0.0
    cut: bool = False  # close the connection instead of ending the answer


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return event(
        {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice], **more}
    )


def completion(model: str = "m", content: str = "Hello", finish: str = "stop", **message: Any) -> dict[str, Any]:
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": content, **message},
        "logprobs": None,
        "finish_reason": finish,
    }
    usage = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
    return {"id": "c1", "object": "chat.completion", "created": 1, "model": model, "choices": [choice], "usage": usage}


class FakeServer(WireServer):
    def __init__(self, dim: int = 4, tls: tuple[Path, Path] | None = None) -> None:
        super().__init__(self._reply, tls)
        self.dim = dim
        self.max_tokens: int | None = None  # embeddings of more words are refused
        self._next: deque[Answer] = deque()

    def then(self, *answers: Answer) -> None:
        self._next.extend(answers)

    def _reply(self, request: Request) -> Reply:
        answer = self._next.popleft() if self._next else Answer()
        status, body, chunks = answer.status, answer.body, answer.chunks
        if body is None and chunks is None:
            status, body, chunks = self._usual(request, status)
        kind = "application/json" if chunks is None else "text/event-stream"
        return Reply(
            status,
            {"content-type": kind, "x-request-id": "req-1", **answer.headers},
            [body] if chunks is None else chunks,
            streamed=chunks is not None,
            delay=answer.delay,
            pause=answer.chunk_delay,
            ending="cut" if answer.cut else "whole",
        )

    def _usual(self, request: Request, status: int) -> tuple[int, bytes | None, list[bytes] | None]:
        if status != 200:
            error = {"message": f"status {status}", "type": "some_type", "param": "p", "code": "some_code"}
            return status, json.dumps({"error": error}).encode(), None
        asked = request.json
        if request.path.endswith("/embeddings"):
            return self._embeddings(asked)
        if asked.get("stream"):
            words = [chunk({"content": f"w{i} "}) for i in range(3)]
            return (
                200,
                None,
                [chunk({"role": "assistant", "content": ""}), *words, chunk({}, "stop"), b"data: [DONE]\n\n"],
            )
        return 200, json.dumps(completion(asked["model"])).encode(), None

    def _embeddings(self, asked: Any) -> tuple[int, bytes | None, list[bytes] | None]:
        texts = [asked["input"]] if isinstance(asked["input"], str) else asked["input"]
        longest = max(len(text.split()) for text in texts)
        if self.max_tokens is not None and longest > self.max_tokens:
            message = f"maximum context length is {self.max_tokens} tokens, however you requested {longest} tokens"
            return 400, json.dumps({"error": {"message": message, "type": "invalid_request_error"}}).encode(), None
        dim = asked.get("dimensions", self.dim)
        rows = []
        for index, text in enumerate(texts):
            numbers: Any = vector(text, dim)
            if asked.get("encoding_format") == "base64":
                numbers = base64.b64encode(struct.pack(f"<{dim}f", *numbers)).decode()
            rows.append({"object": "embedding", "index": index, "embedding": numbers})
        rows.reverse()  # the order of the answer is that of `index`, not of the list
        usage = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
        return 200, json.dumps({"object": "list", "data": rows, "model": asked["model"], "usage": usage}).encode(), None
