"""Evaluation from the Python face: RouteLLM's numbers, its odd corners, and what we put beside them."""

from __future__ import annotations

import hashlib
import json
import pickle
import random
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import GOLDENS
from ferroute import _core
from ferroute.controller import Controller, ModelPair
from ferroute.errors import InvalidTypeError, InvalidValueError
from ferroute.evals import Estimate, compare, score_router
from ferroute.evals.benchmarks import GSM8K, MMLU, MTBench, Table
from ferroute.evals.mmlu.domains import ALL_MMLU_DOMAINS
from ferroute.routers.routers import ROUTER_CLS, Router

EVAL = GOLDENS / "eval"
CLASSES = {"mmlu": MMLU, "gsm8k": GSM8K, "mt_bench": MTBench}
NAMES = list(CLASSES)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FERROUTE_CACHE_DIR", str(tmp_path / "cache"))


def golden(name):
    return json.loads((EVAL / f"{name}.json").read_text())


def rates(name, method):
    return np.load(EVAL / f"{name}_{method}_win_rates.npy")


def scores(benchmark):
    return benchmark.scores()


class Stub:
    """A controller as a test of RouteLLM would write it: a method that takes a Series and gives one."""

    def __init__(self, win_rates):
        self.win_rates = win_rates
        self.asked = 0

    def batch_calculate_win_rate(self, prompts, router):
        import pandas as pd

        self.asked += 1
        return pd.Series(self.win_rates, index=prompts.index)


# --- what is loaded ---


@pytest.mark.parametrize("name", NAMES)
def test_prompts_left_after_decontamination(name, capsys):
    want = golden(name)
    benchmark = CLASSES[name]()
    assert capsys.readouterr().out.splitlines() == want["printed_at_load"]
    prompts = benchmark.prompts()
    assert len(prompts) == want["prompts_after_decontamination"]
    hashes = [int.from_bytes(hashlib.sha256(p.encode()).digest()[:8], "big") for p in prompts]
    assert hashes == np.load(EVAL / f"{name}_prompt_sha256_u64be.npy").tolist()
    frame = benchmark.questions if name == "mt_bench" else benchmark.all_data
    assert frame.index.tolist() == np.load(EVAL / f"{name}_kept_index.npy").tolist()
    if name == "mt_bench":
        assert frame["question_id"].tolist() == want["question_ids"]


def test_domains():
    found = json.loads((EVAL / "mmlu_domains.json").read_text())
    assert (found if isinstance(found, list) else found["domains"]) == ALL_MMLU_DOMAINS
    part = MMLU(["astronomy", "anatomy"])
    assert len(part.prompts()) == 152 + 135
    assert part.prompts()[0] == MMLU(["astronomy"]).prompts()[0]
    with pytest.raises(KeyError, match="no domain 'alchemy'"):
        MMLU(["alchemy"])


@pytest.mark.parametrize("name", NAMES)
def test_scores_and_optimum(name):
    want, benchmark = golden(name), CLASSES[name]()
    assert benchmark.get_model_accuracy(want["weak_model"]) == pytest.approx(want["weak_score"], abs=1e-9)
    assert benchmark.get_model_accuracy(want["strong_model"]) == pytest.approx(want["strong_score"], abs=1e-9)
    curve = want["optimal_curve"]
    for percent, accuracy in zip(curve["strong_percent"], curve["accuracy"], strict=True):
        assert benchmark.get_optimal_accuracy(percent / 100) == pytest.approx(accuracy, abs=1e-9)
    fine = want["optimal_curve_fine"]
    for fraction, accuracy in zip(fine["strong_fraction"], fine["accuracy"], strict=True):
        assert benchmark.get_optimal_accuracy(fraction) == pytest.approx(accuracy, abs=1e-9)


# --- points and figures ---


@pytest.mark.parametrize("name", NAMES)
def test_points_of_evaluate(name):
    want, benchmark = golden(name), CLASSES[name]()
    for key, points in want["points"].items():
        method, results = key.split("/")
        found = list(benchmark.evaluate(Stub(rates(name, method)), method, int(results), True))
        assert len(found) == len(points)
        for (threshold, accuracy, counts, total), point in zip(found, points, strict=True):
            assert threshold == pytest.approx(point["threshold"], abs=1e-14)
            assert accuracy == pytest.approx(point["accuracy"], abs=1e-9)
            assert total == point["total"]
            strong, weak = (counts.get(want[f"{side}_model"], 0) for side in ("strong", "weak"))
            assert (strong, weak) == (point["strong_count"], point["weak_count"])


