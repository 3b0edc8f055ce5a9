"""Outcomes of many prompts under many models, as one table.

The wide view has a row for each prompt and a column for each model, NaN where nothing is known; the long view has a row
for each call. Files of published benchmarks become one of these with `ferroute.evals.read_outcomes`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ferroute import _core
from ferroute._grid import Shown
from ferroute._whole_file import write_whole
from ferroute.errors import InvalidTypeError, InvalidValueError, UnknownNameError
from ferroute.evals._long import MEASURES, Builder, as_csv, as_jsonl, columns_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from os import PathLike
    from typing import Protocol

    import numpy as np
    import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
    from numpy.typing import ArrayLike, NDArray

    Numbers = NDArray[np.float64]

    class Scores(Protocol):
        """What is asked of a ledger."""

        def outcomes(self, **filters: Any) -> Mapping[str, Sequence[Any]]:
            """The scores, a list for each column."""
            ...


__all__ = ["OutcomeTable"]


class OutcomeTable(Shown):
    """What came of each prompt under each model: score, cost, tokens, latency.

    Args:
        prompts: Texts, ``[n]``; None where one is not known.
        scores: ``[n, m]``, more is better, in any unit; NaN (or None) where the model was not asked.
        models: Names of the columns, ``[m]``.
        costs: US dollars of a call, ``[m]`` or ``[n, m]``; NaN or None where the price is unknown, never 0 for that.
        prompt_tokens: ``[n, m]``.
        completion_tokens: ``[n, m]``.
        latency: Seconds, ``[n, m]``.
        groups: Benchmark or task each prompt belongs to, ``[n]``.
        ids: A name for each row, ``[n]``; None: a hash of the prompt, with a number where prompts repeat.
        notes: What a reader left out, in words.

    Attributes:
        models: Names, ``[m]``.
        ids: Names of the rows, ``[n]``.
        prompts: Texts, ``[n]``.
        groups: Groups, ``[n]``, None where there is none.
        notes: As given.

    Raises:
        InvalidTypeError: Something is not a table of numbers.
        InvalidValueError: Shapes differ, a name repeats, a number is infinite, or a cost is negative.

    Example:
        >>> table = OutcomeTable(["2+2?", "prove it"], [[1, 1], [1, 0]], ["big", "small"], costs=[0.01, 0.001])
        >>> table.filter(models=["small"]).scores.tolist()
        [[1.0], [0.0]]
    """

    def __init__(
        self,
        prompts: Sequence[str | None],
        scores: ArrayLike,
        models: Sequence[str],
        *,
        costs: ArrayLike | None = None,
        prompt_tokens: ArrayLike | None = None,
        completion_tokens: ArrayLike | None = None,
        latency: ArrayLike | None = None,
        groups: Sequence[str | None] | None = None,
        ids: Sequence[str] | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        self.prompts = list(prompts)
        self.models = [str(model) for model in models]
        rows = len(self.prompts)
        self.groups = [None] * rows if groups is None else list(groups)
        self.ids = hashed(self.prompts) if ids is None else [str(name) for name in ids]
        self.notes = tuple(notes)
        for what, names in (("models", self.models), ("ids", self.ids)):
            if len(set(names)) < len(names):
                twice = next(name for i, name in enumerate(names) if name in names[:i])
                raise InvalidValueError(f"{what}: expected different names, found {twice!r:.60} twice")
        for what, found in (("groups", len(self.groups)), ("ids", len(self.ids))):
            if found != rows:
                raise InvalidValueError(f"{what}: expected {rows}, one for each prompt, found {found}")
        given = (scores, costs, prompt_tokens, completion_tokens, latency)
        self._values: dict[str, Numbers] = {}
        for (name, what), values in zip(MEASURES.items(), given, strict=True):
            if values is not None:
                self._values[name] = self._matrix(what, values, name != "score")

    def _matrix(self, what: str, values: ArrayLike, positive: bool) -> Numbers:
        import numpy as np

        shape = (len(self.prompts), len(self.models))
        try:
            found = np.array(values, dtype=np.float64)
        except (TypeError, ValueError):
            kind = type(values).__name__
            raise InvalidTypeError(f"{what}: expected numbers [{shape[0]}, {shape[1]}], found {kind}") from None
        if found.ndim == 1 and positive and found.shape == shape[1:]:
            found = np.tile(found, (shape[0], 1))
        if found.shape != shape and not (found.size == 0 and shape[0] == 0):
            raise InvalidValueError(
                f"{what}: expected a row for each prompt and a column for each model, {list(shape)}, found "
                f"{list(found.shape)}"
            )
        found = np.reshape(found, shape)
        bad = np.isinf(found) | (positive & (found < 0))
        if bad.any():
            row, column = (int(i) for i in np.argwhere(bad)[0])
            wanted = "numbers from 0 on" if positive else "finite numbers"
            raise InvalidValueError(
                f"{what}: expected {wanted}, found {found[row, column]} in row {row}, model {self.models[column]!r}"
            )
        return found

    # --- made from rows ---

    @classmethod
    def from_records(
        cls, records: Iterable[Mapping[str, Any]], columns: Mapping[str, str] | None = None
    ) -> OutcomeTable:
        """A table of one mapping a call.

        Calls of the same row and model are averaged: a prompt may have been asked several times.

        Args:
            records: Mappings with ``model``, ``score`` and ``prompt`` or ``id``; if you like also ``cost`` (dollars),
                ``prompt_tokens``, ``completion_tokens``, ``latency`` (seconds) and ``group``. Where there is no ``id``
                the prompt's text says which row it is.
            columns: Other names: ``{"score": "accuracy"}``. Common ones are found without.

        Raises:
            UnknownNameError: A field is missing.
            InvalidValueError: A number is none, or out of range; the message names the record.
        """
        rows = list(records)
        names: dict[str, None] = {}
        for row in rows:
            names.update(dict.fromkeys(row))
        return cls.from_columns({name: [row.get(name) for row in rows] for name in names}, columns)

    @classmethod
    def from_columns(cls, data: Mapping[str, Any], columns: Mapping[str, str] | None = None) -> OutcomeTable:
        """The same from columns of equal length, one entry a call.

        Args:
            data: Column's name -> its entries, ``[n]``.
            columns: The parts of an outcome that the columns hold, part -> column, where their names do not say it.

        Raises:
            UnknownNameError: A column is missing.
            InvalidValueError: A number is none, or out of range; the message names the row.
        """
        return Builder().extend(columns_of(data, columns)).build(cls)

    @classmethod
    def from_pandas(cls, frame: Any, columns: Mapping[str, str] | None = None) -> OutcomeTable:
        """The same from a pandas frame with a row for each call.

        Args:
            frame: The frame.
            columns: The parts of an outcome that the columns hold, part -> column, where their names do not say it.
        """
        return cls.from_columns({str(name): frame[name].tolist() for name in frame.columns}, columns)

    @classmethod
    def from_polars(cls, frame: Any, columns: Mapping[str, str] | None = None) -> OutcomeTable:
        """The same from a polars frame with a row for each call.

        Args:
            frame: The frame.
            columns: The parts of an outcome that the columns hold, part -> column, where their names do not say it.
        """
        return cls.from_columns({str(name): frame[name].to_list() for name in frame.columns}, columns)

    @classmethod
    def from_ledger(cls, ledger: Scores, source: str | None = None, **filters: Any) -> OutcomeTable:
        """Scores of live calls: a row for each call, a column for each model whose answer was scored.

        Prompts are there where the ledger keeps texts (``store="text"``), costs for the answers that callers got;
        groups are the kinds of tasks.

        Args:
            ledger: A `ferroute.ledger.Ledger`.
            source: Whose scores, such as ``"judge:gpt-5.5"``; needed where several sources have some.
            filters: As for `Ledger.outcomes`: ``since``, ``until``, ``router``, ``model``, ``tags``.

        Raises:
            InvalidValueError: There are no scores, or those of several sources to choose from.
        """
        told = ledger.outcomes(**filters)
        whose = {str(each) for each in told["source"]} if source is None else {source}
        if len(whose) > 1:
            raise InvalidValueError(
                f"source: scores of several are not comparable; expected one of {', '.join(map(repr, sorted(whose)))}"
            )
        names = ("call", "source", "model", "scored", "score", "cost_usd", "text", "task")
        records = [
            {
                "id": str(call),
                "prompt": text,
                "model": scored,
                "score": score,
                "cost": cost if scored == answered else None,
                "group": task,
            }
            for call, by, answered, scored, score, cost, text, task in zip(*(told[name] for name in names), strict=True)
            if by in whose
        ]
        if not records:
            raise InvalidValueError(
                "no scores of these calls are in the ledger: shadow, feedback or add_outcome enter some"
            )
        return cls.from_records(records)

    @classmethod
    def read(cls, path: str | PathLike[str]) -> OutcomeTable:
        """A table that `save` wrote, or any Parquet, CSV or JSONL file with a row for each call.

        Args:
            path: A Parquet, CSV or JSONL file.

        Raises:
            MissingFileError: There is no such file.
            UnreadableFileError: It cannot be read.
            UnknownNameError: A column is missing.
            InvalidValueError: A number is none, or out of range; the message names the row.
        """
        return cls.from_columns(_core.read_columns(path))

    def save(self, path: str | PathLike[str]) -> None:
        """Writes the long view to a file of the kind its name ends in: ``.parquet``, ``.csv`` or ``.jsonl``.

        `read_outcomes` reads each of them back. What is not known is an empty cell, or left out of a line.

        Args:
            path: The file, ending in ``.parquet``, ``.csv`` or ``.jsonl``.

        Raises:
            InvalidValueError: The name ends otherwise.
            UnreadableFileError: The file cannot be written.
        """
        kind = Path(path).suffix.lower()
        if kind == ".parquet":
            _core.write_columns(path, self.long())
        elif kind == ".csv":
            text = as_csv(self.long())
            if any("\ud800" <= char <= "\udfff" for char in text):
                raise InvalidValueError(
                    f"{path}: a text is no valid Unicode, which a CSV file cannot hold: save as .jsonl"
                )
            write_whole(path, text)
        elif kind == ".jsonl":
            write_whole(path, as_jsonl(self.long()))
        else:
            raise InvalidValueError(f"{path}: expected a name that ends in .parquet, .csv or .jsonl, found {kind!r}")

    # --- views ---

    @property
    def scores(self) -> Numbers:
        """``[n, m]``, NaN where unknown."""
        return self._values["score"]

    @property
    def costs(self) -> Numbers | None:
        """US dollars, ``[n, m]``, NaN where unknown; None: no cost is known."""
        return self._known("cost")

    @property
    def prompt_tokens(self) -> Numbers | None:
        """``[n, m]``, NaN where unknown; None: none is known."""
        return self._known("prompt_tokens")

    @property
    def completion_tokens(self) -> Numbers | None:
        """``[n, m]``, NaN where unknown; None: none is known."""
        return self._known("completion_tokens")

    @property
    def latency(self) -> Numbers | None:
        """Seconds, ``[n, m]``, NaN where unknown; None: none is known."""
        return self._known("latency")

    def _known(self, name: str) -> Numbers | None:
        import numpy as np

        values = self._values.get(name)
        return None if values is None or not np.isfinite(values).any() else values

    def matrix(self) -> tuple[list[str | None], Numbers, list[str]]:
        """Prompts, scores ``[n, m]`` with NaN, and models: what `ferroute.fit` takes."""
        import numpy as np

        return list(self.prompts), np.array(self.scores, order="C"), list(self.models)

    def filter(
        self,
        models: Sequence[str] | None = None,
        *,
        groups: Sequence[str] | None = None,
        complete: bool = False,
    ) -> OutcomeTable:
        """A part of the table.

        Args:
            models: Columns, in this order; None: all.
            groups: Rows of these groups; None: of all.
            complete: Only rows where every model that stays has a score.

        Raises:
            UnknownNameError: There is no such model or group; the message names those there are.
        """
        import numpy as np

        wanted = list(self.models) if models is None else _several(models)
        for what, names, there in (("model", wanted, self.models), ("group", groups or (), self.groups)):
            for name in names:
                if name not in there:
                    known = sorted({str(one) for one in there if one is not None})
                    raise UnknownNameError(f"no {what} named {name!r}; there are {_listed(known)}")
        at = [self.models.index(name) for name in wanted]
        keep = np.ones(len(self), dtype=bool)
        if groups is not None:
            chosen = set(_several(groups))
            keep &= np.array([group in chosen for group in self.groups], dtype=bool)
        if complete:
            keep &= np.isfinite(self.scores[:, at]).all(axis=1)
        rows, columns = np.flatnonzero(keep), np.array(at, dtype=np.intp)
        return self._part(rows.tolist(), wanted, {name: v[np.ix_(rows, columns)] for name, v in self._values.items()})

    def _part(self, rows: list[int], models: list[str], values: dict[str, Numbers]) -> OutcomeTable:
        made = object.__new__(type(self))
        made.prompts, made.groups, made.ids = (
            [column[row] for row in rows] for column in (self.prompts, self.groups, self.ids)
        )
        made.models, made.notes, made._values = models, self.notes, values
        return made

    def merge(self, *others: OutcomeTable) -> OutcomeTable:
        """All rows and models of several tables; rows are the same where their ids are.

        Args:
            *others: The other tables.

        Raises:
            InvalidValueError: Two tables know different numbers of the same row and model.
        """
        import numpy as np

        tables = (self, *others)
        models = list(dict.fromkeys(model for table in tables for model in table.models))
        first: dict[str, tuple[str | None, str | None]] = {}
        for table in tables:
            for name, prompt, group in zip(table.ids, table.prompts, table.groups, strict=True):
                known = first.get(name, (None, None))
                first[name] = (prompt if known[0] is None else known[0], group if known[1] is None else known[1])
        place = {name: row for row, name in enumerate(first)}
        values: dict[str, Numbers] = {}
        for table in tables:
            rows = np.array([place[name] for name in table.ids], dtype=np.intp)
            at = np.ix_(rows, np.array([models.index(model) for model in table.models], dtype=np.intp))
            for name, new in table._values.items():
                whole = values.setdefault(name, np.full((len(first), len(models)), np.nan))
                old = whole[at]
                clash = np.isfinite(old) & np.isfinite(new) & (old != new)
                if clash.any():
                    row, column = (int(i) for i in np.argwhere(clash)[0])
                    raise InvalidValueError(
                        f"{MEASURES[name]}: {table.ids[row]!r:.60} under {table.models[column]!r} is both "
                        f"{old[row, column]:.6g} and {new[row, column]:.6g}: expected one number"
                    )
                whole[at] = np.where(np.isfinite(new), new, old)
        made = object.__new__(type(self))
        made.ids, made.models, made._values = list(first), models, values
        made.prompts, made.groups = [one[0] for one in first.values()], [one[1] for one in first.values()]
        made.notes = tuple(dict.fromkeys(note for table in tables for note in table.notes))
        return made

    def long(self) -> dict[str, Any]:
        """Columns with an entry for each known call: ``id``, ``prompt``, ``model``, ``score``, and what else is known.

        A call counts as known where any of its numbers is. ``group`` and the optional numbers are left out where the
        table has none.
        """
        import numpy as np

        known = np.zeros(self.scores.shape, dtype=bool)
        for values in self._values.values():
            known |= np.isfinite(values)
        rows, at = np.nonzero(known)
        out: dict[str, Any] = {
            "id": [self.ids[row] for row in rows],
            "prompt": [self.prompts[row] for row in rows],
            "model": [self.models[column] for column in at],
        }
        for name in MEASURES:
            if name == "score" or self._known(name) is not None:
                out[name] = self._values[name][rows, at]
        if any(group is not None for group in self.groups):
            out["group"] = [self.groups[row] for row in rows]
        return out

    def to_pandas(self, wide: bool = False) -> pd.DataFrame:
        """A frame with a row for each call, or ``wide``: for each prompt, with a column of scores for each model."""
        import numpy as np
        import pandas as pd  # pyright: ignore[reportMissingTypeStubs]

        if not wide:
            return pd.DataFrame(self.long())
        columns: dict[str, Any] = {"id": self.ids, "prompt": self.prompts, "group": self.groups}
        columns |= dict(zip(self.models, np.transpose(self.scores), strict=True))
        if self.costs is not None:
            columns |= {
                f"{model}|cost": column for model, column in zip(self.models, np.transpose(self.costs), strict=True)
            }
        return pd.DataFrame(columns)

    def describe(self) -> list[dict[str, Any]]:
        """For each model: ``model``, ``rows`` (with a score), and the means of what is known (None: nothing is).

        Means are in the units of the columns: ``score``, ``cost`` (dollars), tokens, ``latency`` (seconds).
        """
        import numpy as np

        def mean(name: str, column: int) -> float | None:
            values = self._values.get(name)
            known = np.array([]) if values is None else values[:, column][np.isfinite(values[:, column])]
            return float(known.mean()) if known.size else None

        return [
            {"model": model, "rows": int(np.isfinite(self.scores[:, i]).sum())}
            | {name: mean(name, i) for name in MEASURES}
            for i, model in enumerate(self.models)
        ]

    def fingerprint(self) -> str:
        """SHA-256 of all there is: names, texts and numbers."""
        import numpy as np

        found = hashlib.sha256()
        for names in (self.models, self.ids, self.prompts, self.groups):
            for name in names:
                text = b"\xff" if name is None else str(name).encode("utf-8", "surrogatepass")
                found.update(len(text).to_bytes(8, "little") + text)
        for name, values in self._values.items():
            found.update(name.encode() + np.ascontiguousarray(values, dtype="<f8").tobytes())
        return found.hexdigest()

    def __len__(self) -> int:
        return len(self.prompts)

    def _table(self) -> tuple[Sequence[str], Sequence[Sequence[str]], str]:
        shown = [name for name in MEASURES if name == "score" or self._known(name) is not None]
        titles = {"cost": "$ a call", "latency": "seconds"}
        head = ["model", "rows", *(titles.get(name, name.replace("_", " ")) for name in shown)]
        order = sorted(self.describe(), key=lambda one: -(one["score"] if one["score"] is not None else float("-inf")))
        rows = [
            [one["model"], f"{one['rows']:,}", *("-" if one[name] is None else f"{one[name]:.4g}" for name in shown)]
            for one in order
        ]
        groups = {group for group in self.groups if group is not None}
        parts = [f"{len(self):,} prompts, {len(self.models)} models", *([f"{len(groups)} groups"] if groups else [])]
        return head, rows, "; ".join([*parts, *self.notes])


def hashed(prompts: Sequence[str | None]) -> list[str]:
    """A name for each prompt that is the same wherever its text is."""
    seen: dict[str, int] = {}
    out: list[str] = []
    for prompt in prompts:
        name = hashlib.sha256(("" if prompt is None else prompt).encode("utf-8", "surrogatepass")).hexdigest()[:16]
        seen[name] = seen.get(name, 0) + 1
        out.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return out


def _several(names: Sequence[str]) -> list[str]:
    return [names] if isinstance(names, str) else list(names)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
