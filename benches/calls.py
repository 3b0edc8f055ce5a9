"""What a call costs beside the bare wire: one completion and one 32-chunk stream against a local stub.

    python benches/calls.py --peers FOLDER [--litellm-python PATH] [--calls 200] [--rounds 12]

Every client talks to the same stub process (`stub.py` in FOLDER), in turns within each round, so that all of them see
the same load of the machine. One JSON line a client: microseconds of wall time (median and least over the rounds) and
CPU time of one call; `over_wire_us` is the least time less that of the bare wire (the same bytes over one plain
socket), and `times_ferroute` compares that remainder with ours. Least times, because on a shared machine they move
little where medians move with the load. CPU time counts every thread of the client and not the stub. LiteLLM runs in
the interpreter of its own environment and takes its turns like the others.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

MESSAGES = [{"role": "user", "content": "word " * 50}]
BODY = json.dumps({"model": "big", "messages": MESSAGES}).encode()
STREAM_BODY = json.dumps({"model": "big", "messages": MESSAGES, "stream": True}).encode()
IN_FLIGHT = 64


def wire(port: int) -> dict[str, Callable[[], Any]]:
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: stub\r\n"
    head += b"content-type: application/json\r\ncontent-length: %d\r\n\r\n"

    def send(body: bytes, end: bytes) -> None:
        connection.sendall(head % len(body) + body)
        answer = b""
        while not answer.endswith(end):
            answer += connection.recv(65536)

    # The stub's plain answers end with the usage, its streams with the empty chunk.
    return {"call": lambda: send(BODY, b"}}"), "stream": lambda: send(STREAM_BODY, b"0\r\n\r\n")}


def httpx_(port: int) -> dict[str, Callable[[], Any]]:
    try:
        import httpx2 as httpx  # what the newer openai clients use
    except ImportError:
        import httpx
    client = httpx.Client()
    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    headers = {"content-type": "application/json"}

    def stream() -> None:
        with client.stream("POST", url, content=STREAM_BODY, headers=headers) as response:
            for _ in response.iter_lines():
                pass

    return {"call": lambda: client.post(url, content=BODY, headers=headers).json(), "stream": stream}


def openai_(port: int) -> dict[str, Callable[[], Any]]:
    import openai

    base = f"http://127.0.0.1:{port}/v1"
    create = openai.OpenAI(base_url=base, api_key="k").chat.completions.create
    client = openai.AsyncOpenAI(base_url=base, api_key="k")
    return {
        "call": lambda: create(model="big", messages=MESSAGES),  # type: ignore[arg-type]
        "stream": lambda: drain(create(model="big", messages=MESSAGES, stream=True)),  # type: ignore[arg-type]
        "async64": lambda: client.chat.completions.create(model="big", messages=MESSAGES),  # type: ignore[arg-type]
        "astream": lambda: adrain(client.chat.completions.create(model="big", messages=MESSAGES, stream=True)),  # type: ignore[arg-type]
    }


def ferroute_(port: int) -> dict[str, Callable[[], Any]]:
    from ferroute.completions import acompletion, completion

    at = {"model": "openai/big", "messages": MESSAGES, "api_base": f"http://127.0.0.1:{port}", "api_key": "k"}
    return {
        "call": lambda: completion(**at),
        "stream": lambda: drain(completion(**at, stream=True)),
        "async64": lambda: acompletion(**at),
        "astream": lambda: adrain(acompletion(**at, stream=True)),
    }


def litellm_(port: int) -> dict[str, Callable[[], Any]]:
    import litellm

    at = {"model": "openai/big", "messages": MESSAGES, "api_base": f"http://127.0.0.1:{port}/v1", "api_key": "k"}
    return {
        "call": lambda: litellm.completion(**at),
        "stream": lambda: drain(litellm.completion(**at, stream=True)),
        "async64": lambda: litellm.acompletion(**at),
        "astream": lambda: adrain(litellm.acompletion(**at, stream=True)),
    }


CLIENTS = {"wire": wire, "httpx": httpx_, "openai": openai_, "ferroute": ferroute_, "litellm": litellm_}


def drain(stream: Iterator[Any]) -> None:
    for _ in stream:
        pass


async def adrain(opening: Awaitable[Any]) -> None:
    async for _ in await opening:
        pass


def serve_turns(name: str, port: int) -> None:
    """A child: reads `what calls` lines and answers each with wall and CPU seconds of that many calls."""
    made = CLIENTS[name](port)
    loop = asyncio.new_event_loop()
    print("ready", flush=True)
    for line in sys.stdin:
        what, calls = line.split()[0], int(line.split()[1])
        if what not in made:
            print("null", flush=True)
            continue
        work = made[what]
        wall, cpu = time.perf_counter(), time.process_time()
        if what == "async64":
            loop.run_until_complete(in_flight(work, calls, IN_FLIGHT))
        elif what == "astream":
            loop.run_until_complete(in_flight(work, calls, 1))
        else:
            for _ in range(calls):
                work()
        print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu]), flush=True)


async def in_flight(work: Callable[[], Any], calls: int, lanes: int) -> None:
    left = iter(range(calls))

    async def lane() -> None:
        for _ in left:
            await work()

    await asyncio.gather(*(lane() for _ in range(lanes)))


class Child:
    """One client in a process of its own."""

    def __init__(self, name: str, python: str, port: int) -> None:
        self.name = name
        command = [python, __file__, "--serve", name, "--port", str(port)]
        quiet = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=quiet
        )
        self.seen: dict[str, list[tuple[float, float]]] = {}
        self.read("ready")

    def read(self, wanted: str | None = None) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:  # a library may print before the answer
            if wanted is None or line.strip() == wanted:
                return line
        raise SystemExit(f"{self.name} ended before it was ready")

    def turn(self, what: str, calls: int, count: bool = True) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{what} {calls}\n")
        self.process.stdin.flush()
        figures = json.loads(self.read())
        if figures and count:
            self.seen.setdefault(what, []).append((figures[0] / calls * 1e6, figures[1] / calls * 1e6))


@contextlib.contextmanager
def stub(folder: Path) -> Iterator[int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, str(folder / "stub.py"), "--port", str(port)], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield port
    finally:
        process.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--peers", type=Path, help="folder with stub.py")
    parser.add_argument("--litellm-python", help="interpreter of an environment with LiteLLM")
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve_turns(args.serve, args.port)
        return
    if not args.peers:
        parser.error("--peers is needed: the folder with stub.py")
    pythons = dict.fromkeys(("wire", "httpx", "openai", "ferroute"), sys.executable)
    if args.litellm_python:
        pythons["litellm"] = args.litellm_python
    with stub(args.peers) as port:
        children = [Child(name, python, port) for name, python in pythons.items()]
        sizes = {"call": args.calls, "stream": args.calls // 4, "astream": args.calls // 4, "async64": args.calls * 2}
        for what, calls in sizes.items():
            for child in children:
                child.turn(what, max(calls // 4, 8), count=False)
            for _ in range(args.rounds):
                for child in children:
                    child.turn(what, calls if child.name != "litellm" else max(calls // 10, 1))
        for child in children:
            child.process.kill()
    report(children)


def report(children: list[Child]) -> None:
    least = {
        (child.name, what): min(figure[0] for figure in seen) for child in children for what, seen in child.seen.items()
    }
    # A stream is the same bytes on the wire whoever reads it.
    bare = {what: least.get(("wire", "stream" if what == "astream" else what), 0.0) for _, what in least}
    over = {(name, what): wall - bare[what] for (name, what), wall in least.items()}
    for child in children:
        for what, seen in child.seen.items():
            key = (child.name, what)
            wall = statistics.median(figure[0] for figure in seen)
            line: dict[str, Any] = {"bench": f"calls_{what}", "client": child.name, "wall_us": round(wall, 1)}
            line["min_us"] = round(least[key], 1)
            line["cpu_us"] = round(statistics.median(figure[1] for figure in seen), 1)
            if what == "async64":
                line["calls_per_s"] = round(1e6 / wall)
            elif child.name != "wire":
                line["over_wire_us"] = round(over[key], 1)
            if child.name not in ("wire", "ferroute"):
                line["times_ferroute"] = round(over[key] / max(over["ferroute", what], 1.0), 1)
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
