"""Requests that cannot be routed: `RoutingError`, and what else each kind is, as in RouteLLM."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from decimal import Decimal


class RoutingError(Exception):
    """A request that cannot be routed: unknown router, bad threshold, bad model string, no model that can serve it.

    Attributes:
        router_cost_usd: What had been paid for routing by then; None where that is nothing, or unknown.
    """

    router_cost_usd: Decimal | None = None


class MissingMessages(RoutingError, KeyError):
    def __str__(self) -> str:
        return str(self.args[0])


class EmptyMessages(RoutingError, IndexError):
    pass


class ThresholdType(RoutingError, TypeError):
    pass


class ModelType(RoutingError, TypeError, AttributeError):
    pass


# Where RouteLLM has it, and where everybody imports it from.
RoutingError.__module__ = "ferroute.controller"
