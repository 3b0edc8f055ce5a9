"""Certificates: against populations whose truth is known, and what they say for themselves.

`scripts/simulate_guarantee.py` has the populations, and repeats the first part at full length.
"""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from conftest import ROOT
from ferroute import _core, calibrate
from ferroute.calibrate import Certificate, budget, guarantee, share, threshold_for_share
from ferroute.errors import (
    InvalidTypeError,
    InvalidValueError,
    MissingFileError,
    UnreadableFileError,
)

RISKS = ("net", "regret", "weak_routed")


@pytest.fixture(scope="module")
def study():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "scripts"))
        import simulate_guarantee

        yield simulate_guarantee


def fails_too_often(failures, draws, allowed=0.05):
    """More than a rate of ``allowed`` shows in one of 1,000 cases."""
    return _core.binomial_interval(failures, draws, 0.998)[0] > allowed


# --- the promise ---


@pytest.mark.parametrize("risk", RISKS)
@pytest.mark.parametrize(("n", "draws"), [(100, 2_000), (500, 2_000), (2_000, 250)])
def test_bounds_fail_as_rarely_as_they_say(study, risk, n, draws):
    for population in (study.mmlu(), study.tight(risk, 0.05)):
        found = study.repeated(study.Setting(population, n, risk, 0.05, draws, 11))
        assert not fails_too_often(found.failures, draws), (population.name, found)


@pytest.mark.parametrize("risk", RISKS)
@pytest.mark.parametrize("most", [0.02, 0.1])
def test_other_losses_are_kept_as_well(study, risk, most):
    for population in (study.mmlu(), study.tight(risk, most)):
        for n in (100, 500):
            found = study.repeated(study.Setting(population, n, risk, most, 500, 12))
            assert not fails_too_often(found.failures, 500), (population.name, n, found)


@pytest.mark.parametrize("risk", RISKS)
def test_choosing_by_the_sample_breaks_it(study, risk):
    for population in (study.mmlu(), study.tight(risk, 0.05)):
        found = study.repeated(study.Setting(population, 500, risk, 0.05, 200, 13), study.by_sample)
        assert found.failures > 60, (population.name, found)


def test_a_confidence_of_four_fifths_is_kept_and_used():
    """Errors may then be four times as many, and the bound is not so cautious that there are none."""
    draws = np.random.default_rng(4)
    failures = 0
    for _ in range(400):
        rates, chance = draws.uniform(size=(2, 400))
        # All weak loses 0.06, a quarter of it between the win rates 0.9 and 1; 0.05 is reached at 0.933.
        chances = np.where(rates < 0.9, 0.05, 0.15)
        failures += guarantee(rates, chance < chances, chance < 0, 0.05, 0.8, risk="regret").threshold > 0.9334
    assert failures > 20 and not fails_too_often(failures, 400, 0.2), failures


def test_scores_between_0_and_1(study):
    """Half marks: the sum of losses is the same as a coin's, so the bound must hold and may be tighter."""
    draws = np.random.default_rng(5)
    size = 1 << 15
    rates = (np.arange(size) + 0.5) / size
    strong = draws.integers(2, 5, size) / 4
    weak = np.clip(strong - np.where(draws.uniform(size=size) < 0.4 * rates, 0.5, 0), 0, 1)
    for risk in RISKS:
        population = study.Population("half marks", rates, strong, weak)
        found = study.repeated(study.Setting(population, 500, risk, 0.05, 400, 6))
        assert not fails_too_often(found.failures, 400), (risk, found)
        assert found.part > (0.05 if risk == "weak_routed" else 0.6), (risk, found)


def test_the_weak_share_is_worth_having(study):
    found = study.repeated(study.Setting(study.mmlu(), 1_000, "net", 0.05, 150, 14))
    assert found.part >= 0.7, found


def test_labels_below_a_ceiling_are_worth_more(study):
    setting = study.Setting(study.mmlu(), 1_000, "net", 0.05, 150, 15)
    everywhere, below = study.repeated(setting), study.repeated(setting, study.below_ceiling)
    assert below.part > everywhere.part
    assert not fails_too_often(below.failures, 150), below


