"""Starts the server as a process of its own, as a user does, and ends it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from typing_extensions import Self

_SECRETS = ("_API_KEY", "_API_BASE", "_BASE_URL", "_AUTH_TOKEN")


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's, without any provider's key."""
    kept = {name: value for name, value in os.environ.items() if not name.endswith(_SECRETS)}
    return kept | dict(extra or {})


class Served:
    """`python <words>`: a server that has printed where it listens."""

    def __init__(self, *words: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(env),
            cwd=cwd,
        )
        self.out: list[str] = []
        self.err: list[str] = []
        self._threads = [
            threading.Thread(target=self._read, args=(pipe, lines), daemon=True)
            for pipe, lines in ((self.process.stdout, self.out), (self.process.stderr, self.err))
        ]
        for thread in self._threads:
            thread.start()
        try:
            self.url = self.said(r"listening on (http://[\w.:\[\]]+)")[1]
        except BaseException:
            self.__exit__()
            raise

    @staticmethod
    def _read(pipe: Any, lines: list[str]) -> None:
        lines.extend(iter(pipe.readline, ""))

    def said(self, pattern: str, seconds: float = 30, after: int = 0) -> re.Match[str]:
        """Waits for a line on standard error."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for line in self.err[after:]:
                if found := re.search(pattern, line):
                    return found
            if self.process.poll() is not None:
                for thread in self._threads:
                    thread.join(5)
                if not any(re.search(pattern, line) for line in self.err):
                    break
            time.sleep(0.01)
        raise AssertionError(f"{pattern!r} was not said: {''.join(self.out)}{''.join(self.err)}")

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, timeout=10)

    def post(self, path: str, body: Any) -> httpx.Response:
        return httpx.post(self.url + path, json=body, timeout=10)

    def stop(self) -> int:
        """Asks it to end, and says its exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(20)
        finally:
            for thread in self._threads:
                thread.join(5)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for thread in self._threads:
            thread.join(5)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()


def ended(*words: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Any:
    """A program that ends by itself."""
    return subprocess.run(
        [sys.executable, "-W", "error", *words],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(env),
        cwd=cwd,
        check=False,
    )
