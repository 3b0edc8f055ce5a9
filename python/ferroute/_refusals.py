"""Requests that cannot be routed: `RoutingError`, and what else each kind is, as in RouteLLM."""

from __future__ import annotations


class RoutingError(Exception):
    """A request that cannot be routed: unknown router, bad threshold, bad model string."""


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
