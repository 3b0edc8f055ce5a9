"""What a configuration says of routers, held against those that are loaded: only Python knows them all."""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

from ferroute._serving_config import ConfigMistakes
from ferroute.controller import ROUTER_CLS, RoutingError
from ferroute.errors import FerrouteError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ferroute._serving_config import Configuration, Mistake
    from ferroute.controller import Controller


def imported(config: Configuration) -> Iterator[Mistake]:
    """Imports the modules of a configuration; those that cannot be are mistakes."""
    if config.imports and os.getcwd() not in sys.path:  # noqa: PTH109
        sys.path.insert(0, os.getcwd())  # noqa: PTH109
    for index, module in enumerate(config.imports):
        try:
            importlib.import_module(module)
        except Exception as error:  # noqa: PERF203 - all of them are told
            yield config.mistake(f"imports[{index}]", f"cannot be imported: {type(error).__name__}: {error}")


def unknown(config: Configuration, arguments: dict[str, Any]) -> Iterator[Mistake]:
    """Routers that there are not. A file that `ferroute.fit` has written may have any name."""
    for name, entry in arguments.items():
        if name not in ROUTER_CLS and not (isinstance(entry, dict) and "path" in entry):
            what = f"unknown router {name!r:.60}; there are {', '.join(ROUTER_CLS)}"
            yield config.mistake(f"routers.{name}", what)


def unanswerable(config: Configuration, controller: Controller) -> Iterator[Mistake]:
    """Aliases and allowed names that speak of a router as it cannot be asked."""
    for alias, meant in config.aliases.items():
        if meant.startswith("router-") and (why := _against(controller, meant)):
            yield config.mistake(f"aliases.{alias}", why)
    for index, policy in enumerate(config.plain.get("policies", ())):
        for place, entry in enumerate(policy.get("models", ())):
            meant: str = config.aliases.get(entry) or entry
            # A router stands for all its thresholds here.
            if not meant.startswith("router-") or meant.removeprefix("router-") in controller.routers:
                continue
            if why := _against(controller, meant):
                yield config.mistake(f"policies[{index}].models[{place}]", why)


def _against(controller: Controller, model: str) -> str | None:
    """Why a ``router-...`` string cannot be answered; None where it can."""
    try:
        controller._asked_how(None, None, model)  # pyright: ignore[reportPrivateUsage]
    except (RoutingError, FerrouteError) as error:
        return f"{model!r:.80} cannot be asked for: {error}"
    except ValueError:
        # RouteLLM's texts are those of Python's unpacking.
        return f"{model!r:.80} cannot be asked for: expected a threshold, such as router-local-0.5 or router-local-30%"
    return None


def raise_any(mistakes: list[Mistake]) -> None:
    """Raises the mistakes, in the order of the file.

    Raises:
        ConfigMistakes: There are any.
    """
    if mistakes:
        raise ConfigMistakes(sorted(mistakes, key=lambda mistake: (mistake.line or 0, mistake.column or 0)))
