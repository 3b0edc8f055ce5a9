"""How Python waits for the core: on every kind of asyncio loop, and on threads of its own."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fakeserver import Answer, FakeServer
from ferroute.completions import acompletion, completion
from ferroute.ledger import Ledger
from ferroute.policy import CallPolicy

if TYPE_CHECKING:
    from collections.abc import Iterator

MESSAGES = [{"role": "user", "content": "hello"}]


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server


class Proactor(asyncio.SelectorEventLoop):
    """A loop that watches no sockets, as Windows' does not."""

    def add_reader(self, fd: Any, callback: Any, *args: Any) -> None:
        raise NotImplementedError

    def _add_reader(self, fd: Any, callback: Any, *args: Any) -> Any:  # its own way to be woken stays
        return super()._add_reader(fd, callback, *args)  # type: ignore[misc]


def call(server: FakeServer) -> Any:
    return acompletion(model="openai/m", messages=MESSAGES, api_base=server.url, api_key="k")


async def many(server: FakeServer, count: int) -> list[str]:
    answers = await asyncio.gather(*(call(server) for _ in range(count)))
    return [answer.choices[0].message.content for answer in answers]


@pytest.mark.parametrize("kind", [asyncio.SelectorEventLoop, Proactor])
def test_many_at_once_on_each_kind_of_loop(server: FakeServer, kind: type[asyncio.AbstractEventLoop]) -> None:
    loop = kind()
    try:
        first = loop.run_until_complete(many(server, 1))
        assert loop.run_until_complete(many(server, 50)) == first * 50
        server.then(Answer(status=400))
        with pytest.raises(Exception, match="400"):
            loop.run_until_complete(call(server))
    finally:
        loop.close()


def _open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_loops_in_turn_and_side_by_side(server: FakeServer) -> None:
    one, two = asyncio.new_event_loop(), asyncio.new_event_loop()
    expected = one.run_until_complete(many(server, 1))
    for loop in (two, one, two, one):
        assert loop.run_until_complete(many(server, 3)) == expected * 3
    one.close()
    two.close()
    seen: list[list[str]] = []
    threads = [threading.Thread(target=lambda: seen.append(asyncio.run(many(server, 20)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [expected * 20] * 4


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts this process's open files in /proc")
def test_a_loop_and_its_sockets_go(server: FakeServer) -> None:
    asyncio.run(many(server, 1))
    gc.collect()

    def run() -> weakref.ref[Any]:
        loop = asyncio.new_event_loop()
        loop.run_until_complete(many(server, 1))
        loop.close()
        return weakref.ref(loop)

    before = _open_files()
    loops = [run() for _ in range(10)]
    gc.collect()
    # The last one's queue is kept until this thread runs another loop.
    assert all(loop() is None for loop in loops)
    assert _open_files() <= before + 4


def test_a_loop_that_closes_with_calls_under_way(server: FakeServer) -> None:
    server.then(*(Answer(delay=0.2) for _ in range(5)))

    async def leave() -> None:
        for _ in range(5):
            asyncio.ensure_future(call(server))  # noqa: RUF006 - abandoned on purpose
        await asyncio.sleep(0.05)

    asyncio.run(leave())  # cancels what is left
    assert asyncio.run(many(server, 2))


async def test_cancelled_before_its_first_step(server: FakeServer) -> None:
    task = asyncio.ensure_future(call(server))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await many(server, 1)


async def test_a_call_cancelled_before_it_began_is_entered(server: FakeServer) -> None:
    await many(server, 1)  # the types of answers are loaded once, before any call
    # No answer comes before its cancellation, however busy the machine.
    server.then(*(Answer(delay=30) for _ in range(20)))
    with Ledger("memory:") as book:
        for _ in range(20):
            asked = {"model": "openai/m", "messages": MESSAGES, "api_base": server.url, "api_key": "k"}
            task = asyncio.ensure_future(acompletion(**asked, ledger=book))
            await asyncio.sleep(0)  # the call is made, and nobody has looked at it yet
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        # A thread of the runtime drops what was cancelled, in its own time.
        for _ in range(500):
            if book.spend().queries == 20:
                break
            await asyncio.sleep(0.01)
        assert (book.spend().queries, book.spend().cancelled) == (20, 20)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts this process's open files in /proc")
def test_many_threads_that_wait_hold_few_files(server: FakeServer) -> None:
    server.then(*(Answer(delay=0.5) for _ in range(120)))
    asked = {"model": "openai/m", "messages": MESSAGES, "api_base": server.url, "api_key": "k"}
    seen: list[str | None] = []

    def ask() -> None:
        answer = completion(**asked)
        seen.append(answer.choices[0].message.content)  # type: ignore[union-attr]

    ask_once = _open_files()
    threads = [threading.Thread(target=ask) for _ in range(120)]
    for thread in threads:
        thread.start()
    while server.connections < 120 and any(thread.is_alive() for thread in threads):
        threading.Event().wait(0.01)
    # The server of this test lives in this process too: two files for each connection, the rest is ours.
    ours = _open_files() - ask_once - 2 * 120
    for thread in threads:
        thread.join()
    assert len(seen) == 120
    assert ours < 150


def test_the_loser_of_a_hedge_is_hung_up_on(server: FakeServer) -> None:
    asked = {"model": "openai/hedged", "messages": MESSAGES, "api_base": server.url, "api_key": "k"}
    for _ in range(12):
        completion(**asked, policy=CallPolicy(hedge=True))
    server.then(Answer(delay=30))
    answer = completion(**asked, policy=CallPolicy(hedge=True))
    assert answer.routing.attempts == 2  # type: ignore[union-attr]
    assert server.gone.wait(5)
