"""How good a router is: RouteLLM's benchmarks and figures, with intervals, baselines and dollars beside them.

``score_router`` judges one router on outcomes you have, ``compare`` several with the baselines, and the classes of
`ferroute.evals.benchmarks` bring RouteLLM's own outcomes. ``python -m ferroute.evals.evaluate`` is the command.
"""

from __future__ import annotations

from ferroute.evals._figures import Estimate
from ferroute.evals.comparison import Comparison, compare
from ferroute.evals.results import RouterResult, score_router

__all__ = ["Comparison", "Estimate", "RouterResult", "compare", "score_router"]
