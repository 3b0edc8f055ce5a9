"""Runs llmock, a server that injects faults and judges how its client took them, in an environment of its own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self

PROGRAM = Path(__file__).resolve().parents[2] / "target" / "llmock" / "bin" / "llmock"
BASES = {"openai": "/v1", "anthropic": "/anthropic", "gemini": "/gemini"}


class Llmock:
    """One running llmock; `flags` are those of ``llmock serve``."""

    def __init__(self, *flags: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self._flags = flags

    def __enter__(self) -> Self:
        env = {name: value for name, value in os.environ.items() if not name.startswith("LLMOCK_")}
        command = [str(PROGRAM), "serve", "--port", str(self._port), "--log-level", "error", *self._flags]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env)
        deadline = time.monotonic() + 60
        while not self._is_up():
            assert self._process.poll() is None, "llmock ended"
            assert time.monotonic() < deadline, "llmock did not start"
            time.sleep(0.05)
        return self

    def _is_up(self) -> bool:
        try:
            self._call("GET", "/health")
        except OSError:
            return False
        return True

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(10)

    def base(self, provider: str) -> str:
        return f"http://127.0.0.1:{self._port}{BASES[provider]}"

    def queue(self, *behaviours: dict[str, Any]) -> None:
        """What happens to the next requests; everything before is forgotten."""
        self._call("POST", "/_llmock/reset")
        if behaviours:
            self._call("POST", "/_llmock/scenario", {"behaviors": behaviours})

    def requests(self) -> list[dict[str, Any]]:
        return self._call("GET", "/_llmock/requests")["requests"]

    def check(self) -> None:
        """The verdict holds nothing against the client, warnings included.

        But for one that llmock gives by chance: it takes a repeated request for a call of its own when it had already
        sent a spoiled stream to its end, and then says that the first was accepted. It was not: there is a second.
        """
        verdict = self._call("GET", "/_llmock/verdict")
        again = {one["seq"] for one in self.requests()[:-1] if one["completed"]}
        found = [
            f"{one['severity']} {one['code']}: {one['title']}"
            for one in verdict["findings"]
            if one["code"] != "malformed_chunk_ignored" or not set(one["requests"]) <= again
        ]
        assert not found, found

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self._port}{path}", data, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read() or b"null")
