"""Results as tables: plain text for a terminal, HTML for a notebook."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
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


def text_table(head: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "") -> str:
    """The first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    lines = [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [head, *rows]
    ]
    return "\n".join([*lines, caption] if caption else lines)


def html_table(head: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "") -> str:
    """The same for a notebook."""

    def cells(tag: str, row: Sequence[str]) -> str:
        align = ("left", *("right",) * (len(row) - 1))
        parts = (
            f'<{tag} style="text-align: {side}">{html.escape(cell)}</{tag}>'
            for side, cell in zip(align, row, strict=True)
        )
        return f"<tr>{''.join(parts)}</tr>"

    body = "".join(cells("td", row) for row in rows)
    note = f"<p>{html.escape(caption)}</p>" if caption else ""
    return f"<table><thead>{cells('th', head)}</thead><tbody>{body}</tbody></table>{note}"
