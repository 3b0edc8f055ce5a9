"""Thresholds from scores: which one sends the wanted share of calls to the strong model, and how sure that is.

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
from ferroute.errors import InvalidTypeError
from ferroute.thresholds import CalibrationTable, Threshold, make_table, threshold_for_share

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CalibrationTable", "Threshold", "calibrate", "threshold_for_share"]


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
        InvalidTypeError: Prompts are missing, or were given with win rates.

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
