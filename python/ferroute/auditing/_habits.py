"""How long the cheaper model's answers are, as the logs show it.

A moved call costs the cheaper model's price of the same prompt and of an answer of the cheaper model's own length. The
logs say most about that where both models answered the same prompts, less where the cheaper one answered others, and
nothing where it is not in them; a forecast says which it was, and is the wider the less is known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ferroute.auditing._tails import deviation

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

_FEWEST = 20
"""Answers from which a habit is read."""

_THIRDS = (1 / 3, 2 / 3)


@dataclass(frozen=True)
class Habits:
    """Tokens of the cheaper model's answer for one token of the strong model's.

    Attributes:
        source: ``"paired"`` (both answered the same prompts), ``"other prompts"`` or ``"assumed"``.
        n: Answers of the cheaper model it rests on.
        edges: Win rates that part the calls into groups, rising.
        ratios: The ratio of each group, one more than `edges`.
        errors: Standard error of each ratio.
        low: Least ratio allowed for, of each group.
        high: Greatest ratio allowed for.
        spread: Standard deviation of one answer about its forecast, in tokens.
    """

    source: str
    n: int
    edges: tuple[float, ...] = ()
    ratios: tuple[float, ...] = (1.0,)
    errors: tuple[float, ...] = (0.0,)
    low: tuple[float, ...] = (0.5,)
    high: tuple[float, ...] = (2.0,)
    spread: float = 0.0

    def group(self, win_rates: Numbers) -> Any:
        """The group of each of ``win_rates`` ``[n]``."""
        import numpy as np

        return np.searchsorted(np.asarray(self.edges), win_rates, side="right")

    @property
    def note(self) -> str:
        """What the forecast rests on, in words."""
        if self.source == "paired":
            return f"answer lengths as both models gave them to {self.n:,} equal prompts"
        if self.source == "other prompts":
            return (
                f"answer lengths from {self.n:,} answers of the cheaper model to other prompts of like difficulty; the "
                "interval also allows for answers as long as the strong model's"
            )
        return (
            "the cheaper model has no answers in these logs: its answers are taken to be as long as the strong "
            "model's, and the interval allows for half and for twice that"
        )


def read(
    strong_rates: Numbers, strong_tokens: Numbers, weak_rates: Numbers, weak_tokens: Numbers, pairs: Numbers
) -> Habits:
    """The habits that logs show.

    Args:
        strong_rates: Win rates of the strong model's calls ``[n]``.
        strong_tokens: Tokens of their answers ``[n]``.
        weak_rates: Win rates of the cheaper model's calls ``[m]``.
        weak_tokens: Tokens of their answers ``[m]``.
        pairs: Answer tokens of both to the same prompt, ``[p, 2]``, strong first.
    """
    import numpy as np

    if len(pairs) >= _FEWEST and pairs[:, 0].sum() > 0:
        ratio = float(pairs[:, 1].sum() / pairs[:, 0].sum())
        rest = pairs[:, 1] - ratio * pairs[:, 0]
        spread = _spread(rest)
        error = spread / math.sqrt(len(pairs)) / float(pairs[:, 0].mean())
        return Habits("paired", len(pairs), (), (ratio,), (error,), (ratio,), (ratio,), spread)
    if len(weak_tokens) < _FEWEST or not strong_tokens.sum() > 0:
        # How an answer varies about its forecast is not known either: as the strong model's own answers do.
        return Habits("assumed", len(weak_tokens), spread=_spread(strong_tokens))
    whole = _ratio(strong_tokens, weak_tokens)
    edges: tuple[float, ...] = tuple(float(edge) for edge in np.quantile(strong_rates, _THIRDS))
    groups = np.searchsorted(edges, strong_rates, side="right"), np.searchsorted(edges, weak_rates, side="right")
    found: list[tuple[float, float]] = []
    for group in range(len(edges) + 1):
        strong, weak = strong_tokens[groups[0] == group], weak_tokens[groups[1] == group]
        enough = len(weak) >= _FEWEST and len(strong) >= _FEWEST and strong.sum() > 0
        found.append(_ratio(strong, weak) if enough else whole)
    ratios, errors = zip(*found, strict=True)
    low, high = tuple(min(ratio, 1.0) for ratio in ratios), tuple(max(ratio, 1.0) for ratio in ratios)
    return Habits("other prompts", len(weak_tokens), edges, ratios, errors, low, high, _spread(weak_tokens))


def _ratio(strong: Numbers, weak: Numbers) -> tuple[float, float]:
    """The ratio of two means, and its standard error."""
    ratio = float(weak.mean() / strong.mean())
    parts = (_relative(strong), _relative(weak))
    return ratio, ratio * math.sqrt(sum(part * part for part in parts))


def _relative(values: Numbers) -> float:
    mean = float(values.mean())
    return _spread(values) / mean / math.sqrt(len(values)) if mean > 0 else 0.0


def _spread(values: Numbers) -> float:
    return deviation(values) if len(values) > 1 else 0.0
