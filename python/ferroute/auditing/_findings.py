"""What an audit found, as data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    import numpy as np
    from numpy.typing import NDArray

    from ferroute.auditing._habits import Habits
    from ferroute.auditing._quality import Quality
    from ferroute.auditing._saving import Saving
    from ferroute.auditing._tables import Dear, ModelSpend, Part


@dataclass(frozen=True, repr=False, eq=False)
class Findings:
    """What logs alone can say about moving calls to a cheaper model.

    Attributes:
        source: Where the logs came from.
        format: Which program's they are: ``openai``, ``litellm``, ``langfuse``, ``otel``, ``table`` or
            ``ledger``; several with commas between them.
        calls: Successful chat calls that were read.
        router: The router whose win rates these are.
        strong: The model whose calls could move; None: the logs name no model.
        to: The model they could move to.
        spend: US dollars of all calls that have a cost; None: none of them has.
        unpriced: Calls without a cost, which are missing in `spend`.
        period: First and last time in the logs, in ISO form; None: they have none.
        saving: The forecast for the share that was asked for (30 % unless told otherwise).
        savings: Forecasts for 10, 30, 50 and 70 % moved.
        quality: What the outcomes in the logs say, if there are any.
        models: Spend by model, the dearest first.
        mix: Calls by complexity (thirds of ordinary prompts by win rate) and by kind of task.
        dearest: Calls that most could come off, of those the router finds easy.
        to_label: Calls to label next, one dict each, in random order: any first part of them is a fair draw, too.
        ceiling: Highest threshold considered: `to_label` is drawn uniformly from the calls with lower win rates. None:
            from all calls.
        below: How many calls of the strong model are below it.
        total: How many calls of the strong model have a win rate.
        unknown: What cannot be known from these logs, in sentences.
        broken: Records that could not be read.
        problems: The first of them, with their places.
        others: Records that are no successful chat call, by kind.
        habits: How long the cheaper model's answers are, and how that is known.
        traffic: Win rates of the strong model's calls, float64 ``[total]``, in the order of the logs.
        positions: Where those calls stand among all that were read, int64 ``[total]``.
        confidence: That of the intervals.
        seed: Of the draws.
        at: Day or time of the prices of the forecast; None: when the audit was made.
        prices: Version of the price data.
        columns: Numbers of each call, a list for each of `Audit.rows`' fields.
    """

    source: str
    format: str
    calls: int
    router: str
    strong: str | None
    to: str
    spend: Decimal | None
    unpriced: int
    period: tuple[str, str] | None
    saving: Saving
    savings: tuple[Saving, ...]
    quality: Quality
    models: tuple[ModelSpend, ...]
    mix: tuple[Part, ...]
    dearest: tuple[Dear, ...]
    to_label: list[dict[str, Any]]
    ceiling: float | None
    below: int
    total: int
    unknown: tuple[str, ...]
    broken: int
    problems: tuple[str, ...]
    others: Mapping[str, int]
    habits: Habits
    traffic: NDArray[np.float64]
    positions: NDArray[np.int64]
    confidence: float
    seed: int
    at: str | None
    prices: str
    columns: dict[str, Any] = field(default_factory=dict[str, Any], compare=False)

    @property
    def verdict(self) -> str:
        """``"quality: not yet proven"``, ``"no saving provable"`` or ``"better than random mixing"``.

        Without outcomes of both models for the same prompts it is always the first, whatever the figures are. The last
        one is no promise about any threshold: that is what `ferroute.calibrate.guarantee` gives.
        """
        return self.quality.verdict
