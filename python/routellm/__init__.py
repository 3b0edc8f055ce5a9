"""`routellm` is another name for `ferroute`; `ferroute._alias` says how, and why there is a `routellm.py` beside it."""

from __future__ import annotations

from typing import Any

from ferroute._alias import attribute, install

__ferroute_alias__ = True

install()


def __getattr__(name: str) -> Any:
    return attribute(name)
