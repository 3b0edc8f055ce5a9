"""Where the embedding of a prompt comes from, and that a router uses it."""

from __future__ import annotations

import asyncio
import pickle
from types import SimpleNamespace

import numpy as np
import pytest

from conftest import GOLDENS
from fakeserver import Answer, FakeServer
from ferroute.controller import Controller
from ferroute.routers.matrix_factorization import model as mf_model
from ferroute.routers.routers import MatrixFactorizationRouter
from ferroute.routers.similarity_weighted import utils as sw_utils

MAIN = GOLDENS / "mf" / "main"
X = np.load(MAIN / "embeddings.npy")
EXPECTED = np.load(MAIN / "win_rates.npy")[0]


class Client:
    """An object in the shape of an OpenAI client, as users assign them."""

    def __init__(self, rows=X, one_only=False):
        self.rows, self.one_only, self.calls = rows, one_only, []
        self.embeddings = SimpleNamespace(create=self.create)

    def create(self, *, input, model):  # noqa: A002 - the client's own name
        self.calls.append((input, model))
        texts = input[:1] if self.one_only else input
        return SimpleNamespace(data=[SimpleNamespace(embedding=self.rows[int(t)].tolist()) for t in texts])


def router(**kwargs):
    return MatrixFactorizationRouter(str(MAIN / "checkpoint"), **kwargs)


@pytest.mark.parametrize("module", ["matrix_factorization.model", "similarity_weighted.utils", "routers"])
def test_assigned_clients_are_honoured_at_call_time(module, monkeypatch):
    import importlib

    r = router()
    client = Client()
    monkeypatch.setattr(importlib.import_module(f"ferroute.routers.{module}"), "OPENAI_CLIENT", client)
    assert r.calculate_strong_win_rate("3") == pytest.approx(EXPECTED[3], abs=5e-6)
    r.model.embedding_model = "another"
    r.calculate_strong_win_rate("4")
    assert client.calls == [(["3"], "text-embedding-3-small"), (["4"], "another")]


def test_the_modules_own_name_comes_first(monkeypatch):
    first, second = Client(), Client()
    monkeypatch.setattr(sw_utils, "OPENAI_CLIENT", second)
    monkeypatch.setattr(mf_model, "OPENAI_CLIENT", first)
    router().calculate_strong_win_rate("0")
    assert (len(first.calls), len(second.calls)) == (1, 0)


@pytest.mark.parametrize("one_only", [False, True])
def test_batches_through_an_assigned_client(monkeypatch, one_only):
    monkeypatch.setattr(mf_model, "OPENAI_CLIENT", Client(one_only=one_only))
    c = Controller(["mf"], "big", "small", config={"mf": {"checkpoint_path": str(MAIN / "checkpoint")}})
    rates = c.batch_calculate_win_rate([str(i) for i in range(20)], "mf")
    np.testing.assert_allclose(rates, EXPECTED[:20], atol=5e-6)


@pytest.mark.parametrize(
    "embedder",
    [
        lambda text: X[int(text)],
        lambda text: X[int(text)].tolist(),
        lambda text: X[int(text)][None, :].astype(np.float64),
        lambda text: [X[int(text)].tolist()],
    ],
    ids=["array", "list", "batch of one", "list of one"],
)
async def test_any_callable(embedder):
    c = Controller(
        ["mf"], "big", "small", config={"mf": {"checkpoint_path": str(MAIN / "checkpoint"), "embedder": embedder}}
    )
    assert c.decide("5", "mf", 0.5).win_rate == pytest.approx(EXPECTED[5], abs=5e-6)
    assert await c.routers["mf"].acalculate_strong_win_rate("5") == c.decide("5", "mf", 0.5).win_rate
    np.testing.assert_allclose(c.batch_calculate_win_rate(["1", "2"], "mf"), EXPECTED[1:3], atol=5e-6)


def test_a_configured_embedder_beats_an_assigned_client(monkeypatch):
    client = Client()
    monkeypatch.setattr(mf_model, "OPENAI_CLIENT", client)
    router(embedder=lambda text: X[0]).calculate_strong_win_rate("9")
    assert client.calls == []


