"""Pictures of how many calls go to the strong model at each threshold: in matplotlib, and in a terminal.

A threshold means a share only for the traffic it was read off: `plot_share` draws one curve for each kind of traffic,
or for each router, so that it can be seen.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from ferroute import _core
from ferroute.errors import InvalidValueError, NotBuiltError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike
    from typing import TypeAlias

    import numpy as np
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike, NDArray
    from rich.text import Text

    Curves: TypeAlias = Mapping[str, ArrayLike] | ArrayLike

__all__ = [
    "plot_rungs",
    "plot_scores",
    "plot_share",
    "rung_shares",
    "save_share",
    "share_at",
    "share_chart",
    "share_curve",
    "threshold_for",
]

COLOURS = ("#1f6fb4", "#d1601f", "#2e8b57", "#8e5bb5", "#b8860b")
"""Told apart by most colour-blind readers, and on white and black alike."""

LAYOUT = {"figsize": (8, 4.6), "dpi": 150, "layout": "constrained"}

TERMINAL_COLOURS = ("bright_blue", "dark_orange", "green3", "medium_purple1", "gold3")


def share_curve(win_rates: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The share of calls that go to the strong model, at every threshold.

    Args:
        win_rates: Scores of the traffic, ``[n]``, 0..=1.

    Returns:
        Thresholds (ascending) and shares (falling), both float64 ``[m]``. The share at a threshold between two of
        them is that of the right one: drawn with steps before the points, this is the exact function, for a call is
        strong when its win rate is at least the threshold.

    Raises:
        InvalidValueError: There is no score, or one is not in 0..=1.
    """
    import numpy as np

    scores = _checked(win_rates)
    thresholds, first = np.unique(scores, return_index=True)
    shares = 1 - first / scores.size
    if thresholds[0] > 0:
        thresholds, shares = np.r_[0.0, thresholds], np.r_[1.0, shares]
    if thresholds[-1] < 1:
        # Just beyond the highest score no call is strong any more.
        beyond = np.unique([np.nextafter(thresholds[-1], 1.0), 1.0])
        thresholds, shares = np.r_[thresholds, beyond], np.r_[shares, np.zeros(beyond.size)]
    return thresholds, shares


def share_at(win_rates: ArrayLike, threshold: float) -> float:
    """The share of calls with a win rate of at least ``threshold``.

    Args:
        win_rates: Scores of the traffic, ``[n]``, each in 0..=1.
        threshold: Strong if the win rate is at least this, 0..=1.
    """
    import numpy as np

    return float(np.mean(_checked(win_rates) >= threshold))


def threshold_for(win_rates: ArrayLike, share: float) -> float:
    """The highest threshold at which at least ``share`` of the calls go to the strong model.

    Equal scores go together, so more calls than asked for may; for a share of 0 it lies above every score.

    Args:
        win_rates: Scores of the traffic, ``[n]``, each in 0..=1.
        share: Share of strong calls, 0..=1.

    Raises:
        InvalidValueError: There is no score, or ``share`` is outside of 0..=1.
    """
    import numpy as np

    scores = _checked(win_rates)
    wanted = math.ceil(round(share * scores.size, 9))
    if not 0 <= wanted <= scores.size:
        raise InvalidValueError(f"share is between 0 and 1, found {share}")
    return float(np.nextafter(scores[-1], np.inf)) if wanted == 0 else float(scores[scores.size - wanted])


