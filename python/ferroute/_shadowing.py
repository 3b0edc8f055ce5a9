"""What a Controller does to shadow its calls: the lot, the other model, and what people say of answers later."""

from __future__ import annotations

import copy
import dataclasses
import logging
import os
import threading
import warnings
import weakref
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from decimal import Decimal
from random import SystemRandom
from time import time
from typing import TYPE_CHECKING, Any, cast

from ferroute._given import given
from ferroute.decision import aside
from ferroute.endpoints import settings_of

if TYPE_CHECKING:
    from ferroute._calls import Routed
    from ferroute._ladder import Rungs
    from ferroute._shadow_budget import Budget, Grant
    from ferroute._shadow_kept import ShadowedPair
    from ferroute._shadow_pairs import Pair
    from ferroute._trace import Asked
    from ferroute.decision import Decision
    from ferroute.judge import Answer
    from ferroute.ledger import Ledger
    from ferroute.policy import CallPolicy
    from ferroute.shadow import Shadow, ShadowStats

_log = logging.getLogger("ferroute")
# Not the generator that `random.seed` sets; and of its own after a fork.
_lot = SystemRandom().random
_REMEMBERED = 10_000
"""Shadowed calls that are remembered for feedback, as many as a ledger in memory keeps."""


@dataclasses.dataclass
class _Heard:
    """What people have said of a shadowed call.

    Attributes:
        pair: The call.
        said: Scores by source, and of it by model; None is the caller's own answer. Sources are never mixed.
        counted: Whether the pair has been told of.
    """

    pair: Pair
    said: dict[str, dict[str | None, float]] = dataclasses.field(default_factory=dict[str, "dict[str | None, float]"])
    counted: bool = False


