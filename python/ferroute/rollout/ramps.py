"""The ramp: from a stated weak share to as much as can be proven."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ferroute import _core
from ferroute.errors import InvalidValueError
from ferroute.rollout._kept import Kept, scores_of, shares_of
from ferroute.rollout.promise import Certified, bound_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from ferroute.thresholds import CalibrationTable

STAGES = (0.1, *(round(0.2 + 0.05 * i, 2) for i in range(17)))
"""Weak shares that a ramp goes through: 0.1, then 0.2 to 1 in steps of 0.05."""

_PROMISE = ("max_quality_loss", "confidence")


class Ramp(Kept):
    """Moves traffic to the weak model as far as audited requests prove that the loss stays within a bound.

    It begins at a stated weak share, which is the caller's word and not proven. Every audited request (both models'
    scores known; see ``Controller(..., shadow=...)``) then counts for every stage at once:

    - it **grows** to the next stage when the evidence against "the mean loss there is above the bound" reaches
      ``1 / (1 - confidence)`` to 1;
    - it **goes back**, by itself, when the same evidence is reached against the stage it stands at, whenever that
      became bad: to the highest stage that the audits since then support, else to always strong; then it proves its way
      again;
    - it **pauses**, always strong, while the loss so far may have used up the bound: with the stated confidence the
      mean loss of the audited requests is never above the bound over ``horizon`` of them or more, whatever the models
      do;
    - when win rates come from other traffic than before, all proofs begin anew.

    The loss is the mean over all traffic of (strong - weak) on weak-routed requests; weak wins offset.

    With a ``path`` every audit and move is added to that file at once, a line each, so that it survives any end of the
    process. Several processes may share it: each reads the others' lines under a lock before it adds its own.

    Args:
        path: Its file (JSON lines). Where there is one already, that ramp goes on, with the stages it was begun with.
            None: in this process alone.
        win_rates: The router's scores of traffic like the one to come, ``[n]``, from which the thresholds of the weak
            shares are read; or a `CalibrationTable`. Not needed where the file is there.
        max_quality_loss: The bound, inside of 0..1; None: that of the file, or 0.05.
        confidence: Inside of 0..1; None: that of the file, or 0.95.
        start: Weak share to begin with; 0: always strong until something is proven.
        stages: Rising weak shares to go through; None: `STAGES`.
        certificate: A certificate of `ferroute.calibrate.guarantee`: begins at its threshold, which is proven, instead
            of at ``start``; bound and confidence are its own.
        rates: Parts of the traffic to audit while it grows and while it holds.
        horizon: The running loss is averaged over at least so many audited requests; None: 500, or more where the bound
            is below 0.05.
        on_drift: What other traffic than before leads to: ``"audit"``, more audits and new proofs; or ``"revert"``,
            always strong as well.

    Raises:
        InvalidValueError: A number is out of its range, the win rates have one value only, or the file was begun with
            another promise.
        UnreadableFileError: The file cannot be read or written.

    Example:
        >>> ramp = Ramp(win_rates=[i / 100 for i in range(100)])
        >>> ramp.threshold, ramp.weak_share, ramp.state
        (0.2, 0.2, 'starting')
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        win_rates: ArrayLike | CalibrationTable | None = None,
        *,
        max_quality_loss: float | None = None,
        confidence: float | None = None,
        start: float = 0.2,
        stages: Sequence[float] | None = None,
        certificate: Certified | None = None,
        rates: tuple[float, float] = (0.5, 0.02),
        horizon: int | None = None,
        on_drift: str = "audit",
    ) -> None:
        if win_rates is None and certificate is None and path is not None and Path(path).exists():
            self._core = _core.Ramp(os.fspath(path))
            for name, given, kept in zip(_PROMISE, (max_quality_loss, confidence), self._core.promise, strict=False):
                if given is not None and given != kept:
                    raise InvalidValueError(
                        f"{name}: the ramp in {os.fspath(path)} was begun with {kept}, found {given}; use another file "
                        "for another promise"
                    )
            return
        max_quality_loss = 0.05 if max_quality_loss is None else max_quality_loss
        confidence = 0.95 if confidence is None else confidence
        if win_rates is None:
            raise InvalidValueError(
                "win_rates: a new ramp needs the router's scores of some traffic, to know which threshold gives which "
                "weak share"
            )
        if not 0 <= start <= 1:
            raise InvalidValueError(f"start: expected a weak share between 0 and 1, found {start}")
        if on_drift not in ("audit", "revert"):
            raise InvalidValueError(f"on_drift: expected 'audit' or 'revert', found {on_drift!r}")
        scores = scores_of(win_rates)
        regret = False
        shares = shares_of(STAGES if stages is None else stages)
        if start > 0 and certificate is None:
            shares = sorted({*shares, float(start)})
        pairs = _core.ramp_stages(scores, shares)
        if certificate is not None:
            max_quality_loss, confidence, regret = bound_of(certificate)
            pairs, begin = with_certified(pairs, certificate, scores)
        else:
            # Equal scores go together, so the stage may be a little off the share.
            begin = sum(share <= start + max(0.01, 2 / scores.size) for share, _ in pairs)
        plan = _core.RampPlan(
            pairs,
            begin,
            certificate is not None and begin > 0,
            scores,
            max_quality_loss,
            confidence,
            horizon,
            rates,
            on_drift == "revert",
            regret,
        )
        self._core = _core.Ramp(None if path is None else os.fspath(path), plan)


def with_certified(
    pairs: list[tuple[float, float]], certificate: Certified, scores: NDArray[np.float64]
) -> tuple[list[tuple[float, float]], int]:
    """The stages with the certified threshold among them, and which one that is; 0 for "always strong"."""
    threshold = float(certificate.threshold)
    if not certificate.certified or threshold <= 0:
        return pairs, 0
    share = float((scores < threshold).mean()) if scores.size else float(certificate.weak_share)
    below = [pair for pair in pairs if pair[1] < threshold and pair[0] <= share]
    above = [pair for pair in pairs if pair[1] > threshold and pair[0] >= share]
    return [*below, (share, threshold), *above], len(below) + 1
