"""What can go wrong with an answer: each takes the reply as it would have been and returns the one that is sent.

server.then(fault.status(429, retry_after="1"), fault.cut(3), fault.framed(crlf=True))
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from servers.rules import Refused
from servers.wire import Reply, Request

if TYPE_CHECKING:
    from servers.strict import StrictServer

Fault = Callable[["StrictServer", Request, Reply], Reply]
LARGE = 1 << 20


def status(
    code: int, message: str = "try later", kind: str | None = None, word: str | None = None, **headers: str
) -> Fault:
    """An error status in the provider's own form; header names are written with underscores."""
    told = {name.replace("_", "-"): value for name, value in headers.items()}

    def fault(server: StrictServer, request: Request, _: Reply) -> Reply:
        return server.error(request.provider, Refused(message, code, code=word, kind=kind, headers=told))

    return fault


def retry_delay(seconds: str = "0.05s", quota: str = "GenerateRequestsPerMinutePerProject") -> Fault:
    """Gemini's 429: the wait is in the body; a quota id that names a day does not clear by waiting."""
    details = [
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": quota}]},
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": seconds},
    ]
    error = {"error": {"code": 429, "message": "Quota exceeded", "status": "RESOURCE_EXHAUSTED", "details": details}}
    return lambda _server, request, _: Reply.of_json([error] if "stream" in request.path else error, 429)


def quota(provider: str) -> Fault:
    """The account is empty: asking again cannot help."""
    if provider == "gemini":
        return retry_delay("1s", "GenerateRequestsPerDayPerProjectPerModel-FreeTier")
    if provider == "anthropic":
        return status(429, "You have reached your specified API usage limits (spend limit).", "rate_limit_error")
    return status(429, "You exceeded your current quota", "insufficient_quota", "insufficient_quota")


def body(said: bytes, code: int = 200, kind: str = "application/json") -> Fault:
    """Any bytes under any status: not JSON, cut JSON, nothing, a page of a proxy."""
    return lambda *_: Reply(code, {"content-type": kind}, [said])


def error_inside(kind: str = "overloaded_error", message: str = "Overloaded") -> Fault:
    """An error object under status 200, in the provider's form."""

    def fault(server: StrictServer, request: Request, _: Reply) -> Reply:
        return replace(server.error(request.provider, Refused(message, 503, kind=kind)), status=200)

    return fault


def error_event(after: int, message: str = "Overloaded") -> Fault:
    """An error as an event of a stream that began well."""

    def fault(server: StrictServer, request: Request, reply: Reply) -> Reply:
        kind = {"anthropic": "overloaded_error", "gemini": "UNAVAILABLE"}.get(request.provider, "server_error")
        told = server.error(request.provider, Refused(message, 503, kind=kind)).pieces[0]
        name = b"event: error\n" if request.provider == "anthropic" else b""
        return replace(reply, pieces=[*reply.pieces[:after], name + b"data: " + told + b"\n\n"])

    return fault


def cut(after: int, ending: str = "cut") -> Fault:
    """Only the first `after` events, then `ending` as in `wire.Reply`; "whole" ends as if all were well."""
    return lambda _server, _request, reply: replace(reply, pieces=reply.pieces[:after], ending=ending)


def no_end_mark() -> Fault:
    """Everything but the last event (OpenAI's ``[DONE]``, Anthropic's ``message_stop``, Gemini's finish)."""
    return lambda _server, _request, reply: replace(reply, pieces=reply.pieces[:-1])


def silent(ending: str = "cut", delay: float = 0.0) -> Fault:
    """The connection ends, or stalls, without one byte of an answer."""
    return lambda *_: Reply(silent=True, ending=ending, delay=delay)


def slow(delay: float = 0.0, pause: float = 0.0) -> Fault:
    return lambda _server, _request, reply: replace(reply, delay=delay, pause=pause)


def closes() -> Fault:
    """A good answer, after which the kept connection is closed without a word."""
    return lambda _server, _request, reply: replace(reply, close_after=True)


def split(size: int = 1) -> Fault:
    """The same bytes, `size` at a time, so that characters and line ends are cut."""

    def fault(_server: StrictServer, _request: Request, reply: Reply) -> Reply:
        whole = b"".join(reply.pieces)
        return replace(reply, pieces=[whole[at : at + size] for at in range(0, len(whole), size)])

    return fault


def framed(
    end: str = "\n", lines: bool = False, comments: bool = False, mark: bool = False, space: bool = True
) -> Fault:
    """The same events in other words: line ends, data over several lines, comments, byte order mark, no space."""

    def event(piece: bytes) -> bytes:
        out = []
        for line in piece.decode().rstrip("\n").split("\n"):
            name, _, value = line.partition(": ")
            if name != "data" or not name:
                out.append(line)
                continue
            told = [value]
            if lines and value.startswith("{"):
                told = json.dumps(json.loads(value), indent=1, ensure_ascii=False).split("\n")
            out += [f"data:{' ' if space else ''}{item}" for item in told]
        noise = [": keep-alive", "", "id: 7", "retry: 100"] if comments else []
        return (end.join([*noise, *out]) + end * 2).encode()

    def fault(_server: StrictServer, _request: Request, reply: Reply) -> Reply:
        pieces = [event(piece) for piece in reply.pieces]
        if mark:
            pieces[0] = b"\xef\xbb\xbf" + pieces[0]
        return replace(reply, pieces=pieces)

    return fault


def spoiled(at: int, said: bytes = b'data: {"broken\n\n') -> Fault:
    """One event in the middle is not JSON."""
    return lambda _server, _request, reply: replace(reply, pieces=[*reply.pieces[:at], said, *reply.pieces[at:]])


def huge(size: int = LARGE) -> Fault:
    """A comment of `size` bytes before the answer, and one in it."""

    def fault(_server: StrictServer, _request: Request, reply: Reply) -> Reply:
        noise = b": " + b"x" * size + b"\n\n"
        return replace(reply, pieces=[noise, *reply.pieces[:2], noise, *reply.pieces[2:]])

    return fault


def changed(edit: Callable[[Any], Any]) -> Fault:
    """A whole answer with its JSON edited."""

    def fault(_server: StrictServer, _request: Request, reply: Reply) -> Reply:
        return replace(reply, pieces=[json.dumps(edit(json.loads(b"".join(reply.pieces)))).encode()])

    return fault
