"""Figures with intervals, and the numbers they are made of."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ferroute import _core
from ferroute.errors import InvalidTypeError, InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import ArrayLike, NDArray
    from typing_extensions import Self

    Numbers = NDArray[np.float64]

FRACTIONS = (0.2, 0.5, 0.8)
"""Parts of the gap between the two models at which the call percentages are given."""

_FEWEST_DRAWS = 20
"""Resamples below which there are no intervals."""

RANDOM, LENGTH, RULES, OPTIMUM = "random mixing", "prompt length", "regex rules", "optimum"
"""Names of the baselines."""


class Estimate(float):
    """A figure that knows how far chance moves it.

    It is a `float`: compare it, format it, compute with it.

    Attributes:
        low: Lower end of its interval, in the figure's own unit: that of the bootstrap percentiles (Efron and
            Tibshirani 1993, chapter 13) unless it is said to hold together with others. None where nothing was
            resampled, or too few resamples have the figure.
        high: Upper end, likewise.
    """

    low: float | None
    high: float | None

    def __new__(cls, value: float, low: float | None = None, high: float | None = None) -> Self:
        made = super().__new__(cls, value)
        made.low, made.high = low, high
        return made

    @property
    def interval(self) -> tuple[float, float] | None:
        """``(low, high)``, or None."""
        return None if self.low is None or self.high is None else (self.low, self.high)

    def __getnewargs__(self) -> tuple[float, float | None, float | None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return float(self), self.low, self.high

    def __repr__(self) -> str:
        return self.show(".4g")

    def show(self, form: str, unit: str = "") -> str:
        """The figure with its interval in brackets, in the format ``form``; ``unit`` stands behind the figure."""
        if not math.isfinite(self):
            return "-"
        text = f"{float(self):{form}}{unit}"
        if self.low is None or self.high is None:
            return text
        return f"{text} ({self.low:{form}}{' to ' if self.low < 0 else '-'}{self.high:{form}})"


def estimate(value: float, draws: Numbers | None, confidence: float) -> Estimate:
    """The figure ``value`` with the percentile interval of ``draws``.

    Resamples that do not have the figure (NaN) are left out; where they are more than a tenth there is no interval, nor
    where there are fewer than 20: their ends would not even hold the figure itself.
    """
    import numpy as np

    if draws is None or draws.size < _FEWEST_DRAWS or math.isnan(value):
        return Estimate(value)
    known = draws[np.isfinite(draws)]
    if known.size < 0.9 * draws.size:
        return Estimate(value)
    low, high = np.quantile(known, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Estimate(value, float(low), float(high))


class Shown(Protocol):
    """What tables and pictures need of a router's result: `ferroute.evals.results.RouterResult`."""

    name: str
    points: Any
    settings: Any
    apgr: Estimate
    weak_score: Estimate
    strong_score: Estimate
    bands: Numbers | None
    win_rates: Numbers | None

    @property
    def has_costs(self) -> bool:
        """Whether points have costs."""
        ...

    def summary(self) -> dict[str, Estimate]:
        """The figures by the names they have in tables."""
        ...


class Compared(Protocol):
    """What they need of a comparison: `ferroute.evals.comparison.Comparison`."""

    weak_score: Estimate
    strong_score: Estimate

    @property
    def routers(self) -> Mapping[str, Shown]:
        """Results of the routers that were asked about."""
        ...

    @property
    def baselines(self) -> Mapping[str, Shown]:
        """Results of what they are compared with."""
        ...


@dataclass
class Rows:
    """Outcomes of the rows that routers are judged on.

    Attributes:
        strong: Scores when the strong model answers, ``[n]``.
        weak: Scores when the weak model answers, ``[n]``.
        costs: What a call costs with the strong and with the weak model, ``[n]`` each, or None.
        unit: What a score of 1 is shown as: means are multiplied by it, scores are not, since sums of 0 and 1 are
            exact and those of 0 and 100 divided by a number of rows are not always the same.
    """

    strong: Numbers
    weak: Numbers
    costs: tuple[Numbers, Numbers] | None = None
    unit: float = 1.0

    @classmethod
    def of(cls, strong: ArrayLike, weak: ArrayLike, costs: Any = None, unit: float = 1.0) -> Rows:
        """Columns as users have them.

        Raises:
            InvalidTypeError: Something is not a column of numbers.
        """
        rows = cls(column("strong_scores", strong), column("weak_scores", weak), unit=unit)
        if costs is not None:
            rows.costs = costs_of(costs, rows.strong.size)
        return rows

    @property
    def spread(self) -> float:
        """What one row may change, in the unit that is shown."""
        return spread(self.strong, self.weak) * self.unit

    def columns(self) -> list[Numbers]:
        """Scores, then costs, of the strong and the weak model in turn."""
        return [values for pair in self.pairs() for values in pair]

    def pairs(self) -> list[tuple[Numbers, Numbers]]:
        """Scores, then costs, each as ``(strong, weak)``."""
        return [(self.strong, self.weak), *([self.costs] if self.costs else [])]


def spread(*scores: Numbers) -> float:
    """From the lowest to the highest score, but no more than ten standard deviations, for scores with long tails."""
    import numpy as np

    pooled = np.concatenate([part.ravel() for part in scores])
    return min(float(np.ptp(pooled)), 10 * float(pooled.std()))


