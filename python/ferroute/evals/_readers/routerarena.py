"""RouterArena's cached results and predictions.

Lu et al., "RouterArena: An Open Platform for Comprehensive Comparison of LLM Routers", arXiv:2510.00202. Two layouts of
github.com/RouteWorks/RouterArena are read:

- ``cached_results/<model>.jsonl``, a line a call: ``global_index``, ``question``, ``llm_selected``, ``token_usage``
  (``input_tokens``, ``output_tokens``), ``success`` and, where it was judged, ``evaluation_result`` (``score``,
  ``inference_cost`` in US dollars).
- ``router_inference/predictions/<router>.json``, a list of objects with ``global index`` (or ``global_index``),
  ``prompt``, ``prediction`` (the model chosen), ``generated_result`` (``token_usage``, ``success``), ``accuracy`` and
  ``cost``, null until they are judged. Only the models that were asked have outcomes.

Calls that failed and calls that nobody judged are not in the table; its notes say how many there were.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

from ferroute.errors import InvalidValueError, UnknownNameError
from ferroute.evals._long import NAN, Builder, numbers
from ferroute.evals._readers._prices import priced_table
from ferroute.evals._readers._source import json_of, lines, listed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ferroute.evals._readers._source import Source
    from ferroute.evals.outcome_table import OutcomeTable

INDEX = ("global_index", "global index")


def detects(source: Source) -> bool:
    """Whether objects have a global index and a model."""
    document: Any = source.document
    if source.kind == "folder":
        first = next(iter(source.files("*.jsonl")), None)
        document = None if first is None else next((line for _, line in lines(first)), None)
    if isinstance(document, list):
        document = next(iter(cast("list[Any]", document)), None)
    return (
        isinstance(document, dict)
        and any(name in document for name in INDEX)
        and ("llm_selected" in document or "prediction" in document)
    )


def read(source: Source) -> OutcomeTable:
    """All calls with a score."""
    builder = Builder()
    failed = unjudged = 0
    for place, entry in _entries(source):
        call, success = _call(place, entry)
        if not success:
            failed += 1
        elif math.isnan(call[-1][0]):
            unjudged += 1
        else:
            builder.add(call)
    left = ((failed, "calls that failed"), (unjudged, "calls without a score"))
    notes = [f"{what} left out: {count:,}" for count, what in left if count]
    try:
        return builder.build(priced_table, notes)
    except InvalidValueError as error:
        raise InvalidValueError(f"{source.path}: {'; '.join([str(error), *notes])}") from None


def _entries(source: Source) -> Iterator[tuple[str, dict[str, Any]]]:
    paths = source.files("*.jsonl")
    if not paths:
        raise UnknownNameError(f"{source.path}: expected *.jsonl{source.seen()}")
    for path in paths:
        for at, entry in _of(path):
            if not isinstance(entry, dict):
                raise InvalidValueError(f"{path}: {at}: expected an object, found {type(entry).__name__}")
            yield f"{path}: {at}", cast("dict[str, Any]", entry)


def _of(path: Path) -> Iterator[tuple[str, Any]]:
    if path.suffix.lower() == ".jsonl":
        yield from ((f"line {row}", entry) for row, entry in lines(path))
        return
    document = json_of(path)
    if not isinstance(document, list):
        raise InvalidValueError(f"{path}: expected a list of predictions, found {type(document).__name__}")
    yield from ((f"entry {row}", entry) for row, entry in enumerate(cast("list[Any]", document)))


def _call(place: str, entry: dict[str, Any]) -> tuple[Any, bool]:
    """The call, and whether it succeeded."""
    name = next((entry[key] for key in INDEX if entry.get(key)), None)
    cached = "llm_selected" in entry
    model = entry.get("llm_selected" if cached else "prediction")
    if name is None or not model:
        missing = INDEX[0] if name is None else "llm_selected or prediction"
        raise UnknownNameError(f"{place}: no {missing}; there are {listed(list(entry))}")
    answer = entry if cached else _mapping(entry.get("generated_result"))
    judged = _mapping(entry.get("evaluation_result")) if cached else entry
    usage = _mapping(answer.get("token_usage"))
    values = numbers(
        {
            "score": judged.get("score" if cached else "accuracy"),
            "cost": judged.get("inference_cost" if cached else "cost"),
            "input_tokens": usage.get("input_tokens"),
            "output_tokens": usage.get("output_tokens"),
        },
        place,
    )
    prompt = entry.get("question" if cached else "prompt")
    group = str(name).rpartition("_")[0] or None
    call = (str(name), None if prompt is None else str(prompt), str(model), group, (*values, NAN))
    # A prediction that was judged must have been generated, also where the file does not say so.
    return call, bool(answer.get("success", not math.isnan(values[0])))


def _mapping(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
