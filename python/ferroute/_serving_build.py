"""From a configuration to the Controller that is served, and what is served beside it."""

from __future__ import annotations

import json
import os
import warnings
from typing import TYPE_CHECKING, Any, cast

from ferroute.controller import GPT_4_AUGMENTED_CONFIG, Controller
from ferroute.errors import InvalidValueError
from ferroute.ledger import Ledger
from ferroute.policy import CallPolicy
from ferroute.routers.base import RungRouter

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ferroute._serving_config import Configuration

ROUTERS = ("local", "random")
"""Loaded where a configuration names none: neither needs a download or a key."""


class Served(Controller):
    """A Controller whose routers outlive it: those whose arguments have not changed are taken from the one before.

    So what they have read stays read, and what is counted for each router object, such as the window of a share, goes
    on.

    Attributes:
        ledger_of: URL and ``store`` of the ledger.
    """

    ledger_of: tuple[str, str] | None = None

    def __init__(self, before: Served | None, /, *args: Any, **kwargs: Any) -> None:
        self._before = before
        # The ladder is a part of what routers that name rungs are built for.
        self._ladder_of = json.dumps(
            [kwargs.get(name) for name in ("tiers", "strong_model", "weak_model")], default=str
        )
        self._made_of: dict[str, str] = {}
        super().__init__(*args, **kwargs)
        self._before = None

    def _tell_of_endings(self) -> None:
        """Nothing: `ferroute check` looks at the file, and `ferroute serve` has a log for it."""

    def _built(self, name: str, entry: Any) -> Any:
        made_of = self._made_of[name] = f"{json.dumps(entry, sort_keys=True, default=str)} {list(stamps(entry))}"
        before = self._before
        if before is not None and before._made_of.get(name) == made_of:
            router = before.routers.get(name)
            if router is not None and (not isinstance(router, RungRouter) or before._ladder_of == self._ladder_of):
                return router
        return super()._built(name, entry)


def stamps(entry: Any) -> Iterator[tuple[str, int, int]]:
    """Files that a router's arguments name, with their time and size."""
    if isinstance(entry, dict):
        for value in cast("dict[str, Any]", entry).values():
            yield from stamps(value)
    elif isinstance(entry, (list, tuple)):
        for value in cast("list[Any]", entry):
            yield from stamps(value)
    elif isinstance(entry, str) and os.path.isfile(entry):  # noqa: PTH113 - asked of every argument
        found = os.stat(entry)  # noqa: PTH116
        yield entry, found.st_mtime_ns, found.st_size


def arguments_of(config: Configuration) -> dict[str, Any]:
    """Routers with their arguments; one that is only named has those of RouteLLM's default configuration."""
    routers = config.routers
    if routers is None:
        return dict.fromkeys(ROUTERS)
    return {name: entry or GPT_4_AUGMENTED_CONFIG.get(name) for name, entry in routers.items()}


def controller_of(config: Configuration, before: Served | None = None, *, made: type[Served] | None = None) -> Served:
    """The Controller of a configuration that has tiers (see `with_tiers`).

    Args:
        config: What it is made of.
        before: The one it takes the place of; routers and ledger that have not changed are taken from it.
        made: What is made, by one who looks for mistakes in names himself; None: a `Served`, without any.

    Raises:
        ConfigMistakes: It speaks of a module or a router that there is not, or of one as it cannot be asked.
        FerrouteError: A router or the ledger cannot be had, or a value is outside its range.
        TypeError: A router misses an argument.
    """
    from ferroute import _serving_names as names

    if made is None:
        names.raise_any(list(names.imported(config)))
    arguments = arguments_of(config)
    if made is None:
        names.raise_any(list(names.unknown(config, arguments)))
    tiers = config.tiers
    if config.pair:
        models: dict[str, Any] = {"weak_model": tiers[0][1], "strong_model": tiers[1][1]}
    else:
        models = {"tiers": tiers}
    wanted = config.ledger, config.store
    kept = before is not None and before.ledger_of == wanted
    controller = (made or Served)(
        before,
        list(arguments),
        config=cast("Mapping[str, Any]", arguments),
        policy=CallPolicy.of(config.calls),
        ledger=before.ledger if before is not None and kept else Ledger(wanted[0], store=wanted[1]),
        **models,
    )
    controller.ledger_of = wanted
    if made is None:
        names.raise_any(list(names.unanswerable(config, controller)))
    return controller


