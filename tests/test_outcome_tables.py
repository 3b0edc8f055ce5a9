"""The table of outcomes, and the layouts it is read from."""

from __future__ import annotations

import json
import math
import shutil

import numpy as np
import pytest

from conftest import GOLDENS
from ferroute.errors import InvalidTypeError, InvalidValueError, MissingFileError, UnknownNameError
from ferroute.evals import OutcomeTable, read_outcomes
from ferroute.ledger import Ledger

FILES = GOLDENS / "outcome_tables"
NAN = float("nan")


def table(**more):
    return OutcomeTable(["a", "b", "c"], [[1, 0], [1, NAN], [0.5, 1]], ["big", "small"], **more)


def test_views():
    made = table(costs=[0.01, 0.001], latency=[[1, 2], [3, NAN], [5, 6]], groups=["x", "x", "y"])
    prompts, scores, models = made.matrix()
    assert (prompts, models) == (["a", "b", "c"], ["big", "small"])
    np.testing.assert_array_equal(scores, [[1, 0], [1, NAN], [0.5, 1]])
    np.testing.assert_array_equal(made.costs, np.tile([0.01, 0.001], (3, 1)))
    assert made.prompt_tokens is None
    frame = made.to_pandas()
    assert len(frame) == 6  # the cost of a call nobody scored is known as well
    assert frame.columns.tolist() == ["id", "prompt", "model", "score", "cost", "latency", "group"]
    assert made.to_pandas(wide=True)["small|cost"].tolist() == [0.001] * 3
    small = made.describe()[1]
    assert small == {
        "model": "small",
        "rows": 2,
        "score": 0.5,
        "cost": pytest.approx(0.001),
        "prompt_tokens": None,
        "completion_tokens": None,
        "latency": 4.0,
    }
    assert "3 prompts, 2 models; 2 groups" in repr(made)
    assert "<table" in made._repr_html_()


def test_parts():
    made = table(groups=["x", "x", "y"])
    assert made.filter(["small", "big"]).scores[0].tolist() == [0, 1]
    assert made.filter(complete=True).prompts == ["a", "c"]
    assert made.filter(["big"], complete=True).prompts == ["a", "b", "c"]
    assert made.filter(groups=["y"]).ids == made.ids[2:]
    with pytest.raises(UnknownNameError, match="no model named 'huge'; there are big, small"):
        made.filter(["huge"])
    with pytest.raises(UnknownNameError, match="no group named 'z'"):
        made.filter(groups=["z"])


def test_merging():
    first = table(costs=[0.01, 0.001])
    other = OutcomeTable(["b", "d"], [[1, 0.25], [0, 1]], ["small", "tiny"])
    both = first.merge(other)
    assert both.models == ["big", "small", "tiny"]
    assert both.prompts == ["a", "b", "c", "d"]
    np.testing.assert_array_equal(both.scores, [[1, 0, NAN], [1, 1, 0.25], [0.5, 1, NAN], [NAN, 0, 1]])
    assert np.isnan(both.costs[3]).all()
    assert first.merge(first).fingerprint() == first.fingerprint()
    with pytest.raises(InvalidValueError, match=r"scores: '.*' under 'big' is both 1 and 0: expected one number"):
        first.merge(OutcomeTable(["a"], [[0]], ["big"]))


def test_files_keep_everything(tmp_path):
    made = table(
        costs=[[0.01, NAN], [0.01, NAN], [0.02, NAN]], prompt_tokens=np.full((3, 2), 7), groups=["x", None, "y"]
    )
    made.save(tmp_path / "t.parquet")
    again = OutcomeTable.read(tmp_path / "t.parquet")
    assert again.ids == made.ids
    assert again.groups == made.groups
    for name in ("scores", "costs", "prompt_tokens"):
        np.testing.assert_array_equal(getattr(again, name), getattr(made, name))
    assert read_outcomes(tmp_path / "t.parquet").fingerprint() == again.fingerprint()


