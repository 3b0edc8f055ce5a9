"""Training of the matrix factorisation: what it learns, what it writes, what loads it, what it refuses."""

from __future__ import annotations

import functools
import json
import math
import subprocess
import sys

import numpy as np
import pytest

from fakeserver import FakeServer
from ferroute import _core
from ferroute.embedding import LocalEmbedder
from ferroute.errors import (
    CheckpointError,
    CountMismatchError,
    InvalidTypeError,
    InvalidValueError,
    MissingFileError,
    UnknownNameError,
)
from ferroute.routers.matrix_factorization import train_matrix_factorization as module
from ferroute.routers.matrix_factorization.model import MODEL_IDS, MFModel
from ferroute.routers.matrix_factorization.train_matrix_factorization import (
    MFModel_Train,
    PairwiseDataset,
    evaluator,
    train,
    train_loops,
)
from ferroute.routers.routers import MatrixFactorizationRouter

A, B, C = "gpt-4-1106-preview", "mixtral-8x7b-instruct-v0.1", "koala-13b"
FAST = {"dim": 16, "lr": 3e-3, "alpha": 0.02, "epochs": 60, "patience": 5, "split": 0.8}


def task(count, text_dim=24, seed=1, names=(A, B, C)):
    """Battles whose winner is known from the prompt: the first two models by the sign of a number, the third loses."""
    random = np.random.default_rng(seed)
    embeddings = (random.standard_normal((count, text_dim)) / math.sqrt(text_dim)).astype("float32")
    embeddings[:, 1] = 0.3
    battles = []
    for idx in range(count):
        a, b = [(names[0], names[1]), (names[0], names[2]), (names[2], names[1])][idx % 3]
        winner = "model_a" if a == names[0] else "model_b"
        if names[2] not in (a, b):
            winner = "model_a" if embeddings[idx, 0] > 0 else "model_b"
        battles.append({"idx": idx, "model_a": a, "model_b": b, "winner": winner})
    return battles, embeddings


@pytest.fixture(scope="module")
def trained():
    battles, embeddings = task(3000)
    return train(battles, embeddings, **FAST), embeddings


def test_it_learns_what_the_prompt_decides(trained):
    result, _embeddings = trained
    report = result.report
    assert report.held_out.accuracy > 0.93
    assert report.held_out.low < report.held_out.accuracy < report.held_out.high < 1
    assert 0.72 < report.baseline.accuracy < 0.9
    assert report.held_out.loss < report.baseline.loss - 0.1
    best = report.epochs[report.best_epoch - 1]
    assert best.held_out_loss == min(epoch.held_out_loss for epoch in report.epochs) == report.held_out.loss
    assert len(report.epochs) == min(60, report.best_epoch + 5)
    fresh = task(2000, seed=2)[1]
    rates = result.model.win_rates(A, B, fresh)
    assert np.mean((rates > 0.5) == (fresh[:, 0] > 0)) > 0.93
    assert np.mean(result.model.win_rates(A, C, fresh) > 0.5) > 0.97


def test_the_report_counts_what_came_in():
    battles, embeddings = task(300)
    battles += [
        {"idx": 0, "model_a": A, "model_b": B, "winner": "tie"},
        {"idx": 0, "model_a": A, "model_b": A, "winner": "model_a"},
        {"idx": 0, "model_a": None, "model_b": B, "winner": "model_a"},
    ]
    report = train(battles, embeddings, epochs=1, embedder="mine", date="2026-11-26").report
    found = json.loads(report.to_json())
    assert found["data"]["read"] == 303
    assert found["data"]["dropped"] == {"no model name": 1, "same model twice": 1, "tie": 1}
    assert (found["data"]["train"], found["data"]["held_out"]) == (285, 15)
    assert found["models"] == list(MODEL_IDS)
    assert (found["embedder"], found["date"]) == ({"model": "mine", "kind": "endpoint"}, "2026-11-26")
    assert found["settings"]["lr"] == 3e-4
    assert found["versions"]["ferroute"] == _core.__version__
    text = str(report)
    assert "303 read, 285 for training, 15 held out; left out: no model name: 1" in text
    assert "baseline" in text


def test_ties_may_be_half_a_win_for_either():
    battles, embeddings = task(900)
    for battle in battles:
        if embeddings[battle["idx"], 2] > 0:  # nobody wins these
            battle["winner"] = "tie (bothbad)"
    result = train(battles, embeddings, **FAST, ties="half")
    data, held = result.report.data, result.report.held_out
    ties = sum(battle["winner"].startswith("tie") for battle in battles)
    assert (data["ties"], data["dropped"], data["train"], data["held_out"]) == (ties, {}, 720, 180)
    assert 40 < held.battles < 140  # those with a winner
    assert "of them ties" in str(result.report)
    fresh = task(2000, seed=2)[1]
    rates = result.model.win_rates(A, C, fresh)
    assert rates[fresh[:, 2] < -0.2].mean() > rates[fresh[:, 2] > 0.2].mean() + 0.1
    with pytest.raises(InvalidValueError, match="expected 'drop' or 'half'"):
        train(battles, embeddings, ties="keep")


