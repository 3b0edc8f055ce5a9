"""``ferroute doctor``: what stands between a project and ferroute, with the place and what to do."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from rich.text import Text

from ferroute.cli._output import console, json_line
from ferroute.doctor import Finding, Report, examine

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

_STYLES = {"error": "bold red", "warning": "bold yellow", "note": "cyan"}
# Below the place and what was found.
_INDENT = " " * 9
_NARROW, _WIDE = 40, 120


def doctor(project: Path | None, *, as_json: bool) -> bool:
    """Examines a project, or the current folder, and this installation; whether nothing is an error."""
    report = examine("." if project is None else project)
    if as_json:
        json_line(report.as_dict())
    else:
        _show(console(), report)
    return report.ok


def _show(out: Console, report: Report) -> None:
    place = None
    for finding in report.findings:
        if place is not None:
            out.print()
        place = finding.where
        _show_one(out, finding)
    if report.findings:
        out.print()
    looked = f"looked at {report.project}: {report.seen}" + ("; this installation" if report.installation else "")
    out.print(Text(looked, "dim"), soft_wrap=True)
    out.print(Text(report.summary, "bold"), soft_wrap=True)


def _show_one(out: Console, finding: Finding) -> None:
    # The place stays in one piece, so that editors and terminals can follow it.
    head = Text.assemble((f"{finding.severity:<9}", _STYLES[finding.severity]), (finding.where, "bold"))
    out.print(head, soft_wrap=True)
    width = min(max(out.width, _NARROW), _WIDE) - len(_INDENT)
    for text, style in ((finding.what, ""), (finding.why, "dim"), (finding.todo, "green")):
        if text:
            for line in textwrap.wrap(f"{text}.", width, break_long_words=False, break_on_hyphens=False):
                out.print(Text(_INDENT + line, style), soft_wrap=True)
