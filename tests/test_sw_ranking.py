"""The similarity-weighted ranking against the original's numbers, from the Python face."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conftest import GOLDENS
from ferroute import _core
from ferroute.controller import Controller
from ferroute.errors import CheckpointError, InvalidTypeError, InvalidValueError, UnknownNameError
from ferroute.routers import routers
from ferroute.routers.routers import SWRankingRouter, compute_elo_mle_with_tie, compute_tiers, preprocess_battles

HERE = GOLDENS / "sw_ranking"
VARIANTS = ["main", "small", "tier_sensitive"]
QUERIES = ["queries", "queries_negative"]


def config(variant: str) -> dict:
    return json.loads((HERE / variant / "config.json").read_text())


def make(variant: str, form: str = "parquet", **options) -> SWRankingRouter:
    given = config(variant)
    return SWRankingRouter(
        [HERE / variant / f"{name}.{form}" for name in given["battle_files"]],
        [HERE / variant / name for name in given["embedding_files"]],
        given["strong_model"],
        given["weak_model"],
        given["num_tiers"],
        **options,
    )


def tiers_of(variant: str, which: str) -> dict[str, int]:
    return json.loads((HERE / variant / "model2tier.json").read_text())[which]


def load(variant: str, name: str) -> np.ndarray:
    return np.load(HERE / variant / f"{name}.npy")


@pytest.fixture(scope="module", params=VARIANTS)
def variant(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def original_tiers(variant) -> SWRankingRouter:
    return make(variant, model2tier=tiers_of(variant, "model2tier_original"))


@pytest.fixture(scope="module")
def small() -> SWRankingRouter:
    return make("small")


def client(vectors) -> SimpleNamespace:
    """An embedding client that answers each text with the vector of that name, and writes down what it is asked."""
    asked = []

    def create(**request):
        asked.append(request)
        return SimpleNamespace(data=[SimpleNamespace(embedding=vectors[text]) for text in request["input"]])

    return SimpleNamespace(embeddings=SimpleNamespace(create=create), asked=asked)


# --- goldens


@pytest.mark.parametrize("form", ["parquet", "jsonl"])
def test_kept_battles_and_winners(variant, form):
    router = make(variant, form)
    kept = load(variant, "kept_mask").astype(bool)
    frame = router.arena_df
    assert list(frame.columns) == ["model_a", "model_b", "winner"]
    np.testing.assert_array_equal(frame.index, np.flatnonzero(kept))
    np.testing.assert_array_equal(frame["winner"], np.array(["model_a", "model_b", "tie"])[load(variant, "winner")])
    assert router.arena_conv_embedding.shape == (kept.sum(), router.arena_conv_embedding.shape[1])
    stored = np.concatenate([np.load(HERE / variant / name) for name in config(variant)["embedding_files"]])
    np.testing.assert_array_equal(router.arena_conv_embedding, stored)


def test_model_ratings_and_tiers(variant):
    router = make(variant)
    found = json.loads((HERE / variant / "ratings.json").read_text())
    exact, original = dict(found["ratings_exact_desc"]), dict(found["ratings_original_desc"])
    assert router.model_ratings == pytest.approx(exact, rel=0, abs=1e-5)
    assert router.model_ratings == pytest.approx(original, rel=0, abs=3)
    assert list(router.model_ratings) == list(exact)
    assert router.model2tier == tiers_of(variant, "model2tier_from_exact_ratings")


@pytest.mark.parametrize("queries", QUERIES)
def test_win_rates(variant, queries, original_tiers):
    x = load(variant, queries)
    exact = load(variant, f"{queries}_win_rates_exact")
    found = original_tiers.score_embeddings(x)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-7)
    np.testing.assert_allclose(found, load(variant, f"{queries}_win_rates"), rtol=0, atol=3e-3)
    one_by_one = [original_tiers.score_embeddings(x[i : i + 1])[0] for i in range(len(x))]
    np.testing.assert_allclose(one_by_one, exact, rtol=0, atol=1e-7)
    own_tiers = make(variant).score_embeddings(x)
    from_exact = load(variant, f"{queries}_win_rates_exact_from_exact_tiers")
    np.testing.assert_allclose(own_tiers, from_exact, rtol=0, atol=1e-7)


@pytest.mark.parametrize("queries", QUERIES)
def test_tier_ratings(variant, queries, original_tiers):
    x = load(variant, queries)
    found = [list(original_tiers.tier_ratings(row).values()) for row in x]
    np.testing.assert_allclose(found, load(variant, f"{queries}_tier_elo_exact"), rtol=0, atol=1e-5)
    np.testing.assert_allclose(found, load(variant, f"{queries}_tier_elo"), rtol=0, atol=3)


@pytest.mark.parametrize("queries", QUERIES)
def test_weightings(variant, queries, original_tiers):
    seen = []

    class Watched(SWRankingRouter):
        def get_weightings(self, similarities):
            seen.append(super().get_weightings(similarities))
            return seen[-1]

    router = make(variant)
    router.__class__ = Watched
    x = load(variant, queries)
    rates = router.score_embeddings(x)
    np.testing.assert_allclose(seen[0], load(variant, f"{queries}_weightings_first"), rtol=1e-10, atol=0)
    expected = load(variant, f"{queries}_win_rates_exact_from_exact_tiers")
    np.testing.assert_allclose(rates, expected, rtol=0, atol=1e-7)


def test_tier_cases():
    for case in json.loads((HERE / "tier_cases.json").read_text()):
        labels = [f"m{i}" for i in range(len(case["ratings_desc"]))]
        found = compute_tiers(pd.Series(case["ratings_desc"], index=labels), case["num_tiers"])
        assert list(found.items()) == list(zip(labels, case["tiers"], strict=True))


def by_numpy(ratings: list[float], num_tiers: int) -> list[int]:
    """The original's dynamic program: costs of i..=j in t + 1 runs."""
    n = len(ratings)
    costs, cuts = np.zeros((n, n, num_tiers)), np.zeros((n, n, num_tiers), int)
    for i in range(n):
        for j in range(i + 1, n):
            costs[i, j, 0] = np.var(ratings[i : j + 1])
    for t in range(1, num_tiers):
        for i in range(n):
            for j in range(i + 1, n):
                found = [costs[i, cut, t - 1] + costs[cut + 1, j, 0] for cut in range(i, j)]
                cuts[i, j, t] = i + int(np.argmin(found))
                costs[i, j, t] = min(found)
    ends, end = [n - 1], n
    for t in range(num_tiers - 1, 0, -1):
        ends.append(int(cuts[0, end - 1, t]))
        end = ends[-1] + 1
    tiers, start = [0] * n, 0
    for tier, last in enumerate(reversed(ends)):
        if last >= start:
            tiers[start : last + 1] = [tier] * (last + 1 - start)
            start = last + 1
    return tiers