def test_equal_arguments_give_equal_bytes(tmp_path):
    battles, embeddings = task(400, text_dim=70)
    for name, threads, seed in [("a", 1, 5), ("b", 2, 5), ("c", 1, 6)]:
        train(battles, embeddings, dim=90, epochs=3, seed=seed, threads=threads).save(tmp_path / name)
    files = ["config.json", "model.safetensors", "training.json", "training.txt"]
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == files
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file
    assert (tmp_path / "a/model.safetensors").read_bytes() != (tmp_path / "c/model.safetensors").read_bytes()


def test_one_step_is_the_formula(tmp_path):
    """Two epochs of one batch without noise, against the formulas of loss, gradient and Adam in numpy."""
    battles, embeddings = task(30, text_dim=6)
    data = PairwiseDataset(battles)
    net = MFModel_Train(5, 64, 30, text_dim=6, npy_path=embeddings, seed=3)
    weights = {name: array.astype(float) for name, array in net.state_dict().items()}
    moments = {name: (np.zeros_like(array), np.zeros_like(array)) for name, array in weights.items()}
    rows = np.array([data[i] for i in range(30)])
    x = embeddings.astype(float)[rows[:, 2]]
    lr, decay = 0.01, 0.05
    losses = []
    for step in (1, 2):
        p, w, c = weights["P.weight"], weights["text_proj.0.weight"], weights["classifier.0.weight"][0]
        norms = np.linalg.norm(p, axis=1, keepdims=True)
        unit = p / norms
        side, z = unit[rows[:, 0]] - unit[rows[:, 1]], x @ w.T
        logits = (side * z) @ c
        slope = -1 / (1 + np.exp(logits)) / len(rows)
        to_unit = np.zeros_like(p)
        np.add.at(to_unit, rows[:, 0], slope[:, None] * z * c)
        np.add.at(to_unit, rows[:, 1], -slope[:, None] * z * c)
        gradients = {
            "P.weight": (to_unit - unit * np.sum(unit * to_unit, axis=1, keepdims=True)) / norms,
            "text_proj.0.weight": (slope[:, None] * side * c).T @ x,
            "classifier.0.weight": (slope @ (side * z))[None],
        }
        for name, gradient in gradients.items():
            gradient = gradient + decay * weights[name]
            m, v = moments[name]
            m[:] = 0.9 * m + 0.1 * gradient
            v[:] = 0.999 * v + 0.001 * gradient**2
            weights[name] -= lr * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
        losses.append(np.mean(np.log1p(np.exp(-logits))))
    found = train_loops(
        net, data.get_dataloaders(64, shuffle=False), None, lr, decay, 0.0, 2, evaluator=None, progress_bar=False
    )
    np.testing.assert_allclose(found["train_losses"], losses, rtol=1e-6)
    assert found["test_losses"] == []
    for name, array in net.state_dict().items():
        np.testing.assert_allclose(array, weights[name], rtol=0, atol=2e-5, err_msg=name)


def test_the_originals_names_work():
    battles, embeddings = task(600)
    train_iter = PairwiseDataset(battles[:500]).get_dataloaders(32, shuffle=True)
    test_iter = PairwiseDataset(battles[500:]).get_dataloaders(1024, shuffle=False)
    assert (len(train_iter), len(test_iter)) == (16, 1)
    winners, losers, prompts = next(iter(test_iter))
    assert len(winners) == len(losers) == len(prompts) == 100
    net = MFModel_Train(dim=16, num_models=64, num_prompts=600, text_dim=24, npy_path=embeddings).to("cuda")
    before = evaluator(net, test_iter, "cpu")
    found = train_loops(net, train_iter, test_iter, 3e-3, 1e-5, 0.02, 15, device="cpu", progress_bar=False, other=1)
    loss, accuracy = evaluator(net, test_iter, "cpu")
    assert (found["test_losses"][-1], found["test_acces"][-1]) == (loss, accuracy)
    assert accuracy > 0.85
    assert loss < before[0]
    logits = net.forward(winners, losers, prompts, test=True)
    assert logits.dtype == np.float32
    assert np.mean(net.predict(winners, losers, prompts)) == accuracy
    np.testing.assert_allclose(np.mean(np.log1p(np.exp(-logits.astype(float)))), loss, rtol=1e-5)
    assert not np.array_equal(net(winners, losers, prompts), logits)  # noise
    # Judged without noise: the same every time.
    assert evaluator(net, test_iter, "cpu") == (loss, accuracy)
    # Any iterable of batches will do, and any evaluator.
    calls = []
    train_loops(net, list(train_iter), "mine", 1e-3, 0, 0, 2, "d", lambda *a: calls.append(a) or (1.0, 0.5),
                progress_bar=False)  # fmt: skip
    assert calls == [(net, "mine", "d")] * 2
    model = net.model()
    assert isinstance(model, MFModel)
    np.testing.assert_array_equal(model.P.weight, net.state_dict()["P.weight"])
    with pytest.raises(KeyError):
        PairwiseDataset([{"idx": 0, "model_a": "nobody", "model_b": A, "winner": "model_a"}])
    with pytest.raises(AssertionError):
        PairwiseDataset([{"idx": 0, "model_a": B, "model_b": A, "winner": "tie"}])[0]
    with pytest.raises(InvalidValueError, match=r"expected embeddings \[9, 24\]"):
        MFModel_Train(dim=16, num_models=64, num_prompts=9, text_dim=24, npy_path=embeddings)


