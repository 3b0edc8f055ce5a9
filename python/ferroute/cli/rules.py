"""``ferroute rules``: a file of rules checked, tried on prompts, and the presets shown."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from rich.text import Text

from ferroute import _core
from ferroute.cli._inputs import Source
from ferroute.cli._output import Column, Rows, console, json_line, note, one_line, percent, row_column
from ferroute.cli._run import BadInput
from ferroute.errors import FerrouteError
from ferroute.routers.routers import RulesRouter
from ferroute.routers.rules import visible

# Of a table that is too narrow for tasks.
_FEW_COLUMNS = 4

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from rich.console import Console


def load(name: str) -> RulesRouter:
    """The rules of a file, or of a preset of that name where there is no such file."""
    if not Path(name).exists() and name in _core.RULE_PRESETS:
        return RulesRouter(preset=name)
    router = RulesRouter(file=name)
    router.check_alone()
    return router


def check(name: str, *, as_json: bool) -> None:
    """Reads a file of rules and shows them; what is wrong with it is raised."""
    router = load(name)
    *rules, last = router.rows
    if as_json:
        shown = [dict(zip(("name", "place", "when", "then"), row, strict=True)) for row in rules]
        json_line({"rules": shown, "otherwise": last[3], "rungs": router.named_rungs})
        return
    out = console()
    out.print(Text(f"{name}: {len(rules)} rules, no mistakes"), style="bold")
    for rule, _place, when, then in (map(visible, row) for row in rules):
        out.print(Text.assemble((f"  {rule}", "cyan"), f": {when} -> {then}"), soft_wrap=True)
    out.print(Text(f"  otherwise -> {visible(last[3])}"), soft_wrap=True)


def show(name: str) -> None:
    """The YAML of a preset on standard output, as a start for a file of one's own."""
    console().file.write(_core.rules_preset(name))


def try_out(name: str, source: Source | Path, *, limit: int | None, skip_bad: bool, as_json: bool) -> bool:
    """Tries rules on prompts; whether every row that says what it expects got that."""
    router = load(name)
    names = [row[0] for row in router.rows]
    out = console()
    counts: Counter[str] = Counter()
    ends: Counter[str] = Counter()
    table: Rows | None = None
    total = wrong = 0
    for case in _cases(source, limit, skip_bad, router.ends):
        verdict = router.choose(case.request)
        total += 1
        counts.update(verdict.fired)
        went = _went(verdict)
        ends[went] += 1
        missed = case.expected is not None and case.expected not in (verdict.rung, verdict.model, verdict.ask)
        wrong += missed
        if as_json:
            json_line(_record(case, verdict, missed))
            continue
        table = table or _table(out)
        fired = visible(", ".join(verdict.fired)) or "-"
        end = visible(f"{went}, not {case.expected}" if missed else went)
        cells = [(str(case.row), "dim"), (fired, ""), (end, "bold red" if missed else "cyan")]
        if len(table.columns) > _FEW_COLUMNS:
            cells.append((verdict.label or "-", "dim"))
        table.row([*cells, (one_line(case.text), "")])
    if as_json:
        fired_by = {rule: counts[rule] for rule in names[:-1]}
        json_line({"summary": {"prompts": total, "fired": fired_by, "ends": dict(ends), "wrong": wrong}})
    elif total:
        _summary(out, total, names[:-1], counts, ends, wrong)
    else:
        note("there was no prompt to try the rules on")
    return not wrong


class _Case:
    """One request to try."""

    __slots__ = ("expected", "request", "row", "text")

    def __init__(self, row: int, request: _core.Request, text: str, expected: str | None = None) -> None:
        self.row, self.request, self.text, self.expected = row, request, text, expected


def _cases(source: Source | Path, limit: int | None, skip_bad: bool, ends: Collection[str]) -> Iterator[_Case]:
    if isinstance(source, Source):
        first: str | None = None
        try:
            for batch in source:
                for row, prompt in batch:
                    first = prompt if first is None else first
                    yield _Case(row, _core.Request(prompt), prompt)
        finally:
            for text in source.notes(first):
                note(text)
        return
    skipped, done = 0, 0
    try:
        with source.open(encoding="utf-8-sig") as lines:
            for row, line in enumerate(lines, start=1):
                if limit is not None and done >= limit:
                    break
                if not line.strip():
                    continue
                try:
                    case = _case(row, line, ends)
                except (ValueError, TypeError) as error:
                    if not skip_bad:
                        raise BadInput(f"{source}, line {row}: {error}") from None
                    skipped += 1
                    continue
                done += 1
                yield case
    except UnicodeDecodeError as error:
        raise BadInput(f"{source}: is not UTF-8: {error}") from None
    except OSError as error:
        raise BadInput(f"{source}: cannot be read: {error.strerror or error}") from None
    if skipped:
        note(f"{skipped:,} bad rows were left out (--skip-bad)")


