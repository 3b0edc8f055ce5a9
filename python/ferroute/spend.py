"""What calls came to: money, tokens and times by model, and what routing saved.

The estimated saving compares each call with a forecast of the same call at the strong model; the measured one compares
routed calls with the share that ``holdout=`` sent to the strong model by lot.

Sums are exact: the ledger counts in picodollars. Calls without a price are counted as unpriced, never as free.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ferroute.errors import InvalidValueError, NotBuiltError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date, timedelta
    from os import PathLike
    from typing import Protocol, TypeAlias

    import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
    import polars as pl
    from matplotlib.axes import Axes

    from ferroute._core import Ledger as Core
    from ferroute._spend_picture import Bars

    When: TypeAlias = date | timedelta | str

    class Ledger(Protocol):
        """What is asked of a ledger."""

        @property
        def core(self) -> Core:
            """The core's."""
            ...


__all__ = ["Latency", "Measured", "ModelSums", "Spend", "Sums", "spend"]


@dataclass(frozen=True)
class Latency:
    """Percentiles of times in milliseconds, over ``n`` whole answers."""

    n: int
    p50: float
    p95: float
    p99: float


@dataclass(frozen=True)
class Measured:
    """A saving measured on calls by lot, with its 95 % interval, in US dollars; negative is a loss.

    Attributes:
        usd: Saved on all routed calls.
        low: Lower end of the interval.
        high: Upper end.
        baseline_usd: What all routed calls would have cost at the strong model.
        holdout: Calls that went to the strong model by lot.
        routed: Calls routed as usual.
    """

    usd: float
    low: float
    high: float
    baseline_usd: float
    holdout: int
    routed: int

    @property
    def share(self) -> float | None:
        """The part of ``baseline_usd`` that was saved."""
        return self.usd / self.baseline_usd if self.baseline_usd else None


@dataclass(frozen=True)
class Sums:
    """Sums over calls; money in US dollars, of the calls that have a price.

    Attributes:
        queries: Calls of the caller's: all requests but retries and the losers of hedged ones.
        ok: Of these, whole answers.
        cancelled: Closed or dropped by the caller.
        failed: Failed for good.
        hedged: Second requests that lost, beside the calls; their cost counts.
        holdout: Calls sent to the strong model by lot.
        attempts: Requests sent to providers.
        estimated: Calls whose tokens are an estimate (cancelled streams).
        unpriced: Calls without a price: their tokens are in the sums, their money is missing.
        unpriced_routing: Calls of a router whose own cost is not known.
        prompt_tokens: Whole prompts.
        completion_tokens: Whole completions.
        cached_tokens: Of the prompts, read from caches.
        cache_write_tokens: Of the prompts, written to caches.
        reasoning_tokens: Of the completions, hidden reasoning.
        cost: Of the models.
        router_cost: Of choosing them.
        compared: Calls with an estimated saving.
        baseline: Of these, the estimated cost at the strong model.
        saved: Of these, the estimated saving; negative is a loss.
    """

    queries: int
    ok: int
    cancelled: int
    failed: int
    hedged: int
    holdout: int
    attempts: int
    estimated: int
    unpriced: int
    unpriced_routing: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    cost: Decimal
    router_cost: Decimal
    compared: int
    baseline: Decimal
    saved: Decimal

    @property
    def total(self) -> Decimal:
        """Cost of models and of choosing them."""
        return self.cost + self.router_cost

    @property
    def cost_per_query(self) -> Decimal | None:
        """Mean of `total` over the calls with a price; None without any."""
        priced = self.queries - self.unpriced
        return self.total / priced if priced > 0 else None

    @property
    def saved_share(self) -> float | None:
        """The part of ``baseline`` that was saved, by the estimate."""
        return float(self.saved / self.baseline) if self.baseline else None


@dataclass(frozen=True)
class ModelSums(Sums):
    """One model's sums, with its times until the first content and until the end."""

    model: str = ""
    first_token: Latency | None = None
    latency: Latency | None = None