def test_ties_between_cuts_fall_as_with_numpy():
    assert list(compute_tiers(dict(enumerate([5, 5, 5, 4, 3, 3, 3, 1])), 3).values()) == [0, 0, 0, 1, 1, 1, 1, 2]
    random = np.random.default_rng(7)
    for _ in range(150):
        n, num_tiers = int(random.integers(1, 15)), int(random.integers(1, 8))
        kind = random.integers(3)
        if kind == 0:
            ratings = random.integers(0, 6, n).astype(float)
        elif kind == 1:
            ratings = np.round(random.normal(1000, 3, n), 1)
        else:
            ratings = random.choice(random.normal(1000, 90, 4), n)
        ratings = sorted(ratings.tolist(), reverse=True)
        assert list(compute_tiers(dict(enumerate(ratings)), num_tiers).values()) == by_numpy(ratings, num_tiers)
    # Runs so long that numpy adds them in eight sums, and in halves.
    ratings = sorted(random.integers(0, 9, 300).astype(float).tolist(), reverse=True)
    assert compute_tiers(dict(enumerate(ratings)), 1) == dict.fromkeys(range(300), 0)


def test_tiers_of_either_ratings():
    found = json.loads((HERE / "tier_sensitive" / "ratings.json").read_text())
    for ratings, tiers in [
        ("ratings_original_desc", "model2tier_original"),
        ("ratings_exact_desc", "model2tier_from_exact_ratings"),
    ]:
        assert compute_tiers(dict(found[ratings]), 10) == tiers_of("tier_sensitive", tiers)


def test_the_functions_give_what_the_router_gives(variant):
    given = config(variant)
    frame = pd.concat([pd.read_json(HERE / variant / f"{n}.jsonl", lines=True) for n in given["battle_files"]])
    frame = frame.reset_index(drop=True)
    kept = preprocess_battles(frame)
    assert {"first_turn", "winner"} <= set(frame.columns)
    assert list(kept.columns) == ["model_a", "model_b", "winner"]
    np.testing.assert_array_equal(kept.index, np.flatnonzero(load(variant, "kept_mask")))
    ratings = compute_elo_mle_with_tie(kept)
    router = make(variant)
    assert list(ratings.index) == list(router.model_ratings)
    np.testing.assert_allclose(ratings, list(router.model_ratings.values()), rtol=0, atol=1e-9)
    assert compute_tiers(ratings, given["num_tiers"]) == router.model2tier
    x = load(variant, "queries")
    weights = load(variant, "queries_weightings_first")
    tiers = compute_elo_mle_with_tie(router.arena_df, sample_weight=weights)
    assert tiers.to_dict() == pytest.approx(router.tier_ratings(x[0]), rel=0, abs=1e-6)
    assert list(tiers) == sorted(tiers, reverse=True)


# --- functions by themselves


