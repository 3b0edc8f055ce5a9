"""Pairs of answers that are kept for people to look at, in memory: the last ones, and no more than some megabytes."""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ferroute._shadow_pairs import Pair
    from ferroute.judge import Answer

_MOST_BYTES = 16 << 20
"""What they may hold together, more than one."""


@dataclass(frozen=True)
class ShadowedPair:
    """A request with the answers of both models.

    Attributes:
        id: Of the answer that the caller got, for `Controller.feedback`.
        request: The completion's body; its ``messages``.
        strong: The strong model's answer; ``strong.model`` is its name.
        weak: The weak model's, likewise.
        router: The router that chose.
        win_rate: Its win rate; None where it has none.
        threshold: What that was held against; None where nothing was.
        probability: That the call was drawn with.
        scores: Of the strong and the weak answer, as they were counted; None until they are.
    """

    id: str
    request: dict[str, Any]
    strong: Answer
    weak: Answer
    router: str
    win_rate: float | None
    threshold: float | None
    probability: float
    scores: tuple[float, float] | None

    def __repr__(self) -> str:
        told = "not scored" if self.scores is None else f"scored {self.scores[0]:.3g} and {self.scores[1]:.3g}"
        return f"<pair {self.id}: {self.strong.model} and {self.weak.model}, {told}>"


@dataclass
class _Held:
    pair: Pair
    body: bytes
    strong: Answer
    weak: Answer
    scores: tuple[float, float] | None = None

    @property
    def size(self) -> int:
        return len(self.body) + 2 * (len(self.strong) + len(self.weak))


class Kept:
    """The last pairs. Its owner holds a lock while it asks.

    Args:
        most: Pairs that are kept.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = 0
        # By the identity of the pair, which is kept alive by its being here: ids of answers may come again.
        self._held: OrderedDict[int, _Held] = OrderedDict()

    def add(self, pair: Pair, body: bytes, strong: Answer, weak: Answer) -> None:
        """Keeps a pair; the oldest make room for it."""
        held = self._held[id(pair)] = _Held(pair, body, strong, weak)
        self._size += held.size
        while self._held and (len(self._held) > self._most or (self._size > _MOST_BYTES and len(self._held) > 1)):
            self._size -= self._held.popitem(last=False)[1].size

    def scored(self, pair: Pair, strong: float, weak: float) -> None:
        """Notes what was counted of a pair, if it is still here."""
        held = self._held.get(id(pair))
        if held is not None:
            held.scores = strong, weak

    def __iter__(self) -> Iterator[ShadowedPair]:
        return iter([_shown(held) for held in self._held.values()])


def number_of(threshold: Any) -> float | None:
    """A request's threshold where it is a single one."""
    return float(threshold) if isinstance(threshold, (int, float)) else None


def _shown(held: _Held) -> ShadowedPair:
    pair = held.pair
    return ShadowedPair(
        id=pair.response,
        request=json.loads(held.body),
        strong=held.strong,
        weak=held.weak,
        router=pair.router,
        win_rate=pair.win_rate,
        threshold=number_of(pair.threshold),
        probability=pair.probability,
        scores=held.scores,
    )
