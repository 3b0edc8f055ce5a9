"""Training of the matrix factorisation router, on the CPU, in Rust.

As a program::

    python -m ferroute.routers.matrix_factorization.train_matrix_factorization \
        --battles battles.json --embeddings embeddings.npy --output my_mf

`train` is the same from Python. The classes and loops of RouteLLM's module are here under their names.
"""

from __future__ import annotations

import argparse
import contextlib
from typing import TYPE_CHECKING, Any

from ferroute import _core
from ferroute._signals import program
from ferroute.embedding import PromptEmbedder, check_named, identity
from ferroute.errors import InvalidValueError
from ferroute.routers.matrix_factorization.battles import (
    BattleTable,
    checked_count,
    fingerprint,
    load_embeddings,
    read,
)
from ferroute.routers.matrix_factorization.model import MODEL_IDS, MFModel
from ferroute.routers.matrix_factorization.pairwise import MFModel_Train, PairwiseDataset, evaluator, train_loops
from ferroute.routers.matrix_factorization.report import EpochLosses, Judged, Trained, TrainingReport, check_output

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Generator, Mapping, Sequence

    import numpy as np
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "MFModel_Train",
    "PairwiseDataset",
    "Trained",
    "TrainingReport",
    "evaluator",
    "main",
    "train",
    "train_loops",
]


def train(
    battles: Any,
    embeddings: ArrayLike | str | os.PathLike[str] | None = None,
    *,
    embedder: Mapping[str, Any] | Callable[[str], ArrayLike] | str | None = None,
    models: Sequence[str] | None = None,
    dim: int = 128,
    batch_size: int = 64,
    epochs: int = 100,
    patience: int | None = 10,
    lr: float = 3e-4,
    weight_decay: float = 1e-5,
    alpha: float = 0.1,
    use_proj: bool = True,
    split: float = 0.95,
    ties: str = "drop",
    seed: int = 42,
    threads: int | None = None,
    progress: bool = False,
    date: str | None = None,
) -> Trained:
    """Trains a matrix factorisation from battles (Ong et al. 2024, arXiv:2406.18665, section 4.2).

    The same arguments give the same bytes, with any number of threads.

    Args:
        battles: A path (JSON, JSONL, CSV, Parquet, Arrow, a folder, a Hub data set), a DataFrame or a list of mappings
            with ``model_a``, ``model_b``, ``winner`` and ``idx`` (a row of ``embeddings``) or ``prompt`` (the text).
            Battles of a model with itself are left out.
        embeddings: ``[prompts, text_dim]``, or the path of an ``.npy`` file, which is memory-mapped, or of a Parquet,
            Arrow or JSONL file with a column of them. Without ``idx`` in the battles there is a row for each of them,
            or for each with a prompt of 16 characters or more (what ``generate_embeddings`` writes). None: the prompts'
            texts are embedded by ``embedder``.
        embedder: As for `MatrixFactorizationRouter`: ``"local"``, settings of an endpoint, or a callable. With
            ``embeddings``, what made them; the name of an embedding model will do. The checkpoint records it, and the
            router refuses another; a callable needs a name of its own.
        models: Names of the table, in the order of its rows. None: the standard 64 (`MODEL_IDS`) if they hold all
            models of the battles, else the names in the battles, sorted.
        dim: Numbers in a model's row.
        batch_size: Battles in a batch.
        epochs: Passes over the battles at most.
        patience: Ends after this many epochs without a smaller held-out loss; None: all epochs are made.
        lr: Learning rate of Adam (Kingma and Ba 2015, arXiv:1412.6980).
        weight_decay: Of Adam, added to the gradient.
        alpha: Standard deviation of the normal noise that each number of an embedding gets in training.
        use_proj: Whether embeddings are projected to ``dim``; without, both must be equally wide.
        split: Share of the battles that is trained on, above 0 and at most 1; the others are held out, choose the epoch
            and judge it. All battles of a prompt are on one side.
        ties: ``"drop"`` leaves ties out, as RouteLLM does; ``"half"`` takes each as half a win for either side, so that
            the router also learns on which prompts it does not matter who answers.
        seed: Decides the split, the first weights, the order of battles and the noise.
        threads: At most so many; None: one for each processor.
        progress: Show a bar on standard error.
        date: Goes into the report as it is.

    Returns:
        The model and the report; ``.save(folder)`` writes both.

    Raises:
        InvalidValueError: No battle is left, NaN in an embedding, a setting that cannot be, or a loss that overflows.
        UnknownNameError: A model that is not in ``models``, or a prompt without an embedding.
        CountMismatchError: Battles without ``idx``, and another number of embeddings.
        MissingFileError: There is no such file.
    """
    for name, value in (("epochs", epochs), ("batch_size", batch_size), ("dim", dim)):
        checked_count(name, value)
    checked_count("seed", seed, 0)
    if patience is not None:
        checked_count("patience", patience)
    if ties not in {"drop", "half"}:
        raise InvalidValueError(f"ties: expected 'drop' or 'half', found {ties!r}")
    check_named(embedder)
    table = battles if isinstance(battles, BattleTable) else read(battles, ties == "half")
    if not len(table):
        reasons = ", ".join(f"{reason}: {count}" for reason, count in table.dropped.items()) or "there were none"
        raise InvalidValueError(f"no battle with a winner between two different models is left ({reasons})")
    if embeddings is not None:
        vectors = load_embeddings(embeddings)
        table = table.aligned(len(vectors))
    else:
        vectors = _vectors(table, embedder, progress)
    names = _names(table, models)
    rows = table.rows({name: row for row, name in enumerate(names)})
    fitting, held_out, tied = _parts(rows, table.tied(), split, seed)
    if not len(fitting) or (split < 1 and not len(held_out)):
        raise InvalidValueError(
            f"split={split} leaves {len(fitting)} rows for training and {len(held_out)} held out, of {len(rows)} "
            "battles; both need at least one (split=1 holds none out)"
        )
    trainer = _core.MfTrainer(dim, len(names), vectors.shape[1], use_proj, seed)
    settings: dict[str, Any] = {
        "epochs": epochs,
        "patience": patience,
        "batch_size": batch_size,
        "lr": lr,
        "weight_decay": weight_decay,
        "alpha": alpha,
        "seed": seed,
    }
    with _bar(epochs, progress) as advance:
        done, best, baseline = trainer.fit(vectors, fitting, held_out, **settings, threads=threads, on_epoch=advance)
    model = MFModel.of_core(trainer.model(), "training")
    model.model_names = None if names == list(MODEL_IDS) else names
    model.trained_names = _by_wins(fitting, names)
    model.trained_with = _record(embedder)
    report = TrainingReport(
        data={
            "sha256": fingerprint(vectors, rows, names=names),
            "read": table.read,
            "dropped": dict(sorted(table.dropped.items())),
            "train": len(table) - (len(held_out) - tied),
            "held_out": len(held_out) - tied,
            "ties": int(table.tied().sum()),
            "prompts": len(vectors),
            "text_dim": vectors.shape[1],
        },
        models=names,
        trained=model.trained_names,
        embedder=model.trained_with,
        settings={"dim": dim, "use_proj": use_proj, **settings, "split": split, "ties": ties},
        epochs=[
            EpochLosses(number, loss, held and held[0], held and _accuracy(held, tied)) for number, loss, held in done
        ],
        best_epoch=best,
        held_out=Judged.of(done[best - 1][2], tied),
        baseline=Judged.of(baseline, tied),
        versions={"ferroute": _core.__version__, "report": 1},
        date=date,
    )
    return Trained(model, report)


