"""What `ferroute.calibrate.guarantee` returns: a threshold, what is promised of it, and under which assumption."""

from __future__ import annotations

import datetime
import math
import re
from dataclasses import dataclass
from typing import Any, ClassVar

from ferroute._promised import Promised, within
from ferroute.errors import InvalidValueError

RISKS = {
    "net": "on average over all traffic, where prompts the weak model does better offset others",
    "regret": "on average over all traffic, without credit where the weak model does better",
    "weak_routed": "on average over the prompts that the weak model answers",
}
"""What each risk is a mean of, in words."""

UNNAMED = "unnamed"
"""The judge of whom it is only known that there is one."""


@dataclass(frozen=True, repr=False)
class Certificate(Promised):
    """A threshold at which quality provably falls by no more than was asked, or the word that there is none.

    Attributes:
        threshold: Strong if the win rate is at least this. 0, which is always strong, where nothing could be certified.
        certified: Whether the weak model may answer anything.
        weak_share: The share of the traffic below the threshold, 0..=1.
        risk_bound: With probability `confidence` the true risk is at most this: `max_quality_loss`, or less where every
            threshold could be certified; 0 where all is strong, below 0 where quality provably rises.
        n: Labelled prompts it rests on: those whose true scores are known.
        risk: What is bounded, ``"net"``, ``"regret"`` or ``"weak_routed"``; `ferroute.calibrate.guarantee` says what
            each is and where its bound comes from.
        loss: The risk at the threshold as the labels show it, an estimate in units of the scores.
        labels: Where the labels come from, in words.
        max_quality_loss: What was asked for, in units of the scores.
        confidence: With which probability the promise holds, before the labels are drawn; 0.5 to below 1.
        grid: Which thresholds were tested.
        judge: The judge that quality is relative to; None where it is what the user's own or true labels say.
        judged: Prompts of which a judge's opinion alone was used.
        traffic: How many win rates `weak_share` is a share of.
        ceiling: No threshold above it was considered; None: no such limit.
        seed: Of the order in which labels were bet on.
        data: Hash of the win rates and labels.
        created: When, in ISO form and UTC.
        notes: What the reader should know besides.
    """

    _KIND: ClassVar[str] = "certificate"

    threshold: float
    certified: bool
    weak_share: float
    risk_bound: float
    n: int
    risk: str
    loss: float
    labels: str
    max_quality_loss: float
    confidence: float
    grid: str
    judge: str | None
    judged: int
    traffic: int
    ceiling: float | None
    seed: int
    data: str
    created: str
    notes: tuple[str, ...] = ()

    @property
    def bound(self) -> float:
        """`risk_bound` by its short name."""
        return self.risk_bound

    @property
    def assumption(self) -> str:
        """What must be true for the promise to hold, in words."""
        drawn = "the labelled sample"
        if self.ceiling is not None:
            drawn += f", which was drawn by lot among prompts with a win rate below {self.ceiling:.5g}"
        text = (
            f"holds while traffic is exchangeable with {drawn}: the same kinds of prompts in the same mix, the same "
            "router, both models unchanged, answers graded in the same way"
        )
        return text if self.judge is None else f"{text}; quality is what {_named(self.judge)} says it is"

    @property
    def scope(self) -> str:
        """What the promise is about, in words."""
        return "covers this one threshold, not the running share form (router-<name>-<pct>%)"

    @property
    def note(self) -> str | None:
        """The notes in one text; None without any."""
        return "; ".join(self.notes) or None

    def as_dict(self) -> dict[str, Any]:
        """The certificate as JSON holds it, with the assumption in words; `from_dict` reads it."""
        return {**super().as_dict(), "assumption": self.assumption}

    def _check(self) -> None:
        within(self, 0, 1, "threshold", "weak_share", "max_quality_loss")
        within(self, -1, 1, "loss", "risk_bound")
        within(self, 1, math.inf, "n", "traffic")
        within(self, 0, math.inf, "judged")
        within(self, 0, 2**64 - 1, "seed")
        within(self, 0.5, 1, "confidence")
        if self.confidence == 1:
            raise InvalidValueError("confidence: expected a number below 1, found 1.0")
        if self.risk not in RISKS:
            raise InvalidValueError(f"risk: expected {', '.join(RISKS)}; found {self.risk!r:.60}")
        if self.certified != (self.threshold > 0):
            expected = "a threshold above 0" if self.certified else "the threshold 0 where nothing is certified"
            raise InvalidValueError(f"expected {expected}, found {self.threshold}")
        if not self.certified and (self.weak_share or self.risk_bound):
            raise InvalidValueError("expected a weak share and a bound of 0 where nothing is certified")
        if self.risk_bound > self.max_quality_loss:
            raise InvalidValueError(f"expected a bound of {self.max_quality_loss} at most, found {self.risk_bound}")
        if self.ceiling is not None:
            within(self, self.threshold, 1, "ceiling")
        if not re.fullmatch("[0-9a-f]{16}", self.data):
            raise InvalidValueError(f"data: expected a hash of 16 digits, found {self.data!r:.60}")
        try:
            datetime.datetime.fromisoformat(self.created)
        except ValueError:
            raise InvalidValueError(f"created: expected a moment in ISO form, found {self.created!r:.60}") from None

    def _lines(self) -> list[str]:
        percent = f"{self.confidence * 100:.4g}%"
        # Foremost, because a reader who misses it takes an opinion for a fact.
        relative = "" if self.judge is None else f", relative to {_named(self.judge)}"
        if self.certified:
            head = (
                f"Certificate{relative}: where the win rate is below {self.threshold:.5g} the weak model may answer; "
                f"with {percent} confidence quality {_moves(self.risk_bound)} {RISKS[self.risk]} ({self.risk})"
            )
            seen = (
                f"{self.weak_share * 100:.4g}% of {self.traffic:,} prompts are weak; the loss seen was {self.loss:.4g} "
                f"on {self.n:,} labelled prompts (labels: {self.labels})"
            )
        else:
            head = (
                f"No certificate{relative}: with {percent} confidence no threshold keeps the loss of quality at or "
                f"below {self.max_quality_loss:.4g} {RISKS[self.risk]} ({self.risk}), so all prompts go to the strong "
                "model (threshold 0)"
            )
            seen = f"{self.n:,} labelled prompts (labels: {self.labels})"
        more = [self.assumption, self.scope] if self.certified else []
        return [head, seen, *more, *self.notes]


def _named(judge: str) -> str:
    return "an unnamed judge" if judge == UNNAMED else f"the judge {judge}"


def _moves(bound: float) -> str:
    if bound > 0:
        return f"falls by at most {bound:.4g}"
    return f"rises by at least {-bound:.4g}" if bound < 0 else "does not fall"
