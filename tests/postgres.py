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


@contextlib.contextmanager
def cluster():
    """Yields the URL of an empty database; skips where PostgreSQL is missing, unless CI says it runs."""
    where = programs()
    if where is None or shutil.which("setpriv") is None:
        text = "not run: PostgreSQL (apt-get install -y postgresql)"
        if os.environ.get("CI") == "true":
            pytest.fail(text)
        pytest.skip(text)
    made = subprocess.run(_as_user("mktemp", "-d", "/tmp/ferroute-pg-XXXXXX"), capture_output=True, check=True, cwd="/")
    folder = made.stdout.decode().strip()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": "/"}
    options = ["-U", "tester", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"]
    subprocess.run(_as_user(where / "initdb", "-D", f"{folder}/data", *options), check=True, **quiet)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = ["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "shared_buffers=16MB"]
    server = subprocess.Popen(
        _as_user(where / "postgres", "-D", f"{folder}/data", "-p", port, "-k", folder, *settings), **quiet
    )
    try:
        ready = [where / "pg_isready", "-h", "127.0.0.1", "-p", str(port)]
        deadline = time.monotonic() + 60
        while subprocess.run(ready, check=False, **quiet).returncode:
            assert server.poll() is None
            assert time.monotonic() < deadline, "the cluster did not start"
            time.sleep(0.05)
        yield f"postgresql://tester:secret@127.0.0.1:{port}/postgres"
    finally:
        server.send_signal(signal.SIGINT)
        server.wait()
        subprocess.run(_as_user("rm", "-rf", folder), check=False, **quiet)
