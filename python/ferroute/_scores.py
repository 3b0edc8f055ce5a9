"""Where the win rates come from that thresholds are read off: a table, prompts, or what was published."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ferroute import _core, _datasets, _hub, _tables
from ferroute.errors import InvalidTypeError, InvalidValueError, MissingFileError
from ferroute.thresholds import CalibrationTable, Threshold, checked_scores, make_table, threshold_for_share

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

PUBLISHED = "routellm/lmsys-arena-human-preference-55k-thresholds"
"""The data set with a column of win rates for each of RouteLLM's routers, on the prompts of Chatbot Arena battles."""


@dataclass(frozen=True)
class Scores:
    """The win rates of one router.

    Attributes:
        router: Its name.
        values: float64 ``[n]``.
        source: Where they come from, in a few words.
        fingerprint: That of the router's configuration, where it was asked; None: not known.
        sample: Whether they are scores of prompts, rather than quantiles or a formula that stand for some.
    """

    router: str
    values: NDArray[np.float64]
    source: str
    fingerprint: str | None = None
    sample: bool = True

    def threshold(self, share: float, confidence: float = 0.95) -> Threshold:
        """`threshold_for_share` of all of them."""
        return threshold_for_share(self.values, share, confidence)

    def share(self, threshold: float) -> float:
        """The share of them at or above a threshold."""
        return float((self.values >= threshold).mean())

    def table(self) -> CalibrationTable:
        """A calibration table of them."""
        return make_table(self.router, self.values, fingerprint=self.fingerprint, source=self.source)


def of_table(name_or_path: str | os.PathLike[str], routers: Sequence[str]) -> dict[str, Scores]:
    """Win rates from a table with a column for each router: a file, a folder of files, or a data set of the Hub.

    Raises:
        UnknownNameError: A column is missing; the message names those there are.
        InvalidValueError: A column does not hold win rates.
    """
    import numpy as np

    parts: dict[str, list[Any]] = {name: [] for name in routers}
    for path in _datasets.files(name_or_path):
        columns = _core.read_columns(path, list(parts))
        for name, column in columns.items():
            if isinstance(column, list):
                raise InvalidValueError(f"{path}: column {name!r} holds texts, expected win rates")
            parts[name].append(column)
    source = f"column of {Path(os.fspath(name_or_path)).name}"
    return {
        name: Scores(
            name, checked_scores(np.concatenate(columns), f"win rates {name!r} of {os.fspath(name_or_path)}"), source
        )
        for name, columns in parts.items()
    }


def published(router: str) -> Scores:
    """The win rates that RouteLLM published for a router; for ``local`` and ``random`` what the package knows itself.

    A folder of the data set's name in the working directory comes before the Hub.

    Raises:
        MissingFileError: They are on the Hub, and it cannot be reached.
        UnknownNameError: None were published for this router.
    """
    shipped = _SHIPPED.get(router)
    if shipped is not None and router == "local" and _hub.local(PUBLISHED) is None:
        return shipped()
    try:
        return of_table(PUBLISHED, [router])[router]
    except MissingFileError as error:
        if shipped is not None:
            return shipped()
        raise MissingFileError(
            f"RouteLLM's win rates for {router!r} are published on the Hugging Face Hub ({PUBLISHED}) and not part of "
            f"this package: {error}. Or calibrate on your own traffic: on prompts, or on a table of win rates"
        ) from error
    except KeyError:
        if shipped is not None:
            return shipped()
        raise


def _local() -> Scores:
    import numpy as np

    quantiles = np.array(_core.LocalModel().quantiles)
    source = "quantiles on a mixed reference that the package ships; none were published with RouteLLM"
    return Scores("local", quantiles, source, sample=False)


def _random() -> Scores:
    import numpy as np

    # Two ends of a line: interpolation between them is the uniform distribution itself.
    return Scores("random", np.array([0.0, 1.0]), "the uniform distribution, which it is by definition", sample=False)


_SHIPPED: dict[str, Callable[[], Scores]] = {"local": _local, "random": _random}


def of_prompts(
    name: str,
    batches: Iterable[Sequence[str]],
    config: Mapping[str, Mapping[str, Any] | None] | None,
    source: str,
    progress: Callable[[int], object] | None = None,
) -> Scores:
    """Scores prompts, batch by batch, with the router of a configuration.

    Raises:
        UnknownNameError: There is no such router.
        InvalidValueError: There is no prompt, or a score is no win rate.
    """
    import numpy as np

    from ferroute._batch import score_texts
    from ferroute.controller import GPT_4_AUGMENTED_CONFIG, build_router

    entry = (GPT_4_AUGMENTED_CONFIG if config is None else config).get(name)
    router = build_router(name, entry)
    advance: Callable[[int], object] = progress or (lambda _done: None)
    parts = [score_texts(router, list(texts), advance) for texts in batches]
    if not parts:
        raise InvalidValueError(f"{source}: expected prompts, found none")
    values = checked_scores(np.concatenate(parts), f"scores of {name}")
    return Scores(name, values, source, _tables.fingerprint(name, entry, router))


def first_turns(column: list[str | None] | Any, path: Path) -> list[str]:
    """The first turn of each prompt of a battles data set, which is the text of a JSON list of turns.

    Raises:
        InvalidValueError: A prompt is no such text; the message names file and row.
    """
    import json

    if not isinstance(column, list):
        raise InvalidTypeError(f"{path}: column `prompt`: expected JSON lists of turns as text, found numbers")
    texts: list[str] = []
    for row, text in enumerate(cast("list[str | None]", column), start=1):
        try:
            turns: Any = json.loads(text or "")
            first = turns[0]
            if not isinstance(turns, list) or not isinstance(first, str):
                raise TypeError
        except (ValueError, LookupError, TypeError, RecursionError):
            raise InvalidValueError(
                f"{path}: row {row}: `prompt`: expected a JSON list of turns (texts), found {text!r:.60}"
            ) from None
        texts.append(first)
    return texts