def test_fingerprints_tell_tables_apart():
    seen = {
        table().fingerprint(),
        table(costs=[1, 2]).fingerprint(),
        table(latency=[[1, 2]] * 3).fingerprint(),
        table(groups=["x", "", ""]).fingerprint(),
        OutcomeTable(["a", "bc", ""], [[1, 0], [1, NAN], [0.5, 1]], ["big", "small"]).fingerprint(),
    }
    assert len(seen) == 5
    assert table().fingerprint() == table().fingerprint()


def test_from_rows():
    records = [
        {"prompt": "hi", "model": "m", "score": True, "cost": None, "latency": 0.5},
        {"prompt": "hi", "model": "m", "score": 0, "latency": 1.5},
        {"prompt": "hi", "model": "n", "score": "0.25"},
        {"prompt": "yo", "model": "n", "score": None},
    ]
    made = OutcomeTable.from_records(records)
    np.testing.assert_array_equal(made.scores, [[0.5, 0.25], [NAN, NAN]])
    assert made.latency[0, 0] == 1.0
    assert made.costs is None
    assert made.notes == ("repeats of the same prompt and model averaged: 1",)
    # The prompt is the name of its row: tables of the same prompts fit together.
    assert made.ids[0] == OutcomeTable(["hi"], [[1]], ["x"]).ids[0]
    renamed = [{"q": "hi", "llm": "m", "mark": 3}]
    assert OutcomeTable.from_records(renamed, {"prompt": "q", "score": "mark"}).scores.tolist() == [[3]]


def test_from_frames():
    import pandas as pd

    data = {"prompt_id": [1.0, 2.0], "prompt": ["a", None], "model": ["m", "m"], "accuracy": [1.0, float("nan")]}
    made = OutcomeTable.from_pandas(pd.DataFrame(data))
    assert (made.ids, made.prompts) == (["1", "2"], ["a", None])
    assert math.isnan(made.scores[1, 0])
    polars = pytest.importorskip("polars")
    assert OutcomeTable.from_polars(polars.DataFrame(data)).ids == ["1", "2"]


@pytest.mark.parametrize(
    ("records", "error", "message"),
    [
        ([{"prompt": "a", "score": 1}], UnknownNameError, "no column for model: expected model or model_name or llm"),
        ([{"prompt": "a", "model": "m"}], UnknownNameError, "no column for score"),
        ([{"model": "m", "score": 1}], UnknownNameError, "no column for prompt"),
        (
            [{"prompt": "a", "model": "m", "score": "x"}],
            InvalidValueError,
            "row 0: score: expected a number, found 'x'",
        ),
        ([{"prompt": None, "model": "m", "score": 1}], InvalidValueError, "row 0: prompt: expected a text"),
        (
            [{"prompt": "a", "model": "m", "score": 1, "cost": -1}],
            InvalidValueError,
            "costs: expected numbers from 0 on",
        ),
        ([{"prompt": "a", "model": "m", "score": float("inf")}], InvalidValueError, "scores: expected finite"),
    ],
)
def test_bad_rows(records, error, message):
    with pytest.raises(error, match=message):
        OutcomeTable.from_records(records)


def test_bad_tables():
    with pytest.raises(InvalidValueError, match=r"scores: expected a row for each prompt .*\[3, 2\], found \[2, 2\]"):
        OutcomeTable(["a", "b", "c"], [[1, 0], [1, 1]], ["x", "y"])
    with pytest.raises(InvalidTypeError, match=r"scores: expected numbers \[1, 1\], found list"):
        OutcomeTable(["a"], [["good"]], ["x"])
    with pytest.raises(InvalidValueError, match="models: expected different names, found 'x' twice"):
        OutcomeTable(["a"], [[1, 1]], ["x", "x"])
    with pytest.raises(InvalidValueError, match="ids: expected 1"):
        OutcomeTable(["a"], [[1]], ["x"], ids=["p", "q"])
    with pytest.raises(UnknownNameError, match="no field 'mark'"):
        OutcomeTable.from_records([{"prompt": "a"}], {"mark": "score"})