def test_elo_by_hand():
    frame = pd.DataFrame({"model_a": ["x", "x", "x", "y"], "model_b": ["y"] * 3 + ["x"], "winner": ["model_a"] * 4})
    ratings = compute_elo_mle_with_tie(frame)
    assert ratings.to_dict() == pytest.approx({"x": 1000 + 200 * np.log10(3), "y": 1000 - 200 * np.log10(3)})
    other = compute_elo_mle_with_tie(frame, SCALE=1, BASE=np.e, INIT_RATING=0)
    assert other.to_dict() == pytest.approx({"x": np.log(3) / 2, "y": -np.log(3) / 2})
    weighted = compute_elo_mle_with_tie(frame, sample_weight=[1, 1, 1, 3])
    assert weighted.to_dict() == pytest.approx({"x": 1000, "y": 1000})
    tied = frame.assign(winner=["tie (bothbad)", "tie", "model_a", "model_a"])
    assert compute_elo_mle_with_tie(tied)["x"] == pytest.approx(1000)
    frame["model_b"] = ["llama-2-70b-chat"] * 3 + ["x"]
    assert compute_elo_mle_with_tie(frame)["llama-2-70b-chat"] == 1082
    assert len(compute_elo_mle_with_tie(frame.iloc[:0])) == 0


def test_elo_says_what_is_wrong():
    frame = pd.DataFrame({"model_a": ["x", "y"], "model_b": ["y", "x"], "winner": ["model_a", "nobody"]})
    with pytest.raises(InvalidValueError, match=r"battle 1: expected a winner of .*found 'nobody'"):
        compute_elo_mle_with_tie(frame)
    frame["winner"] = "tie"
    for weights in ([1.0], [1.0, -1.0], [1.0, np.nan]):
        with pytest.raises(InvalidValueError):
            compute_elo_mle_with_tie(frame, sample_weight=weights)
    with pytest.raises(InvalidValueError, match="BASE"):
        compute_elo_mle_with_tie(frame, BASE=1)
    frame.loc[1, "model_b"] = None
    with pytest.raises(InvalidValueError, match=r"battle 1: .*missing"):
        compute_elo_mle_with_tie(frame)


def test_tiers_say_what_is_wrong():
    assert compute_tiers({}, 3) == {}
    assert compute_tiers({"worse": 1.0, "better": 2.0}, 2) == {"better": 0, "worse": 1}
    with pytest.raises(InvalidValueError, match="num_tiers"):
        compute_tiers({"a": 1.0}, 0)
    with pytest.raises(InvalidValueError, match="'a' is nan"):
        compute_tiers({"a": float("nan")}, 2)
    with pytest.raises(InvalidTypeError):
        compute_tiers([1.0], 2)


def test_preprocessing_edge_cases():
    turns = [
        "\u001c sixteen letters \u3000",
        "fifteen letters",
        "\ud83d" + "x" * 15,
        "\U0001f600" * 16,
        "\u200b" + " " * 30,
    ]
    frame = pd.DataFrame(
        {
            "model_a": "x",
            "model_b": "y",
            "prompt": [json.dumps([turn, "more"]) for turn in turns],
            "winner_model_a": [1, 0, 0, 1, 0],
            "winner_model_b": [0, 1, 1, 1, 0],
        }
    )
    frame.index = [5, 5, 7, 8, 9]
    kept = preprocess_battles(frame)
    assert list(kept.index) == [7, 8]
    assert list(frame["winner"]) == ["model_a", "model_b", "model_b", "model_a", "tie"]
    assert list(frame["first_turn"]) == [turn.strip() for turn in turns]
    frame["prompt"] = "no JSON"
    with pytest.raises(InvalidValueError, match="battle 0: expected a JSON list"):
        preprocess_battles(frame)
    with pytest.raises(KeyError, match="winner_model_b"):
        preprocess_battles(frame.drop(columns="winner_model_b"))


def test_modules_do_not_need_pandas():
    code = (
        "import sys; import ferroute.routers.similarity_weighted.router, ferroute.routers.similarity_weighted.utils;"
        "sys.exit(any(name in sys.modules for name in ('numpy', 'pandas', 'openai', 'huggingface_hub')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- the router


def test_prompts_go_through_the_assigned_client(small, monkeypatch):
    x = load("small", "queries")
    rates = small.score_embeddings(x)
    vectors = {f"prompt {i}": row.tolist() for i, row in enumerate(x)}
    for module in (routers, sys.modules["ferroute.routers.similarity_weighted.utils"]):
        fake = client(vectors)
        with monkeypatch.context() as patch:
            patch.setattr(module, "OPENAI_CLIENT", fake)
            patch.setattr(small, "embedding_model", "mine")
            assert small.calculate_strong_win_rate("prompt 1") == pytest.approx(rates[1], rel=0, abs=1e-12)
            assert asyncio.run(small.acalculate_strong_win_rate("prompt 2")) == pytest.approx(
                rates[2], rel=0, abs=1e-12
            )
            together = small.calculate_strong_win_rates(list(vectors))
        np.testing.assert_allclose(together, rates, rtol=0, atol=1e-12)
        assert fake.asked[0] == {"input": ["prompt 1"], "model": "mine"}
        assert len(fake.asked) == 3
    assert len(small.calculate_strong_win_rates([])) == 0
    with pytest.raises(InvalidTypeError, match="prompt is a string"):
        small.calculate_strong_win_rate(None)  # type: ignore[arg-type]


def test_an_embedder_of_ones_own_and_the_controller():
    x = load("small", "queries")
    given = config("small")
    options = {
        "arena_battle_datasets": [str(HERE / "small" / "battles_0.jsonl")],
        "arena_embedding_datasets": [str(HERE / "small" / "embeddings_0.npy")],
        "strong_model": given["strong_model"],
        "weak_model": given["weak_model"],
        "num_tiers": given["num_tiers"],
        "embedder": lambda text: x[int(text)],
    }
    controller = Controller(["sw_ranking"], "strong", "weak", {"sw_ranking": options})
    exact = load("small", "queries_win_rates_exact")
    found = controller.batch_calculate_win_rate(pd.Series([str(i) for i in range(len(x))]), "sw_ranking")
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-7)
    assert controller.route("0", "sw_ranking", exact[0] - 1e-6) == "strong"
    assert controller.route("0", "sw_ranking", exact[0] + 1e-6) == "weak"