def test_a_saved_training_loads_into_the_router(trained, tmp_path):
    result, embeddings = trained
    result.save(tmp_path)
    router = MatrixFactorizationRouter(str(tmp_path), embedder=lambda text: embeddings[int(text)])
    rates = result.model.win_rates(A, B, embeddings)
    np.testing.assert_array_equal(router.score_embeddings(embeddings), rates)
    assert router.calculate_strong_win_rate("7") == rates[7]
    # The standard table needs no names in the configuration: RouteLLM's own five fields, and who was trained.
    config = json.loads((tmp_path / "config.json").read_text())
    assert config.pop("trained") == [B, A, C]
    assert set(config) == {"dim", "num_classes", "num_models", "text_dim", "use_proj"}


def test_models_without_a_battle_are_refused(trained, tmp_path):
    result, embeddings = trained
    assert result.report.trained == result.model.trained_names == [B, A, C]
    assert f"trained 3: {B}, {A}, {C}" in str(result.report)
    result.save(tmp_path)
    for pair in ((A, "gpt-4-0613"), ("gpt-4-0613", B)):
        with pytest.raises(CheckpointError, match=f"no battle .* 'gpt-4-0613'.* Trained are {B}, {A}, {C}"):
            MatrixFactorizationRouter(str(tmp_path), *pair)
    router = MatrixFactorizationRouter(str(tmp_path), C, A)
    for other in ("gpt-4-0613", MODEL_IDS["gpt-4-0613"]):
        with pytest.raises(CheckpointError, match="no battle"):
            router.score_embeddings(embeddings, pairs=[(A, B), (A, other)])
    assert len(router.score_embeddings(embeddings, pairs=[(A, MODEL_IDS[B])])) == 1
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    for broken in (["nobody", A], [A], A, [1, 2], {}):
        path.write_text(json.dumps({**config, "trained": broken}))
        with pytest.raises(CheckpointError, match="`trained`"):
            MFModel.from_pretrained(tmp_path)
    del config["trained"]  # an early checkpoint does not say
    path.write_text(json.dumps(config))
    assert MFModel.from_pretrained(tmp_path).trained_names is None
    MatrixFactorizationRouter(str(tmp_path), "gpt-4-0613", "claude-1")


def test_two_trained_models_are_the_pair(tmp_path):
    embeddings = task(200)[1]
    names = ["gpt-4-0613", "llama-13b"]
    rows = [
        {"idx": i, "model_a": names[i % 2], "model_b": names[1 - i % 2], "winner": "model_a" if i % 2 else "model_b"}
        for i in range(200)
    ]
    rows[0]["winner"] = "model_a"
    train(rows, embeddings, epochs=2).save(tmp_path)
    router = MatrixFactorizationRouter(str(tmp_path))
    assert (router.strong_model_id, router.weak_model_id) == (MODEL_IDS["llama-13b"], MODEL_IDS["gpt-4-0613"])
    with pytest.raises(CheckpointError, match=f"'{B}'"):
        MatrixFactorizationRouter(str(tmp_path), strong_model="llama-13b")
    with pytest.raises(CheckpointError, match=f"'{A}'"):
        MatrixFactorizationRouter(str(tmp_path), A, B)


