"""RouterBench's wide table: a row for each prompt, a few columns for each model.

Hu et al., "RouterBench: A Benchmark for Multi-LLM Routing System", arXiv:2403.12031. The columns are those that
``convertors/common.py`` of github.com/withmartian/routerbench writes and ``utils.py`` reads: ``sample_id``, ``prompt``
(the text of a Python list of turns), ``eval_name``, and for each model its performance under its own name,
``<model>|model_response`` and ``<model>|total_cost`` (US dollars); ``oracle_model_to_route_to`` is not needed.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any, cast

from ferroute.errors import UnknownNameError
from ferroute.evals._long import numbers, word
from ferroute.evals._readers._prices import unpriced
from ferroute.evals._readers._source import PICKLES, listed
from ferroute.evals.outcome_table import OutcomeTable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ferroute.evals._readers._source import Source

    Numbers = NDArray[np.float64]

ENDS = ("|model_response", "|total_cost")
"""How a model's other columns end."""


def detects(source: Source) -> bool:
    """Whether a column ends as a model's does; a pickle can be nothing else."""
    return source.kind in PICKLES or any(name.endswith(ENDS) for name in source.names)


def read(source: Source) -> OutcomeTable:
    """The table."""
    import numpy as np

    table = source.table
    stems = dict.fromkeys(name.removesuffix(end) for name in table for end in ENDS if name.endswith(end))
    models = list(stems)
    if not models:
        raise UnknownNameError(
            f"{source.path}: no column that ends in {' or '.join(ENDS)}; there are {listed(list(table))}"
        )
    for name in ("prompt", *models):
        if name not in table:
            raise UnknownNameError(f"{source.path}: no column {name!r}; there are {listed(list(table))}")
    turns = [_text(value) for value in table["prompt"]]
    scores = np.stack([_numbers(source, name, table[name]) for name in models], axis=1)
    unknown: Any = np.full(len(turns), np.nan)
    costs, notes = unpriced(
        np.stack([_numbers(source, name, table.get(f"{name}|total_cost", unknown)) for name in models], axis=1), models
    )
    names = [word(value) or "" for value in table["sample_id"]] if "sample_id" in table else None
    keep = list(range(len(turns)))
    if names is not None:
        # RouterBench's own evaluation keeps the first of equal ids as well.
        keep = list({name: row for row, name in reversed(list(enumerate(names)))}.values())[::-1]
        if len(keep) < len(names):
            notes.append(f"rows with the id of another left out: {len(names) - len(keep):,}")
    groups = [word(value) for value in table["eval_name"]] if "eval_name" in table else None
    return OutcomeTable(
        [turns[row] for row in keep],
        scores[keep],
        models,
        costs=costs[keep],
        groups=None if groups is None else [groups[row] for row in keep],
        ids=None if names is None else [names[row] for row in keep],
        notes=notes,
    )


def _text(value: Any) -> str | None:
    """The turns of a prompt, one after the other; a text that is no list of texts stays as it is."""
    text = word(value)
    if text is None or not (text.startswith("[") and text.endswith("]")):
        return text
    try:
        turns: Any = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
    if not isinstance(turns, list) or not turns or not all(isinstance(turn, str) for turn in cast("list[Any]", turns)):
        return text
    return "\n".join(cast("list[str]", turns))


def _numbers(source: Source, name: str, values: Any) -> Numbers:
    import numpy as np

    if isinstance(values, np.ndarray):
        return cast("Numbers", values)
    return np.array([numbers({name: value}, f"{source.path}: row {row}")[0] for row, value in enumerate(values)])