# --- layouts ---


def test_routerbench(tmp_path):
    made = read_outcomes(FILES / "routerbench.csv")
    assert made.models == ["gpt-4-1106-preview", "mistralai/mistral-7b-chat", "own/free-model"]
    assert made.ids[0] == "grade-school-math.0"
    assert made.prompts[2] == "Write a function that reverses a list.\nNow in place."
    assert made.groups[3] == "mmlu-astronomy"
    np.testing.assert_array_equal(made.scores, [[1, 1, 0], [1, 0, 0], [0.75, 0.25, 0.5], [1, 0, NAN]])
    assert made.costs[2, 0] == 0.0102
    assert np.isnan(made.costs[:, 2]).all(), "0 in every call is a price nobody knows"
    assert made.notes == ("cost 0 in every call counts as unknown: own/free-model",)
    frame = __import__("pandas").read_csv(FILES / "routerbench.csv")
    frame.to_parquet(tmp_path / "bench.parquet")
    frame.to_pickle(tmp_path / "bench.pkl")
    assert read_outcomes(tmp_path / "bench.parquet").fingerprint() == made.fingerprint()
    with pytest.raises(InvalidValueError, match="a pickle runs whatever code it holds"):
        read_outcomes(tmp_path / "bench.pkl")
    assert read_outcomes(tmp_path / "bench.pkl", allow_pickle=True).fingerprint() == made.fingerprint()
    (tmp_path / "bad.pkl").write_bytes(b"nothing of the kind")
    with pytest.raises(InvalidValueError, match="expected a pickled pandas frame"):
        read_outcomes(tmp_path / "bad.pkl", allow_pickle=True)
    frame.drop(columns=["prompt"]).to_csv(tmp_path / "less.csv", index=False)
    with pytest.raises(UnknownNameError, match="no column 'prompt'; there are sample_id, eval_name"):
        read_outcomes(tmp_path / "less.csv")


def test_a_pickle_is_not_opened_without_leave(tmp_path):
    """Not even to find out the layout."""
    import pickle

    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    (tmp_path / "trap.pkl").write_bytes(pickle.dumps(Trap()))
    for layout in (None, "routerbench", "plain", "embedllm"):
        with pytest.raises((InvalidValueError, UnknownNameError)):
            read_outcomes(tmp_path / "trap.pkl", layout)
    assert not (tmp_path / "sprung").exists()


def test_llmrouterbench():
    made = read_outcomes(FILES / "llmrouterbench")
    assert made.models == ["Qwen3-8B", "gpt-5"]
    assert made.ids == ["aime/test/0", "aime/test/1", "bbh/test/2"]
    # The later run counts, the trial run does not, and a missing score is not a wrong answer.
    np.testing.assert_array_equal(made.scores, [[1, 1], [NAN, 1], [1, 0.5]])
    np.testing.assert_array_equal(made.costs[:, 1], [0.004, 0.006, 0.002])
    assert np.isnan(made.costs[:, 0]).all()
    assert made.completion_tokens[0].tolist() == [900, 300]
    assert made.notes[:2] == ("trial runs left out: 1", "older runs of the same left out: 1")
    one = next((FILES / "llmrouterbench" / "bbh" / "test" / "gpt-5").iterdir())
    assert read_outcomes(one).scores.tolist() == [[0.5]]


def test_embedllm(tmp_path):
    made = read_outcomes(FILES / "embedllm")
    assert made.models == ["google__gemma-2b-it", "microsoft__phi-2"]
    assert made.ids == ["0", "1", "3"]
    np.testing.assert_array_equal(made.scores, [[1, 1], [0, 0.5], [0, 1]])
    assert made.groups == ["gsm8k", "gsm8k", "mmlu"]
    assert made.costs is None
    train = read_outcomes(FILES / "embedllm" / "train.csv", models=["microsoft__phi-2"])
    assert train.scores.tolist() == [[1], [0.5]]
    frame = __import__("pandas").read_csv(FILES / "embedllm" / "train.csv")
    frame.to_parquet(tmp_path / "train.parquet")
    assert read_outcomes(tmp_path / "train.parquet").scores.tolist() == [[1, 1], [0, 0.5]]
    (tmp_path / "broken.csv").write_text("prompt_id,model_name,prompt,label\n1,m,hi,1\n2,m,yo\n")
    with pytest.raises(InvalidValueError, match="row 2: expected 4 cells, found 3"):
        read_outcomes(tmp_path / "broken.csv")
    (tmp_path / "train.csv").write_text("prompt_id,model_name,label\n1,m,1\n")
    with pytest.raises(UnknownNameError, match="no column 'prompt'"):
        read_outcomes(tmp_path)


