"""One chat completion, sync and async: the functions `ferroute.controller` calls and lets users replace.

Keywords meant for the client are taken out: ``api_base`` (or ``base_url``), ``api_key``, ``timeout``, ``max_retries``,
``organization``, ``api_version``, ``extra_headers``, ``extra_query`` and ``extra_body`` (merged into the body, wins).
Every other keyword goes into the body as it is, in its order, and nothing is added. A keyword that is None, or one
of openai's "not given" marks, is left out, as LiteLLM does; a null that has to be sent can be put into ``extra_body``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ferroute import _calls, responses
from ferroute.errors import ProviderFailure

if TYPE_CHECKING:
    from ferroute.responses import AsyncChatStream, ChatCompletion, ChatStream


def completion(
    *, model: str, messages: Any, api_base: str | None = None, api_key: str | None = None, **kwargs: Any
) -> ChatCompletion | ChatStream:
    """Asks `model` to answer `messages`.

    Args:
        model: ``provider/model``, a bare name such as ``gpt-5-mini``, or any name where `api_base` is given.
        messages: list of messages in OpenAI's form; objects of earlier responses may be among them.
        api_base: base URL of an OpenAI-compatible server, with or without ``/v1``.
        api_key: key; else the provider's environment variable.
        **kwargs: see the module; ``stream=True`` returns a stream. ``timeout`` is in seconds for each attempt
            (default 600; for a stream, until it begins and for each silence), ``max_retries`` is 2 by default.

    Raises:
        openai.APIError: its subclasses, for everything that goes wrong at the provider or on the way.
        ferroute.errors.FerrouteError: for a request that cannot be made: unknown provider, missing key, wrong types.
    """
    call = _calls.prepare(model, messages, api_base, api_key, kwargs)
    responses.load()
    if call.stream:
        return responses.ChatStream(call.client.chat_stream(call.body), call.url)
    return _response(call.client.chat(call.body), call)


async def acompletion(
    *, model: str, messages: Any, api_base: str | None = None, api_key: str | None = None, **kwargs: Any
) -> ChatCompletion | AsyncChatStream:
    """`completion` for asyncio: never blocks the loop; cancelling it closes the connection."""
    call = _calls.prepare(model, messages, api_base, api_key, kwargs)
    if not responses.loaded():
        import asyncio

        await asyncio.to_thread(responses.load)
    if call.stream:
        return responses.AsyncChatStream(await call.client.achat_stream(call.body), call.url)
    return _response(await call.client.achat(call.body), call)


def _response(answer: tuple[int, list[tuple[str, str]], bytes], call: _calls.Prepared) -> ChatCompletion:
    _, headers, body = answer
    request_id = next((value for name, value in headers if name == "x-request-id"), None)
    try:
        return responses.parse_completion(body, request_id)
    except ValueError as error:
        from ferroute._failures import openai_error

        failure = ProviderFailure({"kind": "protocol", "message": f"the answer is not a completion: {error}"})
        raise openai_error(failure, call.url) from None
