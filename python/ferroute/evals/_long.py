"""The long view of outcomes: one entry a call, and how a table is made of it."""

from __future__ import annotations

import csv
import io
import json
import math
from array import array
from typing import TYPE_CHECKING, Any, TypeVar

from ferroute.errors import InvalidTypeError, InvalidValueError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from typing_extensions import Self

Made = TypeVar("Made")

MEASURES = {
    "score": "scores",
    "cost": "costs",
    "prompt_tokens": "prompt tokens",
    "completion_tokens": "completion tokens",
    "latency": "latency",
}
"""The numbers of a call, and what they are called in messages."""

NAMES = {
    "id": ("id", "prompt_id", "sample_id", "global_index"),
    "prompt": ("prompt", "question", "query", "text"),
    "model": ("model", "model_name", "llm"),
    "score": ("score", "performance", "accuracy", "correct", "is_correct", "label"),
    "cost": ("cost", "cost_usd", "total_cost", "inference_cost"),
    "prompt_tokens": ("prompt_tokens", "input_tokens"),
    "completion_tokens": ("completion_tokens", "output_tokens"),
    "latency": ("latency", "latency_s"),
    "group": ("group", "dataset", "eval_name", "benchmark", "category"),
}
"""Where each field of a call is looked for, the first that there is."""

Call = tuple[str, str | None, str, str | None, tuple[float, ...]]
"""Id, prompt, model, group, and the numbers in the order of `MEASURES` (NaN where unknown)."""

NAN = float("nan")


class Builder:
    """Collects calls in any order; the same row and model several times is averaged."""

    def __init__(self) -> None:
        self._rows: dict[str, int] = {}
        self._prompts: list[str | None] = []
        self._groups: list[str | None] = []
        self._models: dict[str, int] = {}
        self._at = (array("q"), array("q"))
        self._values = tuple(array("d") for _ in MEASURES)

    def add(self, call: Call) -> None:
        """One call."""
        name, prompt, model, group, values = call
        row = self._rows.setdefault(name, len(self._rows))
        if row == len(self._prompts):
            self._prompts.append(prompt)
            self._groups.append(group)
        self._at[0].append(row)
        self._at[1].append(self._models.setdefault(model, len(self._models)))
        for column, value in zip(self._values, values, strict=True):
            column.append(value)

    def extend(self, calls: Iterator[Call]) -> Self:
        """Many calls."""
        for call in calls:
            self.add(call)
        return self

    def build(self, make: Callable[..., Made], notes: Sequence[str] = ()) -> Made:
        """The table: ``make`` is `OutcomeTable`, or takes the same.

        Raises:
            InvalidValueError: There is no call.
        """
        import numpy as np

        if not self._rows:
            raise InvalidValueError("expected at least one call with a score, found none")
        shape = len(self._rows), len(self._models)
        at = np.array(self._at[0], dtype=np.intp) * shape[1] + np.array(self._at[1], dtype=np.intp)
        tables: dict[str, Any] = {}
        for (name, _what), column in zip(MEASURES.items(), self._values, strict=True):
            values = np.array(column, dtype=np.float64)
            known = ~np.isnan(values)
            if name != "score" and not known.any():
                continue
            count = np.bincount(at[known], minlength=shape[0] * shape[1])
            total = np.bincount(at[known], weights=values[known], minlength=shape[0] * shape[1])
            with np.errstate(invalid="ignore", divide="ignore"):
                tables["costs" if name == "cost" else name] = np.reshape(total / count, shape)
        repeated = int(at.size - np.unique(at).size)
        if repeated:
            notes = [*notes, f"repeats of the same prompt and model averaged: {repeated:,}"]
        # The prompt is the id where there was no other: then the table names the row by itself.
        ids = None if list(self._rows) == self._prompts else list(self._rows)
        groups = self._groups if any(group is not None for group in self._groups) else None
        scores = tables.pop("score")
        return make(self._prompts, scores, list(self._models), ids=ids, groups=groups, notes=notes, **tables)


