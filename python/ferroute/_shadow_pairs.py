"""One shadowed call: what the caller was answered, what the other model is asked, and what becomes of the two."""

from __future__ import annotations

import dataclasses
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

from ferroute import _calls, _core, _estimates, _json
from ferroute._calls import _OURS  # pyright: ignore[reportPrivateUsage]
from ferroute._estimates import read
from ferroute._given import given, is_unset
from ferroute._shadow_budget import Grant, Rate
from ferroute._shadow_worker import in_thread
from ferroute.decision import Decision, make
from ferroute.endpoints import settings_of
from ferroute.errors import FerrouteError
from ferroute.judge import Answer, JudgeError, LLMJudge, scores_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ferroute._shadow_budget import Budget
    from ferroute.policy import CallPolicy
    from ferroute.shadow import Shadow

# What of a call is for the client, and holds for the other model too. How long the caller waits, and what is tried
# instead, does not.
_KEPT = ("api_version", "extra_headers", "extra_query", "organization")
_NOT_SENT = ("n", "stream", "stream_options")
# The least room that an answer is given where the budget has little left: this many tokens, and so many times those of
# the caller's answer.
_LEAST, _TIMES = 256, 4
# The room where the longest answer of a model is not known, which is so of old and of small ones.
_MODEST = 4_096
_NEVER = 2**31 - 1


class Snapshot(NamedTuple):
    """A request as it was when it was sent, whatever the caller does to its messages later.

    Attributes:
        body: JSON of what goes to a model, without the model.
        kept: What of it is for the client.
    """

    body: bytes
    kept: dict[str, Any]


def snapshot(kwargs: Mapping[str, Any]) -> Snapshot:
    """The request of a completion's keywords."""
    body = {
        name: value
        for name, value in kwargs.items()
        if name not in _OURS and name not in _NOT_A_BODY and value is not None and not is_unset(value)
    }
    extra = given(kwargs.get("extra_body"))
    if extra is not None:
        body |= dict(extra)
    for name in (*_NOT_SENT, "model", "ferroute"):
        body.pop(name, None)
    kept = {name: value for name in _KEPT if (value := given(kwargs.get(name))) is not None}
    headers = kept.get("extra_headers")
    if headers is not None:
        # The key of one request is not for another.
        kept["extra_headers"] = {name: each for name, each in headers.items() if name.lower() != "idempotency-key"}
    return Snapshot(_json.encode(body), kept)


_NOT_A_BODY = frozenset(("api_base", "api_key", "model"))


class Pair(NamedTuple):
    """What is known of a shadowed call.

    Attributes:
        response: The provider's id of the caller's answer.
        router: The router that chose.
        win_rate: Its win rate; None where it has none.
        threshold: What that was held against.
        answered: Name of the model that gave it.
        other: The model that is asked beside it, with its settings.
        other_is_strong: Whether that one is the stronger of the two.
        of_ends: Whether the two are the ends of the ladder, so that the scores say something of a threshold.
        probability: That the call was drawn with.
    """

    response: str
    router: str
    win_rate: float | None
    threshold: Any
    answered: str
    other: Any
    other_is_strong: bool
    of_ends: bool
    probability: float


class Where(NamedTuple):
    """Where the other model is asked, and how.

    Attributes:
        base: Base URL.
        key: Key.
        shared: The Controller's own base URL and key.
        own: Those of the model.
        policy: The call's policy.
        ledger: The call's ledger.
        requested: The model string of the request.
        session, task, tags: As the caller said them.
    """

    base: Any
    key: Any
    shared: tuple[str | None, str | None]
    own: tuple[str | None, str | None]
    policy: CallPolicy
    ledger: Any
    requested: str | None
    session: str | None
    task: str | None
    tags: Any


