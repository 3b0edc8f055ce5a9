"""What `ferroute.pricing` answers: frozen, and readable in a terminal and in a notebook."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

from ferroute._grid import Shown
from ferroute.pricing import _show

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Rate:
    """The price of one unit.

    Attributes:
        usd: US dollars for `per` of the unit.
        per: A million tokens, or a thousand requests.
        above: For prompts of more than so many tokens in all, this price for every token: ``(tokens, usd)``, ascending.
    """

    usd: Decimal
    per: int
    above: tuple[tuple[int, Decimal], ...] = ()

    def __str__(self) -> str:
        steps = "".join(f", ${_show.number(usd)} above {start:,}" for start, usd in self.above)
        return f"${_show.number(self.usd)}{steps}"


@dataclass(frozen=True, repr=False)
class Price(Shown):
    """What one model costs.

    Attributes:
        model: The model's name at the source.
        rates: Prices by unit: ``input``, ``output``, ``cache_read``, ``cache_write``, ``cache_write_1h``,
            ``input_audio``, ``output_audio``, ``reasoning``, ``request``. A unit that is not there is paid for as part
            of the input or the output.
        since: First day of this price, ``YYYY-MM-DD``; None where the source names none.
        as_of: The day on which the source was read, ``YYYY-MM-DD``.
        source: Where.
    """

    model: str
    rates: Mapping[str, Rate]
    since: str | None
    as_of: str
    source: str

    @property
    def input(self) -> Decimal:
        """US dollars for a million prompt tokens, of short prompts where length matters."""
        return self._usd("input")

    @property
    def output(self) -> Decimal:
        """US dollars for a million completion tokens, as `input`; 0 for a model that makes none (embeddings)."""
        return self._usd("output")

    @property
    def date(self) -> str:
        """The first day of this price, or the day on which it was read."""
        return self.since or self.as_of

    def _usd(self, unit: str) -> Decimal:
        rate = self.rates.get(unit)
        return Decimal(0) if rate is None else rate.usd

    def _table(self) -> tuple[tuple[str, str, str], list[tuple[str, str, str]], str]:
        rows = [(unit, str(rate), f"{rate.per:,}") for unit, rate in self.rates.items()]
        since = f"since {self.since}, " if self.since else ""
        return (self.model, "US dollars", "per"), rows, f"{since}read {self.as_of}: {self.source}"


@dataclass(frozen=True)
class CostPart:
    """One line of a cost.

    Attributes:
        unit: What is paid for, as in `Price.rates`.
        amount: How many tokens; 1 for ``request``.
        usd: US dollars for `per` of them.
        per: A million tokens, or a thousand requests.
        cost: US dollars.
    """

    unit: str
    amount: Decimal
    usd: Decimal
    per: int
    cost: Decimal


@dataclass(frozen=True, repr=False)
class Cost(Shown):
    """What one call costs, in US dollars: the total and its parts, which add up to it."""

    model: str
    total: Decimal
    parts: tuple[CostPart, ...]

    def _table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]], str]:
        rows = [
            (one.unit, _show.number(one.amount), f"${_show.number(one.usd)} / {one.per:,}", _show.dollars(one.cost))
            for one in self.parts
        ]
        return (self.model, "amount", "price", "cost"), [*rows, ("total", "", "", _show.dollars(self.total))], ""


@dataclass(frozen=True, repr=False)
class Comparison(Shown, Mapping[str, "Decimal | None"]):
    """Costs of the same usage at several models: a mapping from model to US dollars, cheapest first, unpriced last."""

    costs: Mapping[str, Decimal | None]
    caption: str = ""

    def __getitem__(self, model: str) -> Decimal | None:
        return self.costs[model]

    def __iter__(self) -> Iterator[str]:
        return iter(self.costs)

    def __len__(self) -> int:
        return len(self.costs)

    def _table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]], str]:
        least = next((cost for cost in self.costs.values() if cost), None)
        rows: list[tuple[str, ...]] = []
        for model, cost in self.costs.items():
            times = f"{cost / least:.1f}" if least is not None and cost is not None else "-"
            rows.append((model, _show.dollars(cost), times))
        return ("model", "cost", "times the cheapest"), rows, self.caption


@dataclass(frozen=True)
class Line:
    """One model's line in a scenario: its share and number of requests, and US dollars (None: price not known)."""

    model: str
    share: Decimal
    requests: Decimal
    cost: Decimal | None


@dataclass(frozen=True, repr=False)
class Scenario(Shown):
    """What a number of requests costs under a mix of models, and what that saves.

    Attributes:
        requests: Number of requests.
        lines: One for each model, in the order of the mix.
        cost: US dollars in all; None where a model that is used has no known price (`unpriced`).
        baseline: The model it is held against, if any.
        baseline_cost: US dollars if that model answered everything.
    """

    requests: Decimal
    lines: tuple[Line, ...]
    cost: Decimal | None
    baseline: str | None = None
    baseline_cost: Decimal | None = None
    caption: str = field(default="", compare=False)

    @property
    def saved(self) -> Decimal | None:
        """US dollars less than the baseline; negative for a dearer mix, None where either is not known."""
        return None if self.cost is None or self.baseline_cost is None else self.baseline_cost - self.cost

    @property
    def saved_share(self) -> Decimal | None:
        """The part of the baseline's cost that is saved: 0.6 for 60 %; negative is a loss, None: not known."""
        saved = self.saved
        return None if saved is None or not self.baseline_cost else saved / self.baseline_cost

    @property
    def unpriced(self) -> tuple[str, ...]:
        """Models in use whose price is not known."""
        return tuple(line.model for line in self.lines if line.cost is None and line.requests)

    def _table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]], str]:
        rows = [
            (line.model, _show.percent(line.share), _show.number(line.requests), _show.dollars(line.cost))
            for line in self.lines
        ]
        rows.append(("total", "", _show.number(self.requests), _show.dollars(self.cost)))
        if self.baseline is not None:
            all_of_it = ("100.0%", _show.number(self.requests), _show.dollars(self.baseline_cost))
            rows.append((f"all {self.baseline}", *all_of_it))
            saved = "-" if self.saved is None else _show.dollars(self.saved)
            rows.append(("saved", _show.percent(self.saved_share), "", saved))
        return ("model", "share", "requests", "cost"), rows, self.caption


@dataclass(frozen=True)
class Facts:
    """A model's limits and abilities; None where the data do not say.

    Attributes:
        context: The longest prompt, in tokens.
        max_output: The longest completion, in tokens.
        images: Takes images.
        tools: Takes tools.
        audio: Takes sound.
        schema: Holds itself to a JSON schema.
        reasoning: Reasons before it answers.
        shutdown: The day from which its provider does not serve it any more, ``YYYY-MM-DD``.
    """

    context: int | None
    max_output: int | None
    images: bool | None
    tools: bool | None
    audio: bool | None
    schema: bool | None
    reasoning: bool | None
    shutdown: str | None
