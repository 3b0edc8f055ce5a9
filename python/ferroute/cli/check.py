"""``ferroute check``: a configuration's summary or its mistakes; and the difference between two of them on requests."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from rich.text import Text

from ferroute import _core, _serving_config
from ferroute._serving_build import with_pair, with_tiers
from ferroute._serving_check import Findings, ModelLine, look
from ferroute._serving_config import ConfigMistakes, Configuration
from ferroute._serving_replay import REFUSED, Comparison, Request, Row, Side, request_of
from ferroute.cli._output import Column, Rows, console, json_line, one_line, percent, row_column
from ferroute.cli._run import BadInput, UsageProblem
from ferroute.errors import FerrouteError, InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rich.console import Console

SHOWN = 20
"""Requests that go elsewhere, shown one by one; --json has all of them."""


def print_schema() -> None:
    """The JSON schema on standard output."""
    import json

    console().file.write(json.dumps(json.loads(_core.gateway_schema()), indent=2) + "\n")


def limit(option: str, text: str | None) -> float | None:
    """A percentage as a part of 1, which may be more than 1.

    Raises:
        UsageProblem: It is none.
    """
    if text is None:
        return None
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*%\s*", text)
    if not found:
        raise UsageProblem(f"{option}: expected a percentage such as 5%, found {text}")
    return float(found[1]) / 100


def check(path: Path, pair: tuple[str, str] | None = None, *, as_json: bool) -> bool:
    """Shows a configuration, or its mistakes; whether there are none.

    Args:
        path: The file.
        pair: The weak and the strong model of the command line, in place of its tiers.
        as_json: One object.
    """
    try:
        config = _loaded(path, pair)
        ledger = config.ledger_shown
        findings = look(config)
    except ConfigMistakes as error:
        _show_mistakes(error, as_json)
        return False
    if as_json:
        told = {**config.shown, "ledger": ledger} if "ledger" in config.shown else config.shown
        json_line({"ok": True, "mistakes": [], **_plain(findings), "config": told})
        return True
    _show(console(), str(path), config, findings, ledger)
    return True


def _loaded(path: Path, pair: tuple[str, str] | None) -> Configuration:
    """A configuration with its tiers.

    Raises:
        ConfigMistakes: It is wrong.
    """
    config = _serving_config.load(path)
    if pair is not None:
        with_pair(config, *pair, {})
    try:
        config.said.extend(with_tiers(config))
    except InvalidValueError as error:
        what = str(error).removeprefix(f"{path}: ")
        raise ConfigMistakes([_serving_config.Mistake(str(path), None, None, "", what)]) from None
    return config


def _show_mistakes(error: ConfigMistakes, as_json: bool) -> None:
    if as_json:
        json_line({"ok": False, "mistakes": [mistake._asdict() for mistake in error.mistakes]})
        return
    out = console()
    for mistake in error.mistakes:
        out.print(Text(str(mistake)), soft_wrap=True)
    count = len(error.mistakes)
    out.print(Text("1 mistake" if count == 1 else f"{count} mistakes", "bold red"))


def _plain(findings: Findings) -> dict[str, Any]:
    def line(of: ModelLine) -> dict[str, Any]:
        price = {
            name: None if value is None else f"{value:f}"
            for name, value in (("input_per_million", of.input), ("output_per_million", of.output))
        }
        return {"name": of.name, "model": of.model, **price, "shutdown": of.shutdown}

    return {
        "tiers": [line(each) for each in findings.tiers],
        "models": [line(each) for each in findings.models],
        "routers": findings.routers,
        "policies": findings.policies,
        "notes": findings.notes,
        "warnings": findings.warnings,
    }


def _show(out: Console, name: str, config: Configuration, findings: Findings, ledger: str) -> None:
    out.print(Text(f"{name}: no mistakes"), style="bold", soft_wrap=True)
    out.print(Text(f"listens on {config.host}:{config.port}, ledger {ledger}"), soft_wrap=True)
    for title, lines in (("tiers, weakest first", findings.tiers), ("models asked for by name", findings.models)):
        if lines:
            out.print(Text(title, "bold"))
            for line in lines:
                same = line.name == line.model
                shown = Text.assemble("  ", (line.name, "cyan"), "" if same else f": {line.model}", f"  {_price(line)}")
                out.print(shown, soft_wrap=True)
    out.print(Text.assemble(("routers", "bold"), f"  {', '.join(findings.routers)}"), soft_wrap=True)
    if findings.policies:
        out.print(Text("policies", "bold"))
        for policy in findings.policies:
            out.print(Text(f"  {policy}"), soft_wrap=True)
    for said in findings.notes:
        out.print(Text.assemble(("note: ", "yellow"), said), soft_wrap=True)
    for said in findings.warnings:
        out.print(Text.assemble(("warning: ", "bold yellow"), said), soft_wrap=True)


def _price(line: ModelLine) -> str:
    if line.input is None or line.output is None:
        return "price not known"
    return f"${line.input:f} in, ${line.output:f} out per 1M tokens"


def replay(
    path: Path,
    against: Path,
    prompts: Path,
    router: str | None,
    limits: tuple[float | None, float | None],
    pair: tuple[str, str] | None = None,
    *,
    as_json: bool,
) -> bool:
    """Plays requests through two configurations and shows the difference; whether it is within the limits.

    Args:
        path: The new configuration.
        against: The one before.
        prompts: Requests, one JSON object a line.
        router: What is asked for where a request names no model.
        limits: The greatest increase of cost and the largest share of requests that go elsewhere.
        pair: As for `check`, of both configurations.
        as_json: One object a line.
    """
    default = None if router is None or router.startswith("router") else f"router-{router}"
    try:
        before, after = Side(_loaded(against, pair)), Side(_loaded(path, pair))
    except ConfigMistakes as error:
        _show_mistakes(error, as_json)
        return False
    sums, out = Comparison(), console()
    table: Rows | None = None
    for request in _requests(prompts):
        row = _row(request, before, after, router if default is None else default, prompts)
        sums.add(row)
        if not row.moved:
            continue
        if as_json:
            json_line(_record(row))
        elif sums.moved <= SHOWN:
            table = table or Rows(out, [row_column(out), Column("before", 24), Column("after", 24), Column("prompt")])
            table.row([(str(request.row), "dim"), (row.before, ""), (row.after, "cyan"), (one_line(request.text), "")])
    if not sums.prompts and any(limit is not None for limit in limits):
        # A check that has checked nothing must not pass for one.
        raise BadInput(f"{prompts}: there is no request to play")
    broken = _broken(sums, limits)
    if as_json:
        json_line({"summary": {**sums.to_dict(), "exceeded": broken}})
    else:
        _show_sums(out, sums, broken)
    return not broken


def _requests(prompts: Path) -> Iterator[Request]:
    try:
        with prompts.open(encoding="utf-8-sig") as lines:
            for row, line in enumerate(lines, start=1):
                if line.strip():
                    try:
                        yield request_of(row, line)
                    except FerrouteError as error:
                        raise BadInput(f"{prompts}, line {row}: {error}") from None
    except UnicodeDecodeError as error:
        raise BadInput(f"{prompts}: is not UTF-8: {error}") from None
    except OSError as error:
        raise BadInput(f"{prompts}: cannot be read: {error.strerror or error}") from None


def _row(request: Request, before: Side, after: Side, default: str | None, prompts: Path) -> Row:
    try:
        was, cost_before, _ = before.answer(request, default)
        now, cost_after, reason = after.answer(request, default)
    except InvalidValueError as error:
        raise BadInput(f"{prompts}, line {request.row}: {error}") from None
    return Row(request, was, now, cost_before, cost_after, reason)


def _record(row: Row) -> dict[str, Any]:
    def money(value: Any) -> str | None:
        return None if value is None else f"{value:f}"

    return {
        "row": row.request.row,
        "prompt": row.request.text,
        "before": row.before,
        "after": row.after,
        "cost_before_usd": money(row.cost_before),
        "cost_after_usd": money(row.cost_after),
        "reason": row.reason,
    }


def _broken(sums: Comparison, limits: tuple[float | None, float | None]) -> list[str]:
    most_dearer, most_changed = limits
    broken: list[str] = []
    if most_dearer is not None:
        if sums.increase is None or sums.increase > most_dearer:
            broken.append(f"it becomes dearer by more than {most_dearer:.2%}")
        if sums.unpriced:
            broken.append(f"the cost of {sums.unpriced:,} requests is not known, so no limit of it can be kept")
    if most_changed is not None and sums.changed > most_changed:
        broken.append(f"more than {most_changed:.2%} of the requests go elsewhere")
    return broken


def _show_sums(out: Console, sums: Comparison, broken: list[str]) -> None:
    if not sums.prompts:
        out.print(Text("there was no request to play"))
        return
    if sums.moved > SHOWN:
        out.print(Text(f"... and {sums.moved - SHOWN:,} more (--json has all of them)", "dim"))
    went = percent(sums.moved, sums.prompts)
    out.print(Text(f"\n{sums.prompts:,} requests, {sums.moved:,} ({went}) go elsewhere"), style="bold")
    models = sorted({*sums.models[0], *sums.models[1]}, key=lambda model: (model == REFUSED, model))
    table = Rows(out, [Column("before", 8, right=True), Column("after", 8, right=True), Column("model")])
    for model in models:
        shares = [percent(side[model], sums.prompts) for side in sums.models]
        table.row([(shares[0], ""), (shares[1], "cyan"), (model, "")])
    increase = "" if sums.increase is None else f" ({sums.increase:+.1%})"
    out.print(Text(f"estimated cost ${sums.cost[0]:.6f} before, ${sums.cost[1]:.6f} after{increase}"))
    if sums.unpriced:
        out.print(Text(f"without {sums.unpriced:,} requests whose price is not known", "yellow"))
    for reason in broken:
        out.print(Text(reason, "bold red"))
