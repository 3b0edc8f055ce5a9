"""Scores of shadowed calls as the columns that a certificate is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ferroute.errors import InvalidValueError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ferroute._moments import When
    from ferroute.ledger import Ledger


@dataclass(frozen=True, eq=False)
class ScoredPairs:
    """Calls of which both models' answers were scored, in the order of their times; float64 arrays of one length.

    Attributes:
        win_rates: The router's, 0..=1.
        strong_scores: Of the strong model's answers, 0..=1.
        weak_scores: Of the weak model's, likewise.
        probability: That each call was drawn with; NaN where nobody knows.
        router: Whose win rates they are.
        source: Whose scores they are: ``"judge:gpt-5.5"`` says that what rests on them is relative to that judge.
        calls: The calls' ids in the ledger.
    """

    win_rates: npt.NDArray[np.float64]
    strong_scores: npt.NDArray[np.float64]
    weak_scores: npt.NDArray[np.float64]
    probability: npt.NDArray[np.float64]
    router: str | None
    source: str | None
    calls: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.calls)

    @property
    def is_uniform(self) -> bool:
        """Whether all were drawn with the same known probability, so that they are a plain sample of the traffic."""
        return len(self) > 0 and bool((self.probability == self.probability[0]).all())

    def __repr__(self) -> str:
        if not len(self):
            return "<no scored pairs>"
        how = f"drawn with {self.probability[0]:.4g}" if self.is_uniform else "drawn with several probabilities"
        return f"<{len(self):,} scored pairs of router {self.router!r}, by {self.source}, {how}>"


def scored_pairs(
    ledger: Ledger,
    strong: str,
    weak: str,
    *,
    router: str | None = None,
    source: str | None = None,
    since: When | None = None,
    until: When | None = None,
) -> ScoredPairs:
    """Calls in a ledger of which both answers were scored by the same source.

    Args:
        ledger: Where shadowed calls were entered.
        strong: Name of the strong model, as the Controller has it.
        weak: Name of the weak one.
        router: Whose calls; needed where several routers have some.
        source: Whose scores; needed where several sources have some.
        since: Calls from here on: ``"7d"``, a date or time.
        until: Calls before here.

    Raises:
        InvalidValueError: There are several routers or sources to choose from, or a time is none.

    Example:
        >>> from ferroute.ledger import Ledger
        >>> scored_pairs(Ledger(), "gpt-5.5", "gpt-5.4-mini")
        <no scored pairs>
    """
    import numpy as np

    told = ledger.outcomes(since=since, until=until, router=router)
    names = ("call", "router", "win_rate", "source", "scored", "score", "probability")
    rows: dict[tuple[int, str], dict[str, Any]] = {}
    for call, by, win_rate, who, scored, score, probability in zip(*(told[name] for name in names), strict=True):
        if win_rate is None or scored not in (strong, weak) or source not in (None, who):
            continue
        row = rows.setdefault((call, who), {"router": by, "win_rate": win_rate, "probability": probability})
        row[scored] = score
    whole = {key: row for key, row in rows.items() if strong in row and weak in row}
    found = _only("router", {row["router"] for row in whole.values()}, router)
    by_whom = _only("source", {who for _, who in whole}, source)

    def column(name: str) -> npt.NDArray[np.float64]:
        values = [row[name] for row in whole.values()]
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64)

    return ScoredPairs(
        win_rates=column("win_rate"),
        strong_scores=column(strong),
        weak_scores=column(weak),
        probability=column("probability"),
        router=found,
        source=by_whom,
        calls=tuple(call for call, _ in whole),
    )


def _only(what: str, found: set[Any], given: str | None) -> str | None:
    """The one that there is; scores of several are not comparable."""
    if len(found) > 1:
        raise InvalidValueError(
            f"there are scores of several: give {what}=, one of {', '.join(map(repr, sorted(found)))}"
        )
    return next(iter(found), given)