@pytest.mark.parametrize("name", NAMES)
def test_figures_of_score_router(name):
    want, benchmark = golden(name), CLASSES[name]()
    strong, weak = scores(benchmark)
    for key, points in want["points"].items():
        method, results = key.split("/")
        result = score_router(rates(name, method), strong, weak, int(results), bootstrap=0)
        for field in ("threshold", "accuracy", "strong_count", "weak_count", "total", "strong_percentage"):
            # MT-Bench counts judgements, two for each question.
            times = benchmark._calls if field in {"strong_count", "weak_count", "total"} else 1
            found, atol = result.points[field] * times, 1e-14 if field == "threshold" else 1e-9
            np.testing.assert_allclose(found, [point[field] for point in points], rtol=0, atol=atol)
        if int(results) != 10:
            continue
        metrics = want["metrics"][method]
        assert result.auc == pytest.approx(metrics["AUC"], abs=1e-9)
        assert result.apgr == pytest.approx(metrics["APGR"], abs=1e-9)
        assert [result.cpt[p] for p in (20, 50, 80)] == pytest.approx(metrics["cpt_20_50_80"], abs=1e-9)
        assert [f"{result.cpt[p]:.2f}%" for p in (20, 50, 80)] == metrics["cpt_20_50_80_printed"]


def test_scores_keep_their_unit():
    benchmark = MMLU()
    strong, weak = scores(benchmark)
    win_rates = rates("mmlu", "hash_skill")
    percent = score_router(win_rates, strong, weak, bootstrap=0)
    for kind in (bool, int, float):
        part = score_router(win_rates, (strong / 100).astype(kind), (weak / 100).astype(kind), bootstrap=0)
        assert part.auc * 100 == pytest.approx(percent.auc, abs=1e-9)
        assert part.apgr == pytest.approx(percent.apgr, abs=1e-9)
        assert part.cpt[50] == pytest.approx(percent.cpt[50], abs=1e-9)


def test_interpolation_is_numpys():
    for case in json.loads((EVAL / "interp_cases.json").read_text()):
        found = _core.eval_interp(np.array([case["x"]]), np.array(case["xp"]), np.array(case["fp"]))
        assert found[0] == pytest.approx(case["result"], abs=1e-9)


@given(st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=1, max_size=30), st.floats(-10, 10))
@settings(deadline=None)
def test_interpolation_against_numpy_itself(points, x):
    xp, fp = (np.array(column) for column in zip(*points, strict=True))
    found, want = _core.eval_interp(np.array([x]), xp, fp)[0], np.interp(x, xp, fp)
    assert found == want or (np.isnan(found) and np.isnan(want))


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 10), st.integers(0, 10)), min_size=1, max_size=50),
    st.integers(1, 12),
)
@settings(deadline=None, max_examples=60)
def test_against_the_formulas_in_numpy(rows, results):
    win_rates, strong, weak = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    result = score_router(win_rates, strong, weak, results, bootstrap=0, on_ties="merge")
    thresholds = np.quantile(win_rates, np.linspace(0, 1, results + 1))
    share, quality = [], []
    for k, threshold in enumerate(thresholds):
        to_strong = win_rates > threshold if k == results else win_rates >= threshold
        share.append(to_strong.mean())
        quality.append(np.where(to_strong, strong, weak).mean())
    share, quality = np.array(share)[::-1], np.array(quality)[::-1]
    steps = np.diff(share)
    assert result.auc == pytest.approx(float((steps * (quality[1:] + quality[:-1]) / 2).sum()), abs=1e-9)
    gap = (strong.mean() - weak.mean()) * (share[-1] - share[0])
    if gap:
        assert result.apgr == pytest.approx((result.auc - weak.mean() * (share[-1] - share[0])) / gap, abs=1e-6)


