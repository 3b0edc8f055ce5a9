"""The commands from labels to a promise: `fit`, `certify` and `prove`, and their options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ferroute.cli._options import (
    LogColumns,  # noqa: TC001 - typer looks them up
    LogFormat,  # noqa: TC001
    MovedFrom,  # noqa: TC001
    MovedTo,  # noqa: TC001
    PricesAt,  # noqa: TC001
)
from ferroute.cli._run import UsageProblem, ending

proving = typer.Typer()

Loss = Annotated[
    float, typer.Option("--max-loss", min=0, max=1, help="How much the mean score may fall below the strong model's.")
]
Confidence = Annotated[float, typer.Option(help="Of the certificate, between 0 and 1.")]
Risk = Annotated[str, typer.Option(metavar="NAME", help="net, regret or weak_routed.")]
Judge = Annotated[
    str | None, typer.Option(metavar="NAME", help="The model that gave the scores, if one did.", show_default=False)
]
Seed = Annotated[int, typer.Option(min=0, help="Of draws and folds.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")]


@proving.command(
    epilog="Example: ferroute fit outcomes.parquet --out mine.safetensors"
    "\n\nExample: ferroute fit labels.jsonl --strong gpt-5.5 --weak gpt-5.4-mini --out mine.safetensors"
)
def fit(
    context: typer.Context,
    outcomes: Annotated[
        Path, typer.Argument(help="Outcomes: a table of prompts and scores, or labels that were filled in.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="PATH", help="Where the router goes.")] = Path(
        "router.safetensors"
    ),
    strong: Annotated[
        str | None, typer.Option(help="The strong model. (default: the best one)", show_default=False)
    ] = None,
    weak: Annotated[
        str | None, typer.Option(help="The weak model. (default: the cheapest one)", show_default=False)
    ] = None,
    folds: Annotated[int, typer.Option(min=2, help="Of the cross-validation.")] = 5,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Fit a router to outcomes of your own, and say honestly whether it beats random mixing."""
    with ending(context.obj):
        from ferroute.cli import prove as command

        command.fit(outcomes, out, strong, weak, folds, seed, as_json=as_json)


@proving.command(
    epilog="Example: ferroute certify labels.jsonl --router mine.safetensors --out certificate.json"
    "\n\nExample: ferroute certify labels.jsonl --router local --max-loss 0.02 --judge gpt-5.5"
)
def certify(
    context: typer.Context,
    labels: Annotated[Path, typer.Argument(help="Labels that the router was not fitted to.")],
    router: Annotated[str, typer.Option(metavar="NAME|PATH", help="local, or the file of a fitted router.")] = "local",
    logs: Annotated[
        list[str] | None,
        typer.Option(metavar="LOGS", help="The logs that the labels were drawn from; repeat it.", show_default=False),
    ] = None,
    format: LogFormat = None,  # noqa: A002
    column: LogColumns = None,
    model: MovedFrom = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="PATH", help="Write the certificate here.", show_default=False)
    ] = None,
    max_loss: Loss = 0.05,
    confidence: Confidence = 0.95,
    risk: Risk = "net",
    judge: Judge = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Find the highest threshold whose loss of quality is proven to be within a bound.

    The labels must be others than those the router was fitted to: ferroute prove keeps them apart by itself.

    Strong where the win rate is at least the threshold: higher threshold = fewer strong calls.
    """
    with ending(context.obj):
        from ferroute.cli import prove as command

        sure(confidence)
        command.certify(
            labels,
            router,
            out,
            logs=logs or [],
            of_logs=command.of_logs(format, column, model),
            as_json=as_json,
            max_quality_loss=max_loss,
            confidence=confidence,
            risk=risk,
            judge=judge,
            seed=seed,
        )


@proving.command(
    epilog="Example: ferroute prove logs.jsonl --folder proof"
    "\n\nExample: ferroute prove logs.jsonl --folder proof --labels proof/to_label.jsonl --max-loss 0.05"
)
def prove(
    context: typer.Context,
    logs: Annotated[list[str], typer.Argument(metavar="LOGS", help="Files, or a ledger's URL, as for ferroute audit.")],
    labels: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="to_label.jsonl with its scores filled in.", show_default=False),
    ] = None,
    folder: Annotated[Path, typer.Option(metavar="PATH", help="Where the files go.")] = Path("proof"),
    max_loss: Loss = 0.05,
    confidence: Confidence = 0.95,
    risk: Risk = "net",
    judge: Judge = None,
    k: Annotated[int, typer.Option("-k", min=1, help="How many prompts to label.")] = 1000,
    format: LogFormat = None,  # noqa: A002
    column: LogColumns = None,
    model: MovedFrom = None,
    to: MovedTo = None,
    at: PricesAt = None,
    seed: Seed = 0,
) -> None:
    """Go from logs to a certificate: audit them, name the prompts to label, then fit a router and certify it.

    The first call writes audit.html and to_label.jsonl. Fill in strong_score and weak_score, 0 to 1, and call it again
    with --labels: it writes router.safetensors and certificate.json, and shows how a Controller takes them.
    """
    with ending(context.obj):
        from ferroute.cli import prove as command

        sure(confidence)
        command.prove(
            logs,
            labels,
            folder,
            k=k,
            max_quality_loss=max_loss,
            confidence=confidence,
            risk=risk,
            judge=judge,
            seed=seed,
            **command.of_logs(format, column, model, to, at),
        )


def sure(confidence: float) -> None:
    """Refuses what is no confidence."""
    if not 0 < confidence < 1:
        raise UsageProblem(f"--confidence: expected a number between 0 and 1, found {confidence}")
