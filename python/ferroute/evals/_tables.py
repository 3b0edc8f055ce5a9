"""Results as tables: plain text for a terminal, HTML for a notebook, and RouteLLM's own layout."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ferroute._grid import text_table as plain_table
from ferroute.errors import UnknownNameError
from ferroute.evals._figures import Estimate

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from ferroute.evals._figures import Shown

FORMATS = {"AUC": ".4g", "APGR": ".3f", "$ at 95%": ".3g"}


def grid(
    results: Sequence[Shown], baselines: Collection[str], ends: tuple[Estimate, Estimate] | None
) -> tuple[list[str], list[list[str]]]:
    """Header and rows. A vertical bar would be noise: routers come first, baselines are marked."""
    columns = list(dict.fromkeys(name for result in results for name in result.summary()))
    head = ["", *columns]
    rows: list[list[str]] = []
    for result in results:
        summary = result.summary()
        label = f"  {result.name}" if result.name in baselines else result.name
        cells = [_cell(name, summary[name]) if name in summary else "-" for name in columns]
        rows.append([label, *cells])
    if ends:
        for name, score in (("  always strong", ends[1]), ("  always weak", ends[0])):
            rows.append([name, *(_cell(column, score) if column == "AUC" else "-" for column in columns)])
    return head, rows


def many_grid(results: Sequence[Any], baselines: Collection[str]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a comparison among many models."""
    columns = list(dict.fromkeys(name for result in results for name in result.summary()))
    rows: list[list[str]] = []
    for result in results:
        summary = result.summary()
        label = f"  {result.name}" if result.name in baselines else result.name
        rows.append([label, *(_many_cell(name, summary[name]) for name in columns)])
    return ["", *columns], rows


def _many_cell(name: str, value: Estimate) -> str:
    if name in {"$ saved", "$ below strong"}:
        return Estimate(*(None if part is None else float(part) * 100 for part in (value, value.low, value.high))).show(  # pyright: ignore[reportArgumentType]
            ".1f", "%"
        )
    return value.show(FORMATS.get(name, ".4g"))


def kept(head: list[str], rows: list[list[str]], columns: Sequence[str] | None) -> tuple[list[str], list[list[str]]]:
    """Only the columns with these titles, in this order (None: all).

    Raises:
        UnknownNameError: There is no such column.
    """
    if columns is None:
        return head, rows
    for name in columns:
        if name not in head[1:]:
            raise UnknownNameError(f"no column {name!r}; there are {', '.join(head[1:])}")
    at = [0, *(head.index(name) for name in columns)]
    return [head[i] for i in at], [[row[i] for i in at] for row in rows]


def _cell(name: str, value: Estimate) -> str:
    # The AUC of a model is its mean score.
    form = FORMATS.get(name, ".1f")
    return value.show(form, "" if name in FORMATS else "%")


def caption(results: Sequence[Shown]) -> str:
    """What the brackets mean."""
    if not results:
        return ""
    one = results[0]
    n = int(one.points["total"][0])
    scores = f"weak score {float(one.weak_score):.4g}, strong score {float(one.strong_score):.4g}"
    parts = [
        f"{n:,} prompts",
        scores,
        "at 95%: where 95 % of the strong score are reached",
        "saved: against random mixing of that quality",
    ]
    if one.settings.bootstrap:
        confidence, times = one.settings.confidence, one.settings.bootstrap
        parts.append(f"in brackets {confidence:.0%} intervals, {times:,} paired resamples of the prompts")
    return "; ".join(parts)


def text_table(
    results: Sequence[Shown],
    baselines: Collection[str] = (),
    ends: tuple[Estimate, Estimate] | None = None,
    note: str | None = None,
) -> str:
    """The figures of results, one a line; below them ``note`` (None: the `caption`)."""
    head, rows = grid(results, baselines, ends)
    return plain_table(head, rows, caption(results) if note is None else note)


def html_table(
    results: Sequence[Shown],
    baselines: Collection[str] = (),
    ends: tuple[Estimate, Estimate] | None = None,
    note: str | None = None,
) -> str:
    """The same table for a notebook; the names of baselines do not stand out."""
    from ferroute import _notebook

    head, rows = grid(results, baselines, ends)
    plain = [at for at, row in enumerate(rows) if row[0].startswith("  ")]
    table = _notebook.table(head, [[row[0].strip(), *row[1:]] for row in rows], plain=plain)
    return _notebook.frame(table, _notebook.note(caption(results) if note is None else note))


def metrics_table(rows: Sequence[tuple[int, str, Sequence[float], float, float]]) -> str:
    """RouteLLM's table of metrics, laid out as pandas prints it.

    Args:
        rows: Index, method, the three call percentages, AUC and APGR, in the order to print.
    """
    head = ["", "method", "20% qual", "50% qual", "80% qual", " AUC", " APGR"]
    auc, apgr = _floats([row[3] for row in rows]), _floats([row[4] for row in rows])
    lines = [head]
    for (index, method, percents, _, _), area, gap in zip(rows, auc, apgr, strict=True):
        # pandas leaves room for a sign before every value, and before the header of a column of numbers.
        texts = [f" {method}", *(f" {percent:.2f}%" for percent in percents), area, gap]
        lines.append([str(index), *texts])
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]

    def cell(i: int, text: str) -> str:
        return text.ljust(widths[i]) if i == 0 else text.rjust(widths[i])

    return "\n".join(" ".join(cell(i, text) for i, text in enumerate(line)) for line in lines)


def _floats(values: Sequence[float]) -> list[str]:
    """Six decimals, without the zeros that all of them end in, as pandas writes a column."""
    texts = [f"{value: .6f}" if not math.isnan(value) else "NaN" for value in values]
    known = [text for text in texts if text != "NaN"]
    while known and all(text.endswith("0") and not text.endswith(".0") for text in known):
        known = [text[:-1] for text in known]
    shortened = iter(known)
    return [text if text == "NaN" else next(shortened) for text in texts]