def test_call_percentages_where_a_target_is_an_accuracy():
    """Of 0 and 1 sums are exact: a mean that misses numpy's by a bit would take another segment."""
    rng = np.random.default_rng(0)
    for _ in range(400):
        n = int(rng.choice([12, 20, 57]))
        win_rates = rng.permutation(n) / n
        strong, weak = (rng.random(n) < 0.75) * 1.0, (rng.random(n) < 0.5) * 1.0
        result = score_router(win_rates, strong, weak, bootstrap=0)
        quality, share = [], []
        for k, threshold in enumerate(result.points.threshold):
            to_strong = win_rates >= threshold if k < 10 else win_rates > threshold
            quality.append(np.where(to_strong, strong, weak).mean())
            share.append(to_strong.mean() * 100)
        assert result.points.accuracy.tolist() == quality
        for percent, found in result.cpt.items():
            target = percent / 100 * (strong.mean() - weak.mean()) + weak.mean()
            assert found == pytest.approx(np.interp(target, quality[::-1], share[::-1]), abs=1e-9)


def test_accuracies_of_benchmarks_are_the_originals_to_the_bit():
    benchmark = GSM8K()
    benchmark.all_data = benchmark.all_data.sample(57, random_state=1)
    strong, weak = (
        benchmark.all_data[m].to_numpy() for m in (benchmark.routed_pair.strong, benchmark.routed_pair.weak)
    )
    win_rates = np.random.default_rng(1).permutation(57) / 57
    want = []
    for threshold, accuracy, _, total in benchmark.evaluate(Stub(win_rates), "x", 10, True):
        to_strong = win_rates >= threshold if len(want) < 10 else win_rates > threshold
        assert accuracy == int(np.where(to_strong, strong, weak).sum()) / total * 100
        want.append(accuracy)
    compared = benchmark.compare_scores({"x": win_rates}, bootstrap=0)
    assert compared["x"].points.accuracy.tolist() == want
    assert compared.weak_score == benchmark.get_model_accuracy(benchmark.routed_pair.weak)


@pytest.mark.parametrize("unit", [1, 100])
def test_no_router_is_above_the_optimum(unit):
    rng = np.random.default_rng(3)
    strong, weak = (rng.integers(0, 2, 144) * unit, rng.integers(0, 2, 144) * unit)
    perfect = (strong - weak) + rng.random(144) / 9
    for results in (10, 144, 500):
        compared = compare({"perfect": perfect}, strong, weak, results, bootstrap=40)
        best, router = compared["optimum"], compared["perfect"]
        bound = np.interp(
            router.points.strong_percentage, *(best.points[f][::-1] for f in ("strong_percentage", "accuracy"))
        )
        assert (router.points.accuracy <= bound + 1e-9).all()
        assert best.auc >= router.auc - 1e-9
        assert (best.draws("auc") >= router.draws("auc") - 1e-9).all()
    # The corner where the gains end is a point: nothing is lost to sampling.
    gained = (strong > weak).mean()
    area = weak.mean() + gained * unit * (1 - gained / 2)
    assert best.auc == pytest.approx(area, abs=1e-9)


# --- few distinct win rates ---


@pytest.mark.parametrize("name", NAMES)
def test_few_distinct_win_rates(name):
    want, benchmark = golden(name)["few_distinct_win_rates_error"], CLASSES[name]()
    coarse = np.floor(rates(name, "hash_uniform") * 4) / 4
    beginning = want["message"].split("Index([0.0, 0.0")[0]
    with pytest.raises(ValueError, match="^" + re.escape(beginning)):
        list(benchmark.evaluate(Stub(coarse), "coarse", 10, True))
    strong, weak = scores(benchmark)
    with pytest.raises(ValueError, match="^" + re.escape(beginning)):
        score_router(coarse, strong, weak)
    merged = score_router(coarse, strong, weak, on_ties="merge", bootstrap=50)
    assert merged.points.strong_percentage.tolist() == sorted(set(merged.points.strong_percentage), reverse=True)
    assert merged.points.strong_percentage[0] == 100
    assert merged.points.strong_percentage[-1] == 0
    assert merged.bands.shape == (len(merged.points), 2)
    assert len(list(benchmark.evaluate(Stub(coarse), "c", 10, True, on_ties="merge"))) == len(merged.points)


def test_a_router_that_says_one_everywhere_can_be_judged():
    result = score_router([1.0] * 50, [1.0] * 50, [0.0] * 50, on_ties="merge", bootstrap=20)
    assert result.points.strong_percentage.tolist() == [100, 0]
    assert result.apgr == pytest.approx(0.5)


