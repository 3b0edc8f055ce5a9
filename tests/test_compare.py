"""Comparisons on outcomes [n, m]: against brute force, against the truth, and at the edges."""

from __future__ import annotations

import inspect
import re
from itertools import pairwise

import numpy as np
import pytest

from ferroute import evals
from ferroute.errors import InvalidTypeError, InvalidValueError, UnknownNameError
from ferroute.evals import Comparison, ModelComparison, OutcomeTable, compare
from ferroute.evals._simultaneous import bands

NAN = float("nan")


def pair(n, seed=0):
    """Scores of a router and outcomes of two models; the router knows something."""
    rng = np.random.default_rng(seed)
    hard = rng.random(n)
    outcomes = np.stack([rng.random(n) < 0.95 - 0.2 * hard, rng.random(n) < 0.9 - 0.65 * hard], axis=1) * 1.0
    return hard + 0.2 * rng.standard_normal(n), outcomes


def among(n, m, seed=0):
    """Predicted scores, outcomes and costs of m models, better ones dearer."""
    rng = np.random.default_rng(seed)
    able, hard = np.linspace(-1, 1.5, m), rng.standard_normal(n)
    chance = 1 / (1 + np.exp(hard[:, None] - able - 0.8 * rng.standard_normal((n, m))))
    costs = np.exp(np.linspace(-8, -4, m)) * np.exp(0.3 * rng.standard_normal((n, m)))
    return chance, (rng.random((n, m)) < chance) * 1.0, costs


# --- the forms it takes ---


def test_both_forms_are_the_same():
    rates, outcomes = pair(80)
    strong, weak = outcomes.T
    old = compare({"mine": rates}, strong, weak, 10, costs=(0.01, 0.001), bootstrap=50, seed=3)
    for new in (
        compare({"mine": rates}, outcomes, (0.01, 0.001), 10, bootstrap=50, seed=3),
        compare({"mine": rates}, outcomes.tolist(), costs=[0.01, 0.001], num_results=10, bootstrap=50, seed=3),
        compare({"mine": rates}, outcomes, np.tile([0.01, 0.001], (80, 1)), 10, bootstrap=50, seed=3),
        compare({"mine": rates}, outcomes, {"weak": 0.001, "strong": 0.01}, 10, bootstrap=50, seed=3),
        compare({"mine": rates}, strong_scores=strong, weak_scores=weak, costs=(0.01, 0.001), bootstrap=50, seed=3),
    ):
        assert isinstance(new, Comparison)
        assert new.records() == old.records()
    assert list(inspect.signature(compare).parameters)[:4] == ["routers", "outcomes", "second", "num_results"]
    assert compare({"mine": rates}, strong, weak, bootstrap=0).settings.num_results == 10
    assert compare({"mine": rates}, outcomes, bootstrap=0).settings.num_results == 80


def test_predicted_scores_and_choices_of_two_models():
    rates, outcomes = pair(60)
    predicted = np.stack([rates / 3, -rates / 3], axis=1)
    names = np.where(rates > 0.5, "strong", "weak")
    both = compare({"rates": rates, "scores": predicted, "names": names}, outcomes, bootstrap=0)
    assert both["scores"].apgr == pytest.approx(both["rates"].apgr)
    assert set(both["names"].points.strong_percentage) == {100, (rates > 0.5).mean() * 100, 0}


def test_a_table_says_which_model_is_strong():
    rates, outcomes = pair(60)
    swapped = OutcomeTable([f"p{i}" for i in range(60)], outcomes[:, ::-1], ["cheap", "dear"], costs=[0.001, 0.01])
    found = compare({"mine": rates}, swapped, bootstrap=0)
    assert found.pair == ("dear", "cheap")
    assert found.notes == ("strong: dear, weak: cheap (by mean score)",)
    want = compare({"mine": rates}, outcomes, (0.01, 0.001), prompts=swapped.prompts, bootstrap=0)
    assert found.records() == want.records()
    assert "regex rules" in found.baselines, "the table's prompts are known"
    turned = compare({"mine": rates}, swapped, pair=("cheap", "dear"), bootstrap=0)
    assert turned.strong_score == outcomes[:, 1].mean()
    third = swapped.merge(OutcomeTable(swapped.prompts, np.zeros((60, 1)), ["none"]))
    assert compare({"mine": rates}, third, models=["cheap", "dear"], bootstrap=0).pair == ("dear", "cheap")


