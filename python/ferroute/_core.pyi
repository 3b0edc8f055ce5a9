"""The compiled core. Each section mirrors one file of ``src/py``."""

from typing import Any, final

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

__version__: str
DEBUG_BUILD: bool

# --- routing.rs ---

# --- mf.rs ---

# --- local.rs ---

@final
class LocalModel:
    """The embedded router: a table of token vectors, forty lexical features and a logistic head, all in this module.

    Making one is free after the first time. It has no state, can be pickled, and can be used from any thread. Texts
    longer than 16 KiB are read at both ends only. A lone surrogate in a text counts as a question mark.
    """

    feature_names: list[str]
    """``embedding_0`` to ``embedding_63``, then the names of the lexical features."""

    def __new__(cls) -> Self: ...
    @property
    def quantiles(self) -> NDArray[np.float64]:
        """100 quantiles of the win rate over a mixed reference, rising."""

    @property
    def card(self) -> dict[str, Any]:
        """Where the head comes from: data and their hash, rows, recipe, date, versions."""

    def win_rate(self, text: str) -> float:
        """The strong model's win rate, in 0..=1.

        It ranks kinds of tasks; it is not a probability (see ``docs/local-router.md``).

        Args:
            text: The prompt; any string, the empty one included.
        """

    def win_rates(self, texts: list[str], threads: int | None = None) -> NDArray[np.float64]:
        """The win rate of each text, the interpreter lock released.

        Args:
            texts: Prompts.
            threads: At most so many threads; all cores when None.

        Returns:
            float64 ``[n]``, equal to `win_rate` of each text.
        """

    @staticmethod
    def features(texts: list[str], threads: int | None = None) -> NDArray[np.float32]:
        """What the head is given.

        Args:
            texts: Prompts.
            threads: At most so many threads; all cores when None.

        Returns:
            float32 ``[n, len(feature_names)]``: 64 numbers of a unit vector, then the lexical features.
        """

    @staticmethod
    def tokenize(text: str) -> list[int]:
        """WordPiece ids of the whole text, without special tokens."""

    def explain(self, text: str, limit: int = 10) -> list[tuple[str, float]]:
        """The terms of a win rate, largest first, in units of its logit.

        Args:
            text: The prompt.
            limit: How many terms to give. All of them together add up to the logit.

        Returns:
            Pairs of a name and its part. The name is a lexical feature (counted from its mean in training),
            ``word "..."`` for a token, ``base``, or ``short request``.
        """

# --- calls.rs ---

# --- prompts.rs ---