def test_overridden_weights_are_used(small, monkeypatch):
    x = load("small", "queries")
    before = small.score_embeddings(x)
    expected = compute_elo_mle_with_tie(small.arena_df)
    difference = expected[small.model2tier[small.strong_model]] - expected[small.model2tier[small.weak_model]]
    for value in (1.0, 7):
        monkeypatch.setattr(small, "get_weightings", lambda s, value=value: np.full(len(s), value), raising=False)
        found = small.score_embeddings(x)
        np.testing.assert_allclose(found, 1 - 1 / (1 + 10 ** (difference / 400)), rtol=0, atol=1e-10)
        assert small.tier_ratings(x[0]) == pytest.approx(expected.to_dict(), rel=0, abs=1e-6)
    n = len(small.arena_df)
    for bad, error, message in [
        (np.ones(3), InvalidValueError, "found 3"),
        (np.full(n, -1.0), InvalidValueError, "battle 0 is -1"),
        (np.full(n, np.inf), InvalidValueError, "battle 0 is inf"),
        (np.zeros(n), InvalidValueError, "all battles are 0"),
        (np.ones((n, 1)), InvalidValueError, rf"shape \({n},\), found \({n}, 1\)"),
        (1.0, InvalidValueError, r"found \(\)"),
        (None, InvalidTypeError, "array of numbers"),
        (["a"] * n, InvalidTypeError, "array of numbers"),
        (np.ones(n, complex), InvalidTypeError, "complex128"),
    ]:
        monkeypatch.setattr(small, "get_weightings", lambda s, bad=bad: bad, raising=False)
        for scores in (small.score_embeddings, lambda x: small.tier_ratings(x[0])):
            with pytest.raises(error, match=message):
                scores(x[:1])
    monkeypatch.setattr(small, "get_weightings", lambda s: [1] * n, raising=False)
    assert small.score_embeddings(x[:0]).shape == (0,)
    for place, value, message in [(3, 0, "row 3 is all zeros"), (2, np.nan, "row 2 holds NaN")]:
        wrong = x.copy()
        wrong[place] = value
        with pytest.raises(InvalidValueError, match=message):
            small.score_embeddings(wrong)
    monkeypatch.undo()
    np.testing.assert_array_equal(small.score_embeddings(x), before)
    monkeypatch.setattr(SWRankingRouter, "get_weightings", lambda self, s: np.ones(len(s)))
    assert not np.allclose(small.score_embeddings(x), before)


def test_overridden_scores_are_used(small, monkeypatch):
    monkeypatch.setattr(small, "calculate_strong_win_rate", lambda prompt: 0.125, raising=False)
    np.testing.assert_array_equal(small.calculate_strong_win_rates(["a", "b"]), [0.125, 0.125])
    assert asyncio.run(small.acalculate_strong_win_rate("a")) == 0.125


def test_models_are_looked_up_at_each_call(small, monkeypatch):
    x = load("small", "queries")
    before = small.score_embeddings(x)
    monkeypatch.setattr(small, "strong_model", small.weak_model)
    np.testing.assert_array_equal(small.score_embeddings(x), 0.5)
    monkeypatch.setattr(small, "strong_model", "claude-2.2")
    with pytest.raises(UnknownNameError, match=r"no model 'claude-2.2' among the 14 models.*'claude-2.1'"):
        small.score_embeddings(x)
    with pytest.raises(KeyError):
        SWRankingRouter([HERE / "small/battles_0.parquet"], [HERE / "small/embeddings_0.npy"])
    monkeypatch.undo()
    np.testing.assert_array_equal(small.score_embeddings(x), before)


