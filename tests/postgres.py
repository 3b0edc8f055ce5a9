"""A throw-away PostgreSQL cluster on this machine, run by a user who is not root."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest


def programs() -> Path | None:
    """Where the server's programs are: Debian keeps those of each version apart."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


def _as_user(*command: object) -> list[str]:
    """A command as somebody else than root, who ends with this process."""
    user = ["--reuid", "postgres", "--regid", "postgres", "--clear-groups"] if os.getuid() == 0 else []
    return ["setpriv", "--pdeathsig", "KILL", *user, *map(str, command)]


class Cluster:
    """An empty database whose server can be killed and started again."""

    def __init__(self, where: Path, folder: str) -> None:
        self._where, self._folder = where, folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"postgresql://tester:secret@127.0.0.1:{self.port}/postgres"
        self.start()

    def start(self) -> None:
        """Starts the server and waits until it takes connections."""
        settings = ["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "shared_buffers=16MB"]
        places = ["-D", f"{self._folder}/data", "-p", self.port, "-k", self._folder]
        self._server = subprocess.Popen(_as_user(self._where / "postgres", *places, *settings), **QUIET)
        ready = [self._where / "pg_isready", "-h", "127.0.0.1", "-p", str(self.port)]
        deadline = time.monotonic() + 60
        while subprocess.run(ready, check=False, **QUIET).returncode:
            assert self._server.poll() is None
            assert time.monotonic() < deadline, "the cluster did not start"
            time.sleep(0.05)

    def stop(self) -> None:
        """Ends the server as an administrator does."""
        self._server.send_signal(signal.SIGINT)
        self._server.wait()

    def kill(self) -> None:
        """``kill -9`` of the server: its processes see it and end, nothing is written on the way."""
        self._server.kill()
        self._server.wait()


QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": "/"}


@contextlib.contextmanager
def cluster():
    """Yields the URL of an empty database; skips where PostgreSQL is missing, unless CI says it runs."""
    with killable() as made:
        yield made.url


@contextlib.contextmanager
def killable():
    """As `cluster`, yielding the `Cluster` itself."""
    where = programs()
    if where is None or shutil.which("setpriv") is None:
        text = "not run: PostgreSQL (apt-get install -y postgresql)"
        if os.environ.get("CI") == "true":
            pytest.fail(text)
        pytest.skip(text)
    made = subprocess.run(_as_user("mktemp", "-d", "/tmp/ferroute-pg-XXXXXX"), capture_output=True, check=True, cwd="/")
    folder = made.stdout.decode().strip()
    options = ["-U", "tester", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"]
    subprocess.run(_as_user(where / "initdb", "-D", f"{folder}/data", *options), check=True, **QUIET)
    server = Cluster(where, folder)
    try:
        yield server
    finally:
        server.stop()
        subprocess.run(_as_user("rm", "-rf", folder), check=False, **QUIET)
