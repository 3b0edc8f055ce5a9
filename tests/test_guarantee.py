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
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

from conftest import ROOT
from ferroute import _core, calibrate
from ferroute.calibrate import Budget, Certificate, budget, guarantee, share, threshold_for_share
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


def said(promise):
    """The text without its line breaks."""
    return " ".join(repr(promise).split())


def test_the_text_explains_itself():
    found = guarantee(*labelled())
    text = said(found)
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
    assert repr(named).startswith("Certificate, relative to the judge <b>gpt</b>: ")
    hopeless = guarantee(*labelled(30), judge="gpt-x", ceiling=0.9)
    assert repr(hopeless).startswith("No certificate, relative to the judge gpt-x: ")
    for promise in (found, named, hopeless, budget(*priced(), 0.006), budget(*priced(), 0.0001)):
        assert max(map(len, repr(promise).splitlines())) <= 88


def test_nothing_certified_is_always_strong():
    rates, strong, weak = labelled(50)
    found = guarantee(rates, strong, weak)
    assert (found.threshold, found.certified, found.weak_share, found.risk_bound) == (0.0, False, 0.0, 0.0)
    assert "No certificate" in repr(found) and "at least 62" in (found.note or "")
    many = guarantee(rates.repeat(20), np.ones(1_000), np.zeros(1_000), risk="weak_routed")
    assert (many.threshold, many.certified) == (0.0, False)
    assert "more labels" in (many.note or "")
    # Even of a better weak model it cannot be shown that nothing is lost where nothing is weak yet.
    never = guarantee(rates.repeat(20), np.zeros(1_000), np.ones(1_000), 0.0)
    assert not never.certified and "allow a little" in (never.note or "")


@pytest.mark.parametrize("risk", ["net", "regret"])
@pytest.mark.parametrize("most", [0.02, 0.05, 0.2])
def test_as_many_labels_as_it_asks_for_are_enough(risk, most):
    note = guarantee([0.5] * 5, [1] * 5, [1] * 5, most, risk=risk).note or ""
    least = int(note.rpartition("at least ")[2])
    for n, certified in ((least - 1, False), (least, True)):
        assert guarantee([0.5] * n, [1] * n, [1] * n, most, risk=risk).certified == certified, n


def test_among_the_weak_routed_no_number_is_named():
    rates = np.random.default_rng(3).uniform(size=100)
    note = guarantee(rates, np.ones(100), np.ones(100), risk="weak_routed").note or ""
    assert "too few even if nothing is lost" in note and "at least" not in note


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
    assert "drawn by lot among prompts with a win rate below 0.7" in said(found)
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


def test_a_gain_below_the_ceiling_counts_for_the_smallest_share():
    failures = certified = 0
    for seed in range(60):
        draws = np.random.default_rng(seed)
        rates = draws.uniform(size=1_000)
        below = rates < 0.3
        strong, weak = np.where(below, 0, np.nan), np.where(below, draws.uniform(size=1_000) < 0.9, np.nan)
        found = guarantee(rates, strong, weak, ceiling=0.3)
        certified += found.certified
        # Three tenths of the traffic gain 0.9.
        failures += -0.27 * found.threshold / 0.3 > found.risk_bound
        assert found.risk_bound < -0.15 and "quality rises by at least 0." in said(found)
    assert certified == 60 and not fails_too_often(failures, 60)


