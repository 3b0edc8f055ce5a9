"""Failed calls as the `openai` classes that callers already catch; the core calls `openai_error` for each.

| what happened | class |
| --- | --- |
| an error status, also one told inside a stream or under status 200 | `BadRequestError` 400, `AuthenticationError` 401, `PermissionDeniedError` 403, `NotFoundError` 404, `ConflictError` 409, `UnprocessableEntityError` 422, `RateLimitError` 429, `InternalServerError` 500 and up, else `APIStatusError` |
| no connection, or it broke | `APIConnectionError` |
| a stream that ended before its end, or is not one | `APIConnectionError` |
| no answer in time | `APITimeoutError` |
| an answer that is not of the protocol | `APIResponseValidationError` |
"""  # noqa: E501 - a table

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ferroute._json import whole
from ferroute._one_line import one_line

if TYPE_CHECKING:
    from ferroute.errors import ProviderFailure

# Headers that describe the bytes on the wire, which `httpx` would apply to a body that is already decoded.
_OF_THE_WIRE = {"content-encoding", "content-length", "transfer-encoding"}


def openai_error(failure: ProviderFailure, url: str, streaming: bool = False) -> Exception:
    """The exception for `failure`, with a request and response that hold nothing secret.

    Args:
        failure: what the core reported.
        url: address that was called, without query; the request shown has no headers and no body.
        streaming: whether a stream was being read.
    """
    made = _made(failure, url, streaming)
    told: dict[str, Any] = failure.args[0]
    if streaming or "partial_text" in told:
        made.partial_text = told.get("partial_text", "")
        made.partial_usage = _usage(told.get("partial_tokens"))
    # What the call came to, for whoever knows the decision behind it.
    made._account = told.get("account")
    return made


def _usage(tokens: tuple[int, int] | None) -> Any:
    """Tokens of prompt and completion as the `openai` package has them."""
    if tokens is None:
        return None
    from openai.types import CompletionUsage

    prompt, completion = tokens
    return CompletionUsage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)


def _made(failure: ProviderFailure, url: str, streaming: bool) -> Any:
    import openai

    httpx = _httpx()
    told: dict[str, Any] = failure.args[0]
    kind, message = told["kind"], told["message"]
    request = httpx.Request("POST", url)
    if kind == "status":
        headers = [(name, value) for name, value in told["headers"] if name not in _OF_THE_WIRE]
        response = httpx.Response(told["status"], headers=headers, content=told["body"], request=request)
        return _status_error(response, message)
    if kind == "timeout":
        error = openai.APITimeoutError(request=request)
        error.message = message
        error.args = (message,)
        return error
    if kind == "protocol" and not streaming:
        return openai.APIResponseValidationError(httpx.Response(200, request=request), None, message=message)
    return openai.APIConnectionError(message=message, request=request)


def _httpx() -> Any:
    """The HTTP package of the installed `openai`: httpx, or httpx2 for newer ones."""
    import importlib

    import openai

    return importlib.import_module(openai.Timeout.__init__.__module__.partition(".")[0])


def _status_error(response: Any, told: str) -> Exception:
    import openai

    body: Any = response.text.strip()
    message = f"Error code: {response.status_code}"
    try:
        body = json.loads(body, parse_int=whole)
    except (ValueError, RecursionError):
        # The core shows of it what there is.
        if body[:1] in {"{", "["}:
            message = told
    body = _member(body, "error", body)
    said = _member(body, "message", None)
    if isinstance(said, str) and said:
        message += f" - {one_line(said)}"
    classes = {
        400: openai.BadRequestError,
        401: openai.AuthenticationError,
        403: openai.PermissionDeniedError,
        404: openai.NotFoundError,
        409: openai.ConflictError,
        422: openai.UnprocessableEntityError,
        429: openai.RateLimitError,
    }
    status = response.status_code
    cls = openai.InternalServerError if status >= 500 else classes.get(status, openai.APIStatusError)
    return cls(message, response=response, body=body)


def _member(value: Any, name: str, default: Any) -> Any:
    return value.get(name, default) if isinstance(value, dict) else default  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
