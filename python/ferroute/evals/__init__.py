"""How good a router is: RouteLLM's benchmarks and figures, with intervals, baselines and dollars beside them.

``score_router`` judges one router on outcomes you have, ``compare`` several with the baselines, and the classes of
`ferroute.evals.benchmarks` bring RouteLLM's own outcomes. ``read_outcomes`` reads those of other benchmarks, or yours,
from local files. ``python -m ferroute.evals.evaluate`` is the command.
"""

from __future__ import annotations

from ferroute.evals._figures import Estimate
from ferroute.evals._provenance import Provenance
from ferroute.evals.comparison import Comparison, compare
from ferroute.evals.model_comparison import ModelComparison, ModelResult
from ferroute.evals.outcome_table import OutcomeTable
from ferroute.evals.reading import read_outcomes
from ferroute.evals.results import RouterResult, score_router

__all__ = [
    "Comparison",
    "Estimate",
    "ModelComparison",
    "ModelResult",
    "OutcomeTable",
    "Provenance",
    "RouterResult",
    "compare",
    "read_outcomes",
    "score_router",
]
