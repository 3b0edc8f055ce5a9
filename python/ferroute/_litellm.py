"""``backend="litellm"``: the call is handed to the litellm that the user has installed.

For providers outside ferroute's own table (``bedrock/``, ``vertex_ai/`` and the like). litellm gets the caller's
keywords as they are, makes the call with its own settings, callbacks and retries, and its object is what comes back,
with the decision under ``.routing``. Costs are ferroute's prices where it knows the model, else what litellm says;
tokens that nobody tells are estimated. Fallbacks are asked through litellm too. litellm is imported by the first such
call and never otherwise.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from time import perf_counter, time
from typing import TYPE_CHECKING, Any

from ferroute import _core, _estimates, responses
from ferroute._calls import warn_unpriced
from ferroute._estimates import read
from ferroute.decision import Answered, Decision, aside, make, settled
from ferroute.endpoints import Endpoint, settings_of
from ferroute.errors import InvalidValueError, NotBuiltError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from decimal import Decimal

    from typing_extensions import Self

    from ferroute._calls import Prepared

# A request that one model refuses as wrong is wrong for the next one too. These statuses say something else.
_NOT_OF_THE_REQUEST = (401, 402, 403, 404, 408, 409, 425, 429, 498)
# As in the core: providers have no common code for a prompt that is too long.
_TOO_LONG = (
    "context_length_exceeded",
    "maximum context length",
    "context length exceeded",
    "prompt is too long",
    "input is too long",
    "input token count",
    "context window",
    "maximum prompt length",
    "reduce the length of the messages",
)
# What one endpoint says of itself is not for the next one.
_WHERE = ("api_base", "api_key", "api_version", "organization", "extra_headers", "extra_query")


def complete(call: Prepared) -> Any:
    """Makes the call, and those of its fallbacks that are needed."""
    ask = _module().completion
    book = _Book(call)
    while True:
        try:
            answer = ask(**book.keywords())
        except BaseException as error:  # noqa: PERF203 - one for each model
            book.failed(error)
        else:
            return _given(answer, book)


async def acomplete(call: Prepared) -> Any:
    """As `complete`, asynchronously."""
    found = sys.modules.get("litellm")
    if found is None or getattr(found.__spec__, "_initializing", False):
        import asyncio

        # Its import takes seconds, in which the loop would stand still.
        found = await asyncio.to_thread(_module)
    ask: Any = found.acompletion
    book = _Book(call)
    while True:
        try:
            answer = await ask(**book.keywords())
        except BaseException as error:  # noqa: PERF203 - one for each model
            book.failed(error)
        else:
            return _given(answer, book)


def _module() -> Any:
    try:
        import litellm  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise NotBuiltError(
            "backend='litellm' needs litellm, which is not installed: pip install 'ferroute[litellm]'"
        ) from None
    return litellm  # pyright: ignore[reportUnknownVariableType]


def _given(answer: Any, book: _Book) -> Any:
    if book.call.stream:
        return LitellmStream(answer, book)
    made = _estimates.made_chars(answer)
    return responses.attach(answer, book.settle("ok", _tokens(read(answer, "usage")), made, answer))


class _Book:
    """One call on its way through litellm: which model's turn it is, and what is known for the ledger."""

    def __init__(self, call: Prepared) -> None:
        self.call = call
        self.attempts = 0
        self._next = 0
        self.began, self.clock = time(), perf_counter()
        self.first: float | None = None
        self.notes: list[str] = []
        self.settled: Decision | None = None

    @property
    def model(self) -> str:
        """The model asked last."""
        return str(self._asked)

    def keywords(self) -> dict[str, Any]:
        """What litellm is called with next."""
        given = dict(self.call.litellm or {})
        base_model = given.pop("base_model", None)
        if self.attempts == 0:
            self._asked: str = Endpoint(given["model"], {"base_model": base_model} if base_model else None)
        else:
            self._asked = self.call.fallbacks[self._next]
            self._next += 1
            own = dict(settings_of(self._asked))
            own.pop("backend", None)
            own.pop("base_model", None)
            given = {name: value for name, value in given.items() if name not in _WHERE}
            if "api_base" not in own and "api_key" not in own:
                given["api_base"], given["api_key"] = self.call.shared
            given |= own
        self.attempts += 1
        return {**given, "model": str(self._asked)}

    def failed(self, error: BaseException) -> None:
        """Raises `error` again, unless there is another model to ask."""
        if not _is_final(error):
            fallbacks = self.call.fallbacks
            if _is_too_long(error):
                while self._next < len(fallbacks) and not _takes_more(fallbacks[self._next], self._asked):
                    self._next += 1
            if self._next < len(fallbacks):
                following = str(fallbacks[self._next])
                self.notes.append(f"{self.model} failed ({type(error).__name__}), so {following} was asked")
                return
        # Somebody who stops waiting leaves a request on its way, whose prompt may be on the bill.
        made = None if isinstance(error, Exception) else 0
        decision = self.settle("failed" if made is None else "cancelled", None, made, None, error)
        with suppress(AttributeError, TypeError):
            error.routing = decision  # type: ignore[attr-defined]
        raise error

    def settle(
        self,
        outcome: str,
        tokens: dict[str, int] | None,
        made: int | None,
        answer: Any,
        error: BaseException | None = None,
        whole: bool = True,
    ) -> Decision:
        """Enters the call in the ledger, once, and says what it came to.

        Args:
            outcome: As the ledger has it.
            tokens: What was told of them; see `_tokens`.
            made: Characters of the answer, to estimate the tokens from where they are not told; None: there was none.
            answer: litellm's object, which may know what it cost.
            error: What ended it.
            whole: Whether the tokens told are those of the whole answer.
        """
        if self.settled is not None:
            return self.settled
        router, requested, win_rate, threshold, session, lots, baseline, router_cost, text = self.call.decided[:9]
        tier, task, tags = self.call.decided[9:]
        theirs = _their_cost(answer)
        estimated = made is not None and (tokens is None or not whole)
        if made is not None and (tokens is None or not whole):
            tokens = dict(tokens or {"input_tokens": _estimates.prompt_tokens(self.call.litellm or {})})
            tokens["output_tokens"] = max(tokens.get("output_tokens", 0), _estimates.tokens(made))
        cost = self._cost_of(tokens, theirs, estimated)
        expected, saved = self._saved(tokens, cost)
        if saved is not None and expected != cost:
            self.notes.append(f"saved_usd takes the answer's own length for that of {baseline}'s")
        if cost is None and tokens is not None:
            self.notes.append(f"no price is known for `{self.model}`: the call counts as unpriced, not as free")
            warn_unpriced(self.model)
        if self.call.ledger is not None:
            now = perf_counter()
            self.call.ledger.add(
                self.model,
                router=router,
                requested=requested,
                win_rate=win_rate,
                threshold=threshold,
                session=session,
                holdout=lots[0],
                text=text,
                cost=cost,
                router_cost=router_cost,
                baseline=expected,
                ttft_ms=None if self.first is None else (self.first - self.clock) * 1000,
                total_ms=(now - self.clock) * 1000,
                estimated=estimated,
                outcome="shadow" if lots[1] else outcome,
                error=None if error is None else type(error).__name__,
                attempts=self.attempts,
                at=self.began,
                tier=tier,
                task=task,
                tags=tags,
                response=_id(answer) if error is None else None,
                **{_LEDGERS_WORDS.get(name, name): count for name, count in (tokens or {}).items()},
            )
        self.settled = self._decision(cost, saved, answered=outcome != "failed")
        return self.settled

    def so_far(self, tokens: dict[str, int], answer: Any) -> Decision:
        """What the call comes to if it ends here, with nothing entered."""
        cost = self._cost_of(tokens, _their_cost(answer), False)
        return self._decision(cost, self._saved(tokens, cost)[1])

    def _decision(self, cost: Decimal | None, saved: Decimal | None, *, answered: bool = True) -> Decision:
        account = (cost, _dollars(self.call.decided[7]), saved, self.attempts, self.notes)
        decision = settled(self.call.decision, account)
        if self._next == 0 or not answered:
            return decision
        by = Answered(self.model, settings_of(self._asked).get("base_model"))
        return make(decision.__dict__, aside(decision)._replace(answered=by))

    def _cost_of(self, tokens: dict[str, int] | None, theirs: Decimal | None, estimated: bool) -> Decimal | None:
        # What litellm says goes before an estimate, and after what ferroute knows.
        if tokens is None or (estimated and theirs is not None):
            return theirs
        ours = _cost(self._asked, tokens)
        return theirs if ours is None else ours

    def _saved(self, tokens: dict[str, int] | None, cost: Decimal | None) -> tuple[Decimal | None, Decimal | None]:
        """What the baseline would have cost, and what is saved against it."""
        baseline, router_cost = self.call.decided[6:8]
        expected = _cost(baseline, tokens) if baseline is not None and tokens is not None else None
        # Nothing was routed away: the baseline has cost what it cost.
        expected = (
            cost if baseline in (self.model, settings_of(self._asked).get("base_model", self.model)) else expected
        )
        saved = None if cost is None or expected is None or router_cost is None else expected - cost - router_cost
        return expected, saved


