"""Work that outgrows one process or its memory: pickled routers, files larger than memory."""

from __future__ import annotations

import json
import multiprocessing
import pickle
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from ferroute import _core, errors
from ferroute.cli.score import Spread
from ferroute.embedding import LocalEmbedder
from ferroute.routers.routers import BERTRouter, CausalLLMRouter, LocalRouter, MatrixFactorizationRouter, RandomRouter

GOLDENS = Path(__file__).parent / "goldens" / "mf"
PAIR = {"strong_model": "claude-1", "weak_model": "chatglm-6b"}
TEXTS = ["What is 2+2?", "Prove that there is no largest prime.", "", "ü漢字", "x" * 5000]


def embed(text):
    return np.full(384, len(text) / 1000.0)


def routers():
    small = str(GOLDENS / "small" / "checkpoint")
    return {
        "local": LocalRouter(),
        "mf": MatrixFactorizationRouter(small, **PAIR, embedder=embed),
        "random": RandomRouter(),
    }


def scores(router):
    return router.calculate_strong_win_rates(TEXTS)


@pytest.mark.parametrize("name", ["local", "mf", "random"])
def test_routers_pickle(name):
    router = routers()[name]
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(router, protocol))
        assert type(again) is type(router)
        assert str(again) == name
        if name != "random":
            np.testing.assert_array_equal(scores(again), scores(router))
            assert again.calculate_strong_win_rate(TEXTS[1]) == router.calculate_strong_win_rate(TEXTS[1])


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_routers_go_to_worker_processes(method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"not run: no {method} here")
    made = routers()
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as pool:
        found = dict(zip(made, pool.map(scores, made.values()), strict=True))
    np.testing.assert_array_equal(found["local"], scores(made["local"]))
    np.testing.assert_array_equal(found["mf"], scores(made["mf"]))
    assert found["random"].shape == (len(TEXTS),)


def test_mf_with_each_kind_of_embedder_pickles(tmp_path):
    from ferroute.routers.matrix_factorization.train_matrix_factorization import train

    battles = [{"prompt": text, "model_a": "a", "model_b": "b", "winner": "model_a"} for text in TEXTS if text]
    train(battles, embedder="local", dim=4, epochs=1, split=1.0).save(tmp_path)
    router = MatrixFactorizationRouter(str(tmp_path), "a", "b")
    again = pickle.loads(pickle.dumps(router))
    np.testing.assert_array_equal(scores(again), scores(router))
    assert again.model.model_names == ["a", "b"]
    endpoint = MatrixFactorizationRouter(
        str(GOLDENS / "small" / "checkpoint"), **PAIR, embedder={"model": "m", "api_base": "http://127.0.0.1:1/v1"}
    )
    assert repr(pickle.loads(pickle.dumps(endpoint)).embedder) == repr(endpoint.embedder)


def test_pickles_of_relative_folders_wake_up_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(GOLDENS.parent)
    made = [
        BERTRouter("bert/wordpiece/checkpoint"),
        CausalLLMRouter("causal_llm/checkpoint", model_id="causal_llm/checkpoint"),
        MatrixFactorizationRouter("mf/small/checkpoint", **PAIR, embedder=embed),
    ]
    pickled = [(pickle.dumps(router), router.calculate_strong_win_rate(TEXTS[0])) for router in made]
    monkeypatch.chdir(tmp_path)
    for content, rate in pickled:
        assert pickle.loads(content).calculate_strong_win_rate(TEXTS[0]) == rate


def test_the_local_embedder_is_what_it_says():
    found = LocalEmbedder().embed_batch(TEXTS)
    features = _core.LocalModel.features(TEXTS)
    assert (found.shape, found.dtype) == ((5, 107), np.float32)
    np.testing.assert_array_equal(found[:, :64], features[:, :64])
    np.testing.assert_allclose(found[:, 64:106], features[:, 64:] / 10, rtol=1e-6)
    assert set(found[:, 106].tolist()) == {float(np.float32(0.3))}
    np.testing.assert_array_equal(LocalEmbedder()(TEXTS[1]), found[1])
    assert LocalEmbedder().embed_batch([]).shape == (0, 107)


