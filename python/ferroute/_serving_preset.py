"""The tiers of a server that is started without a configuration: of the providers whose keys are in the environment."""

from __future__ import annotations

import json
import os
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple

from ferroute import _core
from ferroute.errors import InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Mapping


class Preset(NamedTuple):
    """Tiers of one provider, as they were chosen on a day."""

    provider: str
    tiers: list[tuple[str, str]]
    models: list[tuple[str, str]]
    as_of: str
    others: list[str]


def presets() -> dict[str, Any]:
    """The data: ``as_of``, ``source`` and ``providers``, in the order in which they are taken."""
    return json.loads((files("ferroute") / "data" / "tiers.json").read_text(encoding="utf-8"))


def preset(env: Mapping[str, str] | None = None) -> Preset:
    """The tiers of the first provider whose key is there; models of the others are asked for by name.

    Args:
        env: The environment; None: this process's.

    Raises:
        InvalidValueError: There is no key of a provider that has tiers.
    """
    env = os.environ if env is None else env
    data = presets()
    keys = dict(_core.provider_keys())
    found = [name for name in data["providers"] if any(env.get(key) for key in keys.get(name, ()))]
    if not found:
        names = ", ".join(keys[name][0] for name in data["providers"])
        raise InvalidValueError(
            "there is no configuration, and no key of a provider in the environment to make one of: set one of "
            f"{names}; or name two models, --weak-model and --strong-model; or write a configuration "
            "(docs/gateway.md)"
        )
    first, *rest = found
    tiers = [(name, model) for name, model in data["providers"][first].items()]
    models = [(model, model) for other in rest for model in data["providers"][other].values()]
    return Preset(first, tiers, models, data["as_of"], rest)