def test_patched_pred_win_rate_is_honoured():
    r = router(embedder=lambda text: X[0])
    r.model.pred_win_rate = lambda a, b, prompt: 0.125
    assert r.calculate_strong_win_rate("x") == 0.125
    assert asyncio.run(r.acalculate_strong_win_rate("x")) == 0.125
    assert r.calculate_strong_win_rates(["x", "y"]).tolist() == [0.125, 0.125]


def test_mistakes_in_the_configuration():
    with pytest.raises(ValueError, match="unknown embedder settings: base_ulr; known are model"):
        router(embedder={"base_ulr": "x"})
    with pytest.raises(TypeError, match="callable from a text to a vector; found int"):
        router(embedder=5)
    with pytest.raises(KeyError, match="did you mean 'gpt-4-1106-preview'"):
        router(strong_model="gpt-4-1106-previw")


def test_a_vector_that_does_not_fit_is_explained():
    with pytest.raises(ValueError, match=r"1536.*7|7.*1536"):
        router(embedder=lambda text: [0.0] * 7).calculate_strong_win_rate("x")


def test_pickle():
    r = pickle.loads(pickle.dumps(router()))
    np.testing.assert_allclose(r.score_embeddings(X), EXPECTED, atol=5e-6)
    assert r.model.embedder is r.embedder


def test_sizes_may_be_given_or_left_to_the_checkpoint():
    small = str(GOLDENS / "mf" / "small" / "checkpoint")
    for sizes in ({}, {"hidden_size": 16, "num_models": 8, "text_dim": 384}):
        r = MatrixFactorizationRouter(small, strong_model="claude-2.1", weak_model="claude-1", **sizes)
        assert r.model.text_dim == 384
    with pytest.raises(ValueError, match="128"):
        MatrixFactorizationRouter(small, hidden_size=128)


def test_pairs_in_one_pass():
    r = router()
    both = r.score_embeddings(X, pairs=[(24, 36), ("claude-2.1", "mistral-7b-instruct")])
    assert both.shape == (2, 32)
    np.testing.assert_allclose(both[0], EXPECTED, atol=5e-6)
    np.testing.assert_allclose(both[1], np.load(MAIN / "win_rates.npy")[2], atol=5e-6)


def endpoint(server, **more):
    return {"model": "small-embedder", "api_base": server.url, "api_key": "secret-embedding-key", **more}


async def test_an_endpoint_of_its_own():
    with FakeServer(dim=1536) as server:
        c = Controller(
            ["mf"],
            "openai/big",
            "openai/small",
            api_base="http://127.0.0.1:1/v1",
            config={"mf": {"checkpoint_path": str(MAIN / "checkpoint"), "embedder": endpoint(server)}},
        )
        r = c.routers["mf"]
        assert r.model.embedding_model == "small-embedder"
        one = c.decide("a prompt", "mf", 0.5)
        assert 0 <= one.win_rate <= 1
        assert one.notes == ()
        assert await r.acalculate_strong_win_rate("a prompt") == one.win_rate
        seen = [(q.path, q.json["model"]) for q in server.requests]
        assert seen == [("/v1/embeddings", "small-embedder")], "the second and third time come from the cache"
        rates = c.batch_calculate_win_rate(["a prompt", "b", "c"], "mf")
        assert rates[0] == pytest.approx(one.win_rate)
        assert "secret" not in repr(r) + repr(r.embedder) + repr(c)


def test_base_url_is_another_name_for_api_base():
    with FakeServer(dim=1536) as server:
        settings = {"model": "small-embedder", "base_url": server.url, "api_key": "k", "timeout": np.int64(5)}
        assert len(router(embedder=settings).embedder.embed("x")) == 1536
        both = router(embedder={**settings, "base_url": "http://127.0.0.1:1", "api_base": server.url})
        assert len(both.embedder.embed("x")) == 1536 and "base_url" in settings
        assert len(server.requests) == 2


def test_the_repr_shows_no_part_of_an_address_that_may_be_secret():
    settings = {"api_base": "https://user:secret@host/v1?key=secret", "api_key": "secret"}
    assert repr(router(embedder=settings).embedder).endswith(" at https://host/v1>")