def _id(answer: Any) -> str | None:
    """The provider's id of an answer."""
    found = read(answer, "id")
    return found if isinstance(found, str) else None


def _is_final(error: BaseException) -> bool:
    """Whether the next model would be asked in vain."""
    if not isinstance(error, Exception) or isinstance(error, (TypeError, ValueError, NotImplementedError)):
        return True
    status: Any = getattr(error, "status_code", None)
    of_the_request = isinstance(status, int) and 400 <= status < 500 and status not in _NOT_OF_THE_REQUEST
    return of_the_request and not _is_too_long(error)


def _is_too_long(error: BaseException) -> bool:
    """Whether an error says that the prompt is longer than the model takes."""
    if any(cls.__name__ == "ContextWindowExceededError" for cls in type(error).__mro__):
        return True
    if getattr(error, "status_code", None) not in (400, 413, 422):
        return False
    said = f"{error} {getattr(error, 'body', '')}".lower()
    return any(words in said for words in _TOO_LONG)


def _takes_more(other: str, refused: str) -> bool:
    """Whether `other` may take a prompt that was too long for `refused`: unless it is known to take no more."""
    most, before = _context(other), _context(refused)
    return most is None or before is None or most > before


def _context(model: str) -> int | None:
    """The longest prompt of a model, in tokens; None where that is not known."""
    for name in (settings_of(model).get("base_model"), str(model)):
        facts = None if name is None else _core.pricing_facts(name)
        if facts is not None and facts[0] is not None:
            return facts[0]
    return None


