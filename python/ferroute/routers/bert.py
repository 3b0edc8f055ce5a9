"""RouteLLM's BERT classifier."""

from __future__ import annotations

from typing import Any

from ferroute.routers._later import not_built
from ferroute.routers.base import Router, no_parallel


@no_parallel
class BERTRouter(Router):
    """RouteLLM's BERT classifier; not part of this version yet."""

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        not_built("The router 'bert'")

    def calculate_strong_win_rate(self, prompt: str) -> float:
        """Raises `NotBuiltError`."""
        not_built("The router 'bert'")
