"""What an audit found, and the ways to look at it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ferroute.errors import InvalidValueError, NotBuiltError, UnreadableFileError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
    from numpy.typing import NDArray

    from ferroute.auditing._habits import Habits
    from ferroute.auditing._quality import Quality
    from ferroute.auditing._saving import Saving
    from ferroute.auditing._tables import Dear, ModelSpend, Part

TABLES = ("calls", "models", "mix", "savings", "dearest", "to_label")


@dataclass(frozen=True, repr=False)
class Audit:
    """What logs alone can say about moving calls to a cheaper model; made by `ferroute.audit`.

    Attributes:
        source: Where the logs came from.
        format: Which program's they are: ``openai``, ``litellm``, ``langfuse``, ``otel``, ``table`` or ``ledger``.
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
        confidence: That of the intervals.
        seed: Of the draws.
        at: Day or time of the prices of the forecast; None: when the audit was made.
        prices: Version of the price data.
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
    confidence: float
    seed: int
    at: str | None
    prices: str
    _columns: dict[str, Any] = field(default_factory=dict[str, Any], compare=False)

    @property
    def verdict(self) -> str:
        """``"quality: not yet proven"``, ``"no saving provable"`` or ``"better than random mixing"``.

        Without outcomes of both models for the same prompts it is always the first, whatever the figures are. The last
        one is no promise about any threshold: that is what `ferroute.calibrate.guarantee` gives.
        """
        return self.quality.verdict

    def rows(self) -> list[dict[str, Any]]:
        """One dict a call: ``index``, ``place``, ``model``, ``win_rate``, ``task``, tokens, ``cost_usd``, ``saved_usd``.

        ``saved_usd`` is what moving the call takes off by the forecast, None for calls that cannot move. What is not
        known is None.
        """
        names = list(self._columns)
        return [
            {name: None if value != value else value for name, value in zip(names, cells, strict=True)}  # noqa: PLR0124
            for cells in zip(*self._columns.values(), strict=True)
        ]

    def to_pandas(self, table: str = "calls") -> pd.DataFrame:
        """A table as a data frame; pandas must be installed.

        Args:
            table: ``"calls"`` (as `rows`), ``"models"``, ``"mix"``, ``"savings"``, ``"dearest"`` or ``"to_label"``.
                Money is in US dollars as floats.
        """
        import dataclasses

        if table not in TABLES:
            raise InvalidValueError(f"table: expected one of {', '.join(TABLES)}, found {table!r:.60}")
        try:
            import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
        except ImportError:
            raise NotBuiltError("this needs pandas, which is not installed: pip install pandas") from None
        if table == "calls":
            return pd.DataFrame(self._columns)
        if table == "to_label":
            return pd.DataFrame(self.to_label)
        rows = [dataclasses.asdict(each) for each in getattr(self, table)]
        plain = ({name: _plain(value) for name, value in row.items()} for row in rows)
        return pd.DataFrame(list(plain))

    def as_dict(self) -> dict[str, Any]:
        """The report as plain values, for JSON: money that was spent as text, forecasts as numbers."""
        import dataclasses

        names = (
            "source format calls router strong to spend unpriced period verdict ceiling below total unknown broken "
            "problems others confidence seed at prices"
        )
        out: dict[str, Any] = {name: _json(getattr(self, name)) for name in names.split()}
        for name in ("saving", "quality", "habits"):
            out[name] = _json(dataclasses.asdict(getattr(self, name)))
        for name in ("savings", "models", "mix", "dearest"):
            out[name] = [_json(dataclasses.asdict(each)) for each in getattr(self, name)]
        out["to_label"] = self.to_label
        return out

    def save_labels(self, path: str | os.PathLike[str]) -> Path:
        """Writes `to_label` as JSON lines; fill in ``strong_score`` and ``weak_score``, then `read_labels`.

        Returns:
            The file.

        Raises:
            UnreadableFileError: It cannot be written.
        """
        from ferroute.auditing._labels import save

        return save(self.to_label, path)

    def to_html(self) -> str:
        """The report as one page that needs no other file and no network; texts of the logs are escaped."""
        from ferroute.auditing._html import page

        return page(self)

    def save_html(self, path: str | os.PathLike[str]) -> Path:
        """Writes `to_html` to a file.

        Raises:
            UnreadableFileError: It cannot be written.
        """
        target = Path(path)
        try:
            target.write_text(self.to_html(), encoding="utf-8")
        except OSError as error:
            raise UnreadableFileError(f"{target}: cannot be written: {error}") from error
        return target

    def __repr__(self) -> str:
        from ferroute.auditing._text import report

        return report(self)

    def _repr_html_(self) -> str:
        from ferroute.auditing._html import block

        return block(self)


def _plain(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else value


def _json(value: Any) -> Any:
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, dict):
        return {str(name): _json(each) for name, each in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, (list, tuple)):
        return [_json(each) for each in value]  # pyright: ignore[reportUnknownVariableType]
    return value
