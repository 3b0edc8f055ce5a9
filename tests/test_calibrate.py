"""Calibration against the original's numbers, and what it does beyond them."""

from __future__ import annotations

import json
import math
import pickle
import subprocess
import sys

import numpy as np
import pytest

from conftest import GOLDENS
from ferroute import _core, _tables, calibrate, calibrate_threshold, thresholds
from ferroute.calibrate import CalibrationTable, threshold_for_share
from ferroute.controller import Controller
from ferroute.decision import Share
from ferroute.errors import (
    InvalidTypeError,
    InvalidValueError,
    MissingFileError,
    UnknownNameError,
)
from ferroute.routers.base import ROUTER_CLS, Router

FOLDER = GOLDENS / "calibration"
THRESHOLDS = json.loads((FOLDER / "thresholds.json").read_text())
RESULTS = THRESHOLDS["results"]
ROUTERS = ["random", "mf", "bert", "causal_llm", "sw_ranking"]


@pytest.fixture(scope="module")
def columns():
    return {name: np.load(FOLDER / f"win_rates_{name}.npy") for name in ROUTERS}


@pytest.fixture
def saved(tmp_path, monkeypatch):
    """The calibration folder of a test."""
    monkeypatch.setenv("FERROUTE_CALIBRATION", str(tmp_path / "tables"))
    return tmp_path / "tables"


class Fixed(Router):
    """Scores a prompt with the number it is."""

    def __init__(self, scale=1.0, key=None):
        self.scale = scale

    def calculate_strong_win_rate(self, prompt):
        return float(prompt) * self.scale


@pytest.fixture
def fixed(monkeypatch):
    monkeypatch.setitem(ROUTER_CLS, "fixed", Fixed)


def run(*arguments, capsys):
    calibrate_threshold.main([str(argument) for argument in arguments])
    return capsys.readouterr()


# --- numbers ---


def test_every_threshold_of_the_original(columns):
    for result in RESULTS:
        found = threshold_for_share(columns[result["router"]], result["strong_model_pct"])
        assert abs(found.threshold - result["quantile"]) <= 1e-15
        assert thresholds.rounded(found.threshold) == result["threshold_rounded_5"]
        line = calibrate_threshold.line(result["router"], result["strong_model_pct"], found.threshold)
        assert line == result["printed_line"]
        above = float(np.mean(columns[result["router"]] >= result["threshold_rounded_5"]))
        assert above == result["share_at_or_above_rounded"]


def test_every_quantile_case():
    for case in json.loads((FOLDER / "quantile_cases.json").read_text()):
        values = np.array(case["values"], dtype=np.float64)
        found = _core.quantiles(values, case["q"])
        np.testing.assert_allclose(found, case["quantile"], rtol=0, atol=1e-15)
        assert [_core.quantile(case["values"], q) for q in case["q"]] == found.tolist()


def test_quantiles_are_those_of_numpy_to_the_bit():
    draw = np.random.default_rng(11)
    for n in (1, 2, 3, 10, 997):
        values = draw.random(n).round(2 if n % 2 else 17)
        at = [*draw.random(200).tolist(), 0.0, 1.0, 0.07, 0.93]
        assert _core.quantiles(values, at, percent=False).tolist() == np.quantile(values, at).tolist()
        hundredfold = [(q * 100) / 100 for q in at]
        assert _core.quantiles(values, at).tolist() == np.quantile(values, hundredfold).tolist()


@pytest.mark.parametrize("share", [0, 0.0, 1e-9, 0.07, 0.123456, 0.5, 1 / 3, 0.999, 1, 1.0])
def test_the_threshold_achieves_its_share(columns, share):
    scores = columns["mf"]
    found = threshold_for_share(scores, share)
    above = int(np.sum(scores >= found.threshold))
    assert found.share == above / scores.size
    assert abs(found.share - share) <= 1 / scores.size
    assert found.interval == _core.binomial_interval(above, scores.size, 0.95)
    assert found.interval[0] <= found.share <= found.interval[1]
    assert (found.n, found.asked, found.note) == (5000, share, None)
    assert float(found) == found.threshold


def test_the_ends_reach_one_score_and_all():
    scores = [0.2, 0.9, 0.4]
    assert (threshold_for_share(scores, 0).threshold, threshold_for_share(scores, 0).share) == (0.9, 1 / 3)
    assert (threshold_for_share(scores, 1).threshold, threshold_for_share(scores, 1).share) == (0.2, 1.0)
    assert threshold_for_share([0.5], 0.3).threshold == 0.5


