"""Costs of benchmarks: a zero there seldom means free."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ferroute.evals._readers._source import listed
from ferroute.evals.outcome_table import OutcomeTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray


def priced_table(prompts: Sequence[str | None], scores: Any, models: list[str], **given: Any) -> OutcomeTable:
    """An `OutcomeTable` in which models that cost nothing at all have no known cost."""
    if given.get("costs") is not None:
        given["costs"], notes = unpriced(given["costs"], models)
        given["notes"] = [*given.get("notes", ()), *notes]
    return OutcomeTable(prompts, scores, models, **given)


def unpriced(costs: NDArray[np.float64], models: list[str]) -> tuple[NDArray[np.float64], list[str]]:
    """Costs with NaN for models that cost nothing at all, and a note that names them.

    Benchmarks write 0 where nobody paid: a model on their own machines, or one without a price in their table. Free
    and unknown cannot be told apart there, and unknown is the one that misleads nobody.
    """
    import numpy as np

    known = np.isfinite(costs)
    free = known.any(axis=0) & (np.where(known, costs, 0.0) == 0).all(axis=0)
    if not free.any():
        return costs, []
    named = listed([model for model, one in zip(models, free, strict=True) if one])
    return np.where(free, np.nan, costs), [f"cost 0 in every call counts as unknown: {named}"]
