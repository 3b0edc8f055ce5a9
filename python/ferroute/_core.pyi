"""The compiled core. Each section mirrors one file of ``src/py``."""

import os
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, TypeAlias, final

import numpy as np
import numpy.typing as npt
from typing_extensions import Self

__version__: str
DEBUG_BUILD: bool

# --- routing.rs ---

def parse_model_name(model: str, names: list[str]) -> tuple[str, float, bool]:
    """Splits ``router-mf-0.5`` or ``router-local-30%``.

    Args:
        model: The model string.
        names: Routers whose names hold a hyphen; others are found without.

    Returns:
        Router, number, and whether the number is a share (0..=1) rather than a threshold.

    Raises:
        ValueError: Fewer than three parts.
        RoutingError: The number is none, or the string does not begin with ``router``.
    """

def validate(router: str, routers: dict[str, Any], number: float, is_share: bool, shown: object) -> None:
    """Raises `RoutingError` unless the router is known and the number in 0..=1; ``shown`` is the number as given."""

def decide(win_rate: float, threshold: float) -> tuple[bool, str]:
    """Whether the strong model answers (``win_rate >= threshold``), and why in one sentence."""

def parse_float(text: str) -> float | None:
    """What Python's ``float(text)`` returns, or None where it raises `ValueError`."""

def float_repr(value: float) -> str:
    """What Python's ``repr(value)`` returns."""

def percent(share: float) -> str:
    """A share as the model string writes it: ``30%``."""

@final
class ShareWindow:
    """The last 1,000 scores of one router, and pseudo-scores that stay; ``len()`` counts its own scores."""

    def __new__(cls, pseudo_scores: list[float] = ...) -> ShareWindow: ...
    def push(self, win_rate: float) -> None:
        """Remembers a score; NaN leaves no trace."""

    def decide(self, win_rate: float, share: float, prompt: str) -> tuple[bool, str, bool]:
        """Whether the score ranks in the highest ``share`` of the window, why, and whether it is still warming up.

        Equal scores are told apart by a hash of the prompt.
        """

    def __len__(self) -> int: ...

# --- mf.rs ---

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

# --- pricing.rs ---
_Amount: TypeAlias = Decimal | int | float | str

@final
class PriceTable:
    """Prices of models, dated; `ferroute.prices` is its typed face.

    Args:
        json: A table of your own, laid out as ``ferroute/prices/prices.json``; None: the one in the package.

    Raises:
        InvalidValueError: The table has another layout.
    """

    def __new__(cls, json: str | None = None) -> Self: ...
    def price(self, model: str, at: str | None = None) -> tuple[Decimal, Decimal, str, str] | None:
        """Input and output in US dollars per million tokens, date and source; None where the price is not known."""

    def bill(
        self,
        requests: int,
        mix: Sequence[tuple[str, _Amount, _Amount, _Amount]],
        at: str | None = None,
    ) -> tuple[Decimal, list[tuple[str, Decimal, Decimal, tuple[Decimal, Decimal, str, str]]]]:
        """The bill of ``mix``: model, share, prompt tokens and completion tokens of an average request.

        Returns:
            The total, and for each part: model, number of requests, cost, price as from `price`.
        """

# --- prompts.rs ---
def read_prompts(
    path: str | os.PathLike[str],
    *,
    format: str | None = None,  # noqa: A002
    column: str | None = None,
    skip_bad: bool = False,
    batch_size: int = 1024,
) -> PromptBatches:
    """Opens a file of prompts. Memory stays bounded whatever its size.

    Args:
        path: The file, or ``"-"`` for standard input.
        format: ``"text"`` (one prompt a line, blank lines left out), ``"jsonl"`` (strings, or objects), ``"csv"`` or
            ``"parquet"``; None: by the extension, and text for standard input.
        column: The JSONL field or the column with the prompt; None: the first there is of ``prompt``, ``messages``
            (JSONL only: the last message's text), ``question`` and ``text``.
        skip_bad: Count rows without a usable prompt (bad JSON, null, not UTF-8, more than 64 MiB) and go on. Otherwise
            the first one raises, after everything before it was handed out.
        batch_size: The most prompts in a batch. A batch is shorter at the end, at about 16 MiB of text, and where a
            pipe has nothing more to give yet.

    Raises:
        MissingFileError: There is no such file.
        UnreadableFileError: It cannot be read.
        InvalidValueError: It has no such column, or a row is bad; the message names file and row.
        NotBuiltError: Parquet from standard input.
    """

@final
class PromptBatches:
    """Iterates over lists of ``(row, prompt)``.

    ``row`` counts from 1: lines of text and JSONL, records of CSV after its header, rows of Parquet.
    """

    @property
    def format(self) -> str:
        """The format that is being read."""
    @property
    def skipped(self) -> int:
        """How many bad rows were skipped so far."""
    @property
    def first_skipped(self) -> str | None:
        """What was wrong with the first of them."""
    def __iter__(self) -> Self: ...
    def __next__(self) -> list[tuple[int, str]]: ...