def answer_of(response: Any, model: str) -> Answer | None:
    """The first choice of a whole answer; None where it has none."""
    choices = read(response, "choices")
    if not choices:
        return None
    message: Any = read(choices[0], "message")
    if message is None:
        return None
    plain: dict[str, Any] = message.model_dump(mode="json", exclude_unset=True)
    content = plain.get("content")
    if isinstance(content, list):
        parts = [read(part, "text") for part in cast("list[Any]", content)]
        content = "".join(part for part in parts if isinstance(part, str))
    text = content if isinstance(content, str) else plain.get("refusal") or ""
    return Answer(text, plain, read(choices[0], "finish_reason"), model)


class Collected:
    """A streamed answer, put together from its chunks as the caller reads them.

    Args:
        then: Called with the id and the answer, once the caller has read it to its end; with None and None where it
            was cut before.
        failed: Called with what goes wrong, which is not the caller's.
    """

    def __init__(
        self, then: Callable[[str | None, Answer | None], object], failed: Callable[[Exception], object]
    ) -> None:
        self._then, self._failed = then, failed
        self._id: str | None = None
        self._texts: list[str] = []
        self._refusals: list[str] = []
        self._calls: dict[int, dict[str, Any]] = {}
        self._finish: str | None = None

    def saw(self, chunk: Any) -> None:
        """One chunk more."""
        try:
            self._saw(chunk)
        except Exception as error:
            self._failed(error)

    def _saw(self, chunk: Any) -> None:
        self._id = self._id or read(chunk, "id")
        for choice in read(chunk, "choices") or ():
            if read(choice, "index"):
                continue
            self._finish = read(choice, "finish_reason") or self._finish
            delta = read(choice, "delta")
            for name, texts in (("content", self._texts), ("refusal", self._refusals)):
                text = read(delta, name)
                if isinstance(text, str):
                    texts.append(text)
            for call in read(delta, "tool_calls") or ():
                self._saw_call(call)

    def _saw_call(self, call: Any) -> None:
        empty: dict[str, Any] = {"id": None, "type": "function", "function": {"name": "", "arguments": ""}}
        made = self._calls.setdefault(read(call, "index") or 0, empty)
        made["id"] = made["id"] or read(call, "id")
        function = read(call, "function")
        for name in ("name", "arguments"):
            made["function"][name] += read(function, name) or ""

    def ended(self) -> None:
        """The caller has read on to the end."""
        try:
            self._ended()
        except Exception as error:
            self._failed(error)

    def _ended(self) -> None:
        if self._finish is None:  # it was closed, or broke off
            self._then(None, None)
            return
        text = "".join(self._texts)
        message: dict[str, Any] = {"role": "assistant", "content": text or None}
        if self._refusals:
            message["refusal"] = "".join(self._refusals)
        if self._calls:
            message["tool_calls"] = [self._calls[at] for at in sorted(self._calls)]
        self._then(self._id, Answer(text or message.get("refusal") or "", message, self._finish))


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

    def observed(self, pair: Pair, strong: float, weak: float) -> None:
        """A pair was judged."""
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
        # No text has more tokens than bytes; what is in an image the bytes do not say.
        prompt = min(4 * _estimates.prompt_tokens(body) + _AROUND, len(self._asked.body) + _AROUND)
        prompt = max(prompt, _estimates.prompt_tokens(body))
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
            )
        shadowing.count("judged")
        shadowing.observed(pair, strong, weak)


_LENGTHS = ("max_tokens", "max_completion_tokens")
_TIERS = ("batch", "flex", "priority", "fast", "default", "scale")
# Tokens that a chat's own marks and the names of roles may take.
_AROUND = 64
_SHOWN = 24_000
"""Bytes of an answer that a judge is shown, about."""


class _Unpriced(Exception):
    pass


class _Wait(Exception):
    pass


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
        return "judged by nobody but feedback"
    if isinstance(shadow.judge, LLMJudge):
        return f"judged by {shadow.judge.model}"
    return f"judged by {getattr(shadow.judge, '__name__', type(shadow.judge).__name__)}"