# --- against brute force ---


@pytest.mark.parametrize("seed", range(6))
def test_shares_and_costs_against_every_cut(seed):
    n = 90
    rates, outcomes = pair(n, seed)
    costs = np.random.default_rng(seed).random((n, 2)) * [0.02, 0.001]
    found = compare({"mine": rates}, outcomes, costs, n, bootstrap=0)["mine"]
    order = np.argsort(-rates)
    strong, weak = outcomes[order].T
    # All cuts: the first k rows go to the strong model.
    quality = [(strong[:k].sum() + weak[k:].sum()) / n for k in range(n + 1)]
    spent = [(costs[order][:k, 0].sum() + costs[order][k:, 1].sum()) / n for k in range(n + 1)]
    for part in (0.8, 0.9, 0.95, 1.0):
        target = part * strong.mean()
        first = next((k for k in range(n + 1) if quality[k] >= target - 1e-12), None)
        if first is None:
            assert np.isnan(found.share_at_quality(part))
            continue
        at = float(first)
        if first:
            at -= (quality[first] - target) / (quality[first] - quality[first - 1])
        assert found.share_at_quality(part) == pytest.approx(at / n, abs=1e-9)
        dollars = np.interp(at, range(n + 1), spent)
        assert found.cost_at_quality(part) == pytest.approx(dollars, abs=1e-12)
        mixed = max((target - weak.mean()) / (strong.mean() - weak.mean()), 0)
        random = costs[:, 1].mean() + mixed * (costs[:, 0].mean() - costs[:, 1].mean())
        assert found.cost_saving_at_quality(part) == pytest.approx(1 - dollars / random, abs=1e-9)
        assert found.cost_saving_at_quality(part, "strong") == pytest.approx(1 - dollars / costs[:, 0].mean(), abs=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_points_among_many_models_against_each_choice(seed):
    predicted, outcomes, costs = among(70, 5, seed)
    found = compare({"mine": predicted}, outcomes, costs, bootstrap=0)
    assert isinstance(found, ModelComparison)
    mine, rows, means = found["mine"], np.arange(70), costs.mean(axis=0)
    assert mine.points.setting[0] == 0
    assert np.isinf(mine.points.setting[-1])
    for point, calls in zip(mine.points, mine.calls, strict=True):
        worth = -means[None] if np.isinf(point["setting"]) else predicted - point["setting"] * means
        choice = np.broadcast_to(worth, predicted.shape).argmax(axis=1)
        assert point["score"] == pytest.approx(outcomes[rows, choice].mean())
        assert point["cost"] == pytest.approx(costs[rows, choice].mean())
        assert calls.tolist() == [(choice == model).mean() for model in range(5)]
    # The least money for a quality, walking along the points by hand.
    walk = sorted(zip(mine.points["cost"].tolist(), mine.points["score"].tolist(), strict=True))
    for part in (0.5, 0.8, 0.9):
        target = part * outcomes.mean(axis=0).max()
        want = walk[0][0] if walk[0][1] >= target else NAN
        for (c0, q0), (c1, q1) in pairwise(walk):
            if np.isnan(want) and q0 < target <= q1:
                want = c0 + (target - q0) / (q1 - q0) * (c1 - c0)
        assert mine.cost_at_quality(part) == pytest.approx(want, nan_ok=True)


@pytest.mark.parametrize("seed", range(4))
def test_the_static_mix_is_the_best_mix(seed):
    _, outcomes, costs = among(50, 6, seed)
    found = compare({}, outcomes, costs, bootstrap=0)
    quality, dollars = outcomes.mean(axis=0), costs.mean(axis=0)
    for part in (0.6, 0.8, 0.95):
        target, best = part * quality.max(), np.inf
        for a in range(6):
            for b in range(6):
                if quality[a] >= target:
                    best = min(best, dollars[a])
                elif quality[b] >= target:
                    share = (target - quality[a]) / (quality[b] - quality[a])
                    best = min(best, dollars[a] + share * (dollars[b] - dollars[a]))
        mix = found["static mix"]
        assert mix.cost_at_quality(part) == pytest.approx(best)
        assert mix.cost_saving_at_quality(part) == 0
        strong = dollars[found.models.index(found.strong)]
        assert mix.cost_saving_at_quality(part, "strong") == pytest.approx(1 - best / strong)


def test_nobody_beats_the_optimum_among_many():
    predicted, outcomes, costs = among(200, 4)
    found = compare({"mine": predicted}, outcomes, costs, bootstrap=100)
    at = np.linspace(*np.percentile(costs.mean(axis=0), [0, 100]), 50)
    _, best, drawn = found["optimum"].along(at)
    for name in ("mine", "static mix", "best single model"):
        _, value, draws = found[name].along(at)
        assert (value <= best + 1e-9).all()
        assert (draws <= drawn + 1e-9).mean() > 0.99


def test_resamples_among_many_are_means_of_drawn_rows():
    predicted, outcomes, costs = among(40, 3)
    found = compare({"mine": predicted}, outcomes, costs, bootstrap=70, seed=5)
    rng = np.random.Generator(np.random.PCG64(5))
    drawn = np.concatenate([rng.integers(0, 40, (64, 40)), rng.integers(0, 40, (6, 40))])
    top = predicted.argmax(axis=1)
    want = outcomes[np.arange(40), top][drawn].mean(axis=1)
    np.testing.assert_allclose(found["mine"].draws("score"), want, atol=1e-12)
    again = compare({"mine": predicted}, outcomes, costs, bootstrap=70, seed=5)
    assert again["mine"].apgr.interval == found["mine"].apgr.interval
    assert (
        compare({"mine": predicted}, outcomes, costs, bootstrap=70)["mine"].apgr.interval != found["mine"].apgr.interval
    )


# --- do intervals hold? ---

DRAWS, ROWS = 200, 150
AT_LEAST = 175
"""Of 200 intervals that hold with 93 %, fewer hold once in a thousand times (binomial)."""


def test_intervals_and_bands_hold():
    """`scripts/simulate_comparisons.py` is the same with more of everything; its figures are in the docs."""

    def sample(n, rng):
        hard = rng.random(n)
        outcomes = np.stack([rng.random(n) < 0.95 - 0.2 * hard, rng.random(n) < 0.9 - 0.65 * hard], axis=1) * 1.0
        return {"good": hard + 0.2 * rng.standard_normal(n), "poor": hard + rng.standard_normal(n)}, outcomes

    rng = np.random.default_rng(2)
    at = np.linspace(0, 100, 11)
    whole = compare(*sample(400_000, rng), (0.01, 0.001), 10, bootstrap=0)
    truth = {name: whole[name].along(at)[1] for name in ("good", "poor")}
    pairs = [("good", "poor"), ("good", "random mixing"), ("poor", "random mixing")]
    held = dict.fromkeys(("difference", "share", "cost", "curve", "pointwise", "both", "between", "three"), 0)
    for draw in range(DRAWS):
        found = compare(*sample(ROWS, rng), (0.01, 0.001), 10, bootstrap=300, seed=draw)

        def around(band, name, found=found):
            value = np.interp(found[name].points.strong_percentage, at, truth[name])
            return ((band[:, 0] <= value + 1e-9) & (value - 1e-9 <= band[:, 1])).all()

        def inside(value, estimate):
            return estimate.low <= value <= estimate.high

        held["difference"] += inside(whole.difference("good", "poor"), found.difference("good", "poor"))
        held["share"] += inside(whole["good"].share_at_quality(), found["good"].share_at_quality())
        held["cost"] += inside(whole["good"].cost_saving_at_quality(), found["good"].cost_saving_at_quality())
        held["curve"] += around(found["good"].simultaneous_bands, "good")
        held["pointwise"] += around(found["good"].bands, "good")
        held["both"] += all(around(band, name) for name, band in found.simultaneous_bands().items())
        curve = found.difference_curve("good", "poor")
        gap = np.interp(curve.at, at, truth["good"] - truth["poor"])
        held["between"] += ((curve.bands[:, 0] <= gap + 1e-9) & (gap - 1e-9 <= curve.bands[:, 1])).all()
        three = found.differences("apgr", pairs)
        held["three"] += all(inside(whole.difference(*one), three[one]) for one in pairs)
    pointwise = held.pop("pointwise")
    assert min(held.values()) >= AT_LEAST, held
    assert pointwise < AT_LEAST - 10, "bands for each point alone do not hold together: that is what the others are for"


def test_bands_among_many_models_hold():
    rng = np.random.default_rng(4)
    able, costs = np.array([-0.5, 0.5, 1.5]), np.array([0.001, 0.004, 0.01])

    def sample(n):
        hard = rng.standard_normal(n)
        chance = 1 / (1 + np.exp(hard[:, None] - able))
        wild = chance + 0.3 * rng.standard_normal((n, 3))
        return {"good": chance, "wild": wild}, (rng.random((n, 3)) < chance) * 1.0, costs

    routers, outcomes, _ = sample(200_000)
    whole = compare(routers, outcomes, costs, 20, pair=("model 2", "model 0"), bootstrap=0)
    saved = whole["good"].cost_saving_at_quality(0.9, "strong")
    held = dict.fromkeys(("curve", "difference", "saving", "between"), 0)
    for draw in range(DRAWS // 2):
        routers, outcomes, _ = sample(ROWS)
        found = compare(routers, outcomes, costs, 20, pair=("model 2", "model 0"), bootstrap=200, seed=draw)
        band = found["good"].simultaneous_bands
        value = whole["good"].along(found["good"].points.cost)[1]
        held["curve"] += ((band[:, 0] <= value + 1e-9) & (value - 1e-9 <= band[:, 1])).all()
        low, high = found.difference("good", "wild").interval
        held["difference"] += low <= whole.difference("good", "wild") <= high
        low, high = found["good"].cost_saving_at_quality(0.9, "strong").interval
        held["saving"] += low <= saved <= high
        curve = found.difference_curve("good", "wild")
        gap = whole["good"].along(curve.at)[1] - whole["wild"].along(curve.at)[1]
        held["between"] += ((curve.bands[:, 0] <= gap + 1e-9) & (gap - 1e-9 <= curve.bands[:, 1])).all()
    assert min(held.values()) >= 84, held  # of 100, once in a thousand times


def test_bands_by_hand():
    rng = np.random.default_rng(0)
    draws = rng.standard_normal((1000, 3)) * [1, 2, 0] + [5, 6, 7]
    value = np.array([5.0, 6.0, 7.0])
    band = bands([value], [draws], 0.9, 10**9)[0]
    error = draws[:, :2].std(axis=0, ddof=1)
    times = np.quantile((np.abs(draws[:, :2] - value[:2]) / error).max(axis=1), 0.9)
    np.testing.assert_allclose(band[:2, 1] - value[:2], times * error)
    assert band[2].tolist() == [7, 7]
    floored = bands([value], [draws], 0.9, 10**9, least=0.5)[0]
    np.testing.assert_allclose(floored[:, 1] - value, times * np.hypot([*error, 0], 0.5))
    draws[:200, 1] = NAN
    band = bands([value], [draws], 0.9, 100)[0]
    assert np.isnan(band[1]).all()
    assert band[0, 0] < 5 < band[0, 1]


# --- at the edges ---


def test_rows_with_something_unknown_are_left_out():
    rates, outcomes = pair(50)
    outcomes[[3, 7], [0, 1]] = NAN
    kept = np.isfinite(outcomes).all(axis=1)
    rates[3] = NAN  # of a row that is left out
    prompts = [f"prompt {i}" for i in range(50)]
    costs = np.random.default_rng(0).random((50, 2))
    found = compare({"mine": rates}, outcomes, costs, prompts=prompts, bootstrap=20)
    want = compare(
        {"mine": rates[kept]},
        outcomes[kept],
        costs[kept],
        prompts=[f"prompt {i}" for i in np.flatnonzero(kept)],
        bootstrap=20,
    )
    assert found.records() == want.records()
    assert found.notes == ("rows without a score of every model left out: 2 of 50",)
    assert found.notes[0] in repr(found)
    with pytest.raises(InvalidValueError, match="expected at least one row of scores of all 2 models, found none in 3"):
        compare({}, [[1, None], [None, 1], [None, None]])


def test_unknown_costs_are_no_dollars():
    rates, outcomes = pair(30)
    for costs in ((0.01, None), [[0.01, 0.001]] * 29 + [[0.01, NAN]]):
        found = compare({"mine": rates}, outcomes, costs, bootstrap=0)
        assert found.notes == ("no dollars: the cost of weak is not known in every row",)
        assert not found["mine"].has_costs
        with pytest.raises(InvalidValueError, match="no costs were given"):
            found.cost_at_quality()
    _, outcomes, costs = among(30, 3)
    costs[0, 1] = NAN
    many = compare({"mine": outcomes}, outcomes, costs)
    assert many["mine"].score == outcomes.max(axis=1).mean()
    assert np.isnan(many["mine"].apgr)
    assert "static mix" not in many
    assert "no dollars: the cost of model 1" in repr(many)
    for call in (
        many["mine"].cost_at_quality,
        many.simultaneous_bands,
        many.plot,
        lambda: many.difference_curve("mine", "optimum"),
    ):
        with pytest.raises(InvalidValueError, match="no costs were given"):
            call()


def test_nothing_differs():
    """Constant scores, equal models, one row: figures may be unknown, nothing fails."""
    same = np.ones((20, 2))
    found = compare({"flat": np.full(20, 0.5)}, same, (0.01, 0.001), bootstrap=50)
    assert found["flat"].share_at_quality() == 0
    assert found["flat"].cost_at_quality() == pytest.approx(0.001)
    assert found["flat"].simultaneous_bands.tolist() == [[1, 1]] * 2
    assert np.isnan(found.difference("flat", "random mixing"))
    assert repr(found)
    one = compare({"x": [0.3]}, [[1, 0]], (0.01, 0.001), bootstrap=20)
    assert one["x"].share_at_quality(1) == pytest.approx(1)
    assert repr(one.differences())
    three = compare({"x": np.zeros((1, 3))}, [[1, 0, 1]], [0.03, 0.02, 0.01], bootstrap=20)
    assert repr(three)
    assert repr(three.differences())
    tied = compare({"x": np.zeros((25, 3))}, np.ones((25, 3)), [0.03, 0.02, 0.01], bootstrap=20)
    assert tied["x"].cost_at_quality() == pytest.approx(0.01), "of equal models the cheapest"
    free = compare({"x": np.eye(3)[[0, 1, 2, 0]]}, np.eye(3)[[0, 1, 2, 1]], [0, 0, 0], bootstrap=20)
    assert np.isnan(free["x"].apgr)
    assert repr(free)


def test_rows_that_all_came_out_alike_leave_room():
    """100 right answers in 100 do not prove a model that is always right."""
    rng = np.random.default_rng(0)
    outcomes = np.stack([np.ones(100), rng.random(100) < 0.5], axis=1)
    found = compare({"mine": rng.random(100)}, outcomes, bootstrap=300)["mine"]
    low, high = found.simultaneous_bands[0]
    assert found.points.strong_percentage[0] == 100
    assert 0.95 < low < 0.99 < 1 < high
    assert found.bands[0].tolist() == [1, 1]


def test_points_of_few_scores_are_compared_with_points():
    """A resample's own points are as far from the curve as the observed ones are from the truth."""
    rng = np.random.default_rng(2)
    rates = rng.integers(0, 3, 200).astype(float)
    found = compare({"mine": rates}, rng.random((200, 2)) < 0.6, num_results=5, bootstrap=400)["mine"]
    _, drawn = found.around()
    _, _, between = found.along()
    assert drawn.shape == between.shape
    assert (drawn.std(axis=0) >= between.std(axis=0) - 1e-3).all()
    assert drawn.std(axis=0).sum() > between.std(axis=0).sum()
    assert compare({"mine": rates}, np.ones((200, 2)), bootstrap=0)["mine"].around()[1] is None


def test_a_weak_model_that_is_better():
    rates, outcomes = pair(200)
    found = compare({"mine": rates}, outcomes[:, ::-1], (0.01, 0.001), bootstrap=50)
    assert found.best_single == "weak"
    assert "best single model: always weak" in repr(found)
    assert found["mine"].share_at_quality() == 0
    assert found["mine"].cost_saving_at_quality(against="strong") == pytest.approx(0.9)


def test_all_differences():
    rng = np.random.default_rng(1)
    rates, outcomes = pair(120)
    found = compare({"a": rates, "b": rng.random(120)}, outcomes, (0.01, 0.001), bootstrap=200)
    for figure in ("apgr", "auc", "cpt50", "share95", "cost95"):
        pairs = [("a", "b"), ("a", "random mixing"), ("b", "random mixing")]
        every = found.differences(figure, pairs)
        assert list(every) == pairs
        for one in pairs:
            alone = found.difference(*one, figure)
            assert every[one] == pytest.approx(float(alone))
            if alone.interval and figure in ("apgr", "auc"):
                assert every[one].high - every[one].low > alone.high - alone.low, "the price of looking at all"
    assert len(found.differences()) == 1 + 2 * len(found.baselines)
    assert found.differences().to_pandas().columns.tolist() == ["first", "second", "difference", "low", "high"]
    assert "hold together" in repr(found.differences())
    curves = found.difference_curves()
    one = found.difference_curve("a", "b")
    np.testing.assert_allclose(curves["a", "b"].difference, one.difference)
    assert (curves["a", "b"].bands[:, 1] >= one.bands[:, 1] - 1e-12).all()
    assert one.at[[0, -1]].tolist() == [0, 100]
    assert one.difference[[0, -1]] == pytest.approx([0, 0], abs=1e-12)
    assert one.to_pandas().shape == (101, 4)
    assert compare({"a": rates}, outcomes, bootstrap=0).difference_curve("a", "optimum").bands is None
    with pytest.raises(InvalidValueError, match="expected one of auc, apgr"):
        found.difference("a", "b", "fame")
    with pytest.raises(UnknownNameError, match="no result named 'c'"):
        found.differences("apgr", [("a", "c")])
    with pytest.raises(InvalidValueError, match="bands need resamples"):
        compare({"a": rates}, outcomes, bootstrap=0).simultaneous_bands()


def test_provenance():
    rates, outcomes = pair(40)
    first = compare({"mine": rates}, outcomes, (0.01, 0.001), bootstrap=30, seed=9)
    made = first.provenance
    assert (made.seed, made.bootstrap, made.rows, made.models) == (9, 30, 40, ("strong", "weak"))
    assert re.fullmatch("[0-9a-f]{64}", made.data)
    assert made.line() in repr(first)
    assert first["mine"].provenance == made
    assert first.to_pandas().attrs["provenance"]["data"] == made.data
    alone = evals.score_router(rates, *outcomes.T, costs=(0.01, 0.001), name="mine", bootstrap=30, seed=9)
    assert alone.provenance == made
    assert made.data[:12] in first._repr_html_()
    assert compare({"mine": rates}, *outcomes.T, costs=(0.01, 0.001)).provenance.data == made.data
    changed = outcomes.copy()
    changed[0, 0] = 1 - changed[0, 0]
    others = [
        compare({"mine": rates}, changed, (0.01, 0.001), bootstrap=0).provenance,
        compare({"mine": rates}, outcomes, (0.01, 0.002), bootstrap=0).provenance,
        compare({"mine": rates}, outcomes, bootstrap=0).provenance,
    ]
    assert len({made.data, *(other.data for other in others)}) == 4
    assert {other.scores for other in others} == {made.scores}
    assert compare({"other": rates}, outcomes, bootstrap=0).provenance.scores != made.scores
    for line in (f"% data: {made.data}", "% seed: 9", f"% ferroute: {made.ferroute}", f"% numpy: {np.__version__}"):
        assert line in first.to_latex().splitlines()


def test_latex():
    rates, outcomes = pair(60)
    text = compare({"50% of_cost & {more}": rates}, outcomes, (0.01, 0.001), bootstrap=50).to_latex(label="tab:x")
    assert r"50\% of\_cost \& \{more\}" in text
    assert r"\label{tab:x}" in text
    for word in (r"\toprule", r"\midrule", r"\bottomrule", r"\scriptsize ["):
        assert word in text
    body = [line for line in text.splitlines() if line.endswith(r"\\")]
    columns = text.split(r"\begin{tabular}{")[1].split("}")[0]
    for line in body:
        assert len(re.findall(r"(?<!\\)&", line)) == len(columns) - 1, "a cell for each column"
    opened = re.findall(r"\\begin\{(\w+)\}", text)
    assert sorted(opened) == sorted(re.findall(r"\\end\{(\w+)\}", text))
    printed = [line for line in text.splitlines() if not line.startswith("%")]
    assert not any(re.search(r"(?<!\\)[%$#_]", line) for line in printed)
    predicted, outcomes, costs = among(60, 3)
    many = compare({"mine": predicted}, outcomes, costs, bootstrap=50)
    short = many.to_latex(columns=["APGR", "$ saved"], caption="Mine")
    assert r" & APGR & \$ saved \\" in short
    assert r"\caption{Mine}" in short
    with pytest.raises(UnknownNameError, match="no column 'fame'; there are score, AUC"):
        many.to_latex(columns=["fame"])


def test_pictures():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    predicted, outcomes, costs = among(150, 5)
    many = compare({"mine": predicted, "one": np.full(150, 3)}, outcomes, costs, bootstrap=50)
    narrow, wide = many.plot(), many.plot(bands="simultaneous")
    assert narrow.get_xlabel() == "mean cost of a call (US dollars)"
    assert narrow.get_xscale() == "log"
    labels = [text.get_text() for text in narrow.get_legend().get_texts()]
    assert labels[0].startswith("mine: APGR")
    assert {"one", "single models"} < set(labels)
    heights = [np.ptp(axes.collections[0].get_paths()[0].vertices[:, 1]) for axes in (narrow, wide)]
    assert heights[0] < heights[1]
    rates, outcomes = pair(100)
    two = compare({"mine": rates}, outcomes, (0.01, 0.001), bootstrap=50)
    for kind in ("quality", "cost"):
        assert two.plot(kind, bands="simultaneous").get_ylabel() == "mean score"
    with pytest.raises(InvalidValueError, match="bands: expected 'pointwise' or 'simultaneous', found 'both'"):
        two.plot(bands="both")
    plt.close("all")


def test_many_models_as_tables():
    predicted, outcomes, costs = among(60, 28)
    names = [f"org/m{i}" for i in range(28)]
    chosen = np.array(names)[outcomes.argmax(axis=1)]
    found = compare(
        {"mine": predicted, "names": chosen, "rates": predicted[:, 0]}, outcomes, costs, models=names, bootstrap=40
    )
    frame = found.to_pandas()
    assert frame["router"].tolist()[-1] in found.baselines
    assert frame.loc[frame["router"] == "mine", "score"].item() == found["mine"].score
    assert "28 models" in found._repr_html_()
    assert found.best_single == names[int(outcomes.mean(axis=0).argmax())]
    assert set(found.scores) == set(found.costs) == set(names)
    assert found.cost_at_quality(0.5).keys() == found.share_at_quality(0.5).keys() == set(found)
    assert repr(found["mine"]).startswith("<mine: ")
    assert found["mine"].to_pandas().columns.tolist()[-2:] == ["score_low", "score_high"]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (({"x": [1]}, [1, 0]), InvalidTypeError, r"expected scores of both models \[n, 2\], found one column"),
        (({"x": [1]}, [[1]]), InvalidValueError, "expected two models or more, found 1"),
        (({"x": [1]}, [[1, 0], [1]]), InvalidTypeError, "expected an OutcomeTable or numbers"),
        (({"x": [1]}, [["a", "b"]]), InvalidTypeError, "expected an OutcomeTable or numbers"),
        (({"x": [1]}, np.zeros((1, 2, 2))), InvalidTypeError, "found 3 dimensions"),
        (({"x": [1]}, [[np.inf, 0]]), InvalidValueError, "expected finite scores, found inf in row 0"),
        (({"x": [1, 2]}, [[1, 0]]), InvalidValueError, "x: expected 1 scores, one for each row of outcomes, found 2"),
        (({"x": [[1, 2, 3]]}, [[1, 0]]), InvalidValueError, "expected predicted scores of 2 models, found 3"),
        (({"x": [NAN]}, [[1, 0]]), InvalidValueError, "expected finite win rates, found nan in row 0"),
        (({"x": [[NAN, 0, 1]]}, [[1, 0, 1]]), InvalidValueError, "x: expected finite scores, found nan in row 0"),
        (({"x": ["gpt"]}, [[1, 0, 1]]), UnknownNameError, "x: no model named 'gpt'; there are model 0, model 1"),
        (
            ({"x": [[1], [1, 2]]}, [[1, 0], [0, 1]]),
            InvalidTypeError,
            r"x: expected scores \[n\] or \[n, m\], found list",
        ),
        (({"x": np.zeros((1, 1, 1))}, [[1, 0, 1]]), InvalidTypeError, "x: expected scores .* found 3 dimensions"),
        (({"x": ["a"]}, [[1, 0]]), UnknownNameError, "x: no model named 'a'; there are strong, weak"),
        (({"x": [object()]}, [[1, 0]]), InvalidTypeError, "x: expected numbers"),
        (({"x": [3]}, [[1, 0, 1]]), InvalidValueError, "x: expected columns 0 to 2, found 3 to 3"),
        (({"x": [1]}, [[1, 0]], "ab"), InvalidTypeError, "costs: expected dollars a call"),
        (({"x": [1]}, [[1, 0]], (1, 2, 3)), InvalidValueError, r"costs: expected a number for each model, \[2\] or"),
        (({"x": [1]}, [[1, 0]], (1, -2)), InvalidValueError, "costs: expected dollars from 0 on, found -2"),
        (({"x": [1]}, [[1, 0]], {"strong": 1}), InvalidValueError, "costs: expected a cost of 'weak'"),
        (({"optimum": [1]}, [[1, 0]]), InvalidValueError, "baselines have this name"),
        (({"static mix": [0]}, [[1, 0, 1]]), InvalidValueError, "baselines have this name"),
    ],
)
def test_what_cannot_be_compared(arguments, error, message):
    with pytest.raises(error, match=message):
        compare(*arguments, bootstrap=0)


