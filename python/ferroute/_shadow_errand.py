"""What becomes of a shadowed call: the other model is asked, the pair judged, the ledger told; all within a budget."""

from __future__ import annotations

import dataclasses
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol, cast

from ferroute import _calls, _core, _estimates
from ferroute._estimates import read
from ferroute._shadow_budget import Grant, Rate
from ferroute._shadow_pairs import answer_of
from ferroute._shadow_worker import in_thread
from ferroute.decision import Decision, make
from ferroute.endpoints import settings_of
from ferroute.errors import FerrouteError
from ferroute.judge import Answer, JudgeError, LLMJudge, scores_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ferroute._shadow_budget import Budget
    from ferroute._shadow_pairs import Pair, Snapshot, Where
    from ferroute.policy import CallPolicy
    from ferroute.shadow import Shadow

# The least room that an answer is given where the budget has little left: this many tokens, and so many times those of
# the caller's answer.
_LEAST, _TIMES = 256, 4
# The room where the longest answer of a model is not known, which is so of old and of small ones.
_MODEST = 4_096
_NEVER = 2**31 - 1
# What a request may say of an answer's length, and the tiers that have prices of their own.
_LENGTHS = ("max_tokens", "max_completion_tokens")
_TIERS = ("batch", "flex", "priority", "fast", "default", "scale")
# Tokens that a chat's own marks may take, and what is in no text: an image of ordinary size is a fifth of that.
_AROUND, _PER_PART = 64, 4_000
# Bytes of an answer that a judge is shown, about.
_SHOWN = 24_000


class Home(Protocol):
    """Whom an errand is done for: `ferroute._shadowing.Shadowing`."""

    shadow: Shadow
    budget: Budget

    def count(self, what: str) -> None:
        """One more of it."""
        ...

    def failed(self, error: Exception) -> None:
        """Something has failed."""
        ...

    def settle(self, grant: Grant, costs: list[Decimal | None], *, is_priced: bool) -> None:
        """Books what was spent."""
        ...

    def keep(self, pair: Pair, body: bytes, strong: Answer, weak: Answer) -> None:
        """Both models have answered."""
        ...

    def observed(self, pair: Pair, strong: float, weak: float) -> None:
        """A pair was judged."""
        ...

    def beyond_budget(self, other: str, needed: Decimal) -> None:
        """The whole budget would not do for this one."""
        ...


