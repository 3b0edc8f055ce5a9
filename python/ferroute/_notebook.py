"""What a notebook shows: one frame, one table and one kind of text for all classes that people look at.

Colours are the page's own, lines are half transparent, so light and dark themes both fit. Two things that notebooks do
to HTML are undone here, since they change what is read:

- MathJax takes what stands between two dollar signs for a formula, and we write dollars. The classes in `NO_MATH` keep
  it away: MathJax 2 knows the first, MathJax 3 and later the second (option ``ignoreHtmlClass``). pandas does the same.
- JupyterLab stripes tables, shrinks their letters and aligns all cells to the right. Rules here name frame, table and
  cell, so they are stronger.

A notebook that is not trusted is shown without styles, scripts and drawings, though the words of a drawing stay. So the
side of a cell stands on the cell, and what `drawn` wraps is hidden unless there is a style.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

NO_MATH = "tex2jax_ignore mathjax_ignore"
"""Classes of every outermost element: dollars are no formulas."""

DRAWN = ".fr-drawn[hidden]{display:block!important}"
"""The style that shows what `drawn` wraps; where something else hides by the same attribute, it stands behind that."""

_STYLE = """
.fr-shown{max-width:100%;overflow-x:auto;font:13px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif;color:inherit;
 text-align:left}
.fr-shown .fr-head{font-weight:650;overflow-wrap:anywhere}
.fr-shown .fr-note{opacity:.78;margin:4px 0;max-width:860px;overflow-wrap:anywhere}
.fr-shown table.fr-table{border-collapse:collapse;margin:6px 0;font-size:13px;font-variant-numeric:tabular-nums;
 border:0;color:inherit}
.fr-shown .fr-table tr:nth-child(n),.fr-shown .fr-table tbody tr:nth-child(n){background:none}
.fr-shown .fr-table tbody tr:nth-child(n):hover{background:rgba(128,128,128,.12)}
.fr-shown .fr-table th,.fr-shown .fr-table td{padding:3px 14px 3px 0;vertical-align:top;border:0;color:inherit;
 background:none;border-top:1px solid rgba(128,128,128,.25);white-space:normal;max-width:none}
.fr-shown .fr-table thead th{border-top:0;font-weight:500;opacity:.78;vertical-align:bottom}
.fr-shown .fr-table tbody th{font-weight:600}
.fr-shown .fr-table tbody th.fr-plain{font-weight:400;opacity:.78}
.fr-shown ul{margin:4px 0;padding-left:20px;max-width:860px}
.fr-shown li{margin:0;overflow-wrap:anywhere}
.fr-shown pre{font-size:13px;color:inherit}
""".replace("\n", "")


def frame(*parts: str) -> str:
    """The outermost element of what one class shows.

    Args:
        parts: Finished HTML, such as that of `table`, `head` and `note`.
    """
    return f'<div class="fr-shown {NO_MATH}"><style>{_STYLE}</style>{"".join(parts)}</div>'


def drawn(html: str) -> str:
    """A drawing with words in it, gone where styles are taken away; needs `DRAWN` in the style.

    Args:
        html: Finished HTML. The attribute has a value, since JupyterLab drops one without.
    """
    return f'<div class="fr-drawn" hidden="hidden">{html}</div>'


def head(text: str) -> str:
    """A line above a table that stands out; escaped here."""
    return f'<div class="fr-head"><strong>{escape(text)}</strong></div>'


def note(text: str) -> str:
    """A line below a table, nothing for an empty one; escaped here."""
    return f'<div class="fr-note">{escape(text)}</div>' if text else ""


def table(
    titles: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    left: int = 1,
    plain: Sequence[int] = (),
) -> str:
    """A table; cells are escaped here.

    Args:
        titles: The columns'; empty: a table without a head. The first cell of each row is its name.
        rows: Its cells, as many a row as there are columns.
        left: So many columns are aligned to the left, the others, numbers, to the right.
        plain: Indices of rows whose names do not stand out, such as baselines.
    """

    def cell(tag: str, at: int, text: str, quiet: bool) -> str:
        side = "left" if at < left else "right"
        kind = ' class="fr-plain"' if quiet and tag == "th" else ""
        # A narrow cell breaks between a figure and its interval, not inside of it.
        figure, gap, interval = text.partition(" (") if at >= left and text.endswith(")") else (text, "", "")
        whole = f' <span style="white-space:nowrap">({escape(interval)}</span>' if gap else ""
        return f'<{tag}{kind} style="text-align:{side}">{escape(figure)}{whole}</{tag}>'

    body = "".join(
        "<tr>" + "".join(cell("td" if at else "th", at, text, row in plain) for at, text in enumerate(cells)) + "</tr>"
        for row, cells in enumerate(rows)
    )
    top = f"<thead><tr>{''.join(cell('th', at, text, False) for at, text in enumerate(titles))}</tr></thead>"
    return f'<table class="fr-table">{top if titles else ""}<tbody>{body}</tbody></table>'


def items(texts: Iterable[str]) -> str:
    """A list, nothing for an empty one; escaped here."""
    found = "".join(f"<li>{escape(text)}</li>" for text in texts)
    return f"<ul>{found}</ul>" if found else ""


def lines(text: str) -> str:
    """Text of several lines in its own layout: the first stands out, long ones are wrapped; escaped here."""
    whole = text[1:-1] if text.startswith("<") and text.endswith(">") else text
    first, _, rest = whole.partition("\n")
    style = "white-space:pre-wrap;overflow-wrap:anywhere;background:none;color:inherit;border:0;padding:0;margin:0"
    return f'<pre style="{style}"><strong>{escape(first)}</strong>{escape(f"{chr(10)}{rest}") if rest else ""}</pre>'