def plot_share(
    win_rates: Curves, *, share: float | None = 0.3, title: str | None = None, ax: Axes | None = None
) -> Axes:
    """Draws the share of strong calls against the threshold, exactly.

    Args:
        win_rates: Scores ``[n]``, or a mapping from a label (a router, a benchmark) to its scores.
        share: Marks where each curve has this share; None: no mark.
        title: Title; None: one that says what is drawn.
        ax: Axes to draw on; None: new ones.

    Returns:
        The axes; ``.figure.savefig(path)`` writes the picture.

    Raises:
        NotBuiltError: matplotlib is not installed.
    """
    curves = _curves(win_rates)
    made: Any = None if ax is not None else _matplotlib("pyplot").subplots(**LAYOUT)[1]
    axes: Any = ax or made  # matplotlib's own types are partly unknown
    left, right = _window(curves)
    for (label, scores), colour in zip(curves.items(), _cycle(COLOURS, len(curves)), strict=True):
        thresholds, shares = share_curve(scores)
        axes.plot(thresholds, shares, drawstyle="steps-pre", color=colour, linewidth=2, label=label or None)
        if share is not None:
            at = threshold_for(scores, share)
            axes.plot([at], [share], "o", color=colour, markersize=7, markeredgecolor="white", zorder=4)
    if share is not None:
        axes.axhline(share, color="0.45", linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        axes.text(
            0.995,
            share + 0.012,
            f"{share:.0%} strong",
            ha="right",
            color="0.35",
            fontsize=9,
            transform=axes.get_yaxis_transform(),
        )
    axes.set_xlim(left, right)
    axes.set_ylim(0, 1.02)
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.set_xlabel("threshold (win rate from which on the strong model answers)")
    axes.set_ylabel("calls to the strong model")
    dress(axes, title or "Share of strong calls at each threshold")
    if share is not None:
        handles, labels = axes.get_legend_handles_labels()
        marks = [f"{label}: {share:.0%} at {threshold_for(curves[label], share):.3f}" for label in labels]
        if handles:
            axes.legend(handles, marks, frameon=False, loc="lower left")
    elif any(curves):
        axes.legend(frameon=False, loc="lower left")
    return axes


def rung_shares(win_rates: ArrayLike, cuts: Sequence[float]) -> NDArray[np.float64]:
    """The share of calls that each rung of a ladder gets.

    Args:
        win_rates: Scores of the traffic, ``[n]``, 0..=1.
        cuts: Thresholds between the rungs, rising, ``[rungs - 1]``.

    Returns:
        Shares, weakest rung first, float64 ``[rungs]``; they add up to 1.

    Raises:
        InvalidValueError: There is no score or no cut, a score is not in 0..=1, or the cuts fall.
    """
    import numpy as np

    scores, borders = _checked(win_rates), [float(cut) for cut in cuts]
    if not borders or any(not low <= high for low, high in zip(borders, [*borders[1:], math.inf], strict=True)):
        raise InvalidValueError(f"cuts are thresholds that do not fall, one or more; found {borders}")
    above = 1 - np.searchsorted(scores, borders, side="left") / scores.size
    return np.r_[1.0, above] - np.r_[above, 0.0]


def plot_rungs(
    win_rates: ArrayLike,
    cuts: Sequence[float],
    *,
    names: Sequence[str] = (),
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draws the share of calls that each rung of a ladder gets, and how it changes as a cut moves.

    The curve is the share of calls at or above every threshold. Each cut stands on it, and the rungs are the bands
    between the heights of their cuts: to move a cut is to move its height along the curve.

    Args:
        win_rates: Scores ``[n]``, 0..=1.
        cuts: Thresholds between the rungs, rising, ``[rungs - 1]``.
        names: What the rungs are called, weakest first; empty: by number.
        title: Title; None: one that says what is drawn.
        ax: Axes to draw on; None: new ones.

    Returns:
        The axes; ``.figure.savefig(path)`` writes the picture.

    Raises:
        InvalidValueError: As for `rung_shares`, or there is not a name for each rung.
        NotBuiltError: matplotlib is not installed.
    """
    import numpy as np

    shares = rung_shares(win_rates, cuts)
    labels = list(names) or [f"rung {index + 1}" for index in range(shares.size)]
    if len(labels) != shares.size:
        raise InvalidValueError(f"names: expected {shares.size}, one for each rung, found {len(labels)}")
    scores = _checked(win_rates)
    made: Any = None if ax is not None else _matplotlib("pyplot").subplots(**LAYOUT)[1]
    axes: Any = ax or made  # matplotlib's own types are partly unknown
    left, right = _window({"": scores})
    left, right = min(left, *cuts), max(right, *cuts)
    thresholds, curve = share_curve(scores)
    heights = np.r_[1.0, 1 - np.cumsum(shares)]
    colours = _cycle(COLOURS, shares.size)
    for index, (label, share, colour) in enumerate(zip(labels, shares, colours, strict=True)):
        top, bottom = heights[index], heights[index + 1]
        axes.fill_between(
            thresholds,
            np.minimum(np.maximum(curve, bottom), top),
            bottom,
            step="pre",
            color=colour,
            alpha=0.3,
            linewidth=0,
        )
        axes.axhspan(bottom, top, xmin=0.98, color=colour, linewidth=0, label=f"{label}: {share:.1%}")
    axes.plot(thresholds, curve, drawstyle="steps-pre", color="0.35", linewidth=2)
    for cut, height, colour in zip(cuts, heights[1:], colours[1:], strict=False):
        axes.plot([cut, cut], [0, height], color=colour, linewidth=1.4, linestyle=(0, (4, 3)))
        axes.plot([cut], [height], "o", color=colour, markersize=7, markeredgecolor="white", zorder=4)
    axes.set_xlim(left, right)
    axes.set_ylim(0, 1.02)
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.set_xlabel("threshold (win rate from which on a rung answers)")
    axes.set_ylabel("calls at or above it")
    dress(axes, title or "Share of each rung: a cut moves along the curve")
    handles, marks = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], marks[::-1], frameon=False, loc="upper right", bbox_to_anchor=(0.97, 1.0))
    return axes


def plot_scores(
    win_rates: ArrayLike, *, shares: Sequence[float] = (0.1, 0.3, 0.5), title: str | None = None, ax: Axes | None = None
) -> Axes:
    """Draws a histogram of a router's scores, with the threshold of each share of strong calls.

    Args:
        win_rates: Scores ``[n]``, 0..=1.
        shares: Shares of strong calls whose thresholds are marked (see `ferroute.calibrate.threshold_for_share`).
        title: Title; None: one that says what is drawn.
        ax: Axes to draw on; None: new ones.

    Returns:
        The axes; ``.figure.savefig(path)`` writes the picture.

    Raises:
        InvalidValueError: There is no score, or one is not in 0..=1.
        NotBuiltError: matplotlib is not installed.
    """
    scores = _checked(win_rates)
    thresholds = _core.quantiles(scores, [1 - share for share in shares])
    made: Any = None if ax is not None else _matplotlib("pyplot").subplots(**LAYOUT)[1]
    axes: Any = ax or made  # matplotlib's own types are partly unknown
    left, right = _window({"": scores})
    axes.hist(scores, bins=60, range=(left, right), color="#b9c9d8", edgecolor="white", linewidth=0.4)
    for share, threshold, colour in zip(shares, thresholds, _cycle(COLOURS, len(shares)), strict=True):
        found = float((scores >= threshold).mean())
        achieved = f" ({found:.1%} are)" if abs(found - share) > max(2 / scores.size, 0.01) else ""
        label = f"{share:.0%} strong{achieved}: {threshold:.3f}"
        axes.axvline(threshold, color=colour, linewidth=2, label=label)
    axes.set_xlim(left, right)
    axes.set_xlabel("win rate of the strong model")
    axes.set_ylabel("prompts")
    dress(axes, title or "Scores, and thresholds for shares of strong calls", grid="y")
    if shares:
        axes.legend(frameon=False, loc="upper right")
    return axes


def dress(axes: Any, title: str, grid: str = "both") -> None:
    """What all pictures have: a title on the left, a pale grid along ``x``, ``y`` or both, and no frame."""
    axes.set_title(title, loc="left", fontsize=12, fontweight="bold")
    axes.grid(axis=grid, color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def save_share(
    path: str | PathLike[str], win_rates: Curves, *, share: float | None = 0.3, title: str | None = None
) -> None:
    """Writes the picture of `plot_share` to a file; its extension says the format, such as ``.png`` or ``.svg``.

    Needs no display and leaves pyplot's state alone.

    Args:
        path: The file.
        win_rates: Scores ``[n]``, or a mapping from a label to its scores.
        share: Marks where each curve has this share, 0..=1; None: no mark.
        title: Title; None: one that says what is drawn.

    Raises:
        NotBuiltError: matplotlib is not installed.
    """
    figure = _matplotlib("figure").Figure(**LAYOUT)
    plot_share(win_rates, share=share, title=title, ax=figure.subplots())
    figure.savefig(path)


def share_chart(
    win_rates: Curves, *, share: float | None = 0.3, width: int = 72, height: int = 12, ascii_only: bool = False
) -> Text:
    """The same picture in characters, for a terminal.

    Args:
        win_rates: As for `plot_share`. Curves after the first are drawn with gaps, to be told apart without colour.
        share: Drawn as a line across, 0..=1.
        width: Columns to fill, at least 40.
        height: Rows of the drawing itself.
        ascii_only: Draw with ``*``, ``o`` and ``x`` where the terminal has no Unicode.

    Returns:
        Lines of ``rich`` text; print it with a ``rich.console.Console``.
    """
    from rich.text import Text

    curves = _curves(win_rates)
    left, right = _window(curves)
    margin = 6
    columns, rows = max(width, 40) - margin, max(height, 4)
    canvas = _Ascii(columns, rows) if ascii_only else _Braille(columns, rows)
    if share is not None:
        canvas.across(1 - share)
    for index, scores in enumerate(curves.values()):
        canvas.curve(index, [share_at(scores, left + (right - left) * x) for x in canvas.steps()])

    out = Text()
    tick, side, corner, floor = ("+", "|", "+", "-") if ascii_only else ("┤", "│", "└", "─")
    for row in range(rows):
        label = _row_label(row, rows, share)
        out.append(f"{label:4} {tick if label else side}", style="dim")
        for style, run in groupby(canvas.cells(row), key=itemgetter(1)):
            out.append("".join(character for character, _ in run), style=style)
        out.append("\n")
    out.append(" " * (margin - 1) + corner + floor * columns + "\n", "dim")
    out.append(" " * margin + _axis(left, right, columns) + "\n", "dim")
    named = [(index, label) for index, label in enumerate(curves) if label]
    for index, label in named:
        mark = "" if share is None else f": {share:.0%} strong at {threshold_for(curves[label], share):.3f}"
        sample = ("*", "o", "x")[index % 3] * 3 if ascii_only else ("⠉⠉⠉", "⠁⠁⠁", "⠁ ⠁")[min(index, 2)]
        out.append(" " * margin).append(sample, _Canvas.style(index)).append(f" {label}{mark}\n")
    out.rstrip()
    return out


class _Canvas:
    """Cells of a drawing: which curve touched each, ``x`` to the right and ``y`` downwards, both 0..=1."""

    def __init__(self, columns: int, rows: int, across: int, down: int) -> None:
        self.columns, self.rows = columns, rows
        self.wide, self.high = columns * across, rows * down
        self.owner: dict[tuple[int, int], int] = {}
        self.dots: dict[tuple[int, int], int] = {}

    def steps(self) -> Sequence[float]:
        """The positions at which a curve is asked for its height, one for each dot across."""
        return [(x + 0.5) / self.wide for x in range(self.wide)]

    def across(self, y: float) -> None:
        """A thin line from left to right."""
        for x in range(0, self.wide, 4):
            self.dot(-1, x, self._down(y))

    def curve(self, index: int, shares: Sequence[float]) -> None:
        """A falling line through ``shares``, joined where it falls steeply."""
        last = None
        for x, share in enumerate(shares):
            y = self._down(1 - share)
            top = y if last is None else min(last + 1, y)
            for at in range(top, y + 1):
                # The second curve keeps every other dot, the third every third.
                if (x + at) % (index + 1) == 0:
                    self.dot(index, x, at)
            last = y

    def _down(self, y: float) -> int:
        return min(max(round(y * (self.high - 1)), 0), self.high - 1)

    def dot(self, index: int, x: int, y: int) -> None:
        raise NotImplementedError

    def cells(self, row: int) -> list[tuple[str, str]]:
        """The characters of one row, with their styles."""
        return [(self.character((x, row)), self.style(self.owner.get((x, row), -1))) for x in range(self.columns)]

    def character(self, cell: tuple[int, int]) -> str:
        raise NotImplementedError

    @staticmethod
    def style(index: int) -> str:
        return "dim" if index < 0 else TERMINAL_COLOURS[index % len(TERMINAL_COLOURS)]


class _Braille(_Canvas):
    """Eight dots a character, two across and four down."""

    BITS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))

    def __init__(self, columns: int, rows: int) -> None:
        super().__init__(columns, rows, 2, 4)

    def dot(self, index: int, x: int, y: int) -> None:
        cell = x // 2, y // 4
        self.dots[cell] = self.dots.get(cell, 0) | self.BITS[x % 2][y % 4]
        self.owner[cell] = max(index, self.owner.get(cell, -1))

    def character(self, cell: tuple[int, int]) -> str:
        return chr(0x2800 + self.dots[cell]) if cell in self.dots else " "


class _Ascii(_Canvas):
    """One mark a character."""

    def __init__(self, columns: int, rows: int) -> None:
        super().__init__(columns, rows, 1, 1)

    def dot(self, index: int, x: int, y: int) -> None:
        self.owner[x, y] = max(index, self.owner.get((x, y), -1))

    def character(self, cell: tuple[int, int]) -> str:
        return (
            ("*", "o", "x")[self.owner[cell] % 3]
            if self.owner.get(cell, -1) >= 0
            else "-"
            if cell in self.owner
            else " "
        )


def _row_label(row: int, rows: int, share: float | None) -> str:
    if share is not None and row == round((1 - share) * (rows - 1)):
        return f"{share:4.0%}"
    return {0: "100%", rows - 1: "  0%"}.get(row, "")


def _axis(left: float, right: float, columns: int) -> str:
    """Numbers under the axis: its ends and its middle, with what it shows between them."""
    ends = f"{left:.2f}", f"{(left + right) / 2:.3g}", f"{right:.2f}"
    line = [" "] * columns
    for text, at in zip(ends, (0, (columns - len(ends[1])) // 2, columns - len(ends[2])), strict=True):
        line[at : at + len(text)] = text
    note = "threshold"
    at = columns // 4 - len(note) // 2 + 2
    if columns >= 48:
        line[at : at + len(note)] = note
    return "".join(line)


def _window(curves: Mapping[str, NDArray[np.float64]]) -> tuple[float, float]:
    """Where something happens: from a twentieth below the lowest score to one above the highest, at most 0..=1."""
    lowest = min(float(scores[0]) for scores in curves.values())
    highest = max(float(scores[-1]) for scores in curves.values())
    left = max(math.floor(lowest * 20 - 0.5) / 20, 0.0)
    right = min(math.ceil(highest * 20 + 0.5) / 20, 1.0)
    return left, right


def _curves(win_rates: Curves) -> dict[str, NDArray[np.float64]]:
    if not isinstance(win_rates, Mapping):
        return {"": _checked(win_rates)}
    if not win_rates:
        raise InvalidValueError("win_rates has no curve to draw")
    return {label: _checked(scores) for label, scores in win_rates.items()}


def _checked(win_rates: ArrayLike) -> NDArray[np.float64]:
    """The scores, ascending."""
    import numpy as np

    scores = np.sort(np.asarray(win_rates, dtype=np.float64).ravel())
    if scores.size == 0:
        raise InvalidValueError("win_rates is empty: expected at least one score")
    # NaN sorts to the end and fails the second comparison.
    if not (scores[0] >= 0 and scores[-1] <= 1):
        bad = scores[-1] if scores[0] >= 0 else scores[0]
        raise InvalidValueError(f"win rates are between 0 and 1, found {bad}")
    return scores


def _cycle(values: Sequence[str], n: int) -> list[str]:
    return [values[i % len(values)] for i in range(n)]


def _matplotlib(module: str) -> Any:
    try:
        return importlib.import_module(f"matplotlib.{module}")
    except ImportError:
        raise NotBuiltError("pictures need matplotlib, which is not installed: pip install matplotlib") from None