def test_true_labels_are_counted_below_the_ceiling():
    rates, strong, weak = labelled(3_000)
    rows = np.arange(60)
    gold = (rows, strong[rows], weak[rows])
    for ceiling, inside in ((0.5, int((rates[rows] < 0.5).sum())), (rates[rows].min(), 0)):
        found = guarantee(rates, strong, weak, judge="gpt-x", gold=gold, ceiling=ceiling)
        assert inside < 50 and (found.judge, found.judged) == ("gpt-x", 0)
        assert found.labels == "judge gpt-x" and f"{inside} true labels below the ceiling" in (found.note or "")
        assert found.n == (rates < ceiling).sum()
        assert "relative to the judge gpt-x" in said(found)
    rows = np.arange(300)
    many = guarantee(rates, strong, weak, judge="gpt-x", gold=(rows, strong[rows], weak[rows]), ceiling=0.5)
    assert many.judge is None and many.n == (rates[rows] < 0.5).sum()


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
        assert Certificate.from_dict(found.as_dict()) == found
    assert not list(tmp_path.glob("*.part"))
    gain = guarantee([0.5] * 500, [0] * 500, [1] * 500)
    assert gain.risk_bound < 0 and Certificate.load(gain.save(tmp_path / "gain.json")) == gain
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
        ({"seed": -4}, "seed: expected"),
        ({"n": -5}, "n: expected"),
        ({"judged": -1}, "judged: expected"),
        ({"traffic": 0}, "traffic: expected"),
        ({"risk_bound": -9}, "risk_bound: expected"),
        ({"loss": 7.5}, "loss: expected"),
        ({"confidence": 0.2}, "confidence: expected"),
        ({"ceiling": 0.01}, "ceiling: expected"),
        ({"created": "zzz"}, "created: expected"),
        ({"data": "zzz"}, "data: expected"),
        ({"threshold": 0.0}, "a threshold above 0"),
        ({"threshold": good["threshold"] + 0.01}, "changed after it was saved"),
        ({"n": good["n"] + 1}, "changed after it was saved"),
        ({"judge": "gpt-x"}, "changed after it was saved"),
        ({"notes": ["all is well"]}, "changed after it was saved"),
        ({"digest": None}, "changed after it was saved"),
    ]:
        bad.write_text(json.dumps(good | change))
        with pytest.raises(InvalidValueError, match=words):
            Certificate.load(bad)
    for text in ("", "[]", "[" * 100_000, "nul", "\xff"):
        bad.write_bytes(text.encode("latin-1"))
        with pytest.raises(InvalidValueError, match="is not a certificate"):
            Certificate.load(bad)
    bad.write_text(json.dumps({key: value for key, value in good.items() if key != "digest"}))
    with pytest.raises(InvalidValueError, match="expected a digest"):
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
        ({"weak_scores": ["1", "0", "1"]}, InvalidTypeError, "weak_scores.*found strings"),
        ({"weak_scores": [1, 0, b"1"]}, InvalidTypeError, "weak_scores"),
        ({"weak_scores": pd.Series([1, "0", 1])}, InvalidTypeError, "weak_scores.*the string '0' in row 1"),
        ({"win_rates": ["0.1", "0.2", "0.3"]}, InvalidTypeError, "win_rates.*found strings"),
        ({"traffic": np.array(["2026-01-01"], dtype="datetime64[ns]")}, InvalidTypeError, "traffic.*datetime64"),
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
    assert "max_cost=" in (found.note or "") and "at most $0.006" in said(found)
    assert budget(*priced(), 0.006, max_cost=0.02).note is None
    assert "exchangeable" in found._repr_html_()
    poor = budget(*priced(), 0.0001)
    assert (poor.certified, poor.threshold, poor.weak_share) == (False, 1.0, 1.0)
    assert "No budget" in repr(poor)
    rich = budget(*priced(), 1.0)
    assert rich.certified and rich.threshold < 0.1
    decimals = [[Decimal(repr(float(cost))) for cost in costs] for costs in priced()[3:]]
    assert budget(*priced()[:3], *decimals, 0.006) == budget(*priced(), 0.006)


