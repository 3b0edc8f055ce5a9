"""The compiled core. Each section mirrors one file of ``src/py``."""

import os
from collections.abc import Sequence
from typing import Any, final

import numpy as np
import numpy.typing as npt
from typing_extensions import Self

__version__: str
DEBUG_BUILD: bool

# --- routing.rs ---

# --- mf.rs ---

@final
class MfModel:
    """Weights of a matrix factorisation router; immutable, and usable from several threads at once.

    Args:
        path: A folder with ``model.safetensors`` (and ``config.json``, whose sizes count where no argument is given),
            or a safetensors file.
        dim: Numbers in a model's row; this and the other sizes must fit the tensors.
        num_models: Rows of the table.
        text_dim: Numbers in an embedding.
        num_classes: Logits for each model.
        use_proj: Whether embeddings are projected.

    Raises:
        CheckpointError: A tensor is missing, unexpected, misshapen or not finite, or contradicts a size.
        MissingFileError: No such file, or only a pickle of torch (the message gives the converting command).
    """

    def __new__(
        cls,
        path: str | os.PathLike[str],
        *,
        dim: int | None = None,
        num_models: int | None = None,
        text_dim: int | None = None,
        num_classes: int | None = None,
        use_proj: bool | None = None,
    ) -> Self: ...
    @staticmethod
    def from_arrays(models: Any, classifier: Any, projection: Any | None = None) -> MfModel:
        """A model of arrays ``[num_models, dim]``, ``[num_classes, dim]`` and ``[dim, text_dim]``; they are copied."""

    @property
    def dim(self) -> int: ...
    @property
    def num_models(self) -> int: ...
    @property
    def text_dim(self) -> int: ...
    @property
    def num_classes(self) -> int: ...
    @property
    def use_proj(self) -> bool: ...
    def tensors(self) -> dict[str, npt.NDArray[np.float32]]:
        """Copies of the tensors under the names of the checkpoint."""

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes ``model.safetensors`` and ``config.json``; the same weights give the same bytes."""

    def win_rate(self, vector: Any, strong: int, weak: int) -> float:
        """Win rate of row `strong` over row `weak` for one embedding: a list of floats, or an array ``[text_dim]``.

        Raises:
            UnknownNameError: A row outside the table.
            InvalidValueError: Another width, NaN or an infinity.
            InvalidTypeError: Something that is not a number.
        """

    def win_rates(self, x: Any, strong: int, weak: int, threads: int | None = None) -> npt.NDArray[np.float64]:
        """Win rates ``[n]`` of one pair for embeddings ``[n, text_dim]`` of any number type and layout.

        `x` is read where it lies, with the interpreter released. `threads` is how many to use at most, by default one
        for each processor. Each value equals that of `win_rate`, bit for bit. The first row with NaN or an infinity
        is named in the error.
        """

    def win_rates_pairs(
        self, x: Any, pairs: Sequence[tuple[int, int]], threads: int | None = None
    ) -> npt.NDArray[np.float64]:
        """Win rates ``[pairs, n]`` of several pairs of rows, strong and weak; `x` is read once."""

    def logits(self, vector: Any, models: Sequence[int]) -> npt.NDArray[np.float32]:
        """Logits ``[models, num_classes]`` of rows of the table for one embedding."""

def torch_conversion_command(path: str | os.PathLike[str]) -> str:
    """The shell command that turns a file saved by torch into a ``model.safetensors`` beside it."""

def dot_kernels() -> str:
    """Which kernels this processor gets: ``avx512``, ``avx2`` or ``plain``. All give the same bits."""

# --- local.rs ---

# --- calls.rs ---

# --- prompts.rs ---
