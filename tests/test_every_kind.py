"""Every kind of router over three models: completions, streams, asyncio, batches and pickles give the same choice."""

from __future__ import annotations

import asyncio
import json
import pickle
import random
from typing import TYPE_CHECKING, Any

import pytest

from fakeserver import Answer, FakeServer, completion
from ferroute import Controller

if TYPE_CHECKING:
    from collections.abc import Iterator

TIERS = {"cheap": "openai/small", "mid": "openai/medium", "expensive": "openai/large"}
PROMPTS = ["Translate to German: good morning.", "Fix the bug in this function: def f(x) return x", "hello"]
KINDS = {
    "rules": None,
    "semantic": None,
    "llm_classifier": None,
    "local": [0.45, 0.6],
    "random": [0.3, 0.7],
}


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server


def _controller(server: FakeServer) -> Controller:
    config = {
        "rules": {"preset": "article"},
        "semantic": {"routes": {"code": ["fix this bug", "write a function"]}, "map": {"code": "expensive"}},
        "llm_classifier": {"model": "openai/sorter", "preset": "article"},
    }
    return Controller(list(KINDS), tiers=TIERS, config=config, api_base=server.url, api_key="k", ledger=None)


async def _acompletion(c: Controller, prompt: str, model: str) -> Any:
    return (await c.chat.completions.acreate(model=model, messages=_user(prompt))).routing.tier


async def _astream(c: Controller, prompt: str, model: str) -> Any:
    stream = await c.chat.completions.acreate(model=model, messages=_user(prompt), stream=True)
    assert [chunk async for chunk in stream]
    return stream.routing.tier


def _stream(c: Controller, prompt: str, model: str) -> Any:
    opened = c.chat.completions.create(model=model, messages=_user(prompt), stream=True)
    assert list(opened)
    return opened.routing.tier


def _user(prompt: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": prompt}]


WAYS = {
    "decide": lambda c, prompt, model: c.decide(prompt, model=model).tier,
    "completion": lambda c, prompt, model: c.chat.completions.create(model=model, messages=_user(prompt)).routing.tier,
    "stream": _stream,
    "asyncio": lambda c, prompt, model: asyncio.run(_acompletion(c, prompt, model)),
    "asynchronous stream": lambda c, prompt, model: asyncio.run(_astream(c, prompt, model)),
    "batch": lambda c, prompt, model: c.decide_batch([prompt], model=model)[0].tier,
    "pickle": lambda c, prompt, model: pickle.loads(pickle.dumps(c)).decide(prompt, model=model).tier,
}


@pytest.mark.filterwarnings("ignore::ferroute.pricing.PriceWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_each_way_of_asking_makes_the_same_choice(kind: str, server: FakeServer) -> None:
    threshold = KINDS[kind]
    model = f"router-{kind}" if threshold is None else f"router-{kind}-{','.join(map(str, threshold))}"
    chosen = set()
    for prompt in PROMPTS:
        found = {}
        for name, way in WAYS.items():
            # A new one each time: a classifier's answer that is remembered would leave the scripted one unread.
            c = _controller(server)
            random.seed(7)
            if kind == "llm_classifier":
                # Not the rung that it falls back to.
                server.then(Answer(body=json.dumps(completion(content="expensive")).encode()))
            found[name] = way(c, prompt, model)
        assert set(found.values()) == {found["decide"]}, (prompt, found)
        chosen.add(found["decide"])
    expected = {"rules": {"mid", "expensive"}, "semantic": {"mid", "expensive"}, "llm_classifier": {"expensive"}}
    assert chosen == expected.get(kind, chosen)
    assert chosen <= {*TIERS}
