"""The calls that an audit is about: the strong model's, with a prompt, and what moving them would save."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ferroute.auditing import _habits, _outcomes, _saving
from ferroute.auditing._prices import logged_rates

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from ferroute.auditing._choose import Pair
    from ferroute.auditing._collect import Collected
    from ferroute.auditing._habits import Habits
    from ferroute.auditing._prices import Prices
    from ferroute.auditing._saving import Movable, Saving

    Numbers = NDArray[np.float64]
    Positions = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Population:
    """The strong model's calls.

    Attributes:
        rows: All calls.
        pair: The models.
        own: How many calls the strong model has, with or without a prompt.
        all: Positions of those with a win rate.
        calls: Positions of those whose cost is known at both models.
        movable: Their numbers.
        priced: Whether a price of the cheaper model is known.
    """

    rows: Collected
    pair: Pair
    own: int
    all: Positions
    calls: Positions
    movable: Movable
    priced: bool

    def forecasts(
        self, shares: Sequence[float], spend: float, confidence: float, seed: int
    ) -> tuple[Habits, tuple[Saving, ...]]:
        """Answer lengths of the cheaper model, and a forecast for each share."""
        if not len(self.calls):
            why = self._why()
            none = tuple(_saving.Saving(share, confidence=confidence, why=why) for share in shares)
            return _habits.Habits("assumed", 0), none
        habits = self._habits()
        made = _saving.forecasts(self.movable, habits, shares, spend=spend, confidence=confidence, seed=seed)
        return habits, made

    def saved(self, habits: Habits) -> dict[int, float]:
        """US dollars that moving a call saves by the forecast, by the call's position."""
        import numpy as np

        ratios = np.asarray(habits.ratios)[habits.group(self.movable.win_rates)]
        saved = self.movable.costs - self.movable.asked - ratios * self.movable.answered
        return dict(zip(self.calls.tolist(), saved.tolist(), strict=True))

    def labels(self, most: float | None, k: int) -> tuple[float | None, int, list[dict[str, Any]]]:
        """Ceiling of the win rate, calls below it, and a uniform draw of ``k`` of them in random order.

        The ceiling is the threshold that moves the share ``most``; None: there is none, all calls may be drawn.
        """
        rates = self.rows.column("win_rate")
        ceiling = None if most is None else min(_saving.cut(rates[self.all], most), 1.0)
        limit = float("inf") if ceiling is None else ceiling
        below = int((rates[self.all] < limit).sum())
        code = -1 if self.pair.strong is None else self.rows.models.index(self.pair.strong)
        kept = sorted(self.rows.texts.get(code, []), reverse=True)
        drawn = [(index, text, said) for _lot, index, text, said in kept if rates[index] < limit][:k]
        rows = [
            {
                "index": index,
                "place": self.rows.places[index],
                "prompt": text,
                **({} if said is None or _is_plain(said, text) else {"messages": said}),
                "win_rate": float(rates[index]),
                "strong_model": self.pair.strong,
                "weak_model": self.pair.to,
                "strong_score": None,
                "weak_score": None,
                "probability": len(drawn) / below,
                "ceiling": ceiling,
                "below": below,
                "total": len(self.all),
            }
            for index, text, said in drawn
        ]
        return ceiling, below, rows

    def _why(self) -> str:
        if not len(self.all):
            return "no prompts: which calls are easy cannot be seen"
        if not self.priced:
            return f"no price is known for {self.pair.to}"
        return "no call has both a cost and counts of tokens"

    def _habits(self) -> Habits:
        import numpy as np

        rows, tokens = self.rows, self.rows.column("completion_tokens")
        rates = rows.column("win_rate")
        both = [
            (float(np.nanmean(tokens[mine])), float(np.nanmean(tokens[theirs])))
            for mine, theirs in _outcomes.twins(rows, self.pair)
            if np.isfinite(tokens[mine]).any() and np.isfinite(tokens[theirs]).any()
        ]
        weak = np.zeros(len(rows), dtype=bool)
        if self.pair.to in rows.models:
            weak = (rows.of_model() == rows.models.index(self.pair.to)) & np.isfinite(tokens) & np.isfinite(rates)
        movable = self.movable
        pairs = np.reshape(np.array(both), (-1, 2))
        return _habits.read(movable.win_rates, movable.tokens, rates[weak], tokens[weak], pairs)


def _is_plain(messages: Any, text: str) -> bool:
    """Whether messages say no more than the prompt."""
    return messages == [{"role": "user", "content": text}]


def of(rows: Collected, prices: Prices, pair: Pair) -> Population:
    """The population of ``pair`` among the calls."""
    import numpy as np

    rates, texts = rows.column("win_rate"), rows.of_text()
    own = np.ones(len(rows), dtype=bool) if pair.strong is None else rows.of_model() == rows.models.index(pair.strong)
    seen = own & np.isfinite(rates)
    # Of a log that has some of the texts only those calls can be drawn, and then they are the population.
    if (seen & (texts != 0)).any():
        seen &= texts != 0
    whole = np.flatnonzero(seen)
    counted = np.isfinite(rows.column("cost")) & np.isfinite(rows.column("prompt_tokens"))
    counted &= np.isfinite(rows.column("completion_tokens"))
    calls = np.flatnonzero(seen & counted)
    asked, answered = _at(rows, prices, pair.to, calls)
    priced = asked is not None
    if asked is None or answered is None:
        calls, asked, answered = calls[:0], np.empty(0), np.empty(0)
    known = np.isfinite(asked)
    calls, asked, answered = calls[known], asked[known], answered[known]
    tokens = rows.column("completion_tokens")[calls]
    movable = _saving.Movable(rates[calls], rows.column("cost")[calls], asked, answered, tokens)
    return Population(rows, pair, int(own.sum()), whole, calls, movable, priced)


def _at(rows: Collected, prices: Prices, to: str, calls: Positions) -> tuple[Any, Any]:
    """US dollars of the calls' prompts and answers at the cheaper model; None: its price is not known."""
    import numpy as np

    columns = [rows.column(name) for name in ("prompt_tokens", "completion_tokens", "cached_tokens")]
    if to in rows.models:
        logged = (rows.of_model() == rows.models.index(to)) & rows.is_logged()
        logged &= np.isfinite(columns[0]) & np.isfinite(columns[1])
        rates = logged_rates(columns[0][logged], columns[1][logged], rows.column("cost")[logged])
        if rates is not None:
            return columns[0][calls] * rates[0], columns[1][calls] * rates[1]
    if not prices.known(to):
        return None, None
    counts = zip(*(np.nan_to_num(column[calls]).astype(np.int64).tolist() for column in columns), strict=True)
    parts = [prices.parts(to, *count) or (np.nan, np.nan) for count in counts]
    both = np.reshape(np.array(parts), (-1, 2))
    return both[:, 0], both[:, 1]
