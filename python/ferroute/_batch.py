"""Win rates of many prompts, given back in the kind they came in."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ferroute._deciding import verdict_of
from ferroute._grammar import names_rung
from ferroute.errors import InvalidTypeError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    import numpy as np
    from numpy.typing import NDArray

    from ferroute._core import Ladder


def win_rates(router: Any, prompts: Any, progress_text: str | None, ladder: Ladder | None = None) -> Any:
    """Scores ``prompts`` with ``router``; shows a progress bar if ``progress_text`` is given.

    A router that names a rung is scored by where that stands on the ``ladder``, if there is one.

    Raises:
        InvalidTypeError: ``prompts`` is a single string or of an unknown kind.
    """
    kind = _kind(prompts)
    texts = listed(prompts)
    with progress(len(texts), progress_text) as advance:
        scores = _places(router, texts, advance, ladder) if ladder and names_rung(router) else None
        scores = score_texts(router, texts, advance) if scores is None else scores
    if kind == "pandas" and hasattr(prompts, "index"):
        import pandas as pd  # pyright: ignore[reportMissingTypeStubs]

        return pd.Series(scores, index=prompts.index, name=prompts.name, dtype="float64")
    if kind == "polars":
        import polars as pl

        return pl.Series(prompts.name, scores)
    if kind in {"numpy", "pandas"}:
        return scores
    rates = scores.tolist()
    return tuple(rates) if isinstance(prompts, tuple) else rates


def _places(router: Any, texts: list[Any], advance: Callable[[int], object], ladder: Ladder) -> NDArray[np.float64]:
    """Where each named rung stands, 0..=1; 0.5 where none of the ladder is."""
    import numpy as np

    out = np.full(len(texts), 0.5)
    models, top = ladder.models, len(ladder) - 1
    for i, said in enumerate(router.choose_batch(texts, advance)):
        verdict = verdict_of(said, str(router))
        if verdict.model is not None:
            out[i] = models.index(verdict.model) / top if verdict.model in models else 0.5
        elif verdict.rung is not None:
            out[i] = ladder.find(verdict.rung) / top
    return out


def _kind(prompts: Any) -> str:
    return type(prompts).__module__.partition(".")[0]


def listed(prompts: Any) -> list[Any]:
    """A Series, an array or a list of prompts as a list.

    Raises:
        InvalidTypeError: It is a single string, or of an unknown kind.
    """
    if isinstance(prompts, (str, bytes)):
        raise InvalidTypeError("prompts is a Series, an array or a list of strings; found a single string")
    kind = _kind(prompts)
    if kind == "pandas" and hasattr(prompts, "columns"):
        raise InvalidTypeError("prompts is a pandas DataFrame; give the Series of its prompt column")
    if kind == "numpy" and prompts.ndim != 1:
        raise InvalidTypeError(f"prompts is an array of strings [n]; found {prompts.ndim} dimensions")
    if kind in {"pandas", "numpy"}:
        return prompts.tolist()
    if kind == "polars":
        if not hasattr(prompts, "to_list"):
            found = type(prompts).__name__
            raise InvalidTypeError(f"prompts is a polars {found}; give the Series of its prompt column")
        return prompts.to_list()
    try:
        return list(prompts)
    except TypeError:
        raise InvalidTypeError(
            f"prompts is a Series, an array or a list of strings; found {type(prompts).__name__}"
        ) from None


def conversations(prompts: Any) -> list[Any]:
    """As `listed`, where a prompt may also be a list of messages.

    Raises:
        InvalidTypeError: As `listed`; or it is a single conversation.
    """
    rows = listed(prompts)
    if rows and isinstance(rows[0], Mapping):
        raise InvalidTypeError("prompts is a list of prompts or conversations; found a single list of messages")
    return rows


def score_texts(router: Any, texts: list[Any], advance: Callable[[int], object]) -> NDArray[np.float64]:
    """Win rates of ``texts``, float64 ``[n]``; ``advance`` is called with the number newly done."""
    import numpy as np

    batch = getattr(router, "calculate_strong_win_rates", None)
    if batch is not None:
        return np.asarray(batch(texts, progress=advance), dtype=np.float64)
    out = np.empty(len(texts), dtype=np.float64)
    for i, text in enumerate(texts):
        out[i] = router.calculate_strong_win_rate(text)
        advance(1)
    return out


@contextlib.contextmanager
def progress(total: int | None, text: str | None, unit: str = "prompt") -> Generator[Callable[[int], object]]:
    """A progress bar on standard error, of so many of a ``unit``; None where ``text`` is None.

    Yields:
        A function that takes the number newly done.
    """
    if text is None:
        yield lambda _done: None
        return
    from ferroute._progress import bar_class

    with bar_class()(total=total, desc=text, unit=unit) as bar:
        yield bar.update
