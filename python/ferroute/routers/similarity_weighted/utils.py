"""Helpers of the similarity-weighted ranking (later version), and the first home of ``OPENAI_CLIENT``."""

from __future__ import annotations

from ferroute._openai_client import OPENAI_CLIENT
from ferroute.routers._later import later

__all__ = ["OPENAI_CLIENT", "choices", "compute_elo_mle_with_tie", "compute_tiers", "preprocess_battles"]

choices = ["A", "B", "C", "D"]

_WHAT = "The similarity-weighted ranking"

compute_tiers = later("compute_tiers", _WHAT)
compute_elo_mle_with_tie = later("compute_elo_mle_with_tie", _WHAT)
preprocess_battles = later("preprocess_battles", _WHAT)