def test_rows_in_several_goes_are_the_same_rows(monkeypatch):
    from ferroute.evals import _dollars

    predicted, outcomes, costs = among(30, 3)
    once = compare({"a": predicted, "b": predicted[:, ::-1]}, outcomes, costs, 5, bootstrap=40)
    monkeypatch.setattr(_dollars, "AT_ONCE", 1)
    monkeypatch.setattr(_dollars, "ALONE", 0)
    parts = compare({"a": predicted, "b": predicted[:, ::-1]}, outcomes, costs, 5, bootstrap=40)
    for name in once:
        np.testing.assert_allclose(parts[name].draws("apgr"), once[name].draws("apgr"), rtol=1e-9)
    monkeypatch.setattr(_dollars, "MOST_NUMBERS", 100)
    with pytest.raises(InvalidValueError, match=r"num_results: .* settings of 30 rows do not fit in memory"):
        compare({"a": predicted}, outcomes, costs, 5)


def test_frames_bring_names():
    import pandas as pd

    predicted, outcomes, _ = among(20, 3)
    found = compare(
        {"a": predicted}, pd.DataFrame(outcomes, columns=["x", "y", "z"]), {"z": 3, "x": 1, "y": 2}, bootstrap=0
    )
    assert found.models == ["x", "y", "z"]
    assert [float(found.costs[name]) for name in "xyz"] == [1, 2, 3]


