"""``backend="litellm"``: the call is handed to the litellm that the user has installed.

For providers outside ferroute's own table (``bedrock/``, ``vertex_ai/`` and the like). litellm gets the caller's
keywords as they are, makes the call with its own settings, callbacks and retries, and its object is what comes back,
with the decision under ``.routing``. Costs are ferroute's prices where it knows the model, else what litellm says.
Fallbacks are asked through litellm too. litellm is imported by the first such call and never otherwise.
"""

from __future__ import annotations

from contextlib import suppress
from time import perf_counter, time
from typing import TYPE_CHECKING, Any, cast

from ferroute import _core, responses
from ferroute._calls import warn_unpriced
from ferroute.decision import Decision, settled
from ferroute.endpoints import settings_of
from ferroute.errors import InvalidValueError, NotBuiltError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from decimal import Decimal

    from typing_extensions import Self

    from ferroute._calls import Prepared

# A request that one model refuses as wrong is wrong for the next one too.
_FINAL = (400, 413, 415, 422)
# What one endpoint says of itself is not for the next one.
_WHERE = ("api_base", "api_key", "api_version", "organization", "extra_headers")


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
    ask = _module().acompletion
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
    return responses.attach(answer, book.settle("ok", getattr(answer, "usage", None), answer))


class _Book:
    """One call on its way through litellm: which model's turn it is, and what is known for the ledger."""

    def __init__(self, call: Prepared) -> None:
        self.call = call
        self.attempts = 0
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
        given = self.call.litellm or {}
        if self.attempts == 0:
            self._asked: str = given["model"]
        else:
            self._asked = self.call.fallbacks[self.attempts - 1]
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
        final = not isinstance(error, Exception) or isinstance(error, (TypeError, ValueError, NotImplementedError))
        if (
            not final
            and getattr(error, "status_code", None) not in _FINAL
            and self.attempts <= len(self.call.fallbacks)
        ):
            following = str(self.call.fallbacks[self.attempts - 1])
            self.notes.append(f"{self.model} failed ({type(error).__name__}), so {following} was asked")
            return
        outcome = "failed" if isinstance(error, Exception) else "cancelled"
        decision = self.settle(outcome, None, None, error)
        with suppress(AttributeError, TypeError):
            error.routing = decision  # type: ignore[attr-defined]
        raise error

    def settle(self, outcome: str, usage: Any, answer: Any, error: BaseException | None = None) -> Decision:
        """Enters the call in the ledger, once, and says what it came to."""
        if self.settled is not None:
            return self.settled
        router, requested, win_rate, threshold, session, holdout, baseline, router_cost, text = self.call.decided
        tokens = _tokens(usage)
        cost = _cost(self._asked, tokens) if tokens is not None else None
        if cost is None and answer is not None:
            cost = _their_cost(answer)
        expected = _cost(baseline, tokens) if baseline is not None and tokens is not None else None
        # Nothing was routed away: the baseline has cost what it cost.
        expected = cost if baseline == self.model else expected
        saved = None if cost is None or expected is None or router_cost is None else expected - cost - router_cost
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
                holdout=holdout,
                text=text,
                cost=cost,
                router_cost=router_cost,
                baseline=expected,
                ttft_ms=None if self.first is None else (self.first - self.clock) * 1000,
                total_ms=(now - self.clock) * 1000,
                outcome=outcome,
                error=None if error is None else type(error).__name__,
                attempts=self.attempts,
                at=self.began,
                **{_LEDGERS_WORDS.get(name, name): count for name, count in (tokens or {}).items()},
            )
        account = (cost, _dollars(router_cost), saved, self.attempts, self.notes)
        self.settled = settled(self.call.decision, account)
        return self.settled


class LitellmStream:
    """litellm's stream, with the decision behind it; everything else is litellm's own.

    Attributes:
        routing: the decision that chose the model, from the start; its costs once the stream has ended.
    """

    def __init__(self, stream: Any, book: _Book) -> None:
        self._stream = stream
        self._book = book
        self._usage: Any = None
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
        self._usage = getattr(chunk, "usage", None) or self._usage
        return responses.attach(chunk, self.routing)

    def _end(self, outcome: str, error: BaseException | None = None) -> None:
        self.routing = self._book.settle(outcome, self._usage, None, error)

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

    def read(holder: Any, name: str) -> Any:
        if isinstance(holder, dict):
            return cast("dict[str, Any]", holder).get(name)
        return getattr(holder, name, None)

    prompt, completion = read(usage, "prompt_tokens"), read(usage, "completion_tokens")
    if not isinstance(prompt, int) or not isinstance(completion, int):
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


def _their_cost(answer: Any) -> Decimal | None:
    """What litellm itself says an answer cost."""
    hidden: Any = getattr(answer, "_hidden_params", None)
    said: Any = hidden.get("response_cost") if hasattr(hidden, "get") else None
    return _dollars(said) if isinstance(said, (int, float)) else None


def _dollars(amount: Any) -> Decimal | None:
    from decimal import Decimal

    return None if amount is None else Decimal(str(amount))