def test_a_table_of_ones_own_brings_its_names(tmp_path):
    battles, embeddings = task(300, names=("big", "small", "old"))
    train(battles, embeddings, **{**FAST, "epochs": 2}).save(tmp_path)
    model = MFModel.from_pretrained(tmp_path)
    assert model.model_names == ["big", "old", "small"]
    assert model.num_models == 3
    router = MatrixFactorizationRouter(str(tmp_path), "big", "small")
    np.testing.assert_array_equal(router.score_embeddings(embeddings), model.win_rates(0, 2, embeddings))
    np.testing.assert_array_equal(router.score_embeddings(embeddings, pairs=[("big", "old")])[0],
                                  model.win_rates("big", "old", embeddings))  # fmt: skip
    with pytest.raises(
        UnknownNameError, match=r"no model 'gpt-4-1106-preview' in this checkpoint's table: big, old, small"
    ):
        MatrixFactorizationRouter(str(tmp_path))
    config = json.loads((tmp_path / "config.json").read_text())
    for broken in (["big", "big", "old"], ["big"], "big", [1, 2, 3]):
        (tmp_path / "config.json").write_text(json.dumps({**config, "models": broken}))
        with pytest.raises(CheckpointError, match="expected 3 different names"):
            MFModel.from_pretrained(tmp_path)
    given = train(battles, embeddings, models=["small", "big", "old", "spare"], epochs=1)
    assert given.model.model_names == ["small", "big", "old", "spare"]
    with pytest.raises(UnknownNameError, match="no model 'old' in the table of 2"):
        train(battles, embeddings, models=["small", "big"], epochs=1)


def embed_mine(text):
    return np.full(24, len(text) / 100)


def embed_other(text):
    return np.full(24, 1.0)


class Named:
    def __init__(self, name):
        self.name = name

    def __call__(self, text):
        return np.full(24, len(text) / 100)


@pytest.mark.parametrize(
    ("trained_with", "accepted", "refused"),
    [
        ("bge-small", [None, {"model": "bge-small"}, {"api_base": "http://127.0.0.1:1"}, {"model": "openai/bge-small"}],
         [{"model": "other"}, embed_mine, Named("bge-small"), {"model": "bge-small", "dimensions": 24}]),
        ({"model": "openai/bge-small"}, [None, {"model": "bge-small"}], [{"model": "other"}]),
        ("openai/bge-small", [None, {"model": "bge-small"}], [{"model": "other"}]),
        (Named("mine"), [Named("mine")], [None, {"model": "mine"}, {}, {"api_base": "http://127.0.0.1:1"}]),
        ({"model": "e5", "dimensions": 24, "instruction": "query: ", "api_base": "http://127.0.0.1:1"},
         [None, {"model": "e5", "dimensions": 24, "instruction": "query: "}, {"api_key": "x"}],
         [{"model": "e5", "dimensions": 12}, {"model": "e5", "instruction": "passage: "}, embed_mine]),
        (embed_mine, [embed_mine], [None, embed_other, {"model": "embed_mine"}, {"api_base": "http://127.0.0.1:1"}]),
    ],
)  # fmt: skip
def test_another_embedder_is_refused(tmp_path, trained_with, accepted, refused):
    battles, embeddings = task(60)
    train(battles, embeddings, epochs=1, embedder=trained_with).save(tmp_path)
    assert "http" not in (tmp_path / "config.json").read_text()
    for embedder in accepted:
        MatrixFactorizationRouter(str(tmp_path), embedder=embedder)
    for embedder in refused:
        with pytest.raises(CheckpointError, match="trained on embeddings of"):
            MatrixFactorizationRouter(str(tmp_path), embedder=embedder)
        MatrixFactorizationRouter(str(tmp_path), embedder=embedder, check_embedder=False)


@pytest.mark.parametrize(
    "record", [{"model": "ferroute/local-0", "kind": "local"}, {"model": "ferroute/local-0"},
               {"model": "mine", "kind": "callable"}]
)  # fmt: skip
def test_prompts_stay_here_when_the_embedder_is_not_there(tmp_path, record, monkeypatch):
    battles, embeddings = task(60)
    result = train(battles, embeddings, epochs=1)
    result.model.trained_with = record
    result.save(tmp_path)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9")
    for embedder in (None, {"model": record["model"]}, {}, "local"):
        with pytest.raises(CheckpointError, match="trained on embeddings of"):
            MatrixFactorizationRouter(str(tmp_path), embedder=embedder)
    model = MFModel.from_pretrained(tmp_path)
    assert model.embedding_model == "text-embedding-3-small"
    with pytest.raises(CheckpointError, match="trained on embeddings of"):
        model.pred_win_rate(A, B, "a prompt")


def test_the_local_embedder_is_of_one_width(tmp_path):
    battles, embeddings = task(60)
    train(battles, embeddings, epochs=1).save(tmp_path)
    with pytest.raises(CheckpointError, match=r"take embeddings of 24 numbers, and those of .*'local' have 107"):
        MatrixFactorizationRouter(str(tmp_path), embedder="local")
    train(battles, LocalEmbedder().embed_batch(["x"] * 60), epochs=1, embedder=LocalEmbedder()).save(tmp_path)
    for embedder, check in [(None, True), ("local", True), (LocalEmbedder(), True), (None, False)]:
        router = MatrixFactorizationRouter(str(tmp_path), embedder=embedder, check_embedder=check)
        assert 0 < router.calculate_strong_win_rate("hi") < 1


