"""Pictures for the page, as SVG without a script: pairs of bars, and estimates with their intervals."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from ferroute._notebook import drawn
from ferroute.auditing._words import dollars, percent

if TYPE_CHECKING:
    from collections.abc import Sequence

_COLOURS = ("#7f8ea3", "#d9822b")
_WIDTH, _LEFT, _RIGHT = 920, 210, 150
"""Units of the drawing: its width, and the room for names and for figures."""


@dataclass(frozen=True)
class Bar:
    """Two shares of one name, 0..=1, and a figure; None: the second is not known."""

    name: str
    first: float
    second: float | None
    figure: str


@dataclass(frozen=True)
class Span:
    """An estimate with its interval, None where there is none, and a figure."""

    name: str
    estimate: float
    interval: tuple[float, float] | None
    figure: str


def bars(rows: Sequence[Bar], legend: tuple[str, str]) -> str:
    """A pair of bars for each row, with their shares in figures."""
    room, parts = _WIDTH - _LEFT - _RIGHT, [_legend(legend)]
    for at, row in enumerate(rows):
        top = 26 + at * 38
        parts.append(_text(_LEFT - 12, top + 19, row.name, "end"))
        for line, (share, colour) in enumerate(zip((row.first, row.second), _COLOURS, strict=True)):
            y, wide = top + line * 14, max(room * (share or 0.0), 1.0)
            parts.append(f'<rect x="{_LEFT}" y="{y}" width="{wide:.1f}" height="12" rx="2" fill="{colour}"/>')
            figure = percent(share) if share is not None else "not priced"
            if line and share is not None:
                figure += f" ({row.figure})"
            parts.append(_text(_LEFT + wide + 6, y + 10, figure))
    return _drawing(parts, 30 + len(rows) * 38, " and ".join(legend))


def spans(rows: Sequence[Span], what: str) -> str:
    """An interval with its estimate for each row, on one scale that has zero in it."""
    ends = [end for row in rows for end in (row.interval or (row.estimate, row.estimate))]
    low, high = min(0.0, *ends), max(0.0, *ends)
    room = _WIDTH - _LEFT - _RIGHT
    scale = room / (high - low) if high > low else 0.0

    def place(value: float) -> float:
        return _LEFT + (value - low) * scale

    parts: list[str] = []
    height = 22 + len(rows) * 30
    zero = place(0.0)
    parts.append(f'<line x1="{zero:.1f}" y1="4" x2="{zero:.1f}" y2="{height - 18}" stroke="#8a8f98" opacity=".6"/>')
    parts.append(_text(zero, height - 4, "$0", "middle"))
    for at, row in enumerate(rows):
        middle = 18 + at * 30
        parts.append(_text(_LEFT - 12, middle + 4, row.name, "end"))
        if row.interval is not None:
            left, right = (place(end) for end in row.interval)
            parts.append(
                f'<rect x="{left:.1f}" y="{middle - 5}" width="{max(right - left, 1):.1f}" height="10" rx="3" '
                f'fill="{_COLOURS[0]}" opacity=".55"/>'
            )
        else:
            right = place(row.estimate)
        parts.append(f'<circle cx="{place(row.estimate):.1f}" cy="{middle}" r="5" fill="{_COLOURS[1]}"/>')
        parts.append(_text(max(right, place(row.estimate)) + 10, middle + 4, dollars(row.estimate)))
    return _drawing(parts, height, what)


def _legend(names: tuple[str, str]) -> str:
    out, x = "", float(_LEFT)
    for name, colour in zip(names, _COLOURS, strict=True):
        out += f'<rect x="{x:.0f}" y="4" width="12" height="12" rx="2" fill="{colour}"/>{_text(x + 18, 14, name)}'
        x += 30 + 7 * len(name)
    return out


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    most = 30
    shown = text if anchor != "end" or len(text) <= most else text[: most - 1] + "…"
    title = f"<title>{escape(text)}</title>" if shown != text else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{title}{escape(shown)}</text>'


def _drawing(parts: Sequence[str], height: int, what: str) -> str:
    svg = f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(what)}">{"".join(parts)}</svg>'
    return drawn(svg)
