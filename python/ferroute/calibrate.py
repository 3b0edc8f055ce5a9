"""Thresholds from scores: which one keeps a share of strong calls, a budget or a quality, and how sure that is.

- `share`: the highest share of the scores goes to the strong model, with an exact interval.
- `budget`: the best quality whose mean cost is at most so much, with a bound.
- `guarantee`: the highest threshold whose loss of quality is at most so much, with a bound: a `Certificate`.
- `calibrate`: a table of scores, from which thresholds for any share come.

Higher threshold = fewer strong calls. A threshold means a share only on traffic like the one it was read off.

Example:
    >>> found = threshold_for_share([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0], 0.3)
    >>> round(found.threshold, 3), found.share
    (0.73, 0.3)
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ferroute import _tables
from ferroute._affording import Budget, afforded
from ferroute._certificate import Certificate
from ferroute._guaranteeing import certificate
from ferroute.errors import InvalidTypeError
from ferroute.thresholds import CalibrationTable, Threshold, make_table, threshold_for_share

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from numpy.typing import ArrayLike

__all__ = [
    "Budget",
    "CalibrationTable",
    "Certificate",
    "Threshold",
    "budget",
    "calibrate",
    "guarantee",
    "share",
    "threshold_for_share",
]


def share(win_rates: ArrayLike, share: float, confidence: float = 0.95) -> Threshold:
    """The threshold at which ``share`` of the calls go to the strong model, with the exact interval of that share.

    `threshold_for_share` by its short name.

    Args:
        win_rates: Scores of the traffic, ``[n]``, each in 0..=1.
        share: Wanted share of strong calls, 0..=1.
        confidence: Of the interval, in 0..1.

    Raises:
        InvalidValueError: As for `threshold_for_share`.
        InvalidTypeError: The scores are not numbers.

    Example:
        >>> found = share([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0], 0.3)
        >>> found.share, tuple(round(end, 3) for end in found.interval)
        (0.3, (0.067, 0.652))
    """
    return threshold_for_share(win_rates, share, confidence)


def budget(
    win_rates: ArrayLike,
    strong_scores: ArrayLike,
    weak_scores: ArrayLike,
    strong_costs: Any,
    weak_costs: Any,
    max_mean_cost: Decimal | float,
    confidence: float = 0.95,
    *,
    max_cost: Decimal | float | None = None,
    seed: int = 0,
) -> Budget:
    """The threshold of the best quality among those whose mean cost of a call is provably at most ``max_mean_cost``.

    Thresholds are tested from the cheapest, all calls weak, downward until one cannot be shown to keep the budget
    (fixed-sequence testing as in `guarantee`, Angelopoulos et al. 2021, arXiv:2110.01052, with its betting bound of a
    mean, Waudby-Smith and Ramdas 2024, arXiv:2010.09686). All that passed keep it together with probability
    ``confidence``, so the one with the best mean score may be taken. Where the weak model is the dearer one testing
    begins with all calls strong: at once where both costs are one number, else after the other end has failed, with a
    tenth of what may go wrong, which is always kept for it.

    Args:
        win_rates: The router's scores, ``[n]``, each in 0..=1.
        strong_scores: Quality when the strong model answers, ``[n]``, each in 0..=1.
        weak_scores: Quality when the weak model answers, ``[n]``.
        strong_costs: Dollars of a call to the strong model: one number, or one a row ``[n]``; floats or Decimals.
        weak_costs: Dollars of a call to the weak model.
        max_mean_cost: The budget, dollars a call.
        confidence: With which probability the true mean cost keeps it, from 0.5 to below 1.
        max_cost: Dollars that no call costs more than. A bound of a mean needs it: one dear call among a million can
            move the mean. None: the dearest of these calls, and a note says so.
        seed: Of the order in which the costs are bet on; choose it before you look.

    Returns:
        The threshold, with the mean cost and score it has on these prompts. It can be saved and loaded.

    Raises:
        InvalidValueError: A number is out of range or unknown (the message names the row), or lengths differ.
        InvalidTypeError: Something is no number.

    Example:
        >>> found = budget([0.2, 0.8] * 500, [1, 1] * 500, [1, 0] * 500, 0.01, 0.001, max_mean_cost=0.006)
        >>> found.threshold, found.certified, found.score
        (0.8, True, 1.0)
    """
    return afforded(
        win_rates, strong_scores, weak_scores, strong_costs, weak_costs, max_mean_cost, confidence, max_cost, seed
    )


def guarantee(
    win_rates: ArrayLike,
    strong_scores: ArrayLike,
    weak_scores: ArrayLike,
    max_quality_loss: float = 0.05,
    confidence: float = 0.95,
    *,
    risk: str = "net",
    traffic: ArrayLike | None = None,
    judge: str | None = None,
    gold: Any = None,
    ceiling: float | None = None,
    seed: int = 0,
) -> Certificate:
    """The highest threshold at which quality provably falls by at most ``max_quality_loss``.

    With probability ``confidence`` over the draw of the labelled prompts, the true loss at the threshold is within the
    bound. That holds at every number of labels and for every distribution of scores in 0..=1; what it assumes is that
    the labelled prompts are a random sample of the traffic. Nothing certified means always strong: the threshold 0.

    Thresholds are tested from the safest upward, each at the whole level, until one fails (fixed-sequence
    Learn-then-Test, Angelopoulos et al. 2021, arXiv:2110.01052). The sequence is every number from 0 on, so it depends
    neither on the labels nor on how these prompts' scores lie; between two scores the test does not change.

    Args:
        win_rates: The router's scores of the labelled prompts, ``[n]``, each in 0..=1. The router must not have been
            fitted on these labels.
        strong_scores: Quality when the strong model answers, ``[n]``, each in 0..=1 (booleans are fine).
        weak_scores: Quality when the weak model answers, ``[n]``.
        max_quality_loss: The most that may be lost, in units of the scores.
        confidence: With which probability the bound holds, from 0.5 to below 1.
        risk: What is bounded. ``"net"``: the mean over all traffic of strong - weak where the weak model answers, so
            prompts it does better offset others (betting bound, Waudby-Smith and Ramdas 2024, arXiv:2010.09686).
            ``"regret"``: no credit for those (Clopper and Pearson 1934 for scores of 0 and 1, else Hoeffding and
            Bentkus as in Bates et al. 2021, arXiv:2101.02703). ``"weak_routed"``: the mean of strong - weak among
            prompts that the weak model answers, given how many they are; the hardest to show.
        traffic: Win rates of unlabelled traffic, ``[k]``, each in 0..=1: the weak share is read off them, and where
            ``"weak_routed"`` begins to test. None: off the given prompts; ``"weak_routed"`` then begins by those
            without a label, or where they are fewer than 50 sets a tenth of the others aside (100 at most).
        judge: The name of the judge whose scores these are. The certificate is relative to it, unless ``gold`` allows
            a correction.
        gold: True scores of a random part of the prompts, 50 at least: ``(strong_scores, weak_scores)``, each ``[n]``
            with NaN where the truth is not known, or ``(rows, strong_scores, weak_scores)``. The judge then only lowers
            the variance (prediction-powered inference, Angelopoulos et al. 2023, arXiv:2301.09633), however wrong he
            is. Regret is bounded by the true labels alone where there are fewer than 1,000.
        ceiling: Labels were drawn by lot among the prompts with a win rate below it, 0..=1, which makes a label there
            worth more. The others need none, nor do prompts that were not drawn: NaN. No threshold above it is
            considered. Choose it before you label; ``win_rates`` (or ``traffic``) must then be of all prompts.
        seed: Of the order in which labels are bet on. Choose it before you look.

    Returns:
        The certificate. Its text says what holds, and while what holds.

    Raises:
        InvalidValueError: A score or a win rate is NaN or outside of 0..=1 (the message names the row), lengths differ,
            or an argument is out of range.
        InvalidTypeError: Something is no number.

    Example:
        >>> rates = [0.2, 0.4, 0.6, 0.8] * 100
        >>> found = guarantee(rates, [1, 1, 1, 1] * 100, [1, 1, 0, 0] * 100)
        >>> found.threshold, found.certified, found.weak_share, found.risk_bound
        (0.6, True, 0.5, 0.05)
    """
    return certificate(
        win_rates,
        strong_scores,
        weak_scores,
        max_quality_loss,
        confidence,
        risk=risk,
        traffic=traffic,
        judge=judge,
        gold=gold,
        ceiling=ceiling,
        seed=seed,
    )


def calibrate(
    router_or_win_rates: Any,
    prompts: Any = None,
    *,
    name: str | None = None,
    config: Mapping[str, Mapping[str, Any] | None] | None = None,
    progress_bar: bool = False,
    source: str | None = None,
) -> CalibrationTable:
    """A calibration table from your own prompts, or from win rates that are at hand.

    Args:
        router_or_win_rates: A name in `ROUTER_CLS` (it is built with its arguments in ``config``), a router, or win
            rates ``[n]``.
        prompts: With a router: its prompts, as a list, an array or a Series of texts, or the path of a text, JSONL, CSV
            or Parquet file.
        name: The router's name, where an object or win rates are given.
        config: Router name -> keyword arguments, as for the Controller, whose default it shares. The table belongs to
            this configuration; for a router or win rates given without it, to none in particular.
        progress_bar: Shows progress while prompts are scored.
        source: Where the scores come from, in a few words.

    Returns:
        The table; ``.save()`` puts it where Controllers find it.

    Raises:
        InvalidTypeError: Prompts are missing, were given with win rates, or one is no string.
        InvalidValueError: There is no score, or one is NaN or outside of 0..=1.
        UnknownNameError: There is no router of that name.
        MissingFileError: There is no such file of prompts.

    Example:
        >>> table = calibrate("local", ["hi", "thanks!", "Prove that there are infinitely many primes."])
        >>> table.threshold(0.3).n
        3
    """
    router: Any = router_or_win_rates
    if isinstance(router, str):
        return _of_router(router, None, prompts, config, progress_bar, source)
    if hasattr(router, "calculate_strong_win_rate"):
        return _of_router(name or str(router), router, prompts, config, progress_bar, source)
    if prompts is not None:
        raise InvalidTypeError(
            "expected a router, or its name, with prompts to score; found prompts with "
            f"{type(router).__name__}, which is none"
        )
    known = None if name is None or config is None else _fingerprint(name, config.get(name))
    return make_table(name or "router", router, fingerprint=known, source=source or "win rates")


def _of_router(
    name: str,
    router: Any,
    prompts: Any,
    config: Mapping[str, Mapping[str, Any] | None] | None,
    progress_bar: bool,
    source: str | None,
) -> CalibrationTable:
    from ferroute._batch import win_rates
    from ferroute.controller import GPT_4_AUGMENTED_CONFIG, build_router

    if prompts is None:
        raise InvalidTypeError(f"prompts: expected texts or the path of a file for the router {name!r} to score")
    entry = (GPT_4_AUGMENTED_CONFIG if config is None else config).get(name)
    known = router is None or config is not None
    if router is None:
        router = build_router(name, entry)
    if isinstance(prompts, (str, os.PathLike)):
        from ferroute.prompts import read_texts

        path = cast("str | os.PathLike[str]", prompts)
        source = source or f"prompts of {Path(path).name}"
        prompts = read_texts(path)
    scores = win_rates(router, prompts, f"Scoring with {name}" if progress_bar else None)
    fingerprint = _tables.fingerprint(name, entry, router) if known else None
    return make_table(name, scores, fingerprint=fingerprint, source=source or "prompts")


def _fingerprint(name: str, entry: Mapping[str, Any] | None) -> str:
    """That of a router which need not be built, unless it is the user's or ships something about its scores."""
    from ferroute.controller import ROUTER_CLS, build_router
    from ferroute.routers.base import is_built_in_class

    cls = ROUTER_CLS.get(name)
    needed = cls is not None and (hasattr(cls, "score_quantiles") or not is_built_in_class(cls))
    return _tables.fingerprint(name, entry, build_router(name, entry) if needed else None)
