"""Bands that hold everywhere at once: the largest deviation in standard errors decides (max-t bootstrap).

A band for each point alone holds at that point in 95 % of samples, and at all of them together far less often. Here the
width is that of the largest studentised deviation over all points (and curves), resample by resample: Romano and Wolf,
"Exact and Approximate Stepdown Methods for Multiple Hypothesis Testing", JASA 100 (2005); Montiel Olea and
Plagborg-Moller, "Simultaneous confidence bands", J. Applied Econometrics 34 (2019).
"""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]


def bands(
    values: Sequence[Numbers], draws: Sequence[Numbers], confidence: float, rows: int, least: float = 0.0
) -> list[Numbers]:
    """Bands for several curves that hold together.

    Args:
        values: For each curve its points, ``[k]``.
        draws: For each curve its resamples, ``[b, k]``, all from the same draws.
        confidence: That every point of every curve lies inside.
        rows: Prompts behind the points: with few of them a standard error is itself uncertain.
        least: What one row can move a mean by; it is added to the standard errors (in squares). Where nearly all rows
            came out alike, resamples differ less than samples do: of 100 right answers in 100 all resamples are
            right, though the model may fail three times in a hundred (the rule of three). Elsewhere it hardly shows.

    Returns:
        For each curve the ends, ``[k, 2]``. A point that is not known in nine resamples of ten (NaN) has none.
    """
    import numpy as np

    errors: list[Numbers] = []
    worst = np.zeros(len(draws[0]) if draws else 0)
    for value, draw in zip(values, draws, strict=True):
        known = np.isfinite(draw)
        enough = known.sum(axis=0) >= max(0.9 * len(draw), 2)
        kept = np.where(known & enough, draw, 0.0)
        count = np.maximum((known & enough).sum(axis=0), 1)
        mean = kept.sum(axis=0) / count
        squares = np.where(known & enough, (kept - mean) ** 2, 0.0).sum(axis=0)
        error = np.sqrt(squares / np.maximum(count - 1, 1))
        error[error <= 1e-12 * (1 + np.abs(mean))] = 0.0
        moved = known & enough & (error > 0) & np.isfinite(value)
        with np.errstate(divide="ignore", invalid="ignore"):
            far = np.where(moved, np.abs(draw - value) / error, 0.0)
        worst = np.maximum(worst, far.max(axis=1, initial=0.0))
        error[~enough | ~np.isfinite(value)] = np.nan
        errors.append(np.hypot(error, least))
    # Never narrower than one point alone, also where there is little to draw from.
    times = NormalDist().inv_cdf((1 + confidence) / 2)
    times = max(times, float(np.quantile(worst, confidence))) if worst.size else times
    times *= _small_sample(times, rows)
    return [np.stack([v - times * e, v + times * e], axis=1) for v, e in zip(values, errors, strict=True)]


def _small_sample(times: float, rows: int) -> float:
    """How much wider Student's quantile is than a normal one, to first order, and the bias of a resample's variance.

    The first factor is the leading term of the expansion of Cornish and Fisher.
    """
    free = max(rows - 1, 1)
    return (1 + (times**2 + 1) / (4 * free)) * (max(rows, 2) / free) ** 0.5


def nearest_points(along: Numbers, at: Numbers) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """For each place ``at`` ``[m]`` the nearest point of each curve ``[b, k]`` (NaN: no point): indices ``[b, m]``."""
    import numpy as np

    found = np.empty((len(along), len(at)), dtype=np.intp)
    for row, places in enumerate(along):
        order = np.argsort(places, kind="stable")  # NaN last
        rising = places[order[: int(np.isfinite(places).sum())]]
        after = np.searchsorted(rising, at).clip(max=len(rising) - 1)
        before = (after - 1).clip(min=0)
        found[row] = order[np.where(at - rising[before] < rising[after] - at, before, after)]
    return np.arange(len(along))[:, None], found


def repeated(row: Numbers, times: int) -> Numbers:
    """One curve ``[1, k]`` as many ``[b, k]``."""
    import numpy as np

    return np.tile(row, (times, 1))
