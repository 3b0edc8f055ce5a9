"""What moving the easiest calls would save, and how sure that is.

The interval is a prediction interval, not one of a mean: it is to cover what a next period of as many calls of the same
traffic saves. Costs have long tails, so its ends are those of a bootstrap of the studentised difference between two
periods (Hall, The Bootstrap and Edgeworth Expansion, 1992, chapter 3), never nearer than Student's t, and the upper one
allows for the tail that a log-normal distribution with the upper quantiles of these costs would have, because a period
without its usual few dear calls shows too little spread.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ferroute.auditing._tails import deviation
from ferroute.auditing._words import saving_line, several

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from ferroute.auditing._habits import Habits

    Numbers = NDArray[np.float64]

_FEWEST = 20
"""Moved calls below which no interval is given."""
_DRAWS = 1000


@dataclass(frozen=True)
class Saving:
    """A forecast of what moving a share of the strong model's calls to the cheaper one takes off the bill.

    It says nothing about quality.

    What is random: which calls a period has. Calls are taken to be alike and independent of each other from period to
    period, prices to stay, and prompts to be as well cached as they were. The interval covers what the same rule (move
    a call if its win rate is below `threshold`) saves in the next period of as many such calls, and so also the mean
    of such periods. Its ends are those of a bootstrap of the studentised difference between two periods (Hall 1992,
    "The Bootstrap and Edgeworth Expansion", chapter 3), never nearer than Student's t; ``docs/audit.md`` has the rest.

    Attributes:
        move: Share of the strong model's calls that was asked for, 0..=1.
        moved: Share that is below the threshold, which is less where many win rates are equal.
        calls: Calls of these logs below it.
        of: Calls of the strong model that could be looked at: with a prompt and a price.
        threshold: Calls with a lower win rate are moved; strong if the win rate is at least this.
        estimate: US dollars over the period of these logs; None: cannot be known (`why` says it).
        interval: Its prediction interval at `confidence`, US dollars; None with fewer than 20 moved calls.
        of_spend: The same as a share of all that these logs spent, as far as it is priced.
        of_spend_interval: Its interval.
        confidence: That of the intervals.
        lengths: What the cheaper model's answer lengths rest on: ``"paired"``, ``"other prompts"``, ``"assumed"``.
        why: Why there is no estimate, or no interval; None where there are both.
    """

    move: float
    moved: float = 0.0
    calls: int = 0
    of: int = 0
    threshold: float = 0.0
    estimate: float | None = None
    interval: tuple[float, float] | None = None
    of_spend: float | None = None
    of_spend_interval: tuple[float, float] | None = None
    confidence: float = 0.95
    lengths: str = "assumed"
    why: str | None = None

    def __repr__(self) -> str:
        return f"<Saving: {saving_line(self)}>"


@dataclass(frozen=True, eq=False)
class Movable:
    """The strong model's calls that could be moved: equal lengths ``[n]``.

    Attributes:
        win_rates: The router's.
        costs: US dollars they cost.
        asked: US dollars of their prompts at the cheaper model.
        answered: US dollars of an answer as long as the strong model's at the cheaper model.
        tokens: Tokens of the strong model's answers.
    """

    win_rates: Numbers
    costs: Numbers
    asked: Numbers
    answered: Numbers
    tokens: Numbers


def cut(win_rates: Numbers, move: float) -> float:
    """The threshold below which the share ``move`` of the win rates lies.

    Equal ones go together: whichever of the two nearest shares there are is nearer.
    """
    import numpy as np

    count = round(move * len(win_rates))
    if not len(win_rates):
        return 0.0
    at = float(np.partition(win_rates, min(count, len(win_rates) - 1))[min(count, len(win_rates) - 1)])
    below, through = int((win_rates < at).sum()), int((win_rates <= at).sum())
    # Just above a win rate is a threshold, too, below which it lies.
    return float(np.nextafter(at, np.inf)) if through - count < count - below else at


def forecasts(
    calls: Movable,
    habits: Habits,
    shares: Sequence[float],
    *,
    spend: float,
    confidence: float,
    seed: int,
) -> tuple[Saving, ...]:
    """A forecast for each share.

    Args:
        calls: The strong model's calls; at least one.
        habits: Answer lengths of the cheaper model.
        shares: Shares of the calls to move.
        spend: US dollars of all calls in the logs that are priced.
        confidence: Of the intervals.
        seed: The same seed gives the same intervals.
    """
    import numpy as np

    n = len(calls.win_rates)
    group = habits.group(calls.win_rates)
    ratio = np.asarray(habits.ratios)[group]
    saved = calls.costs - calls.asked - ratio * calls.answered
    cuts = [cut(calls.win_rates, share) for share in shares]
    below: Any = np.stack([calls.win_rates < at for at in cuts], axis=1)
    each = np.where(below, saved[:, None], 0.0)
    ends = _studentised(each, confidence, seed)
    made: list[Saving] = []
    for index, (share, at) in enumerate(zip(shares, cuts, strict=True)):
        chosen = below[:, index]
        count, estimate = int(chosen.sum()), float(each[:, index].sum())
        base = Saving(
            share,
            count / n,
            count,
            n,
            at,
            estimate,
            of_spend=estimate / spend if spend > 0 else None,
            confidence=confidence,
            lengths=habits.source,
        )
        if count < _FEWEST:
            made.append(_replaced(base, why=f"{several(count, 'call')} moved: an interval needs {_FEWEST}"))
            continue
        down, up = _sampling(each[:, index], ends[index])
        doubt = _doubt(calls, habits, chosen, group, confidence)
        slack = _slack(calls, habits, chosen, group)
        low = estimate - math.hypot(down, doubt) - slack[0]
        high = estimate + math.hypot(up, doubt) + slack[1]
        shared = None
        if spend > 0:
            # Where much is spent much is saved: the spend of the next period varies with its saving, so the interval
            # of the dollars, which lets only the saving vary, is wide enough for the share.
            shared = (low / spend, high / spend)
        made.append(_replaced(base, interval=(low, high), of_spend_interval=shared))
    return tuple(made)


def _replaced(saving: Saving, **values: Any) -> Saving:
    import dataclasses

    return dataclasses.replace(saving, **values)


def _studentised(each: Numbers, confidence: float, seed: int) -> list[tuple[float, float]]:
    """Ends of the difference between two periods in units of its standard error, for each column of ``[n, m]``."""
    import numpy as np

    n, columns = each.shape
    both = np.concatenate([each, each * each], axis=1)
    random, done = np.random.default_rng(seed), 0
    sums = np.empty((_DRAWS, columns * 2))
    step = max(1, min(_DRAWS, 2_000_000 // n))
    while done < _DRAWS:
        size = min(step, _DRAWS - done)
        rows: Any = random.integers(0, n, (size, n), dtype=np.int64)
        rows += np.arange(size)[:, None] * n
        counts = np.reshape(np.bincount(rows.ravel(), minlength=size * n), (size, n))
        sums[done : done + size] = counts.astype(np.float64) @ both
        done += size
    totals, squares = sums[:, :columns], sums[:, columns:]
    error = np.sqrt(np.maximum(2 * (squares - totals**2 / n), 0) * n / max(n - 1, 1))
    ends: list[tuple[float, float]] = []
    alpha = (1 - confidence) / 2
    normal = _quantile_of_t(1 - alpha, n - 1)
    for column in range(columns):
        total, wide = totals[:, column], error[:, column]
        usable = wide > 0
        # A draw stands for the logs, those after it for next periods: several of them, to waste none.
        pairs = [(np.roll(total, shift) - total)[usable] / wide[usable] for shift in range(1, 6)]
        if not usable.any():
            ends.append((normal, normal))
            continue
        low, high = np.quantile(np.concatenate(pairs), [alpha, 1 - alpha])
        ends.append((max(normal, -float(low)), max(normal, float(high))))
    return ends


def _sampling(each: Numbers, ends: tuple[float, float]) -> tuple[float, float]:
    """How far below and above the estimate a next period may be, by the draw of its calls."""
    import numpy as np

    sd, scale = float(each.std(ddof=1)), math.sqrt(2 * len(each))
    # What a call saves is mostly positive, and then only the upper end has a tail to allow for.
    down = deviation(-each) if bool(np.any(each < 0)) else sd
    return ends[0] * scale * down, ends[1] * scale * deviation(each)


def _doubt(calls: Movable, habits: Habits, chosen: Any, group: Any, confidence: float) -> float:
    """Half width that comes from the cheaper model's answer lengths: of the habit, and of each answer."""
    import numpy as np

    parts = np.bincount(group[chosen], weights=calls.answered[chosen], minlength=len(habits.ratios))
    # One error in a ratio moves all calls of its group the same way, now and in the next period.
    of_habit = float(((parts * np.asarray(habits.errors)) ** 2).sum())
    known = chosen & (calls.tokens > 0)
    per_token = calls.answered[known] / calls.tokens[known]
    of_each = float((per_token**2).sum()) * habits.spread**2
    freedom = (len(calls.tokens) if habits.source == "assumed" else habits.n) - 1
    return _quantile_of_t(1 - (1 - confidence) / 2, freedom) * math.sqrt(of_habit + of_each)


def _slack(calls: Movable, habits: Habits, chosen: Any, group: Any) -> tuple[float, float]:
    """What longer or shorter answers than forecast, which the logs cannot rule out, would take or add."""
    import numpy as np

    low, ratio, high = (np.asarray(each)[group][chosen] for each in (habits.low, habits.ratios, habits.high))
    answered = calls.answered[chosen]
    return float(((high - ratio) * answered).sum()), float(((ratio - low) * answered).sum())


def _quantile_of_t(probability: float, freedom: int) -> float:
    """Student's t, by Cornish and Fisher's expansion from the normal quantile; exact to 0.1 % from 5 degrees on."""
    from statistics import NormalDist

    z, v = NormalDist().inv_cdf(probability), max(freedom, 1)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + sum(term / v**power for power, term in enumerate(terms, start=1))