# --- errors and shapes ---


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], [], []), "at least one row"),
        (([0.5], [1.0, 1.0], [0.0, 0.0]), "expected 2 win rates"),
        (([0.5, 0.6], [1.0, 1.0], [0.0]), "expected 2 weak scores"),
        (([0.5, float("nan")], [1.0, 1.0], [0.0, 0.0]), "finite win rates, found nan in row 1"),
        (([0.5, 0.6], [1.0, None], [0.0, 0.0]), "finite strong scores"),
        ((np.ma.array([0.5, 0.6], mask=[0, 1]), [1.0, 1.0], [0.0, 0.0]), "masked array"),
    ],
)
def test_bad_columns(arguments, message):
    with pytest.raises((ValueError, InvalidTypeError), match=message):
        score_router(*arguments)


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"num_results": 0}, "num_results"),
        ({"bootstrap": -1}, "bootstrap"),
        ({"confidence": 1.0}, "confidence"),
        ({"seed": -1}, "seed"),
        ({"on_ties": "guess"}, "on_ties"),
        ({"costs": {"big": 1}}, "keys strong and weak"),
    ],
)
def test_bad_settings(settings_, message):
    with pytest.raises(ValueError, match=message):
        score_router([0.1, 0.2], [1, 1], [0, 0], **settings_)
    for wrong in ({"num_results": 1.5}, {"bootstrap": 10.5}, {"seed": 0.5}, {"confidence": "a"}, {"costs": "ab"}):
        with pytest.raises(InvalidTypeError, match=next(iter(wrong))):
            score_router([0.1, 0.2], [1, 1], [0, 0], **wrong)
    with pytest.raises(InvalidTypeError, match="strong costs: expected dollars"):
        score_router([0.1, 0.2], [1, 1], [0, 0], costs=("a", "b"))
    with pytest.raises(InvalidValueError, match="do not fit"):
        score_router(np.arange(20) / 20, [1] * 20, [0] * 20, bootstrap=10**7)
    with pytest.raises(TypeError, match="win_rates"):
        score_router(["a", "b"], [1, 1], [0, 0])
    with pytest.raises(TypeError, match="2 dimensions"):
        score_router([[0.1, 0.2]], [1, 1], [0, 0])


def test_bad_win_rates_say_whose_they_are():
    with pytest.raises(InvalidValueError, match="win rates of mine: expected finite win rates, found nan in row 1"):
        compare({"mine": [0.5, np.nan]}, [1, 1], [0, 0])
    with pytest.raises(InvalidValueError, match="win rates of x: expected finite win rates, found nan in row 0"):
        list(GSM8K().evaluate(Stub(np.full(1307, np.nan)), "x", 10, True))
    with pytest.raises(InvalidTypeError, match=r"num_results: expected a whole number, found 1\.5"):
        list(GSM8K().evaluate(Stub(np.zeros(1307)), "x", 1.5, True))


def test_benchmarks_without_questions():
    with pytest.raises(InvalidValueError, match="at least one name"):
        MMLU([])
    benchmark, judged = GSM8K(), MTBench()
    benchmark.all_data = benchmark.all_data[:0]
    judged.questions = judged.questions[:0]
    for empty in (benchmark, judged):
        with pytest.raises(InvalidValueError, match="no question left"):
            empty.get_model_accuracy(empty.routed_pair.weak)


@pytest.mark.parametrize("name", NAMES)
def test_a_pair_without_outcomes(name):
    benchmark = CLASSES[name](routed_pair=ModelPair(strong="gpt-9", weak="mistralai/Mixtral-8x7B-Instruct-v0.1"))
    stub = Stub(np.zeros(1))
    with pytest.raises(AssertionError if name == "mt_bench" else KeyError, match="no outcomes of the model 'gpt-9'"):
        list(benchmark.evaluate(stub, "x", 10, True))
    assert not stub.asked, "nothing is scored before that is known"


def test_original_constructor_arguments_by_position():
    pair = ModelPair(strong="gpt-4-1106-preview", weak="mistralai/Mixtral-8x7B-Instruct-v0.1")
    assert MMLU(ALL_MMLU_DOMAINS, pair, []).routed_pair is pair
    assert GSM8K(pair, ["local"]).overwrite_cache == ["local"]
    assert MTBench(pair, []).cache == {}