def test_routerarena():
    made = read_outcomes(FILES / "routerarena")
    assert made.models == ["gemini-2.0-flash-001", "gpt-4o-mini"]
    np.testing.assert_array_equal(made.scores, [[1, 1], [0, 1]])
    assert made.costs[1].tolist() == [2e-5, 4e-5]
    assert made.groups == ["Quiz", "Quiz"]
    assert made.notes == ("calls that failed left out: 1", "calls without a score left out: 1")
    predictions = read_outcomes(FILES / "routerarena_predictions.json")
    assert predictions.models == ["gpt-4o-mini", "gemini-2.0-flash-001"]
    np.testing.assert_array_equal(predictions.scores, [[1, 1], [NAN, 0]])
    assert predictions.notes == ("calls without a score left out: 1",)


def test_predictions_nobody_judged(tmp_path):
    entry = json.loads((FILES / "routerarena_predictions.json").read_text())[-1]
    (tmp_path / "p.json").write_text(json.dumps([entry]))
    with pytest.raises(InvalidValueError, match="expected at least one call with a score, found none; calls without"):
        read_outcomes(tmp_path / "p.json")


def test_plain_tables(tmp_path):
    (tmp_path / "t.jsonl").write_text('{"question": "a", "model_name": "m", "correct": true}\n')
    assert read_outcomes(tmp_path / "t.jsonl").scores.tolist() == [[1]]
    (tmp_path / "t.csv").write_text("q,who,mark\na,m,0.5\n")
    columns = {"prompt": "q", "model": "who", "score": "mark"}
    assert read_outcomes(tmp_path / "t.csv", columns=columns).prompts == ["a"]
    head = "prompt,strong,weak,strong_model,weak_model,strong_cost,weak_cost,error"
    (tmp_path / "collected.csv").write_text(f"{head}\na,1,0,big,small,0.01,,\nb,,,big,small,,,no\n")
    made = read_outcomes(tmp_path / "collected.csv")
    assert (made.models, made.scores.tolist()) == (["big", "small"], [[1, 0]])
    np.testing.assert_array_equal(made.costs, [[0.01, NAN]])
    assert made.notes == ("rows that failed left out: 1",)


def test_wide_tables(tmp_path):
    made = table(costs=[0.01, 0.001], groups=["x", None, "y"])
    made.to_pandas(wide=True).to_parquet(tmp_path / "wide.parquet")
    again = read_outcomes(tmp_path / "wide.parquet", models=["small", "big"])
    assert again.fingerprint() == made.filter(["small", "big"]).fingerprint()
    (tmp_path / "wide.csv").write_text("question,big,small\na,1,\nb,0,0.5\n")
    np.testing.assert_array_equal(
        read_outcomes(tmp_path / "wide.csv", models=["big", "small"]).scores, [[1, NAN], [0, 0.5]]
    )
    (tmp_path / "text.csv").write_text("question,big,small\na,1,good\n")
    with pytest.raises(InvalidValueError, match="small: expected a number, found 'good'"):
        read_outcomes(tmp_path / "text.csv", models=["big", "small"])
    (tmp_path / "none.csv").write_text("big,small\n1,0\n")
    with pytest.raises(UnknownNameError, match="no column for prompt; there are big, small"):
        read_outcomes(tmp_path / "none.csv", models=["big", "small"])


