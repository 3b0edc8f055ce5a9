"""`Router`, the base class that users subclass, and its registries."""

from __future__ import annotations

import abc
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ferroute._core import Request, Verdict
from ferroute.errors import InvalidTypeError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from ferroute.decision import ModelPair

R = TypeVar("R", bound="type[Any]")

ROUTER_CLS: dict[str, Callable[..., Any]] = {}
"""Name -> class, or any callable that returns a router. Add to it before building a Controller."""

NAME_TO_CLS: dict[Any, str] = {}
"""Class -> name, despite its name: RouteLLM's table, kept for code that reads it."""

BUILT_IN = (
    "random",
    "mf",
    "causal_llm",
    "bert",
    "sw_ranking",
    "local",
    "llm_classifier",
    "rules",
    "semantic",
    "fitted",
)
"""Names of this package's routers in `ROUTER_CLS`."""

KNOWN_RUNGS = ("cheap", "mid", "expensive", "weak", "strong")
"""Names that mean a rung of every ladder, by its position."""


def no_parallel(cls: R) -> R:
    """Marks a router class whose prompts must be scored one after the other.

    Args:
        cls: The class; it is returned.

    Returns:
        The class.
    """
    cls.NO_PARALLEL = True
    return cls


class Router(abc.ABC):
    """Scores a prompt with a win rate: how likely the strong model's answer is to be the better one.

    The class and its rule (strong if the win rate is at least the threshold) are RouteLLM's. Subclass it, implement
    `calculate_strong_win_rate`, and register the class::

        class Length(Router):
            def calculate_strong_win_rate(self, prompt):
                return min(len(prompt) / 1000, 1.0)

        ROUTER_CLS["length"] = Length
    """

    NO_PARALLEL = False

    @abc.abstractmethod
    def calculate_strong_win_rate(self, prompt: str) -> float:
        """Win rate of the strong model, 0..=1.

        Args:
            prompt: The text to route.
        """

    def calculate_strong_win_rates(
        self, prompts: Sequence[str], progress: Callable[[int], object] | None = None
    ) -> NDArray[np.float64]:
        """Win rates of many prompts, float64 ``[n]``; ``progress`` is called with the number newly done.

        The same numbers as one by one. Routers with a faster way override it.

        Args:
            prompts: The texts to route, ``[n]``.
            progress: Called with the number newly done; None: nothing is called.

        Raises:
            InvalidTypeError: ``prompts`` is a single string.
        """
        import numpy as np

        if isinstance(prompts, (str, bytes)):
            raise InvalidTypeError("prompts is a list of strings; found a single string")
        out = np.empty(len(prompts), dtype=np.float64)
        for i, prompt in enumerate(prompts):
            out[i] = self.calculate_strong_win_rate(prompt)
            if progress:
                progress(1)
        return out

    async def acalculate_strong_win_rate(self, prompt: str) -> float:
        """As `calculate_strong_win_rate`, without blocking the event loop: in a thread unless overridden.

        Args:
            prompt: The text to route.
        """
        import asyncio

        return await asyncio.to_thread(self.calculate_strong_win_rate, prompt)

    def route(self, prompt: str, threshold: float, routed_pair: ModelPair) -> str:
        """The strong model's name if the win rate is at least ``threshold``, else the weak one's.

        Args:
            prompt: The text to route.
            threshold: Strong if the win rate is at least this, 0..=1.
            routed_pair: Names of the strong and of the weak model.
        """
        return routed_pair.strong if self.calculate_strong_win_rate(prompt) >= threshold else routed_pair.weak

    def __str__(self) -> str:
        name = NAME_TO_CLS.get(type(self))
        if name is None:  # registered after the table was made, or not at all
            name = next((name for name, cls in ROUTER_CLS.items() if cls is type(self)), type(self).__name__)
        return name

    def __repr__(self) -> str:
        return f"<{type(self).__name__} router>"


