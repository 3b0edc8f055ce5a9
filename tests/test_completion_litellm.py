"""``backend="litellm"``, with a stand-in for the litellm that a user has installed."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import openai
import pytest

import ferroute
from fakeserver import FakeServer
from ferroute import CallPolicy, Controller, pricing
from ferroute.errors import InvalidValueError, NotBuiltError

HELLO = [{"role": "user", "content": "Say hello"}]


def usage(**more: Any) -> SimpleNamespace:
    return SimpleNamespace(prompt_tokens=1000, completion_tokens=200, total_tokens=1200, **more)


class Answer:
    """Reads like litellm's: attributes and items."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.usage = usage(prompt_tokens_details={"cached_tokens": 500})
        self._hidden_params = {"response_cost": 0.125}

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)


class Stream:
    """litellm's wrapper is an iterator and an asynchronous one in one."""

    def __init__(self, error: Exception | None = None) -> None:
        self.left = 3
        self.error = error
        self.closed = False

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> Any:
        if not self.left:
            if self.error is not None:
                raise self.error
            raise StopIteration
        self.left -= 1
        return SimpleNamespace(usage=None if self.left else usage(), text="x")

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> Any:
        try:
            return next(self)
        except StopIteration:
            raise StopAsyncIteration from None

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def litellm(monkeypatch: pytest.MonkeyPatch) -> Any:
    stand_in: Any = ModuleType("litellm")
    stand_in.calls = []
    stand_in.then = []

    def completion(**kwargs: Any) -> Any:
        stand_in.calls.append(kwargs)
        if stand_in.then and (error := stand_in.then.pop(0)) is not None:
            raise error
        return Stream() if kwargs.get("stream") else Answer(kwargs["model"])

    async def acompletion(**kwargs: Any) -> Any:
        return completion(**kwargs)

    stand_in.completion, stand_in.acompletion = completion, acompletion
    monkeypatch.setitem(sys.modules, "litellm", stand_in)
    return stand_in


async def test_litellm_gets_the_callers_keywords(litellm: Any) -> None:
    given = {
        "model": "bedrock/claude",
        "messages": HELLO,
        "api_key": "k",
        "temperature": 0.5,
        "timeout": 3,
        "num_retries": 4,
        "aws_region_name": "eu-west-1",
        "backend": "litellm",
        "ferroute": {"session": "s"},
        "seed": None,
    }
    r: Any = ferroute.completion(**given)
    twin: Any = await ferroute.acompletion(**given)
    assert isinstance(r, Answer) and r["model"] == twin["model"] == "bedrock/claude"
    expected = {
        "model": "bedrock/claude",
        "messages": HELLO,
        "api_base": None,
        "api_key": "k",
        "temperature": 0.5,
        "timeout": 3,
        "num_retries": 4,
        "aws_region_name": "eu-west-1",
    }
    assert litellm.calls == [expected, expected]
    assert r.routing.model == "bedrock/claude" and r.routing.attempts == 1


def test_a_controller_by_way_of_litellm(litellm: Any) -> None:
    c = Controller(
        ["random"],
        {"model": "openai/gpt-5.2", "api_base": "http://strong", "api_key": "a", "api_version": "v"},
        "openai/gpt-5-mini",
        policy=CallPolicy(backend="litellm"),
    )
    strong = c.completion(router="random", threshold=0.0, messages=HELLO)
    weak = c.completion(router="random", threshold=1.0, messages=HELLO)
    assert [(k["model"], k["api_base"], k["api_key"], k.get("api_version")) for k in litellm.calls] == [
        ("openai/gpt-5.2", "http://strong", "a", "v"),
        ("openai/gpt-5-mini", None, None, None),
    ]
    assert all(type(k["model"]) is str for k in litellm.calls)
    prices = [
        pricing.cost(model, input_tokens=1000, output_tokens=200, cached_tokens=500)
        for model in ("gpt-5.2", "gpt-5-mini")
    ]
    assert [strong.routing.cost_usd, weak.routing.cost_usd] == prices
    assert strong.routing.saved_usd == 0 and weak.routing.saved_usd == prices[0] - prices[1]
    assert weak.routing.router == "random"


def test_one_model_by_way_of_litellm(litellm: Any) -> None:
    with FakeServer() as server:
        c = Controller(
            ["random"], {"model": "bedrock/claude", "backend": "litellm"}, {"model": "m", "api_base": server.url}
        )
        c.completion(router="random", threshold=0.0, messages=HELLO)
        c.completion(router="random", threshold=1.0, messages=HELLO)
        assert len(server.requests) == len(litellm.calls) == 1


def test_a_price_only_litellm_knows(litellm: Any) -> None:
    r: Any = ferroute.completion(model="somewhere/unheard-of", messages=HELLO, backend="litellm")
    assert str(r.routing.cost_usd) == "0.125"


async def test_streams(litellm: Any) -> None:
    given = {"model": "openai/gpt-5.2", "messages": HELLO, "stream": True, "backend": "litellm"}
    expected = pricing.cost("gpt-5.2", input_tokens=1000, output_tokens=200)
    stream: Any = ferroute.completion(**given)
    assert stream.routing.model == "openai/gpt-5.2" and stream.routing.cost_usd is None
    chunks = list(stream)
    assert [c.text for c in chunks] == ["x"] * 3 and chunks[0].routing.model == "openai/gpt-5.2"
    assert stream.routing.cost_usd == expected
    stream = await ferroute.acompletion(**given)
    assert len([c async for c in stream]) == 3 and stream.routing.cost_usd == expected
    with ferroute.completion(**given) as stream:  # type: ignore[union-attr]
        next(stream)  # type: ignore[call-overload]
    assert stream.closed and stream.routing.cost_usd is None  # type: ignore[union-attr]


class Refused(Exception):
    def __init__(self, status_code: int) -> None:
        super().__init__(f"status {status_code}")
        self.status_code = status_code


async def test_fallbacks(litellm: Any) -> None:
    fallback = {"model": "bedrock/b", "api_key": "own"}
    given = {"messages": HELLO, "api_key": "k", "backend": "litellm", "fallbacks": ["bedrock/x", fallback]}
    litellm.then[:] = [Refused(500), openai.OpenAIError("down"), None]
    r: Any = ferroute.completion(model="bedrock/a", **given)
    assert [(k["model"], k["api_key"]) for k in litellm.calls] == [
        ("bedrock/a", "k"), ("bedrock/x", "k"), ("bedrock/b", "own"),
    ]  # fmt: skip
    assert r.routing.attempts == 3 and "bedrock/a failed (Refused), so bedrock/x was asked" in r.routing.notes
    litellm.then[:] = [Refused(400)]
    with pytest.raises(Refused) as caught:
        await ferroute.acompletion(model="bedrock/a", **given)
    assert caught.value.routing.attempts == 1  # type: ignore[attr-defined]
    litellm.then[:] = [Refused(500)] * 3
    with pytest.raises(Refused):
        ferroute.completion(model="bedrock/a", **given)


def test_without_litellm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "litellm", None)
    with pytest.raises(NotBuiltError, match=r"pip install 'ferroute\[litellm\]'"):
        ferroute.completion(model="bedrock/a", messages=HELLO, backend="litellm")
    with pytest.raises(InvalidValueError, match="'native', 'litellm'"):
        ferroute.completion(model="bedrock/a", messages=HELLO, backend="curl")


def test_litellm_is_imported_by_nothing_else() -> None:
    code = (
        "import sys, ferroute.controller, ferroute.completions, ferroute.policy, ferroute._litellm\n"
        "print('litellm' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
