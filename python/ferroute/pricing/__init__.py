"""What models cost, and the bill for a mix of them, in exact decimals.

Prices are dated and name their source. An unknown price is None or an error, never zero.

Example:
    >>> million = bill(1_000_000, [Part("gpt-5.2", 0.3, 1000, 500), Part("gpt-5-mini", 0.7, 1000, 500)])
    >>> million.total
    Decimal('3500')
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from ferroute import _core

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal
    from typing import TypeAlias

    Amount: TypeAlias = Decimal | int | float | str

__all__ = ["Bill", "Line", "Part", "Price", "bill", "price"]


@dataclass(frozen=True)
class Price:
    """What one model costs from a day on.

    Attributes:
        input: US dollars for a million prompt tokens.
        output: US dollars for a million completion tokens.
        date: Day on which the source said so, ``YYYY-MM-DD``.
        source: Where the price was read.
    """

    input: Decimal
    output: Decimal
    date: str
    source: str


@dataclass(frozen=True)
class Part:
    """One model's part of the traffic.

    Attributes:
        model: A name in the table.
        share: Share of the requests, 0..=1.
        prompt_tokens: Prompt tokens of an average request.
        completion_tokens: Completion tokens of an average request.
    """

    model: str
    share: Amount
    prompt_tokens: Amount
    completion_tokens: Amount


@dataclass(frozen=True)
class Line:
    """One model's line on a bill: number of requests, US dollars, and the price they were charged at."""

    model: str
    requests: Decimal
    cost: Decimal
    price: Price


@dataclass(frozen=True)
class Bill:
    """What a number of requests cost, in US dollars."""

    total: Decimal
    lines: tuple[Line, ...]

    def saving_against(self, other: Bill) -> Decimal | None:
        """The part of ``other``'s total that this bill saves; negative if it is dearer, None if the other is 0."""
        return 1 - self.total / other.total if other.total else None


def price(model: str, at: str | None = None) -> Price | None:
    """The price of ``model`` on the day ``at`` (``YYYY-MM-DD``; None: the newest), or None where it is not known.

    A provider before the name is looked past: ``openai/gpt-5.2`` costs what ``gpt-5.2`` does.
    """
    found = _table().price(model, at)
    return None if found is None else Price(*found)


def bill(requests: int, mix: Sequence[Part], at: str | None = None) -> Bill:
    """The bill for ``requests`` requests under a mix of models.

    Args:
        requests: Number of requests.
        mix: The parts; their shares add up to 1.
        at: Day whose prices count, ``YYYY-MM-DD``; None: the newest.

    Raises:
        UnknownNameError: A model's price is not known.
        InvalidValueError: The shares do not add up to 1, or a number is negative.
    """
    parts = [(part.model, part.share, part.prompt_tokens, part.completion_tokens) for part in mix]
    total, lines = _table().bill(requests, parts, at)
    return Bill(total, tuple(Line(model, n, cost, Price(*at_price)) for model, n, cost, at_price in lines))


@lru_cache(maxsize=1)
def _table() -> _core.PriceTable:
    return _core.PriceTable()