@dataclass(frozen=True, repr=False)
class Spend(Sums):
    """What calls came to; made by `spend`, `Ledger.spend` and ``Controller.spend``.

    Attributes:
        models: One entry a model, the busiest first.
        routers: Sums by router; the key None stands for models asked for by name.
        first_token: Times until the first content, of streams.
        latency: Times until the end.
        saving: The saving measured by ``holdout=``; None with fewer than 10 such calls.
        lost: Calls that could not be kept.
        forgotten: Calls in memory too old for a question about their time.
        filters: What was asked for.
    """

    models: tuple[ModelSums, ...] = ()
    routers: Mapping[str | None, Sums] | None = None
    first_token: Latency | None = None
    latency: Latency | None = None
    saving: Measured | None = None
    lost: int = 0
    forgotten: int = 0
    filters: Mapping[str, Any] | None = None
    _ledger: Ledger | None = None

    def to_pandas(self) -> pd.DataFrame:
        """One row a model, as `rows` gives them; pandas must be installed."""
        pd = _module("pandas")
        return pd.DataFrame(self.rows(), columns=list(COLUMNS))

    def to_polars(self) -> pl.DataFrame:
        """One row a model, as `rows` gives them; polars must be installed."""
        pl = _module("polars")
        rows = self.rows()
        columns = {name: [row[name] for row in rows] for name in COLUMNS}
        types = {"text": pl.String, "whole": pl.Int64, "number": pl.Float64}
        return pl.DataFrame(columns, schema={name: types[kind] for name, kind in COLUMNS.items()})

    def rows(self) -> list[dict[str, Any]]:
        """One dict a model: ``model``, ``queries``, ``share`` of all queries, counts, tokens, money and times.

        Money is in US dollars as floats (the attributes have it exactly), None where no call has a price; times are in
        milliseconds, None where there is none.
        """
        return [_row(model, self.queries) for model in self.models]

    def calls(self, most: int | None = None, *, frame: str = "pandas") -> Any:
        """The calls themselves as a data frame, by their time; see `columns`.

        Args:
            most: The last so many only.
            frame: ``"pandas"`` or ``"polars"``.
        """
        if frame not in {"pandas", "polars"}:
            raise InvalidValueError(f"frame: expected pandas or polars, found {frame}")
        columns = self.columns(most)
        library = _module(frame)
        if frame == "polars":
            return library.DataFrame(columns, strict=False).with_columns(
                library.col("time").cast(library.Datetime("us", "UTC"))
            )
        out = library.DataFrame(columns)
        out["time"] = library.to_datetime(out["time"], unit="us", utc=True)
        return out

    def columns(self, most: int | None = None) -> dict[str, list[Any]]:
        """The calls themselves: a list for each column of the ledger's table ``calls``.

        ``time`` is in microseconds since 1970 (UTC), times taken are in milliseconds, money in US dollars as floats.
        """
        if self._ledger is None:
            raise InvalidValueError("this Spend was made without a ledger")
        found = self._ledger.core.calls(_core_filter(self.filters or {}), most)
        out: dict[str, list[Any]] = {}
        for name, values in found.items():
            if name in {"cost", "router_cost", "baseline", "saved"}:
                out[f"{name}_usd"] = [None if pico is None else pico / 1e12 for pico in values]
            else:
                out["time" if name == "ts" else name] = values
        return out

    def plot(self, *, ax: Axes | None = None, title: str | None = None) -> Axes:
        """Draws each model's share of queries and of cost as bars with their numbers.

        Args:
            ax: Axes to draw on; None: new ones.
            title: Title; None: one with the total and the estimated saving.

        Returns:
            The axes; ``.figure.savefig(path)`` writes the picture.

        Raises:
            NotBuiltError: matplotlib is not installed.
        """
        from ferroute import _spend_picture

        return _spend_picture.draw(self._bars(), title or self._title(), ax)

    def save_plot(self, path: str | PathLike[str], *, title: str | None = None) -> None:
        """Writes the picture of `plot` to a file, whose extension says the format; needs no display.

        Raises:
            NotBuiltError: matplotlib is not installed.
        """
        from ferroute import _spend_picture

        _spend_picture.save(path, self._bars(), title or self._title())

    def _bars(self) -> list[Bars]:
        from ferroute._spend_picture import Bars

        return [Bars(model.model, model.queries, _row(model, 0)["total_usd"]) for model in self.models]

    def _title(self) -> str:
        saved = "" if self.saved_share is None else f", estimated saving {self.saved_share:.1%}"
        return f"{self.queries:,} queries, {amount(self.total)}{saved}"

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain values, money as strings of dollars: for JSON."""
        from dataclasses import fields

        def plain(value: Any) -> Any:
            if isinstance(value, Decimal):
                return _dollars(value)
            if isinstance(value, (Sums, Latency, Measured)):
                inner = {field.name: plain(getattr(value, field.name)) for field in fields(value)}
                for name in ("total", "cost_per_query", "saved_share") if isinstance(value, Sums) else ():
                    inner[name] = plain(getattr(value, name))
                return inner
            return value

        out = {name: plain(getattr(self, name)) for name in (*_SUMS, "total", "cost_per_query", "saved_share")}
        out["models"] = [plain(model) for model in self.models]
        out["routers"] = [{"router": router} | plain(sums) for router, sums in (self.routers or {}).items()]
        for name in ("first_token", "latency", "saving", "lost", "forgotten"):
            out[name] = plain(getattr(self, name))
        return out

    def notes(self) -> list[str]:
        """What a reader of the sums should know: calls without a price, lost calls, what an estimate rests on."""
        out: list[str] = []
        if self.unpriced:
            of_all = f"{self.unpriced:,} of {self.queries:,} queries"
            out.append(f"{of_all} have no price: their cost is missing in the sums")
        if self.unpriced_routing:
            out.append(f"the cost of routing is not known for {self.unpriced_routing:,} calls")
        if self.estimated:
            out.append(f"the tokens of {self.estimated:,} calls are estimates")
        if self.saving is None and self.holdout:
            out.append(f"{self.holdout:,} calls by lot are too few to measure the saving")
        if self.lost:
            out.append(f"{self.lost:,} calls could not be kept")
        if self.forgotten:
            out.append(f"memory keeps the last calls only: {self.forgotten:,} older ones could not be looked at")
        return out

    def __repr__(self) -> str:
        head = f"Spend: {self.queries:,} queries, {amount(self.total)}{self._saved_text()}"
        table = [_TITLES, *(_cells(model, self.queries) for model in self.models)]
        if not self.models:
            return head
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = [
            "  ".join(
                cell.ljust(width) if index == 0 else cell.rjust(width)
                for index, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in table
        ]
        return "\n".join([head, *lines, *(f"note: {text}" for text in self.notes())])

    def _saved_text(self) -> str:
        parts: list[str] = []
        if self.compared:
            share = "" if self.saved_share is None else f", {self.saved_share:.1%}"
            parts.append(f"estimated saving {amount(self.saved)}{share}")
        if self.saving is not None:
            of = self.saving
            parts.append(f"measured {amount(of.usd)} ({amount(of.low)} to {amount(of.high)})")
        return "".join(f"; {part}" for part in parts)

    def _repr_html_(self) -> str:
        """A table for notebooks."""
        from html import escape

        head = escape(repr(self).splitlines()[0])
        left, right = "style='text-align:left'", "style='text-align:right'"

        def line(cells: tuple[str, ...], tag: str) -> str:
            inner = (f"<{tag} {right if index else left}>{escape(cell)}</{tag}>" for index, cell in enumerate(cells))
            return f"<tr>{''.join(inner)}</tr>"

        body = "".join(line(_cells(model, self.queries), "td") for model in self.models)
        notes = "".join(f"<p>note: {escape(text)}</p>" for text in self.notes())
        return f"<p>{head}</p><table><thead>{line(_TITLES, 'th')}</thead><tbody>{body}</tbody></table>{notes}"


def spend(
    ledger: Ledger,
    *,
    since: When | None = None,
    until: When | None = None,
    router: str | None = None,
    model: str | None = None,
) -> Spend:
    """What the calls of a ledger came to, those not yet written included.

    Args:
        ledger: An open `ferroute.ledger.Ledger`.
        since: From here on: a date or datetime (without a zone: UTC), a timedelta or a text like ``"7d"``, ``"24h"``,
            ``"30min"`` back from now, or an ISO date or time.
        until: Before here.
        router: Calls decided by this router.
        model: Calls of this model, under the caller's name for it.

    Raises:
        InvalidValueError: A time is none.
        UnreadableFileError: The store cannot be read.
    """
    filters = {"since": _microseconds("since", since), "until": _microseconds("until", until)}
    filters |= {"router": router, "model": model}
    found = ledger.core.spend(_core_filter(filters))
    models = tuple(
        ModelSums(
            **_sums(line),
            model=line["model"],
            first_token=_latency(line["first_ms"]),
            latency=_latency(line["total_ms"]),
        )
        for line in found["models"]
    )
    measured = found["measured"]
    return Spend(
        **_sums(found["all"]),
        models=models,
        routers={line["router"]: Sums(**_sums(line)) for line in found["routers"]},
        first_token=_latency(found["first_ms"]),
        latency=_latency(found["total_ms"]),
        saving=None if measured is None else Measured(*measured),
        lost=found["lost"],
        forgotten=found["forgotten"],
        filters=filters,
        _ledger=ledger,
    )


_MONEY = ("cost", "router_cost", "baseline", "saved")
_SUMS = tuple(Sums.__dataclass_fields__)

COLUMNS = {
    "model": "text",
    "queries": "whole",
    "share": "number",
    **dict.fromkeys(("ok", "cancelled", "failed", "hedged", "holdout", "attempts", "estimated", "unpriced"), "whole"),
    "prompt_tokens": "whole",
    "completion_tokens": "whole",
    "cached_tokens": "whole",
    "cache_write_tokens": "whole",
    "reasoning_tokens": "whole",
    "cost_usd": "number",
    "router_cost_usd": "number",
    "total_usd": "number",
    "cost_per_query_usd": "number",
    "baseline_usd": "number",
    "saved_usd": "number",
    "saved_share": "number",
    **{f"{what}_ms_{at}": "number" for what in ("first_token", "total") for at in ("p50", "p95", "p99")},
}
"""Columns of `Spend.rows` and their kinds."""


def _row(model: ModelSums, queries: int) -> dict[str, Any]:
    row: dict[str, Any] = {name: getattr(model, name, None) for name in COLUMNS}
    priced = model.queries > model.unpriced or model.cost != 0
    compared = model.compared > 0
    row["share"] = model.queries / queries if queries else 0.0
    row["cost_usd"] = float(model.cost) if priced else None
    row["router_cost_usd"] = float(model.router_cost)
    row["total_usd"] = float(model.total) if priced else None
    row["cost_per_query_usd"] = None if model.cost_per_query is None else float(model.cost_per_query)
    row["baseline_usd"] = float(model.baseline) if compared else None
    row["saved_usd"] = float(model.saved) if compared else None
    for what, times in (("first_token", model.first_token), ("total", model.latency)):
        for at in ("p50", "p95", "p99"):
            row[f"{what}_ms_{at}"] = None if times is None else getattr(times, at)
    return row


_TITLES = (
    "model",
    "queries",
    "share",
    "prompt",
    "completion",
    "cost",
    "per query",
    "saved (est.)",
    "first token p50/p95",
    "total p50/p95/p99",
)


def _cells(model: ModelSums, queries: int) -> tuple[str, ...]:
    first, total = model.first_token, model.latency
    all_unpriced = model.queries > 0 and model.unpriced == model.queries
    return (
        model.model,
        f"{model.queries:,}",
        f"{model.queries / queries:.1%}" if queries else "-",
        f"{model.prompt_tokens:,}",
        f"{model.completion_tokens:,}",
        "unpriced" if all_unpriced else amount(model.total),
        "-" if model.cost_per_query is None else amount(model.cost_per_query),
        amount(model.saved) if model.compared else "-",
        "-" if first is None else f"{duration(first.p50)} / {duration(first.p95)}",
        "-" if total is None else f"{duration(total.p50)} / {duration(total.p95)} / {duration(total.p99)}",
    )


def duration(milliseconds: float) -> str:
    """Milliseconds, or seconds where they are many, as a reader wants them."""
    return f"{milliseconds / 1000:.2f} s" if milliseconds >= 1000 else f"{milliseconds:.0f} ms"


def amount(dollars: Decimal | float) -> str:
    """Dollars with cents, or with three digits that say something where that is less."""
    value = float(dollars)
    sign, value = ("-" if value < 0 else ""), abs(value)
    if value == 0 or value >= 1:
        return f"{sign}${value:,.2f}"
    text = f"{value:.12f}"
    digits = next((index for index, digit in enumerate(text[2:]) if digit != "0"), 9)
    return f"{sign}${value:.{min(digits + 3, 12)}f}"


def _dollars(value: Decimal) -> str:
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _exact(picodollars: int) -> Decimal:
    """Dollars with no more digits than they need."""
    return Decimal(_dollars(Decimal(picodollars).scaleb(-12)))


def _sums(line: Mapping[str, Any]) -> dict[str, Any]:
    values = {name: _exact(line[name]) if name in _MONEY else line[name] for name in _SUMS if name != "queries"}
    return values | {"queries": line["calls"]}


def _latency(found: tuple[int, float, float, float] | None) -> Latency | None:
    return None if found is None else Latency(*found)


def _core_filter(filters: Mapping[str, Any]) -> tuple[int | None, int | None, str | None, str | None]:
    return filters.get("since"), filters.get("until"), filters.get("router"), filters.get("model")


def _microseconds(name: str, when: When | None) -> int | None:
    """Microseconds since 1970 of a time as callers give it."""
    if when is None:
        return None
    from datetime import date, datetime, time, timedelta, timezone

    value: Any = when
    if isinstance(value, str):
        value = _read_time(name, value)
    if isinstance(value, timedelta):
        value = datetime.now(timezone.utc) - value
    elif isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    if not isinstance(value, datetime):
        raise InvalidValueError(
            f"{name}: expected a date, a datetime, a timedelta or a text, found {type(when).__name__}"
        )
    if value.tzinfo is None:
        value = value.replace(tzinfo=timezone.utc)
    return (value - datetime(1970, 1, 1, tzinfo=timezone.utc)) // timedelta(microseconds=1)


def _read_time(name: str, text: str) -> Any:
    import re
    from datetime import datetime, timedelta

    units = {"s": "seconds", "min": "minutes", "h": "hours", "d": "days", "w": "weeks"}
    back = re.fullmatch(r"\s*(\d{1,6}(?:\.\d+)?)\s*(s|min|h|d|w)\s*", text)
    if back:
        return timedelta(**{units[back[2]]: float(back[1])})
    try:
        # Python 3.10 does not read the Z.
        return datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", text.strip()))
    except ValueError:
        raise InvalidValueError(
            f"{name}: expected a time such as 7d, 24h, 30min, 2026-01-31 or 2026-01-31T12:00:00Z, found {text!r}"
        ) from None


def _module(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        raise NotBuiltError(f"this needs {name}, which is not installed: pip install {name}") from None
