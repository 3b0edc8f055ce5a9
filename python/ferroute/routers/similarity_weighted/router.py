"""RouteLLM's similarity-weighted ranking."""

from __future__ import annotations

from typing import Any

from ferroute.routers._later import not_built
from ferroute.routers.base import Router


class SWRankingRouter(Router):
    """RouteLLM's similarity-weighted ranking; not part of this version yet."""

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        not_built("The router 'sw_ranking'")

    def calculate_strong_win_rate(self, prompt: str) -> float:
        """Raises `NotBuiltError`."""
        not_built("The router 'sw_ranking'")
