"""How often a router was right, as far as outcomes say so: shares with their intervals, by source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

NOT_MEASURED = "quality: not measured"
"""What is said beside a saving when there are no outcomes."""


@dataclass(frozen=True)
class Rate:
    """A share of calls with its 95 % interval.

    Attributes:
        n: Calls with a score.
        effective: What they are worth as a sample of equal weights; ``n`` where all were drawn with the same
            probability. Then the interval is exact (Clopper and Pearson 1934), else it is theirs for this number,
            rounded so that it becomes wider (after Korn and Graubard 1998).
        share: The part that passes, 0..=1, each call weighted by one over its probability.
        low: Lower end of the interval.
        high: Upper end.
    """

    n: int
    effective: float
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class Accuracy:
    """What one source of outcomes says of the routers.

    Attributes:
        source: Whose scores they are.
        weak_succeeded: Of the calls routed to the weak model, those whose answer passes; None without a score.
        strong_unneeded: Of the calls routed to the strong model, those for which the weak model's answer, asked beside
            it, would have passed; None without such answers.
        unplaced: Scores left out, since it is not known where their call was routed or whose answer they are of, or
            another model answered than it was routed to.
    """

    source: str
    weak_succeeded: Rate | None
    strong_unneeded: Rate | None
    unplaced: int

    @property
    def relative_to(self) -> str | None:
        """The judge whose opinion this is; None where people or labels say so."""
        name = self.source.removeprefix("judge").removeprefix(":")
        return (name or "a model") if self.source.startswith("judge") else None

    def words(self) -> str:
        """What it says, on one line."""
        whose = f"relative to judge {self.relative_to}" if self.relative_to else f"by {self.source}"
        parts: list[str] = []
        if self.weak_succeeded is not None:
            parts.append(f"{_words(self.weak_succeeded)} weak-routed calls succeeded{_interval(self.weak_succeeded)}")
        if self.strong_unneeded is not None:
            rate = self.strong_unneeded
            parts.append(f"the weak model would have passed {_words(rate)} strong-routed calls{_interval(rate)}")
        if self.unplaced and not parts:
            parts.append(f"{self.unplaced:,} scores that cannot be placed: name both models (strong=, weak=)")
        elif self.unplaced:
            parts.append(f"{self.unplaced:,} scores that cannot be placed are left out")
        return f"quality {whose}: {'; '.join(parts) or 'no scores of the weak model'}"

    def short(self) -> str:
        """The part that stands beside a saving."""
        if self.weak_succeeded is None:
            return "quality: not measured for weak-routed calls"
        rate = self.weak_succeeded
        whose = f"judge {self.relative_to}" if self.relative_to else self.source
        return f"quality: {rate.share:.1%} of weak-routed succeeded ({rate.low:.1%} to {rate.high:.1%}, {whose})"


def _words(rate: Rate) -> str:
    return f"{rate.share:.1%} of {rate.n:,}"


def _interval(rate: Rate) -> str:
    worth = "" if rate.effective == rate.n else f", worth {rate.effective:,.0f} of equal weight"
    return f" (95 %: {rate.low:.1%} to {rate.high:.1%}{worth})"


def accuracies(found: Iterable[tuple[str, Any, Any, int]]) -> tuple[Accuracy, ...]:
    """From the core's, those that know best first: gold, users, feedback, others, judges."""

    def rate(values: Any) -> Rate | None:
        return None if values is None else Rate(*values)

    return tuple(Accuracy(source, rate(weak), rate(strong), unplaced) for source, weak, strong, unplaced in found)
