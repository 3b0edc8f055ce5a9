"""What `ferroute.evals.compare` is given, in one shape: outcomes ``[n, m]`` of rows that every model answered."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from ferroute.errors import InvalidTypeError, InvalidValueError, UnknownNameError
from ferroute.evals.outcome_table import OutcomeTable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]


@dataclass
class Given:
    """Outcomes that routers can be judged on.

    Attributes:
        scores: ``[n, m]``, all known.
        costs: Dollars of a call, ``[n, m]``, all known; None: no dollars.
        models: Names, ``[m]``.
        strong: Column of the strong model.
        weak: Column of the weak model.
        prompts: ``[n]``, or None.
        kept: Rows of what was given, ``[n]``.
        total: How many rows were given.
        notes: What was left out or decided, in words.
    """

    scores: Numbers
    costs: Numbers | None
    models: list[str]
    strong: int
    weak: int
    prompts: list[str] | None
    kept: NDArray[np.intp]
    total: int
    notes: list[str] = field(default_factory=list[str])


def read(
    outcomes: Any,
    costs: Any,
    models: Sequence[str] | None,
    pair: tuple[str, str] | None,
    prompts: Sequence[str] | None,
) -> Given:
    """Reads outcomes ``[n, m]`` or an `OutcomeTable`; rows that some model did not answer are dropped and counted."""
    import numpy as np

    table = outcomes if isinstance(outcomes, OutcomeTable) else None
    if table is not None:
        table = table if models is None else table.filter(models)
        scores, names = table.scores, table.models
        costs = table.costs if costs is None else costs
        prompts = cast("Any", table.prompts) if prompts is None else prompts
    else:
        scores = _matrix(outcomes)
        # A frame brings the names of its columns.
        names = _names(getattr(outcomes, "columns", None) if models is None else models, scores.shape[1])
    if len(names) < 2:
        raise InvalidValueError(f"outcomes: expected two models or more, found {len(names)}")
    notes = list(table.notes) if table is not None else []
    complete = np.isfinite(scores).all(axis=1)
    kept = np.flatnonzero(complete)
    if not kept.size:
        raise InvalidValueError(
            f"outcomes: expected at least one row of scores of all {len(names)} models, found none in {len(scores):,} "
            "rows; models= takes fewer"
        )
    if kept.size < len(scores):
        notes.append(f"rows without a score of every model left out: {len(scores) - kept.size:,} of {len(scores):,}")
    dollars = _costs(costs, len(scores), names)
    if dollars is not None:
        dollars = dollars[kept]
        unknown = [
            name for name, column in zip(names, np.transpose(dollars), strict=True) if not np.isfinite(column).all()
        ]
        if unknown:
            notes.append(f"no dollars: the cost of {', '.join(unknown)} is not known in every row")
            dollars = None
    texts = None if prompts is None else list(prompts)
    if texts is not None and len(texts) != len(scores):
        raise InvalidValueError(f"prompts: expected {len(scores)}, one for each row of outcomes, found {len(texts)}")
    if texts is not None:
        texts = [texts[row] for row in kept]
        if not all(isinstance(text, str) for text in cast("list[Any]", texts)):
            texts = None
    made = Given(scores[kept], dollars, names, 0, 1, texts, kept, len(scores), notes)
    made.strong, made.weak = _pair(made, pair, ordered=table is None and len(names) == 2)
    return made


def is_column(outcomes: Any) -> bool:
    """Whether these are the scores of one model, ``[n]``."""
    import numpy as np

    if isinstance(outcomes, OutcomeTable):
        return False
    try:
        return np.ndim(outcomes) == 1
    except ValueError:  # rows of different lengths: `read` says so
        return False


def _matrix(outcomes: Any) -> Numbers:
    import numpy as np

    try:
        if np.ma.isMaskedArray(outcomes) or np.iscomplexobj(outcomes):
            raise TypeError
        found = np.array(outcomes, dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidTypeError(
            f"outcomes: expected an OutcomeTable or numbers [n, m], found {type(outcomes).__name__}"
        ) from None
    if found.ndim != 2:
        raise InvalidTypeError(f"outcomes: expected numbers [n, m], found {found.ndim} dimensions")
    bad = np.isinf(found)
    if bad.any():
        row, column = (int(i) for i in np.argwhere(bad)[0])
        raise InvalidValueError(f"outcomes: expected finite scores, found {found[row, column]} in row {row}")
    return found


def _names(models: Sequence[str] | None, count: int) -> list[str]:
    if models is None:
        return ["strong", "weak"] if count == 2 else [f"model {i}" for i in range(count)]
    names = [str(model) for model in models]
    if len(names) != count:
        raise InvalidValueError(f"models: expected {count}, one for each column of outcomes, found {len(names)}")
    if len(set(names)) < count:
        raise InvalidValueError(f"models: expected different names, found {', '.join(names)}")
    return names


def _costs(costs: Any, rows: int, names: list[str]) -> Numbers | None:
    """Costs ``[n, m]``, NaN where unknown."""
    import numpy as np

    if costs is None:
        return None
    if hasattr(costs, "keys"):
        given = cast("Mapping[str, Any]", costs)
        keys = ["strong", "weak"] if set(given) == {"strong", "weak"} and len(names) == 2 else names
        missing = [name for name in keys if name not in given]
        if missing:
            raise InvalidValueError(f"costs: expected a cost of {missing[0]!r}, found {sorted(map(str, given))}")
        costs = [given[name] for name in keys]
        if any(np.ndim(one) for one in costs):
            costs = tuple(costs)
    try:
        if isinstance(costs, (str, bytes)):
            raise TypeError
        # A tuple of columns, as `score_router` takes it; anything else with two dimensions is [n, m].
        columns = isinstance(costs, tuple) and any(np.ndim(one) for one in cast("tuple[Any, ...]", costs))
        if columns:
            found = np.stack(
                [np.broadcast_to(np.array(one, dtype=np.float64), (rows,)) for one in cast("tuple[Any, ...]", costs)],
                axis=1,
            )
        else:
            found = np.array(costs, dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidTypeError(
            f"costs: expected dollars a call, ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''}) or [n, m], "
            f"found {costs!r:.60}"
        ) from None
    if found.ndim == 1 and found.size == len(names):
        found = np.tile(found, (rows, 1))
    if found.shape != (rows, len(names)):
        raise InvalidValueError(
            f"costs: expected a number for each model, [{len(names)}] or [{rows}, {len(names)}], found "
            f"{list(found.shape)}"
        )
    if (found < 0).any() or np.isinf(found).any():
        row, column = (int(i) for i in np.argwhere((found < 0) | np.isinf(found))[0])
        raise InvalidValueError(f"costs: expected dollars from 0 on, found {found[row, column]} in row {row}")
    return found


def _pair(given: Given, pair: tuple[str, str] | None, ordered: bool) -> tuple[int, int]:
    """Columns of the strong and the weak model.

    Where nobody says: of two columns of an array the first is strong; else the best mean score is, and the cheapest
    other model is weak (where costs are unknown the one with the lowest score).
    """
    names = given.models
    if pair is not None:
        two = tuple(pair)
        if isinstance(pair, str) or len(two) != 2 or two[0] == two[1]:
            raise InvalidValueError(f"pair: expected the names of the strong and the weak model, found {pair!r:.80}")
        for name in two:
            if name not in names:
                raise UnknownNameError(f"pair: no model named {name!r}; there are {', '.join(names)}")
        return names.index(two[0]), names.index(two[1])
    if ordered:
        return 0, 1
    means = given.scores.mean(axis=0)
    strong = int(means.argmax())
    ranks = (means if given.costs is None else given.costs.mean(axis=0)).copy()
    ranks[strong] = float("inf")
    weak = int(ranks.argmin())
    if len(names) == 2:
        given.notes.append(f"strong: {names[strong]}, weak: {names[weak]} (by mean score)")
    return strong, weak
