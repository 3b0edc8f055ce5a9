"""Judges of a pair of answers: a function of the caller's own, or a large model that is told neither's name.

A judge is anything that is called with ``(request, strong_answer, weak_answer)`` and returns a score from 0 to 1 for
each, or one score for the pair: 1 where the strong answer is better, 0 where the weak one is, 0.5 where neither is; or
None where it cannot tell. ``request`` is the completion's body as a dict (``request["messages"]``); the answers are
`Answer`, texts that know their tool calls.

Example:
    >>> exact = lambda request, strong, weak: (strong == "4", weak == "4")
    >>> scores_of(exact({"messages": []}, Answer("4"), Answer("five")))
    (1.0, 0.0)
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, cast

from ferroute import _core, _judge_words
from ferroute._judge_words import HIGHEST, Numbers, numbers_of
from ferroute.endpoints import endpoint, settings_of, shown_url
from ferroute.errors import FerrouteError, InvalidTypeError, InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from decimal import Decimal

    from typing_extensions import Self

    from ferroute._calls import Prepared

__all__ = ["Answer", "JudgeError", "Judgement", "LLMJudge", "scores_of"]


class Answer(str):
    """The text of an answer, which knows the message it is of.

    Attributes:
        message: The message as the model gave it, in OpenAI's form.
        finish_reason: Why it ended; None where nobody says.
        model: Who gave it. An `LLMJudge` is not told.
    """

    __slots__ = ("finish_reason", "message", "model")

    message: Mapping[str, Any]
    finish_reason: str | None
    model: str | None

    def __new__(
        cls,
        text: str,
        message: Mapping[str, Any] | None = None,
        finish_reason: str | None = None,
        model: str | None = None,
    ) -> Self:
        """A text; ``message`` is what else there is to it."""
        made = super().__new__(cls, text)
        made.message = {"role": "assistant", "content": text} if message is None else message
        made.finish_reason, made.model = finish_reason, model
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.message, self.finish_reason, self.model)

    @property
    def tool_calls(self) -> list[Any]:
        """The calls it asks for, which nobody has made: each with ``function``, its ``name`` and ``arguments``."""
        calls = self.message.get("tool_calls")
        return cast("list[Any]", calls) if isinstance(calls, list) else []


@dataclass(frozen=True)
class Judgement:
    """What an `LLMJudge` says of a pair. Unpacks into the two scores.

    Attributes:
        strong: Score of the strong answer, 0..=1: the mean over both orders.
        weak: Score of the weak answer, likewise.
        agreed: Whether both orders say the same of which is better. A judge that often disagrees with itself judges
            the order, not the answers.
        why: One sentence for each order, the strong answer first in the first one.
        cost_usd: US dollars that judging cost; None where a price is unknown.
    """

    strong: float
    weak: float
    agreed: bool = True
    why: tuple[str, ...] = ()
    cost_usd: Decimal | None = None

    def __iter__(self) -> Iterator[float]:
        return iter((self.strong, self.weak))


class JudgeError(FerrouteError):
    """A judge has come to no judgement: a call failed, or its answer is none.

    Attributes:
        cost_usd: US dollars that it cost all the same; None where a price is unknown.
    """

    cost_usd: Decimal | None

    def __init__(self, message: str, cost_usd: Decimal | None = None) -> None:
        super().__init__(message)
        self.cost_usd = cost_usd


class LLMJudge:
    """A large model as the judge: it sees two answers, A and B, in one order and then in the other, and no names.

    Answers and request go to it as JSON, so nothing in them can end the quotation, and it is held to numbers by a
    schema where its provider can do that. Scores are means over both orders, so a liking for the first place cancels;
    that judges have one, and favour long answers and their own, is known from Zheng et al. 2023, arXiv:2306.05685.
    A judge is an opinion: what rests on it is relative to it (``calibrate.guarantee(..., judge=...)``).

    Args:
        model: A name, or a mapping with settings of its own (see `ferroute.endpoints`). It should be neither of the
            two models judged.
        instructions: Takes the place of the first sentences that it is told, which say what counts.
        api_base: Base URL; None: the model's own, else the Controller's.
        api_key: Key; likewise, else from the environment.
        max_tokens: Tokens of one judgement, hidden reasoning included.
        timeout: Seconds for each of the two calls.
        max_retries: How often a failed call is repeated within that.

    Raises:
        InvalidValueError: A value is outside its range, or a mapping has an unknown key.
        InvalidTypeError: One is of the wrong type.

    Example:
        >>> LLMJudge("gpt-5.5", api_base="http://localhost:8000/v1")
        <LLMJudge gpt-5.5 at http://localhost:8000/v1>
    """

    def __init__(
        self,
        model: str | Mapping[str, Any],
        instructions: str | None = None,
        *,
        api_base: str | None = None,
        api_key: str | None = None,
        max_tokens: int = 2_048,
        timeout: float = 60.0,
        max_retries: int = 1,
    ) -> None:
        self.model = endpoint(model, "judge")
        if instructions is not None and not isinstance(instructions, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidTypeError(f"`instructions` must be str, found {type(instructions).__name__}")
        for name, value, least in (("max_tokens", max_tokens, 1), ("max_retries", max_retries, 0)):
            if isinstance(value, bool) or not isinstance(value, Integral):
                raise InvalidTypeError(f"`{name}` must be int, found {type(value).__name__}")
            if value < least:
                raise InvalidValueError(f"`{name}` must be at least {least}, found {value}")
        if isinstance(timeout, bool) or not isinstance(timeout, Real):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidTypeError(f"`timeout` must be a number of seconds, found {type(timeout).__name__}")
        if not timeout > 0:
            raise InvalidValueError(f"`timeout` must be above 0, found {timeout}")
        self.instructions = instructions
        self.max_tokens = int(max_tokens)
        self.timeout = float(timeout)
        self.max_retries = int(max_retries)
        self._where = {name: value for name, value in (("base", api_base), ("key", api_key)) if value is not None}
        self._lent: tuple[str | None, str | None] = (None, None)
        # Whether its server has refused to hold it to a schema.
        self._bare = False

    @property
    def source(self) -> str:
        """What the ledger calls the scores' source."""
        return f"judge:{self.model}"

    def __call__(self, request: Any, strong_answer: str, weak_answer: str) -> Judgement:
        """The judgement on a pair of answers.

        Args:
            request: A prompt, messages in OpenAI's form, or a completion's body with ``messages``.
            strong_answer: Text of the strong model's answer, or an `Answer`.
            weak_answer: Text of the weak model's, likewise.

        Raises:
            JudgeError: A call failed, or its answer is no judgement.
        """
        from ferroute.completions import complete

        told: list[_Told] = []
        for first, second in ((strong_answer, weak_answer), (weak_answer, strong_answer)):
            one = _Told()
            for bare in self._forms():
                try:
                    one.heard(complete(self._prepared(request, first, second, bare, None)), self, bare)
                except Exception as error:
                    if one.failed(error) and not bare:
                        continue
                break
            told.append(one)
        return _joined(told, self.model)

    async def ajudge(
        self, request: Any, strong_answer: str, weak_answer: str, *, context: Callable[[], Any] | None = None
    ) -> Judgement:
        """As calling it, without blocking the event loop; both orders are asked at once.

        Args:
            request: As above.
            strong_answer: As above.
            weak_answer: As above.
            context: Makes what the ledger is told of a call, a `ferroute._calls.Routed`; None: it is not told.

        Raises:
            JudgeError: As above.
        """
        import asyncio

        async def order(first: str, second: str) -> _Told:
            from ferroute.completions import acomplete

            one = _Told()
            for bare in self._forms():
                try:
                    call = self._prepared(request, first, second, bare, None if context is None else context())
                    one.heard(await acomplete(call), self, bare)
                except Exception as error:
                    if one.failed(error) and not bare:
                        continue
                break
            return one

        told = await asyncio.gather(order(strong_answer, weak_answer), order(weak_answer, strong_answer))
        return _joined(told, self.model)

    def most_usd(self, given: int) -> Decimal | None:
        """The most that a judgement can cost.

        Args:
            given: Bytes of request and answers together; more than it is shown counts no further.

        Returns:
            US dollars for both orders; None where the price is unknown.
        """
        base = settings_of(self.model).get("base_model")
        names = [str(self.model)] if base is None else [base, str(self.model)]
        # A token has at least one byte.
        prompt = len(_judge_words.system(self.instructions).encode()) + _judge_words.shown(given)
        found = _core.pricing_cost(names, (prompt, self.max_tokens, 0, 0, 0, 0, 0, 0), None, None)
        return None if found is None else 2 * found[0]

    def lend(self, api_base: str | None, api_key: str | None, models: tuple[Any, ...] = ()) -> None:
        """Takes a Controller's address and key where the model has none of its own.

        Args:
            api_base: The Controller's base URL.
            api_key: The Controller's key; without a base URL it is only for models of the same provider.
            models: The Controller's models.
        """
        own = settings_of(self.model)
        if "base" in self._where or "api_base" in own or (api_base is None and api_key is None):
            return
        has_key = "key" in self._where or "api_key" in own
        if has_key or (api_base is None and not self._is_of(models, api_key)):
            api_key = None
        self._lent = (api_base, api_key)

    def _is_of(self, models: tuple[Any, ...], key: str | None) -> bool:
        """Whether one of ``models`` without settings is of the judge's provider."""
        try:
            mine = _core.Client(self.model, api_key=key).provider
            return any(
                _core.Client(str(each), api_key=key).provider == mine for each in models if not settings_of(each)
            )
        except FerrouteError:
            return False

    def _forms(self) -> tuple[bool, ...]:
        """Whether to ask without a schema: first with it, unless that is known to be refused."""
        return (True,) if self._bare else (False, True)

    def _prepared(self, request: Any, first: str, second: str, bare: bool, context: Any) -> Prepared:
        from ferroute import _calls
        from ferroute.policy import CallPolicy

        messages = [
            {"role": "system", "content": _judge_words.system(self.instructions)},
            {"role": "user", "content": _judge_words.user(request, first, second)},
        ]
        rest: dict[str, Any] = {"max_tokens": self.max_tokens}
        # A judge in a hurry says little about how a model does as an answerer.
        rest["policy"] = CallPolicy(retries=self.max_retries, deadline=self.timeout, failures_before_cooldown=_NEVER)
        if not bare:
            rest["response_format"] = _judge_words.SCHEMA
        base, key = self._where.get("base", self._lent[0]), self._where.get("key", self._lent[1])
        return _calls.prepare(self.model, messages, base, key, rest, context)

    def __getstate__(self) -> dict[str, Any]:
        return vars(self)

    def __repr__(self) -> str:
        base = self._where.get("base") or settings_of(self.model).get("api_base") or self._lent[0]
        return f"<LLMJudge {self.model}{f' at {shown_url(base)}' if base else ''}>"


