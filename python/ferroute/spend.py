"""What calls came to: money, tokens and times by model, and what routing saved.

The estimated saving compares each call with a forecast of the same call at the strong model; the measured one compares
routed calls with the share that ``holdout=`` sent to the strong model by lot.

Sums are exact: the ledger counts in picodollars. Calls without a price are counted as unpriced, never as free.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ferroute._accuracy import NOT_MEASURED, Accuracy, Rate, accuracies
from ferroute._grid import text_table
from ferroute._moments import microseconds
from ferroute._spend_rows import COLUMNS, row
from ferroute._spend_text import TITLES, amount, cells
from ferroute._sums import SUMS, Latency, Measured, ModelSums, Sums, dollars, latency, sums
from ferroute.errors import InvalidValueError, NotBuiltError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike
    from typing import Protocol

    import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
    import polars as pl
    from matplotlib.axes import Axes

    from ferroute._core import Ledger as Core
    from ferroute._moments import When
    from ferroute._spend_picture import Bars

    class Ledger(Protocol):
        """What is asked of a ledger."""

        @property
        def core(self) -> Core:
            """The core's."""
            ...


__all__ = ["Accuracy", "Latency", "Measured", "ModelSums", "Rate", "Spend", "Sums", "spend"]


@dataclass(frozen=True, repr=False)
class Spend(Sums):
    """What calls came to; made by `spend`, `Ledger.spend` and ``Controller.spend``.

    Attributes:
        models: One entry a model, the busiest first.
        routers: Sums by router; the key None stands for models asked for by name.
        first_token: Times until the first content, of streams.
        latency: Times until the end.
        saving: The saving measured by ``holdout=``; None with fewer than 10 such calls.
        accuracies: How often the routers were right by each source of outcomes (`Ledger.add_outcome`), those that know
            best first: gold, user, feedback, others, judges. Empty: the quality was not measured.
        lost: Calls that could not be kept.
        forgotten: Calls in memory too old for a question about their time.
        filters: What was asked for.
    """

    models: tuple[ModelSums, ...] = ()
    routers: Mapping[str | None, Sums] | None = None
    first_token: Latency | None = None
    latency: Latency | None = None
    saving: Measured | None = None
    accuracies: tuple[Accuracy, ...] = ()
    lost: int = 0
    forgotten: int = 0
    filters: Mapping[str, Any] | None = None
    _ledger: Ledger | None = None

    @property
    def accuracy(self) -> Accuracy | None:
        """The first of `accuracies`; None: the quality was not measured. Sources are never mixed."""
        return self.accuracies[0] if self.accuracies else None

    def to_pandas(self) -> pd.DataFrame:
        """One row a model, as `rows` gives them.

        Raises:
            NotBuiltError: pandas is not installed.
        """
        pd = _module("pandas")
        return pd.DataFrame(self.rows(), columns=list(COLUMNS))

    def to_polars(self) -> pl.DataFrame:
        """One row a model, as `rows` gives them.

        Raises:
            NotBuiltError: polars is not installed.
        """
        pl = _module("polars")
        rows = self.rows()
        columns = {name: [each[name] for each in rows] for name in COLUMNS}
        types = {"text": pl.String, "whole": pl.Int64, "number": pl.Float64}
        return pl.DataFrame(columns, schema={name: types[kind] for name, kind in COLUMNS.items()})

    def rows(self) -> list[dict[str, Any]]:
        """One dict a model: ``model``, ``queries``, ``share`` of all queries, counts, tokens, money and times.

        Money is in US dollars as floats (the attributes have it exactly), None where no call has a price; times are in
        milliseconds, None where there is none.
        """
        return [row(model, self.queries) for model in self.models]

    def calls(self, most: int | None = None, *, frame: str = "pandas") -> Any:
        """The calls themselves as a data frame, by their time; see `columns`.

        Args:
            most: The last so many only.
            frame: ``"pandas"`` or ``"polars"``.

        Raises:
            InvalidValueError: It is another kind of frame, or this was made without a ledger.
            NotBuiltError: That package is not installed.
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

        Args:
            most: Rows at most, the latest; None: all.

        Raises:
            InvalidValueError: It was made without a ledger.
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
            title: Title; None: one with the total, the estimated saving and what is known of the quality.

        Returns:
            The axes; ``.figure.savefig(path)`` writes the picture.

        Raises:
            NotBuiltError: matplotlib is not installed.
        """
        from ferroute import _spend_picture

        return _spend_picture.draw(self._bars(), title or self._title(), ax)

    def save_plot(self, path: str | PathLike[str], *, title: str | None = None) -> None:
        """Writes the picture of `plot` to a file, whose extension says the format; needs no display.

        Args:
            path: The file, such as ``picture.png``.
            title: Title; None: one that says what is drawn.

        Raises:
            NotBuiltError: matplotlib is not installed.
        """
        from ferroute import _spend_picture

        _spend_picture.save(path, self._bars(), title or self._title())

    def _bars(self) -> list[Bars]:
        from ferroute._spend_picture import Bars

        return [Bars(model.model, model.queries, row(model, 0)["total_usd"]) for model in self.models]

    def _title(self) -> str:
        saved = "" if self.saved_share is None else f", estimated saving {self.saved_share:.1%}"
        quality = f", {self._quality()}" if self._claims() else ""
        return f"{self.queries:,} queries, {amount(self.total)}{saved}{quality}"

    def _claims(self) -> bool:
        """Whether a saving or a quality is told, which are told together."""
        return self.saved_share is not None or self.saving is not None or self.accuracy is not None

    def _quality(self) -> str:
        return NOT_MEASURED if self.accuracy is None else self.accuracy.short()

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain values, money as strings of dollars: for JSON."""
        from dataclasses import fields

        def plain(value: Any) -> Any:
            if isinstance(value, Decimal):
                return dollars(value)
            if isinstance(value, (Sums, Latency, Measured, Accuracy, Rate)):
                inner = {field.name: plain(getattr(value, field.name)) for field in fields(value)}
                for name in ("total", "cost_per_query", "saved_share") if isinstance(value, Sums) else ():
                    inner[name] = plain(getattr(value, name))
                return inner
            return value

        out = {name: plain(getattr(self, name)) for name in (*SUMS, "total", "cost_per_query", "saved_share")}
        out["models"] = [plain(model) for model in self.models]
        out["routers"] = [{"router": router} | plain(sums) for router, sums in (self.routers or {}).items()]
        out["accuracies"] = [plain(accuracy) for accuracy in self.accuracies]
        for name in ("first_token", "latency", "saving", "accuracy", "lost", "forgotten"):
            out[name] = plain(getattr(self, name))
        return out

    def lines(self) -> list[str]:
        """What is told apart from the sums: what audits have cost, and the quality by each source."""
        out = [accuracy.words() for accuracy in self.accuracies]
        if self.shadows:
            cost = amount(self.shadow_cost) if self.shadows > self.unpriced_shadows else "unpriced"
            missing = f", {self.unpriced_shadows:,} of them without a price" if self.unpriced_shadows else ""
            answers = "answer" if self.shadows == 1 else "answers"
            out.append(f"audits: {cost} for {self.shadows:,} {answers} to compare with{missing}; not in the total")
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

    def _headline(self) -> str:
        parts = [f"Spend: {self.queries:,} queries, {amount(self.total)}"]
        if self.compared:
            share = "" if self.saved_share is None else f", {self.saved_share:.1%}"
            parts.append(f"estimated saving {amount(self.saved)}{share}")
        if self.saving is not None:
            of = self.saving
            parts.append(f"measured {amount(of.usd)} ({amount(of.low)} to {amount(of.high)})")
        if self._claims():
            parts.append(self._quality())
        return "; ".join(parts)

    def __repr__(self) -> str:
        if not self.models:
            return self._headline()
        table = text_table(TITLES, [cells(model, self.queries) for model in self.models])
        return "\n".join([self._headline(), table, *self.lines(), *(f"note: {text}" for text in self.notes())])

    def _repr_html_(self) -> str:
        """A table for notebooks."""
        from ferroute import _notebook

        rows = [cells(model, self.queries) for model in self.models]
        table = _notebook.table(TITLES, rows) if rows else ""
        texts = [*self.lines(), *(f"note: {text}" for text in self.notes())]
        return _notebook.frame(_notebook.head(self._headline()), table, *map(_notebook.note, texts))


def spend(
    ledger: Ledger,
    *,
    since: When | None = None,
    until: When | None = None,
    router: str | None = None,
    model: str | None = None,
    strong: str | None = None,
    weak: str | None = None,
    passing: float = 0.5,
) -> Spend:
    """What the calls of a ledger came to, those not yet written included.

    Args:
        ledger: An open `ferroute.ledger.Ledger`.
        since: From here on: a date or datetime (without a zone: UTC), a timedelta or a text like ``"7d"``, ``"24h"``,
            ``"30min"`` back from now, or an ISO date or time.
        until: Before here.
        router: Calls decided by this router.
        model: Calls of this model, under the caller's name for it.
        strong: Name of the strong model, for the accuracy: where a call was routed is told by its win rate and
            threshold, and by who answered where those are not known (shares, ladders). A Controller says it by itself.
        weak: Name of the weak model, likewise: of a strong-routed call only the weak model's answer beside it counts.
        passing: An outcome's score of at least this much counts as success, 0..=1.

    Raises:
        InvalidValueError: A time is none, or ``passing`` is not in 0..1.
        UnreadableFileError: The store cannot be read.
    """
    filters = {"since": microseconds("since", since), "until": microseconds("until", until)}
    filters |= {"router": router, "model": model}
    found = ledger.core.spend(_core_filter(filters))
    models = tuple(
        ModelSums(
            **sums(line),
            model=line["model"],
            first_token=latency(line["first_ms"]),
            latency=latency(line["total_ms"]),
        )
        for line in found["models"]
    )
    measured = found["measured"]
    return Spend(
        **sums(found["all"]),
        models=models,
        routers={line["router"]: Sums(**sums(line)) for line in found["routers"]},
        first_token=latency(found["first_ms"]),
        latency=latency(found["total_ms"]),
        saving=None if measured is None else Measured(*measured),
        accuracies=accuracies(ledger.core.accuracy(_core_filter(filters), passing=passing, strong=strong, weak=weak)),
        lost=found["lost"],
        forgotten=found["forgotten"],
        filters=filters,
        _ledger=ledger,
    )


def _core_filter(filters: Mapping[str, Any]) -> tuple[int | None, int | None, str | None, str | None]:
    return filters.get("since"), filters.get("until"), filters.get("router"), filters.get("model")


def _module(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        raise NotBuiltError(f"this needs {name}, which is not installed: pip install {name}") from None
