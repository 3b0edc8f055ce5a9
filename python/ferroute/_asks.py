"""Model strings by which routers that name a rung leave a choice to another router: checked before a request comes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from ferroute import _core
from ferroute._grammar import names_rung
from ferroute._refusals import RoutingError
from ferroute._wanted import Share
from ferroute.errors import InvalidValueError
from ferroute.routers.base import ROUTER_CLS, RungRouter, routes_by_itself

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence


def validated(asks: Iterable[tuple[str, str]], ladder: Sequence[str], routers: Collection[str]) -> list[str]:
    """The routers asked, in the order of the model strings, which are those that a request to this ladder may have.

    Args:
        asks: Model strings, each with its place.
        ladder: Names of the rungs, weakest first.
        routers: Names of all routers; as a mapping to the routers themselves it is also checked whether each takes what
            it is asked with.

    Raises:
        InvalidValueError: A string cannot be asked; the message has its place.
    """
    made = cast("Mapping[str, Any]", routers) if isinstance(routers, Mapping) else None
    names = [str(name) for name in routers]
    naming = [name for name in names if made is None or names_rung(made[name])]
    found: list[str] = []
    for model, place in asks:
        if not _starts(model, names):
            known = ", ".join(map(repr, names))
            raise InvalidValueError(f"{place}: {model!r} asks a router that is not loaded; there are {known}")
        name, several = _asked(model, place, ladder, names, naming)
        if several and made is not None and routes_by_itself(made[name]):
            raise InvalidValueError(
                f"{place}: {model!r}: router {name!r} decides by itself, so it takes a single threshold"
            )
        found.append(name)
    return found


def validated_alone(asks: Iterable[tuple[str, str]], ladder: Sequence[str] | None) -> None:
    """As `validated`, as far as it can be known without a Controller, whose routers may have any names.

    Raises:
        InvalidValueError: A string can be asked in no Controller.
    """
    naming = [name for name, cls in ROUTER_CLS.items() if isinstance(cls, type) and issubclass(cls, RungRouter)]
    for model, place in asks:
        rungs = ladder or [f"rung {number}" for number in range(1, max(model.count(",") + 2, 3) + 1)]
        if ladder is None and "," in model:
            rungs = rungs[: model.count(",") + 2]
        others: list[str] = []
        if not _starts(model, ROUTER_CLS):
            # Any name will do, with a hyphen and without, if it is one of a router that names a rung.
            others = [model.removeprefix("router-"), model.removeprefix("router-").rpartition("-")[0]]
        _asked(model, place, rungs, [*ROUTER_CLS, *others], [*naming, *others])


def refuse_circles(routers: Mapping[str, Any], ladder: Sequence[str]) -> None:
    """Raises `InvalidValueError` where routers could ask each other for ever."""
    asked: dict[str, list[tuple[str, str]]] = {}
    for name, router in routers.items():
        if isinstance(router, RungRouter) and (asks := list(router.asked_routers())):
            others = validated(asks, ladder, routers)
            asked[name] = [(other, place) for other, (_, place) in zip(others, asks, strict=True)]
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        for other, place in asked.get(name, ()):
            if other in trail:
                circle = " -> ".join((*trail[trail.index(other) :], other))
                raise InvalidValueError(f"{place}: routers ask each other in a circle: {circle}")
            if other not in done:
                visit(other, (*trail, other))
        done.add(name)

    for name in asked:
        visit(name, (name,))


def _starts(model: str, names: Iterable[str]) -> bool:
    return any(f"{model}-".startswith(f"router-{name}-") for name in names)


def _asked(
    model: str, place: str, ladder: Sequence[str], names: Sequence[str], naming: Sequence[str]
) -> tuple[str, bool]:
    """The router, and whether it is asked with a share or several thresholds."""
    hyphenated = [name for name in names if "-" in name]
    try:
        name, number, shares = _core.parse_model_name(model, hyphenated, list(naming), len(ladder))
        known = dict.fromkeys(names)
        if isinstance(number, list):
            _core.validate_cuts(name, known, number, shares, _core.Ladder([(rung, rung) for rung in ladder]))
        elif number is not None:
            _core.validate(name, known, number, shares, Share(number) if shares else number)
    except (RoutingError, ValueError) as error:
        raise InvalidValueError(f"{place}: {model!r}: {_why(model, names, naming, ladder, error)}") from None
    return name, shares or isinstance(number, list)


def _why(model: str, names: Sequence[str], naming: Sequence[str], ladder: Sequence[str], error: Exception) -> str:
    name = model.removeprefix("router-")
    if name not in names or name in naming:
        return str(error)
    several = len(ladder) > 2
    examples = f"{model}-0.3,0.7 or {model}-60%,15%" if several else f"{model}-0.5 or {model}-30%"
    return f"router {name!r} needs {'thresholds' if several else 'a threshold'}, such as {examples}"
