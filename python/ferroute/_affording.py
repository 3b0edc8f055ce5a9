"""How `ferroute.calibrate.budget` gets from costs to a threshold, and what it says of it."""

from __future__ import annotations

import math
import numbers as kinds
import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from ferroute import _core
from ferroute._columns_of import digest_of, fraction, numbers, scores, whole_seed
from ferroute._promised import Promised, within
from ferroute.errors import InvalidTypeError, InvalidValueError
from ferroute.thresholds import checked_scores

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

_OTHER_END = 0.1
"""The part of what may go wrong that is kept for the other end of the thresholds, where it is not known beforehand
which one is the cheaper."""


@dataclass(frozen=True, repr=False)
class Budget(Promised):
    """A threshold whose mean cost is bounded, and the best among those, or the word that there is none.

    Attributes:
        threshold: Strong if the win rate is at least this. Where nothing could be certified the end that was cheaper
            here: 1, always weak, or 0, always strong.
        certified: Whether the budget is kept with probability `confidence`.
        weak_share: The share of the prompts below the threshold, 0..=1.
        cost: Mean dollars of a call at the threshold on these prompts.
        score: Mean score at the threshold on these prompts.
        max_mean_cost: The budget, dollars a call: with probability `confidence` the true mean is at most this.
        max_cost: Dollars that no call was taken to cost more than.
        confidence: With which probability the promise holds, 0.5 to below 1.
        n: Prompts it rests on.
        seed: Of the order in which costs were bet on.
        data: Hash of the win rates, scores and costs.
        notes: What the reader should know besides.
    """

    _KIND: ClassVar[str] = "budget"

    threshold: float
    certified: bool
    weak_share: float
    cost: Decimal
    score: float
    max_mean_cost: Decimal
    max_cost: Decimal
    confidence: float
    n: int
    seed: int
    data: str
    notes: tuple[str, ...] = ()

    @property
    def note(self) -> str | None:
        """The notes in one text; None without any."""
        return "; ".join(self.notes) or None

    def _check(self) -> None:
        within(self, 0, 1, "threshold", "weak_share", "score")
        within(self, 0, math.inf, "cost", "max_mean_cost", "max_cost")
        within(self, 1, math.inf, "n")
        within(self, 0, 2**64 - 1, "seed")
        within(self, 0.5, 1, "confidence")
        if self.confidence == 1:
            raise InvalidValueError("confidence: expected a number below 1, found 1.0")
        if not self.certified and self.threshold not in (0, 1):
            raise InvalidValueError(f"expected a threshold of 0 or 1 without a certificate, found {self.threshold}")
        if not re.fullmatch("[0-9a-f]{16}", self.data):
            raise InvalidValueError(f"data: expected a hash of 16 digits, found {self.data!r:.60}")

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
                f"average; {'1, always weak,' if self.threshold else '0, always strong,'} was the cheapest here"
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
    known = tuple(_is_amount(each) for each in (strong_costs, weak_costs))
    found = _search(rates, quality, costs, (float(cap), float(budget), 1 - confidence, whole_seed(seed)), all(known))
    threshold, cost, score, below = found.found
    return Budget(
        threshold=(0.0 if found.weak_is_dearer else 1.0) if threshold is None else threshold,
        certified=threshold is not None,
        weak_share=below / n,
        cost=Decimal(repr(cost)),
        score=score,
        max_mean_cost=budget,
        max_cost=cap,
        confidence=confidence,
        n=n,
        seed=whole_seed(seed),
        data=digest_of(rates, *quality, *costs),
        notes=tuple(notes),
    )


class _Found(NamedTuple):
    """From which end was searched, and what was found."""

    weak_is_dearer: bool
    found: tuple[float | None, float, float, int]


def _search(
    rates: Numbers,
    quality: tuple[Numbers, Numbers],
    costs: tuple[Numbers, Numbers],
    terms: tuple[float, float, float, int],
    prices_are_known: bool,
) -> _Found:
    """From the cheaper end.

    Which end that is may not be read off a sample whose costs are tested. So where costs are not one number for all
    calls, all weak is tried first, and all strong with a part of the level that was kept for it.
    """
    cap, budget, delta, seed = terms

    def search(weak_is_dearer: bool, delta: float) -> _Found:
        return _Found(
            weak_is_dearer,
            _core.afford_threshold(rates, quality, costs, cap, weak_is_dearer, budget, delta, seed),
        )

    if prices_are_known:
        return search(bool(costs[1][0] > costs[0][0]), delta)
    first = search(False, (1 - _OTHER_END) * delta)
    if first.found[0] is not None:
        return first
    other = search(True, _OTHER_END * delta)
    return other if other.found[0] is not None or other.found[1] < first.found[1] else first


def _costs(what: str, costs: Any, n: int) -> NDArray[np.float64]:
    """Dollars ``[n]``, of one number for all or one for each."""
    import numpy as np

    if _is_amount(costs):
        return np.full(n, float(_dollars(what, costs)))
    column = numbers(what, costs, n)
    bad = ~(np.isfinite(column) & (column >= 0))
    if bad.any():
        row = int(bad.argmax())
        found = "none" if math.isnan(column[row]) else f"{column[row]}"
        raise InvalidValueError(f"{what}: expected dollars of 0 or more, found {found} in row {row}")
    return column


def _is_amount(value: Any) -> bool:
    """One number: Python's, a Decimal, or a scalar of numpy."""
    return not isinstance(value, bool) and isinstance(value, (kinds.Real, Decimal))


def _dollars(what: str, amount: Any) -> Decimal:
    if not _is_amount(amount):
        raise InvalidTypeError(f"{what}: expected dollars, found {amount!r:.60}")
    try:
        # The text of a number has the digits that were meant: those of a float32 end after seven.
        dollars = amount if isinstance(amount, Decimal) else Decimal(str(amount))
    except InvalidOperation:  # fractions and the like
        dollars = Decimal(repr(float(amount)))
    if not dollars.is_finite() or dollars < 0:
        raise InvalidValueError(f"{what}: expected dollars of 0 or more, found {amount}")
    return dollars
