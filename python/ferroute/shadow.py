"""Shadowing: a sampled share of routed calls is asked of the other model too, behind the caller's back, and judged.

What a router gives away can only be seen where both models have answered. ``Controller(..., shadow=0.02)`` sends two
of a hundred routed calls to the model that was not chosen as well, once the caller has its answer; the caller waits for
none of it and no failure of it is the caller's. A judge scores the pair, and the scores go to the ledger with the
probability that the call was drawn with, which makes them a fair sample of all calls. ``docs/shadow.md``.

Example:
    >>> Shadow(0.02, judge=lambda request, strong, weak: (1.0, float(strong == weak)), budget_usd="2.50").budget_usd
    Decimal('2.50')
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, cast

from ferroute._grid import Fields
from ferroute._shadow_kept import ShadowedPair
from ferroute._shadow_labels import ScoredPairs, scored_pairs
from ferroute.errors import InvalidTypeError, InvalidValueError
from ferroute.judge import LLMJudge

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self

__all__ = ["ScoredPairs", "Shadow", "ShadowStats", "ShadowedPair", "scored_pairs"]

_UNPRICED = ("refuse", "allow")
_PERIODS = ("day", None)


@dataclasses.dataclass(frozen=True, repr=False)
class Shadow(Fields):
    """How calls are shadowed. Frozen; make a changed copy with `dataclasses.replace`.

    Attributes:
        share: Share of routed calls that are drawn, 0..=1, each by a lot of its own.
        judge: Who scores the pair: a function (see `ferroute.judge`), an `LLMJudge`, or the name of a model, which
            makes one; None: people, who find both answers in ``controller.shadow.pairs()`` and score them by
            `Controller.feedback`.
        budget_usd: US dollars for the other model's answers and the judge together; None: no limit. What a call may
            cost at most is reserved before it is made, so the budget is not exceeded, unless a provider bills more
            tokens than the call allowed. Each process has a budget of its own.
        per: ``"day"``, by UTC, or None: for as long as the process lives.
        max_waiting: Calls that may wait for their turn; more are dropped, and counted.
        concurrency: How many are under way at the same time.
        timeout: Seconds for the other model's answer.
        max_tokens: The longest answer of the other model, hidden reasoning included, where there is a budget and the
            call itself sets no limit. An answer that is cut by it is not judged.
        unpriced: What is done where a price is not known and there is a budget: ``"refuse"`` to shadow, with a
            warning, or ``"allow"`` it, with the cost counted as unknown.
        source: What the ledger calls the source of the scores; None: the judge's own name, else ``"user"``.
        keep: Pairs of answers that are kept in memory for ``controller.shadow.pairs()``, the last ones; fewer where
            they are long (16 MB in all).

    Raises:
        InvalidValueError: A value is outside its range.
        InvalidTypeError: It is of the wrong type.
    """

    share: float = 0.02
    judge: Callable[..., Any] | str | None = None
    budget_usd: Decimal | str | int | float | None = Decimal(5)
    per: str | None = "day"
    max_waiting: int = 100
    concurrency: int = 4
    timeout: float = 120.0
    max_tokens: int = 16_384
    unpriced: str = "refuse"
    source: str | None = None
    keep: int = 1_000

    def __post_init__(self) -> None:
        for name in ("share", "timeout"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Real):
                raise InvalidTypeError(f"`{name}` must be a number, found {type(value).__name__}")
            self._keep(name, float(value))
        if not 0 <= self.share <= 1:
            raise InvalidValueError(f"`share` is a share from 0 to 1, found {self.share!r}")
        if not self.timeout > 0:
            raise InvalidValueError(f"`timeout` must be above 0 seconds, found {self.timeout!r}")
        for name, least in (("max_waiting", 1), ("concurrency", 1), ("max_tokens", 1), ("keep", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Integral):
                raise InvalidTypeError(f"`{name}` must be int, found {type(value).__name__}")
            if value < least:
                raise InvalidValueError(f"`{name}` must be at least {least}, found {value!r}")
            self._keep(name, int(value))
        if self.per not in _PERIODS:
            raise InvalidValueError(f"`per` is 'day' or None, found {self.per!r:.60}")
        if self.unpriced not in _UNPRICED:
            raise InvalidValueError(f"`unpriced` is 'refuse' or 'allow', found {self.unpriced!r:.60}")
        if self.source is not None and (not isinstance(self.source, str) or not self.source):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidTypeError(f"`source` must be a name or None, found {self.source!r:.60}")
        self._keep("budget_usd", _dollars(self.budget_usd))
        judge: Any = self.judge
        if isinstance(judge, (str, Mapping)):
            self._keep("judge", LLMJudge(cast("str | Mapping[str, Any]", judge)))
        elif judge is not None and not callable(judge):
            raise InvalidTypeError(f"`judge` is a function, an LLMJudge or a model's name, found {judge!r:.60}")

    def _keep(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    @classmethod
    def of(cls, given: Shadow | Mapping[str, Any] | float | None) -> Self | None:
        """What a Controller is given: a share, a `Shadow` or a mapping of its attributes; None is none.

        Of a share alone nobody has said a budget: what has a price is held to the usual one, what has none is asked.

        Args:
            given: A share, a `Shadow`, a mapping, or None.

        Raises:
            InvalidTypeError: It is something else, or has an attribute that does not exist.
        """
        if given is None or isinstance(given, cls):
            return given
        if isinstance(given, Mapping):
            known = [field.name for field in dataclasses.fields(cls)]
            unknown = [name for name in given if name not in known]
            if unknown:
                raise InvalidTypeError(f"shadow: unknown attribute {unknown[0]!r:.60}; known are {', '.join(known)}")
            return cls(**given)
        if isinstance(given, bool) or not isinstance(given, Real):
            raise InvalidTypeError(
                f"shadow is a share of the calls, a Shadow or a mapping of its attributes; found {type(given).__name__}"
            )
        return cls(float(given), unpriced="allow")

    @property
    def named_source(self) -> str:
        """What the ledger calls the source of the scores."""
        return self.source or cast("str", getattr(self.judge, "source", None) or "user")


def _dollars(given: Any) -> Decimal | None:
    if given is None or isinstance(given, Decimal):
        made = given
    elif isinstance(given, bool) or not isinstance(given, (str, int, float)):
        raise InvalidTypeError(f"`budget_usd` is an amount of US dollars or None, found {type(given).__name__}")
    else:
        try:
            # By its shortest digits: 0.1 is ten cents.
            made = Decimal(str(given).strip())
        except InvalidOperation:
            raise InvalidValueError(f"`budget_usd` is an amount of US dollars, found {given!r:.60}") from None
    if made is not None and not (made.is_finite() and made >= 0):
        raise InvalidValueError(f"`budget_usd` is an amount of at least 0 US dollars, found {given!r:.60}")
    return made


@dataclasses.dataclass(frozen=True, repr=False)
class ShadowStats(Fields):
    """What has become of the calls that were drawn, since the Controller was made or the process began.

    Attributes:
        drawn: Calls that the lot has drawn.
        sent: Answers the other model has given.
        judged: Pairs that were scored.
        disagreed: Judged pairs on which an `LLMJudge` said another thing in the other order.
        failed: Calls that the other model, the judge or the ledger failed.
        cut: Answers cut at `Shadow.max_tokens`, which are not judged.
        over_budget: Calls the budget had nothing left for.
        beyond_budget: Of these, those for which the whole budget would not do: it is too small to shadow them at all.
        unpriced: Calls refused since a price is not known.
        dropped: Calls dropped since too many were waiting, or the process was about to end.
        skipped: Calls that could not be shadowed: answered by a model that is neither, or by a stronger one after an
            escalation; without an id, not read to their end, not made by ferroute, or the other model is not for such
            a request.
        waiting: Calls that are waiting or under way.
        cost_usd: US dollars for answers and judgements. What could not be priced is missing in it.
        cost_unknown: Calls whose cost is not known.
        last_failure: Kind of the latest failure, in a few words; None where there was none.
    """

    drawn: int = 0
    sent: int = 0
    judged: int = 0
    disagreed: int = 0
    failed: int = 0
    cut: int = 0
    over_budget: int = 0
    beyond_budget: int = 0
    unpriced: int = 0
    dropped: int = 0
    skipped: int = 0
    waiting: int = 0
    cost_usd: Decimal = Decimal(0)
    cost_unknown: int = 0
    last_failure: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The counts by name, and ``cost_usd``."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        counts = [
            f"{value:,} {name.replace('_', ' ')}"
            for name, value in vars(self).items()
            if isinstance(value, int) and (value or name in ("drawn", "sent", "judged"))
        ]
        return f"{', '.join(counts)}; ${_shown(self.cost_usd)}"


def _shown(amount: Decimal) -> str:
    """An amount in digits, without noughts at its end beyond the cents."""
    text = f"{amount:f}"
    if "." in text:
        whole, _, cents = text.rstrip("0").partition(".")
        return f"{whole}.{cents:0<2}"
    return text


def shown_budget(shadow: Shadow) -> str:
    """The budget in words."""
    if shadow.budget_usd is None:
        return "no budget"
    each = " a day" if shadow.per == "day" else ""
    return f"a budget of ${_shown(cast('Decimal', shadow.budget_usd))}{each}"


def shown_share(share: float) -> str:
    """A share in per cent, as few digits as say it."""
    return f"{100 * share:.6g} %" if math.isfinite(share) else "?"
