"""A chat server that keeps its own account of what it answered: calls by their number, with tokens and times."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from dataclasses import dataclass, field


@dataclass
class Served:
    """What the server knows of one call."""

    prompt_tokens: int
    completion_tokens: int
    whole_at: float | None = None


@dataclass
class CountingServer:
    """Answers ``call 17 ...`` with tokens that follow from its number, streamed where that is asked for."""

    delay: float = 0.002
    served: dict[int, Served] = field(default_factory=dict)
    url: str = ""

    def __enter__(self):
        self._loop = asyncio.new_event_loop()
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(started,), daemon=True)
        self._thread.start()
        assert started.wait(30)
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)

    def _run(self, started):
        self._loop.run_until_complete(self._serve(started))
        self._loop.close()

    async def _serve(self, started):
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        started.set()
        await self._stop.wait()
        server.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _connection(self, reader, writer):
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                fields = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:] if line)
                body = json.loads(await reader.readexactly(int(fields[b"content-length"])))
                await self._answer(writer, body)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _answer(self, writer, body):
        number = int(body["messages"][0]["content"].split()[1])
        served = self.served[number] = Served(1000 + number, 1 + number % 50)
        usage = {
            "prompt_tokens": served.prompt_tokens,
            "completion_tokens": served.completion_tokens,
            "total_tokens": served.prompt_tokens + served.completion_tokens,
        }
        base = {"id": f"c{number}", "created": 1, "model": body["model"]}
        await asyncio.sleep(self.delay)
        if body.get("stream"):
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
            base["object"] = "chat.completion.chunk"
            for text in ("one ", "two ", "three"):
                delta = {"role": "assistant", "content": text}
                self._event(writer, base | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
                await writer.drain()
                await asyncio.sleep(self.delay / 2)
            self._event(writer, base | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
            self._event(writer, base | {"choices": [], "usage": usage})
            self._event(writer, None)
            writer.write(b"0\r\n\r\n")
        else:
            message = {"role": "assistant", "content": "one two three"}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            answer = json.dumps(base | {"object": "chat.completion", "choices": [choice], "usage": usage}).encode()
            head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(answer)}\r\n\r\n"
            writer.write(head.encode() + answer)
        await writer.drain()
        served.whole_at = time.time()

    @staticmethod
    def _event(writer, value):
        data = b"data: " + (b"[DONE]" if value is None else json.dumps(value).encode()) + b"\n\n"
        writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
