"""A small HTTP/1.1 server on a thread of its own that sends exactly the bytes, pauses and ends it is told to."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from typing_extensions import Self

# A stall lasts until the client gives up; no test waits longer than this.
FOREVER = 60.0


@dataclass
class Request:
    """One request as it came, and what was made of it."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int = 0
    provider: str = ""
    refused: str | None = None  # why, where it was refused

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Reply:
    """What to send back.

    `ending`: "whole" ends as HTTP wants; "cut" closes in the middle; "reset" with a TCP reset; "half" closes the
    sending side alone and keeps reading; "stall" sends nothing more.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    pieces: list[bytes] = field(default_factory=list)
    streamed: bool = False  # chunked, one write each piece; else one body with its length
    delay: float = 0.0  # before the first byte
    pause: float = 0.0  # between pieces
    ending: str = "whole"
    close_after: bool = False  # a whole answer, after which the connection is closed unannounced
    silent: bool = False  # not one byte of an answer

    @classmethod
    def of_json(cls, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Self:
        body = json.dumps(value, ensure_ascii=False).encode()
        return cls(status, {"content-type": "application/json", **(headers or {})}, [body])

    @classmethod
    def of_events(cls, events: list[bytes], headers: dict[str, str] | None = None) -> Self:
        return cls(200, {"content-type": "text/event-stream", **(headers or {})}, events, streamed=True)


class WireServer:
    """Calls `answer` for each request, from its own thread, and sends what that returns."""

    def __init__(self, answer: Callable[[Request], Reply], tls: tuple[Path, Path] | None = None) -> None:
        self._respond = answer
        self._tls = None
        if tls is not None:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(*tls)
        self.requests: list[Request] = []
        self.connections = 0
        self.gone = threading.Event()  # a client left before its answer was complete
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0, limit=1 << 20, ssl=self._tls)
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
        number = self.connections
        try:
            while request := await self._read(reader):
                request.connection = number
                self.requests.append(request)
                reply = self._respond(request)
                work = asyncio.create_task(self._send(reply, writer))
                left = asyncio.create_task(reader.read(1))
                await asyncio.wait({work, left}, return_when=asyncio.FIRST_COMPLETED)
                # A reset ends both at once.
                if not work.done() or isinstance(work.exception(), ConnectionError):
                    self.gone.set()
                    work.cancel()
                    await asyncio.gather(work, return_exceptions=True)
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
        method, target, _ = head[0].split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        if "chunked" in headers.get("transfer-encoding", ""):
            body = b""
            while size := int(await reader.readline(), 16):
                body += await reader.readexactly(size)
                await reader.readline()
            await reader.readline()
        else:
            body = await reader.readexactly(int(headers.get("content-length", 0)))
        return Request(method, target, headers, body)

    async def _send(self, reply: Reply, writer: asyncio.StreamWriter) -> bool:
        """Returns whether the connection stays open."""
        await asyncio.sleep(reply.delay)
        if not reply.silent:
            whole = b"".join(reply.pieces)
            size = {"transfer-encoding": "chunked"} if reply.streamed else {"content-length": str(len(whole))}
            head = "".join(f"{name}: {value}\r\n" for name, value in {**reply.headers, **size}.items())
            writer.write(f"HTTP/1.1 {reply.status} X\r\n{head}\r\n".encode("latin-1"))
            if reply.streamed:
                for piece in reply.pieces:
                    writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                    await writer.drain()
                    if reply.pause:
                        await asyncio.sleep(reply.pause)
                if reply.ending == "whole":
                    writer.write(b"0\r\n\r\n")
            else:
                writer.write(whole if reply.ending == "whole" else whole[: len(whole) // 2])
            await writer.drain()
        return await self._end(reply, writer)

    async def _end(self, reply: Reply, writer: asyncio.StreamWriter) -> bool:
        if reply.ending == "stall":
            await asyncio.sleep(FOREVER)
        elif reply.ending == "half":
            writer.write_eof()
            await asyncio.sleep(FOREVER)
        elif reply.ending == "reset":
            raw = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        return reply.ending == "whole" and not reply.close_after and not reply.silent
