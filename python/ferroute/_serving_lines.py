"""What a server says of itself on standard error when it starts."""

from __future__ import annotations

import sys

LOCAL = ("127.0.0.1", "::1", "localhost")
"""Addresses that only this machine reaches."""


def where(host: str) -> str:
    """What is worth saying of the address that is listened on: RouteLLM's server is open to everybody."""
    if host in LOCAL:
        return " (this machine only; RouteLLM's server listens on every address, as --host 0.0.0.0 does here)"
    return ""


NO_FILE = "SIGHUP: there is no file to read again; what was served goes on"
"""What is said at SIGHUP where everything was on the command line."""


def say(level: str, text: str) -> None:
    """A line of the server's own, or one for each of `text`."""
    mark = "" if level == "info" else f"{level}: "
    sys.stderr.write("".join(f"ferroute: {mark}{line}\n" for line in text.splitlines()))
    sys.stderr.flush()
