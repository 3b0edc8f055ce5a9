"""The commands below ``ferroute train`` and their options."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer looks it up
from typing import Annotated, Any

import typer

from ferroute.cli._run import UsageProblem, ending

training = typer.Typer(no_args_is_help=True, help="Train a router from data of your own.")


@training.command(
    epilog="Example: ferroute train mf --battles battles.jsonl --embedder local --output my_mf"
    "\n\nExample: ferroute train mf --battles battles.json --embeddings embeddings.npy"
    " --embedder text-embedding-3-small --output my_mf"
)
def mf(
    context: typer.Context,
    battles: Annotated[
        str, typer.Option(metavar="PATH", help="JSON, JSONL, CSV, Parquet, Arrow, a folder or a Hub data set.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder of the checkpoint.")],
    embeddings: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help=".npy, Parquet or Arrow: embeddings of the prompts; row = idx of a battle.",
            show_default=False,
        ),
    ] = None,
    embedder: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="'local' or an embedding model; without --embeddings it embeds the prompts.",
            show_default=False,
        ),
    ] = None,
    api_base: Annotated[
        str | None,
        typer.Option(metavar="URL", help="OpenAI-compatible endpoint of the embedding model.", show_default=False),
    ] = None,
    dimensions: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Width the endpoint is asked for.", show_default=False),
    ] = None,
    instruction: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Put before every prompt that is embedded.", show_default=False),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A name of the table; repeat it in the order of rows. (default: the standard 64, or those found)",
            show_default=False,
        ),
    ] = None,
    dim: Annotated[int, typer.Option(help="Numbers in a model's row.")] = 128,
    no_proj: Annotated[bool, typer.Option("--no-proj", help="No projection; --dim is the embeddings' width.")] = False,
    epochs: Annotated[int, typer.Option(help="Passes over the battles at most.")] = 100,
    patience: Annotated[
        int, typer.Option(help="End after so many epochs without a smaller held-out loss; 0: never.")
    ] = 10,
    batch_size: Annotated[int, typer.Option(help="Battles in a batch.")] = 64,
    lr: Annotated[float, typer.Option(help="Learning rate of Adam.")] = 3e-4,
    weight_decay: Annotated[float, typer.Option(help="Weight decay of Adam.")] = 1e-5,
    alpha: Annotated[float, typer.Option(help="Deviation of the noise on embeddings.")] = 0.1,
    split: Annotated[float, typer.Option(help="Share of the battles trained on; the rest is held out.")] = 0.95,
    ties: Annotated[
        str, typer.Option(metavar="drop|half", help="Leave ties out, or take them as half a win each.")
    ] = "drop",
    seed: Annotated[int, typer.Option(help="Equal seeds give equal bytes.")] = 42,
    threads: Annotated[
        int | None, typer.Option(help="At most so many. (default: one for each processor)", show_default=False)
    ] = None,
    date: Annotated[str | None, typer.Option(help="A date for the report.", show_default=False)] = None,
) -> None:
    """Train a matrix factorisation from battles between models, on the CPU.

    A battle has model_a, model_b, winner (model_a, model_b or tie), and idx (a row of the embeddings) or
    prompt. Beside the checkpoint, training.json and training.txt report losses and held-out accuracy.
    """
    with ending(context.obj):
        import sys

        from ferroute.routers.matrix_factorization.report import check_output
        from ferroute.routers.matrix_factorization.train_matrix_factorization import train

        source: Any = embedder
        asked = {"api_base": api_base, "dimensions": dimensions, "instruction": instruction}
        asked = {name: value for name, value in asked.items() if value is not None}
        if asked and embedder == "local":
            raise UsageProblem(f"--{next(iter(asked)).replace('_', '-')} is for an endpoint, not for --embedder local")
        if asked:
            source = {"model": embedder or "text-embedding-3-small", **asked}
        check_output(output)
        trained = train(
            battles,
            embeddings,
            embedder=source,
            models=model,
            dim=dim,
            epochs=epochs,
            patience=patience or None,
            batch_size=batch_size,
            lr=lr,
            weight_decay=weight_decay,
            alpha=alpha,
            use_proj=not no_proj,
            split=split,
            ties=ties,
            seed=seed,
            threads=threads,
            progress=sys.stderr.isatty(),
            date=date,
        )
        trained.save(output)
        typer.echo(f"{trained.report}\nwritten to {output}")