def test_a_judge_breaks_it_until_he_is_corrected(study):
    setting = study.Setting(study.mmlu(), 2_000, "net", 0.05, 120, 16)
    judged, corrected = study.repeated(setting, study.by_judge), study.repeated(setting, study.by_corrected_judge)
    assert judged.failures > 100, judged
    assert not fails_too_often(corrected.failures, 120), corrected
    assert corrected.part > 0.5, corrected


@pytest.mark.parametrize("risk", ["regret", "weak_routed"])
def test_a_corrected_judge_with_the_other_risks(study, risk):
    setting = study.Setting(study.mmlu(), 2_000, risk, 0.1, 120, 17)
    found = study.repeated(setting, study.by_corrected_judge)
    assert not fails_too_often(found.failures, 120), found


# --- what a certificate says ---


def labelled(n=600, seed=0):
    """Win rates that tell where the weak model is wrong."""
    draws = np.random.default_rng(seed)
    rates = draws.uniform(size=n)
    strong = draws.uniform(size=n) < 0.9
    return rates, strong, strong & (draws.uniform(size=n) > 0.4 * rates**2)


@pytest.mark.parametrize("risk", RISKS)
def test_the_threshold_does_what_the_certificate_says(risk):
    rates, strong, weak = labelled()
    found = guarantee(rates, strong, weak, 0.1, risk=risk)
    assert found.certified and 0 < found.threshold <= 1
    below = rates < found.threshold
    assert found.weak_share == below.mean()
    loss = (strong.astype(float) - weak) * below
    if risk != "weak_routed":  # which set rows aside
        assert found.loss == pytest.approx(loss.mean(), abs=1e-12)
        assert found.n == 600
    else:
        assert found.n == 540
    assert found.loss < found.risk_bound <= 0.1 and found.bound == found.risk_bound
    assert (found.risk, found.max_quality_loss, found.confidence, found.labels) == (risk, 0.1, 0.95, "user")


def test_the_text_explains_itself():
    found = guarantee(*labelled())
    text = repr(found)
    for words in (
        "with 95% confidence",
        "(net)",
        "labels: user",
        "holds while traffic is exchangeable with the labelled sample",
        "covers this one threshold, not the running share form",
    ):
        assert words in text, words
    shown = found._repr_html_()
    assert "exchangeable" in shown and "<ul>" in shown
    named = guarantee(*labelled(), judge="<b>gpt</b>")
    assert "the judge <b>gpt</b>" in repr(named) and "<b>gpt" not in named._repr_html_()


def test_nothing_certified_is_always_strong():
    rates, strong, weak = labelled(50)
    found = guarantee(rates, strong, weak)
    assert (found.threshold, found.certified, found.weak_share, found.risk_bound) == (0.0, False, 0.0, 0.0)
    assert "No certificate" in repr(found) and "at least 59" in (found.note or "")
    many = guarantee(rates.repeat(20), np.ones(1_000), np.zeros(1_000), risk="weak_routed")
    assert (many.threshold, many.certified) == (0.0, False)
    assert "more labels" in (many.note or "")
    # Even of a better weak model it cannot be shown that nothing is lost where nothing is weak yet.
    never = guarantee(rates.repeat(20), np.zeros(1_000), np.ones(1_000), 0.0)
    assert not never.certified and "allow a little" in (never.note or "")


def test_all_certified_is_a_threshold_of_1_and_a_bound_of_its_own():
    rates, strong, _ = labelled()
    for risk in RISKS:
        found = guarantee(rates, strong, strong, risk=risk)
        assert (found.threshold, found.weak_share) == (1.0, 1.0), risk
        assert 0 < found.risk_bound < 0.05, risk


def test_more_labels_of_the_same_kind_certify_more():
    few, many = guarantee(*labelled(200)), guarantee(*labelled(4_000))
    assert many.weak_share > few.weak_share + 0.05


def test_seeds_draw_the_order_and_nothing_else():
    one, again, other = (guarantee(*labelled(), seed=seed) for seed in (0, 0, 1))
    assert dataclasses.replace(one, created="") == dataclasses.replace(again, created="")
    assert abs(one.weak_share - other.weak_share) < 0.15 and one.data == other.data
    assert guarantee(*labelled(), risk="regret", seed=1).threshold == guarantee(*labelled(), risk="regret").threshold


