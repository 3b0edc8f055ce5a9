"""A comparison as a LaTeX table with booktabs' rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ferroute.evals._provenance import Provenance

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "\n": " ",
    "\r": " ",
}


def escape(text: str) -> str:
    """A text that LaTeX prints as it is."""
    return "".join(_SPECIAL.get(letter, letter) for letter in text)


def latex_table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    caption: str,
    note: str,
    label: str | None,
    provenance: Provenance | None,
    rule_before: int | None = None,
) -> str:
    r"""The lines of a ``table`` environment; needs ``\usepackage{booktabs}``.

    Args:
        head: Titles of the columns.
        rows: Cells as plain text; what stands in brackets is set smaller.
        caption: Above the table.
        note: Below it.
        label: For ``\ref``; None: none.
        provenance: Written as comments, so that it travels with the table and is not printed.
        rule_before: Row that a rule parts from those above it.
    """
    comments = [] if provenance is None else [f"% {name}: {value}" for name, value in provenance.to_dict().items()]
    lines = [
        *comments,
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape(caption)}}}",
        *([rf"\label{{{label}}}"] if label else []),
        rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}",
        r"\toprule",
        _row([escape(cell) for cell in head]),
        r"\midrule",
    ]
    for at, row in enumerate(rows):
        if at == rule_before and at:
            lines.append(r"\midrule")
        lines.append(_row([escape(row[0].strip()), *(_cell(cell) for cell in row[1:])]))
    lines += [r"\bottomrule", r"\end{tabular}"]
    if note:
        lines.append(rf"\par\smallskip{{\footnotesize {escape(note)}}}")
    return "\n".join([*lines, r"\end{table}", ""])


def _row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def _cell(text: str) -> str:
    value, bracket, rest = text.partition(" (")
    if not bracket:
        return "--" if text == "-" else escape(text)
    low_high = escape(rest.removesuffix(")"))
    return rf"{escape(value)} {{\scriptsize [{_range(low_high)}]}}"


def _range(text: str) -> str:
    """Ends of an interval: an en dash between them, unless one is negative."""
    return text if " to " in text else text.replace("-", "--", 1)
