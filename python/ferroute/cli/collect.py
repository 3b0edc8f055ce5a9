"""``ferroute collect``: ask two models the same prompts, mark the answers, keep the outcomes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

from rich.text import Text

from ferroute.cli._output import console, json_line, note
from ferroute.cli._run import BadInput, UsageProblem
from ferroute.errors import FerrouteError
from ferroute.evals import scoring
from ferroute.evals.collect import Collected, collect

if TYPE_CHECKING:
    from pathlib import Path

PROMPTS, REFERENCES = ("prompt", "question", "text"), ("reference", "answer", "target")
FAILED = 1


def run(
    file: Path,
    strong: dict[str, Any],
    weak: dict[str, Any],
    score: str,
    output: Path,
    *,
    column: str | None,
    reference: str | None,
    limit: int | None,
    concurrency: int,
    keep_answers: bool,
    system: str | None,
    options: dict[str, Any],
    as_json: bool,
) -> int:
    """Collects, and says what came of it; the exit code is not 0 where rows failed."""
    prompts, references = read(file, column, reference, scoring.needs_reference(score))
    collected = collect(
        prompts[:limit],
        strong,
        weak,
        score,
        references=None if references is None else references[:limit],
        output=output,
        concurrency=concurrency,
        keep_answers=keep_answers,
        system=system,
        progress=not as_json,
        **options,
    )
    if as_json:
        json_line(_record(collected, output))
    else:
        _show(collected, output)
    return FAILED if collected.errors else 0


def read(
    file: Path, column: str | None, reference: str | None, needed: bool
) -> tuple[list[str], list[str | None] | None]:
    """Prompts and right answers of a file.

    Raises:
        UsageProblem: A column that is named or needed is not there.
        BadInput: The file cannot be read.
    """
    from ferroute import _core
    from ferroute.prompts import read_texts

    try:
        if file.suffix.lower() in {".txt", ".text", ".md", ""}:
            texts, columns = read_texts(file), {}
        else:
            columns: dict[str, Any] = _core.read_columns(file)
            found = _pick(file, "--column", column, PROMPTS, columns)
            if found is None:
                raise UsageProblem(f"{file}: no column {', '.join(PROMPTS)}; name it with --column")
            texts = _texts(columns[found])
    except FerrouteError as error:
        raise BadInput(str(error)) from None
    if any(text is None for text in texts):
        raise BadInput(f"{file}: row {texts.index(None) + 1} has no prompt")  # pyright: ignore[reportArgumentType]
    right = _pick(file, "--reference", reference, REFERENCES, columns)
    if right is None:
        if needed:
            raise UsageProblem("this score compares with right answers: name their column with --reference")
        return texts, None
    return texts, _texts(columns[right])


def _pick(file: Path, option: str, name: str | None, usual: tuple[str, ...], columns: dict[str, Any]) -> str | None:
    if name is not None and name not in columns:
        raise UsageProblem(f"{option}: {file} has no column {name}; there are {', '.join(columns) or 'none'}")
    return name or next((one for one in usual if one in columns), None)


def _texts(values: Any) -> list[Any]:
    if isinstance(values, list):
        return cast("list[Any]", values)
    # A column of numbers as right answers, or as prompts.
    numbers: list[float] = values.tolist()
    return [None if math.isnan(value) else f"{value:.15g}" for value in numbers]


def _mean(collected: Collected, name: str) -> float | None:
    values = [row[name] for row in collected.rows if row.get(name) is not None]
    return sum(values) / len(values) if values else None


def _total(collected: Collected, side: str) -> float | None:
    values: list[Any] = [row.get(f"{side}_cost") for row in collected.rows if row[side] is not None]
    return sum(values) if values and all(value is not None for value in values) else None


def _record(collected: Collected, output: Path) -> dict[str, Any]:
    record: dict[str, Any] = {"output": str(output), "rows": len(collected.rows), "failed": len(collected.errors)}
    for side in ("strong", "weak"):
        record |= {f"{side}_score": _mean(collected, side), f"{side}_usd": _total(collected, side)}
    return record


def _show(collected: Collected, output: Path) -> None:
    out = console()
    out.print(f"{len(collected.rows):,} prompts, outcomes in {output}")
    for side in ("strong", "weak"):
        model, score, usd = collected.rows[0][f"{side}_model"], _mean(collected, side), _total(collected, side)
        money = "price unknown" if usd is None else f"${usd:,.4f}"
        shown = "no answer" if score is None else f"mean score {score:.4g}"
        out.print(Text(f"  {side}: {model}, {shown}, {money}"))
    if errors := collected.errors:
        note(f"{len(errors):,} rows failed and are asked again by the next run; the first: {errors[0]['error']}")
    else:
        out.print(Text(f"Next: ferroute evaluate --data {output} --router local", style="dim"))
