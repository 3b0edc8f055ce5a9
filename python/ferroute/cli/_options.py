"""Options that several commands have, and what they mean."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ferroute.cli._run import UsageProblem

if TYPE_CHECKING:
    from ferroute.controller import Controller

Prompts = Annotated[
    list[str] | None, typer.Argument(help="Prompts; none: from --file or standard input.", show_default=False)
]
File = Annotated[
    str | None,
    typer.Option(
        "--file",
        "-f",
        metavar="PATH",
        help="Text, JSONL, CSV or Parquet: a file, a folder, a pattern; - is standard input.",
        show_default=False,
    ),
]
Format = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="text, jsonl, csv or parquet. (default: by the file's extension)", show_default=False
    ),
]
ColumnName = Annotated[
    str | None,
    typer.Option(
        "--column",
        metavar="NAME",
        show_default=False,
        help="Field or column with the prompt. (default: prompt, messages, question or text)",
    ),
]
Limit = Annotated[int | None, typer.Option(min=1, help="Stop after this many prompts.", show_default=False)]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave out rows without a usable prompt, and count them.")]
Config = Annotated[
    Path | None,
    typer.Option(
        metavar="YAML", exists=True, dir_okay=False, help="Arguments of each router, by name.", show_default=False
    ),
]
LogFormat = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="NAME",
        help="openai, litellm, langfuse, otel, table or ledger. (default: recognised)",
        show_default=False,
    ),
]
LogColumns = Annotated[
    list[str] | None,
    typer.Option("--column", metavar="FIELD=COLUMN", help="A column of your own; repeat it.", show_default=False),
]
MovedFrom = Annotated[
    str | None,
    typer.Option(
        "--strong",
        metavar="MODEL",
        help="Whose calls could move. (default: the one most is spent on)",
        show_default=False,
    ),
]
MovedTo = Annotated[
    str | None,
    typer.Option("--to", metavar="MODEL", help="Where they could move. (default: a cheaper one)", show_default=False),
]
PricesAt = Annotated[
    str | None,
    typer.Option(
        "--at", metavar="DAY", help="Day of the prices, such as 2026-01-31. (default: today)", show_default=False
    ),
]
Strong = Annotated[str, typer.Option(help="Model for hard prompts.")]
Weak = Annotated[str, typer.Option(help="Model for all others.")]


def threshold_of(share: str | None, threshold: float | None) -> float:
    """The threshold, or the share in its place."""
    if share is not None and threshold is not None:
        raise UsageProblem("give --share or --threshold, not both")
    return share_of(share or "30%") if threshold is None else threshold


def share_of(text: str, option: str = "--share") -> float:
    """A percentage as the share that it is."""
    from ferroute.decision import Share

    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*%\s*", text)
    if not found or float(found[1]) > 100:
        raise UsageProblem(f"{option}: expected a percentage such as 30%, found {text}")
    return Share(float(found[1]) / 100)


def controller_of(routers: list[str], strong: str, weak: str, config: Path | None) -> Controller:
    """The Controller that a command asks."""
    from ferroute import _lifecycle
    from ferroute.cli._output import note
    from ferroute.controller import Controller

    with _lifecycle.told_to(note):
        return Controller(routers, strong_model=strong, weak_model=weak, config=read_config(config))


def read_config(path: Path | None) -> dict[str, Any] | None:
    """What a configuration file says of each router."""
    from ferroute._config import read_config
    from ferroute.errors import FerrouteError

    try:
        return read_config(path)
    except FerrouteError as error:
        raise UsageProblem(f"--config {error}") from None