def test_masks_and_complex_numbers_are_refused():
    for scores in (np.ma.array([0.1, 0.2], mask=[0, 1]), np.array([0.1, 0.2], dtype=complex)):
        with pytest.raises(InvalidTypeError, match=r"masked array|complex numbers"):
            threshold_for_share(scores, 0.5)


def test_rounding_in_float32_is_no_error(tmp_path):
    scores = [-1.2e-7, 0.5, 1.0000001]
    found = threshold_for_share(scores, 1)
    assert (found.threshold, found.share) == (-1.2e-7, 1.0)
    path = calibrate.calibrate(scores, name="bert").save(tmp_path / "t.json")
    assert CalibrationTable.load(path).threshold(1) == found


def test_ties_are_told_in_words(columns):
    found = threshold_for_share(columns["causal_llm"], 0.1)
    assert found.threshold == 1.0
    assert 0.29 < found.share < 0.3
    assert "many scores are equal to 1" in found.note
    assert "10% were asked for" in repr(found)
    assert "29.54% of 5,000 scores" in repr(found)


def test_a_repr_explains_itself(columns):
    text = repr(threshold_for_share(columns["mf"], 0.3, confidence=0.9))
    assert text.startswith("<threshold 0.")
    assert "for a share of 30%: 30% of 5,000 scores are at or above it (90% interval 28." in text


def test_lists_arrays_and_series_are_scores(columns):
    import pandas as pd
    import polars as pl

    scores = columns["bert"][:100]
    kinds = [scores, scores.tolist(), tuple(scores), pd.Series(scores, index=range(5, 105)), pl.Series(scores)]
    kinds.append(np.repeat(scores, 2)[::2])
    assert len({repr(threshold_for_share(kind, 0.25)) for kind in kinds}) == 1
    halves = scores.astype(np.float32)
    assert threshold_for_share(halves, 0.25).threshold == pytest.approx(threshold_for_share(scores, 0.25).threshold)


@pytest.mark.parametrize(
    ("scores", "kind", "words"),
    [
        ([], InvalidValueError, "expected at least one win rate, found none"),
        ([0.1, math.nan], InvalidValueError, "found nan at index 1"),
        ([0.1, None], InvalidValueError, "found nan at index 1"),
        ([0.1, 0.2, 1.5], InvalidValueError, "found 1.5 at index 2"),
        ([-0.1], InvalidValueError, "found -0.1 at index 0"),
        ([math.inf], InvalidValueError, "found inf at index 0"),
        ([[0.1, 0.2]], InvalidTypeError, "found 2 dimensions"),
        (0.5, InvalidTypeError, "found 0 dimensions"),
        (["a"], InvalidTypeError, "expected win rates in one row"),
        ("0.5", InvalidTypeError, "found a string"),
    ],
)
def test_bad_scores(scores, kind, words):
    with pytest.raises(kind, match=words):
        threshold_for_share(scores, 0.5)


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        ({"share": 1.1}, ValueError, "share: expected a number between 0 and 1, found 1.1"),
        ({"share": -0.1}, ValueError, "share: "),
        ({"share": math.nan}, ValueError, "share: .*nan"),
        ({"share": "30%"}, TypeError, "share: .*the string '30%'"),
        ({"share": None}, TypeError, "share: .*None"),
        ({"share": 0.5, "confidence": 1.0}, ValueError, "confidence: "),
    ],
)
def test_bad_shares(arguments, kind, words):
    with pytest.raises(kind, match=words):
        threshold_for_share([0.1, 0.2], **arguments)


@pytest.mark.parametrize(
    ("k", "n", "confidence", "low", "high"),
    [  # scipy 1.17
        (3, 10, 0.95, 0.0667395111777345, 0.6524528500599973),
        (1, 1000, 0.95, 2.5317487491294065e-05, 0.005558924279826672),
        (30000, 100000, 0.99, 0.29627186410262796, 0.30374719735112354),
        (3_000_000, 10_000_000, 0.95, 0.29971598216542433, 0.3002841336338419),
        (0, 10_000_000, 0.95, 0.0, 3.688878773746573e-07),
        (7, 7, 0.9, 0.6518363448688634, 1.0),
    ],
)
def test_intervals_are_exact(k, n, confidence, low, high):
    found = _core.binomial_interval(k, n, confidence)
    np.testing.assert_allclose(found, (low, high), rtol=0, atol=1e-10)


# --- the program ---