class Errand:
    """Asks the other model, has the pair judged, and tells ledger and Controller. A job of the worker."""

    def __init__(self, shadowing: Home, pair: Pair, asked: Snapshot, answer: Answer, where: Where) -> None:
        self._shadowing, self._pair, self._asked, self._answer, self._where = shadowing, pair, asked, answer, where
        self.size = len(asked.body)
        self._opened = False
        self._is_priced = False
        self._grant: Grant | None = None
        self._tokens: int | None = None
        # What is counted where there is no leave.
        self._refused = "over_budget"
        # What it needs at least, where that is more than the whole budget.
        self._beyond: Decimal | None = None

    # What it may cost.

    def _open(self) -> None:
        """Reads the request, and what it may come to: not in the caller's thread."""
        if not self._opened:
            self._body: dict[str, Any] = json.loads(self._asked.body)
            self._least, self._wanted, self._prompt, self._rate = self._forecast()
            self._opened = True

    def _forecast(self) -> tuple[int, int, int, Rate]:
        """Least and most tokens of the answer, most tokens of the prompt, and what they cost."""
        body = self._body
        base = settings_of(self._pair.other).get("base_model")
        names = [str(self._pair.other)] if base is None else [base, str(self._pair.other)]
        own = [body[name] for name in _LENGTHS if isinstance(body.get(name), int)]
        wanted = min(own) if own else self._room(names)
        least = min(wanted, max(_LEAST, _TIMES * _estimates.tokens(_chars(self._answer))))
        prompt = _most_tokens(self._asked.body, body)
        tier = body.get("service_tier")
        return least, wanted, prompt, Rate(names, tier if tier in _TIERS else None)

    def _room(self, names: list[str]) -> int:
        """The longest answer that the model is allowed: a server refuses a limit beyond what its model can do."""
        facts = next((found for name in names if (found := _core.pricing_facts(name)) is not None), None)
        context, longest = (None, None) if facts is None else facts[:2]
        room = min(self._shadowing.shadow.max_tokens, longest or _MODEST)
        if context is not None:
            room = min(room, context - 2 * _estimates.prompt_tokens(self._body))
        return max(room, _LEAST)

    def _judging(self) -> Decimal | None:
        """The most that judging costs."""
        judge = self._shadowing.shadow.judge
        if not isinstance(judge, LLMJudge):
            return Decimal(0)
        # The other answer is not known yet; more than a judge is shown counts no further.
        return judge.most_usd(2 * len(self._asked.body) + 2 * len(str(self._answer).encode()) + _SHOWN)

    def begins(self, *, alone: bool) -> bool:
        """Takes from the budget what it may cost; False where others have reserved that, and it has to wait."""
        try:
            self._open()
            self._grant, self._tokens = self._taken(alone)
        except _Wait:
            return False
        except _Unpriced:
            self._refused = "unpriced"
        except Exception as error:
            self._refused = ""
            self._shadowing.failed(error)
        return True

    def _taken(self, alone: bool) -> tuple[Grant | None, int | None]:
        """Leave to spend, none where there is no money; and the tokens of the answer that it is for, if they matter.

        Raises:
            _Wait: There may be money once others have told what theirs came to.
            _Unpriced: A price is not known, and there is a budget to hold.
        """
        budget, tokens = self._shadowing.budget, self._wanted
        left = budget.left()
        most, judging = self._rate.of(self._prompt, tokens), self._judging()
        self._is_priced = most is not None and judging is not None
        if left is None or most is None or judging is None:
            if left is not None and self._shadowing.shadow.unpriced == "refuse":
                raise _Unpriced
            # Nothing to hold, so no limit that the caller has not set.
            grant = budget.reserve((most or Decimal(0)) + (judging or Decimal(0)))
            if grant is None and not alone:
                raise _Wait
            return grant, None
        if most + judging > left:
            if not alone:
                raise _Wait
            # The last of the budget is for answers that are cut earlier.
            tokens = self._rate.longest(self._prompt, tokens, left - judging)
            if tokens < self._least:
                needed = cast("Decimal", self._rate.of(self._prompt, self._least)) + judging
                self._beyond = needed if budget.limit is not None and needed > budget.limit else None
                return None, None
            most = cast("Decimal", self._rate.of(self._prompt, tokens))
        return budget.reserve(most + judging), tokens

    # The work itself.

    async def run(self) -> None:
        """Does all of it; whatever goes wrong is counted."""
        shadowing, grant = self._shadowing, self._grant
        if grant is None:
            if self._refused:
                shadowing.count(self._refused)
            if self._beyond is not None:
                shadowing.beyond_budget(str(self._pair.other), self._beyond)
            return
        costs: list[Decimal | None] = []
        try:
            await self._run(self._tokens, costs)
        except Exception as error:
            shadowing.failed(error)
        finally:
            shadowing.settle(grant, costs, is_priced=self._is_priced)

    async def _run(self, tokens: int | None, costs: list[Decimal | None]) -> None:
        shadowing, pair = self._shadowing, self._pair
        call, limited = self._call(tokens)
        from ferroute.completions import acomplete

        # Until something else is known: what is ended under way may be on a bill.
        costs.append(None)
        try:
            reply = await acomplete(call)
        except Exception as error:
            routing = getattr(error, "routing", None)
            costs[-1] = None if routing is None else routing.cost_usd
            raise
        costs[-1] = reply.routing.cost_usd
        other = answer_of(reply, str(pair.other))
        if other is None:
            raise FerrouteError("the other model's answer has no message")
        shadowing.count("sent")
        if limited and other.finish_reason == "length":
            shadowing.count("cut")
            return
        strong, weak = (other, self._answer) if pair.other_is_strong else (self._answer, other)
        shadowing.keep(pair, self._asked.body, strong, weak)
        # Whoever scores the answers later, in this process or another, has to know how the call was drawn.
        self._where.ledger.core.mark_drawn(pair.response, pair.probability, pair.came)
        scores = await self._scores(strong, weak, costs)
        if scores is not None:
            self._tell(*scores)

    def _call(self, tokens: int | None) -> tuple[_calls.Prepared, bool]:
        """The call to the other model, and whether its answer is limited by us."""
        rest, where = {**self._body, **self._asked.kept}, self._where
        messages = rest.pop("messages")
        limits = [name for name in _LENGTHS if isinstance(rest.get(name), int)]
        limited = tokens is not None and all(rest[name] > tokens for name in limits)
        if limited:
            rest[limits[0] if limits else _LENGTHS[0]] = tokens
        call = _calls.prepare(self._pair.other, messages, where.base, where.key, rest, self._context())
        return call, limited

    def _context(self) -> _calls.Routed:
        pair = self._pair
        decision = make(
            {
                "model": str(pair.other),
                "router": pair.router,
                "win_rate": pair.win_rate,
                "threshold": pair.threshold,
                "reason": "shadow of a call that went to the other model",
            }
        )
        return self._marked(decision, self._where.requested, self._where.shared, self._where.own)

    def _of_judge(self) -> _calls.Routed:
        judge = cast("LLMJudge", self._shadowing.shadow.judge)
        decision = make({"model": str(judge.model), "router": None, "reason": "judges a shadowed call"})
        return self._marked(decision, judge.source, (None, None), (None, None))

    def _marked(
        self,
        decision: Decision,
        requested: str | None,
        shared: tuple[str | None, str | None],
        own: tuple[str | None, str | None],
    ) -> _calls.Routed:
        where = self._where
        return _calls.Routed(
            decision=decision,
            policy=policy_of(where.policy, self._shadowing.shadow.timeout),
            ledger=where.ledger,
            baseline=None,
            requested=requested,
            holdout=False,
            router_cost=0,
            session=where.session,
            # The features are with the caller's own call.
            text=None,
            where=shared,
            own=own,
            task=where.task,
            tags=where.tags,
            shadow=True,
        )

    async def _scores(self, strong: Answer, weak: Answer, costs: list[Decimal | None]) -> tuple[float, float] | None:
        judge, shadowing = self._shadowing.shadow.judge, self._shadowing
        if judge is None:
            return None
        if isinstance(judge, LLMJudge):
            costs.append(None)
            try:
                said = await judge.ajudge(self._body, strong, weak, context=self._of_judge)
            except JudgeError as error:
                costs[-1] = error.cost_usd
                raise
            costs[-1] = said.cost_usd
            if not said.agreed:
                shadowing.count("disagreed")
            return said.strong, said.weak
        # Of its own, so that a judge may change it.
        request = json.loads(self._asked.body)
        told = await in_thread(_asked_in_thread, judge, request, strong, weak)
        return scores_of(told)

    def _tell(self, strong: float, weak: float) -> None:
        """Enters both scores with the caller's call, and lets those know that hold a threshold by them."""
        pair, shadowing = self._pair, self._shadowing
        own, others = (weak, strong) if pair.other_is_strong else (strong, weak)
        for model, score in ((None, own), (str(pair.other), others)):
            self._where.ledger.add_outcome(
                pair.response,
                score=score,
                source=shadowing.shadow.named_source,
                model=model,
                probability=pair.probability,
                began_by=pair.came,
            )
        shadowing.count("judged")
        shadowing.observed(pair, strong, weak)


