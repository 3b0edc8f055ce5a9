"""``ferroute.audit``: from logs to what could move, what that would save, and which prompts to label."""

from __future__ import annotations

import contextlib
import os
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

import ferroute.pricing as pricing
from ferroute.auditing import _choose, _columns, _outcomes, _population, _quality, _tables, _unknown
from ferroute.auditing._collect import Collected, collect
from ferroute.auditing._formats import NoCallsError, Source
from ferroute.auditing._prices import Prices
from ferroute.auditing._report import Audit
from ferroute.auditing._scorer import scorer_of
from ferroute.errors import InvalidTypeError, InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from ferroute.auditing._choose import Pair
    from ferroute.auditing._quality import Quality
    from ferroute.pricing._usage import When

SHARES = (0.1, 0.3, 0.5, 0.7)
"""Shares of the strong model's calls that a report moves."""

_DEAREST = 10
_EASY = 0.5
"""The part of the calls that counts as easy, where the dearest of them are shown."""


def audit(
    logs: Any,
    *,
    format: str | None = None,  # noqa: A002 - the name that file readers use
    columns: Mapping[str, str] | None = None,
    router: Any = "local",
    to: str | None = None,
    strong: str | None = None,
    outcomes: Any = None,
    move: float = 0.3,
    k: int = 200,
    purpose: str = "certify",
    seed: int = 0,
    confidence: float = 0.95,
    at: When = None,
    progress_bar: bool = False,
) -> Audit:
    """What logs alone can say: what could move to a cheaper model, what that would save, which prompts to label.

    No key is needed, nothing is fetched, and nothing leaves the machine. Files are read once, as a stream.

    Args:
        logs: A path, a list of paths, ``"-"`` for standard input, a ledger's URL, a data frame, or dicts. Files are
            JSON lines, a JSON document, CSV or Parquet, also compressed with gzip, or an SQLite ledger.
        format: ``"openai"``, ``"litellm"``, ``"langfuse"``, ``"otel"``, ``"table"`` or ``"ledger"``; None: recognised
            by the fields of the first record.
        columns: Columns of your own, by field: ``{"prompt": "question", "cost": "usd"}``; ``"a.b"`` reaches into
            nested objects. Fields: prompt, messages, model, prompt_tokens, completion_tokens, cached_tokens, cost, at,
            answer, score, strong_score, weak_score, win_rate.
        router: Whose win rates say what is easy: ``"local"``, a fitted router or the path of its file, a router
            object, or a function from texts to win rates. Routers that send prompts to anybody are refused.
        to: The model that calls could move to; None: the cheaper model with most calls in the logs, else a usual one.
        strong: The model whose calls could move; None: the one most is spent on.
        outcomes: Scores of both models beyond those in the logs: labels that were filled in (`read_labels`, or their
            path), or a mapping with ``strong`` and ``weak``, each ``[n]`` for the calls in the order read, NaN where
            not known.
        move: Share of the strong model's calls that ``saving`` moves, 0..=1.
        k: How many prompts to draw for labels.
        purpose: What the labels are for. ``"certify"``: a certificate for this router, which needs labels only of calls
            below the highest threshold considered. ``"fit"``: fitting a router, whose win rates will be others; then
            all calls with a prompt may be drawn, and there is no ceiling.
        seed: The same seed draws the same prompts and the same intervals.
        confidence: Of the intervals, in 0..1.
        at: Day or time whose prices the forecast uses, and that of calls without a time; None: now.
        progress_bar: Shows on standard error how many calls were read.

    Returns:
        The report: ``.saving.estimate``, ``.saving.interval``, ``.verdict``, ``.to_label``, ``.savings``, ``.mix``,
        ``.models``, ``.dearest``, ``.unknown``, ``.to_pandas()``, ``.save_html(path)``, ``.save_labels(path)``.

    Raises:
        MissingFileError: There is no such file.
        UnreadableFileError: It cannot be read.
        NoCallsError: No record is a call that can be read (an `InvalidValueError`).
        InvalidValueError: An argument is out of range, or the logs have no calls of ``strong``.
        InvalidTypeError: An argument is of the wrong type.

    Warns:
        PriceWarning: A model's price is not known: its calls are unpriced, not free.

    Example:
        >>> prompts = ["hello", "What is 2+2?", "Prove that there are infinitely many primes."] * 20
        >>> logs = [{"model": "gpt-5.5", "prompt": p, "prompt_tokens": 40, "completion_tokens": 300} for p in prompts]
        >>> found = audit(logs, to="gpt-5.4-mini", at="2026-11-01")
        >>> found.verdict, found.calls, found.saving.calls
        ('quality: not yet proven', 60, 20)
    """
    move, confidence = _share("move", move), _share("confidence", confidence, open_ends=True)
    if not isinstance(k, int) or isinstance(k, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidTypeError(f"k: expected a number of prompts, found {k!r:.40}")
    if not isinstance(seed, int) or isinstance(seed, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidTypeError(f"seed: expected a whole number, found {seed!r:.40}")
    if seed < 0:
        raise InvalidValueError(f"seed: expected a number of at least 0, found {seed}")
    if k < 0:
        raise InvalidValueError(f"k: expected a number of prompts, found {k}")
    if purpose not in {"certify", "fit"}:
        raise InvalidValueError(f"purpose: expected certify or fit, found {purpose!r:.40}")
    source = Source(logs, format, _columns.checked(columns))
    scorer, prices = scorer_of(router), Prices(at)
    with _progress(progress_bar) as advance:
        # Twice the labels, so that at least k of them are below a ceiling that 70 % of the calls are below.
        rows = collect(source, scorer.score, prices, keep=2 * k + 100, seed=seed, advance=advance)
    if not len(rows):
        raise NoCallsError(_nothing(source))
    pair = _choose.pair(rows, prices, strong, to)
    population = _population.of(rows, prices, pair)
    shares = tuple(dict.fromkeys((*SHARES, move)))
    spend = sum(rows.spent.values(), Decimal(0)) if rows.spent else None
    habits, forecasts = population.forecasts(shares, float(spend or 0), confidence, seed)
    by_share = {each.move: each for each in forecasts}
    saved = population.saved(habits)
    quality = _judged(rows, pair, outcomes, saved, confidence, seed)
    ceiling, below, to_label = population.labels(max(shares) if purpose == "certify" else None, k)
    unpriced = _unpriced(rows)
    _warn([*unpriced, *([] if population.priced else [pair.to])])
    return Audit(
        source=_said(logs),
        format=", ".join(source.found),
        calls=len(rows),
        router=scorer.name,
        strong=pair.strong,
        to=pair.to,
        spend=spend,
        unpriced=rows.missing("cost"),
        period=None if rows.first is None or rows.last is None else (rows.first, rows.last),
        saving=by_share[move],
        savings=tuple(by_share[share] for share in SHARES),
        quality=quality,
        models=_tables.models(rows),
        mix=_tables.mix(rows, pair, scorer.thirds),
        dearest=_tables.dearest(rows, pair, saved, by_share[_EASY].threshold, _DEAREST),
        to_label=to_label,
        ceiling=ceiling,
        below=below,
        total=len(population.all),
        unknown=_unknown.sentences(rows, source, pair, population, by_share[move], habits, quality, unpriced),
        broken=source.broken,
        problems=tuple(source.problems),
        others=dict(source.others),
        habits=habits,
        traffic=rows.column("win_rate")[population.all],
        positions=population.all,
        confidence=confidence,
        seed=seed,
        at=prices.at,
        prices=pricing.version(),
        columns=_frame(rows, saved),
    )


def _judged(
    rows: Collected, pair: Pair, outcomes: Any, saved: Mapping[int, float], confidence: float, seed: int
) -> Quality:
    import numpy as np

    known = _outcomes.read(rows, pair, outcomes)
    return _quality.judge(
        rows.column("win_rate")[known.calls],
        known.strong,
        known.weak,
        np.array([saved.get(index, np.nan) for index in known.calls.tolist()]),
        confidence=confidence,
        seed=seed,
        lacking=known.lacking,
    )


def _unpriced(rows: Collected) -> list[str]:
    """Models with calls whose tokens are known and whose price is not."""
    import numpy as np

    counted = np.isfinite(rows.column("prompt_tokens")) & np.isfinite(rows.column("completion_tokens"))
    counted &= ~rows.is_unread()
    codes = np.unique(rows.of_model()[counted & np.isnan(rows.column("cost"))]).tolist()
    return [rows.models[code] for code in codes if code >= 0]


def _warn(models: list[str]) -> None:
    for model in models:
        pricing.warn_if_unpriced(model, stacklevel=3)


def _frame(rows: Collected, saved: Mapping[int, float]) -> dict[str, Any]:
    """The calls as columns."""
    nan = float("nan")
    return {
        "index": list(range(len(rows))),
        "place": rows.places,
        "model": [rows.models[code] if code >= 0 else None for code in rows.model],
        "win_rate": list(rows.numbers["win_rate"]),
        "task": [rows.tasks[code] if code >= 0 else None for code in rows.task],
        "prompt_tokens": list(rows.numbers["prompt_tokens"]),
        "completion_tokens": list(rows.numbers["completion_tokens"]),
        "cost_usd": list(rows.numbers["cost"]),
        "saved_usd": [saved.get(index, nan) for index in range(len(rows))],
        "score": list(rows.numbers["score"]),
    }


def _share(name: str, value: Any, *, open_ends: bool = False) -> float:
    if isinstance(value, (str, bytes)) or not isinstance(value, (int, float)):
        raise InvalidTypeError(f"{name}: expected a number between 0 and 1, found {value!r:.40}")
    if not 0 <= value <= 1 or (open_ends and value in {0, 1}):
        raise InvalidValueError(f"{name}: expected a number between 0 and 1, found {value}")
    return float(value)


def _nothing(source: Source) -> str:
    said = _said(source.logs)
    if source.broken:
        return f"{said}: no record could be read as a call; the first of {source.broken:,}: {source.problems[0]}"
    if source.others:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in source.others.items())
        return f"{said}: expected successful chat calls, found only others ({kinds})"
    return f"{said}: expected calls, found none"


def _said(logs: Any) -> str:
    """Where logs come from, in a few words and without a password."""
    if isinstance(logs, (str, os.PathLike)):
        text = os.fsdecode(cast("str | os.PathLike[str]", logs))
        return text if "@" not in text else f"{text.partition(':')[0]} ledger"
    if isinstance(logs, (list, tuple)):
        several = cast("list[Any]", logs)
        names = [_said(each) for each in several[:4] if isinstance(each, (str, os.PathLike))]
        if names:
            more = len(several) - len(names)
            return ", ".join(names) + (f" and {more:,} more" if more else "")
    return f"{type(cast('Any', logs)).__name__} of calls"


@contextlib.contextmanager
def _progress(wanted: bool) -> Generator[Callable[[int], object]]:
    if not wanted:
        yield lambda _done: None
        return
    from ferroute._progress import bar_class

    with bar_class()(desc="Reading logs", unit=" calls") as bar:
        yield bar.update
