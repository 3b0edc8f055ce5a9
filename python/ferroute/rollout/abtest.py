"""A/B tests of two thresholds, routers or models, which may be looked at after every request."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ferroute import _core
from ferroute._grid import AsText
from ferroute.errors import InvalidTypeError, InvalidValueError
from ferroute.rollout._checked import number_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from matplotlib.axes import Axes

    from ferroute.ledger import Ledger


@dataclass(frozen=True, repr=False)
class ABResult(AsText):
    """What an A/B test knows.

    Attributes:
        a: Model string of the first arm.
        b: Model string of the second arm.
        n: Scores of both arms that count.
        means: Mean scores of both arms; NaN where there is none.
        difference: Mean score of b - a; NaN before both have one.
        interval: Of the difference, as its mean over the scores so far. With the stated confidence it holds the true
            one at all times together.
        e_value: How much speaks for a difference, as "so much to 1": the wealth of a bet (Waudby-Smith and Ramdas 2024,
            arXiv:2010.09686); decided at ``1 / (1 - confidence)``.
        winner: ``"a"``, ``"b"``, or None while it is not decided. What was decided stays.
        decided_at: How many scores that took.
        costs: Mean cost of both arms in US dollars, over the scores that came with one; None where none did.
        confidence: Of interval and winner.
        required: Scores that were asked for beforehand.
        skewed: Whether the arms certainly get other parts of the scores than the split says. Then who is scored depends
            on the arm, or keys were not given their arm by `ABTest.arm`; nothing can be said, and no winner is named.
    """

    a: str
    b: str
    n: tuple[int, int]
    means: tuple[float, float]
    difference: float
    interval: tuple[float, float]
    e_value: float
    winner: str | None
    decided_at: int | None
    costs: tuple[Decimal | None, Decimal | None]
    confidence: float
    required: int
    skewed: bool = False

    @property
    def verdict(self) -> str:
        """In words."""
        if self.winner is None and self.skewed:
            a, b = self.n
            return f"not decided: scores do not come at the split, {a:,} of a and {b:,} of b"
        if self.winner is None:
            return "not decided"
        model = self.a if self.winner == "a" else self.b
        return f"{self.winner} ({model}) is better, decided after {self.decided_at:,} scores"

    def __repr__(self) -> str:
        rows = [
            f"  {arm}: {model}, mean score {mean:.4f} over {n:,}" + ("" if cost is None else f", ${cost:.6f} a request")
            for arm, model, mean, n, cost in zip("ab", (self.a, self.b), self.means, self.n, self.costs, strict=True)
        ]
        low, high = self.interval
        known = (
            f"  b - a: {self.difference:+.4f}, {self.confidence:.0%} interval {low:+.4f} to {high:+.4f} (valid "
            f"whenever you look)\n  evidence {self.e_value:.3g} to 1, decided at {1 / (1 - self.confidence):.3g}; "
            f"{sum(self.n):,} of {self.required:,} scores"
        )
        return "\n".join((f"<A/B: {self.verdict}", *rows, known)) + ">"

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draws the difference with its interval.

        Args:
            ax: Axes to draw on; None: new ones.

        Returns:
            The axes; ``.figure.savefig(path)`` writes the picture.

        Raises:
            NotBuiltError: matplotlib is not installed.
        """
        from ferroute.rollout._pictures import difference_plot

        return difference_plot(self, ax)


