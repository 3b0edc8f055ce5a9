"""What a completion returns: the `openai` types, which can also be read like dicts and know how they were routed.

`ChatCompletion` and `ChatCompletionChunk` are subclasses of the classes of the same name in `openai.types.chat`, so
``isinstance`` checks and typed code keep working; like the objects RouteLLM's users know, they also take
``response["choices"][0]["message"]["content"]``. Fields that a provider adds survive. A response that does not fit the
types is still returned, as the `openai` client does.

The classes are made on first use, since importing `openai` takes longer than most answers.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from ferroute._failures import openai_error  # here, since a failure may be that no file can be opened
from ferroute._items import Items, Routed, put
from ferroute._json import whole
from ferroute.decision import Decision, settled
from ferroute.errors import ProviderFailure

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from openai import BaseModel
    from openai.types import CompletionUsage
    from openai.types.chat import ChatCompletion as _ChatCompletion
    from openai.types.chat import ChatCompletionChunk as _ChatCompletionChunk
    from typing_extensions import Self

    from ferroute._core import EventStream

Response = TypeVar("Response")


class Tap(Protocol):
    """Who looks on while a caller reads a stream."""

    def saw(self, chunk: Any) -> None:
        """One chunk more.

        Args:
            chunk: The chunk.
        """
        ...

    def ended(self) -> None:
        """There are no more: the stream has ended, or was closed."""
        ...


if TYPE_CHECKING:

    class ChatCompletion(Items, Routed, _ChatCompletion):  # pyright: ignore[reportIncompatibleVariableOverride]
        """One whole answer."""

    class ChatCompletionChunk(Items, Routed, _ChatCompletionChunk):  # pyright: ignore[reportIncompatibleVariableOverride]
        """One piece of a streamed answer."""


_made: dict[str, Any] = {}


def load() -> None:
    """Imports `openai` and makes the classes; about half a second, once. Every first call does it by itself."""
    if "ChatCompletionChunk" not in _made:
        # A module of its own, so that the lock of imports has them made once however many threads call.
        from ferroute._models import MADE

        _made.update(MADE)


def loaded() -> bool:
    """Whether `load` has nothing left to do."""
    return "ChatCompletionChunk" in _made


def is_whole(response: object) -> bool:
    """Whether it is a `ChatCompletion` of ours.

    Args:
        response: Any object.
    """
    return "ChatCompletion" in _made and isinstance(response, _made["ChatCompletion"])


def is_stream(response: object) -> bool:
    """Whether it is a `ChatStream` or an `AsyncChatStream`.

    Args:
        response: Any object.
    """
    return isinstance(response, _Stream)


def __getattr__(name: str) -> Any:
    # Pickle finds the classes here, also in a process that has not called a model yet.
    if name[:1].isupper():
        load()
        if name in _made:
            return _made[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def attach(response: Response, decision: Any) -> Response:
    """Puts `decision` where ``response.routing`` finds it, and returns `response`.

    Works for the responses and streams of this module. Anything else, such as litellm's objects or what a test's
    replacement of `completion` returns, gets an attribute `routing` if it can have one and is left alone if not. The
    attribute is beside what such a class makes of its own: not in ``model_dump()``, not among the items.
    """
    if isinstance(response, Routed):
        put(response, {**(getattr(response, "__pydantic_private__", None) or {}), "routing": decision})
    elif not _is_data(type(response)):
        with suppress(AttributeError, TypeError, ValueError):
            # Past a class's own `__setattr__`: with pydantic it would make a field of it, with some dicts an item.
            object.__setattr__(response, "routing", decision)
    return response


def _is_data(cls: type) -> bool:
    """Whether an attribute ``routing`` would be one of the fields of a `cls`; pydantic 1 writes out all there are."""
    return "routing" in getattr(cls, "__pydantic_fields__", ()) or hasattr(cls, "__config__")


def parse_completion(body: bytes, request_id: str | None = None, decision: Any = None) -> ChatCompletion:
    """One answer from the bytes a provider sent.

    Args:
        body: The bytes.
        request_id: The provider's name of the request; None: it gave none.
        decision: What routing decided; None: nothing was routed.

    Raises:
        ValueError: if they are not a JSON object.
    """
    load()
    response = _parse(_made["ChatCompletion"], body)
    put(response, {"routing": decision, "request_id": request_id})
    return response


def _parse(cls: type[BaseModel], data: bytes) -> Any:
    try:
        return cls.model_validate_json(data)
    except ValueError:
        # An unknown finish reason, a missing id: providers do that, and the answer is still worth having.
        value: Any = json.loads(data, parse_int=whole)
        if not isinstance(value, dict):
            raise ValueError(f"expected a JSON object, found {type(value).__name__}") from None
        made = cls.construct(**cast("dict[str, Any]", value))
        put(made, {})
        return made


class _Stream:
    """What both kinds of stream share: the decision behind them, and what they have told so far."""

    usage: CompletionUsage | None
    _tap: Tap | None = None

    def __init__(self, events: EventStream, decision: Any = None) -> None:
        self._events = events
        self._decision = decision
        self._settled = False
        # That of the last chunk, which gets to know the costs, should they be known only after it.
        self._private: dict[str, Any] = {}
        self.usage = None

    @property
    def routing(self) -> Any:
        """The `Decision` that chose the model, from the start; its costs (dollars) once the stream has ended."""
        if not self._settled:
            self._settle()
        return self._decision

    @routing.setter
    def routing(self, decision: Any) -> None:
        self._decision = decision

    def tap(self, tap: Tap) -> None:
        """Lets somebody see the chunks as they are read; one at a time, the last one given.

        Args:
            tap: Its ``saw(chunk)`` and ``ended()`` are called. They must not raise.
        """
        self._tap = tap

    def _settle(self) -> bool:
        """Takes the account over once there is one."""
        account = self._events.account()
        if account is None:
            return False
        self._settled = True
        if isinstance(self._decision, Decision):
            self.routing = settled(self._decision, account)
        if account[10] is not None:
            from ferroute._calls import warn_unpriced

            warn_unpriced(account[10])
        return True

    def _end(self) -> None:
        """Where the usage came late, or no reason to stop, the last chunk was not known to be the last."""
        if not self._settled and self._settle():
            self._private["routing"] = self._decision
        self._untap()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self._decision or 'not routed'}>"

    def _untap(self) -> None:
        if self._tap is not None:
            tap, self._tap = self._tap, None
            tap.ended()

    def _close(self) -> None:
        self._events.close()
        self._untap()

    def _read(self, data: bytes) -> ChatCompletionChunk:
        try:
            chunk = _parse(_made["ChatCompletionChunk"], data)
        except (ValueError, RecursionError) as error:
            self._events.close()
            failure = ProviderFailure({"kind": "protocol", "message": f"a chunk of the stream is not one: {error}"})
            raise openai_error(failure, self._events.url, streaming=True) from None
        if not self._settled:
            self._settle()
        self._private = {"routing": self._decision}
        put(chunk, self._private)
        usage = getattr(chunk, "usage", None)
        if usage is not None:
            self.usage = usage
        if self._tap is not None:
            self._tap.saw(chunk)
        return chunk

    def _explain(self, error: Exception) -> None:
        """Gives `error`, which broke the stream, the decision with what it has cost."""
        with suppress(AttributeError, TypeError):
            error.routing = self.routing  # type: ignore[attr-defined]


class ChatStream(_Stream):
    """A streamed answer: iterate over its chunks.

    Reading it to its end, `close`, leaving its ``with`` block and dropping it all give the connection back or close
    it. A stream that breaks off raises `openai.APIConnectionError`, with ``partial_text`` and ``partial_usage``; one
    that ends with a reason to stop but without the end mark counts as complete, except for Anthropic, whose end mark is
    part of the protocol.

    Attributes:
        routing: the decision that chose the model, from the start; its costs once the stream has ended.
        usage: the last usage a chunk has told; None until then, and for providers that do not tell.
    """

    def __iter__(self) -> Iterator[ChatCompletionChunk]:
        return self

    def __next__(self) -> ChatCompletionChunk:
        try:
            data = self._events.next()
        except Exception as error:
            self._explain(error)
            raise
        if data is None:
            self._end()
            raise StopIteration
        return self._read(data)

    def close(self) -> None:
        """Closes the connection; iteration then ends. May be called from any thread, more than once."""
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncChatStream(_Stream):
    """A streamed answer: iterate over its chunks with ``async for``.

    Like `ChatStream`. Cancelling the task that waits for a chunk closes the connection at once.

    Attributes:
        routing: the decision that chose the model, from the start; its costs once the stream has ended.
        usage: the last usage a chunk has told; None until then, and for providers that do not tell.
    """

    def __aiter__(self) -> AsyncIterator[ChatCompletionChunk]:
        return self

    async def __anext__(self) -> ChatCompletionChunk:
        # Chunks that came together cost one turn of the event loop, not one each.
        data = self._events.ready()
        if data is None:
            try:
                data = await self._events.anext()
            except Exception as error:
                self._explain(error)
                raise
        if data is None:
            self._end()
            raise StopAsyncIteration
        return self._read(data)

    async def aclose(self) -> None:
        """Closes the connection; iteration then ends. May be called more than once."""
        self._close()

    async def close(self) -> None:
        """The name `openai.AsyncStream` has for `aclose`."""
        self._close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._close()
