"""generate_embeddings and find_contaminated, against a server on this machine."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from fakeserver import Answer, FakeServer, vector
from ferroute.embedding import LocalEmbedder
from ferroute.errors import InvalidValueError, UnreadableFileError
from ferroute.evals import find_contaminated
from ferroute.evals.find_contaminated import THRESHOLD, check_data_contamination_similarity, most_similar
from ferroute.routers.similarity_weighted import generate_embeddings
from ferroute.routers.similarity_weighted.generate_embeddings import get_embeddings
from ferroute.routers.similarity_weighted.utils import preprocess_battles

PROMPTS = [f"a prompt that is long enough, number {i}" for i in range(9)]
BATTLES = [
    *(json.dumps([text, "a second turn"]) for text in PROMPTS[:5]),
    '["short"]',
    '["  padded short        "]',
    *(json.dumps([text]) for text in PROMPTS[5:]),
]


def test_battles_that_are_too_short_are_left_out(capsys):
    found = get_embeddings({"prompt": BATTLES}, embedder="local", progress=False)
    assert capsys.readouterr().out == "Battles after preprocessing: 9\n"
    np.testing.assert_array_equal(found, LocalEmbedder().embed_batch(PROMPTS))
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"prompt": BATTLES})
    np.testing.assert_array_equal(get_embeddings(frame, embedder="local", progress=False), found)
    assert list(frame.columns) == ["prompt"]
    with pytest.raises(InvalidValueError, match="need a column 'prompt'"):
        get_embeddings({"text": BATTLES})
    # Lists of turns, as a Parquet column may hold them; the same battles are kept as by the router.
    lists = {"prompt": [json.loads(battle) for battle in BATTLES]}
    np.testing.assert_array_equal(get_embeddings(lists, embedder="local", progress=False), found)
    sides = ("model_a", "model_b", "winner_model_a", "winner_model_b")
    battles = pandas.DataFrame({"prompt": BATTLES, **{name: [1] * len(BATTLES) for name in sides}})
    assert len(preprocess_battles(battles)) == 9
    assert get_embeddings({"prompt": []}, embedder="local", progress=False).shape == (0, 0)


def test_a_run_that_was_stopped_goes_on(tmp_path):
    partial = tmp_path / "partial"
    asked = []

    class Failing:
        name = "mine"

        def __init__(self, last):
            self.last = last

        def __call__(self, text):
            raise AssertionError

        def embed_batch(self, texts):
            if len(asked) >= self.last:
                raise ConnectionError("gone")
            asked.append(list(texts))
            return LocalEmbedder().embed_batch(texts)

    with pytest.raises(ConnectionError):
        get_embeddings(BATTLES, embedder=Failing(2), batch_size=2, partial=partial, progress=False)
    assert sum(map(len, asked)) == 4
    # A row that was cut off in the middle does not count.
    with partial.open("ab") as file:
        file.write(b"\x00" * 7)
    found = get_embeddings(BATTLES, embedder=Failing(99), batch_size=2, partial=partial, progress=False)
    assert [text for batch in asked for text in batch] == PROMPTS
    np.testing.assert_array_equal(found, LocalEmbedder().embed_batch(PROMPTS))
    for battles, embedder in [(BATTLES[1:], Failing(9)), (BATTLES, "local")]:
        with pytest.raises(InvalidValueError, match="of other prompts or of another embedder"):
            get_embeddings(battles, embedder=embedder, partial=partial, progress=False)


def test_two_runs_do_not_write_the_same_file(tmp_path):
    pytest.importorskip("fcntl")
    partial = tmp_path / "partial"
    refused = []

    class Meddling:
        name = "mine"

        def __call__(self, text):
            raise AssertionError

        def embed_batch(self, texts):
            try:
                get_embeddings(BATTLES, embedder=Named(), batch_size=2, partial=partial, progress=False)
            except UnreadableFileError as error:
                refused.append(str(error))
            return LocalEmbedder().embed_batch(texts)

    class Named(LocalEmbedder):
        name = "mine"

    found = get_embeddings(BATTLES, embedder=Meddling(), batch_size=2, partial=partial, progress=False)
    np.testing.assert_array_equal(found, LocalEmbedder().embed_batch(PROMPTS))
    assert len(refused) == 5
    assert all(f"another run is writing {partial}" in message for message in refused)
    again = get_embeddings(BATTLES, embedder=Meddling(), batch_size=2, partial=partial, progress=False)
    np.testing.assert_array_equal(again, found)
    assert len(refused) == 5  # all was there


def test_a_run_without_a_batch_leaves_no_file(tmp_path):
    def failing(text):
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError):
        get_embeddings(BATTLES, embedder=failing, partial=tmp_path / "partial", progress=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGTERM")
def test_sigterm_keeps_finished_batches_and_leaves_nothing_else(tmp_path):
    (tmp_path / "battles.jsonl").write_text("".join(json.dumps({"prompt": battle}) + "\n" for battle in BATTLES))
    code = (
        "import os, signal, numpy\n"
        "from ferroute.routers.similarity_weighted import generate_embeddings as module\n"
        "def save(file, array):\n"
        "    file.write(b'half'); os.kill(os.getpid(), signal.SIGTERM); signal.sigtimedwait([signal.SIGUSR1], 10)\n"
        "numpy.save = save\n"
        "module.main(['--battles-dataset', 'battles.jsonl', '--output-dataset', 'e.npy', '--embedder', 'local'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 143, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["battles.jsonl", "e.npy.partial"]


def test_the_program_asks_any_endpoint_and_goes_on_after_a_failure(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "not-a-key")
    (tmp_path / "battles.jsonl").write_text("".join(json.dumps({"prompt": battle}) + "\n" for battle in BATTLES))
    output = tmp_path / "e.npy"
    with FakeServer(dim=6) as server:
        arguments = ["--battles-dataset", str(tmp_path / "battles.jsonl"), "--output-dataset", str(output)]
        arguments += ["--api-base", server.url, "--embedder", "mine", "--batch-size", "4", "--instruction", "query: "]
        server.then(Answer(), Answer(status=400, body=b'{"error": {"message": "no more"}}'))
        with pytest.raises(Exception, match="no more"):
            generate_embeddings.main(arguments)
        assert not output.exists()
        before = len(server.requests)
        generate_embeddings.main(arguments)
        sent = [text for request in server.requests[before:] for text in request.json["input"]]
    assert sent == [f"query: {text}" for text in PROMPTS[4:]]
    assert server.requests[0].json["model"] == "mine"
    np.testing.assert_array_equal(np.load(output), [vector(f"query: {text}", 6) for text in PROMPTS])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["battles.jsonl", "e.npy"]


@pytest.mark.parametrize("suffix", ["npy", "parquet"])
def test_the_program_writes_a_file(tmp_path, suffix, monkeypatch, capsys):
    pytest.importorskip("pandas").DataFrame({"prompt": BATTLES}).to_parquet(tmp_path / "battles.parquet")
    output = tmp_path / f"e.{suffix}"
    generate_embeddings.main(
        ["--battles-dataset", str(tmp_path / "battles.parquet"), "--output-dataset", str(output), "--embedder", "local",
         "--batch-size", "2"]
    )  # fmt: skip
    out = capsys.readouterr().out
    assert out.startswith("Battles after preprocessing: 9\n")
    assert "9 embeddings of 107 numbers" in out
    found = np.load(output) if suffix == "npy" else np.stack(__import__("pandas").read_parquet(output)["embeddings"])
    np.testing.assert_array_equal(found, LocalEmbedder().embed_batch(PROMPTS))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["battles.parquet", output.name]


@pytest.mark.parametrize(
    ("output", "expected"), [("e.txt", "ends in .npy or .parquet"), ("none/e.npy", "no folder"), ("a", "owner/name")]
)
def test_the_program_says_what_is_wrong(tmp_path, monkeypatch, output, expected):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=expected):
        generate_embeddings.main(["--battles-dataset", "x.parquet", "--output-dataset", output])


# --- contamination


def test_similar_prompts_are_found(monkeypatch):
    random = np.random.default_rng(1)
    train = random.standard_normal((500, 24))
    near = train[[3, 400]] * [[2.0], [0.5]]
    vectors = {"a": near[0], "b": near[1] + 0.01 * random.standard_normal(24), "c": random.standard_normal(24)}
    found = check_data_contamination_similarity(train, ["a", "b", "c"], embedder=vectors.__getitem__)
    assert found == [(0, 3), (1, 400)]
    assert all(type(number) is int for pair in found for number in pair)
    assert len(check_data_contamination_similarity(train, ["c"], embedder=vectors.__getitem__, threshold=-1)) == 1
    monkeypatch.setattr(find_contaminated, "THRESHOLD", 1.1)
    assert check_data_contamination_similarity(train, ["a"], embedder=vectors.__getitem__) == []
    assert check_data_contamination_similarity(train, [], embedder=vectors.__getitem__) == []
    assert THRESHOLD == 0.95


def test_blocks_are_the_whole(monkeypatch):
    random = np.random.default_rng(2)
    train, tests = random.standard_normal((101, 7)).astype("f4"), random.standard_normal((33, 7)).astype("f4")
    train[50] = train[7] * 2  # equals: the first one counts
    tests[5] = train[50]
    expected = (tests / np.linalg.norm(tests, axis=1)[:, None]) @ (train / np.linalg.norm(train, axis=1)[:, None]).T
    monkeypatch.setattr(find_contaminated, "_TRAIN_ROWS", 10)
    monkeypatch.setattr(find_contaminated, "_EVAL_ROWS", 4)
    best, row = most_similar(train, tests)
    np.testing.assert_allclose(best, expected.max(axis=1), atol=1e-6)
    np.testing.assert_array_equal(row, expected.argmax(axis=1))
    assert row[5] == 7
    for wrong, message in [(train[:0], "at least one row"), (train[:, :3], "3 numbers, those of the benchmark 7"),
                           (np.zeros((2, 7)), "row 0 has the length 0"),
                           (np.full((2, 7), np.nan), "length nan")]:  # fmt: skip
        with pytest.raises(InvalidValueError, match=message):
            most_similar(wrong, tests)


@pytest.mark.parametrize("width", [5, 107, 1536])
def test_the_first_of_equals_is_found(width):
    random = np.random.default_rng(width)
    base = random.standard_normal((40, width)).astype("f4")
    chosen = random.integers(0, 40, 9000)
    train, tests = base[chosen], base + (np.arange(40) % 2)[:, None] * random.standard_normal((40, width)) * 0.1
    best, row = most_similar(train, tests)
    first = [int(np.flatnonzero(chosen == index)[0]) for index in range(40)]
    if width > 5:
        np.testing.assert_array_equal(row, first)
    np.testing.assert_array_equal(row, [int(np.flatnonzero(chosen == chosen[index])[0]) for index in row])
    assert (best[::2] == 1.0).all()
    assert (best[1::2] < 1.0).all()
    best, _row = most_similar(base * 1e-30, base * 1e30)
    assert (best == 1.0).all()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("{not json", "expected a JSON list of battles"),
        ('[{"conversation_a": []}]', "record 0: expected `conversation_a`"),
        ('[{"conversation_a": [{"content": "x"}]}, {"conversation_a": [{"content": 3}]}]', "record 1: expected"),
        ('[{"conversation_a": [{"content": "x"}]}, 7]', "record 1: expected"),
        ("[1, 2]", "bad.json"),
        ('[{"prompt": 3}]', "holds numbers, expected texts"),
    ],
)
def test_battles_that_make_no_sense_are_named(tmp_path, content, expected):
    (tmp_path / "bad.json").write_text(content)
    np.save(tmp_path / "e.npy", np.ones((2, 107)))
    with pytest.raises(SystemExit, match=expected) as ended:
        find_contaminated.main(
            ["--benchmark", "mt-bench", "--embedder", "local", "--embeddings-path", str(tmp_path / "e.npy"),
             "--battles-path", str(tmp_path / "bad.json"), "--output", str(tmp_path / "o")]
        )  # fmt: skip
    assert "bad.json" in str(ended.value)


@pytest.mark.parametrize(("output", "expected"), [("none/o.jsonl", "no folder"), (".", "is a folder")])
def test_the_output_is_looked_at_before_the_work(tmp_path, monkeypatch, output, expected):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=expected):
        find_contaminated.main(
            ["--benchmark", "mt-bench", "--embeddings-path", "x.npy", "--battles-path", "x.json", "--output", output]
        )


@pytest.mark.parametrize(("benchmark", "count"), [("gsm8k", 1319), ("mmlu", 14042), ("mt-bench", 160)])
def test_the_program_finds_a_prompt_that_was_trained_on(tmp_path, benchmark, count):
    prompts = find_contaminated.benchmark_prompts(benchmark)
    assert len(prompts) == count
    train = ["Tell me a joke about a tree, please.", prompts[7], "Write a haiku about winter."]
    battles = [{"conversation_a": [{"role": "user", "content": text}]} for text in train]
    (tmp_path / "battles.json").write_text(json.dumps(battles))
    np.save(tmp_path / "e.npy", LocalEmbedder().embed_batch(train))
    name = "routellm.evals.find_contaminated"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", name, "--benchmark", benchmark, "--embedder", "local",
         "--threshold", "0.999999",
         "--embeddings-path", tmp_path / "e.npy", "--battles-path", tmp_path / "battles.json",
         "--output", tmp_path / "out.jsonl"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{count} prompts for {benchmark}\n")
    records = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert {"train_prompt": prompts[7], "eval_prompt": prompts[7], "train_idx": 1, "eval_idx": 7} in records
    np.save(tmp_path / "e.npy", np.ones((2, 107)))
    with pytest.raises(SystemExit, match="3 battles and 2 embeddings"):
        find_contaminated.main(
            ["--benchmark", benchmark, "--embedder", "local", "--embeddings-path", str(tmp_path / "e.npy"),
             "--battles-path", str(tmp_path / "battles.json"), "--output", str(tmp_path / "o")]
        )  # fmt: skip
