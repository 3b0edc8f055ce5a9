"""Amounts as a reader of prices wants them: every digit that counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from decimal import Decimal


def dollars(amount: Decimal | None) -> str:
    """With cents at least, and with every digit that counts; ``unpriced`` for None."""
    if amount is None:
        return "unpriced"
    text = f"{amount:,.2f}"
    exact = f"{amount.normalize():,f}"
    sign, text, exact = ("-", text[1:], exact[1:]) if amount < 0 else ("", text, exact)
    return f"{sign}${text if amount == round(amount, 2) else exact}"


def number(amount: Decimal) -> str:
    """With as many decimals as it has."""
    return f"{amount.normalize():,f}"


def percent(share: Decimal | None) -> str:
    """Of one decimal."""
    return "-" if share is None else f"{share:.1%}"
