"""The tables of an audit: spend by model, the mix of calls, and the dearest that could go lower."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

from ferroute.auditing._words import beginning

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ferroute.auditing._choose import Pair
    from ferroute.auditing._collect import Collected

    Numbers = NDArray[np.float64]

COMPLEXITY = ("easy", "middling", "hard")


@dataclass(frozen=True)
class ModelSpend:
    """What the calls of one model came to.

    Attributes:
        model: Its name in the logs; None: the logs do not say.
        calls: How many.
        share: Of all calls, 0..=1.
        spend: US dollars of those that have a cost; None: none of them has.
        spend_share: Of all that is priced; None where `spend` is.
        unpriced: Calls without a cost; they are missing in `spend`.
        prompt_tokens: Mean of a call; None: not known.
        completion_tokens: Mean of a call.
        win_rate: Mean of the router's win rate; None: no prompts.
    """

    model: str | None
    calls: int
    share: float
    spend: Decimal | None
    spend_share: float | None
    unpriced: int
    prompt_tokens: float | None
    completion_tokens: float | None
    win_rate: float | None


@dataclass(frozen=True)
class Part:
    """A part of the mix.

    Attributes:
        by: ``"complexity"`` or ``"task"``.
        name: Of the part; ``"unknown"`` where there is no prompt or the guess of a task is not sure.
        calls: How many.
        share: Of all calls, 0..=1.
        spend: US dollars of those that have a cost; None: none of them has.
        spend_share: Of all that is priced; None where `spend` is.
        strong_share: How many of them went to the strong model, 0..=1.
    """

    by: str
    name: str
    calls: int
    share: float
    spend: Decimal | None
    spend_share: float | None
    strong_share: float


@dataclass(frozen=True)
class Dear:
    """A dear call that the router takes for an easy one. Of the cheaper model's answer nothing is known.

    Attributes:
        index: Position among the calls read, from 0.
        place: Where it stands in the log.
        cost: US dollars it cost.
        cost_at: US dollars it would cost at the cheaper model, by the forecast.
        win_rate: The router's.
        prompt: The prompt's beginning, on one line.
    """

    index: int
    place: str
    cost: float
    cost_at: float
    win_rate: float
    prompt: str


def models(rows: Collected) -> tuple[ModelSpend, ...]:
    """One entry a model, the dearest first."""
    import numpy as np

    of_model, costs = rows.of_model(), rows.column("cost")
    whole = sum(rows.spent.values(), Decimal(0))
    made: list[ModelSpend] = []
    for at in cast("list[int]", np.unique(of_model).tolist()):
        own = of_model == at
        calls, spend = int(own.sum()), rows.spent.get(at)
        made.append(
            ModelSpend(
                rows.models[at] if at >= 0 else None,
                calls,
                calls / len(rows),
                spend,
                _part(spend, whole),
                int(np.isnan(costs[own]).sum()),
                _mean(rows.column("prompt_tokens")[own]),
                _mean(rows.column("completion_tokens")[own]),
                _mean(rows.column("win_rate")[own]),
            )
        )
    return tuple(sorted(made, key=lambda each: (-(each.spend or 0), -each.calls)))


def mix(rows: Collected, pair: Pair, thirds: tuple[float, float] | None) -> tuple[Part, ...]:
    """Parts by complexity, then by kind of task.

    Args:
        rows: The calls.
        pair: The models.
        thirds: Win rates that part ordinary prompts into thirds; None: those of these calls.
    """
    import numpy as np

    rates = rows.column("win_rate")
    known = rates[np.isfinite(rates)]
    if thirds is None and len(known):
        thirds = (float(np.quantile(known, 1 / 3)), float(np.quantile(known, 2 / 3)))
    groups: Any = np.searchsorted(np.asarray(thirds or (0.0, 1.0)), rates, side="right")
    groups[np.isnan(rates)] = -1
    tasks = rows.of_task()
    return (
        *_parts(rows, pair, "complexity", groups, COMPLEXITY, by_size=False),
        *_parts(rows, pair, "task", tasks, rows.tasks, by_size=True),
    )


def _parts(rows: Collected, pair: Pair, by: str, groups: Any, names: Any, *, by_size: bool) -> list[Part]:
    import numpy as np

    costs, of_model = rows.column("cost"), rows.of_model()
    strong = of_model == rows.models.index(pair.strong) if pair.strong is not None else np.ones(len(rows), dtype=bool)
    whole = sum(rows.spent.values(), Decimal(0))
    made: list[Part] = []
    for at in np.unique(groups).tolist():
        own = groups == at
        calls, paid = int(own.sum()), costs[own]
        paid = paid[np.isfinite(paid)]
        spend = _exact(float(paid.sum())) if len(paid) else None
        name = names[at] if at >= 0 else "unknown"
        strong_share = float(strong[own].mean())
        made.append(Part(by, name, calls, calls / len(rows), spend, _part(spend, whole), strong_share))
    if by_size:
        made.sort(key=lambda part: (part.name == "unknown", -part.calls))
    else:
        made.sort(key=lambda part: COMPLEXITY.index(part.name) if part.name in COMPLEXITY else len(COMPLEXITY))
    return made


def dearest(rows: Collected, pair: Pair, saved: dict[int, float], below: float, most: int) -> tuple[Dear, ...]:
    """The calls that most could come off, of the strong model's dearest with a win rate below ``below``.

    Args:
        rows: The calls.
        pair: The models.
        saved: What moving a call saves, US dollars, by its position.
        below: Win rate below which a call counts as easy.
        most: How many.
    """
    rates = rows.column("win_rate")
    at = -1 if pair.strong is None else rows.models.index(pair.strong)
    kept = rows.dearest.get(at, [])
    found = sorted(
        (-saved[index], index, cost, start)
        for cost, index, start in kept
        if index in saved and rates[index] < below and saved[index] > 0
    )
    return tuple(
        Dear(index, rows.places[index], cost, cost + less, float(rates[index]), beginning(start))
        for less, index, cost, start in found[:most]
    )


def _exact(dollars: float) -> Decimal:
    """A sum of floats as dollars, to a picodollar."""
    return Decimal(f"{dollars:.12f}")


def _part(spend: Decimal | None, whole: Decimal) -> float | None:
    return None if spend is None else float(spend / whole) if whole else 0.0


def _mean(values: Numbers) -> float | None:
    import numpy as np

    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else None