def test_frames_are_what_counts_once_they_are_used():
    benchmark = GSM8K()
    frame = benchmark.all_data
    assert frame.dtypes.tolist()[1:] == [bool, bool]
    benchmark.all_data = frame[:100].copy()
    assert len(benchmark.prompts()) == 100
    win_rates = np.linspace(0, 1, 100)
    found = list(benchmark.evaluate(Stub(win_rates), "x", 4, True))
    assert found[0][3] == 100
    assert benchmark.all_data["strong_win_rates"].tolist() == win_rates.tolist()
    mt = MTBench()
    mt.judgements["score"] += 1
    assert mt.get_model_accuracy(mt.routed_pair.weak) == pytest.approx(9.28125)
    assert mt.judgements.shape == (320, 4)


# --- the random router ---


@pytest.mark.parametrize("name", NAMES)
def test_random_router_with_seeds_and_averages(name):
    want, benchmark = golden(name)["random_router_points_averaged"], CLASSES[name]()
    controller = Controller(["random"], "s", "w")
    random.seed(0)
    found = {}
    for _ in range(10):
        for threshold, accuracy, counts, total in benchmark.evaluate(controller, "random", 10, True):
            percent = counts.get(benchmark.routed_pair.strong, 0) / total * 100
            found.setdefault(percent, []).append((threshold, accuracy))
    assert len(found) == len(want)
    for point in want:
        threshold, accuracy = np.mean(found[point["strong_percentage"]], axis=0)
        assert threshold == pytest.approx(point["threshold"], abs=1e-12)
        assert accuracy == pytest.approx(point["accuracy"], abs=1e-9)


# --- intervals ---

M64 = 2**64 - 1


def mix(z):
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & M64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & M64
    return z ^ (z >> 31)


def draws(seed, index, n):
    """The rows of one resample, as the core draws them."""
    state = (mix(seed) + mix(~index & M64)) & M64
    rows = []
    for _ in range(n):
        state = (state + 0x9E3779B97F4A7C15) & M64
        rows.append(mix(state) * n >> 64)
    return np.array(rows)


def test_intervals_against_the_slow_way():
    rng = np.random.default_rng(1)
    n, times = 83, 60
    strong, weak = rng.random(n) < 0.8, rng.random(n) < 0.6
    win_rates = {"a": rng.random(n), "b": np.round(rng.random(n), 1)}
    costs = (rng.random(n), rng.random(n) / 10)
    compared = compare(win_rates, strong, weak, 7, costs=costs, bootstrap=times, seed=11)
    slow = {name: [] for name in win_rates}
    best = []
    for index in range(times):
        rows = draws(11, index, n)
        for name, values in win_rates.items():
            picked = score_router(
                values[rows],
                strong[rows],
                weak[rows],
                7,
                costs=(costs[0][rows], costs[1][rows]),
                bootstrap=0,
                on_ties="merge",
            )
            slow[name].append(
                (picked.auc, picked.apgr, *picked.cpt.values(), picked.share_at_quality(), picked.cost_at_quality())
            )
        best.append(compare({}, strong[rows], weak[rows], 7, bootstrap=0)["optimum"].auc)
    for name in win_rates:
        result = compared[name]
        figures = (
            result.auc,
            result.apgr,
            *result.cpt.values(),
            result.share_at_quality(),
            result.cost_at_quality(),
        )
        for i, figure in enumerate(figures):
            values = np.array(slow[name])[:, i]
            known = values[np.isfinite(values)]
            if len(known) < 0.9 * times:
                assert figure.interval is None
                continue
            np.testing.assert_allclose(figure.interval, np.quantile(known, [0.025, 0.975]), rtol=1e-9, atol=1e-9)
        assert result.draws("apgr") == pytest.approx(np.array(slow[name])[:, 1], abs=1e-9)
    np.testing.assert_allclose(compared["optimum"].draws("auc"), best, atol=1e-9)
    difference = compared.difference("a", "b")
    a, b = np.array(slow["a"])[:, 1], np.array(slow["b"])[:, 1]
    assert difference == pytest.approx(compared["a"].apgr - compared["b"].apgr)
    both = np.isfinite(a) & np.isfinite(b)
    np.testing.assert_allclose(difference.interval, np.quantile(a[both] - b[both], [0.025, 0.975]), atol=1e-9)