@pytest.fixture(params=["parquet", "csv", "jsonl", "arrow"])
def table(request, tmp_path, columns):
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / f"rates.{request.param}"
    frame = pa.table({"prompt": ["x"] * 5000, **columns})
    if request.param == "parquet":
        pq.write_table(frame, path)
    elif request.param == "arrow":
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, frame.schema) as stream:
            stream.write_table(frame)
    elif request.param == "csv":
        frame.to_pandas().to_csv(path, index=False)
    else:
        assert isinstance(frame.to_pandas(), pd.DataFrame)
        path.write_text("".join(json.dumps(row) + "\n" for row in frame.to_pylist()))
    return path


def test_every_printed_line(table, capsys):
    for share in sorted({result["strong_model_pct"] for result in RESULTS}):
        wanted = [result["printed_line"] for result in RESULTS if result["strong_model_pct"] == share]
        routers = [result["router"] for result in RESULTS if result["strong_model_pct"] == share]
        out, _err = run("--routers", *routers, "--strong-model-pct", repr(share), "--win-rates", table, capsys=capsys)
        assert out.splitlines() == wanted


def test_a_folder_with_the_data_sets_name_works_offline(tmp_path, monkeypatch, columns, capsys):
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = tmp_path / "routellm" / "lmsys-arena-human-preference-55k-thresholds" / "data"
    folder.mkdir(parents=True)
    for part, rows in enumerate((slice(0, 1234), slice(1234, None))):
        rates = {name: column[rows] for name, column in columns.items()}
        pq.write_table(pa.table(rates), folder / f"train-0000{part}-of-00002.parquet")
    monkeypatch.chdir(tmp_path)
    out, _err = run("--routers", "mf", "causal_llm", "--strong-model-pct", "0.1", capsys=capsys)
    assert out.splitlines() == [
        "For 10.0% strong model calls for mf, threshold = 0.45921",
        "For 10.0% strong model calls for causal_llm, threshold = 1.0",
    ]
    with pytest.raises(SystemExit):
        run("--routers", "other", "--strong-model-pct", "0.1", capsys=capsys)
    err = capsys.readouterr().err
    assert "has no column `other`" in err
    assert "`sw_ranking`" in err


@pytest.mark.parametrize("module", ["ferroute.calibrate_threshold", "routellm.calibrate_threshold"])
def test_as_a_program(module, tmp_path, columns):
    (tmp_path / "rates.csv").write_text("mf\n" + "\n".join(map(repr, columns["mf"].tolist())) + "\n")
    command = [sys.executable, "-m", module, "--routers", "mf", "--strong-model-pct", "0.5", "--win-rates", "rates.csv"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    wanted = [r["printed_line"] for r in RESULTS if (r["router"], r["strong_model_pct"]) == ("mf", 0.5)]
    assert (done.returncode, done.stdout.splitlines()) == (0, wanted), done.stderr


def test_what_the_package_knows_by_itself_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    out, err = run("--routers", "local", "random", "--strong-model-pct", "0.3", capsys=capsys)
    lines = out.splitlines()
    quantiles = _core.LocalModel().quantiles
    assert lines[0] == f"For 30.0% strong model calls for local, threshold = {np.round(np.quantile(quantiles, 0.7), 5)}"
    assert lines[1] == "For 30.0% strong model calls for random, threshold = 0.7"
    assert "local: from quantiles on a mixed reference that the package ships" in err
    assert "random: from the uniform distribution" in err


def test_what_is_on_the_hub_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        run("--routers", "mf", "--strong-model-pct", "0.5", capsys=capsys)
    assert ended.value.code == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "published on the Hugging Face Hub" in err
    assert "HF_HUB_OFFLINE" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--routers", "mf"], "--strong-model-pct is needed"),
        (["--strong-model-pct", "1.5"], "expected a share between 0 and 1, found 1.5"),
        (["--strong-model-pct", "nan"], "expected a share between 0 and 1, found nan"),
        (["--task", "generate"], "--output is needed"),
        (["--strong-model-pct", "0.5", "--win-rates", "a", "--prompts", "b"], "contradict each other"),
    ],
)
def test_commands_that_are_not_understood(arguments, words, capsys):
    with pytest.raises(SystemExit) as ended:
        calibrate_threshold.main(arguments)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_bad_columns_are_named(tmp_path, capsys):
    (tmp_path / "rates.csv").write_text("mf,name,bad\n0.5,x,2\n0.25,y,\n")
    for router, words in {
        "bert": "has no column `bert`: its columns are `mf`, `name` and `bad`",
        "name": "column 'name' holds texts",
        "bad": "found 2.0 at index 0",
    }.items():
        with pytest.raises(SystemExit) as ended:
            run("--routers", router, "--strong-model-pct", "0.5", "--win-rates", tmp_path / "rates.csv", capsys=capsys)
        assert ended.value.code == 1
        assert words in capsys.readouterr().err