class ABTest(AsText):
    """Which of two model strings answers better; each user always meets the same one.

    The evidence is a bet that needs nothing but the lot by which `arm` divides the keys: it may be looked at after
    every request, and while neither arm is better at any moment, however good both are and however that changes over
    time, a winner is named with a probability of ``1 - confidence`` at most, ever (Waudby-Smith and Ramdas 2024,
    arXiv:2010.09686, on scores weighed by the lot; ``docs/rollout.md``).

    Scores must be independent: ten of one user are not ten opinions. Give `observe` the ``key``, and only the first of
    each counts.

    Args:
        name: Of the test; in the tags of its requests.
        a: A model string, such as ``"router-mine-0.3"``.
        b: Another one.
        split: Part of the keys that meets b, inside of 0..1.
        salt: Another salt is another division; None: the name.
        confidence: Inside of 0..1.
        effect: The difference in mean score that is worth finding; for `required_n`.
        baseline: The mean score of a, as far as it is known; for `required_n`.
        power: The probability of finding that difference within the required number.

    Raises:
        InvalidTypeError: Something is no string, or no number.
        InvalidValueError: A number is out of its range, a name is empty, or a and b are the same.

    Example:
        >>> test = ABTest("lower", a="router-mine-0.3", b="router-mine-0.5", effect=0.05, baseline=0.8)
        >>> test.required_n()
        4004
        >>> test.request("ann")["ferroute"]["tags"]
        {'ab': 'lower:b'}
    """

    def __init__(
        self,
        name: str,
        *,
        a: str,
        b: str,
        split: float = 0.5,
        salt: str | None = None,
        confidence: float = 0.95,
        effect: float = 0.02,
        baseline: float = 0.7,
        power: float = 0.8,
    ) -> None:
        for what, text in (("name", name), ("a", a), ("b", b)):
            if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance] - callers' code is not checked
                raise InvalidTypeError(f"{what}: expected a string, found {type(text).__name__}")
            if not text:
                raise InvalidValueError(f"{what}: expected a name, found an empty one")
        if a == b:
            raise InvalidValueError(f"b: expected another model than a, found {b!r} twice")
        self.name, self.a, self.b, self.split = name, a, b, number_of("split", split)
        self.salt = name if salt is None else salt
        self.confidence = number_of("confidence", confidence)
        self._asked = number_of("effect", effect), number_of("baseline", baseline), number_of("power", power)
        self._trial = _core.Trial(self.split, self.confidence)
        self._required = self.required_n()
        # For pickles: arm, score, key.
        self._seen: list[tuple[bool, float, str | None]] = []
        self._costs: list[tuple[Decimal, int]] = [(Decimal(0), 0), (Decimal(0), 0)]
        # Calls whose scores came from a ledger.
        self._read: set[Any] = set()
        self._lock = threading.Lock()

    def required_n(self, effect: float | None = None, baseline: float | None = None, power: float | None = None) -> int:
        """Scores of both arms together that find a difference; what is left out is as the test was made.

        It is for scores of 0 and 1, which vary most, and an approximation: how many let the bet's wealth, taken to grow
        like a normal random walk, reach what a decision needs. ``docs/rollout.md`` has how often it is kept.

        Args:
            effect: Difference in mean score, b - a.
            baseline: Mean score of a.
            power: Probability of finding it.

        Raises:
            InvalidValueError: A number is out of its range.
        """
        own = self._asked
        return _core.ab_required_n(
            own[0] if effect is None else number_of("effect", effect),
            own[1] if baseline is None else number_of("baseline", baseline),
            own[2] if power is None else number_of("power", power),
            self.split,
            self.confidence,
        )

    def arm(self, key: object) -> str:
        """``"a"`` or ``"b"``: the arm of a user or session, the same in every process and version.

        Args:
            key: Names the user or session; any text.
        """
        return "b" if _core.ab_arm(self.salt, _readable(key), self.split) else "a"

    def request(self, key: object) -> dict[str, Any]:
        """What a completion for a user or session is made with.

        ``client.chat.completions.create(**test.request(user), messages=...)``: the model string of the arm, the key as
        session, and the tag ``ab`` with name and arm, by which the ledger knows it again.

        Args:
            key: Names the user or session; any text.
        """
        arm = self.arm(key)
        extras = {"session": _readable(key), "tags": {"ab": f"{self.name}:{arm}"}}
        return {"model": self.a if arm == "a" else self.b, "ferroute": extras}

    def observe(self, arm: str, score: float, cost: Decimal | float | None = None, key: object = None) -> bool:
        """Takes in a score.

        Args:
            arm: ``"a"`` or ``"b"``.
            score: In 0..=1.
            cost: US dollars of the request; None: not known.
            key: User or session; of each the first score counts. None: one that was never seen.

        Returns:
            Whether it counted.

        Raises:
            InvalidTypeError: Score or cost is no number.
            InvalidValueError: The arm is neither, or the score not in 0..=1.
        """
        if arm not in ("a", "b"):
            raise InvalidValueError(f"arm: expected 'a' or 'b', found {arm!r}")
        paid = None if cost is None else _dollars(cost)
        return self._observe(arm == "b", number_of("score", score), None if key is None else _readable(key), paid)

    def observe_many(self, rows: Iterable[tuple[str, float]]) -> ABResult:
        """As `observe`, for pairs of arm and score in their order; returns the result after them.

        Args:
            rows: Arm (``"a"`` or ``"b"``) and score, in the order in which they came.

        Raises:
            InvalidTypeError: A row is no pair; the message has its number, and those before it are taken in.
        """
        for at, row in enumerate(rows):
            try:
                arm, score = row
            except (TypeError, ValueError):
                raise InvalidTypeError(f"row {at}: expected a pair of arm and score, found {row!r:.60}") from None
            self.observe(arm, score)
        return self.result()

    def read(self, ledger: Ledger, source: str | None = None) -> ABResult:
        """Takes in the scores that a ledger has of this test's requests and that were not read yet.

        Requests are known by their tag, users by their session. Of each request the score of the answer that the user
        got counts, not that of a shadow.

        Args:
            ledger: Where the Controller enters calls.
            source: Whose scores count, such as ``"feedback"``; None: of each request the first there is.

        Returns:
            The result after them.
        """
        rows: list[tuple[Any, ...]] = []
        for arm in ("a", "b"):
            told = ledger.outcomes(tags={"ab": f"{self.name}:{arm}"})
            columns = (told[name] for name in ("scored_time", "call", "session", "score", "cost_usd", "source"))
            for row, model, scored in zip(zip(*columns, strict=True), told["model"], told["scored"], strict=True):
                if scored in (None, model) and source in (None, row[-1]):
                    rows.append((*row, arm))
        for _, call, session, score, cost, _, arm in sorted(rows, key=lambda row: (row[0], str(row[1]))):
            with self._lock:
                new = call not in self._read
                self._read.add(call)
            if new:
                self.observe(arm, score, cost, session)
        return self.result()

    def _observe(self, second: bool, score: float, key: str | None, cost: Decimal | None) -> bool:
        with self._lock:
            counted = self._trial.observe(second, score, key)
            if counted:
                self._seen.append((second, score, key))
                if cost is not None:
                    total, n = self._costs[second]
                    self._costs[second] = total + cost, n + 1
        return counted

    def result(self) -> ABResult:
        """What is known now."""
        n, means, log_e, interval, winner = self._trial.told()
        costs = tuple(total / count if count else None for total, count in self._costs)
        return ABResult(
            a=self.a,
            b=self.b,
            n=(n[0], n[1]),
            means=(means[0], means[1]),
            difference=means[1] - means[0],
            interval=interval,
            e_value=math.exp(min(log_e, 690.0)),
            winner=None if winner is None else "b" if winner[0] else "a",
            decided_at=None if winner is None else winner[1],
            costs=(costs[0], costs[1]),
            confidence=self.confidence,
            required=self._required,
            skewed=self._trial.skewed,
        )

    def __repr__(self) -> str:
        effect, baseline, power = self._asked
        needed = (
            f"{self._required:,} scores find a difference of {effect:g} from a mean of {baseline:g} with a probability "
            f"of {power:.0%}"
        )
        if not self._seen:
            split = f"{1 - self.split:.0%} {self.a}, {self.split:.0%} {self.b}"
            return f"<A/B test {self.name!r}: {split}; {needed}; no scores yet>"
        return f"<A/B test {self.name!r}; {needed}\n{repr(self.result())[1:-1]}>"

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_lock", "_trial")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()
        self._trial = _core.Trial(self.split, self.confidence)
        for second, score, key in self._seen:
            self._trial.observe(second, score, key)


def _dollars(cost: Any) -> Decimal:
    try:
        dollars = Decimal(str(cost))
    except ArithmeticError:
        dollars = None
    if dollars is None or not dollars.is_finite():
        found = f"{cost!r:.60} ({type(cost).__name__})"
        raise InvalidTypeError(f"cost: expected US dollars as a number, found {found}")
    return dollars


def _readable(key: object) -> str:
    """A key as the ledger keeps it: lone surrogates, which are no characters, are question marks."""
    text = str(key)
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
