"""The ASGI face of the server: whoever runs the application, it answers as the gateway does."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest

from ferroute import openai_server
from ferroute._asgi import MOST_BODY, Application
from ferroute._openai_server_parts import application, args, parser
from servers import faults
from servers.strict import StrictServer

if TYPE_CHECKING:
    from collections.abc import Iterator

ASKED = [{"role": "user", "content": "Which animal hoots?"}]


@pytest.fixture
def providers() -> Iterator[StrictServer]:
    with StrictServer() as providers:
        yield providers


@pytest.fixture
def app(providers: StrictServer) -> Application:
    said = ["--strong-model", "openai/gpt-5.5", "--weak-model", "openai/gpt-5.4-nano"]
    said += ["--base-url", providers.base("openai"), "--api-key", "upstream-key"]
    return application(lambda: parser().parse_args(said))


def client_of(app: Application) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1")


async def test_the_real_client(app: Application, providers: StrictServer) -> None:
    async with (
        client_of(app) as http,
        openai.AsyncOpenAI(base_url="http://127.0.0.1/v1", api_key="any", http_client=http) as client,
    ):
        answer = await client.chat.completions.create(model="router-random-1", messages=ASKED)  # type: ignore[arg-type]
        assert answer.choices[0].message.content == "You said: Which animal hoots? é漢🦀"
        stream: Any = await client.chat.completions.create(
            model="router-random-0",
            messages=ASKED,  # type: ignore[arg-type]
            stream=True,
        )
        assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]).startswith("You said")
        with pytest.raises(openai.BadRequestError):
            await client.chat.completions.create(model="router-mf-0.5", messages=ASKED)  # type: ignore[arg-type]
    assert [request.json["model"] for request in providers.requests] == ["gpt-5.4-nano", "gpt-5.5"]
    assert app.controller is not None
    assert providers.refused == []


async def test_names_of_others_are_refused_unless_everybody_may_come(app: Application, providers: StrictServer) -> None:
    async def asked(app: Application) -> int:
        async with client_of(app) as http:
            answer = await http.get("/v1/models", headers={"host": "evil.example"})
            return answer.status_code

    assert await asked(app) == 421
    said = ["--base-url", providers.base("openai"), "--api-key", "k", "--allow-public-without-key"]
    assert await asked(application(lambda: parser().parse_args(said))) == 200


async def test_paths(app: Application) -> None:
    async with client_of(app) as http:
        assert (await http.get("/health")).json() == {"status": "online"}
        document = (await http.get("/openapi.json")).json()
        assert {"/v1/chat/completions", "/v1/messages", "/v1/responses", "/health", "/ui", "/admin/keys"} <= set(
            document["paths"]
        )
        page = await http.get("/docs")
        assert page.headers["content-type"].startswith("text/html")
        assert (await http.get("/nowhere?x=1")).status_code == 404
        assert (await http.put("/v1/chat/completions")).status_code == 405
        large = await http.post("/v1/chat/completions", content=b"x" * (MOST_BODY + 9))
        assert large.status_code == 413
        assert large.json()["error"]["message"]


def scope(path: str) -> dict[str, Any]:
    headers = [(b"host", b"127.0.0.1")]
    return {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": headers}


class Caller:
    """Sends what it is told and keeps what it gets; then it waits, or leaves."""

    def __init__(self, *messages: dict[str, Any], leaves_after: int | None = None) -> None:
        self.messages = list(messages)
        self.leaves_after = leaves_after
        self.got: list[dict[str, Any]] = []
        self.left = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        if self.messages:
            return self.messages.pop(0)
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.got.append(dict(message))
        if self.leaves_after is not None and len(self.got) >= self.leaves_after:
            self.left.set()


async def test_a_caller_who_leaves_ends_the_upstream(app: Application, providers: StrictServer) -> None:
    providers.then(faults.slow(pause=0.3))
    body = json.dumps({"model": "router-random-1", "messages": ASKED, "stream": True}).encode()
    half = {"type": "http.request", "body": body[:20], "more_body": True}
    caller = Caller(half, {"type": "http.request", "body": body[20:]}, leaves_after=2)
    await asyncio.wait_for(app(scope("/v1/chat/completions"), caller.receive, caller.send), 20)
    assert caller.got[0]["status"] == 200
    assert caller.got[1]["body"].startswith(b"data: ")
    assert not any(message.get("more_body") is False for message in caller.got)
    assert await asyncio.to_thread(providers.gone.wait, 20), "the provider's connection is closed"


async def test_the_life_of_the_application(app: Application) -> None:
    caller = Caller({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
    await app({"type": "lifespan"}, caller.receive, caller.send)
    assert [message["type"] for message in caller.got] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]

    def make() -> Any:
        raise ValueError("no such router")

    caller = Caller({"type": "lifespan.startup"})
    await Application(make)({"type": "lifespan"}, caller.receive, caller.send)
    assert caller.got == [{"type": "lifespan.startup.failed", "message": "no such router"}]


async def test_it_is_made_of_a_configuration(
    providers: StrictServer, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = {"api_base": providers.base("openai"), "api_key": "upstream-key"}
    tiers = {
        name: {"model": f"openai/{model}", **endpoint} for name, model in (("a", "gpt-5.4-nano"), ("b", "gpt-5.5"))
    }
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps({"tiers": tiers, "routers": {"random": {}}, "aliases": {"fast": "router-random-1"}}))
    monkeypatch.setenv("FERROUTE_CONFIG", str(path))
    async with client_of(application(lambda: parser().parse_args([]))) as http:
        asked = {"model": "fast", "messages": ASKED}
        assert (await http.post("/v1/chat/completions", json=asked)).json()["choices"]


async def test_it_says_once_what_should_be_known(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("FERROUTE_CONFIG", raising=False)
    for name in [name for name in os.environ if name.endswith("_API_KEY")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("FERROUTE_ARGS", "--routers random")
    made = application(args)
    await asyncio.to_thread(made.start)
    said = capsys.readouterr().err
    assert "warning: callers need no key" in said and "gpt-4-1106-preview cannot be called" in said
    await asyncio.to_thread(made.start)
    assert capsys.readouterr().err == ""


def test_the_names_of_the_original() -> None:
    for name in (
        "app", "args", "parser", "count", "CONTROLLER", "UsageInfo", "ChatMessage", "ChatCompletionResponseChoice",
        "ChatCompletionResponse", "ErrorResponse", "ChatCompletionRequest", "lifespan", "stream_response",
        "create_chat_completion", "health_check",
    ):  # fmt: skip
        assert name in dir(openai_server)
        getattr(openai_server, name)
    from routellm.openai_server import ErrorResponse, app

    assert app is openai_server.app
    assert ErrorResponse(message="no").model_dump() == {"object": "error", "message": "no"}
    assert openai_server.ChatCompletionRequest(model="m", messages="hi", x=1).model_extra == {"x": 1}
    assert asyncio.run(openai_server.health_check()) == {"status": "online"}
    with pytest.raises(AttributeError, match="nothing_such"):
        _ = openai_server.nothing_such


def test_importing_it_is_free() -> None:
    heavy = ["pydantic", "openai", "httpx", "numpy", "yaml", "huggingface_hub", "ferroute.controller", "argparse"]
    code = f"import sys, routellm.openai_server; print([name for name in {heavy} if name in sys.modules])"
    before = [sys.executable, "-c", f"import sys; print([name for name in {heavy} if name in sys.modules])"]
    assert subprocess.check_output(before) == subprocess.check_output([sys.executable, "-c", code])
