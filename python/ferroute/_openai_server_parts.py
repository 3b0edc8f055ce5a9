"""What RouteLLM's server module has besides classes: made when somebody asks for it, so that importing it is free."""

from __future__ import annotations

import os
import shlex
from collections import defaultdict
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from ferroute._asgi import Application, Made

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

    from ferroute.controller import Controller

CONFIG = "FERROUTE_CONFIG"
"""Variable with the path of a configuration, as for `ferroute serve`."""
ARGUMENTS = "FERROUTE_ARGS"
"""Variable with options in one string, as for ``python -m routellm.openai_server``."""


def parser() -> argparse.ArgumentParser:
    """Of the options."""
    from ferroute._server_program import parser_of

    return parser_of()


def args() -> argparse.Namespace:
    """The options of an application that another server runs: those of the variable ``FERROUTE_ARGS``."""
    return parser().parse_args(shlex.split(os.environ.get(ARGUMENTS, "")))


def application(given: Callable[[], argparse.Namespace]) -> Application:
    """The application: of the configuration in ``FERROUTE_CONFIG``, else of the options that ``given`` returns."""

    def make() -> Made:
        from ferroute._core import Gateway as Core
        from ferroute._gateway_door import Door
        from ferroute.gateway import setup_of

        path = os.environ.get(CONFIG)
        served: dict[str, Any] = {}
        notes: list[tuple[str, str]] = []
        keyed = False
        if path:
            from ferroute import _serving_config
            from ferroute._serving_build import controller_of as of_config
            from ferroute._serving_build import door_of, served_of, with_tiers

            config = _serving_config.load(path)
            said_of = with_tiers(config)
            notes += [("info", note) for note in (*config.said, *said_of, *config.notes)]
            controller: Controller = of_config(config)
            about = door_of(config)
            keys: dict[str, Any] = about.get("keys") or {}
            keyed = bool(keys.get("required"))
            door = Door(controller, **about)
            served = served_of(config)
        else:
            from ferroute._server_program import controller_of

            said = given()
            controller = controller_of(said)
            # Whoever lets everybody in by these words need not name the server's names as well.
            server = {"hosts": ["*"], "allow_public_without_key": True} if said.allow_public_without_key else None
            door = Door(controller, server=server)
        broken: list[tuple[str, str]] = []
        core = Core(setup_of(controller, broken=broken, door=door.core, **served))
        if not keyed:
            notes.append(
                ("warning", "callers need no key: whoever reaches this server can call its models with your keys")
            )
        notes += [
            ("warning", f"{name} cannot be called, and whoever asks for it is told so: {why}") for name, why in broken
        ]
        return Made(controller, core, door.close, notes)

    return Application(make)


def counts() -> defaultdict[str, defaultdict[str, int]]:
    """RouteLLM's counter, which its server never reads either."""
    return defaultdict(lambda: defaultdict(int))


def client() -> Any:
    """An asynchronous client of OpenAI's, as RouteLLM's module has one."""
    import openai

    return openai.AsyncOpenAI()


async def stream_response(response: Any) -> AsyncIterator[str]:
    """The chunks of a stream as server-sent events, with the end mark."""
    async for chunk in response:
        yield f"data: {chunk.model_dump_json()}\n\n"
    yield "data: [DONE]\n\n"


async def health_check() -> dict[str, str]:
    """What ``/health`` answers."""
    return {"status": "online"}


def lifespan_of(app: Application) -> Any:
    """A context in which the application's Controller is there."""

    @asynccontextmanager
    async def lifespan(_app: Any = None) -> AsyncGenerator[None]:
        import asyncio

        controller = await asyncio.to_thread(app.start)
        try:
            yield
        finally:
            await asyncio.to_thread(controller.ledger.flush)

    return lifespan


def create_of(app: Application) -> Any:
    """What answers a request that has been read: a completion as a dict, or an iterator of server-sent events."""

    async def create_chat_completion(request: Any) -> Any:
        import asyncio

        controller = await asyncio.to_thread(app.start)
        said = request.model_dump(exclude_unset=True, exclude_none=True) if hasattr(request, "model_dump") else request
        answer = await controller.acompletion(**said)
        return stream_response(answer) if said.get("stream") else answer.model_dump()

    return create_chat_completion
