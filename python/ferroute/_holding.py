"""What a Controller does with thresholds that are held by a ramp, a watch or a certificate (`ferroute.rollout`)."""

from __future__ import annotations

import logging
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ferroute._wanted import Held
from ferroute.errors import FerrouteError, InvalidTypeError, UnknownNameError
from ferroute.routers.base import RungRouter

if TYPE_CHECKING:
    from collections.abc import Mapping

_log = logging.getLogger("ferroute")


class Holds:
    """Holds a threshold for a router, so that its name alone is a model string: ``router-mine``."""

    routers: dict[str, Any]
    # Replaced as a whole, never changed, so that threads may read it; and kept by pickle only where something is held.
    _held: Mapping[str, Any] = MappingProxyType({})

    def hold(self, router: str, held: Any) -> Any:
        """Lets a router's threshold be held by somebody else from now on.

        Then ``model="router-mine"`` and ``decide(..., router="mine")`` use the threshold in force; a threshold in the
        model string (``router-mine-0.4``) stays what it is. Shadow judgements of all its requests go to who holds it.
        When that has gone back, the decision's `notes` say so, and the log once at each change.

        Args:
            router: Name of a loaded router that gives win rates.
            held: A `ferroute.rollout.Ramp` or `ferroute.rollout.Watch`; or a certificate, which is watched in memory
                (one that certifies nothing is always strong); None: nobody holds it any more. On a ladder the threshold
                chooses between the first rung and the last.

        Returns:
            What holds it now: what was given, or the watch made of a certificate.

        Raises:
            UnknownNameError: There is no such router.
            InvalidTypeError: It is none of these, or the router names a rung by itself.
        """
        if router not in self.routers:
            raise UnknownNameError(f"unknown router {router!r}; there are {', '.join(map(repr, self.routers))}")
        rest = {name: other for name, other in self._held.items() if name != router}
        if held is None:
            self._held = rest
            return None
        if isinstance(self.routers[router], RungRouter):
            raise InvalidTypeError(f"router {router!r} names a rung by itself, so there is no threshold to hold")
        if not callable(getattr(held, "held", None)):
            from ferroute.rollout.watch import watched

            held = watched(held)
        self._held = {**rest, router: held}
        return held

    @property
    def held(self) -> Mapping[str, Any]:
        """Router -> who holds its threshold, a `ferroute.rollout.Ramp` or `Watch`; it cannot be written to."""
        return MappingProxyType(dict(self._held))

    def metrics(self) -> dict[str, float]:
        """What is held, as numbers by names as Prometheus has them: ``ferroute_held_threshold{router="mine"}``.

        The threshold (0 always strong, infinity always weak) and its weak share (0..=1), whether it has gone back or is
        paused (1 or 0), audited requests, moves back so far, evidence against it and for other traffic (as "so much to
        1"), mean loss, and the part of the traffic (0..=1) it asks to audit.
        """
        told: dict[str, float] = {}
        for name, held in self._held.items():
            label = name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
            for what, number in _numbers_of(held).items():
                told[f'ferroute_held_{what}{{router="{label}"}}'] = float(number)
        return told

    def _held_threshold(self, router: Any) -> Held | None:
        """The threshold in force for a router, if somebody holds it."""
        # A router that is no string is refused elsewhere.
        held = self._held.get(router) if self._held and isinstance(router, str) else None
        if held is None:
            return None
        threshold, note = held.held()
        return Held(threshold, getattr(held, "label", type(held).__name__), note)

    def _held_rate(self, router: str) -> float | None:
        """The part of the traffic that who holds a router's threshold asks to audit; None where nobody holds it."""
        held = self._held.get(router)
        return None if held is None else getattr(held, "rate", None)

    def _observed(
        self,
        router: str,
        win_rate: float | None,
        strong_score: float,
        weak_score: float,
        probability: float,
        threshold: float | None = None,
    ) -> None:
        """Hands an audited request to who holds the router's threshold. A worker calls it, so it never fails.

        ``threshold`` is the one it was routed by, which may be another than the one in force now.
        """
        observe = getattr(self._held.get(router), "observe", None)
        if observe is None or win_rate is None:
            return
        try:
            observe(win_rate, strong_score, weak_score, probability, threshold)
        except (FerrouteError, OSError) as error:
            _log.warning("an audit of router %r was not taken in: %s", router, error)


def _numbers_of(held: Any) -> dict[str, float]:
    told: dict[str, float] = {"threshold": held.held()[0]}
    if not hasattr(held, "history"):
        return told
    return told | {
        "weak_share": held.weak_share,
        "reverted": float(held.state == "reverted"),
        "paused": float(held.state == "paused"),
        "audits_total": held.n,
        "reverts_total": sum(move.kind == "reverted" for move in held.history),
        "evidence": held.evidence,
        "drift_evidence": held.drift,
        "mean_loss": held.loss,
        "audit_rate": held.rate,
    }