def test_layouts_and_bad_rows(small):
    x = load("small", "queries")
    expected = small.score_embeddings(x)
    for other in (np.asfortranarray(x), x[::-1][::-1], x.astype("float64"), np.repeat(x, 2, axis=1)[:, ::2], x * 1e30):
        np.testing.assert_allclose(small.score_embeddings(other), expected, rtol=0, atol=1e-7)
    assert small.score_embeddings(x[:0]).shape == (0,)
    np.testing.assert_array_equal(small.score_embeddings(x, threads=1), expected)
    with pytest.raises(InvalidValueError, match="threads: expected a whole number of at least 1"):
        small.score_embeddings(x, threads=0)
    for bad, message in [
        (x[:, :-1], "expected embeddings of 24 numbers.*found 23"),
        (x[0], "two dimensions"),
        (np.where(np.arange(24) == 3, np.nan, x), r"row 0 holds NaN \(in column 3\)"),
        (x * 0, "row 0 is all zeros"),
    ]:
        with pytest.raises(InvalidValueError, match=message):
            small.score_embeddings(bad)


def test_the_frame_and_the_embeddings_are_views(small):
    assert small.arena_df is small.arena_df
    with pytest.raises(ValueError, match="read-only"):
        small.arena_conv_embedding[0, 0] = 1
    text = repr(small)
    assert "14 models in 5 tiers" in text
    assert "claude-2.1 against vicuna-13b" in text
    assert str(small) == "sw_ranking"


@pytest.mark.parametrize("kind", ["list", "large", "fixed", "float", "arrow", "jsonl", "fortran", "half"])
def test_embeddings_in_other_files(kind, tmp_path):
    stored = np.load(HERE / "small" / "embeddings_0.npy")
    n, dim = stored.shape
    if kind in {"fortran", "half"}:
        path = tmp_path / "embeddings.npy"
        np.save(path, np.asfortranarray(stored) if kind == "fortran" else stored.astype("float16"))
    elif kind == "jsonl":
        path = tmp_path / "embeddings.jsonl"
        path.write_text("\n".join(json.dumps({"embeddings": row.tolist()}) for row in stored))
    else:
        flat = pa.array(stored.ravel(), type=pa.float32() if kind == "float" else pa.float64())
        lists = {
            "large": lambda: pa.LargeListArray.from_arrays(np.arange(0, n * dim + 1, dim), flat),
            "fixed": lambda: pa.FixedSizeListArray.from_arrays(flat, dim),
        }.get(kind, lambda: pa.ListArray.from_arrays(np.arange(0, n * dim + 1, dim, dtype="int32"), flat))()
        table = pa.table({"prompt": ["x"] * n, "embeddings": lists})
        if kind == "arrow":
            path = tmp_path / "data-00000-of-00001.arrow"
            with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
                writer.write_table(table, max_chunksize=100)
        else:
            path = tmp_path / "train.parquet"
            pq.write_table(table, path, row_group_size=97)
    router = make("small")
    given = config("small")
    other = SWRankingRouter(
        [HERE / "small/battles_0.jsonl"], [tmp_path], given["strong_model"], given["weak_model"], given["num_tiers"]
    )
    x = load("small", "queries")
    expected = router.score_embeddings(x)
    np.testing.assert_allclose(other.score_embeddings(x), expected, rtol=0, atol=2e-4 if kind == "half" else 1e-12)


def test_a_count_that_differs_is_explained():
    message = r"found 975 embeddings for 1954 battles \(2000 before those with a prompt of less than 16"
    with pytest.raises(InvalidValueError, match=message) as raised:
        SWRankingRouter([HERE / "main/battles_0.parquet"], [HERE / "main/embeddings_1.npy"])
    # What the original raises.
    assert isinstance(raised.value, AssertionError)


def test_bad_data_sets(tmp_path):
    good = [HERE / "small/embeddings_0.npy"]
    with pytest.raises(FileNotFoundError):
        SWRankingRouter([tmp_path / "nothing.parquet"], good)
    path = tmp_path / "battles.jsonl"
    row = {"model_a": "x", "model_b": "y", "prompt": "no JSON", "winner_model_a": 1, "winner_model_b": 0}
    path.write_text(json.dumps(row))
    with pytest.raises(InvalidValueError, match=r"battles.jsonl: row 1: `prompt` is not a JSON list"):
        SWRankingRouter([path], good)
    path.write_text(json.dumps({"model_a": "x"}))
    with pytest.raises(KeyError, match="model_b"):
        SWRankingRouter([path], good)
    pair = config("small")["strong_model"], config("small")["weak_model"]
    with pytest.raises(InvalidValueError, match="num_tiers"):
        SWRankingRouter([HERE / "small/battles_0.parquet"], good, *pair, 0)