class RungRouter(Router):
    """Names the rung a request goes to, instead of a win rate: rules, routes, a classifier.

    Subclass it, implement `choose`, and register the class like any other router. ``router-<name>`` needs no threshold
    then; one that is given goes to the learned router that a verdict may leave the choice to.

    Attributes:
        endpoints: Models beyond the ladder that verdicts name, by their names, where they have settings of their own.
        names_models: Whether a verdict may lead to a model beyond the ladder. Where none does, a request that no rung
            can serve is refused before the router is asked, and perhaps paid.
    """

    names_models: bool = True

    endpoints: Mapping[str, Any] = MappingProxyType({})

    def check(self, ladder: Sequence[str], routers: Collection[str]) -> None:
        """Raises, with the place, where this router speaks of a rung or a router that there is not.

        The Controller calls it once, when all routers are loaded.

        Args:
            ladder: Names of the rungs, weakest first; ``cheap``, ``mid``, ``expensive``, ``weak`` and ``strong`` are
                known beside them, by position.
            routers: Names of all routers.

        Raises:
            InvalidValueError: It speaks of one that there is not; this class itself never does.
        """

    def asked_routers(self) -> Sequence[tuple[str, str]]:
        """Model strings of the routers that verdicts may leave a choice to, each with the place where it is said.

        The Controller refuses those that cannot be asked, and circles, when it is made.
        """
        return ()

    def text_is_all(self, request: Request) -> bool:
        """Whether `choose` reads nothing of a request but ``request.text``, so that `choose_batch` will do for it."""
        return False

    def lend(self, api_base: str | None, api_key: str | None, models: Sequence[str]) -> None:
        """Offers the Controller's address and key to a router that asks a model and was given none of its own.

        Args:
            api_base: The Controller's base URL, for all models.
            api_key: The Controller's key.
            models: The models of the rungs.
        """

    @abc.abstractmethod
    def choose(self, request: Request) -> Verdict | str:
        """The verdict on a request, or just the name of a rung.

        Args:
            request: The request: its messages, tools and labels.
        """

    async def achoose(self, request: Request) -> Verdict | str:
        """As `choose`, without blocking the event loop: in a thread unless overridden.

        Args:
            request: The request: its messages, tools and labels.
        """
        import asyncio

        return await asyncio.to_thread(self.choose, request)

    def choose_batch(
        self, prompts: Sequence[str], progress: Callable[[int], object] | None = None
    ) -> list[Verdict | str]:
        """Verdicts on many prompts; ``progress`` is called with the number newly done.

        Args:
            prompts: The texts to route, ``[n]``.
            progress: Called with the number newly done; None: nothing is called.
        """
        verdicts: list[Verdict | str] = []
        for prompt in checked_texts(prompts):
            verdicts.append(self.choose(Request(prompt)))
            if progress:
                progress(1)
        return verdicts

    def calculate_strong_win_rate(self, prompt: str) -> float:
        """Where the named rung stands between the cheapest, 0, and the dearest, 1; 0.5 where none is named.

        For code that knows win rates only. The names are those of three rungs: cheap, mid and expensive.

        Args:
            prompt: The text to route.
        """
        check_text(prompt)
        return place_of(self.choose(Request(prompt)))


def place_of(verdict: Verdict | str) -> float:
    """Where a verdict's rung stands among cheap, mid and expensive, 0..=1.

    Args:
        verdict: A verdict, or the name of a rung.
    """
    rung = verdict if isinstance(verdict, str) else verdict.rung
    return {"cheap": 0.0, "weak": 0.0, "expensive": 1.0, "strong": 1.0}.get(rung or "", 0.5)


_ROUTE = Router.route
_SCORING: dict[type, Any] = {}


def built_in(cls: R) -> R:
    """Remembers the scoring method a class of ours was written with, so that a patch on the class is noticed too.

    Args:
        cls: The class; it is returned.

    Returns:
        The class.
    """
    _SCORING[cls] = cls.calculate_strong_win_rate
    return cls


def scores_itself(router: Router, home: type[Router]) -> bool:
    """Whether ``router`` still scores with the method ``home`` was written with: not overridden, not patched.

    A built-in router takes its fast or asynchronous way only then, so replacing `calculate_strong_win_rate` on a class,
    a subclass or an instance is always honoured.
    """
    cls = type(router)
    return cls.calculate_strong_win_rate is _SCORING[home] and "calculate_strong_win_rate" not in vars(router)


def is_built_in(router: Any) -> bool:
    """Whether ``router`` is one of ours, of exactly that class, and scores with the method it was written with."""
    cls = cast("type[Router]", type(router))
    return cls in _SCORING and scores_itself(router, cls)


def is_built_in_class(cls: Any) -> bool:
    """The same of a class, before there is a router.

    Args:
        cls: Any class.
    """
    return cls in _SCORING and cls.calculate_strong_win_rate is _SCORING[cls]


def routes_by_itself(router: Any) -> bool:
    """Whether `route` is somebody else's: an override, a patch, or an object that is no `Router` at all.

    Args:
        router: Any router.
    """
    cls = cast("Any", type(router))
    return getattr(cls, "route", None) is not _ROUTE or "route" in getattr(router, "__dict__", ())


def check_text(prompt: object, row: int | None = None) -> None:
    """Raises `InvalidTypeError` unless ``prompt`` is a string; ``row`` tells where in a batch."""
    if not isinstance(prompt, str):
        where = "" if row is None else f" {row}"
        raise InvalidTypeError(f"prompt{where} is a string, found {prompt!r:.60} ({type(prompt).__name__})")


def checked_texts(prompts: Iterable[str]) -> list[str]:
    """``prompts`` as a list of strings; a single string and anything but strings are errors that say so.

    Raises:
        InvalidTypeError: ``prompts`` is a single string, or holds something else than strings.
    """
    if isinstance(prompts, (str, bytes)):
        raise InvalidTypeError("prompts is a list of strings; found a single string")
    if not hasattr(prompts, "__iter__"):
        raise InvalidTypeError(f"prompts is a list of strings; found {type(prompts).__name__}")
    texts = list(prompts)
    for row, text in enumerate(texts):
        check_text(text, row)
    return texts
