"""Which of a Controller's models a name means: as the caller writes it, or as the provider does in an answer."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ferroute.endpoints import settings_of
from ferroute.errors import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# What a provider puts behind a name for the version that answered: a date, a number, a word.
_VERSION = re.compile(r"(?:-\d{4}-\d{2}-\d{2}|[-@]\d{8}|-\d{3,4}|-latest|:latest)$")


def model_named(name: str, models: Iterable[Any]) -> str:
    """The caller's name of the model that ``name`` means.

    That very name; else with or without the prefixes that say where it is asked (``openai/``), or the name it is
    priced as; else with or without a version behind it. A nearer kind of likeness goes before a farther one.

    Args:
        name: The name to look for.
        models: The models that it may mean, with their settings.

    Raises:
        UnknownNameError: It means none of them, or several.
    """
    spellings = {str(model): _spellings(model) for model in models}
    if name in spellings:
        return name
    wanted = name.strip().lower()
    alike: tuple[Callable[[str], bool], ...] = (
        lambda known: _same(wanted, known),
        lambda known: _same(_VERSION.sub("", wanted), known) or _same(wanted, _VERSION.sub("", known)),
    )
    for is_alike in alike:
        found = [model for model, known in spellings.items() if any(map(is_alike, known))]
        if len(found) == 1:
            return found[0]
        if found:
            raise UnknownNameError(
                f"{name!r:.80} may be any of {', '.join(map(repr, found))}; name the one that is meant"
            )
    raise UnknownNameError(f"there is no model {name!r:.80} here; expected one of {', '.join(map(repr, spellings))}")


def _spellings(model: Any) -> list[str]:
    base = settings_of(model).get("base_model")
    return [each.lower() for each in (str(model), base) if each is not None]


def _same(one: str, other: str) -> bool:
    """Whether they are the same but for prefixes that only one of them has."""
    return one == other or one.endswith(f"/{other}") or other.endswith(f"/{one}")