def _case(row: int, line: str, ends: Collection[str]) -> _Case:
    """A request from a line of JSON: a string, or an object with ``prompt`` or ``messages`` and what else a call has.

    Raises:
        ValueError: It is none.
        TypeError: A part has another type than expected.
    """
    try:
        found: Any = json.loads(line)
    except RecursionError as error:
        raise ValueError(f"nested too deeply: {error}") from None
    if isinstance(found, str):
        return _Case(row, _core.Request(found), found)
    if not isinstance(found, dict):
        raise ValueError("expected a JSON string or object")
    fields = cast("dict[str, Any]", found)
    asked = next((fields[name] for name in ("messages", "prompt", "question", "text") if fields.get(name)), None)
    if not isinstance(asked, (str, list)):
        raise ValueError("expected `prompt`, a text, or `messages`, a list")
    extras: dict[str, Any] = fields.get("ferroute") or {}
    task = fields.get("task", extras.get("task"))
    expected = fields.get("expect")
    for name, value in (("task", task), ("expect", expected)):
        if value is not None and not isinstance(value, str):
            raise ValueError(f"expected a text as `{name}`")
    if expected is not None and expected not in ends:
        raise ValueError(f"`expect`: nothing leads to {expected!r:.60}; there are {', '.join(ends)}")
    tags = _tags(fields.get("tags", extras.get("tags")))
    request = _core.Request(asked, fields, task=task, tags=tags)
    return _Case(row, request, request.text, expected)


def _tags(given: Any) -> list[tuple[str, str]]:
    if given is None:
        return []
    if isinstance(given, dict):
        return [(str(name), str(value)) for name, value in cast("dict[Any, Any]", given).items()]
    if isinstance(given, list):
        return [(str(name), "") for name in cast("list[Any]", given)]
    raise ValueError("expected `tags` as a list of names or as an object")


def _went(verdict: _core.Verdict) -> str:
    if verdict.model is not None:
        return f"model {verdict.model}"
    if verdict.rung is not None:
        return verdict.rung
    bounds = (("at least", verdict.floor), ("at most", verdict.ceiling))
    said = ", ".join(f"{what} {rung}" for what, rung in bounds if rung)
    return f"{verdict.ask}{f' ({said})' if said else ''}"


def _record(case: _Case, verdict: _core.Verdict, missed: bool) -> dict[str, Any]:
    record: dict[str, Any] = {
        "row": case.row,
        "prompt": case.text,
        "fired": verdict.fired,
        "rung": verdict.rung,
        "model": verdict.model,
        "ask": verdict.ask,
        "floor": verdict.floor,
        "ceiling": verdict.ceiling,
        "task": verdict.label,
        "reason": verdict.reason,
        "notes": verdict.notes,
    }
    if case.expected is not None:
        record |= {"expect": case.expected, "as_expected": not missed}
    return record


def _table(out: Console) -> Rows:
    wide = out.width >= 110
    columns = [row_column(out), Column("rules fired", 30 if wide else 18), Column("goes to", 24)]
    # A task's name would be cut beyond recognition there; --json has it.
    tasks = [Column("task", 26)] if wide else []
    return Rows(out, [*columns, *tasks, Column("prompt")])


def _summary(out: Console, total: int, rules: list[str], counts: Counter[str], ends: Counter[str], wrong: int) -> None:
    ended = ", ".join(f"{n:,} to {visible(end)}" for end, n in ends.most_common())
    out.print(Text(f"\n{total:,} prompts: ") + Text(ended))
    for rule in rules:
        fired = counts[rule]
        said = f"{fired:,} times ({percent(fired, total)})" if fired else "never fired"
        out.print(Text(f"  {visible(rule)}: ") + Text(said, "" if fired else "bold yellow"), soft_wrap=True)
    if wrong:
        out.print(Text(f"{wrong:,} did not go where they were expected to", "bold red"))


def source_of(prompts: str, format: str | None, column: str | None, limit: int | None, skip_bad: bool) -> Source | Path:  # noqa: A002
    """Where prompts come from; JSONL with whole requests is read here, everything else as other commands do.

    Raises:
        BadInput: The file cannot be opened.
    """
    path = Path(prompts)
    jsonl = format == "jsonl" or (format is None and path.suffix.lower() in {".jsonl", ".ndjson"})
    if jsonl and column is None and path.is_file():
        return path
    try:
        return Source.of([], prompts, format, column, skip_bad, limit)
    except FerrouteError as error:
        raise BadInput(str(error)) from None
