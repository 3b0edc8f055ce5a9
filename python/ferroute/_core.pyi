"""The compiled core. Each section mirrors one file of ``src/py``."""

from collections.abc import Sequence
from decimal import Decimal
from os import PathLike
from typing import TypeAlias

__version__: str
DEBUG_BUILD: bool

# --- routing.rs ---

# --- mf.rs ---

# --- local.rs ---

# --- calls.rs ---

# --- pricing.rs ---
_Amount: TypeAlias = Decimal | int | float | str

class PriceTable:
    """Prices of models, dated; `ferroute.prices` is its typed face.

    Args:
        json: A table of your own, laid out as ``ferroute/prices/prices.json``; None: the one in the package.

    Raises:
        InvalidValueError: The table has another layout.
    """

    def __new__(cls, json: str | None = None) -> PriceTable: ...
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
    path: str | PathLike[str],
    *,
    format: str | None = None,
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
    def __iter__(self) -> PromptBatches: ...
    def __next__(self) -> list[tuple[int, str]]: ...
