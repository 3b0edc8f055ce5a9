"""Outcomes of both models for the same prompts, from wherever they are known.

A prompt that stands in the logs many times is one piece of evidence, not many: its scores are averaged, and it counts
once. Else twenty prompts, each asked ten times, would pass for two hundred.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from ferroute.auditing._collect import hash_of
from ferroute.auditing._labels import Labels, read_labels
from ferroute.errors import InvalidTypeError, InvalidValueError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ferroute.auditing._choose import Pair
    from ferroute.auditing._collect import Collected

    Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Distinct prompts with scores of both models: equal lengths ``[n]``.

    Attributes:
        calls: Position of the first call with the prompt.
        strong: Scores of the strong model.
        weak: Scores of the cheaper model.
        lacking: What to say where there are none.
    """

    calls: NDArray[np.int64]
    strong: Numbers
    weak: Numbers
    lacking: str = "these logs hold no outcomes"


def read(rows: Collected, pair: Pair, given: Any) -> Outcomes:
    """The outcomes that are given, or else those in the logs.

    Args:
        rows: The calls.
        pair: The models.
        given: None; labels that were filled in, or their path; or scores of both models for each call, as a mapping
            with ``strong`` and ``weak`` or as two sequences ``[n]``, NaN or None where they are not known.

    Raises:
        InvalidTypeError: ``given`` is none of these.
        InvalidValueError: It has another length, or belongs to other logs.
    """
    import numpy as np

    strong: Numbers
    weak: Numbers
    if isinstance(given, Labels):
        strong, weak = _of_labels(rows, given, "these labels are")
    elif isinstance(given, (str, os.PathLike)):
        path = cast("str | os.PathLike[str]", given)
        strong, weak = _of_labels(rows, read_labels(path), f"{os.fspath(path)} has labels")
    elif given is not None:
        strong, weak = _of_columns(given, len(rows))
    else:
        strong, weak = np.array(rows.column("strong_score")), np.array(rows.column("weak_score"))
        for index, scores in rows.scored.items():
            strong[index], weak[index] = scores.get(pair.strong or "", np.nan), scores.get(pair.to, np.nan)
    known = np.isfinite(strong) & np.isfinite(weak) & np.isfinite(rows.column("win_rate"))
    if known.any():
        if pair.strong is not None:
            # A prompt that both models answered stands in the logs twice, and counts once.
            own = known & (rows.of_model() == rows.models.index(pair.strong))
            known = own if own.any() else known
        calls = np.flatnonzero(known)
        return _once_a_prompt(rows, calls, strong[calls], weak[calls])
    if given is not None:
        return Outcomes(np.empty(0, dtype=np.int64), np.empty(0), np.empty(0), "no score was given for both models")
    return _of_pairs(rows, pair)


def _once_a_prompt(rows: Collected, calls: NDArray[np.int64], strong: Numbers, weak: Numbers) -> Outcomes:
    import numpy as np

    texts = rows.of_text()[calls]
    # Where the text was not kept, calls of the same length and the same win rate are taken for the same prompt.
    lengths = np.nan_to_num(rows.column("prompt_tokens")[calls], nan=-1.0)
    blank = texts == 0
    keys = np.zeros((len(calls), 3))
    keys[:, 0] = np.unique(texts, return_inverse=True)[1]
    keys[blank, 1:] = np.stack([rows.column("win_rate")[calls], lengths], axis=1)[blank]
    _keys, starts, of = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    of = of.ravel()
    times = np.bincount(of)
    order = np.argsort(starts)
    means = [np.bincount(of, weights=each) / times for each in (strong, weak)]
    return Outcomes(calls[starts[order]], means[0][order], means[1][order])


def twins(rows: Collected, pair: Pair) -> list[tuple[list[int], list[int]]]:
    """Calls of both models with the same prompt: positions of the strong model's and of the cheaper one's."""
    if pair.strong is None or pair.to not in rows.models:
        return []
    codes = rows.models.index(pair.strong), rows.models.index(pair.to)
    found: dict[int, tuple[list[int], list[int]]] = {}
    for side, code in enumerate(codes):
        for index, same in _texts_of(rows, code):
            if side == 0:
                found.setdefault(same, ([], []))[0].append(index)
            elif same in found:
                found[same][1].append(index)
    return [both for both in found.values() if both[1]]


def _texts_of(rows: Collected, code: int) -> list[tuple[int, int]]:
    import numpy as np

    texts = rows.of_text()
    own = np.flatnonzero((rows.of_model() == code) & (texts != 0))
    return list(zip(own.tolist(), texts[own].tolist(), strict=True))


def _of_pairs(rows: Collected, pair: Pair) -> Outcomes:
    """Outcomes of prompts that both models answered, where each answer has a score."""
    import numpy as np

    score = rows.column("score")
    found: list[tuple[int, float, float]] = []
    for mine, theirs in twins(rows, pair):
        strong, weak = (score[each][np.isfinite(score[each])] for each in (mine, theirs))
        if len(strong) and len(weak):
            found.append((mine[0], float(strong.mean()), float(weak.mean())))
    if not found:
        scored = int(np.isfinite(score).sum())
        lacking = "these logs hold no outcomes"
        if scored:
            lacking = (
                f"{scored:,} calls have a score, but no prompt has one of both models: how the other model would have "
                "done is not known"
            )
        return Outcomes(np.empty(0, dtype=np.int64), np.empty(0), np.empty(0), lacking)
    calls, strong, weak = zip(*found, strict=True)
    return Outcomes(np.asarray(calls, dtype=np.int64), np.asarray(strong), np.asarray(weak))


def _of_labels(rows: Collected, labels: Labels, which: str) -> tuple[Numbers, Numbers]:
    import numpy as np

    texts = rows.of_text()
    strong, weak = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    for at, index in enumerate(labels.index):
        if not 0 <= index < len(rows) or texts[index] != hash_of(labels.prompts[at]):
            raise InvalidValueError(f"outcomes: {which} of other logs: call {index} here has another prompt")
        strong[index], weak[index] = labels.strong[at], labels.weak[at]
    return strong, weak


def _of_columns(given: Any, n: int) -> tuple[Numbers, Numbers]:
    import numpy as np

    if isinstance(given, Mapping):
        named = cast("Mapping[str, Any]", given)
        if not {"strong", "weak"} <= named.keys():
            raise InvalidValueError(f"outcomes: expected strong and weak, found {', '.join(map(str, named)) or 'none'}")
        given = named["strong"], named["weak"]
    if not isinstance(given, (tuple, list)) or len(cast("list[Any]", given)) != 2:
        raise InvalidTypeError(
            "outcomes: expected a file of labels, or scores of both models as a mapping with strong and weak, found "
            f"{type(cast('Any', given)).__name__}"
        )
    try:
        columns = [np.asarray(each, dtype=np.float64) for each in cast("list[Any]", given)]
    except (TypeError, ValueError) as error:
        raise InvalidTypeError(f"outcomes: expected numbers: {error}") from None
    for name, column in zip(("strong", "weak"), columns, strict=True):
        if column.shape != (n,):
            raise InvalidValueError(f"outcomes: {name}: expected a score for each of {n} calls, found {column.shape}")
        if np.isinf(column).any():
            raise InvalidValueError(f"outcomes: {name}: expected finite numbers, found infinity")
    return columns[0], columns[1]