def test_an_embedder_without_a_name_is_refused_in_training():
    battles, embeddings = task(60)

    class Nameless:
        def __call__(self, text):
            raise AssertionError

    for embedder in (Nameless(), lambda text: text, functools.partial(embed_mine), Nameless().__call__):
        with pytest.raises(InvalidValueError, match="has no name of its own"):
            train(battles, embeddings, epochs=1, embedder=embedder)


def test_the_recorded_embedding_model_is_the_one_asked_for(tmp_path):
    battles, embeddings = task(60)
    train(battles, embeddings, epochs=1, embedder="text-embedding-3-large").save(tmp_path)
    router = MatrixFactorizationRouter(str(tmp_path))
    assert router.model.embedding_model == "text-embedding-3-large"


def test_embeddings_of_generate_embeddings_fit_their_battles():
    from ferroute.routers.similarity_weighted.generate_embeddings import get_embeddings

    prompts = ["a prompt that is long enough", "short", "  padded too     ", "another prompt that is long enough"]
    arena = [
        {"model_a": A, "model_b": B, "winner_model_a": 1, "winner_model_b": 0, "prompt": json.dumps([prompts[i % 4]])}
        for i in range(40)
    ]
    arena[3]["winner_model_a"] = 0  # a tie keeps its row
    arena[4]["prompt"] = json.dumps(["a prompt that nobody else has"])
    made = get_embeddings([battle["prompt"] for battle in arena], embedder="local", progress=False)
    assert len(made) == 20
    settings = {"epochs": 2, "dim": 4, "split": 0.5}
    report = train(arena, made, **settings).report
    assert report.data["dropped"] == {"short prompt": 20, "tie": 1}
    assert report.data["train"] + report.data["held_out"] == 19
    # One row a battle works as well, and gives what the texts themselves give.
    rows = LocalEmbedder().embed_batch([json.loads(battle["prompt"])[0].strip() for battle in arena])
    one, other = train(arena, rows, **settings).model, train(arena, embedder="local", **settings).model
    np.testing.assert_allclose(one.P.weight, other.P.weight, atol=1e-6)
    with pytest.raises(CountMismatchError, match="7 embeddings for 40 battles, 20 of them"):
        train(arena, made[:7], **settings)
    # Neither idx nor prompt: a battle's embedding is the one of its position.
    bare = [{key: value for key, value in battle.items() if key != "prompt"} for battle in arena]
    assert train(bare, rows, **settings).report.data["prompts"] == 40
    for wrong in (made, np.concatenate([rows, rows])):
        with pytest.raises(CountMismatchError, match=f"{len(wrong)} embeddings for 40 battles without 'idx'"):
            train(bare, wrong, **settings)


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "jsonl", "npy"])
def test_embeddings_come_from_tables_too(tmp_path, suffix):
    pytest.importorskip("pandas")
    battles, embeddings = task(60)
    path = tmp_path / f"e.{suffix}"
    if suffix == "parquet":
        _core.write_columns(path, {"embeddings": embeddings})
    elif suffix == "arrow":
        pa = pytest.importorskip("pyarrow")
        table = pa.table({"embeddings": pa.array(list(embeddings), pa.list_(pa.float32()))})
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
    elif suffix == "jsonl":
        path.write_text("".join(json.dumps({"embedding": row.tolist()}) + "\n" for row in embeddings))
    else:
        np.save(path, embeddings)
    expected = train(battles, embeddings, epochs=1, dim=8).model
    np.testing.assert_array_equal(train(battles, path, epochs=1, dim=8).model.P.weight, expected.P.weight)
    path.write_bytes(b"something else")
    with pytest.raises(InvalidValueError, match=rf"e\.{suffix}"):
        train(battles, path, epochs=1)


def test_losses_that_overflow_are_never_saved():
    battles, embeddings = task(4000)
    for split in (0.95, 1.0):
        with pytest.raises(InvalidValueError, match=r"loss of epoch 1 is .*: a smaller lr may help"):
            train(battles, embeddings, lr=1e30, epochs=1, batch_size=10_000, split=split)


def test_the_report_says_when_training_had_not_ended(trained):
    battles, embeddings = task(600)
    unfinished = "training had not ended"
    assert unfinished in str(train(battles, embeddings, **{**FAST, "epochs": 1}).report)
    assert unfinished not in str(train(battles, embeddings, epochs=1, split=1).report)
    assert unfinished not in str(trained[0].report)


