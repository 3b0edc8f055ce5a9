"""Remarks on a decision, left by whatever runs beneath it: the prompt was cut, an embedding was paid for.

A router returns a number, and subclasses override that method, so remarks travel beside it. The collector is a
context variable: it follows `asyncio.to_thread` and tasks, and two requests never mix.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from decimal import Decimal


class Remarks(list[str]):
    """The notes on one decision, and what making it cost.

    Attributes:
        cost: US dollars; None while nothing was paid.
        unpriced: Something was paid for whose price is unknown.
    """

    # Defaults of the class: most decisions set neither, and a constructor would cost each of them a tenth of a
    # microsecond.
    cost: Decimal | None = None
    unpriced: bool = False


collector: ContextVar[Remarks | None] = ContextVar("ferroute_notes", default=None)


def note(text: str) -> None:
    """Leaves a note on the decision being made, if one is."""
    notes = collector.get()
    if notes is not None and text not in notes:
        notes.append(text)


def charge(usd: Decimal | None) -> None:
    """Adds to the cost of the decision being made, if one is: US dollars, or None where the price is unknown."""
    remarks = collector.get()
    if remarks is None:
        return
    if usd is None:
        remarks.unpriced = True
    else:
        remarks.cost = usd if remarks.cost is None else remarks.cost + usd