_NEVER = 2**31 - 1


class _Told:
    """What one order came to: its numbers, or why there are none; and what it cost."""

    def __init__(self) -> None:
        self.said: Numbers | None = None
        self.why_not = ""
        self.costs: list[Decimal | None] = []

    def heard(self, response: Any, judge: LLMJudge, bare: bool) -> None:
        """Reads an answer."""
        self.costs.append(response.routing.cost_usd)
        if bare:
            judge._bare = True  # pyright: ignore[reportPrivateUsage]
        try:
            self.said = numbers_of(response)
        except InvalidValueError as error:
            self.why_not = str(error)

    def failed(self, error: Exception) -> bool:
        """Notes a failure; whether the same may be asked without a schema."""
        routing = getattr(error, "routing", None)
        if routing is not None:
            self.costs.append(routing.cost_usd)
        # Of a provider's words none are repeated: they may quote a key.
        status = getattr(error, "status_code", None)
        said = f" {status}" if status else f": {error}" if isinstance(error, FerrouteError) else ""
        self.why_not = f"the call failed ({type(error).__name__}{said})"
        return status in (400, 404, 422, 501)


def _joined(told: Sequence[_Told], model: str) -> Judgement:
    """The judgement of both orders together.

    Raises:
        JudgeError: One of them says nothing: by the other alone the order would judge.
    """
    from decimal import Decimal

    costs = [cost for one in told for cost in one.costs]
    cost = None if None in costs else sum(cast("list[Decimal]", costs), Decimal(0))
    for one in told:
        if one.said is None:
            raise JudgeError(f"{model} has not judged: {one.why_not}", cost)
    forth, back = (cast("Numbers", one.said) for one in told)
    return Judgement(
        strong=(forth.a + back.b) / (2 * HIGHEST),
        weak=(forth.b + back.a) / (2 * HIGHEST),
        agreed=_sign(forth.a - forth.b) == _sign(back.b - back.a),
        why=(forth.why, back.why),
        cost_usd=cost,
    )


