"""``backend="litellm"``, with a stand-in for the litellm that a user has installed."""

from __future__ import annotations

import asyncio
import copy
import itertools
import json
import subprocess
import sys
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import openai
import pytest

import ferroute
from fakeserver import Answer as FromServer
from fakeserver import FakeServer
from fakeserver import completion as chat_completion
from ferroute import CallPolicy, Controller, pricing
from ferroute.errors import InvalidValueError, NotBuiltError
from ferroute.ledger import Ledger

if TYPE_CHECKING:
    from pathlib import Path

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
        "extra_body": {"temperature": 1, "stream": True, "ferroute": {"session": "s"}},
        "extra_query": {"a": "b"},
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
        "extra_body": {"temperature": 1, "stream": True},
        "extra_query": {"a": "b"},
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


def test_a_deployment_costs_what_the_model_behind_it_does(litellm: Any) -> None:
    price = pricing.cost("gpt-5.2", input_tokens=1000, output_tokens=200, cached_tokens=500)
    given = {"messages": HELLO, "backend": "litellm"}
    deployment = {"model": "azure/ours", "base_model": "gpt-5.2"}
    by_name: Any = ferroute.completion(model="azure/ours", base_model="gpt-5.2", **given)
    by_mapping: Any = ferroute.completion(model=deployment, **given)
    litellm.then[:] = [Refused(500), None]
    as_fallback: Any = ferroute.completion(model="openai/gpt-5-mini", fallbacks=[deployment], **given)
    c = Controller(["random"], deployment, "openai/gpt-5-mini", policy=CallPolicy(backend="litellm"))
    routed = c.completion(router="random", threshold=0.0, messages=HELLO)
    assert [r.routing.cost_usd for r in (by_name, by_mapping, as_fallback, routed)] == [price] * 4
    assert routed.routing.saved_usd == 0
    assert all("base_model" not in keywords for keywords in litellm.calls)


def test_one_model_by_way_of_litellm(litellm: Any) -> None:
    with FakeServer() as server:
        c = Controller(
            ["random"], {"model": "bedrock/claude", "backend": "litellm"}, {"model": "m", "api_base": server.url}
        )
        c.completion(router="random", threshold=0.0, messages=HELLO)
        c.completion(router="random", threshold=1.0, messages=HELLO)
        assert len(server.requests) == len(litellm.calls) == 1


def test_objects_that_take_extras_keep_the_decision_beside_them(litellm: Any) -> None:
    # Like litellm's own, openai's classes take every field and dump it.
    told = chat_completion("gpt-5.2", "x")
    piece = {
        "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "usage": told["usage"],
        "choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": "stop"}],
    }  # fmt: skip

    def ask(stream: bool = False, **_: Any) -> Any:
        if stream:
            return iter([openai.types.chat.ChatCompletionChunk.model_validate(piece)])
        return openai.types.chat.ChatCompletion.model_validate(told)

    litellm.completion = ask
    given: dict[str, Any] = {"model": "openai/gpt-5.2", "messages": HELLO, "backend": "litellm"}
    answer: Any = ferroute.completion(**given)
    [last] = ferroute.completion(**given, stream=True)  # type: ignore[misc]
    cost = pricing.cost("gpt-5.2", input_tokens=9, output_tokens=2)
    for response, plain in ((answer, told), (last, piece)):
        assert response.routing.cost_usd == cost
        again = json.loads(json.dumps(response.model_dump(exclude_unset=True)))
        assert again == json.loads(response.model_dump_json(exclude_unset=True)) == plain


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
    # Nobody has told the tokens: seven of the prompt are an estimate.
    assert stream.closed  # type: ignore[union-attr]
    assert stream.routing.cost_usd == pricing.cost("gpt-5.2", input_tokens=7, output_tokens=0)  # type: ignore[union-attr]


def chunk(content: str | None = None, finish: str | None = None, told: Any = None, hidden: Any = None) -> Any:
    call = SimpleNamespace(index=0, id="c", function=SimpleNamespace(name=None, arguments="abcd"))
    delta = SimpleNamespace(content=content, tool_calls=[call] if content == "" else None)
    choices = [] if content is None and finish is None else [SimpleNamespace(delta=delta, finish_reason=finish)]
    return SimpleNamespace(choices=choices, usage=told, _hidden_params={"usage": hidden})


PROMPT = 7  # tokens of HELLO, as they are estimated


nothing = SimpleNamespace(prompt_tokens=0, completion_tokens=0, total_tokens=0)


