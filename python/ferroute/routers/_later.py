"""Programs of RouteLLM that this version has but cannot run yet: importing them works, running them says so."""

from __future__ import annotations

from typing import NoReturn


def not_yet(what: str) -> NoReturn:
    """Ends a program that this version does not have yet, with one line and exit code 1."""
    raise SystemExit(f"{what} is not part of this version of ferroute yet; `ferroute --help` lists what is")