class Shadowing:
    """The shadow of one Controller at work: ``controller.shadow``.

    Attributes:
        shadow: How calls are shadowed.
        budget: What may still be spent, in dollars.
    """

    def __init__(self, shadow: Shadow, controller: Shadows) -> None:
        # What a drawn call needs is imported now, not while its caller waits.
        from ferroute import _shadow_errand as _  # noqa: F401
        from ferroute._shadow_budget import Budget
        from ferroute._shadow_kept import Kept
        from ferroute._shadow_worker import Worker

        self.shadow = shadow
        self.budget: Budget = Budget(cast("Decimal | None", shadow.budget_usd), per_day=shadow.per == "day")
        # Jobs keep it alive, and it would keep its Controller.
        self._controller = weakref.ref(controller)
        self._counts: dict[str, int] = {}
        self._cost = Decimal(0)
        self._last_failure: str | None = None
        self._told: set[str] = set()
        self._pairs: OrderedDict[str, _Heard] = OrderedDict()
        self._kept = Kept(shadow.keep)
        self._lock = threading.Lock()
        self._worker = Worker(shadow.concurrency, shadow.max_waiting, lambda: self.count("dropped"))
        _watch()
        _all.add(self)

    def forked(self) -> None:
        """In a forked child: locks may be held by threads that there are not any more."""
        self._lock = threading.Lock()
        self._counts, self._cost, self._last_failure = {}, Decimal(0), None
        self.budget.forked()

    @property
    def stats(self) -> ShadowStats:
        """What has become of the calls that were drawn, as they are counted now; costs in dollars."""
        from ferroute.shadow import ShadowStats

        waiting = self._worker.busy
        with self._lock:
            return ShadowStats(**self._counts, waiting=waiting, cost_usd=self._cost, last_failure=self._last_failure)

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until no call is waiting or under way.

        Args:
            timeout: Seconds; None: as long as it takes.

        Returns:
            False where it takes longer.
        """
        return self._worker.wait(timeout)

    def count(self, what: str) -> None:
        """One more of ``what``, an attribute of `ShadowStats`."""
        with self._lock:
            self._counts[what] = self._counts.get(what, 0) + 1

    def failed(self, error: Exception) -> None:
        """Counts a failure; each kind is logged once. What a provider says is not repeated: it may hold a key."""
        from ferroute._one_line import one_line
        from ferroute.errors import FerrouteError

        said = type(error).__name__
        if isinstance(error, FerrouteError):
            said += f": {one_line(str(error))[:200]}"
        elif isinstance(status := getattr(error, "status_code", None), int):
            said += f" {status}"
        self.count("failed")
        with self._lock:
            self._last_failure = said
            is_new = said not in self._told and len(self._told) < 100
            self._told.add(said)
        if is_new:
            _log.warning("a shadowed call failed, which its caller does not notice: %s", said)

    def settle(self, grant: Grant, costs: list[Decimal | None], *, is_priced: bool) -> None:
        """Books what a call has cost. Where that is not known though prices are, all that was reserved counts."""
        known = sum((cost for cost in costs if cost is not None), Decimal(0))
        unknown = None in costs
        self.budget.settle(grant, max(known, grant.reserved) if unknown and is_priced else known)
        with self._lock:
            self._cost += known
            if unknown:
                self._counts["cost_unknown"] = self._counts.get("cost_unknown", 0) + 1

    def draw(self, held: float | None) -> float | None:
        """The lot: the probability that a call was drawn with; None where it was not drawn."""
        probability = self.shadow.share if held is None else max(self.shadow.share, min(held, 1.0))
        return probability if probability > 0 and _lot() < probability else None

    def send(self, pair: Pair, asked: Any, answer: Answer, where: Any) -> None:
        """Hands a call to the worker; the caller does not wait."""
        from ferroute._shadow_errand import Errand

        with self._lock:
            self._pairs[pair.response] = _Heard(pair)
            self._pairs.move_to_end(pair.response)
            while len(self._pairs) > _REMEMBERED:
                self._pairs.popitem(last=False)
        if not self._worker.submit(Errand(self, pair, asked, answer, where)):
            self.count("dropped")

    def pairs(self) -> list[ShadowedPair]:
        """The last calls that both models have answered (`Shadow.keep` of them), oldest first, with their scores."""
        with self._lock:
            return list(self._kept)

    def keep(self, pair: Pair, body: bytes, strong: Answer, weak: Answer) -> None:
        """Keeps a pair of answers for those who want to see it."""
        with self._lock:
            self._kept.add(pair, body, strong, weak)

    def observed(self, pair: Pair, strong: float, weak: float) -> None:
        """Tells who holds a threshold for this router of a judged pair of the ladder's ends."""
        from ferroute._shadow_kept import number_of

        with self._lock:
            self._kept.scored(pair, strong, weak)
        tell = getattr(self._controller(), "_observed", None)
        if tell is not None and pair.of_ends and pair.win_rate is not None:
            tell(pair.router, pair.win_rate, strong, weak, pair.probability, number_of(pair.threshold))

    def beyond_budget(self, other: str, needed: Decimal) -> None:
        """Counts a call for which the whole budget would not do; the first one is logged."""
        self.count("beyond_budget")
        with self._lock:
            is_new = "budget" not in self._told
            self._told.add("budget")
        if is_new:
            from ferroute.shadow import shown_budget

            text = (
                "%s is less than one shadowed call may cost ($%.2g for an answer of %s and its judging): it is not made"
            )
            _log.warning(text, shown_budget(self.shadow), needed, other)

    def pair_of(self, response: str) -> Pair | None:
        """What is known of a shadowed call; None where it was none, or too many have come after it."""
        with self._lock:
            held = self._pairs.get(response)
            return None if held is None else held.pair

    def heard(self, response: str, model: str | None, score: float, source: str) -> None:
        """Notes what somebody says of an answer later; ``model`` is None for that of the caller's own.

        Without a judge people are the judge: once the same source has scored both answers the pair counts.
        """
        with self._lock:
            held = self._pairs.get(response)
            if held is None:
                return
            pair, scores = held.pair, held.said.setdefault(source, {})
            other = str(pair.other)
            if model in (None, other):
                scores[model] = score
            if held.counted or len(scores) < 2 or self.shadow.judge is not None:
                return
            held.counted = True
            own, others = scores[None], scores[other]
        self.observed(pair, *((others, own) if pair.other_is_strong else (own, others)))

    def __repr__(self) -> str:
        from ferroute._shadow_errand import shadow_of
        from ferroute.shadow import shown_budget, shown_share

        share, by = shown_share(self.shadow.share), shadow_of(self.shadow)
        return f"<shadow of {share} of routed calls, {by}, {shown_budget(self.shadow)}: {self.stats}>"


