"""What stands under the name ``OPENAI_CLIENT`` until somebody assigns a client of their own."""

from __future__ import annotations

import sys
from typing import Any


class LazyOpenAI:
    """An `openai.OpenAI` client that is made on first use, with the environment as it is then.

    Once somebody has reached through it, to set ``base_url`` or to patch ``embeddings.create``, it is what embeds.
    """

    _client: Any = None

    def touched(self) -> bool:
        """Whether somebody has reached through to the real client."""
        return self._client is not None

    def _real(self) -> Any:
        if self._client is None:
            import openai

            object.__setattr__(self, "_client", openai.OpenAI())
        return self._client

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._real(), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._real(), name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._real(), name)

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
    return OPENAI_CLIENT if OPENAI_CLIENT.touched() else None
