"""Ratings and tiers of models from battles, and the first home of ``OPENAI_CLIENT``.

pandas is imported when a function that takes or returns its objects is called, not before.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from ferroute import _core
from ferroute._openai_client import OPENAI_CLIENT
from ferroute.errors import InvalidTypeError, InvalidValueError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import ArrayLike

__all__ = ["OPENAI_CLIENT", "choices", "compute_elo_mle_with_tie", "compute_tiers", "preprocess_battles"]

choices = ["A", "B", "C", "D"]

SHORTEST_PROMPT = 16
"""Battles whose first turn has fewer code points, stripped, are left out."""

ANCHOR = ("llama-2-70b-chat", 1082)
"""The model whose rating anchors the others, where it is among them."""

WINNERS = ("model_a", "model_b", "tie")
_WINNER_CODES = {"model_a": 0, "model_b": 1, "tie": 2, "tie (bothbad)": 2}


def compute_elo_mle_with_tie(
    df: Any,
    SCALE: float = 400,  # noqa: N803 - RouteLLM's names
    BASE: float = 10,  # noqa: N803
    INIT_RATING: float = 1000,  # noqa: N803
    sample_weight: ArrayLike | None = None,
) -> Any:
    """Elo ratings by maximum likelihood, run to the optimum.

    The model is that of Bradley and Terry 1952, a tie being half a win for each; the function, its scale and the anchor
    are RouteLLM's, whose solver stops early, so that its ratings differ by up to about two points. A battle of a label
    with itself compares the label with zero instead, as RouteLLM's regression does. Where only differences are
    determined, the ratings have the mean ``INIT_RATING``; labels that never lost (or never won) stay finite through a
    penalty of 1e-6.

    Args:
        df: A pandas frame (or a mapping of columns) with ``model_a``, ``model_b`` and ``winner``, which is
            ``"model_a"``, ``"model_b"``, ``"tie"`` or ``"tie (bothbad)"``. Labels may be strings or numbers.
        SCALE: Points for a factor of ``BASE`` in the odds.
        BASE: See ``SCALE``.
        INIT_RATING: Rating of a coefficient of 0.
        sample_weight: Weight of each battle, ``[n]``, finite and not negative; None: all alike.

    Returns:
        A pandas Series: label -> rating, descending. With ``llama-2-70b-chat`` among the labels, all are shifted so
        that it has 1082.

    Raises:
        ValueError: An unknown winner, a missing label, or weights that are none.
    """
    import numpy as np
    import pandas as pd  # pyright: ignore[reportMissingTypeStubs]

    pandas: Any = pd  # its annotations are not complete
    if not BASE > 0 or BASE == 1:
        raise InvalidValueError(f"BASE: expected a positive number other than 1, found {BASE}")
    sides = [pandas.Series(np.asarray(df[name], dtype=object)) for name in ("model_a", "model_b")]
    codes, labels = pandas.factorize(pandas.concat(sides, ignore_index=True).infer_objects())
    if (codes < 0).any():
        row = int(np.argmax(codes < 0)) % max(len(sides[0]), 1)
        raise InvalidValueError(f"battle {row}: expected the names of two models, found a missing one")
    winners = np.asarray([_WINNER_CODES.get(winner, 255) for winner in df["winner"]], dtype=np.uint8)
    if (winners == 255).any():
        row = int(np.argmax(winners == 255))
        found = list(df["winner"])[row]
        raise InvalidValueError(f"battle {row}: expected a winner of {', '.join(_WINNER_CODES)}, found {found!r:.60}")
    weights = None if sample_weight is None else np.ascontiguousarray(sample_weight, dtype=np.float64)
    a, b = np.split(codes.astype(np.uint32), 2)
    ratings = SCALE * (_core.bradley_terry(a, b, winners, len(labels), weights) / math.log(BASE)) + INIT_RATING
    series = pandas.Series(ratings, index=pandas.Index(labels))
    if ANCHOR[0] in series.index:
        series += ANCHOR[1] - series[ANCHOR[0]]
    return series.sort_values(ascending=False, kind="stable")


def compute_tiers(model_ratings: Any, num_tiers: int) -> dict[Any, int]:
    """Cuts ratings into tiers, as RouteLLM does: runs of descending ratings with the smallest sum of their variances.

    Args:
        model_ratings: A pandas Series or a mapping, label -> rating.
        num_tiers: How many; with fewer labels, some tier numbers are not used.

    Returns:
        Label -> tier, from the best rating down; tier 0 is the best.

    Raises:
        InvalidValueError: A rating is not a finite number, or ``num_tiers`` is below 1.
        InvalidTypeError: ``model_ratings`` is of another kind.
    """
    given: Iterable[tuple[Any, Any]]
    if isinstance(model_ratings, Mapping):
        given = cast("Mapping[Any, Any]", model_ratings).items()
    elif hasattr(model_ratings, "items"):
        given = model_ratings.items()
    else:
        found = type(model_ratings).__name__
        raise InvalidTypeError(f"model_ratings is a pandas Series or a mapping from label to rating; found {found}")
    pairs = [(label, float(rating)) for label, rating in given]
    for label, rating in pairs:
        if not math.isfinite(rating):
            raise InvalidValueError(f"the rating of {label!r} is {rating}; expected a finite number")
    pairs.sort(key=lambda pair: -pair[1])
    tiers = _core.cut_tiers([rating for _, rating in pairs], num_tiers)
    return {label: tier for (label, _), tier in zip(pairs, tiers, strict=True)}


def preprocess_battles(battles_df: Any) -> Any:
    """Keeps the battles whose first turn, stripped, has at least 16 code points.

    Args:
        battles_df: A pandas frame with ``model_a``, ``model_b``, ``prompt`` (a JSON list of turns, or a list),
            ``winner_model_a``, ``winner_model_b``. The columns ``first_turn`` and ``winner`` are added to it.

    Returns:
        A frame with ``model_a``, ``model_b`` and ``winner`` of the battles that are kept, with their old index.

    Raises:
        InvalidValueError: A prompt is not a list that begins with a text; the row is named.
        UnknownNameError: A column is missing (also a `KeyError`).
    """
    import pandas as pd  # pyright: ignore[reportMissingTypeStubs]

    pandas: Any = pd
    for name in ("model_a", "model_b", "prompt", "winner_model_a", "winner_model_b"):
        if name not in battles_df:
            raise UnknownNameError(f"expected a column {name!r}; found {', '.join(map(str, battles_df.columns))}")
    first = [_first_turn(row, prompt) for row, prompt in enumerate(battles_df["prompt"])]
    # Objects, because a column of pandas' own strings cannot hold lone surrogates.
    battles_df["first_turn"] = pandas.Series(first, index=battles_df.index, dtype=object)
    won = zip(battles_df["winner_model_a"], battles_df["winner_model_b"], strict=True)
    winners = ["model_a" if a == 1 else "model_b" if b == 1 else "tie" for a, b in won]
    battles_df["winner"] = pandas.Series(winners, index=battles_df.index, dtype=object)
    kept = [len(turn) >= SHORTEST_PROMPT for turn in first]
    return battles_df.loc[kept, ["model_a", "model_b", "winner"]]


def _first_turn(row: int, prompt: Any) -> str:
    try:
        turns = json.loads(prompt) if isinstance(prompt, str) else prompt
        turn = turns[0] if not isinstance(turns, (str, Mapping)) else None
    except (ValueError, TypeError, IndexError, KeyError, RecursionError) as error:
        raise InvalidValueError(
            f"battle {row}: expected a JSON list of turns, found {prompt!r:.60} ({error})"
        ) from error
    if not isinstance(turn, str):
        raise InvalidValueError(f"battle {row}: expected a list that begins with a text, found {prompt!r:.60}")
    return turn.strip()