def _sign(number: int) -> int:
    return (number > 0) - (number < 0)


def scores_of(said: Any) -> tuple[float, float] | None:
    """The two scores, strong and weak, of what a judge has said; None where it has not judged.

    Args:
        said: Two scores from 0 to 1; or one for the pair, 1 where the strong answer is better; or None.

    Raises:
        InvalidTypeError: It is something else.
        InvalidValueError: A score is outside 0..=1, or is not a number.
    """
    if said is None:
        return None
    # An array of any kind can be asked for one number, too, which it has only where it has no sides.
    kind, sides = type(said).__name__, cast("Any", getattr(said, "ndim", None))
    many = hasattr(said, "__iter__") and sides != 0
    if not many and (isinstance(said, Real) or hasattr(said, "__float__")):
        score = score_of(said, "a judge's score of a pair")
        return score, 1.0 - score
    # Of a set nobody knows which is which.
    if not many or isinstance(said, (str, bytes, Mapping, AbstractSet)) or sides not in (None, 1):
        found = kind if sides in (None, 1) else f"{kind} of {sides} dimensions"
        raise InvalidTypeError(f"a judge returns two scores (strong, weak), one for the pair, or None; found {found}")
    both: list[Any] = list(said)
    if len(both) != 2:
        raise InvalidValueError(f"a judge returns two scores (strong, weak); found {len(both)} of them")
    return score_of(both[0], "a judge's strong score"), score_of(both[1], "a judge's weak score")


def score_of(said: Any, what: str) -> float:
    """A score, as a float from 0 to 1.

    Raises:
        InvalidTypeError: It is no number.
        InvalidValueError: It is outside 0..=1.
    """
    if isinstance(said, (str, bytes)) or not hasattr(said, "__float__"):
        raise InvalidTypeError(f"{what} is a number from 0 to 1, found {type(said).__name__}")
    number = float(said)
    if not math.isfinite(number) or not 0 <= number <= 1:
        raise InvalidValueError(f"{what} is a number from 0 to 1, found {number!r}")
    return number
