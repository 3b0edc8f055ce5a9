"""How `ferroute.calibrate.guarantee` gets from labels to a certificate; the search itself is `learn::guarantee`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ferroute import _core
from ferroute._certificate import RISKS, Certificate
from ferroute._columns_of import digest_of, fraction, scores, whole_seed
from ferroute.errors import InvalidTypeError, InvalidValueError
from ferroute.thresholds import checked_scores

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

LEAST_GOLD = 50
"""True labels that a judge's are corrected by, at least."""

_SPLIT = 0.02
"""The part of what may go wrong that is kept for the share of traffic below the ceiling."""

_FEWEST_SOUGHT = 20_000
"""Above so many labels it is not said how many are needed."""


@dataclass(frozen=True)
class _Labels:
    """Win rates and scores of the labelled prompts, and what is true of a part of them."""

    rates: Numbers
    strong: Numbers
    weak: Numbers
    gold: tuple[Numbers, Numbers] | None

    def only(self, rows: NDArray[np.bool_]) -> _Labels:
        def of(column: Numbers) -> Numbers:
            chosen: Any = column[rows]
            return chosen.copy()

        gold = None if self.gold is None else (of(self.gold[0]), of(self.gold[1]))
        return _Labels(of(self.rates), of(self.strong), of(self.weak), gold)

    def hash(self) -> str:
        return digest_of(self.rates, self.strong, self.weak, *(self.gold or ()))