# --- score over files


def ferroute(*arguments, cwd=None):
    command = [sys.executable, "-m", "ferroute", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, cwd=cwd)


@pytest.fixture
def folder(tmp_path):
    pytest.importorskip("pyarrow")
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "prompts"
    path.mkdir()
    for number in (1, 2, 10):
        texts = [f"prompt {i} of file {number}" for i in range(number)]
        pq.write_table(pa.table({"id": range(number), "prompt": texts}), path / f"part-{number}.parquet")
    (path / "more.jsonl").write_text('{"prompt": "one"}\nnonsense\n{"prompt": "two"}\n')
    (path / ".hidden.parquet").write_text("no")
    (path / "README.md").write_text("no")
    (path / "deep").mkdir()
    (path / "deep" / "more.txt").write_text("deep\n")
    return path


def test_a_folder_or_a_pattern_is_scored_file_by_file(folder, tmp_path):
    out = tmp_path / "out.parquet"
    done = ferroute("score", "--file", folder / "part-*.parquet", "--output", out)
    assert done.returncode == 0, done.stderr
    found = _core.read_columns(out)
    assert list(found) == ["file", "row", "prompt", "local"]
    assert [Path(name).name for name in found["file"]] == ["part-1.parquet"] + ["part-2.parquet"] * 2 + [
        "part-10.parquet"
    ] * 10
    assert found["row"].tolist() == [1, 1, 2, *range(1, 11)]
    expected = LocalRouter().calculate_strong_win_rates(found["prompt"])
    np.testing.assert_array_equal(found["local"], expected)
    assert "13 prompts, written to" in done.stdout

    done = ferroute("score", "--file", folder, "--output", tmp_path / "bad.parquet")
    assert done.returncode == 3
    assert "more.jsonl, line 2" in done.stderr
    assert not list(tmp_path.glob("bad*"))  # nothing half written
    done = ferroute("score", "--file", folder, "--skip-bad", "--router", "local", "--router", "random", "--json")
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(records) == 15
    assert list(records[0]) == ["file", "row", "prompt", "win_rates"]
    assert "1 bad row was left out" in done.stderr
    done = ferroute("score", "--file", folder, "--skip-bad", "--output", tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text().splitlines()[0] == "file,row,prompt,local"
    done = ferroute("score", "--file", folder, "--skip-bad", "--limit", "3", "--as", "csv")
    assert len(done.stdout.splitlines()) == 4
    done = ferroute("route", "--file", folder, "--skip-bad", "--json")
    assert len(done.stdout.splitlines()) == 15
    done = ferroute("score", "--file", folder / "**/*.txt", "--json")
    assert [json.loads(line)["prompt"] for line in done.stdout.splitlines()] == ["deep"]


def test_one_file_into_parquet(folder, tmp_path):
    out = tmp_path / "out.parquet"
    done = ferroute("score", "--file", folder / "part-10.parquet", "--router", "local", "-o", out)
    assert done.returncode == 0, done.stderr
    assert list(_core.read_columns(out)) == ["row", "prompt", "local"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.parquet", "prompts"]
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_parquet(out)
    assert frame["row"].dtype == "int64"
    assert len(frame) == 10


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["--file", "no-*.parquet"], 3, "no file fits this pattern"),
        (["--file", "empty"], 3, "is a folder without files of prompts"),
        (["hi", "--as", "parquet"], 2, "give its name with --output"),
        (["hi", "--output", "none/out.parquet"], 2, "no such folder none"),
        (["hi", "--output", "empty/x.parquet", "--router", "nobody"], 2, "unknown router"),
    ],
)
def test_what_cannot_be_scored_is_said(tmp_path, arguments, code, expected):
    (tmp_path / "empty").mkdir()
    done = ferroute("score", *arguments, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert expected in done.stderr
    assert list((tmp_path / "empty").iterdir()) == []


MEASURED = """
import resource, sys
from ferroute.cli import main
code = 0
try:
    main()
except SystemExit as ended:
    code = ended.code
print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
sys.exit(code)
"""


def test_the_output_is_no_input(tmp_path):
    (tmp_path / "p").mkdir()
    prompts = tmp_path / "p" / "a.jsonl"
    prompts.write_text('{"prompt": "x"}\n')
    before = prompts.read_bytes()
    for name in (prompts, "p/../p/a.jsonl"):
        done = ferroute("score", "--file", "p/a.jsonl", "--output", name, cwd=tmp_path)
        assert done.returncode == 2
        assert "is the file that the prompts are read from" in done.stderr
        assert prompts.read_bytes() == before
    for file in ("p", "p", "p/*"):  # the second time it is there
        done = ferroute("score", "--file", file, "--output", "p/out.jsonl", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        records = [json.loads(line) for line in (tmp_path / "p" / "out.jsonl").read_text().splitlines()]
        assert [record["prompt"] for record in records] == ["x"]
    done = ferroute("score", "--file", "p/o*", "--output", "p/out.jsonl", cwd=tmp_path)
    assert done.returncode == 3
    assert "nothing but p/out.jsonl" in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGTERM")
@pytest.mark.parametrize("name", ["out.parquet", "out.csv"])
def test_sigterm_leaves_nothing(tmp_path, name):
    command = [sys.executable, "-m", "ferroute", "score", "--router", "local", "--output", name]
    process = subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdin.write(b"a prompt\n" * 5000)
    process.stdin.flush()
    while not list(tmp_path.iterdir()):  # it has begun
        assert process.poll() is None
        time.sleep(0.01)
    process.terminate()
    process.stdin.close()
    assert process.wait(30) == 143
    assert list(tmp_path.iterdir()) == []
    process.stderr.close()


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss has other units elsewhere")
@pytest.mark.parametrize("name", ["out.parquet", "out.jsonl"])
def test_memory_does_not_grow_with_the_data(tmp_path, name):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    def peak(files, rows):
        source = tmp_path / f"{files}"
        source.mkdir()
        for number in range(files):
            texts = [f"{number} {row} " + "tell me about it " * 60 for row in range(rows)]
            pq.write_table(pa.table({"prompt": texts}), source / f"{number}.parquet", row_group_size=5_000)
        command = [sys.executable, "-c", MEASURED, "score", "--file", str(source), "-o", str(tmp_path / name)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        (tmp_path / name).unlink()
        return int(done.stderr.rpartition("peak ")[2]) / 1024

    small, large = peak(1, 40_000), peak(6, 40_000)
    # 200,000 rows more, 200 MB of text: some row groups, buffers and the allocator's slack are all that may stay.
    assert large - small < 80, (small, large)


def test_quantiles_of_many_numbers():
    random = np.random.default_rng(0)
    values = random.beta(2, 5, 30_000)
    exact, folded = Spread(), Spread()
    folded.EXACT = 5_000
    for part in np.array_split(values, 7):
        exact.add(part.tolist())
        folded.add(part)
    at = [0.0, 0.1, 0.5, 0.9, 1.0]
    np.testing.assert_array_equal(exact.quantiles(at), np.quantile(values, at))
    np.testing.assert_allclose(folded.quantiles(at), np.quantile(values, at), atol=2e-4)
    assert (exact.count, folded.count, len(folded.values)) == (30_000, 30_000, 0)


# --- tables out


def test_tables_are_read_back(tmp_path):
    pandas = pytest.importorskip("pandas")
    path = tmp_path / "a.parquet"
    vectors = np.arange(6, dtype="float32").reshape(3, 2)
    _core.write_columns(path, {"t": ["a", None, "ü"], "n": np.array([0.5, np.nan, 2]), "w": np.arange(3), "v": vectors})
    found = pandas.read_parquet(path)
    assert found["t"].tolist()[::2] == ["a", "ü"]
    assert found["w"].tolist() == [0, 1, 2]
    np.testing.assert_array_equal(np.stack(found["v"].tolist()), vectors)
    np.testing.assert_array_equal(found["n"], [0.5, np.nan, 2])
    with pytest.raises(ValueError, match="column n has 1 rows"):
        _core.write_columns(tmp_path / "b.parquet", {"t": ["a", "b"], "n": np.array([1.0])})
    with pytest.raises(ValueError, match="expected a column of text, number"):
        _core.ParquetWriter(tmp_path / "b.parquet", {"a": "date"})

    class Stop(Exception):
        pass

    def interrupted():
        with _core.ParquetWriter(tmp_path / "b.parquet", {"a": "text"}) as table:
            table.write([["x"]])
            assert table.rows == 1
            raise Stop

    with pytest.raises(Stop):
        interrupted()
    with _core.ParquetWriter(tmp_path / "c.parquet", {"a": "text"}) as table:
        table.write([["\ud800"]])
    with pytest.raises(ValueError, match="closed"):
        table.write([["x"]])
    assert _core.read_columns(tmp_path / "c.parquet")["a"] == ["\ufffd"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.parquet", "c.parquet"]


def test_whole_numbers_are_not_cut(tmp_path):
    with _core.ParquetWriter(tmp_path / "a.parquet", {"w": "whole"}) as table:
        for wrong in ([1.9, -1.9], [1.0, 1 << 63], [1 << 64], np.array([1.5, 2], dtype=object), [None], ["1"],
                      np.array([1 << 63], dtype="u8")):  # fmt: skip
            with pytest.raises(TypeError, match=r"expected a column of whole numbers below 2\^63"):
                table.write([wrong])
        for right in ([1, -2], np.array([3], dtype="u8"), np.array([4, 1 << 62], dtype=object), [True], []):
            table.write([right])
    found = _core.read_columns(tmp_path / "a.parquet")["w"]
    np.testing.assert_array_equal(found, [1, -2, 3, 4, 1 << 62, 1])


def test_arrays_are_written_as_what_they_are(tmp_path):
    path = tmp_path / "a.parquet"
    for texts in (np.array(["x", None], object), np.array(["x", "ü"]), np.array(["x", "ü".encode()], "S")):
        _core.write_columns(path, {"a": texts})
        assert _core.read_columns(path)["a"] == ["x", texts[1] and "ü"]
    for numbers in (np.array([True, False]), np.array([2**53, 1], "uint64"), np.arange(4)[::2], np.float16([0.5, 1])):
        _core.write_columns(path, {"a": numbers})
        np.testing.assert_array_equal(_core.read_columns(path)["a"], numbers.astype(float))
    for wrong, message in [
        (np.array([2**63 + 5], "uint64"), "whole numbers below 2\\^63, found an array of uint64"),
        (np.zeros(2, complex), "complex128"),
        (np.zeros((2, 2), complex), "complex128"),
        (np.zeros(2, "datetime64[s]"), "datetime64"),
        (np.array([1, "x"], object), "row 1: expected a text or None, found int"),
        (np.array([b"\xff"]), "row 1: expected a text or None, found bytes"),
    ]:
        with pytest.raises(TypeError, match=message) as raised:
            _core.write_columns(tmp_path / "b.parquet", {"a": wrong})
        assert isinstance(raised.value, errors.FerrouteError)
    for shape in [(2, 2, 2), ()]:
        with pytest.raises(errors.InvalidValueError, match="dimensions, found shape"):
            _core.write_columns(tmp_path / "b.parquet", {"a": np.zeros(shape)})
    with _core.ParquetWriter(path, {"w": "whole", "n": "number"}) as table:
        table.write([[], []])
        table.write([[1, 2], [0.5, None]])
        for wrong in ([0.5], ["1"]):
            with pytest.raises(TypeError, match="expected a column of"):
                table.write([wrong, [1.0]])
    np.testing.assert_array_equal(_core.read_columns(path)["n"], [0.5, np.nan])
    assert [file.name for file in tmp_path.iterdir()] == ["a.parquet"]