def test_seed_and_alone_or_together():
    rng = np.random.default_rng(2)
    strong, weak = rng.random(200), rng.random(200) / 2
    one, two = rng.random(200), rng.random(200)
    alone = score_router(one, strong, weak, bootstrap=100, seed=3)
    assert alone.apgr.interval == compare({"x": two, "y": one}, strong, weak, bootstrap=100, seed=3)["y"].apgr.interval
    assert alone.apgr.interval == score_router(one, strong, weak, bootstrap=100, seed=3).apgr.interval
    assert alone.apgr.interval != score_router(one, strong, weak, bootstrap=100, seed=4).apgr.interval
    wide = score_router(one, strong, weak, bootstrap=100, seed=3, confidence=0.99).apgr
    assert wide.low <= alone.apgr.low <= alone.apgr.high <= wide.high
    assert score_router(one, strong, weak, bootstrap=0).apgr.interval is None


def test_intervals_cover():
    """The truth lies inside about as often as promised: here the mean of a coin."""
    rng = np.random.default_rng(5)
    inside = 0
    for seed in range(200):
        strong = (rng.random(300) < 0.7).astype(float)
        result = score_router(rng.random(300), strong, np.zeros(300), 4, bootstrap=200, seed=seed)
        inside += result.strong_score.low <= 0.7 <= result.strong_score.high
    assert 180 <= inside <= 199


def test_estimate_is_a_float():
    value = Estimate(0.5, 0.4, 0.6)
    assert value == 0.5
    assert json.dumps(value) == "0.5"
    assert f"{value:.2f}" == "0.50"
    assert repr(value) == "0.5 (0.4-0.6)"
    assert repr(Estimate(0.5, -0.4, 0.6)) == "0.5 (-0.4 to 0.6)"
    again = pickle.loads(pickle.dumps(value))
    assert (again, again.interval) == (0.5, (0.4, 0.6))
    assert Estimate(0.5).interval is None


# --- quality, calls, dollars ---


def test_share_and_savings_at_quality():
    # The router is right about where the strong model is needed: the first half.
    strong, weak = np.ones(100), np.r_[np.zeros(50), np.ones(50)]
    win_rates = np.linspace(1, 0, 100)
    result = score_router(win_rates, strong, weak, 10, costs=(0.01, 0.001), bootstrap=200)
    assert result.share_at_quality(1.0) == pytest.approx(0.5)
    assert result.share_at_quality(0.75) == pytest.approx(0.25)
    # Random mixing needs half of the calls for 0.75 where this needs a quarter.
    assert result.calls_saving_at_quality(0.75) == pytest.approx(0.5)
    assert result.cost_at_quality(0.75) == pytest.approx(0.25 * 0.01 + 0.75 * 0.001)
    want = 1 - (0.25 * 0.01 + 0.75 * 0.001) / (0.5 * 0.01 + 0.5 * 0.001)
    assert result.cost_saving_at_quality(0.75) == pytest.approx(want)
    assert result.cost_saving_at_quality(0.75).interval is not None
    assert np.isnan(result.share_at_quality(1.2))
    assert np.isnan(result.calls_saving_at_quality(0.4)), "the weak model alone is good enough"
    assert result.points.cost.tolist() == pytest.approx(
        (result.points.strong_percentage / 100 * 0.009 + 0.001).tolist()
    )
    free = score_router(win_rates, strong, weak, bootstrap=0)
    with pytest.raises(ValueError, match="no costs were given"):
        free.cost_at_quality()
    with pytest.raises(ValueError, match="quality"):
        free.share_at_quality(0)


def test_random_mixing_at_equal_quality():
    """On its own line random mixing saves nothing, in calls and in dollars."""
    baseline = compare({}, [1.0, 1.0, 0.0], [0.0, 1.0, 0.0], costs=(2.0, 1.0), bootstrap=0)["random mixing"]
    assert baseline.apgr == pytest.approx(0.5)
    assert [baseline.cpt[p] for p in (20, 50, 80)] == pytest.approx([20, 50, 80])
    assert baseline.calls_saving_at_quality(0.8) == pytest.approx(0, abs=1e-12)
    assert baseline.cost_saving_at_quality(0.8) == pytest.approx(0, abs=1e-12)


# --- comparisons ---