def test_what_is_none_of_these(tmp_path):
    with pytest.raises(MissingFileError, match="there is no such file or folder"):
        read_outcomes(tmp_path / "nothing.csv")
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InvalidValueError, match=r"no layout recognised: .*; found the columns a, b"):
        read_outcomes(tmp_path / "t.csv")
    with pytest.raises(UnknownNameError, match="no layout named 'routellm'"):
        read_outcomes(tmp_path / "t.csv", "routellm")
    with pytest.raises(UnknownNameError, match=r"no column that ends in \|model_response"):
        read_outcomes(tmp_path / "t.csv", "routerbench")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InvalidValueError, match="the folder is empty"):
        read_outcomes(tmp_path / "folder")
    (tmp_path / "t.json").write_text("{nothing")
    with pytest.raises(InvalidValueError, match="expected JSON"):
        read_outcomes(tmp_path / "t.json", "llmrouterbench")
    shutil.copy(FILES / "routerarena" / "gpt-4o-mini.jsonl", tmp_path / "cut.jsonl")
    with (tmp_path / "cut.jsonl").open("a") as file:
        file.write('{"global_index": ')
    with pytest.raises(InvalidValueError, match=r"cut\.jsonl: line 4: expected JSON"):
        read_outcomes(tmp_path / "cut.jsonl")


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet", "CSV"])
def test_a_file_is_of_the_kind_its_name_says(tmp_path, ending):
    prompts = ['a "quoted", prompt\nof two lines', "naïve 漢字", "plain"]
    scores = [[1, 0.1], [float("nan"), 0.3], [0.25, 1 / 3]]
    table = OutcomeTable(prompts, scores, ["one", "two"], costs=[[0.1, None], [None, None], [1e-7, 2]])
    path = tmp_path / f"table.{ending}"
    table.save(path)
    assert path.read_bytes().startswith(b"PAR1") == (ending == "parquet")
    again = read_outcomes(path)
    assert again.prompts == prompts
    assert np.array_equal(again.scores, table.scores, equal_nan=True)
    assert np.array_equal(again.costs, table.costs, equal_nan=True)


@pytest.mark.parametrize("name", ["table.json", "table.xlsx", "table"])
def test_a_file_of_no_known_kind_is_not_written(tmp_path, name):
    table = OutcomeTable(["a"], [[1, 0]], ["one", "two"])
    with pytest.raises(InvalidValueError, match=r"\.parquet, \.csv or \.jsonl"):
        table.save(tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["table.csv", "table.jsonl", "table.parquet", "table.json"])
def test_an_empty_file_is_called_empty(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"")
    with pytest.raises(InvalidValueError, match="empty"):
        read_outcomes(path)
    if not name.endswith("parquet"):
        path.write_bytes(b"\n \n")
        with pytest.raises(InvalidValueError, match="empty"):
            read_outcomes(path)


def test_scores_of_live_calls():
    book = Ledger("memory:", store="text")
    for n in range(4):
        book.add("big", cost="0.01", router="mf", response=f"r{n}", text=f"prompt {n}", task="maths")
        book.add_outcome(f"r{n}", score=1.0, source="user")
        book.add_outcome(f"r{n}", score=n / 4, source="user", model="small")
    book.add_outcome("r0", score=0.5, source="judge:gpt-5.5")
    with pytest.raises(InvalidValueError, match=r"'judge:gpt-5\.5', 'user'"):
        OutcomeTable.from_ledger(book)
    table = OutcomeTable.from_ledger(book, "user")
    assert table.prompts == [f"prompt {n}" for n in range(4)]
    assert table.models == ["big", "small"]
    assert table.scores.tolist() == [[1.0, n / 4] for n in range(4)]
    assert table.costs[:, 0].tolist() == [0.01] * 4
    assert np.isnan(table.costs[:, 1]).all()
    assert table.groups == ["maths"] * 4
    with pytest.raises(InvalidValueError, match="no scores"):
        OutcomeTable.from_ledger(Ledger("memory:"))