def test_traffic_says_the_weak_share():
    rates, strong, weak = labelled()
    traffic = rates**2
    found = guarantee(rates, strong, weak, traffic=traffic)
    assert found.threshold == guarantee(rates, strong, weak).threshold
    assert found.weak_share == (traffic < found.threshold).mean() and found.traffic == 600
    given = guarantee(rates, strong, weak, 0.1, risk="weak_routed", traffic=rates)
    assert given.n == 600 and "of the traffic" in given.grid


def test_prompts_above_the_ceiling_need_no_label():
    rates, strong, weak = labelled(3_000)
    unknown = (rates >= 0.7) | (np.arange(3_000) % 3 > 0)
    strong, weak = (np.where(unknown, np.nan, scores) for scores in (strong, weak))
    found = guarantee(rates, strong, weak, ceiling=0.7)
    assert found.n == int((~unknown).sum()) and found.traffic == 3_000
    assert 0.3 < found.threshold <= 0.7 and found.ceiling == 0.7
    assert found.weak_share == (rates < found.threshold).mean()
    known = ~unknown
    # A loss below the ceiling counts for the share of traffic that is there.
    lost = ((strong - weak) * (rates < found.threshold))[known].mean() * (rates < 0.7).mean()
    assert found.loss == pytest.approx(lost, abs=1e-12)
    assert "drawn by lot among prompts with a win rate below 0.7" in repr(found)
    # Labels above it change nothing, whatever they say.
    strong[rates >= 0.7], weak[rates >= 0.7] = 1, 0
    assert guarantee(rates, strong, weak, ceiling=0.7).threshold == found.threshold
    among = guarantee(rates, strong, weak, 0.1, ceiling=0.7, risk="weak_routed")
    assert among.n == found.n and "the unlabelled prompts below 0.7" in among.grid
    with pytest.raises(InvalidValueError, match="below the ceiling 1e-06"):
        guarantee(rates, strong, weak, ceiling=1e-6)
    weak[int(known.argmax())] = np.nan
    with pytest.raises(InvalidValueError, match="found only the strong one in row"):
        guarantee(rates, strong, weak, ceiling=0.7)


def test_a_judge_is_named_until_true_labels_correct_him():
    rates, strong, weak = labelled(2_000)
    judged = guarantee(rates, strong, weak, judge="gpt-x")
    assert judged.judge == "gpt-x" and judged.labels == "judge gpt-x"
    assert "quality is what the judge gpt-x says it is" in judged.assumption
    rows = np.arange(400)
    listed = guarantee(rates, strong, weak, judge="gpt-x", gold=(rows, strong[rows], weak[rows]))
    assert listed.judge is None and (listed.n, listed.judged) == (400, 1_600)
    assert "corrected by 400 true labels" in listed.labels and "gpt-x says" not in listed.assumption
    columns = [np.where(np.arange(2_000) < 400, scores, np.nan) for scores in (strong, weak)]
    beside = guarantee(rates, strong, weak, judge="gpt-x", gold=columns)
    assert beside.threshold == listed.threshold and beside.data == listed.data
    few = guarantee(rates, strong, weak, judge="gpt-x", gold=(rows[:49], strong[:49], weak[:49]))
    assert few.judge == "gpt-x" and "at least 50" in (few.note or "") and few.threshold == judged.threshold
    alone = guarantee(rates, strong, weak, judge="gpt-x", gold=(rows, strong[rows], weak[rows]), risk="regret")
    assert alone.labels == "400 true labels alone"
    assert alone.threshold == guarantee(rates[:400], strong[:400], weak[:400], risk="regret").threshold
    assert guarantee(rates, strong, weak, gold=(rows[:9], strong[:9], weak[:9])).judge == "unnamed"


def test_saved_and_read_again(tmp_path):
    for risk in RISKS:
        found = guarantee(*labelled(), 0.1, risk=risk, judge="gpt-x", ceiling=0.9)
        path = found.save(tmp_path / f"{risk}.json")
        assert Certificate.load(path) == found
        assert json.loads(path.read_text())["assumption"] == found.assumption
    assert not list(tmp_path.glob("*.part"))
    nothing = guarantee(*labelled(30))
    assert Certificate.load(nothing.save(tmp_path / "none.json")) == nothing