def certificate(
    win_rates: Any,
    strong_scores: Any,
    weak_scores: Any,
    max_quality_loss: float,
    confidence: float,
    *,
    risk: str,
    traffic: Any,
    judge: str | None,
    gold: Any,
    ceiling: float | None,
    seed: int,
) -> Certificate:
    """See `ferroute.calibrate.guarantee`."""
    import datetime

    import numpy as np

    if not isinstance(risk, str) or risk not in RISKS:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidValueError(f"risk: expected {', '.join(map(repr, RISKS))}; found {risk!r:.60}")
    most, confidence = (
        fraction("max_quality_loss", max_quality_loss),
        fraction("confidence", confidence, 0.5, below=True),
    )
    if ceiling is not None:
        ceiling = fraction("ceiling", ceiling)
    if judge is not None and not isinstance(judge, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidTypeError(f"judge: expected the judge's name, found {judge!r:.60}")
    rates = checked_scores(win_rates, "win_rates").clip(0, 1)
    if gold is not None and judge is None:
        judge = "unnamed"
    given = _Labels(
        rates,
        scores("strong_scores", strong_scores, rates.size, unknown=ceiling is not None),
        scores("weak_scores", weak_scores, rates.size, unknown=ceiling is not None),
        None if gold is None else _gold(gold, rates.size),
    )
    notes: list[str] = []
    all_rates = rates if traffic is None else checked_scores(traffic, "traffic").clip(0, 1)
    labels = _enough_gold(given if ceiling is None else _below(given, ceiling), ceiling, notes)
    # Of all traffic only the part below the ceiling was looked at; of the weak-routed that is all.
    delta, (low_share, share), shown_share = 1 - confidence, (1.0, 1.0), 1.0
    if ceiling is not None and risk != "weak_routed":
        below = int((all_rates < ceiling).sum())
        # From both sides: a loss is at most so much of the largest share, a gain at least so much of the smallest.
        low_share, share = _core.binomial_interval(below, all_rates.size, 1 - _SPLIT * delta)
        shown_share = below / all_rates.size
        delta *= 1 - _SPLIT
    unlabelled = rates[np.isnan(given.strong)] if traffic is None else all_rates
    where = "the unlabelled prompts" if traffic is None else "the traffic"
    start, grid = _start(risk, labels, (unlabelled, where), ceiling, most, delta)
    asked = _Asked(risk, min(most / share, 1.0), delta, start, whole_seed(seed))
    threshold, loss, bound, n, judged, _, failed = _core.certify_threshold(
        labels.rates,
        labels.strong,
        labels.weak,
        labels.gold,
        risk,
        asked.most,
        delta,
        start,
        1.0 if ceiling is None else ceiling,
        asked.seed,
    )
    certified = threshold is not None
    if failed is not None and not certified:
        notes.append(_why_not(failed * shown_share, n, labels, asked))
    corrected = labels.gold is not None
    return Certificate(
        threshold=threshold or 0.0,
        certified=certified,
        weak_share=float((all_rates < threshold).mean()) if threshold is not None else 0.0,
        risk_bound=min(bound * (share if bound > 0 else low_share), most),
        n=n,
        risk=risk,
        loss=loss * shown_share,
        labels=_source(judge, n if corrected else 0, judged),
        max_quality_loss=most,
        confidence=confidence,
        grid=grid,
        judge=None if corrected else judge,
        judged=judged,
        traffic=all_rates.size,
        ceiling=ceiling,
        seed=asked.seed,
        data=given.hash(),
        created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        notes=tuple(notes),
    )


def _gold(gold: Any, n: int) -> tuple[Numbers, Numbers]:
    """True scores ``[n]`` of both models, NaN where they are not known; given so, or as rows and their scores."""
    import numpy as np

    if isinstance(gold, (str, bytes)) or not hasattr(gold, "__len__") or len(gold) not in (2, 3):
        raise InvalidTypeError(
            "gold: expected (strong_scores, weak_scores) with NaN where the truth is not known, or (rows, "
            f"strong_scores, weak_scores); found {type(gold).__name__}"
        )
    if len(gold) == 3:
        rows = np.asarray(gold[0])
        if rows.ndim != 1 or rows.dtype.kind not in "iu":
            raise InvalidTypeError("gold: expected row numbers in front of the scores")
        bad = (rows < 0) | (rows >= n)
        if bad.any():
            raise InvalidValueError(f"gold: expected rows from 0 to {n - 1}, found {rows[int(bad.argmax())]}")
        if np.unique(rows).size != rows.size:
            raise InvalidValueError("gold: expected each row once")
        known = [scores(f"gold {name}", part, rows.size) for name, part in zip(_GOLD, gold[1:], strict=True)]
        columns = [np.full(n, np.nan), np.full(n, np.nan)]
        for column, part in zip(columns, known, strict=True):
            column[rows] = part
    else:
        columns = [scores(f"gold {name}", part, n, unknown=True) for name, part in zip(_GOLD, gold, strict=True)]
    _pairs("gold", columns[0], columns[1])
    return columns[0], columns[1]


_GOLD = ("strong_scores", "weak_scores")


def _pairs(what: str, strong: Numbers, weak: Numbers) -> None:
    """Both scores of a row are known, or none of them."""
    import numpy as np

    half = np.isnan(strong) != np.isnan(weak)
    if half.any():
        row = int(half.argmax())
        known = "weak" if np.isnan(strong[row]) else "strong"
        raise InvalidValueError(
            f"{what}: expected both models' scores or none, found only the {known} one in row {row}"
        )


def _enough_gold(labels: _Labels, ceiling: float | None, notes: list[str]) -> _Labels:
    """Without the true labels where they are too few; those above the ceiling were left out before."""
    import numpy as np

    if labels.gold is None:
        return labels
    known = int((~np.isnan(labels.gold[0])).sum())
    if known >= LEAST_GOLD:
        return labels
    where = "" if ceiling is None else f" below the ceiling {ceiling:g}"
    notes.append(f"{known} true labels{where} are too few to correct a judge by: at least {LEAST_GOLD} are needed")
    return _Labels(labels.rates, labels.strong, labels.weak, None)


def _below(labels: _Labels, ceiling: float) -> _Labels:
    """The labelled prompts below the ceiling; those above it are strong at every threshold, so they lose nothing."""
    import numpy as np

    _pairs("strong_scores, weak_scores", labels.strong, labels.weak)
    rows = (labels.rates < ceiling) & ~np.isnan(labels.strong)
    if not rows.any():
        raise InvalidValueError(f"expected labelled prompts with a win rate below the ceiling {ceiling:g}, found none")
    return labels.only(rows)


def _start(
    risk: str, labels: _Labels, others: tuple[Numbers, str], ceiling: float | None, most: float, delta: float
) -> tuple[float | None, str]:
    """Where testing begins, and that in words. None: the core sets rows aside to find it.

    ``others`` are win rates that say where scores lie and nothing about the labels, and what they are of.
    """
    import numpy as np

    if risk != "weak_routed":
        top = "" if ceiling is None else f" up to {ceiling:.5g}"
        return None, f"every threshold from 0 upward{top}, one after the other until one fails"
    known, what = others
    if ceiling is not None:
        known, what = known[known < ceiling], f"{what} below {ceiling:.5g}"
    n = labels.rates.size if labels.gold is None else int((~np.isnan(labels.gold[0])).sum())
    share = _core.first_weak_share(n, most, delta)
    start = None
    if known.size >= LEAST_GOLD:
        start = float(np.quantile(known, share, method="higher"))
    else:
        what = "a tenth of the prompts (at most 100), set aside,"
    words = f"every threshold upward from the one below which {share * 100:.3g}% of {what} lie"
    return start, f"{words}, one after the other until one fails"


@dataclass(frozen=True)
class _Asked:
    """What the search was asked for, to ask it again."""

    risk: str
    most: float
    delta: float
    start: float | None
    seed: int

    def passes(self, rates: Numbers, gold: tuple[Numbers, Numbers] | None = None) -> bool:
        """Whether anything would be certified if both models were equally good on prompts with these win rates."""
        import numpy as np

        equal = np.zeros(rates.size)
        gold = None if gold is None else (gold[0] * 0, gold[1] * 0)
        found = _core.certify_threshold(
            rates, equal, equal, gold, self.risk, self.most, self.delta, self.start, 1.0, self.seed
        )
        return found[0] is not None

    def fewest(self, n: int) -> int | None:
        """How many labels without any loss are enough, where ``n`` are not; None where that takes long to find."""
        import numpy as np

        low, high = n, n + 1
        while not self.passes(np.zeros(high)):
            if high > _FEWEST_SOUGHT:
                return None
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.passes(np.zeros(middle)) else (middle, high)
        return high


def _why_not(failed: float, n: int, labels: _Labels, asked: _Asked) -> str:
    if asked.most <= 0:
        return "a loss of 0 cannot be told from one just above it: allow a little"
    among_weak = asked.risk == "weak_routed"
    if not asked.passes(labels.rates, labels.gold):
        # Of the weak-routed it depends on where the win rates lie.
        least = None if among_weak else asked.fewest(n)
        more = "" if least is None else f": this bound needs at least {least:,}"
        return f"{n:,} labels are too few even if nothing is lost{more}"
    where = "of the prompts the weak model would answer at first" if among_weak else "at the safest threshold"
    return f"the loss {where} was {failed:.4g} in these labels; more labels bring its bound closer to it"


def _source(judge: str | None, true: int, judged: int) -> str:
    name = "a judge" if judge is None else f"judge {judge}"
    if not true:
        return "user" if judge is None else name
    if not judged:
        return f"{true:,} true labels alone"
    return f"{name} on {judged:,} prompts, corrected by {true:,} true labels"