def test_comparison_with_baselines():
    benchmark = GSM8K()
    compared = benchmark.compare(Controller(["local"], "s", "w"), ["local"], bootstrap=100)
    assert list(compared) == ["local", "random mixing", "prompt length", "regex rules", "optimum"]
    assert compared["random mixing"].apgr == pytest.approx(0.5)
    assert compared["optimum"].apgr > compared["local"].apgr > compared["regex rules"].apgr
    assert compared.sorted()[0].name == "local"
    curve = golden("gsm8k")["optimal_curve"]
    best = compared["optimum"].points
    at = [best.strong_percentage.tolist().index(percent) for percent in curve["strong_percent"]]
    np.testing.assert_allclose(best.accuracy[at], curve["accuracy"], atol=1e-9)
    frame = compared.to_pandas()
    assert frame["router"].tolist()[-2:] == ["always strong", "always weak"]
    assert {"APGR", "APGR_low", "APGR_high", "AUC", "50% qual"} <= set(frame.columns)
    text = repr(compared)
    assert "local" in text
    assert "1,307 prompts" in text
    assert "<table" in compared._repr_html_()
    with pytest.raises(KeyError, match="no result named 'mf'"):
        compared["mf"]
    with pytest.raises(ValueError, match="baselines have this name"):
        compare({"optimum": [0.1]}, [1], [0])


def test_result_faces():
    result = score_router([0.1, 0.9, 0.4, 0.6], [1, 1, 1, 1], [1, 0, 1, 0], 2, bootstrap=50, name="<mine>")
    assert "&lt;mine&gt;" in result._repr_html_()
    assert "<mine>" in repr(result)
    frame = result.to_pandas()
    assert frame.columns.tolist()[:2] == ["threshold", "accuracy"]
    assert "accuracy_low" in frame
    first = result.points[0]
    assert first.threshold == first["threshold"] == 0.1
    assert first.strong_percentage == 100
    with pytest.raises(ValueError, match="expected one of auc"):
        result.draws("speed")


# --- kept win rates ---


class Counting(Router):
    calls = 0

    def __init__(self, factor=1.0, keep=True):
        self.factor = factor
        if keep:
            self.cache_key = f"factor {factor}"

    def calculate_strong_win_rate(self, prompt):
        type(self).calls += 1
        return hashlib.sha256(prompt.encode()).digest()[0] / 256 * self.factor


@pytest.fixture
def counting(monkeypatch):
    monkeypatch.setitem(ROUTER_CLS, "counting", Counting)
    Counting.calls = 0
    return lambda **config: Controller(["counting"], "s", "w", config={"counting": config})


def asked(benchmark, controller, **kwargs):
    before = Counting.calls
    rates_ = benchmark.win_rates(controller, "counting", **kwargs)
    return Counting.calls - before, rates_


def test_win_rates_are_kept_under_what_they_depend_on(counting):
    n = 72
    first = asked(MTBench(), counting(factor=0.5))
    assert first[0] == n
    assert asked(MTBench(), counting(factor=0.5))[0] == 0
    other = asked(MTBench(), counting(factor=0.25))
    assert other[0] == n, "another configuration is another router"
    assert other[1].tolist() == (first[1] / 2).tolist()
    same = MTBench()
    assert asked(same, counting(factor=0.5))[0] == 0
    assert asked(same, counting(factor=0.25))[0] == 0
    assert asked(same, counting(factor=0.5), overwrite=True)[0] == n
    assert asked(MTBench(overwrite_cache=["counting"]), counting(factor=0.5))[0] == n


def test_only_what_is_known_through_and_through_is_kept(tmp_path, counting):
    def files():
        return len(list((tmp_path / "cache").rglob("*.npy")))

    controller = Controller(["local", "random"], "s", "w")
    for _ in range(2):
        MTBench().win_rates(controller, "random")
        asked(MTBench(), counting(keep=False))
        assert files() == 0, "of a user's class it is not known what its scores depend on"
    kept = MTBench().win_rates(controller, "local")
    assert files() == 1
    controller.routers["local"].calculate_strong_win_rate = lambda prompt: 0.5
    assert set(MTBench().win_rates(controller, "local")) == {0.5}, "a patch is noticed"
    assert files() == 1
    controller = Controller(["local"], "s", "w")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ROUTER_CLS["local"], "calculate_strong_win_rate", lambda self, prompt: 0.25)
        assert set(MTBench().win_rates(controller, "local")) == {0.25}
    assert (MTBench().win_rates(controller, "local") == kept).all()


