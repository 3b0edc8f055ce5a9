"""What stands under the name ``OPENAI_CLIENT`` until somebody assigns a client of their own."""

from __future__ import annotations

import sys
from typing import Any


class LazyOpenAI:
    """An `openai.OpenAI` client that is made on first use, with the environment as it is then."""

    _client: Any = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if self._client is None:
            import openai

            self._client = openai.OpenAI()
        return getattr(self._client, name)

    def __repr__(self) -> str:
        return "<OPENAI_CLIENT, not assigned>"

    def __reduce__(self) -> str:
        return "OPENAI_CLIENT"


OPENAI_CLIENT: Any = LazyOpenAI()


HOMES = (
    "ferroute.routers.matrix_factorization.model",
    "ferroute.routers.similarity_weighted.utils",
    "ferroute.routers.routers",
)
"""The modules in which users of RouteLLM assign a client under that name."""


def assigned() -> Any:
    """The client assigned in the first of `HOMES` that has one, or None."""
    for home in HOMES:
        client = getattr(sys.modules.get(home), "OPENAI_CLIENT", None)
        if client is not OPENAI_CLIENT and client is not None:
            return client
    return None
