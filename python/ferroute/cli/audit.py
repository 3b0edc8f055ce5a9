"""``ferroute audit``: what logs alone say about moving calls to a cheaper model."""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING, Any

from rich.text import Text

from ferroute import auditing
from ferroute.auditing import NoCallsError
from ferroute.auditing._text import sections
from ferroute.cli._output import console, json_line, note
from ferroute.cli._run import BadInput, UsageProblem
from ferroute.errors import InvalidTypeError, InvalidValueError, MissingFileError, UnreadableFileError
from ferroute.pricing import PriceWarning

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from ferroute.auditing import Audit

_WIDEST = 120


def columns_of(options: list[str]) -> dict[str, str]:
    """The map that ``FIELD=COLUMN`` options make.

    Raises:
        UsageProblem: One has another form.
    """
    found: dict[str, str] = {}
    for option in options:
        field, mark, column = option.partition("=")
        if not (field and mark and column):
            raise UsageProblem(f"--column: expected FIELD=COLUMN such as prompt=question, found {option}")
        found[field.strip()] = column.strip()
    return found


def audit(logs: list[str], *, html: Path | None, labels: Path | None, as_json: bool, **settings: Any) -> None:
    """Audits the logs, shows the report and writes what is asked for.

    Raises:
        BadInput: The logs cannot be read, or hold no calls.
        UsageProblem: An argument is not understood.
    """
    try:
        with warnings.catch_warnings():
            # The report itself says which prices are unknown.
            warnings.simplefilter("ignore", PriceWarning)
            found = auditing.audit(logs[0] if len(logs) == 1 else logs, progress_bar=sys.stderr.isatty(), **settings)
    except (NoCallsError, MissingFileError, UnreadableFileError) as error:
        raise BadInput(str(error)) from None
    except (InvalidValueError, InvalidTypeError) as error:
        raise UsageProblem(str(error)) from None
    if html is not None:
        found.save_html(html)
    if labels is not None:
        found.save_labels(labels)
    if as_json:
        json_line(found.as_dict())
        return
    show(console(), found)
    if html is not None:
        note(f"page written to {html}")
    if labels is not None:
        note(f"{len(found.to_label):,} prompts to label written to {labels}")


def show(out: Console, found: Audit) -> None:
    """Prints the report; titles are bold, and nothing has a colour."""
    for at, (title, lines) in enumerate(sections(found, min(out.width, _WIDEST))):
        if at:
            out.print()
        out.print(Text(title, style="bold"), soft_wrap=True)
        for line in lines:
            out.print(Text(line), soft_wrap=True)
