"""The server as an ASGI application, for uvicorn, hypercorn and the like: they accept connections, the core answers.

What is served is made when the application starts, or with its first request. `ferroute serve` needs none of this and
is faster: it accepts connections itself.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ferroute._serving_lines import say

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping, Sequence

    from ferroute._core import GatewayBody
    from ferroute.controller import Controller

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

MOST_BODY = 20 << 20
"""The largest body that is read: as large as the server's own limit allows."""


class Answers(Protocol):
    """What `ferroute._core.Gateway` is here for."""

    def handle(
        self, method: str, target: str, headers: list[tuple[bytes, bytes]], body: bytes
    ) -> Awaitable[tuple[int, list[tuple[bytes, bytes]], GatewayBody]]: ...


class Made(NamedTuple):
    """What is served.

    Attributes:
        controller: Its routers, models and ledger.
        core: What answers for it.
        close: Called at the end.
        notes: What whoever starts it should know: levels, and sentences.
    """

    controller: Controller
    core: Answers
    close: Callable[[], None]
    notes: Sequence[tuple[str, str]] = ()


class Application:
    """Serves a Controller over ASGI.

    Args:
        make: Makes what is served, once; it may take its time and block.
    """

    def __init__(self, make: Callable[[], Made]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made: Made | None = None

    @property
    def controller(self) -> Controller | None:
        """What is served; None before the start."""
        return None if self._made is None else self._made.controller

    def start(self) -> Controller:
        """Makes what is served, if that is not done, and says on standard error what should be known of it.

        Raises:
            FerrouteError: A router or a model cannot be had.
        """
        with self._lock:
            if self._made is None:
                self._made = self._make()
                for level, note in self._made.notes:
                    say(level, note)
            return self._made.controller

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """One connection's request, or the life of the application."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await asyncio.to_thread(self.start)
        except Exception as error:
            await send({"type": "lifespan.startup.failed", "message": str(error) or type(error).__name__})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        if self._made is not None:
            await asyncio.to_thread(self._made.close)
            await asyncio.to_thread(self._made.controller.ledger.flush)
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if self._made is None:
            await asyncio.to_thread(self.start)
        if self._made is None:
            return
        body = await _body(receive)
        if body is None:
            return
        query: bytes = scope.get("query_string", b"")
        target = scope.get("raw_path", b"") or scope["path"].encode()
        target = (target.split(b"?", 1)[0] + (b"?" + query if query else b"")).decode("latin-1")
        headers = [(bytes(name), bytes(value)) for name, value in scope["headers"]]
        gone = asyncio.ensure_future(_gone(receive))
        try:
            answered = await _unless(gone, self._made.core.handle(scope["method"], target, headers, body))
            if answered is None:
                return
            status, told, pieces = answered
            await send({"type": "http.response.start", "status": status, "headers": told})
            await _send(gone, pieces, send)
        finally:
            gone.cancel()


async def _body(receive: Receive) -> bytes | None:
    """The whole body, one byte more than is allowed of a larger one; None where the caller leaves before its end."""
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        piece = message.get("body", b"")
        size += len(piece)
        if size <= MOST_BODY + 1:
            pieces.append(piece)
        elif sum(map(len, pieces)) <= MOST_BODY:
            # So that the core says that it is too large, in the words of the caller's protocol.
            pieces.append(piece[: MOST_BODY + 1 - sum(map(len, pieces))])
        if not message.get("more_body", False):
            return b"".join(pieces)


async def _gone(receive: Receive) -> None:
    """Returns when the caller has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _unless(gone: asyncio.Future[None], work: Awaitable[Any]) -> Any:
    """What `work` comes to; None where the caller leaves first, and then it is ended."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        if not task.done():
            task.cancel()


async def _send(gone: asyncio.Future[None], pieces: GatewayBody, send: Send) -> None:
    """Hands the body on, as fast as the caller takes it."""
    try:
        while (piece := await _unless(gone, pieces.next())) is not None:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        if not gone.done():
            await send({"type": "http.response.body", "body": b"", "more_body": False})
    finally:
        pieces.close()
