"""A threshold explorer for notebooks: a slider that says what each threshold means.

It says the share of strong calls, the cost and the expected quality, each with its interval. It is one piece of HTML
with an inline script: it needs no server, no kernel and no widgets, works in a saved notebook and as a file of its own,
and without scripts it is a picture and a table. Higher threshold = fewer strong calls.

Example:
    >>> explore([0.1, 0.4, 0.6, 0.9], costs=(0.01, 0.001))
    <explorer of 'router' (4 prompts): 5 thresholds, cost, quality not measured>
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from ferroute._columns_of import fraction
from ferroute._explorer import Explorer
from ferroute._sweep import PLACES, Sweep, measured, unmeasured
from ferroute.errors import InvalidTypeError
from ferroute.thresholds import checked_scores

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["Explorer", "Sweep", "explore"]

_NAME_MOST = 60


def explore(
    win_rates: Mapping[str, ArrayLike] | ArrayLike,
    strong_scores: ArrayLike | None = None,
    weak_scores: ArrayLike | None = None,
    *,
    costs: Any = None,
    name: str = "router",
    share: float = 0.3,
    confidence: float = 0.95,
    bootstrap: int = 1000,
    seed: int = 0,
) -> Explorer:
    """An explorer from win rates alone, or from win rates and outcomes.

    From win rates alone it shows the share of strong calls (and the cost, where costs are given), and says that quality
    is not measured. With the scores of both models it shows the expected quality with a band.

    Args:
        win_rates: The router's scores, ``[n]``, each in 0..=1; or a mapping from a router's name to its scores.
        strong_scores: Quality when the strong model answers, ``[n]``, in any unit; more is better. None: not known.
        weak_scores: Quality when the weak model answers, ``[n]``; None: not known.
        costs: US dollars of a call, as ``(strong, weak)`` or ``{"strong": ..., "weak": ...}``: one number each, or one
            a row, ``[n]``. None: not known.
        name: The router's name, where ``win_rates`` is no mapping.
        share: Share of strong calls where the slider begins, 0..=1.
        confidence: Of intervals and bands, in 0..1.
        bootstrap: Resamples for the bands of quality; 0: no bands.
        seed: Of the resamples.

    Returns:
        The explorer: last in a cell it shows itself; ``.save("explorer.html")`` writes it to a file.

    Raises:
        InvalidValueError: There is no score, one is not finite, win rates lie outside of 0..=1, or lengths differ.
        InvalidTypeError: Something is no number, or only one of the models has scores.

    Example:
        >>> shown = explore({"mine": [0.2, 0.8] * 50}, [1, 1] * 50, [1, 0] * 50, costs=(0.01, 0.001), bootstrap=0)
        >>> shown.sweeps[0].shares, shown.sweeps[0].qualities
        ((1.0, 0.5, 0.5, 0.0), (1.0, 1.0, 1.0, 0.5))
    """
    if (strong_scores is None) != (weak_scores is None):
        raise InvalidTypeError("strong_scores and weak_scores: expected scores of both models or of none, found one")
    confidence = fraction("confidence", confidence, below=True)
    given = cast("Mapping[str, Any]", win_rates) if isinstance(win_rates, Mapping) else {name: win_rates}
    named = {str(key)[:_NAME_MOST]: checked_scores(values, f"win rates of {key}") for key, values in given.items()}
    if strong_scores is None or weak_scores is None:
        return Explorer((unmeasured(key, values, costs, confidence) for key, values in named.items()), share)
    from ferroute.evals.results import score_router

    return Explorer(
        (
            measured(
                score_router(
                    values,
                    strong_scores,
                    weak_scores,
                    min(PLACES, len(values)),
                    costs=costs,
                    bootstrap=bootstrap,
                    seed=seed,
                    confidence=confidence,
                    on_ties="merge",
                    name=key,
                )
            )
            for key, values in named.items()
        ),
        share,
    )
