"""LLMRouterBench's results: one JSON file for each data set, split, model and run.

arXiv:2601.07206. The layout is that of ``data_collector/storage.py`` and ``baselines/data_loader.py`` of
github.com/ynulihao/LLMRouterBench: ``results/bench/<data set>/<split>/<model>/<name>-<YYYYMMDD_HHMMSS>.json`` with
``dataset_name``, ``split``, ``model_name``, ``demo`` and ``records`` of ``index``, ``origin_query``, ``prompt``,
``score``, ``cost`` (US dollars), ``prompt_tokens`` and ``completion_tokens``. Their loader counts a missing score as 0;
here it stays unknown.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, cast

from ferroute.errors import InvalidValueError, UnknownNameError
from ferroute.evals._long import Builder, numbers
from ferroute.evals._readers._prices import priced_table
from ferroute.evals._readers._source import json_of, listed

if TYPE_CHECKING:
    from pathlib import Path

    from ferroute.evals._readers._source import Source
    from ferroute.evals.outcome_table import OutcomeTable

HEAD = ("dataset_name", "split", "model_name", "records")
_STAMP = re.compile(r"(\d{8}_\d{6})\.json$")


def detects(source: Source) -> bool:
    """Whether a file, or the first JSON file of a folder, has the head of a run."""
    if source.kind == "folder":
        first = next(iter(source.files("*.json")), None)
        document = None if first is None else json_of(first)
    else:
        document = source.document if source.kind == ".json" else None
    return isinstance(document, dict) and "records" in document and "model_name" in document


def read(source: Source) -> OutcomeTable:
    """The last run of each data set, split and model."""
    runs: dict[tuple[str, str, str], tuple[str, Path, list[Any]]] = {}
    trials = older = 0
    for path in source.files("*.json"):
        head, records, demo = _run(path)
        if demo:
            trials += 1
            continue
        stamp = _STAMP.search(path.name)
        run = (stamp[1] if stamp else "", path, records)
        kept = runs.get(head)
        older += kept is not None
        if kept is None or run[:1] >= kept[:1]:
            runs[head] = run
    builder = Builder()
    for (dataset, split, model), (_, path, records) in runs.items():
        for at, record in enumerate(records):
            builder.add(_call(path, at, record, dataset, split, model))
    notes = [
        f"{what} left out: {count:,}"
        for count, what in ((trials, "trial runs"), (older, "older runs of the same"))
        if count
    ]
    return builder.build(priced_table, notes)


def _run(path: Path) -> tuple[tuple[str, str, str], list[Any], bool]:
    document = json_of(path)
    if not isinstance(document, dict):
        raise InvalidValueError(f"{path}: expected an object, found {type(document).__name__}")
    data = cast("dict[str, Any]", document)
    for name in HEAD:
        if name not in data:
            raise UnknownNameError(f"{path}: no field {name!r}; there are {listed(list(data))}")
    if not isinstance(data["records"], list):
        raise InvalidValueError(f"{path}: records: expected a list, found {type(data['records']).__name__}")
    return (
        (str(data["dataset_name"]), str(data["split"]), str(data["model_name"])),
        cast("list[Any]", data["records"]),
        bool(data.get("demo", False)),
    )


def _call(path: Path, at: int, record: Any, dataset: str, split: str, model: str) -> Any:
    if not isinstance(record, dict) or "index" not in record or "score" not in record:
        missing = "index" if isinstance(record, dict) and "index" not in record else "score"
        raise UnknownNameError(f"{path}: record {at}: no field {missing!r}")
    data = cast("dict[str, Any]", record)
    fields = ("score", "cost", "prompt_tokens", "completion_tokens")
    values = numbers({name: data.get(name) for name in fields}, f"{path}: record {at}")
    prompt = data.get("prompt") or data.get("origin_query")
    text = prompt if isinstance(prompt, str) or prompt is None else json.dumps(prompt, ensure_ascii=False)
    return f"{dataset}/{split}/{data['index']}", text, model, dataset, (*values, float("nan"))