def _parts(
    rows: NDArray[np.int64], tied: NDArray[np.bool_], split: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Battles to train on and held-out ones, ties turned into a win for either side, and how many ties are held out."""
    import numpy as np

    _, held_out = _core.split_battles(rows, split, seed)
    held = np.isin(rows[:, 2], held_out[:, 2])  # a prompt's battles are on one side
    parts = [np.concatenate([rows[side], rows[side & tied][:, [1, 0, 2]]]) for side in (~held, held)]
    return parts[0], parts[1], int((held & tied).sum())


def _accuracy(held: tuple[float, int, int], tied: int) -> float | None:
    judged = Judged.of(held, tied)
    return judged and judged.accuracy


def _vectors(table: BattleTable, embedder: Any, progress: bool) -> NDArray[np.generic]:
    if table.texts is None:
        raise InvalidValueError("give embeddings, or battles with a column 'prompt' (and no 'idx') and an embedder")
    if embedder is None:
        raise InvalidValueError("the prompts need an embedder: 'local', a callable, or the settings of an endpoint")
    from ferroute._batch import progress as counting

    if isinstance(embedder, str) and embedder != "local":
        embedder = {"model": embedder}
    with counting(len(table.texts), "embedding" if progress else None) as advance:
        return load_embeddings(PromptEmbedder(_Named(), embedder).embed_batch(table.texts, advance))


class _Named:
    embedding_model = "text-embedding-3-small"


def _record(embedder: Any) -> dict[str, Any] | None:
    if embedder is None:
        return None
    return {key: value for key, value in identity(embedder, _Named.embedding_model).items() if value is not None}


def _by_wins(rows: NDArray[np.int64], names: Sequence[str]) -> list[str]:
    """Names of the models that have battles, by the share of them that they won."""
    import numpy as np

    won, lost = (np.bincount(rows[:, side], minlength=len(names)) for side in (0, 1))
    counts = zip(names, won.tolist(), (won + lost).tolist(), strict=True)
    shares = {name: won / count for name, won, count in counts if count}
    return sorted(shares, key=lambda name: (-shares[name], name))


def _names(table: BattleTable, models: Sequence[str] | None) -> list[str]:
    names = table.names if models is None else list(models)
    if len(set(names)) != len(names):
        raise InvalidValueError("models: expected different names")
    for name in names:
        if not isinstance(name, str) or any("\ud800" <= character <= "\udfff" for character in name):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidValueError(f"models: expected names without lone surrogates, found {name!r:.60}")
    if models is not None:
        return names
    return list(MODEL_IDS) if all(name in MODEL_IDS for name in names) else names


@contextlib.contextmanager
def _bar(total: int, wanted: bool) -> Generator[Callable[..., None] | None]:
    if not wanted:
        yield None
        return
    from ferroute._progress import bar_class

    bar: Any
    with bar_class()(total=total, unit="epoch") as bar:
        best = float("inf")

        def heard(_number: int, train_loss: float, held: tuple[float, int, int] | None) -> None:
            nonlocal best
            shown = {"train_loss": f"{train_loss:.4f}"}
            if held is not None:
                best = min(best, held[0])
                shown.update(test_loss=f"{held[0]:.4f}", best=f"{best:.4f}", test_acc=f"{held[1] / held[2]:.3f}")
            bar.set_postfix(shown, refresh=False)
            bar.update(1)

        yield heard


def parser() -> argparse.ArgumentParser:
    """The flags of the program."""
    flags = argparse.ArgumentParser(
        prog="python -m routellm.routers.matrix_factorization.train_matrix_factorization",
        description="Train a matrix factorisation router from battles between models, on the CPU.",
        epilog="The output folder holds the checkpoint and the report training.json, training.txt.",
    )
    add = flags.add_argument
    add("--battles", required=True, metavar="FILE", help="JSON, JSONL, CSV, Parquet, Arrow, a folder or a Hub data set")
    add("--embeddings", metavar="FILE", help=".npy, Parquet, Arrow: embeddings of prompts; row = idx of a battle")
    add(
        "--embedder", metavar="NAME", help="'local', or the embedding model; without --embeddings, prompts are embedded"
    )
    add("--api-base", metavar="URL", help="OpenAI-compatible endpoint of the embedding model")
    add("--dimensions", type=int, metavar="N", help="width the endpoint is asked for")
    add("--instruction", metavar="TEXT", help="put before every prompt that is embedded")
    add("--output", required=True, metavar="FOLDER", help="folder of the checkpoint")
    add("--models", nargs="+", metavar="NAME", help="names of the table, in order (default: the standard 64, or found)")
    add("--dim", type=int, default=128, help="numbers in a model's row (%(default)s)")
    add("--epochs", type=int, default=100, help="passes at most (%(default)s)")
    add("--patience", type=int, default=10, help="epochs without a smaller held-out loss; 0: all (%(default)s)")
    add("--batch-size", type=int, default=64, help="battles in a batch (%(default)s)")
    add("--lr", type=float, default=3e-4, help="learning rate (%(default)s)")
    add("--weight-decay", type=float, default=1e-5, help="of Adam (%(default)s)")
    add("--alpha", type=float, default=0.1, help="deviation of the noise on embeddings (%(default)s)")
    add("--no-proj", action="store_true", help="no projection; --dim is the embeddings' width")
    add("--split", type=float, default=0.95, help="share trained on; the rest is held out (%(default)s)")
    add("--ties", choices=["drop", "half"], default="drop", help="leave ties out, or take them as half a win each")
    add("--seed", type=int, default=42, help="(%(default)s)")
    add("--threads", type=int, help="at most so many (default: one for each processor)")
    add("--date", help="a date for the report (default: none, so that equal runs give equal bytes)")
    add("--quiet", action="store_true", help="no progress bar")
    return flags


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the program; errors of ferroute end it with one line and exit code 1.

    Args:
        arguments: The command line's words; None: those of the process.
    """
    given = parser().parse_args(arguments)
    with program(parser().prog):
        trained = _run(given)
    print(trained.report, end="")  # noqa: T201 - what the program is for
    print(f"\nwritten to {given.output}")  # noqa: T201


def _run(given: argparse.Namespace) -> Trained:
    check_output(given.output)
    trained = train(
        given.battles,
        given.embeddings,
        embedder=_embedder(given),
        models=given.models,
        dim=given.dim,
        batch_size=given.batch_size,
        epochs=given.epochs,
        patience=given.patience or None,
        lr=given.lr,
        weight_decay=given.weight_decay,
        alpha=given.alpha,
        use_proj=not given.no_proj,
        split=given.split,
        ties=given.ties,
        seed=given.seed,
        threads=given.threads,
        progress=not given.quiet,
        date=given.date,
    )
    trained.save(given.output)
    return trained


def _embedder(given: argparse.Namespace) -> Mapping[str, Any] | str | None:
    if given.embedder is None or given.embedder == "local":
        return given.embedder
    asked = {"api_base": given.api_base, "dimensions": given.dimensions, "instruction": given.instruction}
    return {"model": given.embedder, **{key: value for key, value in asked.items() if value is not None}}


if __name__ == "__main__":
    main()