def test_a_cut_prompt_leaves_a_note():
    with FakeServer(dim=1536) as server:
        c = Controller(
            ["mf"],
            "openai/big",
            "openai/small",
            config={
                "mf": {
                    "checkpoint_path": str(MAIN / "checkpoint"),
                    "embedder": endpoint(server, max_input_tokens=100),
                }
            },
        )
        d = c.decide("word " * 5000, "mf", 0.5)
        assert len(d.notes) == 1
        assert "longer than the embedding model takes" in d.notes[0]
        assert len(server.requests[0].json["input"][0]) < 5000


def test_failures_are_openais_own():
    import openai

    with FakeServer(dim=1536) as server:
        server.then(Answer(status=401))
        r = router(embedder=endpoint(server, max_retries=0))
        with pytest.raises(openai.AuthenticationError) as caught:
            r.calculate_strong_win_rate("x")
        assert "secret" not in repr(caught.value) + str(caught.value)


def test_class_patches_of_pred_win_rate_are_honoured_everywhere():
    from unittest.mock import patch

    r = router(embedder=lambda text: X[0])
    with patch.object(mf_model.MFModel, "pred_win_rate", return_value=0.75):
        assert r.calculate_strong_win_rate("x") == 0.75
        assert asyncio.run(r.acalculate_strong_win_rate("x")) == 0.75
        assert r.calculate_strong_win_rates(["x"]).tolist() == [0.75]


def test_any_embedding_model_of_the_server_in_the_environment(monkeypatch):
    with FakeServer(dim=1536) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "dummy-key-for-a-proxy")
        r = router()
        for name in ("nomic-embed-text", "BAAI/bge-m3"):
            r.model.embedding_model = name
            assert 0 <= r.calculate_strong_win_rate("x") <= 1
        assert [q.json["model"] for q in server.requests] == ["nomic-embed-text", "BAAI/bge-m3"]
    with FakeServer(dim=1536) as other:
        monkeypatch.setenv("OPENAI_BASE_URL", other.url)
        r.calculate_strong_win_rate("x")
        assert len(other.requests) == 1


def test_reaching_through_the_placeholder(monkeypatch):
    from unittest.mock import patch

    from ferroute import _openai_client

    fresh = _openai_client.LazyOpenAI()
    for home in (mf_model, sw_utils, __import__("ferroute.routers.routers", fromlist=["x"])):
        monkeypatch.setattr(home, "OPENAI_CLIENT", fresh)
    monkeypatch.setattr(_openai_client, "OPENAI_CLIENT", fresh)
    monkeypatch.setenv("OPENAI_API_KEY", "not-a-key")
    answer = SimpleNamespace(data=[SimpleNamespace(embedding=X[2].tolist())])
    with patch("routellm.routers.matrix_factorization.model.OPENAI_CLIENT.embeddings.create", return_value=answer) as m:
        assert router().calculate_strong_win_rate("x") == pytest.approx(EXPECTED[2], abs=5e-6)
    m.assert_called_once_with(input=["x"], model="text-embedding-3-small")
    fresh.base_url = "http://127.0.0.1:1/v1"
    assert "127.0.0.1" in str(fresh.base_url)


async def test_an_asynchronous_embedder():
    async def embedder(text):
        await asyncio.sleep(0)
        return X[int(text)]

    r = router(embedder=embedder)
    assert await r.acalculate_strong_win_rate("5") == pytest.approx(EXPECTED[5], abs=5e-6)
    with pytest.raises(TypeError, match="the embedder is asynchronous"):
        r.calculate_strong_win_rate("5")
    with pytest.raises(TypeError, match="the embedder is asynchronous"):
        r.calculate_strong_win_rates(["5"])


@pytest.mark.parametrize("wrong", [None, "text", {"a": 1}, [[1.0], [2.0]]])
def test_what_a_callable_may_not_return_in_a_batch(wrong):
    r = router(embedder=lambda text: X[0] if text == "good" else wrong)
    with pytest.raises(TypeError, match="prompt 1: the embedder gives a vector of numbers"):
        r.calculate_strong_win_rates(["good", "bad"])


def test_vectors_of_different_widths():
    r = router(embedder=lambda text: [0.5] * (1536 + len(text)))
    with pytest.raises(ValueError, match="prompt 1: its embedding has 1538 numbers, those before 1537"):
        r.calculate_strong_win_rates(["a", "ab"])
