"""Metrics, traces and logs of a server, from the `telemetry` of its configuration."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from ferroute._core import GatewaySeeing
from ferroute.errors import InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

OPTIONS = ("metrics", "logs", "verbose", "otlp", "otlp_headers", "sample")
"""What may be said: `_core.GatewaySeeing` says what it means."""


def seeing(telemetry: Mapping[str, Any] | None, of: Any) -> GatewaySeeing:
    """What is seen of a server.

    Args:
        telemetry: Any of `OPTIONS`; without it there are metrics, and neither logs nor traces.
        of: Whoever has the Controller in force as ``controller``: thresholds that it holds are told with the metrics.
            It is not kept alive.

    Raises:
        InvalidValueError: Something else is said, or with a value that it cannot have. A header's value is not shown.
    """
    said = dict(telemetry or {})
    unknown = sorted(set(said) - set(OPTIONS))
    if unknown:
        raise InvalidValueError(f"telemetry: unknown option {unknown[0]!r}; there are {', '.join(OPTIONS)}")
    return GatewaySeeing(told=_told(weakref.ref(of)), **said)


def _told(of: Callable[[], Any]) -> Callable[[], dict[str, float]]:
    def told() -> dict[str, float]:
        whose = of()
        return {} if whose is None else whose.controller.metrics()

    return told