def test_scalars_of_numpy_are_dollars():
    plain = budget(*priced()[:3], 0.02, 0.002, 0.0125, max_cost=0.02, seed=3)
    for kind in (np.float64, np.float32, lambda number: Decimal(str(number))):
        found = budget(*priced()[:3], kind(0.02), kind(0.002), kind(0.0125), max_cost=kind(0.02), seed=np.int64(3))
        assert found == plain and found.max_mean_cost == Decimal("0.0125"), kind
    assert budget(*priced()[:3], np.int64(2), 1, Fraction(3, 2)).max_mean_cost == Decimal("1.5")


def test_a_dearer_weak_model_is_tested_from_the_other_end():
    rates, strong, weak, *_ = priced()
    always = budget(rates, strong, weak, 0.001, 0.01, 0.004)
    assert always.certified and always.cost < always.max_mean_cost and always.score > weak.mean()
    better_weak = budget(rates, weak, strong, 0.001, 0.01, 0.0055)
    # 0.001 strong and 0.01 weak: half of it may be weak.
    assert better_weak.certified and 0.4 < better_weak.threshold < 0.5
    draws = np.random.default_rng(1)
    low, high = 0.002 * draws.uniform(size=2_000), 0.02 * draws.uniform(size=2_000)
    each = budget(rates, strong, weak, low, high, 0.004, max_cost=0.02)
    assert each.certified and each.threshold < 0.4
    for costs in ((0.001, 0.01), (low, high)):
        nothing = budget(rates, strong, weak, *costs, 0.0001)
        assert (nothing.certified, nothing.threshold, nothing.weak_share) == (False, 0.0, 0.0)
        assert "0, always strong, was the cheapest" in said(nothing)


def test_a_budget_from_the_other_end_is_kept():
    failures = 0
    for seed in range(150):
        rates, strong, weak, dear, cheap = priced(500, seed)
        # The weak model is as good and dearer: a call costs 0.001 strong and 0.01 weak, so 5/9 may be weak.
        found = budget(rates, weak, strong, cheap, dear, 0.006, 0.6, max_cost=0.02, seed=seed)
        failures += found.threshold > 5 / 9
        assert found.certified
    assert not fails_too_often(failures, 150, 0.4)


def test_a_budget_is_saved_and_read_again(tmp_path):
    for most in (0.006, 0.0001, Decimal("0.0061")):
        found = budget(*priced(), most)
        path = found.save(tmp_path / "budget.json")
        assert Budget.load(path) == found == Budget.from_dict(found.as_dict())
        assert isinstance(Budget.load(path).cost, Decimal)
    good = json.loads(path.read_text())
    for change, words in [
        ({"ferroute_budget": 2}, "ferroute_budget: 1"),
        ({"cost": 0.5}, "cost: expected Decimal"),
        ({"cost": "NaN"}, "cost: expected Decimal"),
        ({"cost": "-1"}, "cost: expected"),
        ({"threshold": 2}, "threshold"),
        ({"n": 0}, "n: expected"),
        ({"data": ""}, "data"),
        ({"certified": False}, "0 or 1"),
        ({"max_mean_cost": "0.01"}, "changed after it was saved"),
    ]:
        path.write_text(json.dumps(good | change))
        with pytest.raises(InvalidValueError, match=f"is not a budget.*{words}"):
            Budget.load(path)
    with pytest.raises(InvalidValueError, match="is not a certificate"):
        Certificate.load(path)
    with pytest.raises(MissingFileError, match="no such budget"):
        Budget.load(tmp_path / "missing.json")


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
        ({"seed": -1}, InvalidValueError, "seed"),
        ({"seed": 2**64}, InvalidValueError, "seed"),
        ({"seed": "x"}, InvalidTypeError, "seed"),
        ({"weak_costs": True}, InvalidTypeError, "weak_costs"),
        ({"weak_costs": ["0.1", "0.1", "0.1"]}, InvalidTypeError, "weak_costs.*found strings"),
        ({"max_mean_cost": np.float64("nan")}, InvalidValueError, "max_mean_cost"),
        ({"max_mean_cost": "0.05"}, InvalidTypeError, "max_mean_cost"),
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
