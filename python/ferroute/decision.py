"""What is decided on, and what a decision says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ferroute._one_line import one_line
from ferroute._wanted import ModelPair, Share, Shares

if TYPE_CHECKING:
    import datetime as dt
    from decimal import Decimal

    from ferroute._trace import Trace
    from ferroute.explain import Explanation

__all__ = [
    "Answered",
    "Aside",
    "Decision",
    "ModelPair",
    "Share",
    "Shares",
    "aside",
    "by_name",
    "make",
    "remarked",
    "settled",
]


class Answered(NamedTuple):
    """A model that answered in the place of the chosen one.

    Attributes:
        model: Its name.
        base_model: The model that it is priced as, where that has another name.
        tier: Its rung, where an answer was escalated to it; None in a pair.
        climbed: Whether an answer was escalated to it; else it stands in for one that failed.
    """

    model: str
    base_model: str | None = None
    tier: str | None = None
    climbed: bool = False


class Aside(NamedTuple):
    """What the Controller remembers of a decision until the call is made.

    Attributes:
        rung: Which rung it was for, 0 the weakest; None where none is meant.
        held_out: Whether the lot sent it to the strongest model.
        unpriced: Whether making it has cost something whose price is unknown.
        endpoint: The chosen model with its settings, where who chose it has said so; None: the one of that name.
        trace: How it came about.
        usage: Tokens of prompt and completion, once the call is made.
        answered: Who answered, where that is not the chosen model.
    """

    rung: int | None = None
    held_out: bool = False
    unpriced: bool = False
    endpoint: str | None = None
    trace: Trace | None = None
    usage: tuple[int, int] | None = None
    answered: Answered | None = None


class _HasAside:
    # Not in `vars`, which callers turn into dictionaries, and not in pickles.
    __slots__ = ("_aside",)


@dataclass(frozen=True)
class Decision(_HasAside):
    """Which model a prompt goes to, and why.

    On a response it is the property ``response.routing``; the money and ``attempts`` are set there only.

    Attributes:
        model: Name of the chosen model, as given to the Controller. After a fallback or an escalation another one has
            answered: then `notes` say so, and `explain` shows both.
        router: Name of the router that was asked; None where the model was asked for by name.
        win_rate: Probability, as the router sees it, that the strong model's answer wins, 0..=1 (RouteLLM's term; of
            some routers only a ranking); None if the router does not say.
        threshold: Strong if ``win_rate >= threshold``; None in the share form, unless a calibration table gave one. A
            tuple where each step of a ladder has its own.
        share: Wanted share of strong calls, 0..=1; None in the threshold form. A tuple likewise.
        tier: Name of the chosen rung, where the Controller has ``tiers``.
        reason: One sentence.
        routing_us: Microseconds the decision took.
        warmup: True in the share form while the Controller has seen fewer than 100 scores of this router.
        notes: What else the caller should know, such as a prompt that was cut for its embedding.
        cost_usd: Cost of the call in US dollars, without routing; None if a price is unknown.
        router_cost_usd: Cost of routing itself (embeddings, classifiers) in US dollars; None if it is unknown.
        saved_usd: Estimated saving against the strong model in US dollars, after all extra costs; negative values are
            shown. None if a price is unknown.
        attempts: How many requests were sent to a provider.
    """

    model: str
    router: str | None
    win_rate: float | None = None
    threshold: float | tuple[float, ...] | None = None
    share: float | tuple[float, ...] | None = None
    tier: str | None = None
    reason: str = ""
    routing_us: float = 0.0
    warmup: bool = False
    notes: tuple[str, ...] = ()
    cost_usd: Decimal | None = None
    router_cost_usd: Decimal | None = None
    saved_usd: Decimal | None = None
    attempts: int | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__

    def explain(self, at: dt.date | str | None = None) -> Explanation:
        """What the decision was made of: the rungs with their costs, scores, rules, filters, and what would change it.

        Made when it is asked for. Pickles, copies and `dataclasses.replace` keep only what the decision says itself,
        and the explanation says that the rest is missing.

        Args:
            at: Day of the prices; None is now.
        """
        from ferroute._explaining import explained

        return explained(self, aside(self), at)

    def __str__(self) -> str:
        parts = [self.reason] if self.router is None else [f"{self.router}: {self.reason}", f"{self.routing_us:.1f} µs"]
        if self.cost_usd is not None:
            parts.append(f"cost ${self.cost_usd:f}")
        if self.saved_usd is not None:
            parts.append(f"saved ${self.saved_usd:f}")
        return one_line(f"{self.model} ({'; '.join(parts)})")

    def _repr_html_(self) -> str:
        """A small table for notebooks."""
        from ferroute import _notebook

        shown = ((name, vars(self)[name]) for name in _DEFAULTS if vars(self)[name] not in (None, (), False))
        return _notebook.frame(_notebook.table((), [(name, _cell(value)) for name, value in shown], left=2))


def _cell(value: Any) -> str:
    if isinstance(value, tuple):
        return one_line("; ".join(map(str, value)))  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    return f"{value:.4g}" if isinstance(value, float) else one_line(str(value))


def make(fields: dict[str, Any], aside: Aside | None = None) -> Decision:
    """A `Decision` with the given fields, the rest at their defaults.

    A frozen dataclass sets its fields one by one through ``object.__setattr__``; on the routing path that would be a
    third of the time, so the instance is given its dictionary at once.

    Args:
        fields: Values by the names of the attributes.
        aside: What an explanation needs beside them.
    """
    decision = object.__new__(Decision)
    _set_dict(decision, "__dict__", _DEFAULTS | fields)
    if aside is not None:
        _set_aside(decision, aside)
    return decision


_set_dict = object.__setattr__
_set_aside = vars(_HasAside)["_aside"].__set__


def aside(decision: Decision) -> Aside:
    """What is remembered of `decision`."""
    return getattr(decision, "_aside", _NOTHING)


_NOTHING = Aside()


def by_name(model: str) -> Decision:
    """The decision of a caller who asked for a model by its name.

    Args:
        model: Name of a model, with its provider's prefix or without.
    """
    return make({"model": model, "router": None, "reason": "asked for by name"})


def remarked(decision: Decision, note: str) -> Decision:
    """`decision` with one note more.

    Args:
        decision: The decision; it is not changed.
        note: The note.
    """
    return make(decision.__dict__ | {"notes": (*decision.notes, note)}, aside(decision))


def settled(decision: Decision, account: Any) -> Decision:
    """`decision` with what the call came to; see `_core.Reply.account`.

    Args:
        decision: The decision; it is not changed.
        account: Costs and attempts of the call, dollars as Decimals.
    """
    cost, router_cost, saved, attempts, notes = account[:5]
    # Of a call that failed no tokens are told.
    usage = account[6] if len(account) > 6 else None
    instead = account[11] if len(account) > 11 else None
    fields = decision.__dict__ | {
        "cost_usd": cost,
        "router_cost_usd": router_cost,
        "saved_usd": saved,
        "attempts": attempts,
    }
    if notes:
        fields["notes"] = (*decision.notes, *map(one_line, notes))
    made = object.__new__(Decision)
    made.__dict__.update(fields)
    known = aside(decision)
    if usage is not None:
        known = known._replace(usage=usage[:2])
    if instead is not None:
        known = known._replace(answered=Answered(*instead))
    object.__setattr__(made, "_aside", known)
    return made


_DEFAULTS: dict[str, Any] = vars(Decision(model="", router=""))
