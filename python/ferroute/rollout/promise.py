"""What a watch and a ramp read from a certificate."""

from __future__ import annotations

from typing import Protocol

from ferroute.errors import InvalidTypeError, InvalidValueError


class Certified(Protocol):
    """A certificate, as `ferroute.calibrate.guarantee` gives it."""

    @property
    def threshold(self) -> float:
        """Strong from this win rate on."""
        ...

    @property
    def certified(self) -> bool:
        """Whether anything could be certified; else the threshold is always strong."""
        ...

    @property
    def weak_share(self) -> float:
        """Part of the traffic below the threshold, 0..=1."""
        ...

    @property
    def max_quality_loss(self) -> float:
        """The bound, in units of the scores."""
        ...

    @property
    def confidence(self) -> float:
        """How sure it is, inside of 0..1."""
        ...

    @property
    def risk(self) -> str:
        """``"net"``, ``"regret"`` or ``"weak_routed"``."""
        ...


_READ = ("threshold", "certified", "weak_share", "max_quality_loss", "confidence", "risk")


def is_certificate(given: object) -> bool:
    """Whether an object can be read as a certificate.

    Args:
        given: Any object.
    """
    return all(hasattr(given, name) for name in _READ)


def bound_of(certificate: Certified) -> tuple[float, float, bool]:
    """Bound and confidence of a certificate, and whether weak wins count for nothing.

    A loss of at most ``m`` among weak-routed requests, a part ``s`` of all, is one of at most ``m * s`` over all
    traffic: that is what is watched of a certificate of this kind.

    Args:
        certificate: A `Certificate`, or an object with its fields.

    Raises:
        InvalidTypeError: It is no certificate; the path of one is none either.
        InvalidValueError: It bounds a risk nobody knows.
    """
    if not is_certificate(certificate):
        found = type(certificate).__name__
        raise InvalidTypeError(f"certificate: expected one of ferroute.calibrate.guarantee, found {found}")
    risk, bound = certificate.risk, float(certificate.max_quality_loss)
    if risk not in ("net", "regret", "weak_routed"):
        raise InvalidValueError(f"certificate: expected a risk of 'net', 'regret' or 'weak_routed', found {risk!r}")
    if risk == "weak_routed" and certificate.certified:
        bound *= float(certificate.weak_share)
    return bound, float(certificate.confidence), risk == "regret"
