"""What a ramp has done, and what it would have done."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from ferroute._grid import AsText

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    Told = tuple[str, int | None, int, int, int, float, str, str]


class Stage(NamedTuple):
    """A stage of a ramp.

    Attributes:
        weak_share: Part of the traffic that was weak at this threshold when the ramp was made, 0..=1.
        threshold: Strong from this win rate on; 0 is always strong, infinity always weak.
        evidence: How much speaks for its loss being below the bound, as "so much to 1".
        loss: Mean loss there of the audited requests since the proofs began; NaN before the first.
    """

    weak_share: float
    threshold: float
    evidence: float
    loss: float


@dataclass(frozen=True)
class Move(AsText):
    """A move from one stage to another.

    Attributes:
        kind: ``"grew"``, ``"paused"``, ``"resumed"``, ``"reverted"`` or ``"drifted"``.
        at: When, in UTC; None in a rehearsal.
        request: Which request, counted from 0, in a rehearsal; None elsewhere.
        before: Threshold before.
        after: Threshold after; a pause keeps it and is always strong until it ends.
        weak_share: Weak share after it; 0 in a pause.
        n: Audited requests so far.
        evidence: What it rests on, as "so much to 1"; 0 for pauses, which rest on none.
        reason: In words.
        sentence: What, when and why.
    """

    kind: str
    at: dt.datetime | None
    request: int | None
    before: float
    after: float
    weak_share: float
    n: int
    evidence: float
    reason: str
    sentence: str

    def __str__(self) -> str:
        return self.sentence


def moves_of(told: Sequence[Told], stages: Sequence[tuple[float, float]], rehearsed: bool = False) -> tuple[Move, ...]:
    """The core's moves; of a rehearsal the time is the number of a request.

    Args:
        told: What the core tells of each move.
        stages: Weak share and threshold of each stage.
        rehearsed: Whether it was a rehearsal.
    """
    made: list[Move] = []
    for kind, at, before, after, n, evidence, reason, sentence in told:
        when = None if rehearsed or at is None else dt.datetime.fromtimestamp(at, dt.timezone.utc)
        share = 0.0 if kind == "paused" else stages[after][0]
        made.append(
            Move(
                kind=kind,
                at=when,
                request=at if rehearsed else None,
                before=stages[before][1],
                after=stages[after][1],
                weak_share=share,
                n=n,
                evidence=evidence,
                reason=reason,
                sentence=sentence,
            )
        )
    return tuple(made)


@dataclass(frozen=True, repr=False)
class Rehearsal(AsText):
    """What a ramp would have done on requests of which both scores are known.

    Attributes:
        threshold: The threshold in force for each request, float64 ``[n]``.
        weak_share: The weak share that went with it, 0..=1, float64 ``[n]``.
        loss: What each request lost, strong - weak where it was routed to the weak model, else 0, float64 ``[n]``.
        audited: Which requests were audited, bool ``[n]``.
        moves: The moves.
        max_quality_loss: The bound.
    """

    threshold: NDArray[np.float64]
    weak_share: NDArray[np.float64]
    loss: NDArray[np.float64]
    audited: NDArray[np.bool_]
    moves: tuple[Move, ...]
    max_quality_loss: float

    def __repr__(self) -> str:
        n = len(self.loss)
        if not n:
            return "<rehearsal of no requests>"
        whole = (
            f"<rehearsal of {n:,} requests, {int(self.audited.sum()):,} of them audited: mean loss "
            f"{self.loss.mean():.4f} (bound {self.max_quality_loss:g}), {self.weak_share.mean():.0%} weak, "
            f"{self.weak_share[-1]:.0%} in the end"
        )
        return "\n".join((whole, *(f"  request {move.request:,}: {move.sentence}" for move in self.moves))) + ">"

    def to_pandas(self) -> pd.DataFrame:
        """A row for each request: ``threshold``, ``weak_share``, ``loss``, ``audited``."""
        import pandas as pd  # pyright: ignore[reportMissingTypeStubs]

        names = ("threshold", "weak_share", "loss", "audited")
        return pd.DataFrame({name: getattr(self, name) for name in names})

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draws the weak share and the running loss over the requests.

        Args:
            ax: Axes to draw on; None: new ones.

        Returns:
            The axes; ``.figure.savefig(path)`` writes the picture.

        Raises:
            NotBuiltError: matplotlib is not installed.
        """
        from ferroute.rollout._pictures import rehearsal_plot

        return rehearsal_plot(self, ax)
