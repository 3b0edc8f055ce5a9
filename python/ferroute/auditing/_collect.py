"""Reads logs once, call by call, and keeps numbers of each call and the texts of a few.

What grows with the log is about two hundred bytes a call. Texts are kept only of calls that may still be drawn for
labels, and the beginnings of the dearest.
"""

from __future__ import annotations

import heapq
from array import array
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ferroute import _core

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from ferroute.auditing._call import Call
    from ferroute.auditing._formats import Source
    from ferroute.auditing._prices import Prices

    Numbers = NDArray[np.float64]

_BATCH = 1024
_DEAREST = 300
"""Calls of a model whose beginnings are kept, of the dearest."""
_SHOWN = 240
"""Characters of such a beginning."""

COLUMNS = (
    "win_rate",
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "cost",
    "score",
    "strong_score",
    "weak_score",
)
"""Numbers kept of a call, NaN where they are not known."""

NAN = float("nan")


@dataclass
class Collected:
    """The calls of a log, a list for each of their numbers.

    Attributes:
        places: Where each call stands in the log.
        models: Names of models; `model` has their positions, -1 where the log names none.
        tasks: Names of tasks; `task` has their positions, -1 where the guess is not sure.
        same: A hash of each text, 0 where there is none: equal prompts are found by it.
        spent: US dollars by model, exact, of calls that have a cost.
        texts: Of each model, the calls drawn so far for labels: ``(draw, call, text, messages)``, a heap.
        dearest: Of each model, ``(cost, call, beginning)`` of its dearest calls, a heap.
        logged: Of each call, 1 where its cost is the log's own, -1 where that cannot be read, else 0.
        scored: Of a call with outcomes, scores by the model whose answer they are of.
        estimated: Calls whose tokens are an estimate.
        unread: Calls with a cost in the log that cannot be read as US dollars.
        an_unread: The first such cost.
        first: The earliest time, in ISO form.
        last: The latest time.
    """

    places: list[str] = field(default_factory=list[str])
    models: list[str] = field(default_factory=list[str])
    model: array[int] = field(default_factory=lambda: array("i"))
    tasks: list[str] = field(default_factory=list[str])
    task: array[int] = field(default_factory=lambda: array("i"))
    same: array[int] = field(default_factory=lambda: array("q"))
    numbers: dict[str, array[float]] = field(default_factory=lambda: {name: array("d") for name in COLUMNS})
    spent: dict[int, Decimal] = field(default_factory=dict[int, Decimal])
    texts: dict[int, list[tuple[float, int, str, Any]]] = field(default_factory=dict[int, Any])
    dearest: dict[int, list[tuple[float, int, str]]] = field(default_factory=dict[int, Any])
    logged: array[int] = field(default_factory=lambda: array("b"))
    scored: dict[int, dict[str, float]] = field(default_factory=dict[int, Any])
    estimated: int = 0
    unread: int = 0
    an_unread: str = ""
    first: str | None = None
    last: str | None = None

    def __len__(self) -> int:
        return len(self.places)

    def column(self, name: str) -> Numbers:
        """The numbers of `COLUMNS` called ``name``, float64 ``[n]``."""
        import numpy as np

        return np.frombuffer(self.numbers[name], dtype=np.float64) if len(self) else np.empty(0)

    def missing(self, name: str) -> int:
        """Calls without the number called ``name``."""
        import numpy as np

        return int(np.isnan(self.column(name)).sum())

    def of_model(self) -> NDArray[np.int32]:
        """The position of each call's model, ``[n]``."""
        import numpy as np

        return np.frombuffer(self.model, dtype=np.int32) if len(self) else np.empty(0, dtype=np.int32)

    def of_task(self) -> NDArray[np.int32]:
        """The position of each call's task, ``[n]``."""
        import numpy as np

        return np.frombuffer(self.task, dtype=np.int32) if len(self) else np.empty(0, dtype=np.int32)

    def is_logged(self) -> NDArray[np.bool_]:
        """Whether each call's cost is the log's own, ``[n]``."""
        import numpy as np

        return np.frombuffer(self.logged, dtype=np.int8) > 0 if len(self) else np.empty(0, dtype=np.bool_)

    def is_unread(self) -> NDArray[np.bool_]:
        """Whether each call's cost is in the log and cannot be read, ``[n]``."""
        import numpy as np

        return np.frombuffer(self.logged, dtype=np.int8) < 0 if len(self) else np.empty(0, dtype=np.bool_)

    def of_text(self) -> NDArray[np.int64]:
        """The hash of each call's text, ``[n]``."""
        import numpy as np

        return np.frombuffer(self.same, dtype=np.int64) if len(self) else np.empty(0, dtype=np.int64)


