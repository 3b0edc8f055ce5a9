"""The ramp: from a stated weak share to as much as can be proven."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ferroute import _core
from ferroute.errors import InvalidTypeError, InvalidValueError
from ferroute.rollout._checked import number_of
from ferroute.rollout._kept import Kept, same_settings, scores_of, settings_of, shares_of
from ferroute.rollout.promise import Certified, bound_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from ferroute.thresholds import CalibrationTable

STAGES = (0.1, *(round(0.2 + 0.05 * i, 2) for i in range(17)))
"""Weak shares that a ramp goes through: 0.1, then 0.2 to 1 in steps of 0.05."""

_PROMISE = ("max_quality_loss", "confidence")

_START, _RATES = 0.2, (1.0, 0.02)


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

    The loss is the mean over all traffic of (strong - weak) on weak-routed requests; weak wins offset. The evidence is
    a bet (Waudby-Smith and Ramdas 2024, arXiv:2010.09686), the pause a bound on sums of changing means (Howard et al.
    2021, arXiv:1810.08240), and other traffic is told by ranks (Vovk et al. 2021, arXiv:2102.10439);
    ``docs/rollout.md`` has how.

    With a ``path`` every audit and move is added to that file at once, a line each, so that it survives any end of the
    process. Several processes may share it: each reads the others' lines under a lock before it adds its own.

    Args:
        path: Its file (JSON lines). Where there is one already, that ramp goes on, with the stages it was begun with.
            None: in this process alone.
        win_rates: The router's scores of traffic like the one to come, ``[n]``, from which the thresholds of the weak
            shares are read; or a `CalibrationTable`. Not needed where the file is there.
        max_quality_loss: The bound, inside of 0..1; None: that of the file, or 0.05.
        confidence: Inside of 0..1; None: that of the file, or 0.95.
        start: Weak share to begin with, 0..=1; 0: always strong until something is proven. None: 0.2.
        stages: Rising weak shares to go through, above 0 and at most 1; None: `STAGES`.
        certificate: A certificate of `ferroute.calibrate.guarantee`: begins at its threshold, which is proven, instead
            of at ``start``; bound and confidence are its own.
        rates: Parts of the traffic to audit, 0..=1, while it grows and while it holds. None: all and 0.02; what audits
            cost is bounded by the budget of the shadow.
        horizon: The running loss is averaged over at least so many audited requests; None: 500, or more where the bound
            is below 0.05. Few cannot be promised: at 0.05 and 95 % it takes 134, for over fewer a handful of lost
            requests, without which nothing is learned, is more than the bound.
        on_drift: What other traffic than before leads to: ``"audit"``, more audits and new proofs; or ``"revert"``,
            always strong as well. None: ``"audit"``.

    Raises:
        InvalidTypeError: Something is no number, ``path`` no path, or the certificate none.
        InvalidValueError: A number is out of its range, the win rates have one value only or are missing where a new
            ramp needs them, or the file was begun with something else than what is given here; what is left out is as
            in the file.
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
        start: float | None = None,
        stages: Sequence[float] | None = None,
        certificate: Certified | None = None,
        rates: tuple[float, float] | None = None,
        horizon: int | None = None,
        on_drift: str | None = None,
    ) -> None:
        asked = settings_of(rates, horizon, on_drift)
        share = _START if start is None else number_of("start", start)
        if not 0 <= share <= 1:
            raise InvalidValueError(f"start: expected a weak share between 0 and 1, found {start}")
        promise = [
            None if given is None else number_of(name, given)
            for name, given in zip(_PROMISE, (max_quality_loss, confidence), strict=True)
        ]
        shares = None if stages is None else shares_of(stages)
        place = None if path is None else _path_of(path)
        core = _core.Ramp(place) if place is not None and Path(place).exists() else None
        if core is not None:
            known = zip(_PROMISE, promise, core.promise[:2], strict=True)
            promise = [_kept(name, given, kept, core) for name, given, kept in known]
            if win_rates is None and certificate is None:
                same_settings(core, None if start is None else share, *asked)
                _same_shares(core, shares)
                self._core = core
                return
        elif win_rates is None:
            raise InvalidValueError(
                "win_rates: a new ramp needs the router's scores of some traffic, to know which threshold gives which "
                "weak share"
            )
        plan = _planned(win_rates, promise, share, shares, certificate, asked)
        if core is None:
            core = _core.Ramp(place, plan)
        else:
            core.keeps(plan)
        if place is not None:
            begun = plan.stages[plan.settings[0]][0]
            same_settings(core, None if start is None else begun, *asked)
        self._core = core


def _planned(
    win_rates: ArrayLike | CalibrationTable | None,
    promise: Sequence[float | None],
    start: float,
    stages: list[float] | None,
    certificate: Certified | None,
    asked: tuple[tuple[float, float] | None, int | None, bool | None],
) -> _core.RampPlan:
    """The plan of a new ramp."""
    bound, confidence = (usual if given is None else given for given, usual in zip(promise, (0.05, 0.95), strict=True))
    rates, horizon, revert_on_drift = asked
    scores = scores_of(win_rates)
    if certificate is None and scores.size and scores.min() == scores.max():
        raise InvalidValueError(
            f"win_rates: expected scores that differ, for thresholds between them; all {scores.size} are {scores[0]}"
        )
    regret = False
    shares = list(STAGES) if stages is None else stages
    if start > 0 and certificate is None:
        shares = sorted({*shares, start})
    pairs = _core.ramp_stages(scores, shares) if scores.size else []
    if certificate is not None:
        bound, confidence, regret = bound_of(certificate)
        pairs, begin = with_certified(pairs, certificate, scores)
    else:
        # Equal scores go together, so the stage may be a little off the share.
        begin = sum(share <= start + max(0.01, 2 / scores.size) for share, _ in pairs)
    return _core.RampPlan(
        pairs,
        begin,
        certificate is not None and begin > 0,
        scores,
        bound,
        confidence,
        horizon,
        _RATES if rates is None else rates,
        bool(revert_on_drift),
        regret,
    )


def _kept(name: str, given: float | None, kept: float, core: _core.Ramp) -> float:
    """What a file was begun with, refused where something else was given."""
    if given is not None and given != kept:
        raise InvalidValueError(
            f"{name}: the ramp in {core.path} was begun with {kept}, found {given}; use another file for another "
            "promise"
        )
    return kept


def _same_shares(core: _core.Ramp, shares: list[float] | None) -> None:
    """Refuses weak shares that are not about those of a file; exactly compared are thresholds, given win rates."""
    if shares is None:
        return
    begun, *_ = core.plan.settings
    kept = [share for place, (share, _) in enumerate(core.plan.stages) if 0 < place != begun]
    if any(min(abs(share - one) for one in shares) > 0.01 for share in kept):
        raise InvalidValueError(
            f"stages: the ramp in {core.path} was begun with weak shares {kept}, found {shares}; leave them out to go "
            "on with it, or use another file"
        )


def _path_of(path: str | os.PathLike[str]) -> str:
    try:
        place = os.fspath(path)
    except TypeError:
        raise InvalidTypeError(f"path: expected a path, found {path!r:.60} ({type(path).__name__})") from None
    return os.fsdecode(place)


def with_certified(
    pairs: list[tuple[float, float]], certificate: Certified, scores: NDArray[np.float64]
) -> tuple[list[tuple[float, float]], int]:
    """The stages with the certified threshold among them, and which one that is; 0 for "always strong".

    Args:
        pairs: Weak share and threshold of each stage, rising.
        certificate: The certificate.
        scores: Win rates of the traffic, ``[n]``, each in 0..=1; with none the weak share is the certificate's own.
    """
    threshold = float(certificate.threshold)
    if not certificate.certified or threshold <= 0:
        return pairs, 0
    share = float((scores < threshold).mean()) if scores.size else float(certificate.weak_share)
    below = [pair for pair in pairs if pair[1] < threshold and pair[0] <= share]
    above = [pair for pair in pairs if pair[1] > threshold and pair[0] >= share]
    return [*below, (share, threshold), *above], len(below) + 1
