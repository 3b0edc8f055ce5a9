"""The rungs of a Controller, and what may stand in the place of one threshold where there are more than two."""

from __future__ import annotations

import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any, cast

from ferroute import _core
from ferroute._refusals import ThresholdType
from ferroute._wanted import Held, Share, Shares
from ferroute.endpoints import endpoint
from ferroute.errors import InvalidTypeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ferroute._wanted import ModelPair


class Rungs:
    """The rungs as they are when a decision is made; never changed.

    Attributes:
        core: Names and models, and the choice among them.
        models: The models, weakest first, with their settings.
        names: Their names; ``("weak", "strong")`` for a pair.
        plain: Whether it is RouteLLM's pair, which has no tiers.
    """

    __slots__ = ("core", "models", "names", "plain")

    def __init__(self, pair: ModelPair, tiers: Sequence[tuple[str, Any]]) -> None:
        self.plain = not tiers
        if self.plain:
            self.models: tuple[Any, ...] = (pair.weak, pair.strong)
            self.core = _core.Ladder.pair(str(pair.weak), str(pair.strong))
        else:
            self.models = (pair.weak, *(model for _, model in tiers[1:-1]), pair.strong)
            named = zip(tiers, self.models, strict=True)
            self.core = _core.Ladder([(name, str(model)) for (name, _), model in named])
        self.names: tuple[str, ...] = tuple(self.core.names)

    @property
    def top(self) -> int:
        """Place of the strongest rung."""
        return len(self.models) - 1

    def place_of(self, model: Any) -> int | None:
        """The rung that a model is of: that very one, else one of the same name; None if it is of none."""
        models = self.models
        for index in range(len(models) - 1, -1, -1):
            if models[index] is model:
                return index
        if getattr(model, "settings", None):
            return None
        return next((index for index in range(len(models) - 1, -1, -1) if models[index] == model), None)

    def tier(self, index: int | None) -> str | None:
        """What a decision calls a rung; None for RouteLLM's pair."""
        return None if index is None or self.plain else self.names[index]

    def side(self, index: int) -> str:
        """What a sentence calls a rung."""
        return f"the {self.names[index]} model" if self.plain else self.names[index]


def tiers_of(given: Any, strong_model: Any, weak_model: Any) -> tuple[tuple[str, Any], ...]:
    """The rungs of a Controller's argument ``tiers``, weakest first: names and models. None where it has two models.

    Args:
        given: A mapping from names to models, or a sequence of such pairs; or None.
        strong_model: That argument, which goes with None alone, and so does the next.
        weak_model: See there.

    Raises:
        InvalidTypeError: It is neither, or a name or model is none; or both kinds of arguments are given, or neither.
        InvalidValueError: There are fewer than two, a name comes twice, or the known ones stand in the wrong order.
    """
    if given is None:
        missing = [
            name for name, model in (("strong_model", strong_model), ("weak_model", weak_model)) if model is None
        ]
        if missing:
            raise InvalidTypeError(
                f"Controller() needs strong_model and weak_model, or tiers; no {missing[0]} is given"
            )
        return ()
    if strong_model is not None or weak_model is not None:
        raise InvalidTypeError("Controller() takes tiers, or strong_model and weak_model; found both")
    wanted = "tiers maps names to models, weakest first, such as {'cheap': 'gpt-5.4-mini', 'expensive': 'gpt-5.5'}"
    if isinstance(given, Mapping):
        pairs: list[Any] = list(cast("Mapping[Any, Any]", given).items())
    elif isinstance(given, (str, bytes)) or not hasattr(given, "__iter__"):
        raise InvalidTypeError(f"{wanted}; found {type(given).__name__}")
    else:
        pairs = list(given)
    rungs: list[tuple[str, Any]] = []
    for pair in pairs:
        if isinstance(pair, (str, bytes)) or not hasattr(pair, "__len__") or len(pair) != 2:
            raise InvalidTypeError(f"{wanted}; found an entry that is no pair of name and model: {pair!r:.60}")
        name, model = pair
        if not isinstance(name, str):
            raise InvalidTypeError(f"{wanted}; found the name {name!r:.60}")
        rungs.append((name, endpoint(model, f"tiers[{name!r:.60}]")))
    _core.Ladder([(name, str(model)) for name, model in rungs])
    return tuple(rungs)


def cuts_of(threshold: Any, rungs: int) -> Any:
    """A threshold as it is given: a single one as it is, several as a tuple of floats or as `Shares`.

    Raises:
        ThresholdType: It is no number and no sequence of numbers, or thresholds and shares are mixed.
    """
    if threshold is None or isinstance(threshold, (float, int, str)):
        return threshold
    if issubclass(type(threshold), _NO_STEPS):
        raise ThresholdType(
            "A threshold is a number between 0.0 and 1.0, or a list with one for each step, weakest first; found "
            f"{threshold!r:.60} ({type(threshold).__name__})."
        )
    try:
        cuts: tuple[Any, ...] = tuple(threshold)
    except TypeError:
        if hasattr(threshold, "__float__") or hasattr(threshold, "__index__"):
            return threshold
        raise ThresholdType(
            f"A threshold is a number between 0.0 and 1.0, found {threshold!r:.60} ({type(threshold).__name__})."
        ) from None
    shares = isinstance(threshold, Shares) or (bool(cuts) and isinstance(cuts[0], Share))
    if len(cuts) == 1 and rungs == 2:
        return Share(cuts[0]) if shares else cuts[0]
    if not isinstance(threshold, Shares) and any(isinstance(cut, Share) is not shares for cut in cuts):
        raise ThresholdType(f"Thresholds and shares cannot be mixed, found {list(cuts)!r:.120}.")
    try:
        if any(isinstance(cut, (str, bytes, complex)) for cut in cuts):
            raise TypeError
        numbers = [_float_of(cut) for cut in cuts]
    except (TypeError, ValueError):
        raise ThresholdType(f"Thresholds are numbers between 0.0 and 1.0, found {list(cuts)!r:.120}.") from None
    return Shares(*numbers) if shares else tuple(numbers)


# What has no order, or is no row of numbers though it can be taken for one.
_NO_STEPS = (bytes, bytearray, memoryview, complex, AbstractSet, Mapping)


def _float_of(cut: Any) -> float:
    try:
        return float(cut)
    except OverflowError:  # an integer beyond every float
        return math.inf if cut > 0 else -math.inf


def model_string(router: str, threshold: Any) -> str:
    """The model string of a router and what was given with it: ``router-local-0.3,0.7``."""
    if threshold is None or type(threshold) is Held:
        return f"router-{router}"
    if type(threshold) is tuple:
        return f"router-{router}-{','.join(map(str, cast('tuple[float, ...]', threshold)))}"
    return f"router-{router}-{threshold}"
