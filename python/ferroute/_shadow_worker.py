"""Work behind the caller's back: one thread with an event loop, a bounded row of jobs, and an end with the process.

The thread is there while there is work, and some seconds longer. It is a daemon, so it holds no process up; and since
its calls are tasks of a loop they can be ended, which a blocked call in a thread cannot.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import weakref
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from ferroute.errors import FerrouteError

if TYPE_CHECKING:
    from collections.abc import Callable

_IDLE = 10.0
"""Seconds that a thread waits for more work."""
_MOST_BYTES = 64 << 20
"""What jobs that wait may hold together, more than one."""
_LAST_WAIT = 1.5
"""Seconds that a program waits for what is under way when it ends,"""
_LAST_WORD = 0.4
"""and then for its being ended."""


class Job(Protocol):
    """Something to do.

    Attributes:
        size: Bytes that it holds.
    """

    size: int

    def begins(self, *, alone: bool) -> bool:
        """Whether it begins now, with what it needs set aside; if not it is asked again when another has ended.

        Args:
            alone: None is under way, so there is nothing to wait for: it has to begin.
        """
        ...

    async def run(self) -> None:
        """Does it. Raises nothing but what ends tasks."""
        ...


class Worker:
    """Does jobs in their order, some at the same time. Usable from any thread; a forked child has a row of its own.

    Args:
        concurrency: Jobs under way at the same time.
        most: Jobs that may wait, fewer where they hold much.
        dropped: Called for each that was taken and is not done, since the process ends.
    """

    def __init__(self, concurrency: int, most: int, dropped: Callable[[], object]) -> None:
        self._concurrency, self._most, self._dropped = concurrency, most, dropped
        self._closed = False
        self.forked()
        _workers.add(self)

    def forked(self) -> None:
        """In a forked child: what the parent has taken is the parent's."""
        self._waiting: deque[Job] = deque()
        self._running = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake: asyncio.Event | None = None
        # Of those who wait for its end too.
        self._changed = threading.Condition()

    def submit(self, job: Job) -> bool:
        """Takes a job; False where too many wait, or the process is about to end."""
        with self._changed:
            held = sum(each.size for each in self._waiting)
            full = len(self._waiting) >= self._most or (held and held + job.size > _MOST_BYTES)
            if self._closed or full:
                return False
            self._waiting.append(job)
            if self._thread is None:
                _watch()
                thread = threading.Thread(target=self._run, name="ferroute-shadow", daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # no more threads are to be had
                    self._waiting.pop()
                    return False
                self._thread = thread
            elif self._loop is not None and self._wake is not None:
                self._loop.call_soon_threadsafe(self._wake.set)
            return True

    @property
    def busy(self) -> int:
        """Jobs that wait or are under way."""
        with self._changed:
            return len(self._waiting) + self._running

    def wait(self, timeout: float | None) -> bool:
        """Waits until nothing is left to do; False where that takes longer than ``timeout`` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting and not self._running, timeout)

    def _run(self) -> None:
        asyncio.run(self._work())

    async def _work(self) -> None:
        wake = asyncio.Event()
        with self._changed:
            self._loop, self._wake = asyncio.get_running_loop(), wake
        tasks = self._tasks

        def ended(task: asyncio.Task[None]) -> None:
            tasks.discard(task)
            with self._changed:
                self._running -= 1
                self._changed.notify_all()
            wake.set()

        while True:
            wake.clear()
            while (job := self._next()) is not None:
                task = asyncio.ensure_future(job.run())
                tasks.add(task)
                task.add_done_callback(ended)
            try:
                await asyncio.wait_for(wake.wait(), None if tasks else _IDLE)
            except asyncio.TimeoutError:
                if self._leave():
                    return

    def _next(self) -> Job | None:
        with self._changed:
            if not self._waiting or self._running >= self._concurrency:
                return None
            job, alone = self._waiting[0], self._running == 0
        # Without the lock, which callers take. Nobody else takes jobs out, but the end of the process all of them.
        if not job.begins(alone=alone):
            return None
        with self._changed:
            if not self._waiting:
                return None
            self._running += 1
            return self._waiting.popleft()

    def _leave(self) -> bool:
        """Whether the thread ends; after that the next job starts another."""
        with self._changed:
            if self._waiting:
                return False
            self._thread = self._loop = self._wake = None
            return True

    # The end of the process.

    def close(self) -> None:
        """Takes no more, and drops what waits."""
        with self._changed:
            self._closed = True
            dropped = len(self._waiting)
            self._waiting.clear()
            self._changed.notify_all()
        for _ in range(dropped):
            self._dropped()

    def end(self, patience: float) -> None:
        """Ends what is under way."""
        with self._changed:
            loop, thread = self._loop, self._thread
            if loop is not None and self._running:
                loop.call_soon_threadsafe(self._cancel)
        if thread is not None and loop is not None:
            self.wait(patience)

    def _cancel(self) -> None:
        for task in list(self._tasks):
            task.cancel()


async def in_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    """What ``function`` returns, run in a thread of its own that holds no process up.

    `asyncio.to_thread` will not do: the end of the process waits for its threads.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def tell(value: Any, error: BaseException | None) -> None:
        if future.cancelled():
            return
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)

    def run() -> None:
        value, failure = None, None
        try:
            value = function(*arguments)
        except BaseException as error:
            # A future takes no StopIteration; and what would end a program ends a judgement.
            is_plain = isinstance(error, Exception) and not isinstance(error, StopIteration)
            failure = error if is_plain else FerrouteError(f"a judge raised {type(error).__name__}")
        try:
            loop.call_soon_threadsafe(tell, value, failure)
        except RuntimeError:  # the loop is closed: the process ends
            return

    threading.Thread(target=run, name="ferroute-judge", daemon=True).start()
    return await future


_workers: weakref.WeakSet[Worker] = weakref.WeakSet()
_watching = False


def _watch() -> None:
    """Sees to it that workers end with the process.

    Called with the first job, by when a ledger is open: what is registered last is asked first, so the ledger still
    hears of the calls that are ended here.
    """
    global _watching
    if not _watching:
        _watching = True
        atexit.register(_finish)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_forked)


def _forked() -> None:
    for worker in list(_workers):
        worker.forked()


def _finish() -> None:
    workers = list(_workers)
    for worker in workers:
        worker.close()
    last = monotonic() + _LAST_WAIT
    for worker in workers:
        worker.wait(max(last - monotonic(), 0))
    last = monotonic() + _LAST_WORD
    for worker in workers:
        worker.end(max(last - monotonic(), 0))