@pytest.mark.parametrize(
    ("chunks", "read", "outcome", "tokens"),
    [
        # 40 characters of texts and 4 of a tool call's arguments
        pytest.param([chunk("word " * 4)] * 2 + [chunk("")], None, "ok", (PROMPT, 11), id="nothing told"),
        pytest.param([chunk("word " * 4)] * 3, 2, "cancelled", (PROMPT, 10), id="closed"),
        pytest.param([chunk("x", told=usage())] * 3, 1, "cancelled", (1000, 200), id="closed, told so far"),
        pytest.param([chunk("x"), chunk(finish="stop"), chunk(told=usage())], None, "ok", None, id="told alone"),
        pytest.param([chunk("x"), chunk(finish="stop", told=usage())], None, "ok", None, id="told at the end"),
        pytest.param([chunk("x"), chunk(finish="stop", hidden=usage())], None, "ok", None, id="told aside"),
        pytest.param([chunk("xy"), chunk(finish="stop", hidden=nothing)], None, "ok", (PROMPT, 1), id="nothing summed"),
        pytest.param([chunk("x"), chunk(finish="stop", told=usage())], 2, "cancelled", None, id="closed at the end"),
    ],
)
async def test_tokens_of_streams(
    litellm: Any, chunks: list[Any], read: int | None, outcome: str, tokens: tuple[int, int] | None
) -> None:
    litellm.completion = lambda **_: iter(copy.deepcopy(chunks))

    async def acompletion(**_: Any) -> Any:
        async def pieces() -> Any:
            for piece in copy.deepcopy(chunks):
                yield piece

        return pieces()

    litellm.acompletion = acompletion
    book = Ledger()
    given = {"model": "openai/gpt-5.2", "messages": HELLO, "stream": True, "backend": "litellm", "ledger": book}
    estimated, (prompt, made) = tokens is not None, tokens or (1000, 200)
    expected = pricing.cost("gpt-5.2", input_tokens=prompt, output_tokens=made)
    stream: Any = ferroute.completion(**given)
    with stream:
        seen = list(itertools.islice(stream, read))
    assert seen[-1].routing.cost_usd == stream.routing.cost_usd == expected
    stream, seen = await ferroute.acompletion(**given), []
    async with stream:
        async for piece in stream:
            seen.append(piece)
            if len(seen) == read:
                break
    assert seen[-1].routing.cost_usd == stream.routing.cost_usd == expected
    rows = book.core.calls((None, None, None, None))
    assert [rows[name] for name in ("outcome", "estimated", "prompt_tokens", "completion_tokens")] == [
        [outcome] * 2, [estimated] * 2, [prompt] * 2, [made] * 2,
    ]  # fmt: skip
    assert book.spend().unpriced == 0


def test_a_chunk_that_tells_the_usage_at_the_end_knows_the_cost_at_once(litellm: Any) -> None:
    litellm.completion = lambda **_: iter([chunk("x"), chunk(finish="stop", told=usage())])
    stream: Any = ferroute.completion(model="openai/gpt-5.2", messages=HELLO, stream=True, backend="litellm")
    costs = [piece.routing.cost_usd for piece in stream]
    assert costs == [None, pricing.cost("gpt-5.2", input_tokens=1000, output_tokens=200)]


def test_tokens_of_an_answer_that_does_not_tell(litellm: Any) -> None:
    said = {**chat_completion("gpt-5.2", "x" * 41), "usage": None}
    litellm.completion = lambda **_: said
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    image = {"type": "image_url", "image_url": {"url": "https://host/picture"}}
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "x" * 41}, image]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "four"},
    ]
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]
    book = Ledger()
    given = {"model": "openai/gpt-5.2", "messages": messages, "tools": tools, "ledger": book}
    ferroute.completion(**given, backend="litellm")
    with FakeServer() as server:
        server.then(FromServer(body=json.dumps(said).encode()))
        ferroute.completion(**given, api_base=server.url, api_key="k")
    rows = book.core.calls((None, None, None, None))
    # One rule for both, and four messages' worth, an image and a quarter of the characters by it.
    assert rows["estimated"] == [True, True] and rows["completion_tokens"] == [11, 11]
    assert rows["prompt_tokens"] == [rows["prompt_tokens"][0]] * 2 and 800 < rows["prompt_tokens"][0] < 850
    assert rows["cost"][0] == rows["cost"][1] > 0


async def test_a_call_nobody_waits_for_any_more(litellm: Any) -> None:
    started = asyncio.Event()

    async def acompletion(**_: Any) -> Any:
        started.set()
        await asyncio.Event().wait()

    litellm.acompletion = acompletion
    book = Ledger()
    call: Any = ferroute.acompletion(model="openai/gpt-5.2", messages=HELLO, backend="litellm", ledger=book)
    task = asyncio.create_task(call)
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    rows = book.core.calls((None, None, None, None))
    assert [rows[name] for name in ("outcome", "estimated", "prompt_tokens")] == [["cancelled"], [True], [PROMPT]]