def test_other_files_are_no_certificates(tmp_path):
    path = guarantee(*labelled()).save(tmp_path / "good.json")
    good = json.loads(path.read_text())
    bad = tmp_path / "bad.json"
    for change, words in [
        ({"ferroute_certificate": 2}, "ferroute_certificate: 1"),
        ({"threshold": 1.5}, "threshold"),
        ({"threshold": None}, "threshold"),
        ({"certified": 1}, "certified"),
        ({"certified": False}, "threshold 0"),
        ({"risk": "none"}, "risk"),
        ({"notes": "x"}, "notes"),
        ({"n": 1.5}, "n: expected int"),
        ({"risk_bound": 0.2}, "bound"),
        ({"seed": True}, "seed"),
    ]:
        bad.write_text(json.dumps(good | change))
        with pytest.raises(InvalidValueError, match=words):
            Certificate.load(bad)
    for text in ("", "[]", "[" * 100_000, "nul", "\xff"):
        bad.write_bytes(text.encode("latin-1"))
        with pytest.raises(InvalidValueError, match="is not a certificate"):
            Certificate.load(bad)
    del good["loss"]
    bad.write_text(json.dumps(good))
    with pytest.raises(InvalidValueError, match="loss"):
        Certificate.load(bad)
    with pytest.raises(MissingFileError):
        Certificate.load(tmp_path / "missing.json")
    with pytest.raises(UnreadableFileError):
        Certificate.load(tmp_path)
    with pytest.raises(UnreadableFileError):
        guarantee(*labelled()).save(tmp_path / "no" / "folder.json")


# --- what is refused ---


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"strong_scores": [0.5, 1.5, 0.5]}, InvalidValueError, "strong_scores.*found 1.5 in row 1"),
        ({"weak_scores": [0.5, 0.5, math.nan]}, InvalidValueError, "weak_scores.*found nan in row 2"),
        ({"weak_scores": [-0.1, 0.5, 1]}, InvalidValueError, "found -0.1 in row 0"),
        ({"weak_scores": [0.5, 0.5]}, InvalidValueError, "expected 3 numbers"),
        ({"weak_scores": ["x", "y", "z"]}, InvalidTypeError, "weak_scores"),
        ({"weak_scores": "abc"}, InvalidTypeError, "weak_scores"),
        ({"weak_scores": None}, InvalidTypeError, "weak_scores"),
        ({"weak_scores": np.ones((3, 1))}, InvalidTypeError, "2 dimensions"),
        ({"weak_scores": np.ma.masked_equal([0, 1, 1], 1)}, InvalidTypeError, "masked"),
        ({"win_rates": [0.1, math.nan, 0.3]}, InvalidValueError, "win_rates.*index 1"),
        ({"win_rates": []}, InvalidValueError, "win_rates"),
        ({"traffic": [2.0]}, InvalidValueError, "traffic"),
        ({"max_quality_loss": -0.01}, InvalidValueError, "max_quality_loss"),
        ({"max_quality_loss": math.nan}, InvalidValueError, "max_quality_loss"),
        ({"max_quality_loss": "5%"}, InvalidTypeError, "max_quality_loss"),
        ({"confidence": 1.0}, InvalidValueError, "confidence"),
        ({"confidence": 0.4}, InvalidValueError, "confidence"),
        ({"risk": "gross"}, InvalidValueError, "'net', 'regret', 'weak_routed'"),
        ({"risk": ["net"]}, InvalidValueError, "risk"),
        ({"ceiling": 1.5}, InvalidValueError, "ceiling"),
        ({"judge": 5}, InvalidTypeError, "judge"),
        ({"seed": -1}, InvalidValueError, "seed"),
        ({"seed": 0.5}, InvalidTypeError, "seed"),
        ({"gold": [0.5]}, InvalidTypeError, "gold"),
        ({"gold": ([3], [1], [1])}, InvalidValueError, "rows from 0 to 2"),
        ({"gold": ([1, 1], [1, 1], [1, 1])}, InvalidValueError, "once"),
        ({"gold": ([0.5], [1], [1])}, InvalidTypeError, "row numbers"),
        ({"gold": ([1, math.nan, 1], [1, 1, 1])}, InvalidValueError, "only the weak one in row 1"),
    ],
)
def test_bad_arguments_are_named(change, error, words):
    good = {"win_rates": [0.1, 0.2, 0.3], "strong_scores": [1, 1, 1], "weak_scores": [1, 0, 1]}
    with pytest.raises(error, match=words):
        guarantee(**(good | change))


