"""The watch: one certificate, held as long as it holds."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ferroute import _core
from ferroute._grid import AsText
from ferroute.errors import InvalidTypeError, InvalidValueError
from ferroute.rollout._kept import Kept, same_settings, scores_of, settings_of
from ferroute.rollout.promise import Certified, bound_of, is_certificate
from ferroute.rollout.ramps import STAGES, with_certified

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ferroute.thresholds import CalibrationTable

_HORIZON = 2_000

# What is certified is proven: it needs to be watched and not to be proven fast.
_RATES = (0.5, 0.02)


class Watch(Kept):
    """Holds a certificate's threshold, and goes back by itself when it stops being true.

    As a `Ramp` that begins at the certified threshold and never goes beyond it: it goes back when the evidence against
    "the mean loss is at most the bound" reaches ``1 / (1 - confidence)`` to 1, to the highest share that the audits
    since then support, else to always strong, and proves its way back with audits since then only. While the
    certificate is true, that ever happens with a probability of ``1 - confidence`` at most. It pauses where the running
    loss may have used up the bound. Evidence and pause are as in a `Ramp` (Waudby-Smith and Ramdas 2024,
    arXiv:2010.09686; Howard et al. 2021, arXiv:1810.08240).

    Args:
        certificate: Of `ferroute.calibrate.guarantee`.
        path: Its file; see `Ramp`. None: in this process alone.
        win_rates: The router's scores of traffic like the one to come, ``[n]``, or a `CalibrationTable`: with them
            there are stages between the certified threshold and always strong, and other traffic is noticed from the
            first request.
        rates: Parts of the traffic to audit while something is to be proven and while it holds; None: 0.5 and 0.02.
        horizon: The running loss is averaged over at least so many audited requests; None: 2,000, or more where the
            bound is below 0.05. Few cannot be promised, as for `Ramp`.
        on_drift: As for `Ramp`.

    Raises:
        InvalidTypeError: The certificate is none, or something is no number.
        InvalidValueError: It certifies nothing, a number is out of its range, or the file was begun with another
            certificate or other settings than those given here.
        UnreadableFileError: The file cannot be read or written.
    """

    def __init__(
        self,
        certificate: Certified,
        path: str | os.PathLike[str] | None = None,
        win_rates: ArrayLike | CalibrationTable | None = None,
        *,
        rates: tuple[float, float] | None = None,
        horizon: int | None = None,
        on_drift: str | None = None,
    ) -> None:
        asked = settings_of(rates, horizon, on_drift)
        bound, confidence, regret = bound_of(certificate)
        scores = scores_of(win_rates)
        pairs = _core.ramp_stages(scores, list(STAGES)) if scores.size else []
        pairs, begin = with_certified(pairs, certificate, scores)
        if begin == 0:
            raise InvalidValueError(
                "certificate: it certifies nothing, so there is nothing to watch but always strong; a Ramp with "
                "start=0 proves its way from there"
            )
        plan = _core.RampPlan(
            pairs[:begin],
            begin,
            True,
            scores,
            bound,
            confidence,
            max(_HORIZON, int(100 / bound)) if asked[1] is None else asked[1],
            _RATES if asked[0] is None else asked[0],
            bool(asked[2]),
            regret,
        )
        self._core = _core.Ramp(None if path is None else os.fspath(path), plan)
        if path is not None:
            same_settings(self._core, None, *asked)


class AlwaysStrong(AsText):
    """What is held of a certificate that certifies nothing."""

    label = "a certificate that certifies nothing"

    def held(self) -> tuple[float, str | None]:
        """The threshold 0, and why."""
        return 0.0, "nothing could be certified, so all goes to the strong model"

    def __repr__(self) -> str:
        return "<always strong: nothing could be certified>"


def watched(certificate: Any) -> Any:
    """What holds a certificate in this process: a watch, or always strong.

    Args:
        certificate: A `Certificate`, or an object with its fields.

    Returns:
        A `Watch`, or `AlwaysStrong` where nothing is certified.

    Raises:
        InvalidTypeError: It is no certificate; the path of one is none either.
    """
    if not is_certificate(certificate):
        found = type(certificate).__name__
        raise InvalidTypeError(f"hold() takes a Ramp, a Watch or a certificate, found {found}")
    if not certificate.certified or certificate.threshold <= 0:
        return AlwaysStrong()
    return Watch(certificate)
