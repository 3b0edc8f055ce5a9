"""The money of a shadow: reserved before a call by the most it can cost, settled by what it came to."""

from __future__ import annotations

import datetime as dt
import threading
from decimal import Decimal
from typing import NamedTuple

from ferroute import _core


class Grant(NamedTuple):
    """Leave to spend.

    Attributes:
        reserved: US dollars set aside.
        period: The day it counts for; None without days.
    """

    reserved: Decimal
    period: dt.date | None


class Budget:
    """US dollars for a day, or for ever. What is spent and what is reserved never come to more than the limit.

    Args:
        limit: US dollars; None: no limit.
        per_day: Whether each day, by UTC, has its own.
    """

    def __init__(self, limit: Decimal | None, *, per_day: bool) -> None:
        self.limit = limit
        self._per_day = per_day
        self._spent = self._reserved = Decimal(0)
        self._period = self._today()
        # The most that a call has cost, as a multiple of what was reserved: a provider may bill more than it was asked.
        self._worst = Decimal(1)
        self._lock = threading.Lock()

    def _today(self) -> dt.date | None:
        return dt.datetime.now(dt.timezone.utc).date() if self._per_day else None

    def _turn(self) -> None:
        """Begins a new day, if there is one. What is reserved goes with the day that it was reserved on."""
        today = self._today()
        if today != self._period:
            self._period, self._spent, self._reserved = today, Decimal(0), Decimal(0)

    @property
    def spent(self) -> Decimal:
        """US dollars spent in this period."""
        with self._lock:
            self._turn()
            return self._spent

    def left(self) -> Decimal | None:
        """US dollars that are neither spent nor reserved; None: no limit. A little less where calls have cost more."""
        with self._lock:
            self._turn()
            if self.limit is None:
                return None
            return max(self.limit - self._spent - self._reserved, Decimal(0)) / self._worst

    def reserve(self, amount: Decimal) -> Grant | None:
        """Sets ``amount`` aside; None where that is not there."""
        with self._lock:
            self._turn()
            amount *= self._worst
            if self.limit is not None and self._spent + self._reserved + amount > self.limit:
                return None
            self._reserved += amount
            return Grant(amount, self._period)

    def settle(self, grant: Grant, cost: Decimal) -> None:
        """Puts what a call cost in the place of what was reserved for it."""
        with self._lock:
            self._turn()
            if grant.period == self._period:
                self._reserved -= grant.reserved
                self._spent += cost
            if cost > grant.reserved > 0:
                self._worst = max(self._worst, self._worst * cost / grant.reserved)

    def forked(self) -> None:
        """In a forked child: calls of the parent are the parent's."""
        self._lock = threading.Lock()
        self._reserved = Decimal(0)


class Rate(NamedTuple):
    """What tokens of one model cost at most.

    Attributes:
        names: As prices are looked up.
        service_tier: The request's.
    """

    names: list[str]
    service_tier: str | None

    def of(self, prompt: int, completion: int) -> Decimal | None:
        """US dollars for so many tokens; None where the price is unknown."""
        found = _core.pricing_cost(self.names, (prompt, completion, 0, 0, 0, 0, 0, 0), self.service_tier, None)
        return None if found is None else found[0]

    def longest(self, prompt: int, wanted: int, money: Decimal) -> int:
        """The longest answer, up to ``wanted`` tokens, that ``money`` pays for; 0 where it pays for none."""
        low, high = 0, wanted
        while low < high:
            middle = (low + high + 1) // 2
            cost = self.of(prompt, middle)
            low, high = (middle, high) if cost is not None and cost <= money else (low, middle - 1)
        return low
