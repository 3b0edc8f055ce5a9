"""The command `audit` and its options."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer looks it up
from typing import Annotated

import typer

from ferroute.cli._options import share_of
from ferroute.cli._run import ending

auditing = typer.Typer()


@auditing.command(
    epilog="Example: ferroute audit logs.jsonl --html audit.html --labels to_label.jsonl"
    "\n\nExample: ferroute audit may.csv june.csv --column prompt=question --column cost=usd --to gpt-5.4-mini"
)
def audit(
    context: typer.Context,
    logs: Annotated[
        list[str],
        typer.Argument(metavar="LOGS", help="Files, a ledger's URL, or - for standard input.", show_default=False),
    ],
    format: Annotated[  # noqa: A002
        str | None,
        typer.Option(
            metavar="NAME",
            help="openai, litellm, langfuse, otel, table or ledger. (default: recognised)",
            show_default=False,
        ),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="FIELD=COLUMN", help="A column of your own; repeat it.", show_default=False),
    ] = None,
    router: Annotated[
        str, typer.Option(help="Name of a router that asks nobody, or the file of a fitted one.")
    ] = "local",
    strong: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL", help="Whose calls could move. (default: the one most is spent on)", show_default=False
        ),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Where they could move. (default: a cheaper one)", show_default=False),
    ] = None,
    move: Annotated[str, typer.Option(metavar="PERCENT", help="Share of its calls to move.")] = "30%",
    outcomes: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Labels that were filled in.", exists=True, show_default=False),
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="PATH", help="Write the report as a page.", show_default=False)
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option("--labels", metavar="PATH", help="Write the prompts to label as JSONL.", show_default=False),
    ] = None,
    k: Annotated[int, typer.Option("--k", "-k", min=0, help="How many prompts to label.")] = 200,
    purpose: Annotated[str, typer.Option(help="What the labels are for: certify or fit.")] = "certify",
    seed: Annotated[int, typer.Option(min=0, help="Of the draws.")] = 0,
    confidence: Annotated[float, typer.Option(min=0.0001, max=0.9999, help="Of the intervals.")] = 0.95,
    at: Annotated[
        str | None,
        typer.Option(metavar="DAY", help="Day of the prices, such as 2026-01-31. (default: today)", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")] = False,
) -> None:
    """Show what logs alone say: what could move to a cheaper model, what that takes off the bill, what to label.

    No key, no network; nothing leaves the machine. Of quality nothing is claimed that the logs do not prove.

    Fields of --json: source, format, calls, router, strong, to, spend, unpriced, period, verdict, ceiling, below,
    total, unknown, broken, problems, others, confidence, seed, at, prices, saving, quality, habits, savings, models,
    mix, dearest, to_label.
    """
    with ending(context.obj):
        from ferroute.cli import audit as command

        command.audit(
            logs,
            format=format,
            columns=command.columns_of(column or []),
            router=router,
            strong=strong,
            to=to,
            move=float(share_of(move, "--move")),
            outcomes=outcomes,
            html=html,
            labels=labels,
            k=k,
            purpose=purpose,
            seed=seed,
            confidence=confidence,
            at=at,
            as_json=as_json,
        )
