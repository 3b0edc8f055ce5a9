"""How `ferroute.calibrate.budget` gets from costs to a threshold, and what it says of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ferroute import _core
from ferroute._columns_of import fraction, numbers, scores
from ferroute.errors import InvalidTypeError, InvalidValueError
from ferroute.thresholds import checked_scores

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, repr=False)
class Budget:
    """A threshold whose mean cost is bounded, and the best among those, or the word that there is none.

    Attributes:
        threshold: Strong if the win rate is at least this. 1, the cheapest, where nothing could be certified.
        certified: Whether the budget is kept with probability `confidence`.
        weak_share: The share of the prompts below the threshold, 0..=1.
        cost: Mean dollars of a call at the threshold on these prompts.
        score: Mean score at the threshold on these prompts.
        max_mean_cost: The budget, dollars a call: with probability `confidence` the true mean is at most this.
        max_cost: No call was taken to cost more.
        confidence: With which probability the promise holds.
        n: Prompts it rests on.
        notes: What the reader should know besides.
    """

    threshold: float
    certified: bool
    weak_share: float
    cost: Decimal
    score: float
    max_mean_cost: Decimal
    max_cost: Decimal
    confidence: float
    n: int
    notes: tuple[str, ...] = ()

    @property
    def note(self) -> str | None:
        """The notes in one text; None without any."""
        return "; ".join(self.notes) or None

    def _lines(self) -> list[str]:
        percent = f"{self.confidence * 100:.4g}%"
        if self.certified:
            head = (
                f"Budget: weak where the win rate is below {self.threshold:.5g}; with {percent} confidence a call "
                f"costs at most ${self.max_mean_cost} on average"
            )
        else:
            head = (
                f"No budget: with {percent} confidence no threshold costs at most ${self.max_mean_cost} a call on "
                "average; 1 is the cheapest"
            )
        seen = (
            f"{self.weak_share * 100:.4g}% of {self.n:,} prompts are weak; a call costs ${self.cost:.6f} on average "
            f"here, and the mean score is {self.score:.4g}"
        )
        assumption = (
            f"holds while traffic is exchangeable with these prompts, prices stay, and no call costs more than "
            f"${self.max_cost}; covers this one threshold, not the running share form"
        )
        return [head, seen, assumption, *self.notes]

    def __repr__(self) -> str:
        head, *rest = self._lines()
        return "\n".join([head, *(f"  - {line}" for line in rest)])

    def _repr_html_(self) -> str:
        """The same for notebooks."""
        from html import escape

        head, *rest = self._lines()
        items = "".join(f"<li>{escape(line)}</li>" for line in rest)
        return f"<div><strong>{escape(head)}</strong><ul>{items}</ul></div>"


def afforded(
    win_rates: Any,
    strong_scores: Any,
    weak_scores: Any,
    strong_costs: Any,
    weak_costs: Any,
    max_mean_cost: Any,
    confidence: float,
    max_cost: Any,
    seed: int,
) -> Budget:
    """See `ferroute.calibrate.budget`."""
    rates = checked_scores(win_rates, "win_rates").clip(0, 1)
    n = rates.size
    confidence = fraction("confidence", confidence, 0.5, below=True)
    quality = scores("strong_scores", strong_scores, n), scores("weak_scores", weak_scores, n)
    costs = _costs("strong_costs", strong_costs, n), _costs("weak_costs", weak_costs, n)
    budget = _dollars("max_mean_cost", max_mean_cost)
    notes: list[str] = []
    if max_cost is None:
        largest = max(float(costs[0].max()), float(costs[1].max()))
        cap = Decimal(repr(largest))
        notes.append("the dearest call seen was taken for the dearest there can be; max_cost= states it")
    else:
        cap = _dollars("max_cost", max_cost)
    if not cap:
        raise InvalidValueError("expected calls that cost something, found none")
    threshold, cost, score, below = _core.afford_threshold(
        rates, quality, costs, float(cap), float(budget), 1 - confidence, seed
    )
    return Budget(
        threshold=1.0 if threshold is None else threshold,
        certified=threshold is not None,
        weak_share=below / n,
        cost=Decimal(repr(cost)),
        score=score,
        max_mean_cost=budget,
        max_cost=cap,
        confidence=confidence,
        n=n,
        notes=tuple(notes),
    )


def _costs(what: str, costs: Any, n: int) -> NDArray[np.float64]:
    """Dollars ``[n]``, of one number for all or one for each."""
    import numpy as np

    if isinstance(costs, (int, float, Decimal)) and not isinstance(costs, bool):
        return np.full(n, float(_dollars(what, costs)))
    column = numbers(what, costs, n)
    bad = ~(np.isfinite(column) & (column >= 0))
    if bad.any():
        row = int(bad.argmax())
        found = "none" if math.isnan(column[row]) else f"{column[row]}"
        raise InvalidValueError(f"{what}: expected dollars of 0 or more, found {found} in row {row}")
    return column


def _dollars(what: str, amount: Any) -> Decimal:
    if isinstance(amount, bool) or not isinstance(amount, (int, float, Decimal)):
        raise InvalidTypeError(f"{what}: expected dollars, found {amount!r:.60}")
    dollars = amount if isinstance(amount, Decimal) else Decimal(repr(amount))
    if not dollars.is_finite() or dollars < 0:
        raise InvalidValueError(f"{what}: expected dollars of 0 or more, found {amount}")
    return dollars
