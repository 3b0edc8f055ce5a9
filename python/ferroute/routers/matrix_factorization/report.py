"""The report of a training: what went in, what came out, and how sure the held-out figures are."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ferroute._grid import AsText
from ferroute.errors import InvalidValueError

if TYPE_CHECKING:
    import os

    from ferroute.routers.matrix_factorization.model import MFModel

JSON_NAME, TEXT_NAME = "training.json", "training.txt"


def interval(right: int, count: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927); (0, 1) for a count of 0.

    Args:
        right: How many were right.
        count: Of how many.
    """
    if not count:
        return 0.0, 1.0
    z2 = 1.959963984540054**2
    share, width = right / count, 1 + z2 / count
    middle = share + z2 / (2 * count)
    half = math.sqrt(z2 * (share * (1 - share) / count + z2 / (4 * count * count)))
    return max(0.0, (middle - half) / width), min(1.0, (middle + half) / width)


@dataclass(frozen=True)
class Judged:
    """Held-out battles called.

    Attributes:
        battles: How many with a winner.
        loss: Mean of ``-ln(probability given to the winner)``, a tie being half a win for either; guessing has ln 2.
        accuracy: Share whose winner was called, 0..=1.
        low: Lower end of the accuracy's 95 % interval (Wilson 1927).
        high: Upper end.
    """

    battles: int
    loss: float
    accuracy: float
    low: float
    high: float

    @classmethod
    def of(cls, found: tuple[float, int, int] | None, ties: int = 0) -> Judged | None:
        """From loss, number called right and number of rows; each of ``ties`` is two rows, one of them called right.

        Args:
            found: Mean loss, number called right, number of rows.
            ties: How many battles were ties.
        """
        if found is None:
            return None
        loss, right, count = found
        right, count = max(right - ties, 0), count - 2 * ties
        return cls(count, loss, right / count if count else 0.0, *interval(right, count))

    def __str__(self) -> str:
        return f"accuracy {self.accuracy:.3f} (95 % interval {self.low:.3f} to {self.high:.3f}), loss {self.loss:.4f}"


@dataclass(frozen=True)
class EpochLosses:
    """Losses of one epoch.

    Attributes:
        epoch: Its number, from 1.
        train_loss: Mean of ``-ln(probability given to the winner)`` of the battles trained on, with noise.
        held_out_loss: The same of the held-out battles, without noise; None without any.
        held_out_accuracy: Share of their winners that was called, 0..=1; None without any.
    """

    epoch: int
    train_loss: float
    held_out_loss: float | None
    held_out_accuracy: float | None


@dataclass(frozen=True)
class TrainingReport(AsText):
    """What a training did.

    The same data, settings and version give the same bytes: it has no clock, only the ``date`` the caller gave.

    Attributes:
        data: Hash, battles read, dropped (by reason), used for training and held out, prompts, width of embeddings.
        models: Names of the rows of the table.
        trained: Those that battles of the training had, the ones that won most often first.
        embedder: What the embeddings came from (see `ferroute.embedding.identity`), or None where nobody said.
        settings: Of the training.
        epochs: Losses of each.
        best_epoch: The one whose weights were kept: the smallest held-out loss (without held-out battles the last).
        held_out: The kept weights on the held-out battles. They chose the epoch, so this is a little hopeful.
        baseline: The same battles called by each model's strength alone (Bradley and Terry 1952), without the prompt.
        versions: Of ferroute and of the format of this report.
        date: As given.
    """

    data: dict[str, Any]
    models: list[str]
    trained: list[str]
    embedder: dict[str, Any] | None
    settings: dict[str, Any]
    epochs: list[EpochLosses]
    best_epoch: int
    held_out: Judged | None
    baseline: Judged | None
    versions: dict[str, Any]
    date: str | None = None

    def to_json(self) -> str:
        """As JSON; keys in a fixed order."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"

    def __str__(self) -> str:
        data, embedder = self.data, self.embedder
        dropped = ", ".join(f"{reason}: {count:,}" for reason, count in data["dropped"].items()) or "none"
        lines = [
            "Training of the matrix factorisation" + (f", {self.date}" if self.date else ""),
            "",
            f"battles    {data['read']:,} read, {data['train']:,} for training, {data['held_out']:,} held out; "
            + (f"{data['ties']:,} of them ties; " if data["ties"] else "")
            + f"left out: {dropped}",
            f"models     {len(self.models)} in the table, trained {_few(self.trained)}",
            f"embeddings {data['prompts']:,} x {data['text_dim']:,}, from "
            + (repr(embedder["model"]) if embedder else "an embedder nobody named"),
            f"data hash  {data['sha256']}",
            "settings   " + ", ".join(f"{name} {value}" for name, value in self.settings.items()),
            "versions   " + ", ".join(f"{name} {value}" for name, value in self.versions.items()),
            "",
            f"kept       epoch {self.best_epoch} of {len(self.epochs)}",
        ]
        if self.held_out is not None and self.best_epoch == len(self.epochs):
            lines.append("           The last epoch was the best: training had not ended; more epochs may do better.")
        if self.held_out is not None and self.baseline is not None:
            lines += [
                f"held out   {self.held_out}",
                f"baseline   {self.baseline}: each model's strength alone, without the prompt",
            ]
            if self.held_out.loss >= self.baseline.loss:
                lines.append("           The prompt did not help: a lookup of the models' strengths does as well.")
        lines += ["", "epoch  train loss  held-out loss  held-out accuracy"]
        for epoch in self.epochs:
            held = epoch.held_out_loss is not None
            loss = f"{epoch.held_out_loss:13.5f}" if held else " " * 13
            accuracy = f"{epoch.held_out_accuracy:17.4f}" if held else ""
            lines.append(f"{epoch.epoch:5}  {epoch.train_loss:10.5f}  {loss}  {accuracy}".rstrip())
        return "\n".join(lines) + "\n"


def _few(names: list[str]) -> str:
    shown = ", ".join(names[:8])
    return f"{len(names)}: {shown}" + (", ..." if len(names) > 8 else "")


def check_output(folder: str | os.PathLike[str]) -> None:
    """Finds out before the work whether a checkpoint can be written into ``folder``, which need not exist.

    Raises:
        InvalidValueError: It, or one of the folders it would be in, is something else.
    """
    path = Path(folder)
    for part in (path, *path.parents):
        if part.is_dir():
            return
        if part.exists():
            raise InvalidValueError(f"{path}: expected a folder to write to, and {part} is a file")


@dataclass(frozen=True)
class Trained:
    """A trained model and the report of its training.

    Attributes:
        model: The model, with the weights that were kept.
        report: What went in and what came out.
    """

    model: MFModel
    report: TrainingReport

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes the checkpoint and the report: ``model.safetensors``, ``config.json``, ``training.json``, ``.txt``.

        Args:
            folder: The folder; made if it is not there.
        """
        self.model.save_pretrained(folder)
        Path(folder, JSON_NAME).write_text(self.report.to_json(), encoding="utf-8")
        Path(folder, TEXT_NAME).write_text(str(self.report), encoding="utf-8")
