"""One chat completion, sync and async: the functions `ferroute.controller` calls and lets users replace.

Keywords meant for the client are taken out: ``api_base`` (or ``base_url``), ``api_key``, ``timeout``, ``max_retries``
(or ``num_retries``), ``organization``, ``api_version``, ``base_model``, ``extra_headers``, ``extra_query`` and
``extra_body`` (merged into the body, wins); and ferroute's own ``policy``, ``fallbacks``, ``ledger``, ``backend`` and
``ferroute``. Every other keyword goes into the body as it is, in its order. A keyword that is None, or one of openai's
"not given" marks, is left out, as LiteLLM does; a null that has to be sent can be put into ``extra_body``.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ferroute import _calls, responses
from ferroute._failures import openai_error
from ferroute.decision import settled
from ferroute.errors import DroppedParameterWarning, ProviderFailure

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ferroute._core import Reply
    from ferroute.decision import Decision
    from ferroute.responses import AsyncChatStream, ChatCompletion, ChatStream


def completion(
    *, model: Any, messages: Any, api_base: str | None = None, api_key: str | None = None, **kwargs: Any
) -> ChatCompletion | ChatStream:
    """Asks `model` to answer `messages`.

    Args:
        model: ``provider/model``, a bare name such as ``gpt-5.5``, any name where `api_base` is given, or a mapping
            ``{"model": ..., "api_base": ..., "api_key": ...}`` (see `ferroute.endpoints`).
        messages: list of messages in OpenAI's form; objects of earlier responses may be among them.
        api_base: base URL of the server, with or without ``/v1``.
        api_key: key; else the provider's environment variable.
        **kwargs: see the module; ``stream=True`` returns a stream. ``timeout`` is in seconds for each attempt
            (default 600; for a stream, until it begins and for each silence), ``max_retries`` is 2 by default.
            ``policy`` is a `ferroute.CallPolicy`, ``fallbacks`` a list of models to ask when this one fails, ``ledger``
            a URL or a `ferroute.ledger.Ledger` to enter the call in, ``ferroute={"session": ...}`` what only the
            ledger gets.

    Returns:
        An answer or a stream; ``.routing`` says what it cost.

    Raises:
        openai.APIError: its subclasses, for everything that goes wrong at the provider or on the way.
        ferroute.errors.FerrouteError: for a request that cannot be made: unknown provider, missing key, wrong types.
    """
    return complete(_calls.prepare(model, messages, api_base, api_key, kwargs))


async def acompletion(
    *, model: Any, messages: Any, api_base: str | None = None, api_key: str | None = None, **kwargs: Any
) -> ChatCompletion | AsyncChatStream:
    """`completion` for asyncio: never blocks the loop; cancelling it closes the connection.

    Args:
        model: As for `completion`.
        messages: As for `completion`.
        api_base: As for `completion`.
        api_key: As for `completion`.
        **kwargs: As for `completion`; ``stream=True`` returns an asynchronous stream.

    Returns:
        An answer or a stream; ``.routing`` says what it cost.

    Raises:
        openai.APIError: As for `completion`.
        ferroute.errors.FerrouteError: As for `completion`.
    """
    return await acomplete(_calls.prepare(model, messages, api_base, api_key, kwargs))


def complete(call: _calls.Prepared) -> Any:
    """Makes a call that is prepared.

    Args:
        call: The prepared call.

    Returns:
        The answer, or a stream.

    Raises:
        openai.APIError: The call failed.
    """
    if call.litellm is not None:
        from ferroute._litellm import complete as elsewhere

        return elsewhere(call)
    responses.load()
    try:
        if call.stream:
            return _stream(responses.ChatStream, call.client.chat_stream(call.body, call.decided), call)
        return _response(call.client.chat(call.body, call.decided), call)
    except Exception as error:
        _explain(error, call.decision)
        raise


async def acomplete(call: _calls.Prepared) -> Any:
    """Makes a call that is prepared, asynchronously.

    Args:
        call: The prepared call.

    Returns:
        The answer, or an asynchronous stream.

    Raises:
        openai.APIError: The call failed.
    """
    if call.litellm is not None:
        from ferroute._litellm import acomplete as elsewhere

        return await elsewhere(call)
    if not responses.loaded():
        import asyncio

        await asyncio.to_thread(responses.load)
    try:
        if call.stream:
            return _stream(responses.AsyncChatStream, await call.client.achat_stream(call.body, call.decided), call)
        return _response(await call.client.achat(call.body, call.decided), call)
    except Exception as error:
        _explain(error, call.decision)
        raise


def _response(reply: Reply, call: _calls.Prepared) -> ChatCompletion:
    account = reply.account
    decision = settled(call.decision, account)
    if account[5]:
        warn_dropped(decision.model, account[5])
    if account[10] is not None:
        _calls.warn_unpriced(account[10])
    try:
        return responses.parse_completion(reply.body, reply.request_id, decision)
    except (ValueError, RecursionError) as error:
        failure = ProviderFailure({"kind": "protocol", "message": f"the answer is not a completion: {error}"})
        raise openai_error(failure, reply.url) from None


def _stream(kind: Any, events: Any, call: _calls.Prepared) -> Any:
    dropped = events.dropped
    if dropped:
        warn_dropped(call.decision.model, dropped)
    return kind(events, call.decision)


def _explain(error: Exception, decision: Decision) -> None:
    """Gives `error` the decision behind the call, with what the call has cost."""
    account = getattr(error, "_account", None)
    with suppress(AttributeError, TypeError):
        error.routing = decision if account is None else settled(decision, account)  # type: ignore[attr-defined]


_warned: set[tuple[str, str]] = set()


def warn_dropped(model: str, dropped: Iterable[tuple[str, str]]) -> None:
    """Warns of parameters that `model` does not take, once for each of them in a process.

    Where a filter makes errors of warnings this one is shown all the same: the answer is there, and paid for.

    Args:
        model: Name of a model, with its provider's prefix or without.
        dropped: Name of each parameter that was left out, and why.
    """
    new = [(parameter, why) for parameter, why in dropped if (model, parameter) not in _warned]
    if not new:
        return
    import warnings

    for parameter, why in new:
        _warned.add((model, parameter))
        warning = DroppedParameterWarning(f"{model}: `{parameter}` is left out: {why}")
        level = _calls.stacklevel()
        try:
            warnings.warn(warning, stacklevel=level)
        except DroppedParameterWarning:
            frame = sys._getframe(level - 1)  # pyright: ignore[reportPrivateUsage] - as `warnings` does
            warnings.showwarning(warning, DroppedParameterWarning, frame.f_code.co_filename, frame.f_lineno)
