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
    from ferroute.explorer import Explorer, explore
    from ferroute.fitting import fit, load_router
    from ferroute.llm_router import LLMRouter
    from ferroute.policy import CallPolicy
    from ferroute.proving import Proof, prove
    from ferroute.routers.fitted import FittedRouter
    from ferroute.shadow import Shadow
    from ferroute.tasks import TaskGuess, guess_task

__all__ = [
    "Audit",
    "CallPolicy",
    "Controller",
    "Decision",
    "Explorer",
    "FerrouteError",
    "FittedRouter",
    "LLMRouter",
    "ModelPair",
    "Proof",
    "RoutingError",
    "Shadow",
    "Share",
    "Shares",
    "TaskGuess",
    "__version__",
    "acompletion",
    "audit",
    "completion",
    "explore",
    "fit",
    "guess_task",
    "load_router",
    "prove",
]

_HOMES = {
    "Audit": "auditing",
    "CallPolicy": "policy",
    "Controller": "controller",
    "Decision": "decision",
    "Explorer": "explorer",
    "FerrouteError": "errors",
    "FittedRouter": "routers.fitted",
    "LLMRouter": "llm_router",
    "ModelPair": "decision",
    "Proof": "proving",
    "RoutingError": "controller",
    "Shadow": "shadow",
    "Share": "decision",
    "Shares": "decision",
    "TaskGuess": "tasks",
    "acompletion": "completions",
    "audit": "auditing",
    "completion": "completions",
    "explore": "explorer",
    "fit": "fitting",
    "guess_task": "tasks",
    "load_router": "fitting",
    "prove": "proving",
}

_MODULES = ("calibrate", "evals", "rollout")
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
