"""What an explanation holds: the rungs, what was weighed, and what would have led elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from decimal import Decimal


@dataclass(frozen=True)
class Candidate:
    """A rung of the ladder, or the model beside it that was chosen.

    Attributes:
        rung: Its name; None for a model beside the ladder.
        model: Its model.
        input_per_million: US dollars for a million tokens of a prompt as long as this one; None is unknown, not free.
        output_per_million: US dollars for a million tokens of answer.
        answer_tokens: Tokens of answer that `expected_cost_usd` assumes.
        expected_cost_usd: What this request is expected to cost there, in US dollars; None is unknown.
        mark: ``"chosen"``, ``"runner-up"``, ``"skipped"`` or ``"open"``.
        why: Why it was skipped.
    """

    rung: str | None
    model: str | None
    input_per_million: Decimal | None = None
    output_per_million: Decimal | None = None
    answer_tokens: float | None = None
    expected_cost_usd: Decimal | None = None
    mark: str = "open"
    why: str | None = None


@dataclass(frozen=True)
class RunnerUp:
    """The rung that would have come next.

    Attributes:
        rung: Its name.
        model: Its model.
        by: By how much it lost; None where it was the router's word, and something else decided.
        of: What `by` is measured in: ``"win rate"``, ``"rank"``, ``"score"`` or ``"word"``.
        dearer_usd: US dollars by which the request would have been dearer there; negative is cheaper, None unknown.
        sentence: All of it in words.
    """

    rung: str | None
    model: str | None
    by: float | None
    of: str
    dearer_usd: Decimal | None
    sentence: str


@dataclass(frozen=True)
class Change:
    """Something that would have led elsewhere, all else being equal.

    Attributes:
        sentence: In words.
        rung: The rung it would have led to.
        model: Its model.
        thresholds: The nearest thresholds that lead there, exactly; empty in other forms.
        shares: The nearest shares that lead there; empty in other forms.
    """

    sentence: str
    rung: str | None = None
    model: str | None = None
    thresholds: tuple[float, ...] = ()
    shares: tuple[float, ...] = ()


@dataclass(frozen=True)
class Score:
    """What a router weighed that names a rung: a route with its similarity, a label with its probability.

    Attributes:
        name: Its name.
        score: How much speaks for it.
        threshold: From which score on it counts; None where the router has no such border.
        rung: The rung it stands for; None where that is not known.
    """

    name: str
    score: float
    threshold: float | None = None
    rung: str | None = None


@dataclass(frozen=True)
class Explained:
    """Why a request goes where it goes, and what would have sent it elsewhere.

    Attributes:
        model: The chosen model.
        router: The router that was asked; None where the model was asked for by name.
        asked: The routers in the order in which they were asked: rules may leave the choice to a learned one.
        tier: The chosen rung; None for RouteLLM's pair and beside the ladder.
        reason: The decision's one sentence.
        candidates: All rungs, weakest first.
        runner_up: The rung that would have come next; None where nothing was measured, or no other rung was free.
        changes: What would have led elsewhere.
        win_rate: The learned router's score; None where none was asked.
        thresholds: The thresholds in force, rising.
        rank: Where the score ranks among the recent ones, in the share form.
        shares: The shares asked for, falling.
        scores: What was weighed by a router that names a rung, best first.
        label: What the request was taken for: a task, a route, a classifier's label.
        fired: Names of the rules that fired.
        words: What spoke for (above 0) and against the strong model in the prompt, largest first, where the router can
            tell; in units of its logit.
        limits: Floor and ceiling that rules have set; None where there is none.
        failed: How a router failed, if one did.
        view: What of the request was routed on.
        excerpt: The beginning of that text.
        prompt_tokens: Tokens of the request; None where it is not known any more.
        tokens_from: Where the tokens come from that the costs assume.
        stay: Why the conversation stays on its model.
        notes: Notes of the decision.
        routing_us: Microseconds the decision took.
        router_cost_usd: What routing itself cost, in US dollars; 0 where nothing was paid, None where that is unknown.
        cost_usd: What the call cost, of a response's decision.
        saved_usd: What it saved, as estimated.
        attempts: How many requests were sent to a provider.
        prices: Version of the price data.
        missing: What cannot be told of this decision, and why.
    """

    model: str
    router: str | None
    reason: str
    asked: tuple[str, ...] = ()
    tier: str | None = None
    candidates: tuple[Candidate, ...] = ()
    runner_up: RunnerUp | None = None
    changes: tuple[Change, ...] = ()
    win_rate: float | None = None
    thresholds: tuple[float, ...] = ()
    rank: float | None = None
    shares: tuple[float, ...] = ()
    scores: tuple[Score, ...] = ()
    label: str | None = None
    fired: tuple[str, ...] = ()
    words: tuple[tuple[str, float], ...] = ()
    limits: tuple[str | None, str | None] = (None, None)
    failed: str | None = None
    view: str | None = None
    excerpt: str | None = None
    prompt_tokens: int | None = None
    tokens_from: str | None = None
    stay: str | None = None
    notes: tuple[str, ...] = ()
    routing_us: float = 0.0
    router_cost_usd: Decimal | None = None
    cost_usd: Decimal | None = None
    saved_usd: Decimal | None = None
    attempts: int | None = None
    prices: str = ""
    missing: str | None = None