def test_lists_series_and_booleans_are_the_same():
    rates, strong, weak = labelled()
    found = guarantee(rates, strong, weak).threshold
    assert guarantee(rates.tolist(), strong.tolist(), [float(each) for each in weak]).threshold == found
    assert guarantee(pd.Series(rates), pd.Series(strong), pd.Series(weak.astype(int))).threshold == found


def test_equal_win_rates_go_together():
    strong, weak = np.ones(400), np.repeat([1.0, 0.0], 200)
    found = guarantee(np.full(400, 0.5), strong, weak)
    assert (found.threshold, found.certified) == (0.0, False)
    steps = guarantee(np.repeat([0.25, 0.5], 200), strong, weak)
    assert (steps.threshold, steps.weak_share) == (0.5, 0.5)


# --- budget and share ---


def priced(n=2_000, seed=0):
    rates, strong, weak = labelled(n, seed)
    draws = np.random.default_rng(seed + 1)
    strong_costs, weak_costs = 0.02 * draws.uniform(size=n), 0.002 * draws.uniform(size=n)
    return rates, strong, weak, strong_costs, weak_costs


def test_a_budget_is_kept():
    failures = 0
    for seed in range(150):
        found = budget(*priced(1_000, seed), 0.006, max_cost=0.02)
        # A call costs 0.001 weak and 0.01 strong, so the share of strong calls may be 5/9.
        failures += 1 - found.threshold > 5 / 9
        assert found.certified and 0.4 < found.threshold < 0.6
    assert not fails_too_often(failures, 150)


def test_a_budget_says_what_it_rests_on():
    found = budget(*priced(), Decimal("0.006"))
    assert found.max_mean_cost == Decimal("0.006") and found.cost < found.max_mean_cost <= found.max_cost
    assert isinstance(found.cost, Decimal) and 0 < found.weak_share < 1
    assert "max_cost=" in (found.note or "") and "at most $0.006" in repr(found)
    assert budget(*priced(), 0.006, max_cost=0.02).note is None
    assert "exchangeable" in found._repr_html_()
    poor = budget(*priced(), 0.0001)
    assert (poor.certified, poor.threshold, poor.weak_share) == (False, 1.0, 1.0)
    assert "No budget" in repr(poor)
    rich = budget(*priced(), 1.0)
    assert rich.certified and rich.threshold < 0.1
    decimals = [[Decimal(repr(float(cost))) for cost in costs] for costs in priced()[3:]]
    assert budget(*priced()[:3], *decimals, 0.006) == budget(*priced(), 0.006)


def test_the_best_quality_is_not_the_dearest():
    rates, strong, weak, *costs = priced()
    # Where the strong model is the worse one, none of the budget is spent.
    found = budget(rates, weak, strong, *costs, 0.006)
    assert found.certified and found.threshold == 1.0


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"strong_costs": [0.1, None, 0.1]}, InvalidValueError, "strong_costs.*found none in row 1"),
        ({"weak_costs": [0.1, 0.1, -1]}, InvalidValueError, "weak_costs.*row 2"),
        ({"weak_costs": "free"}, InvalidTypeError, "weak_costs"),
        ({"max_mean_cost": None}, InvalidTypeError, "max_mean_cost"),
        ({"max_mean_cost": math.inf}, InvalidValueError, "max_mean_cost"),
        ({"max_cost": 0.05}, InvalidValueError, "found 0.1 in row 0"),
        ({"strong_costs": 0, "weak_costs": 0}, InvalidValueError, "cost something"),
    ],
)
def test_bad_costs_are_named(change, error, words):
    good = {
        "win_rates": [0.1, 0.2, 0.3],
        "strong_scores": [1, 1, 1],
        "weak_scores": [1, 0, 1],
        "strong_costs": 0.1,
        "weak_costs": 0.01,
        "max_mean_cost": 0.05,
    }
    with pytest.raises(error, match=words):
        budget(**(good | change))


def test_share_is_threshold_for_share():
    scores = np.linspace(0, 1, 101)
    assert share(scores, 0.3) == threshold_for_share(scores, 0.3)
    assert share(scores, 0.3, 0.9).confidence == 0.9


def test_calibrate_is_there_after_a_bare_import():
    script = (
        "import sys, ferroute\n"
        "assert 'numpy' not in sys.modules\n"
        "assert ferroute.calibrate.guarantee and ferroute.evals.score_router\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    assert calibrate.__doc__
