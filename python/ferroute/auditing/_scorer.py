"""The router that an audit asks for win rates. It may not ask anybody else: nothing leaves the machine."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from ferroute.errors import InvalidTypeError, InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

_ASKING = ("mf", "sw_ranking", "llm_classifier", "causal_llm")
"""Routers that send the prompt to somebody."""


class Scorer(NamedTuple):
    """A router that an audit asks.

    Attributes:
        name: Its name.
        score: Texts -> their win rates, float64 ``[n]``.
        thirds: Two win rates, 0..=1, that part ordinary prompts into thirds; None where they are not known.
    """

    name: str
    score: Callable[[list[str]], NDArray[np.float64]]
    thirds: tuple[float, float] | None


def scorer_of(router: Any) -> Scorer:
    """The scorer that ``router`` means: a name, a fitted router or its file, or any router object.

    Raises:
        InvalidValueError: It would send prompts away.
        InvalidTypeError: It is no router.
    """
    if router == "local":
        from ferroute import _core

        model = _core.LocalModel()
        quantiles = model.quantiles
        return Scorer("local", model.win_rates, (quantiles[len(quantiles) // 3], quantiles[2 * len(quantiles) // 3]))
    if isinstance(router, str) and router in _ASKING:
        raise InvalidValueError(
            f"router: {router} sends prompts to a model or an embedder, and an audit sends nothing anywhere; "
            "expected local, a fitted router, or a router object of your own"
        )
    name: str | None = router if isinstance(router, str) else None
    if isinstance(router, os.PathLike) or (name is not None and name.endswith(".safetensors")):
        file = os.fspath(cast("str | os.PathLike[str]", router))
        router, name = _loaded(file), os.path.basename(file)  # noqa: PTH119 - a path as it is given
    elif name is not None:
        from ferroute.controller import build_router

        try:
            router = build_router(name, None)
        except TypeError as error:
            raise InvalidValueError(
                f"router: {name} needs arguments of its own ({error}); expected the router object"
            ) from error
    return Scorer(name or str(router), _scoring(router), None)


def _loaded(path: str) -> Any:
    from ferroute.fitting import load_router

    return load_router(path)


def _scoring(router: Any) -> Callable[[list[str]], Any]:
    own = getattr(router, "win_rates", None)
    if callable(own):
        return _numbers(own)
    if hasattr(router, "calculate_strong_win_rate"):
        from ferroute._batch import score_texts

        return lambda texts: score_texts(router, texts, lambda _done: None)
    if callable(router):
        return _numbers(router)
    raise InvalidTypeError(
        f"router: expected a name, a router or a function from texts to win rates, found {type(router).__name__}"
    )


def _numbers(score: Callable[..., Any]) -> Callable[[list[str]], Any]:
    def scored(texts: list[str]) -> Any:
        from ferroute.thresholds import checked_scores

        rates = checked_scores(score(texts), "router")
        if len(rates) != len(texts):
            raise InvalidValueError(f"router: expected {len(texts)} win rates, found {len(rates)}")
        return rates

    return scored
