"""What a router says, turned into which model answers: win rates, predicted scores, or plain choices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from ferroute.errors import InvalidTypeError, InvalidValueError, UnknownNameError
from ferroute.evals._figures import column

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ferroute.evals._given import Given

    Numbers = NDArray[np.float64]
    Choices = NDArray[np.int16]

ROWS_LOOKED_AT = 2000
"""Rows whose turning points a grid of exchange rates is read off."""


@dataclass
class Policy:
    """Which model answers each row at each setting of a router.

    Attributes:
        kind: ``"threshold"``, ``"exchange rate"`` or ``"choice"``: what a setting is.
        settings: Thresholds, or points of score that a dollar is worth, ``[k]``; NaN for plain choices.
        choices: Columns of the outcomes, ``[k, n]``.
    """

    kind: str
    settings: Numbers
    choices: Choices


def win_rates_of(name: str, scores: Any, given: Given) -> Numbers:
    """Win rates ``[n]`` of a router between two models, of the rows that are kept.

    Predicted scores become their difference: with what the models cost being the same for every row, the cheapest
    way to a mean score goes by the difference alone.
    """
    import numpy as np

    scores = _array(name, scores)
    names = _chosen(name, scores, given)
    if names is not None:
        return np.where(names == given.strong, 1.0, 0.0)
    if scores.ndim == 2:
        predicted = _predicted(name, scores, given)
        return np.ascontiguousarray(predicted[:, given.strong] - predicted[:, given.weak])
    return _length(name, column(f"win rates of {name}", scores), given)


def policy_of(name: str, scores: Any, given: Given, points: int) -> Policy:
    """The settings of a router among many models, dearest first, and what each chooses."""
    import numpy as np

    scores = _array(name, scores)
    names = _chosen(name, scores, given)
    if names is None and scores.ndim == 1 and scores.dtype.kind in "iu":
        found = _length(name, scores, given)
        if ((found < 0) | (found >= len(given.models))).any():
            raise InvalidValueError(
                f"{name}: expected columns 0 to {len(given.models) - 1}, found {int(found.min())} to {int(found.max())}"
            )
        names = found.astype(np.int16)
    if names is not None:
        return Policy("choice", np.array([np.nan]), names[None])
    if scores.ndim == 2:
        return _exchange(_predicted(name, scores, given), given, points)
    rates = _length(name, column(f"win rates of {name}", scores), given)
    _finite(name, rates)
    return thresholds(rates, given, points)


def thresholds(rates: Numbers, given: Given, points: int) -> Policy:
    """A router between the strong and the weak model, at quantiles of its win rates."""
    import numpy as np

    at = np.unique(np.quantile(rates, np.linspace(0, 1, points + 1)))
    at = np.append(at, np.inf)
    choices = np.where(rates >= at[:, None], given.strong, given.weak).astype(np.int16)
    return Policy("threshold", at, choices)


def oracle(given: Given, points: int) -> Policy:
    """What somebody would choose who knew every score and cost beforehand."""
    return _exchange(given.scores, given, points, each=True)


def _exchange(scores: Numbers, given: Given, points: int, each: bool = False) -> Policy:
    """The model with the most score left after its cost, at each exchange rate of score for dollars.

    A router does not know what an answer will cost, so costs are the models' means, unless ``each``. The rates are
    quantiles of those at which some row turns from one model to another, and 0 (cost is no matter) and infinity
    (nothing else matters).
    """
    import numpy as np

    if given.costs is None:
        return Policy("choice", np.array([np.nan]), scores.argmax(axis=1).astype(np.int16)[None])
    costs = given.costs if each else np.tile(given.costs.mean(axis=0), (len(scores), 1))
    step = max(len(scores) // ROWS_LOOKED_AT, 1)
    rates = np.concatenate([[0.0], _quantiles(_turns(scores[::step], costs[::step]), points - 1)])
    choices = np.empty((len(rates) + 1, len(scores)), dtype=np.int16)
    for k, rate in enumerate(rates):
        # Of equal models the cheaper: costs decide where scores do not.
        choices[k] = _first(scores - rate * costs, -costs)
    choices[-1] = _first(-costs, scores)
    return Policy("exchange rate", np.append(rates, np.inf), choices)


def _quantiles(values: Numbers, count: int) -> Numbers:
    """Different quantiles, rising."""
    import numpy as np

    if not values.size or count < 1:
        return np.array([])
    # Just beyond a turning point the choice has changed; on it, it is open.
    return np.unique(np.quantile(values, np.linspace(0, 1, count)) * (1 + 1e-9))


def _turns(scores: Numbers, costs: Numbers) -> Numbers:
    """Exchange rates at which a row turns from one model to the next cheaper one on its hull."""
    import numpy as np

    found: list[Numbers] = []
    rows = np.arange(len(scores))
    here: Any = _first(scores, -costs)
    for _ in range(scores.shape[1]):
        score, cost = scores[rows, here][:, None], costs[rows, here][:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            rate = np.where(costs < cost, (score - scores) / (cost - costs), np.inf)
        there = rate.argmin(axis=1)
        turn = rate[rows, there]
        moves = np.isfinite(turn)
        if not moves.any():
            break
        found.append(turn[moves])
        here = cast("Any", np).where(moves, there, here)
    return np.concatenate(found) if found else np.array([])


def _first(values: Numbers, then: Numbers) -> Any:
    """Column of the largest value of each row; of equal ones that with the largest ``then``."""
    import numpy as np

    best = values >= values.max(axis=1, keepdims=True)
    return np.where(best, then, -np.inf).argmax(axis=1)


def _array(name: str, scores: Any) -> Any:
    import numpy as np

    try:
        if np.ma.isMaskedArray(scores) or np.iscomplexobj(scores):
            raise TypeError
        found = np.asarray(scores)
    except (TypeError, ValueError):  # rows of different lengths among them
        raise InvalidTypeError(f"{name}: expected scores [n] or [n, m], found {type(scores).__name__}") from None
    if found.ndim not in {1, 2}:
        raise InvalidTypeError(f"{name}: expected scores [n] or [n, m], found {found.ndim} dimensions")
    return found


def _chosen(name: str, scores: Any, given: Given) -> Any:
    """Columns of the models a router names, or None where it does not name any."""
    import numpy as np

    if scores.dtype.kind not in "UO" or scores.ndim != 1 or not scores.size or not isinstance(scores[0], str):
        return None
    found = _length(name, scores, given)
    place = {model: at for at, model in enumerate(given.models)}
    unknown = next((model for model in found if model not in place), None)
    if unknown is not None:
        raise UnknownNameError(f"{name}: no model named {str(unknown)!r}; there are {', '.join(given.models)}")
    return np.array([place[model] for model in found], dtype=np.int16)


def _predicted(name: str, scores: Any, given: Given) -> Numbers:
    import numpy as np

    try:
        found = np.asarray(scores, dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidTypeError(f"{name}: expected numbers, found {type(scores).__name__}") from None
    if found.shape[1] != len(given.models):
        raise InvalidValueError(
            f"{name}: expected predicted scores of {len(given.models)} models, found {found.shape[1]} columns"
        )
    return _finite(name, _length(name, found, given))


def _length(name: str, found: Any, given: Given) -> Any:
    """The rows that are kept."""
    if len(found) != given.total:
        raise InvalidValueError(
            f"{name}: expected {given.total} scores, one for each row of outcomes, found {len(found)}"
        )
    return found if len(given.kept) == given.total else found[given.kept]


def _finite(name: str, values: Numbers) -> Numbers:
    import numpy as np

    bad = ~np.isfinite(values)
    if bad.any():
        at = tuple(int(i) for i in np.argwhere(bad)[0])
        raise InvalidValueError(f"{name}: expected finite scores, found {cast('Any', values)[at]} in row {at[0]}")
    return values
