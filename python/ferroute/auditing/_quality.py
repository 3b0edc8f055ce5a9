"""What outcomes say about quality: whether the router's choice of calls beats a choice by lot.

Moving calls by lot saves, too, and loses quality in proportion. A router earns its place only where the calls it moves
lose less. Both are compared over all shares, once at equal numbers of moved calls and once at equal dollars saved; only
where both are above zero for certain is a saving called provable.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

NOT_PROVEN = "quality: not yet proven"
NO_SAVING = "no saving provable"
BETTER = "better than random mixing"

FEWEST = 50
"""Distinct prompts with outcomes of both models below which nothing is called proven."""
_DRAWS = 1000


@dataclass(frozen=True)
class Quality:
    """Quality where both models' outcomes are known for the same prompts.

    Attributes:
        n: Distinct prompts with outcomes of both.
        strong: The strong model's mean score on them; None without any.
        weak: The cheaper model's.
        gain: Mean score that the router keeps against moving as many calls by lot, averaged over all shares; in units
            of the scores.
        gain_interval: Its interval, by the percentiles of a bootstrap of the prompts (Efron and Tibshirani 1993,
            chapter 13).
        gain_at_equal_saving: The same against moving by lot until as many dollars are saved, on the prompts whose
            saving is known; None where those are fewer than 50 or than half.
        gain_at_equal_saving_interval: Its interval.
        confidence: That of the intervals.
        verdict: One of ``"quality: not yet proven"``, ``"no saving provable"``, ``"better than random mixing"``.
        why: The reason in words.
    """

    n: int = 0
    strong: float | None = None
    weak: float | None = None
    gain: float | None = None
    gain_interval: tuple[float, float] | None = None
    gain_at_equal_saving: float | None = None
    gain_at_equal_saving_interval: tuple[float, float] | None = None
    confidence: float = 0.95
    verdict: str = NOT_PROVEN
    why: str = "these logs hold no outcomes"


def judge(
    win_rates: Numbers, strong: Numbers, weak: Numbers, saved: Numbers, *, confidence: float, seed: int, lacking: str
) -> Quality:
    """Holds the router against chance on prompts whose outcomes are known.

    Args:
        win_rates: The router's ``[n]``.
        strong: Scores of the strong model ``[n]``.
        weak: Scores of the cheaper model ``[n]``.
        saved: US dollars that moving each call saves ``[n]``; NaN where that is not known.
        confidence: Of the intervals.
        seed: The same seed gives the same draws.
        lacking: What to say where there are no outcomes.
    """
    import numpy as np

    n = len(win_rates)
    if not n:
        return Quality(confidence=confidence, why=lacking)
    means = float(strong.mean()), float(weak.mean())
    if n < FEWEST:
        why = f"outcomes of both models are known for {n:,} prompts, and fewer than {FEWEST} say nothing"
        return Quality(n, *means, confidence=confidence, why=why)
    gain, interval = _gain(win_rates, strong - weak, None, confidence, seed)
    known = np.isfinite(saved)
    enough = known.sum() >= max(FEWEST, n / 2)
    at_saving: tuple[float, tuple[float, float]] | None = None
    if enough:
        at_saving = _gain(win_rates[known], (strong - weak)[known], saved[known], confidence, seed)
    better = interval[0] > 0 and at_saving is not None and at_saving[1][0] > 0
    # One number for a percentage of the draws can be a matter of luck where the scores hardly vary at all.
    better = better and bool((strong - weak).std() > 0)
    percent = f"{confidence:.0%}"
    if better:
        why = (
            f"on {n:,} prompts with outcomes of both models the router's choice keeps more quality than one by lot, at "
            f"{percent} confidence; how much quality a threshold keeps is for a certificate to say"
        )
    elif at_saving is None:
        why = (
            f"what moving saves is known for {int(known.sum()):,} of the {n:,} prompts with outcomes of both models: "
            "too few to hold the router's choice against one by lot at equal dollars"
        )
    else:
        why = (
            f"on {n:,} prompts with outcomes of both models the router's choice is not better for certain than one by "
            f"lot at equal quality ({percent} confidence)"
        )
    return Quality(
        n,
        *means,
        gain=gain,
        gain_interval=interval,
        gain_at_equal_saving=None if at_saving is None else at_saving[0],
        gain_at_equal_saving_interval=None if at_saving is None else at_saving[1],
        confidence=confidence,
        verdict=BETTER if better else NO_SAVING,
        why=why,
    )


def _gain(
    win_rates: Numbers, lost: Numbers, saved: Numbers | None, confidence: float, seed: int
) -> tuple[float, tuple[float, float]]:
    """Mean score kept against chance with its interval: at equal calls, or with ``saved`` at equal dollars."""
    import numpy as np

    n, which = len(lost), 0 if saved is None else 1
    columns = np.stack([np.ones(n), lost, np.ones(n) if saved is None else saved], axis=1)
    order = np.argsort(win_rates, kind="stable")
    _values, starts = np.unique(win_rates[order], return_index=True)
    observed = _gains(np.ones((1, n)), columns[order], starts)[0, which]
    draws = _drawn(columns[order], starts, seed)[:, which]
    alpha = (1 - confidence) / 2
    low, high = np.quantile(draws, [alpha, 1 - alpha])
    return float(observed), (float(low), float(high))


def _drawn(columns: Numbers, starts: Any, seed: int) -> Numbers:
    """Gains of resampled prompts, ``[draws, 2]``."""
    import numpy as np

    n, random = len(columns), np.random.default_rng(seed)
    step = max(1, min(_DRAWS, 300_000 // n))
    made: list[Numbers] = []
    for first in range(0, _DRAWS, step):
        size = min(step, _DRAWS - first)
        rows: Any = random.integers(0, n, (size, n)) + np.arange(size)[:, None] * n
        counts = np.reshape(np.bincount(rows.ravel(), minlength=size * n), (size, n))
        made.append(_gains(counts.astype(np.float64), columns, starts))
    return np.concatenate(made)


def _gains(counts: Numbers, columns: Numbers, starts: Any) -> Numbers:
    """Mean score kept against chance, at equal calls and at equal savings, ``[draws, 2]``.

    Args:
        counts: How often each prompt was drawn, ``[draws, n]``.
        columns: Calls, lost score and saved dollars of each prompt, by rising win rate, ``[n, 3]``.
        starts: Where each distinct win rate begins. Within one the order is chance, which its middle stands for.
    """
    import numpy as np

    calls, lost, saved = (
        np.add.reduceat(counts * column, starts, axis=1) / len(columns) for column in np.transpose(columns)
    )
    share, lost_so_far, saved_so_far = (each.cumsum(axis=1) - each / 2 for each in (calls, lost, saved))
    all_lost, all_saved = lost.sum(axis=1, keepdims=True), saved.sum(axis=1, keepdims=True)
    at_equal_calls: Numbers = (calls * (share * all_lost - lost_so_far)).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        at_equal_saving: Numbers = (calls * (saved_so_far / all_saved * all_lost - lost_so_far)).sum(axis=1)
    # Where moving everything saves nothing, no way of moving is worth it.
    worthless = all_saved[:, 0] <= 0
    return np.stack([at_equal_calls, np.where(worthless, -np.abs(at_equal_calls), at_equal_saving)], axis=1)
