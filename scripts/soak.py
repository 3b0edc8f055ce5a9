"""Keeps a server under a steady load and watches what it holds on to: memory and descriptors have to stay flat.

``make soak`` runs it for half an hour at 500 requests a second. Requests are of every kind a server sees: whole answers
and streams, two routers' models, callers who leave in the middle, keys of conversations that never come back. The
provider is a server in another process; the ledger is a file.

Memory counts from the end of the warm-up, when caches have filled. What is compared are medians, since a single look at
the resident set catches whatever is in flight.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

WARM_UP = 0.3
"""Part of the run that is not compared."""
CONNECTIONS = 64

PROVIDER = """
import asyncio, json

def whole(body):
    usage = {"prompt_tokens": 200, "completion_tokens": 40, "total_tokens": 240}
    message = {"role": "assistant", "content": "soaked " * 40}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    answer = {"id": "c", "object": "chat.completion", "created": 1, "model": body["model"], "choices": [choice]}
    return json.dumps(answer | {"usage": usage}).encode()

def piece(body, delta, finish=None):
    choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": body["model"], "choices": [choice]}
    return b"data: " + json.dumps(chunk).encode() + b"\\n\\n"

async def connection(reader, writer):
    try:
        while True:
            head = (await reader.readuntil(b"\\r\\n\\r\\n")).decode().lower()
            length = next(int(line.split(":")[1]) for line in head.split("\\r\\n") if line.startswith("content-length"))
            body = json.loads(await reader.readexactly(length))
            if not body.get("stream"):
                answer = whole(body)
                head = b"HTTP/1.1 200 OK\\r\\ncontent-type: application/json\\r\\ncontent-length: %d\\r\\n\\r\\n"
                writer.write(head % len(answer) + answer)
                await writer.drain()
                continue
            kind = b"HTTP/1.1 200 OK\\r\\ncontent-type: text/event-stream\\r\\ntransfer-encoding: chunked\\r\\n\\r\\n"
            writer.write(kind)
            for number in range(8):
                part = piece(body, {"content": f"word {number} "})
                writer.write(b"%x\\r\\n%s\\r\\n" % (len(part), part))
                await writer.drain()
                await asyncio.sleep(0.001)
            part = piece(body, {}, "stop") + b"data: [DONE]\\n\\n"
            writer.write(b"%x\\r\\n%s\\r\\n0\\r\\n\\r\\n" % (len(part), part))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()