def test_names_that_do_not_fit():
    for more, error, message in (
        ({"models": ["a"]}, InvalidValueError, "models: expected 2"),
        ({"models": ["a", "a"]}, InvalidValueError, "models: expected different names"),
        ({"pair": ("strong", "big")}, UnknownNameError, "pair: no model named 'big'"),
        ({"pair": "strong"}, InvalidValueError, "pair: expected the names"),
        ({"prompts": ["a", "b"]}, InvalidValueError, "prompts: expected 1"),
    ):
        with pytest.raises(error, match=message):
            compare({}, [[1, 0]], bootstrap=0, **more)
    with pytest.raises(InvalidTypeError, match="costs: given twice"):
        compare({}, [[1, 0]], (1, 2), costs=(1, 2))
    with pytest.raises(InvalidValueError, match="against: expected 'random' or 'strong'"):
        compare({"x": [1]}, [[1, 0]], (1, 2), bootstrap=0)["x"].cost_saving_at_quality(against="nothing")


def test_public_names():
    assert set(evals.__all__) <= set(dir(evals))


@pytest.mark.parametrize("routers", [[[0.1, 0.9]], np.array([0.1, 0.9]), None, "mine", 3])
def test_routers_have_names(routers):
    with pytest.raises(InvalidTypeError, match=r'\{"mine": scores\}'):
        compare(routers, [[1, 1], [1, 0]])


def test_a_handful_of_resamples_is_no_interval():
    outcomes = np.column_stack([np.ones(60), np.arange(60) % 2])
    scores = np.arange(60) / 60
    assert compare({"mine": scores}, outcomes, bootstrap=19)["mine"].apgr.interval is None
    assert compare({"mine": scores}, outcomes, bootstrap=20)["mine"].apgr.interval is not None