@pytest.mark.parametrize("kind", ["arrow", "parquet", "jsonl"])
def test_winners_that_are_all_null_are_no_wins(kind, tmp_path):
    arena(tmp_path, n=60)
    frame = pd.read_json(tmp_path / "battles.jsonl", lines=True)
    expected = [1 if win else 2 for win in 1 - frame["winner_model_a"]]
    frame["prompt"] = [json.dumps(["a question that is long enough"])] * 60
    table = pa.Table.from_pandas(frame, preserve_index=False)
    at = table.column_names.index("winner_model_a")
    table = table.set_column(at, "winner_model_a", pa.nulls(60))
    path = tmp_path / f"nulls.{kind}"
    if kind == "arrow":
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    elif kind == "parquet":
        pq.write_table(table, path)
    else:
        path.write_text("\n".join(map(json.dumps, table.to_pylist())))
    router = SWRankingRouter([path], [tmp_path / "embeddings.npy"], "m0", "m2", 3)
    np.testing.assert_array_equal(router._core.arena()[2], expected)


def test_battles_of_csv_whose_names_are_numbers(tmp_path):
    path = tmp_path / "battles.csv"
    rows = [[i % 3, (i + 1) % 3, json.dumps(["a question that is long enough"]), i % 2, 0] for i in range(60)]
    names = ["model_a", "model_b", "prompt", "winner_model_a", "winner_model_b"]
    pd.DataFrame(rows, columns=names).to_csv(path, index=False)
    np.save(tmp_path / "embeddings.npy", np.random.default_rng(0).standard_normal((60, 4)))
    router = SWRankingRouter([path], [tmp_path / "embeddings.npy"], "0", "2", 2)
    assert set(router.model2tier) == {"0", "1", "2"}


def test_pages_may_be_large(tmp_path):
    rows, dim = 4700, 2048
    stored = np.random.default_rng(0).standard_normal((rows, dim))
    lists = pa.ListArray.from_arrays(np.arange(0, rows * dim + 1, dim, dtype="int32"), pa.array(stored.ravel()))
    path = tmp_path / "embeddings.parquet"
    pq.write_table(pa.table({"embeddings": lists}), path, data_page_size=100_000_000, use_dictionary=False)
    arena(tmp_path, n=rows)
    router = SWRankingRouter([tmp_path / "battles.jsonl"], [path], "m0", "m2", 3)
    np.testing.assert_array_equal(router.arena_conv_embedding, stored.astype("float32"))


def test_batches_of_tiny_embeddings(tmp_path):
    n, dim = 2_100, 512
    arena(tmp_path, n=n)
    random = np.random.default_rng(4)
    # Products in f32 would have next to no digits left.
    np.save(tmp_path / "embeddings.npy", (random.normal(0.2, 1, (n, dim)) * 1e-43).astype("float32"))
    queries = random.normal(0.2, 1, (6, dim))
    router = build(tmp_path)
    one_by_one = [router.score_embeddings(queries[i : i + 1])[0] for i in range(6)]
    np.testing.assert_allclose(router.score_embeddings(queries), one_by_one, rtol=0, atol=1e-7)


# --- index and pickle


def test_a_saved_index_gives_the_same_router(small, tmp_path):
    x = load("small", "queries")
    given = config("small")
    router = make("small")
    router.save_index(tmp_path / "arena.index")
    again = SWRankingRouter.from_index(tmp_path / "arena.index", given["strong_model"], given["weak_model"])
    np.testing.assert_array_equal(again.score_embeddings(x), router.score_embeddings(x))
    assert (again.model2tier, again.model_ratings) == (router.model2tier, router.model_ratings)
    pd.testing.assert_frame_equal(again.arena_df, router.arena_df)
    np.testing.assert_array_equal(again.arena_conv_embedding, router.arena_conv_embedding)
    assert repr(again) == repr(router)
    for one in (router, again, small):
        other = pickle.loads(pickle.dumps(one))
        np.testing.assert_array_equal(other.score_embeddings(x), router.score_embeddings(x))
        assert len(pickle.dumps(one)) < 5_000


