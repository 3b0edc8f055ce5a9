"""Names of RouteLLM that this version has but cannot run yet: importing them works, using them says so."""

from __future__ import annotations

from typing import Any, NoReturn

from ferroute.errors import NotBuiltError


def not_built(what: str) -> NoReturn:
    """Raises the error that names what is missing and what there is instead."""
    raise NotBuiltError(
        f"{what} is not part of this version of ferroute yet; routers that work now: 'mf', 'local', 'random', "
        "and any class you add to ROUTER_CLS"
    )


def not_yet(what: str) -> NoReturn:
    """Ends a program that this version does not have yet, with one line and exit code 1."""
    raise SystemExit(f"{what} is not part of this version of ferroute yet; `ferroute --help` lists what is")


def later(name: str, what: str) -> Any:
    """A function of the given name that raises on use."""

    def stand_in(*_args: Any, **_kwargs: Any) -> NoReturn:
        not_built(what)

    stand_in.__name__ = stand_in.__qualname__ = name
    stand_in.__doc__ = f"{what}; not part of this version yet, raises `NotBuiltError`."
    return stand_in


def later_class(name: str, what: str, module: str) -> Any:
    """A class of the given name whose construction raises."""

    def __init__(_self: Any, *_args: Any, **_kwargs: Any) -> None:  # noqa: N807
        not_built(what)

    doc = f"{what}; not part of this version yet, construction raises `NotBuiltError`."
    return type(name, (), {"__init__": __init__, "__doc__": doc, "__module__": module})
