"""EmbedLLM's correctness data: a row for each prompt and model, without costs.

Zhuang et al., "EmbedLLM: Learning Compact Representations of Large Language Models", arXiv:2410.02223. The columns are
those that ``algorithm/knn.py`` and ``algorithm/mf.py`` of github.com/richardzhuang0412/EmbedLLM read from
``train.csv``, ``val.csv`` and ``test.csv``: ``prompt_id``, ``prompt``, ``model_id``, ``model_name``, ``label`` (0 or
1); files with a ``category`` have it as the group. Several labels of one prompt and model are averaged; their code
takes the largest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ferroute.errors import InvalidValueError, UnknownNameError
from ferroute.evals._long import NAN, Builder, columns_of, number
from ferroute.evals._readers._source import header, listed, rows
from ferroute.evals.outcome_table import OutcomeTable

if TYPE_CHECKING:
    from pathlib import Path

    from ferroute.evals._readers._source import Source

PARTS = ("train.csv", "val.csv", "test.csv")


def detects(source: Source) -> bool:
    """Whether the columns are there, in the file or in a part of the folder."""
    if source.kind == "folder":
        parts = _parts(source)
        return bool(parts) and _fits(header(parts[0]))
    return _fits(source.names)


def _fits(names: list[str]) -> bool:
    return {"prompt_id", "label"} <= set(names) and bool({"model_name", "model_id"} & set(names))


def _parts(source: Source) -> list[Path]:
    return [source.path / name for name in PARTS if (source.path / name).is_file()]


def read(source: Source) -> OutcomeTable:
    """All parts of the folder, or the one file."""
    builder = Builder()
    paths = _parts(source) if source.kind == "folder" else [source.path]
    if not paths:
        raise UnknownNameError(f"{source.path}: expected {', '.join(PARTS)} or one of them{source.seen()}")
    for path in paths:
        if path.suffix.lower() == ".csv":
            _csv(path, builder)
        else:
            renamed = {"id": "prompt_id", "model": _model(path, source.names), "score": "label"}
            builder.extend(columns_of(source.table, renamed, str(path)))
    return builder.build(OutcomeTable)


def _model(path: Path, names: list[str]) -> str:
    found = next((name for name in ("model_name", "model_id") if name in names), None)
    if found is None:
        raise UnknownNameError(f"{path}: no column 'model_name' or 'model_id'; there are {listed(names)}")
    return found


def _csv(path: Path, builder: Builder) -> None:
    """Millions of rows that repeat each prompt: read row by row, a prompt is kept once."""
    names = header(path)
    optional = [name for name in ("category",) if name in names]
    for row, (name, model, prompt, label, *rest) in rows(
        path, ["prompt_id", _model(path, names), "prompt", "label", *optional]
    ):
        try:
            score = number(label)
        except ValueError:
            raise InvalidValueError(f"{path}: row {row}: label: expected a number, found {label!r:.60}") from None
        builder.add((name, prompt, model, rest[0] if rest else None, (score, NAN, NAN, NAN, NAN)))