def column(name: str, values: ArrayLike) -> Numbers:
    """One column as contiguous float64.

    Raises:
        InvalidTypeError: It does not hold numbers, or not in one dimension.
    """
    import numpy as np

    given: Any = values
    if np.ma.isMaskedArray(given) or np.iscomplexobj(given):
        kind = "a masked array" if np.ma.isMaskedArray(given) else "complex numbers"
        raise InvalidTypeError(f"{name}: expected numbers [n], found {kind}")
    try:
        array = np.ascontiguousarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidTypeError(f"{name}: expected numbers [n], found {type(values).__name__}") from None
    if np.ndim(values) != 1:
        raise InvalidTypeError(f"{name}: expected numbers [n], found {np.ndim(values)} dimensions")
    return array


def finite(what: str, rates: Numbers) -> Numbers:
    """The same win rates.

    Raises:
        InvalidValueError: One is not finite; the message says whose.
    """
    import numpy as np

    bad = ~np.isfinite(rates)
    if bad.any():
        row = int(bad.argmax())
        raise InvalidValueError(f"{what}: expected finite win rates, found {rates[row]} in row {row}")
    return rates


def whole(what: str, value: Any) -> int:
    """A whole number as an int.

    Raises:
        InvalidTypeError: It is none.
    """
    try:
        return operator.index(value)
    except TypeError:
        raise InvalidTypeError(f"{what}: expected a whole number, found {value!r:.60}") from None


def costs_of(costs: Mapping[str, Any] | tuple[Any, Any], rows: int) -> tuple[Numbers, Numbers]:
    """Dollars of a call to the strong and to the weak model, ``[rows]`` each.

    Raises:
        InvalidTypeError: They are no pair, or no numbers.
        InvalidValueError: They have other names.
    """
    import numpy as np

    if hasattr(costs, "keys"):
        given: Any = costs
        if set(given) != {"strong", "weak"}:
            raise InvalidValueError(f"costs: expected the keys strong and weak, found {sorted(given)}")
        costs = given["strong"], given["weak"]
    try:
        if isinstance(costs, (str, bytes)):
            raise TypeError
        strong, weak = costs
    except (TypeError, ValueError):
        raise InvalidTypeError(f"costs: expected a pair (strong, weak), found {costs!r:.60}") from None

    def one(name: str, cost: Any) -> Numbers:
        if np.ndim(cost):
            return column(name, cost)
        try:
            return np.full(rows, float(cost))
        except (TypeError, ValueError):
            raise InvalidTypeError(f"{name}: expected dollars, found {cost!r:.60}") from None

    return one("strong costs", strong), one("weak costs", weak)


def least_at(along: Numbers, quality: Numbers, wanted: Numbers) -> Numbers:
    """The least place ``[b]`` along each curve ``[b, k]`` where ``wanted`` ``[b]`` is reached; NaN where it never is.

    A curve that ends in the very score that is wanted reaches it, whatever rounding did to one of the two sums.
    """
    import numpy as np

    found = _core.eval_percent_at(along, quality, wanted)
    lost = np.isnan(found)
    if lost.any():
        nearly = wanted[lost] - 1e-12 * np.abs(wanted[lost])
        found[lost] = _core.eval_percent_at(along[lost], quality[lost], nearly)
    return found


@dataclass
class Curve:
    """Points of one router, and the same for each resample ``[b, ...]``.

    Attributes:
        percent: Percentage of strong calls at each point, ``[m]`` and ``[b, m]``.
        quality: Mean score at each point.
        cost: Mean cost of a call at each point, or None.
        weak: Score of the weak model, ``[1]`` and ``[b]``.
        strong: Score of the strong model.
        spread: What one row may change.
    """

    percent: Numbers
    quality: Numbers
    cost: Numbers | None
    weak: Numbers
    strong: Numbers
    weak_cost: Numbers | None = None
    strong_cost: Numbers | None = None
    spread: float = 0.0

    def figures(self) -> Numbers:
        """AUC, APGR and the three call percentages of each row, ``[b, 5]``."""
        return _core.eval_figures(self.percent, self.quality, self.weak, self.strong, list(FRACTIONS))

    def percent_at(self, part: float) -> Numbers:
        """Percentage of calls from which on ``part`` of the strong model's score is reached."""
        return least_at(self.percent, self.quality, part * self.strong)

    def random_at(self, part: float) -> Numbers:
        """The same for random mixing, which lies on the line between the two models."""
        import numpy as np

        with np.errstate(divide="ignore", invalid="ignore"):
            percent = 100 * (part * self.strong - self.weak) / (self.strong - self.weak)
        percent = np.where(part * self.strong <= self.weak, 0.0, percent)
        percent = np.where((percent < 0) | (percent > 100 + 1e-9), np.nan, percent)
        return np.minimum(percent, 100)

    def cost_at(self, percent: Numbers) -> Numbers:
        """Mean cost of a call at a percentage of strong calls, row by row."""
        if self.cost is None:
            raise InvalidValueError("no costs were given: costs=(strong, weak), dollars a call or one number a row")
        return _core.eval_value_at(self.percent, self.cost, percent[:, None])[:, 0]

    def random_cost_at(self, percent: Numbers) -> Numbers:
        """Mean cost of a call when ``percent`` of the calls, drawn at random, go to the strong model."""
        if self.weak_cost is None or self.strong_cost is None:
            raise InvalidValueError("no costs were given")
        return self.weak_cost + percent / 100 * (self.strong_cost - self.weak_cost)
