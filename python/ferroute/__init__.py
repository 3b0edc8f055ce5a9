"""Send each prompt to the cheapest language model that is good enough.

Start with `ferroute.controller.Controller`; the names below are loaded when first used, so importing is free.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ferroute._core import DEBUG_BUILD, __version__

if TYPE_CHECKING:
    from ferroute.auditing import Audit, audit
    from ferroute.completions import acompletion, completion
    from ferroute.controller import Controller, RoutingError
    from ferroute.decision import Decision, ModelPair, Share, Shares
    from ferroute.errors import FerrouteError
    from ferroute.llm_router import LLMRouter
    from ferroute.policy import CallPolicy
    from ferroute.tasks import TaskGuess, guess_task

__all__ = [
    "Audit",
    "CallPolicy",
    "Controller",
    "Decision",
    "FerrouteError",
    "LLMRouter",
    "ModelPair",
    "RoutingError",
    "Share",
    "Shares",
    "TaskGuess",
    "__version__",
    "acompletion",
    "audit",
    "completion",
    "guess_task",
]

_HOMES = {
    "Audit": "auditing",
    "CallPolicy": "policy",
    "Controller": "controller",
    "Decision": "decision",
    "FerrouteError": "errors",
    "LLMRouter": "llm_router",
    "ModelPair": "decision",
    "RoutingError": "controller",
    "Share": "decision",
    "Shares": "decision",
    "TaskGuess": "tasks",
    "acompletion": "completions",
    "audit": "auditing",
    "completion": "completions",
    "guess_task": "tasks",
}

_MODULES = ("calibrate", "evals")
"""Modules that are there after ``import ferroute`` alone."""

if DEBUG_BUILD:
    import warnings

    warnings.warn(
        "this ferroute was built without optimisation (a debug build): do not measure it",
        RuntimeWarning,
        stacklevel=2,
    )


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        import importlib

        return getattr(importlib.import_module(f"ferroute.{_HOMES[name]}"), name)
    if name in _MODULES:
        import importlib

        return importlib.import_module(f"ferroute.{name}")
    raise AttributeError(f"module 'ferroute' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
