"""Plain tables: a row for each call, or a row for each prompt with columns for its models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ferroute.errors import InvalidValueError, UnknownNameError
from ferroute.evals._long import NAMES, NAN, Builder, columns_of, number, numbers, word
from ferroute.evals._readers._source import PICKLES, listed
from ferroute.evals.outcome_table import OutcomeTable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ferroute.evals._readers._source import Source

SIDES = ("strong", "weak")
COLLECTED = {"prompt", *SIDES, "strong_model", "weak_model"}


def detects(source: Source) -> bool:
    """Whether there is a model, or both models of a pair, and a score."""
    if source.kind in {"folder", *PICKLES}:
        return False
    names = set(source.table)
    if _wide(source):
        return True
    asked = source.columns or {}
    long = all(field in asked or names & set(NAMES[field]) for field in ("model", "score"))
    return long or names >= COLLECTED


def read(source: Source) -> OutcomeTable:
    """The table."""
    table = source.table
    if _wide(source):
        return _columns(source, table)
    if set(table) >= COLLECTED and not source.columns:
        return _collected(source, table)
    return Builder().extend(columns_of(table, source.columns, str(source.path))).build(OutcomeTable)


def _wide(source: Source) -> bool:
    """Whether the models asked for are columns."""
    return bool(source.models) and set(source.models or ()) <= set(source.table)


def _columns(source: Source, table: Mapping[str, Any]) -> OutcomeTable:
    """A row a prompt, scores under the models' names: what `OutcomeTable.to_pandas` gives with ``wide=True``."""
    import numpy as np

    models, where = list(source.models or ()), str(source.path)

    def found(field: str) -> Any:
        named = (source.columns or {}).get(field)
        return next((table[name] for name in ((named,) if named else NAMES[field]) if name in table), None)

    def matrix(names: list[str], rows: int) -> Any:
        unknown = [None] * rows
        given = [table.get(name, unknown) for name in names]
        return np.array([numbers(dict(zip(names, row, strict=True)), where) for row in zip(*given, strict=True)])

    prompts, ids, groups = found("prompt"), found("id"), found("group")
    if prompts is None:
        raise UnknownNameError(f"{where}: no column for prompt; there are {listed(list(table))}")
    rows = len(prompts)
    costs = [f"{model}|cost" for model in models]
    return OutcomeTable(
        [word(prompt) for prompt in prompts],
        matrix(models, rows),
        models,
        costs=matrix(costs, rows) if any(name in table for name in costs) else None,
        ids=None if ids is None else [word(name) or "" for name in ids],
        groups=None if groups is None else [word(group) for group in groups],
    )


def _collected(source: Source, table: Mapping[str, Any]) -> OutcomeTable:
    """A row a prompt, with the columns that `ferroute.evals.collect` keeps for each side."""
    builder, failed = Builder(), 0
    count = len(table["prompt"])
    unknown = [None] * count

    def cell(name: str, row: int) -> Any:
        return table.get(name, unknown)[row]

    for row in range(count):
        prompt = word(cell("prompt", row))
        if word(cell("error", row)):
            failed += 1
            continue
        for side in SIDES:
            model = word(cell(f"{side}_model", row))
            if prompt is None or model is None:
                raise InvalidValueError(f"{source.path}: row {row}: expected a prompt and {side}_model, found nothing")
            names = (side, f"{side}_cost", f"{side}_prompt_tokens", f"{side}_completion_tokens")
            try:
                values = tuple(number(cell(name, row)) for name in names)
            except (TypeError, ValueError) as error:
                raise InvalidValueError(f"{source.path}: row {row}: {side}: expected numbers: {error}") from None
            builder.add((prompt, prompt, model, None, (*values, NAN)))
    return builder.build(OutcomeTable, [f"rows that failed left out: {failed:,}"] if failed else [])
