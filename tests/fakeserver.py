"""A small OpenAI-compatible server on a thread of its own, as well-behaved or hostile as a test asks.

with FakeServer() as server:
    server.then(Answer(status=429), Answer())        # the next two answers; after them the usual one
    ...
    server.requests[0].json["model"], server.connections, server.gone.wait(1)
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import struct
import threading
import zlib
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import Self


@dataclass
class Request:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


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


def event(value: Any) -> bytes:
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


def completion(model: str = "m", content: str = "Hello", finish: str = "stop", **message: Any) -> dict[str, Any]:
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": content, **message},
        "logprobs": None,
        "finish_reason": finish,
    }
    usage = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
    return {"id": "c1", "object": "chat.completion", "created": 1, "model": model, "choices": [choice], "usage": usage}


def vector(text: str, dim: int) -> list[float]:
    """A small vector that depends on the text alone, exact in float32."""
    seed = zlib.crc32(text.encode())
    return [((seed >> (i % 24)) & 0xFF) / 256 for i in range(dim)]


class FakeServer:
    def __init__(self, dim: int = 4, tls: tuple[Path, Path] | None = None) -> None:
        self.dim = dim
        self._tls = None
        if tls is not None:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(*tls)
        self.requests: list[Request] = []
        self.connections = 0
        self.gone = threading.Event()  # a client left before its answer was complete
        self.max_tokens: int | None = None  # embeddings of more words are refused
        self._next: deque[Answer] = deque()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def then(self, *answers: Answer) -> None:
        self._next.extend(answers)

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0, ssl=self._tls)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            while request := await self._read(reader):
                self.requests.append(request)
                answer = self._next.popleft() if self._next else Answer()
                work = asyncio.create_task(self._send(request, answer, writer))
                left = asyncio.create_task(reader.read(1))
                await asyncio.wait({work, left}, return_when=asyncio.FIRST_COMPLETED)
                if not work.done():
                    self.gone.set()
                    work.cancel()
                    return
                left.cancel()
                await asyncio.gather(left, return_exceptions=True)
                if not work.result():
                    return
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> Request | None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        except asyncio.IncompleteReadError:
            return None
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        return Request(head[0].split(" ")[1], headers, body)

    async def _send(self, request: Request, answer: Answer, writer: asyncio.StreamWriter) -> bool:
        """Returns whether the connection stays open."""
        await asyncio.sleep(answer.delay)
        body, chunks = answer.body, answer.chunks
        status = answer.status
        if body is None and chunks is None:
            status, body, chunks = self._usual(request, status)
        kind = "application/json" if chunks is None else "text/event-stream"
        headers = {"content-type": kind, "x-request-id": "req-1", **answer.headers}
        size = {"content-length": str(len(body))} if body is not None else {"transfer-encoding": "chunked"}
        head = "".join(f"{name}: {value}\r\n" for name, value in {**headers, **size}.items())
        writer.write(f"HTTP/1.1 {status} X\r\n{head}\r\n".encode())
        if body is not None:
            writer.write(body[: len(body) // 2] if answer.cut else body)
        for piece in chunks or ():
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            await writer.drain()
            if answer.chunk_delay:
                await asyncio.sleep(answer.chunk_delay)
        if chunks is not None and not answer.cut:
            writer.write(b"0\r\n\r\n")
        await writer.drain()
        return not answer.cut

    def _usual(self, request: Request, status: int) -> tuple[int, bytes | None, list[bytes] | None]:
        if status != 200:
            error = {"message": f"status {status}", "type": "some_type", "param": "p", "code": "some_code"}
            return status, json.dumps({"error": error}).encode(), None
        asked = request.json
        if request.path.split("?")[0].endswith("/embeddings"):
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