def columns_of(data: Mapping[str, Any], columns: Mapping[str, str] | None = None, source: str = "") -> Iterator[Call]:
    """The calls in columns of equal length.

    Raises:
        UnknownNameError: ``model``, ``score``, or both ``prompt`` and ``id`` are missing.
        InvalidValueError: Columns differ in length, or an entry is no number; the message names its row.
    """
    where = f"{source}: " if source else ""
    asked = dict(columns or {})
    for field in asked:
        if field not in NAMES:
            raise UnknownNameError(f"columns: no field {field!r}; there are {', '.join(NAMES)}")
    found: dict[str, Any] = {}
    for field, usual in NAMES.items():
        names = (asked[field],) if field in asked else usual
        name = next((name for name in names if name in data), None)
        if name is not None:
            found[field] = data[name]
        elif field in asked:
            raise UnknownNameError(f"{where}no column {asked[field]!r} for {field}; there are {_listed(data)}")
    for field in ("model", "score", "prompt"):
        if field not in found and not (field == "prompt" and "id" in found):
            raise UnknownNameError(
                f"{where}no column for {field}: expected {' or '.join(NAMES[field])}, found {_listed(data)}; "
                f"columns={{{field!r}: ...}} names another"
            )
    lengths = {field: len(values) for field, values in found.items()}
    if len(set(lengths.values())) > 1:
        raise InvalidValueError(f"{where}expected columns of one length, found {lengths}")
    count = lengths["model"]
    unknown = [None] * count
    measures = [found.get(field, unknown) for field in MEASURES]
    texts = [found.get(field, unknown) for field in ("id", "prompt", "model", "group")]
    for row, (name, prompt, model, group, *values) in enumerate(zip(*texts, *measures, strict=True)):
        text, label = word(prompt), word(name)
        identity = text if label is None else label
        who = word(model)
        if who is None or identity is None:
            missing = "model" if who is None else "prompt"
            raise InvalidValueError(f"{where}row {row}: {missing}: expected a text, found nothing")
        parts = numbers(dict(zip(MEASURES, values, strict=True)), f"{where}row {row}")
        yield identity, text, who, word(group), parts


def word(value: Any) -> str | None:
    """A text; None for what stands for nothing. Whole numbers lose the ".0" that tables of floats give them."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


_WORDS = {"": NAN, "true": 1.0, "false": 0.0, "nan": NAN, "none": NAN, "null": NAN, "na": NAN}


def number(value: Any) -> float:
    """A number, NaN for what stands for nothing; texts of tables included.

    Raises:
        ValueError: It is none.
        TypeError: It is none.
    """
    if value is None:
        return NAN
    if isinstance(value, str):
        known = _WORDS.get(value.strip().lower())
        return float(value) if known is None else known
    if isinstance(value, complex):
        raise InvalidTypeError(f"expected a number, found {value!r}")
    return float(value)


def numbers(values: Mapping[str, Any], where: str) -> tuple[float, ...]:
    """Several numbers by name.

    Raises:
        InvalidValueError: One is none; the message begins with ``where``.
    """
    for name, value in values.items():
        if not _is_number(value):
            raise InvalidValueError(f"{where}: {name}: expected a number, found {value!r:.60}")
    return tuple(number(value) for value in values.values())


def as_csv(columns: Mapping[str, Any]) -> str:
    """Columns as a CSV table; unknown cells are empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(["" if value is None else value for value in row] for row in _rows(columns))
    return text.getvalue()


def as_jsonl(columns: Mapping[str, Any]) -> str:
    """Columns as an object a line; unknown cells are left out."""
    names = list(columns)
    lines = (
        {name: value for name, value in zip(names, row, strict=True) if value is not None} for row in _rows(columns)
    )
    return "".join(json.dumps(line) + "\n" for line in lines)


def _rows(columns: Mapping[str, Any]) -> Iterator[list[Any]]:
    """The rows of columns, None for what is not known."""
    lists = [column.tolist() if hasattr(column, "tolist") else column for column in columns.values()]
    for row in zip(*lists, strict=True):
        yield [None if isinstance(value, float) and math.isnan(value) else value for value in row]


def _is_number(value: Any) -> bool:
    try:
        number(value)
    except (TypeError, ValueError):
        return False
    return True


def _listed(names: Any) -> str:
    known = [str(name) for name in names]
    return ", ".join(known[:12]) + (f" and {len(known) - 12} more" if len(known) > 12 else "") if known else "none"