def with_tiers(config: Configuration) -> list[str]:
    """Gives a configuration without tiers those it means, and says what they are.

    Raises:
        InvalidValueError: It means none.
    """
    if config.tiers:
        return []
    if config.models:
        return _by_price(config)
    from ferroute._serving_preset import preset

    try:
        chosen = preset()
    except InvalidValueError:
        if config.name is None:
            raise
        raise InvalidValueError(
            f"{config.name}: it names no models, and there is no key of a provider in the environment to choose some "
            "by: say `tiers` in it, or --weak-model and --strong-model beside it"
        ) from None
    config.plain["tiers"] = chosen.tiers
    config.plain["models"] = chosen.models
    config.plain.setdefault("open_models", True)
    shown = ", ".join(f"{name} {model}" for name, model in chosen.tiers)
    said = [f"tiers of {chosen.provider}, whose key is in the environment, as of {chosen.as_of}: {shown}"]
    if chosen.others:
        said.append(f"there are keys of {', '.join(chosen.others)} too: their models can be asked for by name")
    return said


def with_pair(config: Configuration, weak: str, strong: str, own: Mapping[str, Any]) -> None:
    """Puts two models of the command line in the place of a configuration's tiers; `own` is how they are reached."""
    config.plain["tiers"] = [
        (name, {"model": model, **own} if own else model) for name, model in (("weak", weak), ("strong", strong))
    ]
    config.plain["pair"] = True


def _by_price(config: Configuration) -> list[str]:
    """The cheapest and the dearest of the models, where a file has models and no tiers."""
    priced = [(price, name, model) for name, model in config.models if (price := price_of(model)) is not None]
    priced.sort(key=lambda found: found[0])
    if len(priced) < 2 or priced[0][0] == priced[-1][0]:
        raise InvalidValueError(
            f"{config.name}: expected `tiers` (two or more models, weakest first): they cannot be told from the "
            "models, of which fewer than two have known and different prices"
        )
    (_, cheap, _), (_, dear, _) = priced[0], priced[-1]
    config.plain["tiers"] = [("cheap", priced[0][2]), ("expensive", priced[-1][2])]
    return [f"there are no `tiers`: routers choose between the cheapest and the dearest model, {cheap} and {dear}"]


def price_of(model: Any) -> Any:
    """US dollars for a thousand tokens of prompt and five hundred of answer; None where it is not known."""
    from ferroute import pricing

    named: Any = model
    name = named if isinstance(named, str) else named["model"]
    base = None if isinstance(named, str) else named.get("base_model")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pricing.PriceWarning)
        return pricing.cost(name, 1000, 500, base_model=base)


def served_of(config: Configuration) -> dict[str, Any]:
    """What `ferroute.gateway.setup_of` is told beside the Controller."""
    return {
        "models": config.models,
        "aliases": config.aliases,
        "open_models": bool(config.plain.get("open_models")),
    }


def door_of(config: Configuration) -> dict[str, Any]:
    """Keys, policies and limits, as `ferroute.gateway.Gateway` takes them."""
    return {
        "keys": config.keys,
        "server": config.server,
        "config": config.core,
        "budgets": any("budget" in policy for policy in config.plain.get("policies", ())),
    }


def page_about(config: Configuration) -> dict[str, Any] | None:
    """What the page is told beside the Controller; None where there is to be none."""
    keys = config.keys
    if config.server.get("page") is False:
        return None
    return {
        "models": [name for name, _ in config.models],
        "config": config.name,
        "keys": bool(keys.get("required")),
    }


def telemetry_of(config: Configuration) -> dict[str, Any]:
    """Metrics, traces and logs, as `ferroute.gateway.Gateway` takes them: failures are logged, unless it says off."""
    from ferroute._serving_config import share_of

    told = {"logs": "text", **config.telemetry}
    if "sample" in told:
        told["sample"] = share_of(told["sample"])
    return told