class LitellmStream:
    """litellm's stream, with the decision behind it; everything else is litellm's own.

    Attributes:
        routing: the decision that chose the model, from the start; its costs once the stream has ended. The last
            chunk's has them too, at the latest then.
    """

    def __init__(self, stream: Any, book: _Book) -> None:
        self._stream = stream
        self._book = book
        self._tokens: dict[str, int] | None = None
        self._made = 0
        self._whole = False
        self._last: Any = None
        self.routing: Any = book.call.decision

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            return self._seen(next(self._iterator()))
        except StopIteration:
            self._end("ok")
            raise
        except BaseException as error:
            self._end("failed" if isinstance(error, Exception) else "cancelled", error)
            raise

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        try:
            return self._seen(await anext(self._iterator()))
        except StopAsyncIteration:
            self._end("ok")
            raise
        except BaseException as error:
            self._end("failed" if isinstance(error, Exception) else "cancelled", error)
            raise

    def _iterator(self) -> Any:
        if not hasattr(self._stream, "__next__") and not hasattr(self._stream, "__anext__"):
            made = getattr(self._stream, "__aiter__", None) or self._stream.__iter__
            self._stream = made()
        return self._stream

    def _seen(self, chunk: Any) -> Any:
        if self._book.first is None:
            self._book.first = perf_counter()
        self._last = chunk
        self._made += _estimates.made_chars(chunk)
        told = _tokens(read(chunk, "usage")) or _tokens(_hidden(chunk, "usage"))
        # Some tell the usage so far with every chunk.
        self._whole = self._whole or _estimates.is_last(chunk) or not (told is None or _estimates.is_part(chunk))
        if told is None:
            return responses.attach(chunk, self.routing)
        self._tokens = told
        return responses.attach(chunk, self._book.so_far(told, chunk) if self._whole else self.routing)

    def _end(self, outcome: str, error: BaseException | None = None) -> None:
        if self._book.settled is not None:
            return
        # litellm corrects what it keeps with the last chunk when the stream ends.
        told = _tokens(_hidden(self._last, "usage")) or self._tokens
        made = None if self._last is None and outcome == "failed" else self._made
        self.routing = self._book.settle(outcome, told, made, self._last, error, self._whole or outcome == "ok")
        if self._last is not None:
            responses.attach(self._last, self.routing)

    def close(self) -> None:
        """Ends it."""
        self._end("cancelled")
        if hasattr(self._stream, "close"):
            self._stream.close()

    async def aclose(self) -> None:
        """Ends it."""
        self._end("cancelled")
        if hasattr(self._stream, "aclose"):
            await self._stream.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __del__(self) -> None:
        with suppress(Exception):
            self._end("cancelled")