def test_the_configuration_is_written_once(tmp_path, monkeypatch):
    battles, embeddings = task(60)
    result = train(battles, embeddings, epochs=1, embedder="mine")
    monkeypatch.setattr(
        "pathlib.Path.write_text", None
    )  # the core writes it, and gives it its name when it is complete
    result.model.save_pretrained(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    config = json.loads((tmp_path / "config.json").read_text())
    assert (config["text_dim"], config["trained"], config["embedder"]["model"]) == (24, [B, A, C], "mine")


def test_each_call_has_an_optimizer_of_its_own():
    battles, embeddings = task(300)
    data = PairwiseDataset(battles)
    quiet = {"lr": 3e-3, "weight_decay": 0.0, "alpha": 0.0, "evaluator": None, "progress_bar": False}
    batches = data.get_dataloaders(64, shuffle=False)

    def made():
        return MFModel_Train(8, 64, 300, text_dim=24, npy_path=embeddings)

    twice, fresh = made(), made()
    train_loops(twice, batches, None, num_epochs=1, **quiet)
    fresh.trainer = _core.MfTrainer.of(twice.trainer.model())  # the same weights, and nothing remembered
    for net in (twice, fresh):
        train_loops(net, batches, None, num_epochs=1, **quiet)
    np.testing.assert_array_equal(twice.state_dict()["P.weight"], fresh.state_dict()["P.weight"])


def test_batches_of_others_keep_their_order():
    battles, embeddings = task(300)
    rows = PairwiseDataset(battles).get_dataloaders(1).rows()
    quiet = {"lr": 3e-3, "weight_decay": 0.0, "alpha": 0.0, "evaluator": None, "progress_bar": False}

    class Batches:
        asked = 0

        def __iter__(self):
            self.asked += 1
            for part in np.split(rows, [64, 128, 129, 193, 257]):
                yield part[:, 0].tolist(), part[:, 1], part[:, 2]

    def made():
        return MFModel_Train(8, 64, 300, text_dim=24, npy_path=embeddings)

    net, by_hand, batches = made(), made(), Batches()
    found = train_loops(net, batches, None, num_epochs=2, **quiet)["train_losses"]
    assert batches.asked == 2
    expected = []
    for _ in range(2):
        loss = 0.0
        for part in np.split(rows, [64, 128, 129, 193, 257]):
            loss += len(part) * by_hand.trainer.epoch(
                embeddings, part, batch_size=len(part), lr=3e-3, weight_decay=0, alpha=0
            , shuffle=False)  # fmt: skip
        expected.append(loss / 300)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    np.testing.assert_array_equal(net.state_dict()["P.weight"], by_hand.state_dict()["P.weight"])
    for empty in ([], iter([])):
        with pytest.raises(InvalidValueError, match="batches of battles, found none"):
            train_loops(made(), empty, None, num_epochs=1, **quiet)
    with pytest.raises(InvalidValueError, match="used up after one epoch"):
        train_loops(made(), iter(batches), None, num_epochs=2, **quiet)


def test_hostile_input_is_an_error(tmp_path):
    battles, embeddings = task(40)

    def fails(kind, match, battles=battles, embeddings=embeddings, **settings):
        with pytest.raises(kind, match=match):
            train(battles, embeddings, **{"epochs": 1, **settings})

    fails(InvalidValueError, "no battle with a winner .* is left", battles=[])
    fails(InvalidValueError, r"\(tie: 2\)", battles=[{**battle, "winner": "tie"} for battle in battles[:2]])
    fails(InvalidValueError, "need a column 'model_b'", battles=[{"model_a": A, "winner": "model_a"}])
    fails(InvalidValueError, "need a column 'winner'", battles=[{"model_a": A, "model_b": B}])
    fails(InvalidTypeError, "battle 1: expected a mapping", battles=[battles[0], 7])
    fails(InvalidTypeError, "battles are a path", battles=7)
    fails(InvalidValueError, "idx is a row of the embeddings", battles=[{**battles[0], "idx": -1}])
    fails(InvalidValueError, "idx is a row of the embeddings", battles=[{**battles[0], "idx": 0.5}])
    fails(UnknownNameError, "prompt 40, but there are 40 embeddings", battles=[*battles, {**battles[0], "idx": 40}])
    bad = embeddings.copy()
    bad[7, 3] = np.nan
    fails(InvalidValueError, r"embedding 7 .* holds NaN in column 3", embeddings=bad)
    bad[7, 3] = np.inf
    fails(InvalidValueError, "embedding 7 .* holds inf", embeddings=bad)
    fails(InvalidValueError, r"expected an array \[n, text_dim\]", embeddings=embeddings[0])
    fails(InvalidValueError, "expected numbers, found an array of object", embeddings=embeddings.astype(object))
    np.savez(tmp_path / "several.npz", embeddings)
    fails(InvalidValueError, r"several\.npz: is an archive", embeddings=tmp_path / "several.npz")
    for name, value in [("batch_size", 0), ("lr", -1.0), ("alpha", math.nan), ("epochs", 0), ("dim", 0), ("split", 1.5),
                        ("weight_decay", math.inf), ("threads", 0)]:  # fmt: skip
        fails(InvalidValueError, name, **{name: value})
    for name in ("epochs", "batch_size", "dim", "patience", "seed"):
        for wrong in (-1, 1 << 64):
            fails(InvalidValueError, f"{name}: expected a whole number of at least", **{name: wrong})
        fails(InvalidTypeError, f"{name}: expected a whole number, found str", **{name: "3"})
    fails(InvalidValueError, "idx is a row", battles=[{**battles[0], "idx": 1 << 63}])
    fails(InvalidValueError, "lone surrogates", battles=[{**battles[0], "model_a": "\ud800"}], split=1.0)
    fails(InvalidValueError, "different names", models=[A, A, B])
    fails(InvalidValueError, "both need at least one", split=0.0)
    fails(InvalidValueError, "both need at least one", battles=battles[:1])
    fails(InvalidValueError, "a smaller lr may help", lr=1e30, batch_size=1)
    fails(InvalidValueError, "must be equal to dim", use_proj=False, dim=16)
    fails(MissingFileError, "no file", embeddings=tmp_path / "none.npy")
    (tmp_path / "bad.npy").write_bytes(b"not numpy")
    fails(InvalidValueError, "saved by numpy", embeddings=tmp_path / "bad.npy")
    np.save(tmp_path / "pickle.npy", np.array([{}], dtype=object), allow_pickle=True)
    fails(InvalidValueError, "saved by numpy", embeddings=tmp_path / "pickle.npy")
    assert train(battles, embeddings, epochs=1, split=1.0).report.held_out is None
    assert train(battles[:1], embeddings, epochs=1, split=1.0, batch_size=1).report.data["train"] == 1
    assert train(battles, embeddings, epochs=1, use_proj=False, dim=24).model.use_proj is False


def test_ctrl_c_and_callers_end_a_training():
    battles, embeddings = task(60)
    rows = np.array([PairwiseDataset(battles)[i] for i in range(60)], dtype=np.int64)
    trainer = _core.MfTrainer(4, 64, 24)

    def stop(number, _loss, _held):
        if number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer.fit(embeddings, rows, rows[:0], epochs=5, on_epoch=stop)
    with pytest.raises(InvalidValueError, match="is in training"):
        trainer.fit(embeddings, rows, rows[:0], epochs=1, on_epoch=lambda *_: trainer.model())


@pytest.mark.parametrize("kind", ["json", "jsonl", "csv", "parquet"])
def test_the_program(tmp_path, kind):
    pandas = pytest.importorskip("pandas")
    battles, embeddings = task(200)
    path = tmp_path / f"battles.{kind}"
    frame = pandas.DataFrame(battles)
    if kind == "csv":
        frame.to_csv(path, index=False)
    elif kind == "parquet":
        frame.to_parquet(path)
    else:
        frame.to_json(path, orient="records", lines=kind == "jsonl")
    np.save(tmp_path / "e.npy", embeddings)
    name = "routellm.routers.matrix_factorization.train_matrix_factorization"
    command = [sys.executable, "-W", "error", "-m", name, "--battles", path, "--embeddings", tmp_path / "e.npy"]
    command += ["--output", tmp_path / "out", "--epochs", "2", "--dim", "8", "--seed", "3"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "2/2" in done.stderr  # the bar
    assert "200 read, 190 for training, 10 held out" in done.stdout
    expected = train(battles, embeddings, epochs=2, dim=8, seed=3)
    found = MFModel.from_pretrained(tmp_path / "out")
    np.testing.assert_array_equal(found.P.weight, expected.model.P.weight)
    assert (tmp_path / "out" / "training.json").read_text() == expected.report.to_json()


def test_the_program_says_what_is_wrong(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        module.main(
            ["--battles", str(tmp_path / "none.json"), "--embeddings", "x.npy", "--output", str(tmp_path / "o")]
        )
    assert "none.json" in str(ended.value)
    assert not (tmp_path / "o").exists()
    # An output that cannot be is found before the work.
    (tmp_path / "file").write_text("")
    for output in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(SystemExit, match=r"expected a folder to write to, and .*file is a file"):
            module.main(["--battles", str(tmp_path / "none.json"), "--output", str(output)])
    with pytest.raises(SystemExit) as ended:
        module.main([])
    assert ended.value.code == 2


def test_import_is_free():
    code = (
        "import sys; import ferroute.routers.matrix_factorization.train_matrix_factorization, "
        "ferroute.routers.similarity_weighted.generate_embeddings, ferroute.evals.find_contaminated; "
        "print([m for m in ('numpy', 'pandas', 'tqdm', 'torch', 'openai', 'tokenizers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- offline, on real outcomes


@pytest.fixture(scope="module")
def benchmark_battles():
    """MMLU and GSM8K: battles between the strong and the weak model; parts for training and, untouched, for a test."""
    from conftest import ROOT

    data = ROOT / "python" / "ferroute" / "data" / "benchmarks"
    battles = []
    for name in ("mmlu", "gsm8k"):
        columns = _core.read_columns(data / f"{name}.parquet", ["prompt", "strong", "weak"])
        for prompt, strong, weak in zip(columns["prompt"], columns["strong"], columns["weak"], strict=True):
            winner = "tie" if strong == weak else "model_a" if strong else "model_b"
            battles.append({"prompt": prompt, "model_a": A, "model_b": B, "winner": winner})
    order = np.random.default_rng(0).permutation(len(battles))
    return [battles[i] for i in order[:12_000]], [battles[i] for i in order[12_000:]]


def test_an_offline_router_from_outcomes(benchmark_battles, tmp_path):
    fitting, rest = benchmark_battles
    result = train(fitting, embedder="local", dim=32, alpha=0.02, lr=3e-3, split=0.9, ties="half")
    result.save(tmp_path)
    router = MatrixFactorizationRouter(str(tmp_path))
    decided = [battle for battle in rest if battle["winner"] != "tie"]
    rates = router.calculate_strong_win_rates([battle["prompt"] for battle in decided])
    won = np.array([battle["winner"] == "model_a" for battle in decided])
    # Area under the curve of telling strong wins from weak wins, on prompts that training never saw: better than a
    # coin, and no miracle.
    order = np.argsort(rates)
    ranks = np.empty(len(rates))
    ranks[order] = np.arange(1, len(rates) + 1)
    wins = int(won.sum())
    auc = (ranks[won].sum() - wins * (wins + 1) / 2) / (wins * (len(won) - wins))
    assert 0.53 < auc < 0.75
    assert router.calculate_strong_win_rate(decided[0]["prompt"]) == rates[0]
    assert json.loads((tmp_path / "config.json").read_text())["embedder"] == {
        "model": "ferroute/local-1",
        "kind": "local",
    }
    with pytest.raises(CheckpointError, match="'ferroute/local-1', and this router would embed with 'other'"):
        MatrixFactorizationRouter(str(tmp_path), embedder={"model": "other"})


def test_the_command(tmp_path, capsys):
    from ferroute.cli import main

    battles = [
        {"prompt": f"{kind} number {i}", "model_a": "big", "model_b": "small", "winner": winner}
        for i in range(40)
        for kind, winner in [("Prove the theorem", "model_a"), ("Say hello", "model_b")]
    ]
    path = tmp_path / "battles.jsonl"
    path.write_text("".join(json.dumps(battle) + "\n" for battle in battles))

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            main(["train", "mf", "--battles", str(path), *arguments])
        return ended.value.code or 0, capsys.readouterr()

    code, printed = run(
        "--embedder", "local", "-o", str(tmp_path / "out"), "--dim", "8", "--lr", "0.01", "--epochs", "30"
    )
    assert code == 0, printed.err
    assert "80 read, 76 for training, 4 held out" in printed.out
    assert printed.err == ""
    router = MatrixFactorizationRouter(str(tmp_path / "out"), "big", "small")
    hard, easy = router.calculate_strong_win_rates(["Prove the theorem again", "Say hello to everybody"])
    assert hard > 0.5 > easy
    code, printed = run("-o", str(path), "--embedder", "local")
    assert code == 1
    assert "expected a folder to write to" in printed.err
    code, printed = run("-o", str(tmp_path / "out"), "--embedder", "local", "--dimensions", "8")
    assert code == 2
    assert "--dimensions is for an endpoint" in printed.err
    settings = ["--embedder", "local", "--no-proj", "--dim", "107", "--epochs", "1"]
    assert run("-o", str(tmp_path / "bare"), *settings)[0] == 0
    assert MFModel.from_pretrained(tmp_path / "bare").use_proj is False
    with FakeServer(dim=6) as server:
        code, printed = run("-o", str(tmp_path / "e5"), "--embedder", "e5", "--api-base", server.url, "--epochs", "1",
                            "--instruction", "query: ", "--dimensions", "6")  # fmt: skip
        assert code == 0, printed.err
        asked = server.requests[0].json
    assert (asked["dimensions"], asked["input"][0]) == (6, "query: Prove the theorem number 0")
    assert MFModel.from_pretrained(tmp_path / "e5").trained_with == {
        "kind": "endpoint", "model": "e5", "dimensions": 6, "instruction": "query: ",
    }  # fmt: skip
    code, printed = run("-o", str(tmp_path / "other"))
    assert code == 1
    assert printed.err.startswith("ferroute: the prompts need an embedder")
    assert not (tmp_path / "other").exists()
