"""How a request says what decides on it: ``router-local-0.3,0.7``, or the name of a router and a threshold.

The rules are the core's (`routing::model_name`, `routing::ladder`); here is what only Python can look at.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

from ferroute import _core
from ferroute._holding import Holds
from ferroute._ladder import Rungs, cuts_of
from ferroute._refusals import ModelType, RoutingError, ThresholdType
from ferroute._wanted import Held, Share, Shares
from ferroute.routers.base import RungRouter, routes_by_itself

if TYPE_CHECKING:
    from ferroute._wanted import ModelPair


def names_rung(router: Any) -> bool:
    """Whether a router names a rung, so that it needs no threshold."""
    # Its ancestors are looked through instead of `isinstance`, which takes four times as long for an abstract class.
    return RungRouter in type(router).__mro__ and not routes_by_itself(router)


def _hint(error: ValueError, model: str, routers: dict[str, Any]) -> None:
    """Adds to an error what may be meant by the name of a router alone."""
    name = model.removeprefix("router-")
    if name not in routers:
        return
    hint = (
        f"{model!r} has no threshold, and nobody holds one for the router {name!r}: ask for 'router-{name}-0.5', or let "
        f"one be held by Controller.hold({name!r}, ...)."
    )
    # What `add_note` does, which Python 3.10 has not.
    error.__notes__ = [hint]  # pyright: ignore[reportAttributeAccessIssue]


class Grammar(Holds):
    """Knows the routers and the rungs, and so what a model string means."""

    model_pair: ModelPair
    routers: dict[str, Any]
    # The ladder as it was last seen.
    _seen: Rungs | None
    # Names and models, weakest first; none for RouteLLM's pair. First and last model are those of `model_pair`.
    _tiers: tuple[tuple[str, Any], ...]

    def _rungs(self) -> Rungs:
        """The ladder, with the models that are in `model_pair` now."""
        pair, seen = self.model_pair, self._seen
        if seen is None or seen.models[0] is not pair.weak or seen.models[-1] is not pair.strong:
            seen = self._seen = Rungs(pair, self._tiers)
        return seen

    def _asked_how(self, router: str | None, threshold: Any, model: str | None) -> tuple[Any, Any]:
        """Router and threshold of a request, checked, from either form."""
        if model is None and threshold is None and router not in self.routers and str(router).startswith("router"):
            model = router
        if model is not None:
            router, threshold = self._parse_model_name(model)
        elif type(threshold) is not float:
            threshold = cuts_of(threshold, len(self._tiers) or 2)
        if threshold is None:
            threshold = self._held_threshold(router)
        self._validate_router_threshold(router, threshold)
        return router, threshold

    # The two methods below are private in RouteLLM too, but visible in subclasses and tests: all that is asked goes
    # through them, so overriding one works.

    def _validate_router_threshold(self, router: str | None, threshold: Any) -> None:
        if router is None or (threshold is None and not self._alone(router)):
            raise RoutingError("Router or threshold unspecified.")
        if threshold is None or (type(threshold) is Held and router in self.routers):
            return
        # Callers' code is not checked by our types.
        if isinstance(threshold, str):
            raise ThresholdType(f"A threshold is a number between 0.0 and 1.0, found the string {threshold!r}.")
        if not isinstance(router, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise RoutingError(f"Invalid router {router}. Available routers are {list(self.routers)}.")
        if isinstance(threshold, tuple):
            cuts = list(cast("tuple[float, ...]", threshold))
            _core.validate_cuts(router, self.routers, cuts, isinstance(threshold, Shares), self._rungs().core)
            return
        try:
            number = float(threshold)
        except OverflowError:  # an integer beyond every float
            number = math.inf
        except (TypeError, ValueError):
            raise ThresholdType(
                f"A threshold is a number between 0.0 and 1.0, found {threshold!r:.60} ({type(threshold).__name__})."
            ) from None
        _core.validate(router, self.routers, number, isinstance(threshold, Share), threshold)

    def _alone(self, router: Any) -> bool:
        """Whether a router needs no threshold."""
        return isinstance(router, str) and names_rung(self.routers.get(router))

    def _parse_model_name(self, model: str) -> tuple[str, Any]:
        if not isinstance(model, str):  # pyright: ignore[reportUnnecessaryIsInstance] - callers' code is not checked
            raise ModelType(f"model is a string like 'router-[router name]-[threshold]', found {model!r}.")
        hyphenated = [name for name in self.routers if "-" in name]
        # What is held needs no threshold either.
        naming = [name for name, router in self.routers.items() if names_rung(router) or name in self._held]
        rungs = len(self._tiers) or 2
        try:
            router, number, shares = _core.parse_model_name(model, hyphenated, naming, rungs)
        except UnicodeEncodeError:  # lone surrogates are in no number and in no name
            model = model.encode("utf-8", "replace").decode()
            router, number, shares = _core.parse_model_name(model, hyphenated, naming, rungs)
        except ValueError as error:
            # Type and text are RouteLLM's.
            _hint(error, model, self.routers)
            raise
        if isinstance(number, list):
            return router, Shares(*number) if shares else tuple(number)
        return router, Share(cast("float", number)) if shares else number