class Shadows:
    """The part of a Controller that shadows its calls."""

    api_base: str | None
    api_key: str | None
    # Pickles of earlier versions have neither.
    _shadow: Shadowing | None = None
    _shadow_wanted: Shadow | None = None

    if TYPE_CHECKING:

        @property
        def ledger(self) -> Ledger:
            """Where calls are entered."""
            ...

        def _rungs(self) -> Rungs: ...

        def _policy_in_force(self) -> CallPolicy: ...

    @property
    def shadow(self) -> Shadowing | None:
        """The shadow at work; None where calls are not shadowed.

        A share of the calls (0..=1), a `ferroute.Shadow`, a mapping of its attributes, or None may be assigned; counts
        and budget then begin afresh.

        Raises:
            InvalidTypeError: What is assigned is none of these, or has an unknown attribute.
            InvalidValueError: A value is out of its range.
        """
        return self._shadow

    @shadow.setter
    def shadow(self, wanted: Shadow | Mapping[str, Any] | float | None) -> None:
        from ferroute.shadow import Shadow

        made = Shadow.of(wanted)
        if made is not None:
            _warn_unpriced(made, self._rungs().models)
        self._shadow_wanted = made
        self._begin_shadow()

    def _begin_shadow(self) -> None:
        """Starts afresh, with counts and budget empty."""
        from ferroute.judge import LLMJudge

        shadow = self._shadow_wanted
        if shadow is not None and isinstance(shadow.judge, LLMJudge):
            # A judge may be shared with Controllers that have other addresses.
            judge = copy.copy(shadow.judge)
            judge.lend(self.api_base, self.api_key, self._rungs().models)
            shadow = dataclasses.replace(shadow, judge=judge)
        self._shadow = None if shadow is None else Shadowing(shadow, self)

    def _shadowed(
        self, response: Any, decision: Decision, context: Routed, kwargs: Mapping[str, Any], asked: Asked
    ) -> Any:
        """The response as it is. If the lot has drawn it, the other model is asked as well, when it is complete."""
        shadowing = self._shadow
        # What is drawn and cannot be shadowed is counted, and no failure in here is the caller's.
        with suppress(Exception):
            if shadowing is not None:
                try:
                    self._draw(shadowing, response, decision, context, kwargs, asked)
                except Exception as error:
                    shadowing.failed(error)
        return response

    def _draw(
        self,
        shadowing: Shadowing,
        response: Any,
        decision: Decision,
        context: Routed,
        kwargs: Mapping[str, Any],
        asked: Asked,
    ) -> None:
        held = getattr(self, "_held_rate", None)
        probability = shadowing.draw(None if held is None else held(decision.router))
        if probability is None:
            return
        shadowing.count("drawn")
        from ferroute import responses
        from ferroute._shadow_pairs import Collected, Where, answer_of, snapshot

        if not context.used or context.policy.backend != "native":
            shadowing.count("skipped")
            return
        # As the request is now: the caller may go on with its list of messages.
        request = snapshot(kwargs)
        came = time()
        said_base, said_key = given(kwargs.get("api_base")), given(kwargs.get("api_key"))
        session, task, tags = asked.extras.session, asked.extras.task, asked.extras.tags

        def then(response_id: Any, answer: Answer | None, routing: Any) -> None:
            pair = None
            if answer is not None and routing is not None and isinstance(response_id, str) and response_id:
                pair = self._pair(response_id, routing, probability, came, getattr(response, "model", None))
            if pair is None or answer is None:
                shadowing.count("skipped")
                return
            answer.model = pair.answered
            own = settings_of(pair.other)
            base, key = own.get("api_base"), own.get("api_key")
            where = Where(
                base=said_base or (self.api_base if base is None else base),
                key=said_key or (self.api_key if key is None else key),
                shared=(self.api_base, self.api_key),
                own=(base, key),
                policy=context.policy,
                ledger=context.ledger,
                requested=context.requested,
                session=session,
                task=task,
                tags=tags,
            )
            shadowing.send(pair, request, answer, where)

        if responses.is_stream(response):
            # Not held by what it holds: a stream that is dropped gives its connection back at once.
            stream = weakref.ref(response)
            response.tap(Collected(lambda known, answer: then(known, answer, routing_of(stream)), shadowing.failed))
        elif responses.is_whole(response):
            then(getattr(response, "id", None), answer_of(response, ""), response.routing)
        else:
            shadowing.count("skipped")

    def _pair(self, response: str, routing: Decision, probability: float, came: float, said: str | None) -> Pair | None:
        """The two models of a call; None where it has no other one.

        The other one is the end of the ladder that has not answered; of an answer from between them, the strong end.
        """
        from ferroute._shadow_pairs import Pair

        rungs, facts = self._rungs(), aside(routing)
        answered = routing.model if facts.answered is None else facts.answered.model
        at = facts.rung
        if facts.answered is not None or (at is None and facts.endpoint is None):
            at = rungs.place_of(answered)
        if at is None:  # beyond the ladder, or a fallback that is none of it
            return None
        if facts.answered is not None and facts.answered.climbed:
            # The caller has been given the stronger answer: what the weaker one would lose here nobody has lost.
            return None
        other = 0 if at == rungs.top else rungs.top
        trace = facts.trace
        if trace is not None:
            # What cannot serve the request, or must not: a rule's limits may be more than a matter of money.
            if trace.barred is not None and trace.barred[other] is not None:
                return None
            floor, ceiling = trace.floor, trace.ceiling
            if (floor is not None and other < floor) or (ceiling is not None and other > ceiling):
                return None
        model = rungs.models[other]
        if settings_of(model).get("backend", "native") != "native":
            return None
        return Pair(
            response=response,
            router=cast("str", routing.router),
            win_rate=routing.win_rate,
            threshold=routing.threshold,
            answered=str(answered),
            said=said,
            other=model,
            other_is_strong=other > at,
            of_ends={at, other} == {0, rungs.top},
            probability=probability,
            came=came,
        )

    def feedback(
        self,
        response_id: Any,
        score: float,
        *,
        model: str | None = None,
        source: str = "feedback",
        probability: float | None = None,
    ) -> None:
        """Enters what somebody says of an answer, now or long after it: a thumb, a grade, a test that passed.

        Args:
            response_id: The answer's id (``response.id``), or the answer.
            score: From 0 to 1; True and False are 1 and 0.
            model: Whose answer it is that was scored, by the Controller's name for the model or the provider's
                (``response.model``); None: the one that the caller got. The other one's is known where the call was
                shadowed.
            source: Who says so.
            probability: That this answer was picked for being scored; None: that of the shadow's lot, if the call was
                drawn, by whichever process that has this ledger; else unknown. People pick by themselves what they say
                something about, so what is unknown is not taken for a fair sample.

        Raises:
            InvalidTypeError: The score is no number, or the id no text.
            InvalidValueError: The score or the probability is outside its range.
            UnknownNameError: The ledger has no call with this id, or ``model`` is none of the Controller's.
        """
        from ferroute.errors import InvalidTypeError, InvalidValueError
        from ferroute.judge import score_of

        known = getattr(response_id, "id", response_id)
        if not isinstance(known, str):
            raise InvalidTypeError(f"feedback() needs an answer's id, `response.id`; found {type(known).__name__}")
        number = score_of(score, "a score")
        if probability is not None:
            probability = score_of(probability, "a probability")
            if probability == 0:
                raise InvalidValueError("a probability is above 0: with 0 this answer would not have been scored")
        pair = None if self._shadow is None else self._shadow.pair_of(known)
        name = None
        if model is not None:
            said: set[str | None] = {getattr(response_id, "model", None), None if pair is None else pair.said}
            name = self._model_named(str(model), said)
        if pair is not None and name == pair.answered:
            name = None
        if probability is None:
            probability = self._drawn(known) if pair is None else pair.probability
        self.ledger.add_outcome(
            known,
            score=number,
            source=source,
            model=name,
            probability=probability,
            began_by=None if pair is None else pair.came,
        )
        if self._shadow is not None:
            self._shadow.heard(known, name, number, source)

    def _model_named(self, name: str, said: set[str | None]) -> str | None:
        """The caller's name of one of the models that may have answered; None for that which has.

        Args:
            name: What it is called.
            said: What the provider calls the one that has answered, as far as that is known.
        """
        from ferroute._naming import model_named

        given = self._policy_in_force().fallbacks
        fallbacks = [each for some in given.values() for each in some] if isinstance(given, Mapping) else list(given)
        models = (*self._rungs().models, *fallbacks)
        if name in said and name not in map(str, models):
            return None
        return model_named(name, models)

    def _drawn(self, response: str) -> float | None:
        """The probability that a call was drawn with, by another Controller or an earlier process."""
        from ferroute.errors import UnreadableFileError

        try:
            return self.ledger.core.drawn(response)
        except UnreadableFileError:  # the score is kept until the store is to be had again
            return None