def test_a_router_of_ones_own(tmp_path, saved, capsys):
    (tmp_path / "mine.py").write_text(
        "from routellm.routers.routers import ROUTER_CLS, Router\n"
        "class Length(Router):\n"
        "    def calculate_strong_win_rate(self, prompt):\n"
        "        return len(prompt) / 10\n"
        "ROUTER_CLS['length'] = Length\n"
    )
    (tmp_path / "prompts.txt").write_text("".join("x" * n + "\n" for n in range(1, 11)))
    command = [sys.executable, "-m", "routellm.calibrate_threshold", "--import", "mine", "--routers", "length"]
    command += ["--strong-model-pct", "0.5", "--prompts", "prompts.txt"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout == "For 50.0% strong model calls for length, threshold = 0.55\n", done.stderr
    assert "calibration table saved to" in done.stderr
    (found,) = saved.iterdir()
    assert CalibrationTable.load(found).n == 10


def test_a_config_reaches_the_router(tmp_path, saved, fixed, capsys):
    (tmp_path / "config.yaml").write_text("fixed: {scale: 0.5}\n")
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps({"prompt": str(n / 10)}) + "\n" for n in range(11)))
    target = tmp_path / "table.json"
    arguments = ["--routers", "fixed", "--strong-model-pct", "0.5", "--prompts", tmp_path / "prompts.jsonl"]
    out, err = run(*arguments, "--config", tmp_path / "config.yaml", "--save", target, capsys=capsys)
    assert out == "For 50.0% strong model calls for fixed, threshold = 0.25\n"
    assert str(target) in err
    assert not saved.exists()
    assert CalibrationTable.load(target).scores[-1] == 0.5


# --- the task generate ---


