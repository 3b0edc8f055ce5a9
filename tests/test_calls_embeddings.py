"""Embeddings against a local server: cache, sharing, batches, cuts, and what happens when it goes wrong."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import openai
import pytest

from fakeserver import Answer, FakeServer, vector
from ferroute._core import Embedder
from ferroute.errors import InvalidTypeError, InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server


def embedder(server: FakeServer, **kwargs: Any) -> Embedder:
    return Embedder("text-embedding-3-small", **{"api_base": server.url, "api_key": "k", **kwargs})


@pytest.mark.parametrize("base64", [True, False])
def test_one_text(server: FakeServer, base64: bool) -> None:
    made, note, _ = embedder(server, base64=base64, dimensions=6).embed("héllo")
    assert made.dtype == np.float32 and made.shape == (6,) and note is None
    np.testing.assert_array_equal(made, vector("héllo", 6))
    expected = {"model": "text-embedding-3-small", "input": ["héllo"], "dimensions": 6}
    assert server.requests[0].json == expected | ({"encoding_format": "base64"} if base64 else {})
    assert server.requests[0].path == "/v1/embeddings"


async def test_cache(server: FakeServer) -> None:
    e = embedder(server)
    first, _, paid = e.embed("a")
    first[:] = 0  # the caller's copy is his own
    again, _, nothing = await e.aembed("a")
    assert paid > 0 and nothing == 0  # a cached vector costs nothing
    np.testing.assert_array_equal(again, vector("a", 4))
    np.testing.assert_array_equal(e.embed_batch(["a", "a"]), [vector("a", 4)] * 2)
    assert len(server.requests) == 1
    uncached = embedder(server, cache_size=0)
    uncached.embed("a")
    uncached.embed("a")
    assert len(server.requests) == 3


async def test_cache_is_bounded(server: FakeServer) -> None:
    e = embedder(server, cache_size=10)
    e.embed_batch([str(i) for i in range(1000)])
    before = len(server.requests)
    e.embed_batch([str(i) for i in range(1000)])
    sent = sum(len(request.json["input"]) for request in server.requests[before:])
    assert sent >= 900


async def test_same_text_in_flight_is_sent_once(server: FakeServer) -> None:
    server.then(Answer(delay=0.2))
    e = embedder(server)
    made = await asyncio.gather(*(e.aembed("same") for _ in range(20)))
    assert len(server.requests) == 1
    assert all((vector("same", 4) == row).all() for row, *_ in made)
    # When the one who asks is cancelled, another takes over.
    server.then(Answer(delay=0.3))
    first = asyncio.create_task(asyncio.wait_for(e.aembed("other"), 0.1))
    await asyncio.sleep(0.05)
    second = asyncio.ensure_future(e.aembed("other"))
    with pytest.raises(asyncio.TimeoutError):
        await first
    np.testing.assert_array_equal((await second)[0], vector("other", 4))


def test_failure_is_shared_but_not_kept(server: FakeServer) -> None:
    e = embedder(server, max_retries=0)
    server.then(Answer(status=500, delay=0.2))
    failed: list[openai.InternalServerError] = []

    def work() -> None:
        try:
            e.embed("x")
        except openai.InternalServerError as failure:
            failed.append(failure)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.requests) == 1 and len(failed) == 8
    assert str(failed[0].request.url) == f"{server.url}/v1/embeddings"
    assert e.embed("x")[1] is None


async def test_batch_keeps_the_order(server: FakeServer) -> None:
    texts = [f"text {i % 700}" for i in range(1000)]
    seen: list[tuple[int, int]] = []
    e = embedder(server, batch_size=64, concurrency=4)
    made = e.embed_batch(texts, lambda done, total: seen.append((done, total)))
    assert made.shape == (1000, 4) and made.dtype == np.float32 and made.flags.c_contiguous
    np.testing.assert_array_equal(made, [vector(text, 4) for text in texts])
    assert len(server.requests) == 11 and sum(len(request.json["input"]) for request in server.requests) == 700
    assert seen[-1] == (1000, 1000) and seen == sorted(seen)
    np.testing.assert_array_equal(await e.aembed_batch(texts), made)
    assert len(server.requests) == 11


def test_batches_run_side_by_side(server: FakeServer) -> None:
    server.then(*[Answer(delay=0.2)] * 8)
    embedder(server, batch_size=1, concurrency=8).embed_batch([str(i) for i in range(8)])
    assert 2 <= server.connections <= 8


async def test_no_texts(server: FakeServer) -> None:
    assert embedder(server).embed_batch([]).shape == (0, 0)
    assert (await embedder(server).aembed_batch([])).shape == (0, 0)
    assert not server.requests


async def test_progress_may_stop_the_work(server: FakeServer) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyError("enough")

    e = embedder(server, batch_size=1, concurrency=1)
    with pytest.raises(KeyError, match="enough"):
        e.embed_batch(["a", "b", "c"], stop)
    with pytest.raises(KeyError, match="enough"):
        await e.aembed_batch(["d", "e", "f"], stop)
    assert len(server.requests) <= 4


def test_retry(server: FakeServer) -> None:
    server.then(
        Answer(status=503, headers={"retry-after-ms": "5"}), Answer(status=429, headers={"retry-after-ms": "5"})
    )
    np.testing.assert_array_equal(embedder(server).embed_batch(["a", "b"]), [vector("a", 4), vector("b", 4)])
    assert len(server.requests) == 3
    server.then(Answer(status=400))
    with pytest.raises(openai.BadRequestError):
        embedder(server).embed("a")
    assert len(server.requests) == 4


def test_long_prompts_are_cut(server: FakeServer) -> None:
    server.max_tokens = 100
    e = embedder(server, max_tokens=100)
    made, note, _ = e.embed(text := " ".join(["word"] * 130))
    sent = server.requests[-1].json["input"][0]
    assert text.startswith(sent) and 90 <= len(sent.split()) <= 100
    assert note is not None and f"first {len(sent)} characters" in note
    assert len(server.requests) == 2
    np.testing.assert_array_equal(made, vector(sent, 4))
    assert e.embed(text)[1] == note and len(server.requests) == 2  # the note is cached with the vector


def test_hopelessly_long_prompts_are_cut_before_they_are_sent(server: FakeServer) -> None:
    _, note, _ = embedder(server, max_tokens=10).embed("é" * 1000)
    assert server.requests[0].json["input"] == ["é" * 60] and note is not None and "60" in note


def test_one_long_text_among_many(server: FakeServer) -> None:
    server.max_tokens = 100
    texts = [f"short {i}" for i in range(20)]
    texts[7] = " ".join(["word"] * 130)
    made = embedder(server, max_tokens=100).embed_batch(texts)
    for i, text in enumerate(texts):
        if i != 7:
            np.testing.assert_array_equal(made[i], vector(text, 4))


def test_refusal_without_figures_halves_a_few_times(server: FakeServer) -> None:
    refusal = Answer(status=400, body=b'{"error":{"message":"input is too long"}}')
    server.then(*[refusal] * 3)
    embedder(server).embed("x" * 800)
    assert [len(request.json["input"][0]) for request in server.requests] == [800, 400, 200, 100]
    server.then(*[refusal] * 50)
    server.requests.clear()
    with pytest.raises(openai.BadRequestError):
        embedder(server).embed("x" * 10_000)
    assert len(server.requests) == 7


def test_broken_unicode(server: FakeServer) -> None:
    embedder(server).embed("a\ud83d")
    assert server.requests[0].json["input"][0].startswith("a\ufffd")
    with pytest.raises(TypeError, match="found int"):
        embedder(server).embed(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        embedder(server).embed_batch("abc")


def rows(*vectors: Any) -> Answer:
    data = [{"object": "embedding", "index": i, "embedding": row} for i, row in enumerate(vectors)]
    return Answer(body=json.dumps({"object": "list", "data": data}).encode())


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (rows([1.0, 2.0]), "2 numbers where 4 were expected"),
        (rows([1.0], [2.0]), "2 embeddings for 1 texts"),
        (rows([]), "different lengths"),
        (rows("!!"), "base64"),
        (Answer(body=b'{"data":"x"}'), "not a list of embeddings"),
        (Answer(body=b"<html>"), "not a JSON object"),
    ],
)
def test_wrong_answers(server: FakeServer, answer: Answer, says: str) -> None:
    e = embedder(server)
    e.embed("first")
    # One that cannot be read is asked for once more; one of another length is not.
    server.then(*[answer] * (1 if "expected" in says else 2))
    with pytest.raises(openai.APIResponseValidationError, match=says):
        e.embed("second")
    e.embed("second")


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"batch_size": 0}, "`batch_size` must be a whole number from 1 to 4294967295, found 0"),
        ({"concurrency": 0}, "`concurrency` must be"),
        ({"max_tokens": 0}, "`max_input_tokens` must be"),
        ({"max_tokens": 2**64}, "`max_input_tokens` must be"),
        ({"dimensions": 0}, "`dimensions` must be"),
        ({"cache_size": -1}, "`cache_size` must be a whole number from 0 to 4294967295, found -1"),
        ({"max_retries": -1}, "`max_retries` must be a whole number from 0 to 1000, found -1"),
        ({"timeout": 0.0}, "`timeout` must be"),
    ],
)
def test_settings(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidValueError, match=says):
        Embedder("openai/e", api_key="k", **wrong)


@pytest.mark.parametrize("headers", [{"x-a": "b"}, [("x-a", "b")]])
def test_extra_headers(server: FakeServer, headers: Any) -> None:
    embedder(server, extra_headers=headers, extra_query={"q": "1"}, cache_size=np.int64(3)).embed("a")
    assert server.requests[0].headers["x-a"] == "b" and server.requests[0].target == "/v1/embeddings?q=1"
    for wrong in (3, ["ab"], {"a": 1}):
        with pytest.raises(InvalidTypeError, match="extra_headers"):
            embedder(server, extra_headers=wrong)


async def test_progress_may_not_make_a_blocking_call(server: FakeServer) -> None:
    e = embedder(server)

    def nested(done: int, total: int) -> None:
        e.embed("inner")

    with pytest.raises(InvalidValueError, match="progress callback of another call"):
        e.embed_batch(["a"], nested)
    with pytest.raises(InvalidValueError, match="progress callback of another call"):
        await e.aembed_batch(["b"], nested)