def test_an_index_beside_its_sources(tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(HERE / "small", folder)
    index = tmp_path / "arena.index"
    given = config("small")

    def build(num_tiers=given["num_tiers"], **options):
        return SWRankingRouter(
            [folder / "battles_0.jsonl"],
            [folder / "embeddings_0.npy"],
            given["strong_model"],
            given["weak_model"],
            num_tiers,
            index=index,
            **options,
        )

    x = load("small", "queries")
    first = build().score_embeddings(x)
    assert index.is_file()
    stamp = index.stat().st_mtime_ns
    np.testing.assert_array_equal(build().score_embeddings(x), first)
    assert index.stat().st_mtime_ns == stamp
    with pytest.raises(InvalidValueError, match="made of other num_tiers"):
        build(num_tiers=4)
    with pytest.raises(InvalidValueError, match="made of other model2tier"):
        build(model2tier=tiers_of("small", "model2tier_original"))
    embeddings = np.load(folder / "embeddings_0.npy")
    embeddings[0, 0] += 1
    np.save(folder / "embeddings_0.npy", embeddings)
    with pytest.raises(InvalidValueError, match="made of other embeddings"):
        build()


def arena(folder, seed=0, flipped=slice(0), n=3000):
    """Data sets whose middle may be changed without changing their sizes."""
    random = np.random.default_rng(seed)
    wins = random.integers(0, 2, n)
    wins[flipped] ^= 1
    rows = [
        {
            "model_a": f"m{i % 4}",
            "model_b": f"m{(i + 1 + i % 3) % 4}",
            "prompt": json.dumps([f"a long enough question {i:06d}"]),
            "winner_model_a": int(win),
            "winner_model_b": int(1 - win),
        }
        for i, win in enumerate(wins)
    ]
    (folder / "battles.jsonl").write_text("\n".join(map(json.dumps, rows)))
    stored = random.standard_normal((n, 16), dtype="float32")
    np.save(folder / "embeddings.npy", stored)
    return stored


def build(folder, **options) -> SWRankingRouter:
    return SWRankingRouter([folder / "battles.jsonl"], [folder / "embeddings.npy"], "m0", "m2", 3, **options)


def test_an_index_of_files_whose_middle_has_changed_is_refused(tmp_path):
    stored = arena(tmp_path)
    index = tmp_path / "arena.index"
    first = build(tmp_path, index=index)
    sizes = [path.stat().st_size for path in (tmp_path / "battles.jsonl", tmp_path / "embeddings.npy")]
    arena(tmp_path, flipped=slice(1000, 2000))
    assert (tmp_path / "battles.jsonl").stat().st_size == sizes[0]
    with pytest.raises(InvalidValueError, match=r"made of other battles.*remove the file to have it written anew"):
        build(tmp_path, index=index)
    # Other times and the same content.
    arena(tmp_path)
    again = build(tmp_path, index=index)
    np.testing.assert_array_equal(again.score_embeddings(stored[:5]), first.score_embeddings(stored[:5]))
    np.save(tmp_path / "embeddings.npy", np.where(np.arange(3000)[:, None] // 1000 == 1, -stored, stored))
    with pytest.raises(InvalidValueError, match="made of other embeddings"):
        build(tmp_path, index=index)
    # The time of before does not help where the file is as new as the index.
    arena(tmp_path, flipped=slice(1000, 2000))
    stamp = json.loads(index.read_bytes()[24:].split(b'"sources":', 1)[1].split(b',"tail"', 1)[0])
    then = json.loads(stamp)["battles"][0][2]
    os.utime(tmp_path / "battles.jsonl", ns=(then, then))
    os.utime(index, ns=(then, then))
    with pytest.raises(InvalidValueError, match="made of other battles"):
        build(tmp_path, index=index)


def test_a_pickle_needs_its_index_alone(tmp_path):
    stored = arena(tmp_path)
    index = tmp_path / "arena.index"
    one, two = build(tmp_path), build(tmp_path, index=index)
    one.save_index(tmp_path / "other.index")
    expected = one.score_embeddings(stored[:5])
    pickles = [pickle.dumps(one), pickle.dumps(two)]
    for name in ("battles.jsonl", "embeddings.npy"):
        (tmp_path / name).unlink()
    for content in pickles:
        np.testing.assert_array_equal(pickle.loads(content).score_embeddings(stored[:5]), expected)
    # What is saved without its data sets has no hashes, and serves.
    two.save_index(index)
    np.testing.assert_array_equal(pickle.loads(pickles[1]).score_embeddings(stored[:5]), expected)


def test_a_pickle_never_meets_other_battles(tmp_path):
    arena(tmp_path)
    index = tmp_path / "arena.index"
    router = build(tmp_path)
    by_files = pickle.dumps(router)
    router.save_index(index)
    by_index = [pickle.dumps(router), pickle.dumps(SWRankingRouter.from_index(index, "m0", "m2"))]
    arena(tmp_path, seed=1)
    with pytest.raises(CheckpointError, match="found other battles"):
        pickle.loads(by_files)
    build(tmp_path).save_index(index)
    for content in by_index:
        with pytest.raises(CheckpointError, match=r"arena.index: expected what the pickled router was made of"):
            pickle.loads(content)


def test_what_a_killed_process_left_does_not_matter(tmp_path):
    arena(tmp_path, n=50)
    router = build(tmp_path)
    for number in range(300):
        (tmp_path / f"arena.{os.getpid()}-{number}.partial").write_text("left")
    router.save_index(tmp_path / "arena.index")
    assert (tmp_path / "arena.index").is_file()
    (tmp_path / "folder.index").mkdir()
    with pytest.raises(OSError, match=r"cannot write .*folder.index \(by way of folder\..*\.partial\)"):
        router.save_index(tmp_path / "folder.index")
    assert not list(tmp_path.glob("folder.*.partial"))


def test_tiers_are_any_whole_numbers(tmp_path):
    arena(tmp_path, n=50)
    files = [tmp_path / "battles.jsonl"], [tmp_path / "embeddings.npy"], "m0", "m2"
    tiers = {f"m{i}": i // 2 for i in range(4)}
    other = {name: np.int64(tier) for name, tier in tiers.items()}
    for options in ({}, {"index": tmp_path / "a.index"}, {"index": tmp_path / "a.index"}):
        router = SWRankingRouter(*files, np.int64(3), model2tier=other, **options)
        assert router.model2tier == tiers
        assert pickle.loads(pickle.dumps(router)).model2tier == tiers
    for num_tiers, error in [
        (0, InvalidValueError),
        (2**32, InvalidValueError),
        (2**70, InvalidValueError),
        (3.0, InvalidTypeError),
        ("3", InvalidTypeError),
    ]:
        with pytest.raises(error, match="num_tiers: expected a whole number"):
            SWRankingRouter(*files, num_tiers)
    for tier, error in [(-1, InvalidValueError), (2**32, InvalidValueError), (1.0, InvalidTypeError)]:
        with pytest.raises(error, match="tier of 'm1': expected a whole number"):
            SWRankingRouter(*files, 3, model2tier={**tiers, "m1": tier})


def test_what_is_no_index_is_an_error(tmp_path):
    path = tmp_path / "arena.index"
    path.write_bytes(b"no index" * 100)
    with pytest.raises(CheckpointError, match=r"arena.index is not an index of sw_ranking"):
        SWRankingRouter.from_index(path)
    with pytest.raises(FileNotFoundError):
        SWRankingRouter.from_index(tmp_path / "nothing")
    make("small").save_index(path)
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged"):
        SWRankingRouter.from_index(path)


# --- another problem, against a plain reading of the regression


def reference(a, b, winners, weights, labels):
    """The weighted logistic regression as the original lays it out, by Newton's method in numpy."""
    n = len(a)
    rows = np.zeros((2 * n, labels))
    for copy in (0, n):
        rows[np.arange(n) + copy, a] = np.log(10)
        rows[np.arange(n) + copy, b] = -np.log(10)
    target = np.concatenate([np.where(winners == 0, 1.0, 0.0), np.where(winners == 0, 1.0, 0.0)])
    target[:n][winners == 2] = 1.0
    w = np.concatenate([weights, weights]) / (2 * weights.sum())
    x = np.zeros(labels)
    for _ in range(60):
        p = 1 / (1 + np.exp(-rows @ x))
        gradient = rows.T @ (w * (p - target))
        hessian = (rows * (w * p * (1 - p))[:, None]).T @ rows
        x -= np.linalg.pinv(hessian) @ gradient
    return 400 * x + 1000


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_random_problem_against_numpy(seed, tmp_path):
    random = np.random.default_rng(seed)
    n, dim, models = 900, 19, 17
    a = random.integers(0, models, n)
    b = (a + random.integers(1, models, n)) % models
    strength = random.normal(0, 1, models)
    chance = 1 / (1 + np.exp(strength[b] - strength[a]))
    winners = np.where(random.random(n) < 0.25, 2, np.where(random.random(n) < chance, 0, 1))
    frame = pd.DataFrame(
        {
            "model_a": [f"m{i}" for i in a],
            "model_b": [f"m{i}" for i in b],
            "prompt": [json.dumps([f"a long enough question {i}"]) for i in range(n)],
            "winner_model_a": (winners == 0).astype(int),
            "winner_model_b": (winners == 1).astype(int),
        }
    )
    frame.to_json(tmp_path / "battles.jsonl", orient="records", lines=True)
    stored = random.normal(0.2, 1, (n, dim)).astype("float32")
    np.save(tmp_path / "embeddings.npy", stored)
    router = SWRankingRouter([tmp_path / "battles.jsonl"], [tmp_path / "embeddings.npy"], "m3", "m5", 6)
    names = [f"m{i}" for i in range(models)]
    found = np.array([router.model_ratings[name] for name in names])
    np.testing.assert_allclose(found, reference(a, b, winners, np.ones(n), models), rtol=0, atol=1e-6)
    tier = np.array([router.model2tier[name] for name in names])
    queries = random.normal(0.1, 1, (5, dim))
    wide = stored.astype("float64")
    for query, rate in zip(queries, router.score_embeddings(queries), strict=True):
        s = wide @ query / (np.linalg.norm(wide, axis=1) * np.linalg.norm(query))
        ratings = reference(tier[a], tier[b], winners, 10 * 10 ** (s / s.max()), 6)
        expected = 1 - 1 / (1 + 10 ** ((ratings[tier[3]] - ratings[tier[5]]) / 400))
        assert rate == pytest.approx(expected, rel=0, abs=1e-9)


def test_core_functions_check_their_arguments():
    u32, u8 = np.zeros(2, "uint32"), np.zeros(2, "uint8")
    for a, b, winners, labels, weights in [
        (u32, u32[:1], u8, 1, None),
        (u32, u32, u8, 0, None),
        (u32, u32, u8 + 3, 1, None),
        (u32, u32, u8, 1 << 40, None),
        (u32, u32, u8, 1, np.ones(3)),
    ]:
        with pytest.raises(InvalidValueError):
            _core.bradley_terry(a, b, winners, labels, weights)
