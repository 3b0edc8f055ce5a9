"""What the server's page is told of a Controller: its rungs, its book, and what is being tried out with it."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from ferroute._core import GatewayPage
from ferroute._deciding import name_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ferroute._ladder import Rungs
    from ferroute.controller import Controller


def page_of(controller: Controller, **about: Any) -> GatewayPage:
    """The page of a server. Where callers need a key, its data needs the admin key or one with the scope ``ui``.

    Args:
        controller: Whose calls, rungs and experiments are shown.
        **about: As for `subject_of`.
    """
    return GatewayPage(controller.ledger.core, **subject_of(controller, **about))


def subject_of(
    controller: Controller,
    *,
    models: Iterable[str] = (),
    config: str | None = None,
    keys: bool = False,
    tests: Iterable[Any] = (),
) -> dict[str, Any]:
    """What a page is about, as `_core.GatewayPage` and its ``renew`` take it beside the ledger.

    Args:
        controller: As it is now; what it holds is asked for whenever the page is looked at.
        models: Names of models beside the rungs.
        config: The configuration's file.
        keys: Whether callers need a key.
        tests: A/B tests to show (`ferroute.rollout.ABTest`).
    """
    rungs: Rungs = controller._rungs()  # pyright: ignore[reportPrivateUsage]
    shown = tuple(tests)
    return {
        "rungs": [(rungs.tier(at), name_of(model)) for at, model in enumerate(rungs.models)],
        "routers": list(controller.routers),
        "models": list(models),
        "config": config,
        "keys": keys,
        "experiments": lambda: json.dumps([*map(_held, *_pairs(controller)), *map(_tested, shown)]),
    }


def _pairs(controller: Controller) -> tuple[list[str], list[Any]]:
    held = controller.held
    return list(held), list(held.values())


def _held(name: str, held: Any) -> dict[str, Any]:
    """A ramp, a watch, or a certificate that certifies nothing."""
    threshold, note = held.held()
    shown: dict[str, Any] = {
        "name": f"router-{name}",
        "kind": type(held).__name__.lower(),
        "state": getattr(held, "state", "holding"),
        "threshold": None if math.isinf(threshold) else threshold,
        "always_weak": math.isinf(threshold),
        "said": note,
        "figures": [],
    }
    if not hasattr(held, "as_dict"):
        return shown | {"kind": "certificate", "state": "always strong"}
    known = held.as_dict()
    shown["figures"] = [
        ["weak share", known["weak_share"], "share"],
        ["audited requests", known["audits"], "count"],
        ["mean loss", known["loss"], "number"],
        ["bound", known["max_quality_loss"], "number"],
        ["confidence", known["confidence"], "share"],
        ["evidence to go back", _odds(known["evidence"]), "text"],
        ["evidence of other traffic", _odds(known["drift"]), "text"],
        ["audited now", known["rate"], "share"],
    ]
    moves = known["moves"]
    return shown | {"moves": moves[-5:]}


def _tested(test: Any) -> dict[str, Any]:
    """An A/B test."""
    result = test.result()
    low, high = result.interval
    means = zip("ab", (result.a, result.b), result.means, result.n, strict=True)
    return {
        "name": test.name,
        "kind": "a/b test",
        "state": "running" if result.winner is None else "decided",
        "threshold": None,
        "always_weak": False,
        "said": result.verdict,
        "figures": [
            *([f"{arm}: {model}", f"{mean:.3f} over {n:,}", "text"] for arm, model, mean, n in means),
            ["b - a", f"{result.difference:+.3f} ({low:+.3f} to {high:+.3f})", "text"],
            ["evidence", _odds(result.e_value), "text"],
            ["scores needed", result.required, "count"],
        ],
    }


def _odds(to_one: float) -> str:
    """So much to 1, without false digits."""
    if not math.isfinite(to_one) or to_one >= 1e6:
        return "over a million to 1"
    return f"{to_one:,.0f} to 1" if to_one >= 10 else f"{to_one:.2g} to 1"