def _warn_unpriced(shadow: Shadow, models: tuple[Any, ...]) -> None:
    """Warns of the models that a budget bars, since nobody knows what they cost."""
    if shadow.budget_usd is None or shadow.unpriced == "allow" or shadow.share == 0:
        return
    from ferroute import _core
    from ferroute._calls import stacklevel
    from ferroute.judge import LLMJudge
    from ferroute.pricing import PriceWarning

    judges = [shadow.judge.model] if isinstance(shadow.judge, LLMJudge) else []
    for model in (models[0], models[-1], *judges):
        names = [name for name in (settings_of(model).get("base_model"), str(model)) if name is not None]
        if _core.pricing_cost(names, (1, 1, 0, 0, 0, 0, 0, 0), None, None) is None:
            text = (
                f"shadow: no price is known for {model}, so no budget can hold what it costs and no pair with it is "
                "made; `ferroute.pricing.override` takes prices of your own, `unpriced='allow'` asks it all the same"
            )
            warnings.warn(text, PriceWarning, stacklevel=stacklevel())


def routing_of(stream: weakref.ref[Any]) -> Any:
    """The decision behind a stream, with what it came to."""
    return getattr(stream(), "routing", None)


_all: weakref.WeakSet[Shadowing] = weakref.WeakSet()
_watching = False


def _watch() -> None:
    global _watching
    if not _watching:
        _watching = True
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_forked)


def _forked() -> None:
    for shadowing in list(_all):
        shadowing.forked()