async def main():
    server = await asyncio.start_server(connection, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await server.serve_forever()

asyncio.run(main())
"""

SERVER = """
import sys
from ferroute.controller import Controller
from ferroute.gateway import Gateway

controller = Controller(
    ["random", "local"], strong_model="gpt-5.5", weak_model="gpt-5.4-nano", api_base=sys.argv[1], api_key="k",
    ledger=f"sqlite:{sys.argv[2]}",
)
gateway = Gateway(controller, port=0, telemetry={"logs": "json"})
print(gateway.url, flush=True)
gateway.run()
"""


@dataclass
class Seen:
    """What the run came to."""

    answers: Counter[str] = field(default_factory=Counter)
    late: int = 0
    samples: list[tuple[float, int, int]] = field(default_factory=list)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1800)
    parser.add_argument("--rate", type=float, default=500, help="requests a second")
    parser.add_argument("--growth", type=float, default=5, help="percent that memory may grow by after the warm-up")
    parser.add_argument("--json", action="store_true", help="print what was found as JSON")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = run(asked.seconds, asked.rate, Path(folder))
    found["flat"] = found["growth_percent"] <= asked.growth
    print(json.dumps(found) if asked.json else "\n".join(f"{name:>18}  {value}" for name, value in found.items()))
    well = found["flat"] and found["descriptors_grew"] <= 0 and not found["failed"]
    return 0 if well else 1


def run(seconds: float, rate: float, folder: Path) -> dict[str, object]:
    provider, url = started([sys.executable, "-c", PROVIDER])
    try:
        log = (folder / "server.log").open("wb")
        server, base = started([sys.executable, "-c", SERVER, url, str(folder / "soak.db")], log)
        try:
            seen = asyncio.run(soak(base, server.pid, seconds, rate))
            assert server.poll() is None, "the server has ended"
        finally:
            ended(server)
            log.close()
    finally:
        ended(provider)
    return summary(seen, seconds)


def started(command: list[str], errors: object = None) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    assert url, "it did not start"
    return process, url


def ended(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    assert process.stdout is not None
    process.stdout.close()


async def soak(base: str, pid: int, seconds: float, rate: float) -> Seen:
    host, port = base.removeprefix("http://").split(":")
    seen, begun = Seen(), time.monotonic()
    # Numbers of requests, each handed out when it is due.
    due: asyncio.Queue[int | None] = asyncio.Queue()

    async def worker() -> None:
        caller = Caller(host, int(port))
        while (number := await due.get()) is not None:
            seen.answers[await caller.ask(number)] += 1
        caller.leave()

    workers = [asyncio.ensure_future(worker()) for _ in range(CONNECTIONS)]
    sampled, number = 0.0, 0
    while (now := time.monotonic() - begun) < seconds:
        for _ in range(int(now * rate) - number):
            number += 1
            # A machine that cannot keep up gets fewer requests, not a queue that grows.
            if due.qsize() > CONNECTIONS:
                seen.late += 1
            else:
                due.put_nowait(number)
        if now - sampled >= 0.5:
            sampled = now
            seen.samples.append((now, resident(pid), len(os.listdir(f"/proc/{pid}/fd"))))  # noqa: PTH208
        await asyncio.sleep(0.01)
    for _ in workers:
        due.put_nowait(None)
    await asyncio.gather(*workers)
    return seen


class Caller:
    """One connection that is used again and again, as a client's pool does."""

    def __init__(self, host: str, port: int) -> None:
        self._where = host, port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, number: int) -> str:
        """How request ``number`` went."""
        try:
            if self._streams is None:
                self._streams = await asyncio.open_connection(*self._where)
            reader, writer = self._streams
            stream, leaves = number % 3 == 0, number % 30 == 0
            writer.write(request(number, stream))
            await writer.drain()
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            if leaves:
                self.leave()
                return "left"
            if "transfer-encoding: chunked" in head:
                await reader.readuntil(b"0\r\n\r\n")
            else:
                length = next(line for line in head.split("\r\n") if line.startswith("content-length"))
                await reader.readexactly(int(length.split(":")[1]))
            return head.split(" ", 2)[1]
        except (OSError, asyncio.IncompleteReadError) as error:
            self.leave()
            return type(error).__name__

    def leave(self) -> None:
        """Closes the connection, whatever is on it."""
        if self._streams is not None:
            self._streams[1].close()
        self._streams = None


def request(number: int, stream: bool) -> bytes:
    model = ("router-random-0.5", "router-local-0.5", "router-local-30%", "gpt-5.5")[number % 4]
    text = f"Request {number}: what is the {number % 997}th word of a text that is long enough to be a prompt? " * 4
    said = {"session": f"conversation {number}", "tags": {"part": str(number % 7)}}
    body = {"model": model, "messages": [{"role": "user", "content": text}], "stream": stream, "ferroute": said}
    sent = json.dumps(body).encode()
    head = "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(sent)}\r\n\r\n".encode() + sent


def resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def summary(seen: Seen, seconds: float) -> dict[str, object]:
    after = [sample for sample in seen.samples if sample[0] >= WARM_UP * seconds]
    part = max(len(after) // 5, 1)
    first, last = ([memory for _, memory, _ in those] for those in (after[:part], after[-part:]))
    before, then = statistics.median(first), statistics.median(last)
    asked = sum(seen.answers.values())
    good = seen.answers["200"] + seen.answers["left"]
    return {
        "seconds": seconds,
        "requests": asked,
        "requests_s": round(asked / seconds, 1),
        "not_sent": seen.late,
        "failed": asked - good,
        "answers": dict(seen.answers),
        "memory_mb": f"{before / 1e6:.1f} -> {then / 1e6:.1f}",
        "growth_percent": round(100 * (then / before - 1), 2),
        "descriptors": f"{statistics.median(fds for _, _, fds in after[:part]):.0f} -> "
        f"{statistics.median(fds for _, _, fds in after[-part:]):.0f}, at most {max(fds for _, _, fds in after)}",
        # A connection more or less at a look is none that is kept: what counts is the least that is ever open.
        "descriptors_grew": min(fds for _, _, fds in after[-part:]) - max(fds for _, _, fds in after[:part]),
    }


if __name__ == "__main__":
    sys.exit(main())