@pytest.fixture
def battles(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    turns = [json.dumps([f"{n / 10}", "and then?"]) for n in range(11)]
    pq.write_table(pa.table({"id": list(range(11)), "prompt": turns}), tmp_path / "battles.parquet")
    return tmp_path / "battles.parquet"


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_generate_scores_the_first_turns(tmp_path, battles, fixed, ending, capsys):
    target = tmp_path / f"rates.{ending}"
    run(
        "--task",
        "generate",
        "--battles_dataset",
        battles,
        "--routers",
        "fixed",
        "local",
        "--output",
        target,
        capsys=capsys,
    )
    found = _core.read_columns(target)
    assert list(found) == ["prompt", "fixed", "local"]
    np.testing.assert_array_equal(found["fixed"], [n / 10 for n in range(11)])
    local = _core.LocalModel()
    np.testing.assert_array_equal(found["local"], [local.win_rate(f"{n / 10}") for n in range(11)])
    out, _err = run("--routers", "fixed", "--strong-model-pct", "0.2", "--win-rates", target, capsys=capsys)
    assert out == "For 20.0% strong model calls for fixed, threshold = 0.8\n"


def test_generate_names_what_is_wrong(tmp_path, battles, fixed, capsys):
    (tmp_path / "bad.jsonl").write_text('{"prompt": "[\\"a\\"]"}\n{"prompt": "no list"}\n')
    for arguments, words in [
        (
            ["--battles_dataset", tmp_path / "bad.jsonl", "--output", tmp_path / "x.csv"],
            "row 2: `prompt`: expected a JSON list",
        ),
        (["--battles_dataset", battles, "--output", tmp_path / "x.xlsx"], "expected a file that ends in .parquet"),
        (["--battles_dataset", battles, "--output", tmp_path / "none" / "x.csv"], "there is no folder"),
        (["--battles_dataset", "lmsys/nothing", "--output", tmp_path / "x.csv"], "HF_HUB_OFFLINE is set"),
    ]:
        with pytest.raises(SystemExit) as ended:
            run("--task", "generate", "--routers", "fixed", *arguments, capsys=capsys)
        assert ended.value.code == 1
        assert words in capsys.readouterr().err
        assert not (tmp_path / "x.csv").exists()


def test_generate_pushes_to_the_repository_that_is_named(battles, fixed, monkeypatch, capsys, tmp_path):
    import huggingface_hub

    calls = []
    monkeypatch.setattr(huggingface_hub, "create_repo", lambda *names, **how: calls.append((names, how)))

    def upload(**how):
        calls.append(_core.read_columns(how.pop("path_or_fileobj")))
        calls.append(how)

    monkeypatch.setattr(huggingface_hub, "upload_file", upload)
    monkeypatch.chdir(tmp_path)
    run("--task", "generate", "--battles_dataset", battles, "--routers", "fixed", "--output", "me/rates", capsys=capsys)
    assert calls[0] == (("me/rates",), {"repo_type": "dataset", "exist_ok": True})
    assert calls[1]["fixed"].tolist() == [n / 10 for n in range(11)]
    assert (calls[2]["repo_id"], calls[2]["repo_type"]) == ("me/rates", "dataset")


# --- tables ---


def test_a_table_gives_the_thresholds_of_its_scores(columns, tmp_path):
    for name, scores in columns.items():
        table = calibrate.calibrate(scores, name=name)
        table = CalibrationTable.load(table.save(tmp_path / f"{name}.json"))
        assert (table.router, table.n, table.fingerprint) == (name, 5000, None)
        for share in (0, 0.07, 0.3, 1):
            assert table.threshold(share) == threshold_for_share(scores, share)
        assert pickle.loads(pickle.dumps(table)) == table


def test_a_large_table_is_small_and_close(tmp_path):
    scores = np.random.default_rng(5).beta(2, 5, 200_000)
    table = calibrate.calibrate(scores, name="mine")
    path = table.save(tmp_path / "t.json")
    assert path.stat().st_size < 150_000
    for share in (0.01, 0.1, 0.5):
        found = CalibrationTable.load(path).threshold(share)
        assert abs(float(np.mean(scores >= found.threshold)) - share) < 2e-4
        assert found.n == 200_000
        assert found.interval[1] - found.interval[0] < 0.005


def test_a_table_shows_itself(columns, tmp_path):
    table = calibrate.calibrate(columns["mf"], name="mf")
    assert repr(table).startswith("<CalibrationTable of 'mf', 5,000 prompts")
    page = table._repr_html_()
    assert "<table" in page
    assert "30%" in page
    read = json.loads(table.save(tmp_path / "t.json").read_text())
    assert read["thresholds"]["10%"] == table.threshold(0.1).threshold
    axes = table.plot()
    assert "mf on 5,000 prompts" in axes.get_title(loc="left")
    axes.figure.savefig(tmp_path / "t.png")
    import matplotlib.pyplot as plt

    plt.close(axes.figure)


@pytest.mark.parametrize(
    "change",
    [
        lambda read: read.update(ferroute_calibration=2),
        lambda read: read.pop("scores"),
        lambda read: read.update(scores="!!"),
        lambda read: read.update(scores=read["scores"][:-8]),
        lambda read: read.update(scores=thresholds._packed([0.5, 0.25])),
        lambda read: read.update(scores=thresholds._packed([0.5, math.nan])),
        lambda read: read.update(scores=thresholds._packed([0.0] * 10_001)),
        lambda read: read.update(scores=5),
        lambda read: read.update(n=1),
        lambda read: read.update(n="3"),
        lambda read: read.update(router=None),
    ],
)
def test_what_is_no_table_is_an_error(tmp_path, change):
    path = calibrate.calibrate([0.1, 0.2, 0.3], name="x").save(tmp_path / "t.json")
    read = json.loads(path.read_text())
    change(read)
    path.write_text(json.dumps(read))
    with pytest.raises(InvalidValueError, match=r"t\.json: is not a calibration table"):
        CalibrationTable.load(path)


def test_tables_that_cannot_be_read_or_kept(tmp_path, saved):
    with pytest.raises(MissingFileError, match="no such calibration table"):
        CalibrationTable.load(tmp_path / "none.json")
    (tmp_path / "text.json").write_text("hello")
    with pytest.raises(InvalidValueError, match="is not a calibration table"):
        CalibrationTable.load(tmp_path / "text.json")
    with pytest.raises(InvalidValueError, match="the configuration of the router 'mine' is not known"):
        calibrate.calibrate([0.5], name="mine").save()
    with pytest.raises(InvalidTypeError, match="expected a router, or its name"):
        calibrate.calibrate([0.5], ["prompt"])
    with pytest.raises(InvalidTypeError, match="expected texts or the path of a file"):
        calibrate.calibrate("local")
    with pytest.raises(UnknownNameError, match="unknown router 'nobody'"):
        calibrate.calibrate("nobody", ["a"])


# --- the share form of a Controller ---

TENTHS = [str(n / 10) for n in range(11)]
CONFIG = {"fixed": {"scale": 1.0}}


def controller(config=CONFIG):
    return Controller(["fixed"], strong_model="strong", weak_model="weak", config=config)


def test_a_router_may_follow_no_table(saved, fixed):
    calibrate.calibrate("fixed", TENTHS, config=CONFIG).save()
    routed = controller({"fixed": {**CONFIG["fixed"], "calibration": False}})
    assert routed.decide("0.75", model="router-fixed-30%").threshold is None


def test_a_saved_table_is_a_fixed_threshold(saved, fixed):
    assert controller().decide("0.9", model="router-fixed-30%").threshold is None
    path = calibrate.calibrate("fixed", TENTHS, config=CONFIG).save()
    assert path.parent == saved
    routed = controller()
    decision = routed.decide("0.75", model="router-fixed-30%")
    assert (decision.model, decision.share, decision.warmup) == ("strong", 0.3, False)
    assert decision.threshold == pytest.approx(0.7)
    assert (
        decision.reason
        == "win rate 0.7500 >= threshold 0.7: strong model; the threshold for 30% of 11 calibration prompts"
    )
    assert routed.decide("0.65", router="fixed", threshold=Share(0.3)).model == "weak"
    # What came before changes nothing.
    for _ in range(200):
        assert routed.decide("0.65", router="fixed", threshold=Share(0.3), remember=True).model == "weak"
    assert routed.decide("0.65", router="fixed", threshold=0.6).share is None
    for prompt in ("0", "1"):
        assert routed.decide(prompt, model="router-fixed-0%").model == "weak"
        assert routed.decide(prompt, model="router-fixed-100%").model == "strong"


def test_code_of_ones_own_is_part_of_the_configuration(saved, fixed, monkeypatch):
    calibrate.calibrate("fixed", TENTHS, config=CONFIG).save()

    class Other(Fixed):
        def calculate_strong_win_rate(self, prompt):
            return 1 - super().calculate_strong_win_rate(prompt)

    monkeypatch.setitem(ROUTER_CLS, "fixed", Other)
    assert controller().decide("0.9", model="router-fixed-30%").threshold is None
    keyed = Fixed()
    told = {_tables.fingerprint("fixed", {}, keyed)}
    for key in ("one", "two"):
        keyed.cache_key = key
        told.add(_tables.fingerprint("fixed", {}, keyed))
    keyed.calculate_strong_win_rate = lambda prompt: 0.5
    told.add(_tables.fingerprint("fixed", {}, keyed))
    assert len(told) == 4
    # From win rates that are at hand the same as from a router.
    table = calibrate.calibrate([0.1, 0.2], name="fixed", config={})
    assert table.fingerprint == _tables.fingerprint("fixed", None, Other())
    local = calibrate.calibrate([0.1, 0.2], name="mf", config={})
    assert local.fingerprint == _tables.fingerprint("mf", None)


def test_a_table_in_the_folder_that_does_not_fit_is_left_aside(saved, fixed):
    path = calibrate.calibrate("fixed", TENTHS, config=CONFIG).save()
    read = json.loads(path.read_text())
    path.write_text(json.dumps(read | {"fingerprint": "0" * 64}))
    with pytest.warns(RuntimeWarning, match="left aside: .*another configuration"):
        routed = controller()
    assert routed.decide("0.9", model="router-fixed-30%").threshold is None
    with pytest.raises(InvalidTypeError, match="fixed: calibration: expected the path"):
        controller({"fixed": {"calibration": 5}})


def test_another_configuration_is_not_served(saved, fixed):
    calibrate.calibrate("fixed", TENTHS, config=CONFIG).save()
    assert controller({"fixed": {"scale": 0.5}}).decide("0.9", model="router-fixed-30%").threshold is None
    assert controller({}).decide("0.9", model="router-fixed-30%").threshold is None
    assert controller().decide("0.9", model="router-fixed-30%").threshold == pytest.approx(0.7)


def test_a_router_in_the_place_of_the_calibrated_one_has_no_table(saved, fixed):
    calibrate.calibrate("fixed", TENTHS, config=CONFIG).save()
    routed = controller()
    routed.routers["fixed"] = Fixed()
    assert routed.decide("0.9", model="router-fixed-30%").threshold is None


def test_the_config_names_a_table(tmp_path, saved, fixed):
    path = calibrate.calibrate([n / 20 for n in range(21)], name="fixed").save(tmp_path / "t.json")
    entry = {"scale": 1.0, "calibration": str(path)}
    routed = controller({"fixed": entry})
    assert routed.decide("0.9", model="router-fixed-50%").threshold == 0.5
    assert entry["calibration"] == str(path)
    assert routed.decide("0.1", model="router-fixed-50%").model == "weak"


def test_a_table_that_does_not_fit_is_refused(tmp_path, saved, fixed):
    with pytest.raises(MissingFileError, match="no such calibration table"):
        controller({"fixed": {"calibration": str(tmp_path / "none.json")}})
    path = calibrate.calibrate("fixed", TENTHS, config=CONFIG).save(tmp_path / "t.json")
    with pytest.raises(InvalidValueError, match="made with another configuration"):
        controller({"fixed": {"scale": 0.5, "calibration": str(path)}})
    path = calibrate.calibrate([0.5], name="other").save(tmp_path / "o.json")
    with pytest.raises(InvalidValueError, match="made with the router 'other'"):
        controller({"fixed": {"calibration": str(path)}})


def test_a_damaged_saved_table_is_left_aside(saved, fixed):
    path = calibrate.calibrate("fixed", TENTHS, config=CONFIG).save()
    path.write_text("{")
    with pytest.warns(RuntimeWarning, match="the calibration table of 'fixed' is left aside"):
        routed = controller()
    assert routed.decide("0.9", model="router-fixed-30%").threshold is None


def test_ties_are_noted_on_the_decision(saved, fixed):
    calibrate.calibrate("fixed", ["1"] * 50 + ["0.1"] * 50, config=CONFIG).save()
    decision = controller().decide("1", model="router-fixed-10%")
    assert decision.threshold == 1.0
    assert "many scores are equal to 1" in decision.notes[0]


def test_a_controller_with_a_table_pickles(saved):
    prompts = [f"Question {n}: what is {n} + {n}?" for n in range(50)]
    calibrate.calibrate("local", prompts).save()
    routed = Controller(["local"], strong_model="s", weak_model="w")
    assert routed.decide("hi", model="router-local-30%").threshold is not None
    again = pickle.loads(pickle.dumps(routed)).decide("hi", model="router-local-30%")
    assert again.threshold == routed.decide("hi", model="router-local-30%").threshold


def test_fingerprints_follow_the_files(tmp_path):
    def made(name):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(bytes(300_000))
        (folder / "config.json").write_text("{}")
        return folder

    def told(**entry):
        return _tables.fingerprint("mf", entry)

    a, b = made("a"), made("b")
    assert told(checkpoint_path=str(a)) == told(checkpoint_path=str(b))
    for at in (0, 150_000, 299_999):
        data = bytearray(300_000)
        data[at] = 1
        (b / "model.safetensors").write_bytes(data)
        assert told(checkpoint_path=str(a)) != told(checkpoint_path=str(b))
    assert told(checkpoint_path="owner/name") != told(checkpoint_path="owner/other")
    assert told(embedder={"model": "m", "api_key": "one"}) == told(embedder={"model": "m", "api_key": "two"})
    assert told(embedder={"model": "m"}) != told(embedder={"model": "n"})
    assert told(embedder=len) == told(embedder=len) != told(embedder=max)
    assert told() == _tables.fingerprint("mf", None) != _tables.fingerprint("bert", None)


def test_the_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("FERROUTE_CALIBRATION")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    assert _tables.folder() == tmp_path / "ferroute" / "calibration"
    monkeypatch.setenv("FERROUTE_CALIBRATION", str(tmp_path / "here"))
    assert _tables.folder() == tmp_path / "here"


# --- ferroute calibrate ---


@pytest.fixture
def cli(capsys):
    """Runs the command in this process: exit code, output, errors."""
    from ferroute.cli import main

    def command(*arguments):
        with pytest.raises(SystemExit) as ended:
            main(["calibrate", *map(str, arguments)])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return ended.value.code or 0, out, err

    return command


@pytest.fixture
def tenths(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text("\n".join(TENTHS))
    return path


def test_the_command_shows_a_table_and_saves_it(cli, saved, fixed, tenths):
    code, out, err = cli("--router", "fixed", "--file", tenths, "--share", "20%", "--share", "50%")
    assert code == 0, err
    assert "fixed: 11 prompts; prompts of prompts.txt" in out
    interval = threshold_for_share([n / 10 for n in range(11)], 0.5).interval
    words = [line.split() for line in out.splitlines()]
    assert ["20%", "0.80000", "27.3%"] in [line[:3] for line in words]
    assert ["50%", "0.50000", "54.5%", f"{interval[0]:.1%}", "to", f"{interval[1]:.1%}"] in words
    (table,) = saved.iterdir()
    assert str(table) in err
    assert "router-fixed-20% is a fixed threshold from now on" in err
    routed = Controller(["fixed"], strong_model="s", weak_model="w")
    assert routed.decide("0.75", model="router-fixed-20%").threshold == pytest.approx(0.8)


def test_printed_thresholds_achieve_what_is_said(cli, tmp_path, capsys):
    path = tmp_path / "rates.csv"
    # 2/3 is rounded upwards, past the scores that are equal to it.
    path.write_text("mf\n" + "0.1\n" * 70 + f"{2 / 3!r}\n" * 30)
    calibrate_threshold.main(["--routers", "mf", "--strong-model-pct", "0.2", "--win-rates", str(path)])
    out, err = capsys.readouterr()
    assert out == "For 20.0% strong model calls for mf, threshold = 0.66667\n"
    assert "at 0.66667 0.00% of the calls are strong, where 20.00% were asked for; unrounded it is 30.00%" in err
    code, out, err = cli("--router", "mf", "--win-rates", path, "--share", "20%")
    (row,) = [line.split() for line in out.splitlines() if line.split()[:1] == ["20%"]]
    assert (code, row[2]) == (0, "30.0%")
    values = np.array([0.1] * 70 + [2 / 3] * 30)
    assert (values >= float(row[1])).mean() == 0.3
    assert f"equal to {2 / 3!r}" in err


def test_the_command_for_programs(cli, saved, columns, tmp_path):
    path = tmp_path / "rates.csv"
    path.write_text("mf\n" + "\n".join(map(repr, columns["mf"].tolist())) + "\n")
    target = tmp_path / "mf.json"
    code, out, _err = cli("--router", "mf", "--win-rates", path, "--share", "30%", "--json", "--save", target)
    found = threshold_for_share(columns["mf"], 0.3)
    assert code == 0
    assert json.loads(out) == {
        "router": "mf",
        "source": "column of rates.csv",
        "n": 5000,
        "thresholds": [
            {
                "asked": 0.3,
                "threshold": found.threshold,
                "share": found.share,
                "interval": list(found.interval),
                "confidence": 0.95,
            }
        ],
        "saved": str(target),
    }
    assert CalibrationTable.load(target).threshold(0.3) == found
    assert not saved.exists()


def test_the_command_without_prompts_says_where_the_numbers_are_from(cli, saved):
    code, out, _err = cli("--json")
    read = json.loads(out)
    assert (code, read["router"], read["n"], read["saved"]) == (0, "local", None, None)
    assert "the package ships" in read["source"]
    assert len(read["thresholds"]) == 7
    assert set(read["thresholds"][0]) == {"asked", "threshold"}
    assert not saved.exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--file", "a", "--win-rates", "b"], 2, "not both"),
        (["--save", "a", "--no-save"], 2, "contradict"),
        (["--share", "half"], 2, "expected a percentage"),
        (["--router", "nobody", "--file", "{tenths}"], 2, "unknown router 'nobody'"),
        (["--file", "/nowhere.jsonl"], 3, "no such file"),
        (["--router", "mf"], 1, "published on the Hugging Face Hub"),
    ],
)
def test_the_command_says_what_is_wrong(cli, saved, tenths, arguments, code, words):
    found, _out, err = cli(*(argument.format(tenths=tenths) for argument in arguments))
    assert (found, words in err) == (code, True), err


# --- the acceptance scripts ---


def test_the_acceptance_scripts_reach_a_model(monkeypatch, capsys):
    from routellm.tests import test_openai_client, test_openai_server

    from fakeserver import FakeServer

    with FakeServer() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "not-a-key")
        test_openai_client.main(["--router", "local", "--threshold", "0.0"])
        first = capsys.readouterr().out
        test_openai_server.main(["--base-url", server.url, "--api-key", "secret"])
        second = capsys.readouterr().out
    assert "Router used " in first
    assert " and received: " in first
    assert first.startswith("Namespace(router='local', threshold=0.0")
    assert "Router used " in second
    assert "secret" not in second