def collect(
    source: Source,
    score: Callable[[list[str]], Any],
    prices: Prices,
    *,
    keep: int,
    seed: int,
    advance: Callable[[int], object],
) -> Collected:
    """Reads ``source`` to its end.

    Args:
        source: The calls with their places.
        score: Win rates of a list of texts.
        prices: What calls cost.
        keep: Texts to keep of each model, drawn uniformly.
        seed: The same seed draws the same calls of the same log.
        advance: Called with the number of calls newly read.
    """
    import random

    made, draw = Collected(), random.Random(seed).random
    model_at: dict[str, int] = {}
    task_at: dict[str, int] = {}
    for batch in _batches(source):
        texts = [text for _place, call in batch if (text := _readable(call)) is not None]
        rates = iter(score(texts)) if texts else iter(())
        for place, call in batch:
            index = len(made)
            model = -1 if call.model is None else model_at.setdefault(call.model, len(model_at))
            made.places.append(place)
            made.model.append(model)
            cost = _priced(made, prices, call, model)
            made.logged.append(-1 if call.unread is not None else call.cost is not None)
            lot = draw()  # one for each call, so that the draw does not depend on what is missing elsewhere
            if call.text is None:
                win_rate, task, same = call.win_rate, -1, 0
            else:
                win_rate, same = float(next(rates)), hash_of(call.text)
                guess = _core.guess_task(call.text)
                task = -1 if guess is None else task_at.setdefault(guess[0], len(task_at))
                _keep(made, model, keep, lot, index, call)
                _note_dear(made, model, cost, index, call.text)
            made.task.append(task)
            made.same.append(same)
            values = (
                win_rate,
                call.prompt_tokens,
                call.completion_tokens,
                call.cached_tokens,
                cost,
                call.score,
                call.strong_score,
                call.weak_score,
            )
            for name, value in zip(COLUMNS, values, strict=True):
                made.numbers[name].append(NAN if value is None else value)
            made.estimated += call.estimated
            if call.unread is not None:
                made.unread += 1
                made.an_unread = made.an_unread or call.unread
            if call.scored:
                made.scored[index] = call.scored
            if call.at is not None:
                made.first = call.at if made.first is None else min(made.first, call.at)
                made.last = call.at if made.last is None else max(made.last, call.at)
        advance(len(batch))
    made.models, made.tasks = list(model_at), list(task_at)
    return made


def _batches(source: Source) -> Iterator[list[tuple[str, Call]]]:
    batch: list[tuple[str, Call]] = []
    for each in source:
        batch.append(each)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _readable(call: Call) -> str | None:
    """The text to score; half characters, which no encoding has, become question marks."""
    if call.text is not None and not call.text.isascii():
        call.text = call.text.encode("utf-8", "replace").decode()
    return call.text


def hash_of(text: str) -> int:
    """64 bits of a text, the same in every process, never 0."""
    import hashlib

    digest = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True) or 1


def _priced(made: Collected, prices: Prices, call: Call, model: int) -> float | None:
    cost = prices.of(call)
    if cost is None:
        return None
    made.spent[model] = made.spent.get(model, Decimal(0)) + cost
    return float(cost)


def _keep(made: Collected, model: int, keep: int, lot: float, index: int, call: Call) -> None:
    # The calls with the lowest lots of a model are a uniform draw of it, and those of them that are below a ceiling a
    # uniform draw of all below it, whatever the ceiling turns out to be.
    heap = made.texts.setdefault(model, [])
    entry = (-lot, index, call.text or "", call.messages)
    if len(heap) < keep:
        heapq.heappush(heap, entry)
    elif entry > heap[0]:
        heapq.heapreplace(heap, entry)


def _note_dear(made: Collected, model: int, cost: float | None, index: int, text: str) -> None:
    if cost is None:
        return
    heap = made.dearest.setdefault(model, [])
    if len(heap) < _DEAREST:
        heapq.heappush(heap, (cost, index, text[:_SHOWN]))
    elif cost > heap[0][0]:
        heapq.heapreplace(heap, (cost, index, text[:_SHOWN]))