class _Unpriced(Exception):
    pass


class _Wait(Exception):
    pass


def _most_tokens(encoded: bytes, body: Mapping[str, Any]) -> int:
    """Tokens that a prompt has at most: no text has more tokens than bytes. What is no text its bytes do not say."""
    most = len(encoded) + _AROUND
    for message in body["messages"]:
        content: Any = read(message, "content")
        for part in cast("list[Any]", content) if isinstance(content, list) else ():
            if not isinstance(read(part, "text"), str):
                most += _PER_PART - len(json.dumps(part))
    return max(most, _estimates.prompt_tokens(dict(body)))


def _chars(answer: Answer) -> int:
    calls = sum(len(str(read(call, "function"))) for call in answer.tool_calls)
    return len(answer) + calls


def _asked_in_thread(judge: Callable[..., Any], request: Any, strong: Answer, weak: Answer) -> Any:
    said = judge(request, strong, weak)
    if hasattr(said, "__await__"):
        import asyncio

        async def waited() -> Any:
            return await said

        # In a loop of its own, which it may block.
        return asyncio.run(waited())
    return said


def policy_of(policy: CallPolicy, timeout: float) -> CallPolicy:
    """How a shadowed call behaves: one model, whose failures are not held against it."""
    return dataclasses.replace(
        policy,
        fallbacks=(),
        # A connection that was kept may have been closed meanwhile.
        retries=min(policy.retries, 1),
        hedge=False,
        strict=False,
        escalate_on=(),
        deadline=timeout,
        failures_before_cooldown=_NEVER,
    )


def shadow_of(shadow: Shadow) -> str:
    """Who judges, in words."""
    if shadow.judge is None:
        return "judged by feedback alone"
    if isinstance(shadow.judge, LLMJudge):
        return f"judged by {shadow.judge.model}"
    return f"judged by {getattr(shadow.judge, '__name__', type(shadow.judge).__name__)}"
