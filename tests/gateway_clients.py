"""The servers that tests with real clients point at: a strict provider of each kind, and the gateway before them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from ferroute.controller import Controller
from ferroute.gateway import Gateway
from servers.strict import StrictServer

if TYPE_CHECKING:
    from collections.abc import Iterator

# The names callers use, and who answers to them.
MODELS = {
    "gpt": ("openai", "openai/gpt-5.4-mini"),
    "claude": ("anthropic", "anthropic/claude-haiku-4-5"),
    "gemini": ("gemini", "gemini/gemini-2.5-flash"),
}
# Goes to the weak model, whatever is asked.
ROUTED = "router-random-1"
UPSTREAM_KEY = "sk-upstream-secret-1234"


class Served(NamedTuple):
    """A gateway and the providers behind it."""

    url: str
    providers: StrictServer
    gateway: Gateway


@contextmanager
def served(**kwargs: Any) -> Iterator[Served]:
    """A gateway over a pair of OpenAI's models, with one more model of each provider."""
    with StrictServer() as providers:

        def endpoint(provider: str, model: str) -> dict[str, str]:
            return {"model": model, "api_base": providers.base(provider), "api_key": UPSTREAM_KEY}

        controller = Controller(
            ["random"],
            strong_model=endpoint("openai", "openai/gpt-5.5"),
            weak_model=endpoint("openai", "openai/gpt-5.4-nano"),
        )
        models = [(name, endpoint(*known)) for name, known in MODELS.items()]
        models.append(("embedder", endpoint("openai", "openai/text-embedding-3-small")))
        with Gateway(controller, port=0, models=models, **kwargs) as gateway:
            yield Served(gateway.url, providers, gateway)
