"""Results as tables: plain text for a terminal, HTML for a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class Shown:
    """A result that shows itself as the table that its ``_table`` gives: header, rows, and a line below them."""

    def _table(self) -> tuple[Sequence[str], Sequence[Sequence[str]], str]:
        raise NotImplementedError

    def __repr__(self) -> str:
        return text_table(*self._table())

    def _repr_html_(self) -> str:
        return html_table(*self._table())


class AsText:
    """What shows itself as text: in a notebook its first line stands out, and the rest is laid out as in a terminal."""

    def _repr_html_(self) -> str:
        return html_text(str(self))


def html_text(text: str) -> str:
    """Text of several lines for a notebook, in the page's own colours; long lines are wrapped."""
    from html import escape

    whole = text[1:-1] if text.startswith("<") and text.endswith(">") else text
    head, _, rest = whole.partition("\n")
    style = "white-space:pre-wrap;overflow-wrap:anywhere;background:none;color:inherit;border:0;padding:0;margin:0"
    return f'<pre style="{style}"><strong>{escape(head)}</strong>{escape(f"{chr(10)}{rest}") if rest else ""}</pre>'


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
    from html import escape

    def cells(tag: str, row: Sequence[str]) -> str:
        align = ("left", *("right",) * (len(row) - 1))
        parts = (
            f'<{tag} style="text-align: {side}">{escape(cell)}</{tag}>' for side, cell in zip(align, row, strict=True)
        )
        return f"<tr>{''.join(parts)}</tr>"

    body = "".join(cells("td", row) for row in rows)
    note = f"<p>{escape(caption)}</p>" if caption else ""
    return f"<table><thead>{cells('th', head)}</thead><tbody>{body}</tbody></table>{note}"
