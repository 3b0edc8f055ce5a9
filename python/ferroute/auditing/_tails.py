"""The standard deviation of numbers with a long tail, of which a sample may have too little.

Costs and lengths of answers are often near to log-normal. A sample of some hundred then mostly lacks the few largest
values that make up much of the variance, and its own standard deviation is too small more often than not.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

_FEWEST = 20
"""Positive values from which a tail is read."""
_MOST = 3.0
"""The most by which the tail may widen what the sample shows."""
_STEEPEST = 2.5
"""The largest standard deviation of the logarithm that is believed."""
_UPPER = 1.6448536269514722
"""The 95 % quantile of a normal distribution."""

_DOUBT = 0.67
"""Half the standard error of that logarithm's deviation, read off these two quantiles, relative, times root n."""


def deviation(values: Numbers) -> float:
    """The sample's standard deviation, or that of its upper half as a log-normal tail where that is larger.

    Args:
        values: ``[n]``, two or more; the tail is that of the positive ones.
    """
    sd = float(values.std(ddof=1))
    return min(max(_of_tail(values), sd), _MOST * sd)


def _of_tail(values: Numbers) -> float:
    """The standard deviation, were the upper half of the positive values log-normal with its own quantiles."""
    import numpy as np

    positive = values[values > 0]
    if len(positive) < _FEWEST:
        return 0.0
    part = len(positive) / len(values)
    middle, upper = (float(q) for q in np.quantile(np.log(positive), [0.5, 0.95]))
    # The two quantiles of few values are themselves uncertain: half a standard error more.
    sigma = (upper - middle) / _UPPER * (1 + _DOUBT / math.sqrt(len(positive)))
    sigma, scale = min(sigma, _STEEPEST), math.exp(middle)
    lower = positive[positive <= scale]

    def moment(power: int) -> float:
        above = scale**power * math.exp(power * power * sigma * sigma / 2) * _normal(power * sigma)
        return part * (float((lower**power).sum()) / len(positive) + above)

    return math.sqrt(max(moment(2) - moment(1) ** 2, 0.0))


def _normal(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2))
