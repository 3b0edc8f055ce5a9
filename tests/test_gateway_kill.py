"""``kill -9`` of the server, its database and its provider, under load: what is missing, double, and who mends it.

A call is known to the client, the provider and the ledger by its number, which the provider's id of the answer has.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

import postgres
from countingserver import CountingServer
from ferroute.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROGRAM = """
import sys
from ferroute.controller import Controller
from ferroute.gateway import Gateway
from ferroute.policy import CallPolicy
controller = Controller(
    ["random"], "gpt-5.5", "gpt-5.4-nano", api_base=sys.argv[1], api_key="k", ledger=sys.argv[2],
    policy=CallPolicy(retries=0),
)
gateway = Gateway(controller, port=int(sys.argv[3]))
print(gateway.url, flush=True)
gateway.run()
"""


@contextmanager
def serving(upstream: str, ledger: str, port: int = 0) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-c", PROGRAM, upstream, ledger, str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            url = process.stdout.readline().strip()
            assert url, "the server did not start"
            yield process, url
        finally:
            if process.poll() is None:
                process.kill()


class Load:
    """Calls one after the other on several connections, with what became of each."""

    def __init__(self, url: str, first: int = 0) -> None:
        self.url = url
        self.ended: dict[int, float] = {}  # when the client had all of the answer
        self.failed: dict[int, int | str] = {}
        self._next = first

    async def run(self, until: Callable[[], bool], workers: int = 16) -> None:
        limits = httpx.Limits(max_connections=workers)
        async with httpx.AsyncClient(base_url=self.url, timeout=10, limits=limits) as client:
            await asyncio.gather(*(self._worker(client, until) for _ in range(workers)))

    async def _worker(self, client: httpx.AsyncClient, until: Callable[[], bool]) -> None:
        while not until():
            number, self._next = self._next, self._next + 1
            body = {
                "model": "router-random-0.5",
                "messages": [{"role": "user", "content": f"call {number} why?"}],
                "stream": number % 2 == 0,
            }
            try:
                answer = await client.post("/v1/chat/completions", json=body)
            except httpx.HTTPError as error:
                self.failed[number] = type(error).__name__
                await asyncio.sleep(0.01)
                continue
            if answer.status_code == 200 and (number % 2 or "[DONE]" in answer.text):
                self.ended[number] = time.monotonic()
            else:
                self.failed[number] = answer.status_code


def rows(path: Path) -> list[tuple[str | None, str]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT response, outcome FROM calls").fetchall()


def whole(found: list[tuple[str | None, str]]) -> set[int]:
    """The calls that ended well; none is there twice."""
    numbers = [int(response.removeprefix("c")) for response, outcome in found if outcome == "ok" and response]
    assert len(numbers) == len(set(numbers)), "a call is there twice"
    assert len(numbers) == sum(outcome == "ok" for _, outcome in found)
    return set(numbers)


@pytest.mark.skipif(os.name == "nt", reason="no kill -9 on this system")
def test_the_server_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "calls.db"
    with CountingServer() as upstream:
        with serving(upstream.url, f"sqlite:{path}") as (process, url):
            load = Load(url)
            killed = []

            def until() -> bool:
                if len(load.ended) >= 1000 and not killed:
                    process.send_signal(signal.SIGKILL)
                    killed.append(time.monotonic())
                return bool(killed)

            asyncio.run(load.run(until))
        # Whoever had his answer 100 ms before is in the book, whatever happened to the server.
        due = {number for number, at in load.ended.items() if at < killed[0] - 0.1}
        assert len(due) > 500
        found = rows(path)
        assert due <= whole(found)
        assert whole(found) <= set(upstream.served) and len(found) <= len(upstream.served)
        # Nobody has to mend anything: it starts on the same file, and goes on in it.
        with serving(upstream.url, f"sqlite:{path}") as (process, url):
            again = Load(url, first=1_000_000)
            asyncio.run(again.run(lambda: len(again.ended) >= 50))
            process.terminate()
            assert process.wait(30) == 0
        assert not again.failed
        assert whole(rows(path)) >= due | set(again.ended)


@pytest.mark.timeout(180)
def test_the_database_is_killed_and_comes_back() -> None:
    with postgres.killable() as database, CountingServer() as upstream:
        with serving(upstream.url, database.url) as (process, url):
            load = Load(url)
            stages: list[float] = []

            async def ups_and_downs() -> None:
                await reached(lambda: len(load.ended) >= 200)
                database.kill()
                before = len(load.ended)
                # Callers do not notice.
                await reached(lambda: len(load.ended) >= before + 200)
                # Here, not in a thread: it ends with the thread that started it.
                database.start()
                await reached(lambda: len(load.ended) >= before + 400)
                stages.append(time.monotonic())

            async def both() -> None:
                await asyncio.gather(load.run(lambda: bool(stages)), ups_and_downs())

            asyncio.run(both())
            assert not load.failed
            process.terminate()
            assert process.wait(60) == 0
        with Ledger(database.url) as ledger:
            columns = ledger.core.calls((None, None, None, None))
        found = list(zip(columns["response"], columns["outcome"], strict=True))
        assert whole(found) == set(load.ended) == set(upstream.served)


async def reached(condition: Callable[[], bool], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it took too long"
        await asyncio.sleep(0.01)


UPSTREAM = """
import sys
sys.path.insert(0, sys.argv[1])
import asyncio
import countingserver

class AtPort(countingserver.CountingServer):
    async def _serve(self, started):
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._connection, "127.0.0.1", int(sys.argv[2]))
        print(server.sockets[0].getsockname()[1], flush=True)
        await self._stop.wait()

server = AtPort()
asyncio.run(server._serve(None))
"""


@contextmanager
def provider(port: int = 0) -> Iterator[tuple[subprocess.Popen[str], int]]:
    folder = Path(__file__).resolve().parent
    command = [sys.executable, "-c", UPSTREAM, str(folder), str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


def test_the_provider_is_killed_and_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "calls.db"
    with provider() as (first, port), serving(f"http://127.0.0.1:{port}/v1", f"sqlite:{path}") as (process, url):
        load = Load(url)
        done: list[bool] = []

        async def ups_and_downs() -> None:
            await reached(lambda: len(load.ended) >= 100)
            first.kill()
            first.wait()
            await reached(lambda: len(load.failed) >= 50)
            with provider(port):
                before = len(load.ended)
                await reached(lambda: len(load.ended) >= before + 100)
                done.append(True)
                await asyncio.sleep(0.5)

        async def both() -> None:
            await asyncio.gather(load.run(lambda: bool(done)), ups_and_downs())

        asyncio.run(both())
        # Callers hear of it at once, as of a provider that cannot be reached, or see their stream break.
        assert set(load.failed.values()) <= {200, 502}
        process.terminate()
        assert process.wait(30) == 0
    found = rows(path)
    assert whole(found) >= set(load.ended)
    refused = sum(status == 502 for status in load.failed.values())
    assert sum(outcome == "failed" for _, outcome in found) >= refused > 0