def test_files_that_a_router_names_are_part_of_the_key(tmp_path):
    from ferroute.evals import _cache

    router = Counting()
    router.path = str(tmp_path / "weights")
    keys = {_cache.key(router, ["a"])}
    for content in ("one", "and two"):
        (tmp_path / "weights").write_text(content)
        keys.add(_cache.key(router, ["a"]))
    assert len(keys) == 3
    assert _cache.key(router, ["b"]) not in keys


def test_a_damaged_cache_is_ignored(counting, tmp_path):
    controller = counting()
    asked(MTBench(), controller)
    files = list((tmp_path / "cache" / "evals" / "mt-bench").glob("*.npy"))
    assert len(files) == 1
    good = files[0].read_bytes()
    huge = good.replace(b"(72,)", b"(9999999999,)")[: len(good)]
    for content in (
        b"",
        b"not numpy",
        good[:100],
        b"PK\x03\x04" + good[4:],
        b"\x93NUMPY\x01\x00\xff\xff" + good[10:],
        huge,
    ):
        files[0].write_bytes(content)
        assert asked(MTBench(), controller)[0] == 72
    np.save(files[0], np.full(72, np.nan))
    assert asked(MTBench(), controller)[0] == 72
    np.save(files[0], np.zeros(3))
    assert asked(MTBench(), controller)[0] == 72
    assert asked(MTBench(), controller)[0] == 0


def test_a_cache_that_cannot_be_written_is_no_error(counting, tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("FERROUTE_CACHE_DIR", str(blocked))
    assert asked(MTBench(), counting())[0] == 72


def test_cache_files_are_like_other_files(counting, tmp_path, monkeypatch):
    asked(MTBench(), counting())
    (file,) = (tmp_path / "cache" / "evals" / "mt-bench").glob("*.npy")
    (tmp_path / "plain").write_text("")
    assert file.stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert np.load(file).shape == (72,)

    def full(self, target):
        raise OSError(28, "no room")

    monkeypatch.setattr("pathlib.Path.replace", full)
    assert asked(MTBench(), counting(factor=0.5))[0] == 72
    assert list(file.parent.iterdir()) == [file], "nothing half done is left"


def test_win_rates_put_into_the_cache_by_hand_are_used():
    benchmark = MTBench()
    benchmark.cache["mine"] = rates("mt_bench", "hash_skill")
    found = list(benchmark.evaluate(Stub(None), "mine", 10, False))
    assert found[3][1] == pytest.approx(golden("mt_bench")["points"]["hash_skill/10"][3]["accuracy"])


# --- outcomes of one's own ---


def test_table(tmp_path):
    path = tmp_path / "own.jsonl"
    rows = [{"prompt": f"p{i}", "strong": 1, "weak": i % 2, "strong_cost": 0.02, "weak_cost": 0.001} for i in range(20)]
    rows[3]["weak"] = None
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    table = Table(path)
    assert (table.name, table.skipped, len(table.prompts())) == ("own", 1, 19)
    compared = table.compare(Controller(["local"], "s", "w"), ["local"], 4, bootstrap=20)
    assert compared["local"].has_costs
    assert compared.strong_score == 1
    assert table.get_model_accuracy("weak") == pytest.approx(9 / 19)
    assert table.get_optimal_accuracy(1.0) == 1
    named = Table({"prompt": ["a", "b"], "strong_score": [2, 3], "weak_score": [1, 1]})
    assert named.scores()[0].tolist() == [2, 3]
    with pytest.raises(ValueError, match="no column 'weak'; there are prompt, strong"):
        Table({"prompt": ["a"], "strong": [1]})
    with pytest.raises(ValueError, match="no column 'quality'"):
        Table(path, strong="quality")
    with pytest.raises(ValueError, match="does not hold numbers"):
        Table({"prompt": ["a"], "strong": ["x"], "weak": [1]})
    with pytest.raises(ValueError, match="no row has"):
        Table({"prompt": ["a"], "strong": [None], "weak": [1]})
    with pytest.raises(ValueError, match="differ in length"):
        Table({"prompt": ["a", "b"], "strong": [1], "weak": [1]})
