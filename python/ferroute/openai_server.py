"""The OpenAI-compatible server: ``python -m routellm.openai_server``, with RouteLLM's flags.

``app`` is an ASGI application for other servers (``uvicorn routellm.openai_server:app``); it serves the configuration
that the variable ``FERROUTE_CONFIG`` names, or what the options in ``FERROUTE_ARGS`` say. Importing the module parses
no arguments and starts nothing: what RouteLLM's module has by name is made when it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ferroute._asgi import Application

    app: Application

_CLASSES = frozenset(
    (
        "ChatCompletionRequest",
        "ChatCompletionResponse",
        "ChatCompletionResponseChoice",
        "ChatMessage",
        "ErrorResponse",
        "UsageInfo",
    )
)
_PARTS = frozenset(
    (
        "app",
        "args",
        "count",
        "create_chat_completion",
        "health_check",
        "lifespan",
        "openai_client",
        "parser",
        "stream_response",
    )
)


def __getattr__(name: str) -> Any:
    if name == "CONTROLLER":
        # Not kept: it is there from the start of the application on.
        made = globals().get("app")
        return None if made is None else made.controller
    if name in _CLASSES:
        from ferroute import _openai_server_types as types

        made = getattr(types, name)
    elif name in _PARTS:
        made = _part(name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return globals().setdefault(name, made)


def _part(name: str) -> Any:
    from ferroute import _openai_server_parts as parts

    if name == "app":
        return parts.application(lambda: globals().get("args") or __getattr__("args"))
    if name in ("lifespan", "create_chat_completion"):
        return {"lifespan": parts.lifespan_of, "create_chat_completion": parts.create_of}[name](__getattr__("app"))
    made = {"args": parts.args, "count": parts.counts, "openai_client": parts.client, "parser": parts.parser}
    return made[name]() if name in made else getattr(parts, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_CLASSES, *_PARTS, "CONTROLLER"})


if __name__ == "__main__":
    from ferroute._server_program import main

    main()
