"""Which prompts to label next, written out and read back.

A certificate bounds the mean loss over all calls. Calls whose win rate is at or above the highest threshold considered,
the ceiling, stay with the strong model whatever threshold is chosen: they lose nothing, and a label on them buys
nothing. So labels are drawn uniformly, without replacement, from the calls below the ceiling, and how many those are is
known exactly. `ferroute.calibrate.guarantee` takes that design: win rates of all calls, scores of the labelled ones,
``ceiling=``.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ferroute._whole_file import write_whole
from ferroute.auditing._call import number
from ferroute.errors import InvalidValueError, MissingFileError, UnreadableFileError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]


def save(rows: Sequence[dict[str, Any]], path: str | os.PathLike[str]) -> Path:
    """Writes rows to label as JSON lines, whole or not at all.

    Raises:
        UnreadableFileError: It cannot be written.
    """
    return write_whole(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


@dataclass(frozen=True, eq=False)
class Labels:
    """Labels as they were filled in: equal lengths ``[k]``, arrays of float64, NaN where a score is missing.

    Attributes:
        rows: The lines as they are.
        index: Positions of the calls among those that the audit read.
        prompts: The texts.
        win_rates: The router's.
        strong: Scores of the strong model's answers, as they were filled in.
        weak: Scores of the cheaper model's.
        ceiling: Highest threshold considered: the labels are a uniform draw of the calls with lower win rates. None:
            of all calls.
        below: How many calls are below it.
        total: How many calls there are in all.
    """

    rows: tuple[dict[str, Any], ...]
    index: tuple[int, ...]
    prompts: tuple[str, ...]
    win_rates: Numbers
    strong: Numbers
    weak: Numbers
    ceiling: float | None
    below: int
    total: int

    def __len__(self) -> int:
        return len(self.index)

    @property
    def labelled(self) -> int:
        """Rows with both scores."""
        import numpy as np

        return int(np.isfinite(self.strong + self.weak).sum())

    def __repr__(self) -> str:
        which = "" if self.ceiling is None else f", those with a win rate below {self.ceiling:.4f}"
        return (
            f"<Labels: {self.labelled:,} of {len(self):,} prompts have both scores; drawn from {self.below:,} of "
            f"{self.total:,} calls{which}>"
        )


def read_labels(path: str | os.PathLike[str]) -> Labels:
    """Reads what `Audit.save_labels` wrote, after somebody has filled in ``strong_score`` and ``weak_score``.

    Args:
        path: The file.

    Returns:
        The labels, with how their prompts were drawn.

    Raises:
        MissingFileError: There is no such file.
        UnreadableFileError: It cannot be read.
        InvalidValueError: A line is none of such a file, or a score is no number; the message names the line.
    """
    import numpy as np

    name = os.fspath(path)
    rows: list[dict[str, Any]] = []
    scores: list[tuple[float, float]] = []
    designs: set[tuple[float | None, int, int]] = set()
    try:
        with Path(path).open(encoding="utf-8-sig") as stream:
            for line, content in enumerate(stream, start=1):
                if content.strip():
                    place = f"{name}, line {line}"
                    row, design = _row(place, content)
                    rows.append(row)
                    scores.append((_score(place, row, "strong_score"), _score(place, row, "weak_score")))
                    designs.add(design)
    except FileNotFoundError:
        raise MissingFileError(f"{name}: there is no such file of labels") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableFileError(f"{name}: cannot be read: {error}") from error
    if len(designs) != 1:
        found = "none" if not rows else "lines of several audits"
        raise InvalidValueError(f"{name}: expected the lines that an audit saved for labels, found {found}")
    columns = np.asarray(scores, dtype=np.float64)
    rates = np.asarray([row["win_rate"] for row in rows], dtype=np.float64)
    index, prompts = tuple(int(row["index"]) for row in rows), tuple(str(row["prompt"]) for row in rows)
    return Labels(tuple(rows), index, prompts, rates, columns[:, 0], columns[:, 1], *designs.pop())


def inputs(labels: Labels, positions: Any, traffic: Numbers) -> dict[str, Any]:
    """Labels spread over all calls, as a certificate takes them; see `Audit.certificate_inputs`."""
    import numpy as np

    at: Any = np.searchsorted(positions, labels.index)
    inside = at < len(positions)
    at = np.where(inside, at, 0)
    fits = inside & (positions[at] == np.asarray(labels.index)) & (traffic[at] == labels.win_rates)
    if not fits.all() or labels.total != len(traffic):
        raise InvalidValueError("labels: they belong to other logs, or to another router, than this audit")
    if labels.ceiling is None:
        known = np.isfinite(labels.strong) & np.isfinite(labels.weak)
        own = labels.win_rates[known], labels.strong[known], labels.weak[known]
        return dict(zip(("win_rates", "strong_scores", "weak_scores"), own, strict=True)) | {"traffic": traffic}
    strong, weak = np.full(len(traffic), np.nan), np.full(len(traffic), np.nan)
    strong[at], weak[at] = labels.strong, labels.weak
    return {"win_rates": traffic, "strong_scores": strong, "weak_scores": weak, "ceiling": labels.ceiling}


def is_labels(path: str | os.PathLike[str]) -> bool:
    """Whether the first line of ``path`` is one that `Audit.save_labels` writes; False for a file that is not there."""
    try:
        with Path(path).open(encoding="utf-8-sig") as stream:
            start = next((line for line in stream if line.strip()), "")
        _row("", start)
    except (OSError, UnicodeDecodeError, InvalidValueError):
        return False
    return True


def _row(place: str, content: str) -> tuple[dict[str, Any], tuple[float | None, int, int]]:
    try:
        read: Any = json.loads(content)
        row = cast("dict[str, Any]", read)
        ceiling = None if row["ceiling"] is None else float(row["ceiling"])
        design = ceiling, int(row["below"]), int(row["total"])
        if not isinstance(row["prompt"], str):
            raise TypeError("prompt is no text")
        _ = float(row["win_rate"]), int(row["index"])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise InvalidValueError(f"{place}: expected a line that an audit saved for labels: {error!r:.100}") from None
    return row, design


def _score(place: str, row: dict[str, Any], name: str) -> float:
    value = row.get(name)
    if value is None or value == "":
        return float("nan")
    found = number(value)
    if found is None:
        raise InvalidValueError(f"{place}: {name}: expected a number, found {value!r:.40}")
    return found
