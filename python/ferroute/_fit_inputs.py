"""What `ferroute.fit` is given, read strictly: prompts, outcomes or preferences, groups, costs, embeddings."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

from ferroute import _core
from ferroute.errors import InvalidTypeError, InvalidValueError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Numbers = NDArray[np.float64]

_WIDTH = 64
"""Numbers of the embedding in this package."""


def outcome_table(outcomes: Any, models: Sequence[str] | None, rows: int) -> tuple[Numbers, list[str]]:
    """Outcomes as float64 ``[n, m]`` with NaN where unknown, and the models' names.

    Raises:
        InvalidTypeError: They are not numbers.
        InvalidValueError: Their shape does not fit, names repeat, or a number is out of range (row and model are told).
        UnknownNameError: A table has no column of a model's name.
    """
    import numpy as np

    columns = _columns(outcomes)
    if models is None:
        if columns is None:
            raise InvalidTypeError("models: expected the models' names, in the order of the columns of outcomes")
        models = columns
    names = model_names(models)
    if columns is not None:
        # By name, whatever the order of the columns.
        missing = [name for name in names if name not in columns]
        if missing:
            raise UnknownNameError(f"outcomes: there is no column {missing[0]!r}; there are {', '.join(columns[:8])}")
    try:
        if columns is not None:
            outcomes = np.stack([np.asarray(outcomes[name], dtype=np.float64) for name in names], axis=1)
        table = np.array(outcomes, dtype=np.float64, order="C")
    except (TypeError, ValueError) as error:
        raise InvalidTypeError(
            f"outcomes: expected numbers [n, m] in 0..=1, NaN or None where unknown: {error}"
        ) from None
    if table.shape != (rows, len(names)):
        raise InvalidValueError(
            f"outcomes: expected [{rows}, {len(names)}], a row a prompt and a column a model, found {list(table.shape)}"
        )
    bad = ~(np.isnan(table) | ((table >= 0) & (table <= 1)))
    if bad.any():
        row, model = (int(place) for place in np.argwhere(bad)[0])
        raise InvalidValueError(
            f"outcomes: expected numbers in 0..=1, or NaN where unknown, found {table[row, model]} in row {row} of "
            f"{names[model]!r}: bring scores to that range first"
        )
    unknown = np.isnan(table).all(axis=0)
    if unknown.any():
        raise InvalidValueError(f"outcomes: nothing is known of {names[int(unknown.argmax())]!r}: every row is NaN")
    return table, names


def _columns(outcomes: Any) -> list[str] | None:
    """Names of a table's or a mapping's columns; None for arrays and lists."""
    found: Any = getattr(outcomes, "columns", None)
    if found is None and hasattr(outcomes, "keys"):
        found = outcomes.keys()
    return None if found is None else [str(name) for name in found]


def outcome_column(name: str, outcomes: ArrayLike, rows: int) -> Numbers:
    """One model's outcomes as float64 ``[n]``; errors as of `outcome_table`."""
    import numpy as np

    try:
        column = np.array(outcomes, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidTypeError(f"outcomes: expected numbers [n] in 0..=1: {error}") from None
    if column.shape != (rows,):
        raise InvalidValueError(f"outcomes: expected [{rows}], one a prompt, found {list(column.shape)}")
    bad = ~(np.isnan(column) | ((column >= 0) & (column <= 1)))
    if bad.any():
        row = int(bad.argmax())
        raise InvalidValueError(f"outcomes of {name!r}: expected numbers in 0..=1, found {column[row]} in row {row}")
    return column


def model_names(models: Sequence[str]) -> list[str]:
    """The names as a list of different strings, two at least."""
    if isinstance(models, (str, bytes)):
        raise InvalidTypeError(f"models: expected a list of names, found the string {models!r}")
    names = list(models)
    for name in names:
        if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidTypeError(f"models: expected names, found {name!r:.60}")
        if not name.strip():
            raise InvalidValueError(f"models: expected names, found the empty {name!r:.60}")
    if len(names) < 2 or len(set(names)) < len(names):
        raise InvalidValueError(f"models: expected at least 2 different names, found {names!r:.200}")
    return names


def from_preferences(
    prompts: list[str], preferences: Any, models: Sequence[str] | None
) -> tuple[list[str], Numbers, list[str], NDArray[np.int64]]:
    """Battles as outcomes: a row each, 1 for the winner, 0 for the loser, 0.5 for both in a tie, NaN for the others.

    Heads fitted on them are a Bradley-Terry model that is linear in the win rate: of two models the one is expected to
    win by half of what its score is ahead, above a half.

    Returns:
        The prompt of each battle, the outcomes ``[battles, m]``, the models' names, and each battle's place in
        ``prompts``.
    """
    import numpy as np

    names = None if models is None else model_names(models)
    battles: list[tuple[int, str, str, bool]] = []
    first: dict[str, int] = {}
    for place, prompt in enumerate(prompts):
        first.setdefault(prompt, place)
    if isinstance(preferences, (str, bytes)) or not hasattr(preferences, "__iter__"):
        raise InvalidTypeError(f"preferences: expected a list of (prompt, winner, loser), found {preferences!r:.60}")
    for row, battle in enumerate(preferences):
        if isinstance(battle, (str, bytes)) or not hasattr(battle, "__iter__"):
            raise InvalidTypeError(f"preferences: expected (prompt, winner, loser), found {battle!r:.60} in row {row}")
        parts = tuple(battle)
        if len(parts) not in (3, 4):
            raise InvalidValueError(
                "preferences: expected (prompt, winner, loser) or (prompt, a, b, 'tie'), "
                f"found {parts!r:.80} in row {row}"
            )
        place, winner, loser = (
            _place(parts[0], first, len(prompts), row),
            _model(parts[1], names),
            _model(parts[2], names),
        )
        if len(parts) == 4 and parts[3] not in ("tie", None, False, True):
            raise InvalidValueError(
                f"preferences: expected 'tie' as the fourth part, found {parts[3]!r:.40} in row {row}"
            )
        if winner == loser:
            raise InvalidValueError(f"preferences: {winner!r} meets itself in row {row}")
        battles.append((place, winner, loser, len(parts) == 4 and bool(parts[3])))
    if not battles:
        raise InvalidValueError("preferences: expected at least one, found none")
    if names is None:
        names = sorted({name for _, winner, loser, _ in battles for name in (winner, loser)})
    table = np.full((len(battles), len(names)), math.nan)
    for row, (_, winner, loser, tie) in enumerate(battles):
        table[row, names.index(winner)] = 0.5 if tie else 1.0
        table[row, names.index(loser)] = 0.5 if tie else 0.0
    places = np.array([place for place, *_ in battles])
    checked, names = outcome_table(table, names, len(battles))
    return [prompts[place] for place in places], checked, names, places


def _place(value: Any, first: Mapping[str, int], rows: int, row: int) -> int:
    import operator

    if isinstance(value, str):
        if value not in first:
            raise InvalidValueError(f"preferences: {value!r:.60} in row {row} is none of the prompts")
        return first[value]
    try:
        place = operator.index(value)
    except TypeError:
        raise InvalidTypeError(
            f"preferences: expected a prompt or its place, found {value!r:.40} in row {row}"
        ) from None
    if not 0 <= place < rows:
        raise InvalidValueError(f"preferences: expected a place in 0..{rows}, found {place} in row {row}")
    return place


def _model(value: Any, names: list[str] | None) -> str:
    import operator

    if isinstance(value, str):
        if names is not None and value not in names:
            raise UnknownNameError(f"preferences: {value!r} is none of the models {', '.join(names[:8])}")
        return value
    try:
        place = operator.index(value)
    except TypeError:
        raise InvalidTypeError(f"preferences: expected a model's name or place, found {value!r:.40}") from None
    if names is None or not 0 <= place < len(names):
        raise InvalidValueError(f"preferences: there is no model at place {place}")
    return names[place]


def units_of(prompts: list[str], groups: Any) -> tuple[NDArray[np.uint32], int | None]:
    """A number for each prompt, equal where prompts are to be held out together: equal texts, and those of a group.

    A prompt whose group is missing (None, NaN) is a group of its own.

    Returns:
        The numbers, uint32 ``[n]``, and how many groups were given.
    """
    import numpy as np

    parents = list(range(len(prompts)))

    def root(row: int) -> int:
        while parents[row] != row:
            parents[row] = parents[parents[row]]
            row = parents[row]
        return row

    def join(values: Sequence[Any]) -> int:
        first: dict[Any, int] = {}
        alone = 0
        for row, value in enumerate(values):
            if _missing(value):
                alone += 1
                continue
            other = first.setdefault(value, row)
            if other != row:
                parents[root(row)] = root(other)
        return len(first) + alone

    join(prompts)
    count = None
    if groups is not None:
        try:
            count = join(groups_of(groups, len(prompts)))
        except TypeError:
            raise InvalidTypeError("groups: expected numbers or texts, which tell groups apart") from None
    numbers: dict[int, int] = {}
    found = [numbers.setdefault(root(row), len(numbers)) for row in range(len(prompts))]
    return np.array(found, dtype=np.uint32), count


def groups_of(groups: Any, rows: int) -> list[Any]:
    """Groups as a list ``[n]``."""
    if isinstance(groups, (str, bytes)) or not hasattr(groups, "__iter__"):
        raise InvalidTypeError(f"groups: expected a group for each prompt, found {groups!r:.60}")
    found: list[Any] = groups.tolist() if hasattr(groups, "tolist") else list(groups)
    if len(found) != rows:
        raise InvalidValueError(f"groups: expected {rows}, one a prompt, found {len(found)}")
    return found


def _missing(value: Any) -> bool:
    """Whether a table says "nothing here": None, NaN, pandas' NA and NaT."""
    if value is None or type(value).__name__ in {"NAType", "NaTType"}:
        return True
    return isinstance(value, float) and math.isnan(value)


def costs_of(costs: Any, names: list[str], rows: int) -> Numbers | None:
    """Dollars of a call, float64 ``[m]`` or ``[n, m]``; NaN where the price is not known."""
    import numpy as np

    if costs is None:
        return None
    if hasattr(costs, "keys"):
        given = cast("Mapping[str, Any]", costs)
        strangers = [name for name in given if name not in names]
        if strangers:
            raise UnknownNameError(f"costs: {strangers[0]!r} is none of the models {', '.join(names[:8])}")
        costs = [given.get(name) for name in names]
    try:
        found = np.array(costs, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidTypeError(f"costs: expected dollars of a call, None where unknown: {error}") from None
    if found.shape not in ((len(names),), (rows, len(names))):
        raise InvalidValueError(f"costs: expected [{len(names)}] or [{rows}, {len(names)}], found {list(found.shape)}")
    if (np.isinf(found) | (found < 0)).any():
        raise InvalidValueError("costs: expected dollars of at least 0")
    return found


def pair_of(
    names: list[str], table: Numbers, costs: Numbers | None, strong: str | None, weak: str | None
) -> tuple[int, int]:
    """Places of the strong and the weak model.

    As named; else of two the first and the second, of more the one with the highest mean outcome and the cheapest of
    the others (the one with the lowest mean where costs are not known).
    """
    import numpy as np

    def place(what: str, name: str) -> int:
        if name not in names:
            raise UnknownNameError(f"{what}: {name!r} is none of the models {', '.join(names[:8])}")
        return names.index(name)

    means = np.nanmean(table, axis=0)
    first = None if strong is None else place("strong", strong)
    last = None if weak is None else place("weak", weak)
    if len(names) == 2:
        first = (1 - last if last is not None else 0) if first is None else first
        last = 1 - first if last is None else last
    if first is None:
        first = max((at for at in range(len(names)) if at != last), key=lambda at: float(means[at]))
    if last is None:
        others = [at for at in range(len(names)) if at != first]
        prices = None if costs is None else np.atleast_2d(costs).mean(axis=0)
        known = [at for at in others if prices is not None and not math.isnan(prices[at])]
        if prices is not None and known:
            last = min(known, key=lambda at: float(prices[at]))
        else:
            last = min(others, key=lambda at: float(means[at]))
    if first == last:
        raise InvalidValueError(f"strong and weak are both {names[first]!r}: expected two models")
    return first, last


def features_of(
    prompts: list[str], embeddings: NDArray[np.float32] | None = None
) -> tuple[NDArray[np.float32], Numbers]:
    """Raw features ``[n, d + lexical]`` and the logit of the embedded router's win rate, ``[n]``.

    The features are the embedding in this package, or the given one, then the lexical numbers.
    """
    import numpy as np

    features = _core.LocalModel.features(prompts)
    if embeddings is not None:
        features = np.concatenate([embeddings, features[:, _WIDTH:]], axis=1)
    rates = _core.LocalModel().win_rates(prompts)
    return np.ascontiguousarray(features, dtype=np.float32), np.log(rates / (1 - rates))
