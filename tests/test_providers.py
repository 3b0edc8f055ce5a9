"""What callers see of the providers that speak OpenAI's protocol, at a server that refuses what they refuse."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any

import pytest

import ferroute
from ferroute import CallPolicy, Controller
from ferroute.errors import DroppedParameterWarning, FerrouteError
from servers.strict import StrictServer

if TYPE_CHECKING:
    from collections.abc import Iterator

HELLO = [{"role": "user", "content": "Which animal?"}]
IMAGE: list[dict[str, Any]] = [
    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://example.org/owl.png"}}]}
]
TOOLS: list[dict[str, Any]] = [
    {"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}}}}
]


@pytest.fixture
def server() -> Iterator[StrictServer]:
    with StrictServer() as server:
        yield server


def ask(server: StrictServer, model: str, provider: str, **request: Any) -> Any:
    request = {"messages": HELLO, "api_key": "k", **request}
    return ferroute.completion(model=model, api_base=server.base(provider), max_retries=0, **request)


def sent(server: StrictServer) -> dict[str, Any]:
    return json.loads(server.requests[-1].body)


def test_azure_by_deployment_and_by_its_newer_path(server: StrictServer) -> None:
    ask(server, "azure/my-chat", "azure", api_version="2024-10-21")
    request = server.requests[-1]
    assert request.target == "/azure/openai/deployments/my-chat/chat/completions?api-version=2024-10-21"
    assert request.headers["api-key"] == "k" and "authorization" not in request.headers
    ask(server, "azure/my-chat", "azure")
    assert server.requests[-1].target == "/azure/openai/v1/chat/completions"
    assert sent(server)["model"] == "my-chat"
    ask(server, "azure/my-reasoner", "azure", base_model="gpt-5", max_tokens=50, api_key="eyJ0.eyJh.c2ln")
    assert server.requests[-1].headers["authorization"] == "Bearer eyJ0.eyJh.c2ln"
    assert sent(server)["max_completion_tokens"] == 50


@pytest.mark.filterwarnings("ignore::ferroute.pricing.PriceWarning")
def test_what_is_left_out_is_told_once_or_refused(server: StrictServer) -> None:
    with pytest.warns(DroppedParameterWarning, match="`logit_bias` is left out"):
        ask(server, "groq/left-out-once", "groq", logit_bias={"5": 1})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ask(server, "groq/left-out-once", "groq", logit_bias={"5": 1})
        ask(server, "openai/gpt-5", "openai", temperature=1, max_tokens=50)  # means nothing, and has another name
    assert sent(server) == {"model": "gpt-5", "messages": HELLO, "max_completion_tokens": 50}
    count = len(server.requests)
    with pytest.raises(FerrouteError, match="logit_bias"):
        ask(server, "groq/left-out-once", "groq", logit_bias={"5": 1}, policy=CallPolicy(strict=True))
    assert len(server.requests) == count


@pytest.mark.parametrize(
    ("model", "request_", "lacks"),
    [
        ("openai/o3-mini", {"messages": IMAGE}, "images"),
        ("openai/gpt-3.5-turbo", {"messages": IMAGE}, "images"),
        ("perplexity/sonar", {"tools": TOOLS}, "tools"),
    ],
)
def test_a_model_that_lacks_something_says_so(
    server: StrictServer, model: str, request_: dict[str, Any], lacks: str
) -> None:
    provider = model.partition("/")[0]
    with pytest.raises(FerrouteError, match=f"`{model}` takes no {lacks}"):
        ask(server, model, provider, **request_)
    assert not server.requests
    # Another model may have it.
    fallback = {"model": "openai/gpt-4o", "api_base": server.base("openai"), "api_key": "k"}
    answer = ask(server, model, provider, policy=CallPolicy(fallbacks=[fallback]), **request_)
    assert answer.choices and sent(server)["model"] == "gpt-4o"


def test_the_usage_of_a_stream_is_asked_for_and_kept_from_who_did_not_ask(server: StrictServer) -> None:
    stream = ask(server, "openai/gpt-4o", "openai", stream=True)
    assert all(chunk.choices for chunk in stream)
    assert sent(server)["stream_options"] == {"include_usage": True}
    assert stream.routing.cost_usd is not None
    chunks = list(ask(server, "openai/gpt-4o", "openai", stream=True, stream_options={"include_usage": True}))
    assert not chunks[-1].choices and chunks[-1].usage.prompt_tokens > 0


def test_a_pair_at_two_servers_with_two_keys(server: StrictServer) -> None:
    client = Controller(
        routers=["local"],
        strong_model={
            "model": "azure/my-reasoner",
            "api_base": server.base("azure"),
            "api_key": "one",
            "base_model": "gpt-5",
        },
        weak_model={"model": "mistral/mistral-small-latest", "api_base": server.base("mistral"), "api_key": "two"},
    )
    request: dict[str, Any] = {"messages": HELLO, "max_tokens": 50, "seed": 7}
    client.completion(model="router-local-0.0", **request)
    assert server.requests[-1].headers["api-key"] == "one" and sent(server)["max_completion_tokens"] == 50
    client.completion(model="router-local-1.0", **request)
    assert server.requests[-1].headers["authorization"] == "Bearer two"
    assert sent(server)["random_seed"] == 7 and sent(server)["max_tokens"] == 50


def test_the_real_cost_goes_before_the_table(server: StrictServer) -> None:
    answer = ask(server, "openrouter/some-maker/some-model", "openrouter")
    assert float(answer.routing.cost_usd) == answer.usage.cost == 0.00123