class Refused(Exception):
    def __init__(self, status_code: int, said: str = "no") -> None:
        super().__init__(f"status {status_code}: {said}")
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
    assert r.routing.explain().answered == "bedrock/b"
    litellm.then[:] = [Refused(400)]
    with pytest.raises(Refused) as caught:
        await ferroute.acompletion(model="bedrock/a", **given)
    assert caught.value.routing.attempts == 1  # type: ignore[attr-defined]
    litellm.then[:] = [Refused(500)] * 3
    with pytest.raises(Refused) as caught:
        ferroute.completion(model="bedrock/a", **given)
    assert caught.value.routing.explain().answered is None  # type: ignore[attr-defined]


class ContextWindowExceededError(Refused):
    pass


@pytest.mark.parametrize("error", [ContextWindowExceededError(400), Refused(400, "your Prompt is too long")])
def test_a_prompt_that_is_too_long_goes_to_a_model_that_takes_more(litellm: Any, error: Exception) -> None:
    # 128,000 tokens; less; the same; more; unknown.
    given = {"messages": HELLO, "backend": "litellm"}
    less, more = "openai/gpt-4", {"model": "deployment", "base_model": "gpt-4.1"}
    litellm.then[:] = [error, None]
    r: Any = ferroute.completion(model="openai/gpt-4o", fallbacks=[less, "openai/gpt-4o", more], **given)
    assert [k["model"] for k in litellm.calls] == ["openai/gpt-4o", "deployment"] and r.routing.attempts == 2
    litellm.then[:] = [error, None]
    assert ferroute.completion(model="openai/gpt-4o", fallbacks=["bedrock/unheard-of"], **given).routing.attempts == 2
    litellm.then[:] = [error]
    with pytest.raises(Refused):
        ferroute.completion(model="openai/gpt-4o", fallbacks=[less], **given)


@pytest.mark.parametrize(("status", "asked"), [(401, 2), (404, 2), (429, 2), (503, 2), (400, 1), (405, 1), (422, 1)])
def test_which_failures_another_model_is_asked_after(litellm: Any, status: int, asked: int) -> None:
    litellm.then[:] = [Refused(status)] * asked
    with pytest.raises(Refused):
        ferroute.completion(model="bedrock/a", messages=HELLO, backend="litellm", fallbacks=["bedrock/b"])
    assert len(litellm.calls) == asked


def test_a_query_of_ones_own_is_not_for_the_fallback(litellm: Any) -> None:
    litellm.then[:] = [Refused(500), None]
    fallback = {"model": "bedrock/b", "extra_query": {"b": "2"}}
    given = {"messages": HELLO, "backend": "litellm", "extra_query": {"a": "1"}, "fallbacks": [fallback]}
    ferroute.completion(model="bedrock/a", **given)
    assert [k["extra_query"] for k in litellm.calls] == [{"a": "1"}, {"b": "2"}]


def test_without_litellm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "litellm", None)
    with pytest.raises(NotBuiltError, match=r"pip install 'ferroute\[litellm\]'"):
        ferroute.completion(model="bedrock/a", messages=HELLO, backend="litellm")
    with pytest.raises(InvalidValueError, match="'native', 'litellm'"):
        ferroute.completion(model="bedrock/a", messages=HELLO, backend="curl")


def test_the_first_call_does_not_import_litellm_on_the_event_loop(tmp_path: Path) -> None:
    (tmp_path / "litellm.py").write_text(
        "import threading\nimported_by = threading.current_thread()\nasync def acompletion(**_): return {}\n"
    )
    code = (
        "import asyncio, sys, threading, ferroute\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        f"given = {{'model': 'bedrock/a', 'messages': {HELLO!r}, 'backend': 'litellm'}}\n"
        "async def main(): return await ferroute.acompletion(**given), await ferroute.acompletion(**given)\n"
        "print(asyncio.run(main()))\n"
        "print(sys.modules['litellm'].imported_by is threading.main_thread())"
    )
    said = subprocess.check_output([sys.executable, "-c", code], text=True).splitlines()
    assert said == ["({}, {})", "False"]


def test_litellm_is_imported_by_nothing_else() -> None:
    code = (
        "import sys, ferroute.controller, ferroute.completions, ferroute.policy, ferroute._litellm\n"
        "print('litellm' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