def _tokens(usage: Any) -> dict[str, int] | None:
    """Tokens in ferroute's words, of a usage object or mapping in OpenAI's; None where there is none."""
    if usage is None:
        return None
    prompt, completion = read(usage, "prompt_tokens"), read(usage, "completion_tokens")
    if not isinstance(prompt, int) or not isinstance(completion, int):
        return None
    if prompt == completion == 0:
        # litellm's sum of chunks that tell nothing.
        return None
    of_prompt, of_completion = read(usage, "prompt_tokens_details"), read(usage, "completion_tokens_details")
    details = {
        "cached_tokens": read(of_prompt, "cached_tokens"),
        "cache_write_tokens": read(of_prompt, "cache_write_tokens") or read(usage, "cache_creation_input_tokens"),
        "reasoning_tokens": read(of_completion, "reasoning_tokens"),
    }
    known = {name: value for name, value in details.items() if isinstance(value, int)}
    return {"input_tokens": prompt, "output_tokens": completion, **known}


_LEDGERS_WORDS = {"input_tokens": "prompt_tokens", "output_tokens": "completion_tokens"}


def _cost(model: str, tokens: dict[str, int]) -> Decimal | None:
    base = settings_of(model).get("base_model")
    names = [str(model)] if base is None else [base, str(model)]
    read, made = tokens["input_tokens"], tokens["output_tokens"]
    cached, written = tokens.get("cached_tokens", 0), tokens.get("cache_write_tokens", 0)
    try:
        found = _core.pricing_cost(names, (read, made, cached, written, 0, tokens.get("reasoning_tokens", 0), 0, 0))
    except InvalidValueError:
        # Details that contradict the totals: then the totals alone.
        found = _core.pricing_cost(names, (max(read, 0), max(made, 0), 0, 0, 0, 0, 0, 0))
    return None if found is None else found[0]


def _hidden(answer: Any, name: str) -> Any:
    """What litellm knows of an answer or chunk beside what the provider has said."""
    hidden: Any = getattr(answer, "_hidden_params", None)
    return hidden.get(name) if hasattr(hidden, "get") else None


def _their_cost(answer: Any) -> Decimal | None:
    """What litellm itself says an answer cost."""
    said = _hidden(answer, "response_cost")
    return _dollars(said) if isinstance(said, (int, float)) else None


def _dollars(amount: Any) -> Decimal | None:
    from decimal import Decimal

    return None if amount is None else Decimal(str(amount))
