"""Ramps, watches and A/B tests: what they promise, by simulation; and what a Controller does with what it holds."""

from __future__ import annotations

import asyncio
import copy
import datetime as dt
import json
import logging
import math
import pickle
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from fakeserver import FakeServer
from ferroute import Controller, RoutingError
from ferroute.calibrate import guarantee
from ferroute.controller import ROUTER_CLS
from ferroute.errors import InvalidTypeError, InvalidValueError, UnknownNameError
from ferroute.rollout import ABTest, Ramp, Watch
from ferroute.rollout.ramps import STAGES
from ferroute.routers.base import Router, RungRouter
from ferroute.thresholds import CalibrationTable

if TYPE_CHECKING:
    from pathlib import Path

SCORES = (np.arange(1_000) + 0.5) / 1_000
# Where no provider is, so that the day on which it ends a model bars none of them.
NOWHERE = "http://127.0.0.1:9/v1"


@dataclass(frozen=True)
class Certificate:
    """What `ferroute.calibrate.guarantee` gives, as far as it is read."""

    threshold: float = 0.5
    certified: bool = True
    weak_share: float = 0.5
    max_quality_loss: float = 0.05
    confidence: float = 0.95
    risk: str = "net"


def requests(n: int, gap: Any = 0.0, seed: int = 0, weak_wins: float = 0.05) -> tuple[Any, Any, Any]:
    """Win rates, and scores of both models: the weak one fails alone with probability gap + weak_wins."""
    rng = np.random.default_rng(seed)
    win_rates, lots = rng.random(n), rng.random(n)
    lost = lots < np.broadcast_to(gap(win_rates) if callable(gap) else gap, n) + weak_wins
    strong = np.where(lost, 1.0, np.where(lots > 1 - weak_wins, 0.0, 1.0))
    return win_rates, strong, np.where(lost, 0.0, 1.0)


def joined(*parts: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
    first, second, third = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return first, second, third


# The promises. Numbers of runs that fail are compared with what chance allows at the stated level, at odds of 1 in
# 1,000.


def test_a_stage_above_the_bound_is_hardly_ever_entered():
    # The risk is 0.0498 at 20 % and 0.051 from 25 % on: one sloppy step and it is entered.
    def gap(win_rates: Any) -> Any:
        return np.where(win_rates < 0.2, 0.249, np.where(win_rates < 0.25, 0.025, 0.0))

    ramp = Ramp(win_rates=SCORES)
    runs = (ramp.rehearse(*requests(4_000, gap, seed, 0.03), rate=1.0) for seed in range(200))
    broken = sum(bool((run.threshold > 0.24).any()) for run in runs)
    assert broken <= 20


@pytest.mark.parametrize("turn", [500, 2_000])
@pytest.mark.parametrize("by", [0.15, 0.4])
def test_a_weak_model_that_worsens_unnoticed_is_taken_back_in_time(turn: int, by: float):
    ramp = Ramp(win_rates=SCORES)
    above = late = 0
    for seed in range(60):
        rows = joined(requests(turn, 0.01, seed), requests(3_000, 0.01 + by, 1_000 + seed))
        run = ramp.rehearse(*rows, rate=1.0)
        true = np.minimum(run.weak_share, 1) * np.where(np.arange(turn + 3_000) < turn, 0.01, 0.01 + by)
        running = np.cumsum(true) / np.arange(1, true.size + 1)
        above += bool((running[500:] > 0.05).any())
        # Where the risk after the turn is above the bound, it has to step down.
        if true[turn] > 0.05:
            late += not bool((run.weak_share[turn : turn + 2_000] < run.weak_share[turn]).any())
    assert above <= 9
    assert late <= 9


def test_a_good_weak_model_soon_gets_what_it_is_due():
    # At its own rates.
    ramp = Ramp(win_rates=SCORES)
    for gap, best in ((0.02, 1.0), (lambda rates: 0.06 * rates, 1.0), (lambda rates: 0.05 * rates, 1.0)):
        shares = [ramp.rehearse(*requests(5_000, gap, seed), seed=seed).weak_share[-1] for seed in range(30)]
        assert np.mean(np.array(shares) >= 0.8 * best) >= 0.9


@pytest.mark.parametrize("gap", [0.26, 0.5, 0.8])
def test_a_start_above_the_bound_costs_no_more_than_the_bound(gap: float):
    above = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        win_rates = rng.beta(2, 3, 4_000)
        rows = (win_rates, *requests(4_000, gap, seed)[1:])
        run = Ramp(win_rates=rng.beta(2, 3, 1_000)).rehearse(*rows, seed=seed)
        true = gap * np.where(np.isinf(run.threshold), 1.0, run.weak_share)
        above += bool((np.cumsum(true) / np.arange(1, 4_001))[500:].max() > 0.05)
    # 40 runs at the level 0.05: more than 7 have a chance of 0.001.
    assert above <= 7


def test_a_false_alarm_is_rare_while_a_certificate_is_true():
    watch = Watch(Certificate(), win_rates=SCORES)
    # At the certified threshold the risk is 0.045.
    runs = [watch.rehearse(*requests(6_000, lambda rates: 0.09 * (rates < 0.5), seed), rate=1.0) for seed in range(100)]
    assert sum(any(move.kind == "reverted" for move in run.moves) for run in runs) <= 13


def test_other_traffic_is_noticed_and_the_same_is_not():
    rng = np.random.default_rng(0)
    ramp = Ramp(win_rates=rng.random(1_000))
    kinds = [{move.kind for move in ramp.rehearse(*requests(3_000, 0.0, seed), rate=1.0).moves} for seed in range(50)]
    assert sum("drifted" in each for each in kinds) <= 8
    rows = requests(2_000, 0.0, 3)
    shifted = (rows[0] ** 2, *rows[1:])
    run = ramp.rehearse(*joined(rows, shifted), rate=1.0)
    (drift,) = [move for move in run.moves if move.kind == "drifted"][:1]
    assert drift.request is not None
    assert 2_000 <= drift.request < 3_000
    assert drift.after == drift.before
    run = Ramp(win_rates=rng.random(1_000), on_drift="revert").rehearse(*joined(rows, shifted), rate=1.0)
    assert any(move.kind == "drifted" and move.after == 0 for move in run.moves)


def test_an_ab_test_names_a_false_winner_once_in_twenty_at_most():
    rng = np.random.default_rng(0)
    still, step, slope = np.full(1_000, 0.7), np.repeat([0.85, 0.6], 500), np.linspace(0.9, 0.5, 1_000)
    for split in (0.5, 0.4, 0.2, 0.05):
        for mean in (still, step, slope):
            false = 0
            for _ in range(60):
                test = ABTest("same", a="router-x-0.3", b="router-x-0.5", split=split)
                for second, score in zip(rng.random(1_000) < split, rng.random(1_000) < mean, strict=True):
                    test.observe("b" if second else "a", float(score))
                false += test.result().winner is not None
            # 60 tests at the level 0.05: more than 10 have a chance of 0.0003.
            assert false <= 10


def test_what_changes_for_both_arms_alike_is_no_difference():
    rng = np.random.default_rng(1)
    won = 0
    for name in range(20):
        test = ABTest(f"wk{name}", a="a", b="b", split=0.4)
        for user in range(4_000):
            test.observe(test.arm(user), float(rng.random() < (0.85 if user < 2_000 else 0.6)), key=user)
        won += test.result().winner is not None
    # 20 tests at the level 0.05: more than 5 have a chance of 0.0003.
    assert won <= 5


def test_scores_that_do_not_come_at_the_split_are_noticed():
    rng = np.random.default_rng(2)
    test = ABTest("x", a="a", b="b")
    for _ in range(1_000):
        test.observe("b" if rng.random() < 0.3 else "a", 0.5)
    result = test.result()
    assert result.skewed
    assert "scores do not come at the split" in result.verdict
    test = ABTest("x", a="a", b="b", split=0.3)
    for _ in range(1_000):
        test.observe("b" if rng.random() < 0.3 else "a", 0.5)
    assert not test.result().skewed


# One ramp.


def test_a_ramp_starts_where_it_is_told_to():
    ramp = Ramp(win_rates=SCORES)
    assert (ramp.threshold, ramp.weak_share, ramp.state, ramp.rate) == (0.2005, 0.2, "starting", 1.0)
    assert (ramp.n, ramp.history, ramp.note, ramp.path) == (0, (), None, None)
    assert math.isnan(ramp.loss)
    assert [stage.weak_share for stage in ramp.stages][:4] == [0, 0.1, 0.2, 0.25]
    assert ramp.stages[-1].threshold == math.inf
    assert Ramp(win_rates=SCORES, start=0).threshold == 0
    assert Ramp(win_rates=SCORES, start=0.33).weak_share == 0.33
    assert Ramp(win_rates=SCORES, start=0.5, stages=[0.5, 0.75]).stages[-1].weak_share == 0.75
    table = CalibrationTable("mine", None, 1_000, "2026-01-01", "test", tuple(SCORES.tolist()))
    assert Ramp(win_rates=table).threshold == ramp.threshold


def test_a_ramp_from_a_certificate_starts_at_its_threshold():
    ramp = Ramp(win_rates=SCORES, certificate=Certificate(0.4201, weak_share=0.42, max_quality_loss=0.03))
    assert (ramp.threshold, ramp.weak_share, ramp.max_quality_loss) == (0.4201, 0.42, 0.03)
    assert ramp.state == "growing"
    assert ramp.horizon == 834
    # What is certified needs no proof: the next stage is all that is proven.
    ramp.observe_many(*requests(3_000, 0.0))
    assert ramp.history[0].before == 0.4201
    assert Ramp(win_rates=SCORES, certificate=Certificate(certified=False, threshold=0.0)).weak_share == 0


def test_the_history_says_what_when_and_why():
    ramp = Ramp(win_rates=SCORES)
    ramp.observe_many(*requests(3_000, 0.0))
    assert ramp.state == "holding"
    assert ramp.threshold == math.inf
    # While it holds, the fewer the more the bound has left.
    first = ramp.rate
    assert 0.02 < first < 1
    ramp.observe_many(*requests(20_000, 0.0, 9), probability=0.5)
    assert 0.02 <= ramp.rate < first / 4
    ramp.observe_many(*requests(1_000, 0.4, 1))
    back = next(move for move in ramp.history if move.kind == "reverted")
    assert back.before == math.inf
    assert back.n == pytest.approx(23_100, abs=200)
    assert back.evidence >= 20
    assert back.at is not None
    assert abs(back.at - dt.datetime.now(dt.timezone.utc)) < dt.timedelta(hours=1)
    assert back.sentence.startswith(
        f"went back from always weak to always strong on {back.at:%Y-%m-%d}, because the evidence is"
    )
    assert ramp.note == back.sentence
    assert (ramp.state, ramp.rate) == ("reverted", 1.0)
    assert back.sentence in repr(ramp)
    frame = ramp.to_pandas()
    assert list(frame["kind"]) == [move.kind for move in ramp.history]
    told = ramp.as_dict()
    assert (told["state"], told["weak_share"], told["moves"][-1]) == ("reverted", 0, ramp.history[-1].sentence)
    assert json.loads(json.dumps(told)) == told
    assert ramp.drift > 0
    assert ramp.evidence > 0


def test_weak_wins_offset_in_net_and_not_in_regret():
    better = requests(3_000, 0.0, weak_wins=0.15)
    net = Ramp(win_rates=SCORES)
    net.observe_many(*better)
    regret = Ramp(win_rates=SCORES, certificate=Certificate(0.2, weak_share=0.2, risk="regret"))
    regret.observe_many(*better)
    assert net.weak_share == 1
    assert regret.weak_share < 0.4
    # A loss of 0.05 among the weak-routed half is one of 0.025 of all.
    assert Watch(Certificate(risk="weak_routed")).max_quality_loss == 0.025


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"win_rates": None}, "a new ramp needs the router's scores"),
        ({"win_rates": [0.5, 2.0]}, "found 2.0 at index 1"),
        ({"win_rates": [0.0] * 9}, r"expected scores that differ, for thresholds between them; all 9 are 0\.0"),
        ({"win_rates": [0.5] * 9}, r"all 9 are 0\.5"),
        ({"win_rates": [0.0, 0.0, 0.5], "stages": [0.3]}, "at least one threshold above 0"),
        ({"horizon": 0}, "horizon: expected 1[0-9][0-9] audited requests or more, found 0"),
        ({"horizon": 10}, "found 10: over fewer, a bound of 0.05 does not leave room"),
        ({"rates": (0.01, 0.5)}, "rates: expected the growing part first"),
        ({"start": 1.5}, "start: expected a weak share between 0 and 1, found 1.5"),
        ({"max_quality_loss": 0}, "max_quality_loss: expected a number inside of 0..1, found 0"),
        ({"confidence": 1.0}, "confidence: expected"),
        ({"rates": (0.0, 0.1)}, "rates: expected the growing part above 0"),
        ({"stages": [0.5, 0.4]}, "stages: expected rising weak shares"),
        ({"on_drift": "panic"}, "on_drift: expected 'audit' or 'revert', found 'panic'"),
    ],
)
def test_what_cannot_be_is_refused(given: dict[str, Any], said: str):
    with pytest.raises(InvalidValueError, match=said):
        Ramp(**({"win_rates": SCORES} | given))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"start": "x"}, r"start: expected a number, found 'x' \(str\)"),
        ({"rates": 0.5}, r"rates: expected a pair of numbers, found 0\.5 \(float\)"),
        ({"rates": (1, None)}, "rates: expected a number, found None"),
        ({"horizon": 1.5}, "horizon: expected a whole number of 0 or more, found 1.5"),
        ({"stages": 5}, "stages: expected a sequence of weak shares, found int"),
        ({"stages": ["x"]}, "stages: expected a number, found 'x'"),
        ({"max_quality_loss": "0.05"}, "max_quality_loss: expected a number, found '0.05'"),
        ({"path": 3.5}, "path: expected a path, found 3.5"),
    ],
)
def test_what_is_no_number_is_refused_by_type(given: dict[str, Any], said: str):
    with pytest.raises(InvalidTypeError, match=said):
        Ramp(**({"win_rates": SCORES} | given))


def test_an_audit_may_come_after_the_threshold_has_moved(client: Controller):
    ramp = Ramp(win_rates=SCORES)
    ramp.observe(0.5, 1, 0)
    assert ramp.loss == 0
    ramp.observe(0.5, 1, 0, threshold=0.7)
    assert ramp.loss == 0.5
    ramp.observe(0.1, 1, 0, threshold=0.0)
    assert ramp.loss == pytest.approx(1 / 3)
    ramp.observe_many([0.5, 0.9], [1, 1], [0, 0], threshold=math.inf)
    assert ramp.loss == 0.6
    assert pickle.loads(pickle.dumps(ramp)).loss == 0.6
    client.hold("mine", ramp)
    client._observed("mine", 0.5, 1.0, 0.0, 1.0, 0.7)
    client._observed("mine", 0.5, 1.0, 0.0, 1.0, threshold=0.4)
    assert (ramp.n, ramp.loss) == (7, pytest.approx(4 / 7))


def test_audits_are_checked():
    ramp = Ramp(win_rates=SCORES)
    for audit, said in (
        ((math.nan, 1, 1), "win_rate"),
        ((1.5, 1, 1), "win_rate: expected a number between 0 and 1, found 1.5"),
        ((0.5, 1, 1, 1, math.nan), "threshold: expected a number, found nan"),
        ((0.5, 1.5, 1), "strong_score: expected a number between 0 and 1, found 1.5"),
        ((0.5, 1, math.nan), "weak_score"),
        ((0.5, 1, 1, 0), "probability"),
    ):
        with pytest.raises(InvalidValueError, match=said):
            ramp.observe(*audit)
    with pytest.raises(InvalidValueError, match="row 1: weak_score"):
        ramp.observe_many([0.5, 0.5], [1, 1], [1, 7])
    with pytest.raises(InvalidValueError, match="as many win rates"):
        ramp.observe_many([0.5, 0.5], [1, 1], [1])
    with pytest.raises(InvalidTypeError, match="weak_scores: expected numbers"):
        ramp.observe_many([0.5], [1], ["x"])
    with pytest.raises(InvalidTypeError, match=r"weak_score: expected a number, found None \(NoneType\)"):
        ramp.observe(0.5, 1, None)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidTypeError, match="strong_score: expected a number, found 'a'"):
        ramp.observe(0.5, "a", 1)  # pyright: ignore[reportArgumentType]
    assert ramp.n == 0


@pytest.mark.parametrize(
    ("settings", "error", "said"),
    [
        ({"rate": "half"}, InvalidTypeError, "rate: expected a number, found 'half'"),
        ({"rate": 2.0}, InvalidValueError, "rate: expected a part above 0 and at most 1, found 2"),
        ({"seed": -1}, InvalidTypeError, "seed: expected a whole number of 0 or more, found -1"),
    ],
)
def test_settings_of_a_rehearsal_that_are_none_are_refused(settings, error, said):
    with pytest.raises(error, match=said):
        Ramp(win_rates=SCORES).rehearse([0.1], [1.0], [1.0], **settings)


def test_a_watch_goes_back_and_never_beyond_its_certificate():
    watch = Watch(Certificate(), win_rates=SCORES)
    assert (watch.threshold, watch.state) == (0.5, "holding")
    watch.observe_many(*requests(4_000, -0.02, weak_wins=0.1))
    assert watch.threshold == 0.5
    watch.observe_many(*requests(1_000, 0.5, 1))
    assert watch.threshold == 0
    watch.observe_many(*requests(8_000, -0.02, 2, weak_wins=0.1))
    assert 0.3 < watch.threshold <= 0.5
    with pytest.raises(InvalidValueError, match="certifies nothing"):
        Watch(Certificate(certified=False, threshold=0.0))
    with pytest.raises(InvalidTypeError, match="expected one of"):
        Watch(3)  # pyright: ignore[reportArgumentType]


# The file.


def test_a_file_goes_on_where_it_was(tmp_path: Path):
    path = tmp_path / "ramp.jsonl"
    ramp = Ramp(path, SCORES)
    ramp.observe_many(*requests(1_000, 0.0))
    for again in (Ramp(path), Ramp(path, SCORES), pickle.loads(pickle.dumps(ramp)), copy.deepcopy(ramp)):
        assert (again.threshold, again.n, again.history, again.evidence) == (
            ramp.threshold,
            1_000,
            ramp.history,
            ramp.evidence,
        )
    assert ramp.threshold > 0.25
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert lines[0]["ferroute_ramp"] == 1
    assert sum(isinstance(line, list) for line in lines) == 1_000
    with pytest.raises(
        InvalidValueError, match=r"max_quality_loss: the ramp in .*ramp\.jsonl was begun with 0\.05, found 0\.02"
    ):
        Ramp(path, SCORES, max_quality_loss=0.02)
    with pytest.raises(InvalidValueError, match=r"confidence: .* was begun with 0\.95, found 0\.9"):
        Ramp(path, confidence=0.9)
    with pytest.raises(InvalidValueError, match="begun with other thresholds"):
        Ramp(path, SCORES**2)
    for given, said in (
        ({"start": 0.5}, r"start: .* was begun with 0\.2, found 0\.5"),
        ({"rates": (0.4, 0.02)}, r"rates: .* was begun with \(1\.0, 0\.02\), found \(0\.4, 0\.02\)"),
        ({"horizon": 900}, "horizon: .* was begun with 500, found 900"),
        ({"on_drift": "revert"}, "on_drift: .* was begun with audit, found revert"),
    ):
        for scores in (None, SCORES):
            with pytest.raises(InvalidValueError, match=said):
                Ramp(path, scores, **given)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidValueError, match=r"stages: .* begun with weak shares"):
        Ramp(path, stages=[0.1, 0.9])
    Ramp(path, SCORES, start=0.2, rates=(1, 0.02), horizon=500, on_drift="audit", max_quality_loss=0.05)
    Ramp(path, start=0.2, rates=(1, 0.02), horizon=500, on_drift="audit", stages=STAGES)
    path.write_text("{}\n", encoding="utf-8")
    with pytest.raises(InvalidValueError, match=r"ramp\.jsonl, line 1: expected the plan of a ramp"):
        Ramp(path)


def test_a_file_goes_on_with_its_own_settings(tmp_path: Path):
    path = tmp_path / "ramp.jsonl"
    Ramp(path, SCORES, max_quality_loss=0.02, confidence=0.9, rates=(0.3, 0.1), on_drift="revert", horizon=2_000)
    again = Ramp(path, SCORES)
    assert (again.max_quality_loss, again.confidence, again.horizon, again.rate) == (0.02, 0.9, 2_000, 0.3)
    other = tmp_path / "watch.jsonl"
    Watch(Certificate(), other, SCORES)
    Watch(Certificate(), other, SCORES)
    with pytest.raises(InvalidValueError, match=r"rates: .* was begun with \(0\.5, 0\.02\)"):
        Watch(Certificate(), other, SCORES, rates=(1, 0.02))


def test_a_ramp_without_a_file_pickles_with_what_it_knows():
    ramp = Ramp(win_rates=SCORES)
    ramp.observe_many(*requests(1_000, 0.0))
    again = pickle.loads(pickle.dumps(ramp))
    assert (again.threshold, again.n, again.history) == (ramp.threshold, ramp.n, ramp.history)
    again.observe(0.5, 1, 1)
    assert (again.n, ramp.n) == (1_001, 1_000)


WRITER = """
import sys
from ferroute.rollout import Ramp
ramp = Ramp(sys.argv[1])
print("ready", flush=True)
for i in range(int(sys.argv[2])):
    ramp.observe((i % 100) / 100, 1, 1)
"""


def test_processes_share_a_file(tmp_path: Path):
    path = tmp_path / "ramp.jsonl"
    ramp = Ramp(path, SCORES)
    runs = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), "500"], stdout=subprocess.PIPE) for _ in range(3)
    ]
    for run in runs:
        assert run.wait(60) == 0
        assert run.stdout is not None
        run.stdout.close()
    ramp.observe(0.5, 1, 1)
    assert ramp.n == 1_501
    assert (Ramp(path).threshold, Ramp(path).history) == (ramp.threshold, ramp.history)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill -9 on this system")
def test_a_kill_loses_nothing_that_was_taken_in(tmp_path: Path):
    path = tmp_path / "ramp.jsonl"
    Ramp(path, SCORES)
    run = subprocess.Popen([sys.executable, "-c", WRITER, str(path), "10000000"], stdout=subprocess.PIPE)
    assert run.stdout is not None
    assert run.stdout.readline().strip() == b"ready"
    seen = Ramp(path)
    for _ in range(600):
        if seen.n > 300:
            break
        threading.Event().wait(0.05)
    run.kill()
    run.wait(30)
    run.stdout.close()
    after = Ramp(path)
    assert after.n >= seen.n > 300
    after.observe(0.5, 1, 1)
    assert Ramp(path).n == after.n
    assert all(json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())


def test_threads_share_a_ramp():
    ramp = Ramp(win_rates=SCORES)
    threads = [threading.Thread(target=ramp.observe_many, args=requests(500, 0.0, seed)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ramp.n == 2_000


# What a Controller does with it.


class Number(Router):
    """Scores a prompt with the number it is."""

    def calculate_strong_win_rate(self, prompt: str) -> float:
        return float(prompt)


class Named(RungRouter):
    """Always the weak rung."""

    def choose(self, request: Any) -> Any:
        return "weak"


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Controller:
    monkeypatch.setitem(ROUTER_CLS, "mine", Number)
    monkeypatch.setitem(ROUTER_CLS, "my-own", Number)
    monkeypatch.setitem(ROUTER_CLS, "named", Named)
    return Controller(
        ["mine", "my-own", "named"], strong_model="gpt-5.4-mini", weak_model="gpt-5.4-nano", api_base=NOWHERE
    )


def test_a_held_router_needs_no_threshold(client: Controller):
    with pytest.raises(ValueError, match="not enough values to unpack"):
        client.decide("0.3", model="router-mine")
    with pytest.raises(RoutingError, match="Router or threshold unspecified"):
        client.decide("0.3", router="mine")
    ramp = Ramp(win_rates=SCORES)
    assert client.hold("mine", ramp) is ramp
    assert client.hold("my-own", ramp) is ramp
    assert dict(client.held) == {"mine": ramp, "my-own": ramp}
    for how in ({"model": "router-mine"}, {"router": "mine"}, {"router": "router-mine"}, {"model": "router-my-own"}):
        low, high = client.decide("0.1", **how), client.decide("0.3", **how)
        assert (low.model, high.model, low.threshold) == ("gpt-5.4-nano", "gpt-5.4-mini", 0.2005)
        assert low.reason == "win rate 0.1000 < threshold 0.2005: weak model; held by a ramp"
        assert type(low.threshold) is float
        assert low.notes == ()
    assert [one.model for one in client.decide_batch(["0.1", "0.3"], router="mine")] == ["gpt-5.4-nano", "gpt-5.4-mini"]
    assert client.decide("0.3", model="router-mine-0.4").model == "gpt-5.4-nano"
    assert client.decide("0.3", router="mine", threshold=0.4).threshold == 0.4
    assert "0.2005" in str(client.decide("0.3", router="mine").explain())
    assert client.hold("mine", None) is None
    with pytest.raises(ValueError, match="not enough values to unpack") as caught:
        client.decide("0.3", model="router-mine")
    assert str(caught.value) == "not enough values to unpack (expected 3, got 2)"
    (hint,) = caught.value.__notes__  # pyright: ignore[reportAttributeAccessIssue]
    assert "nobody holds one for the router 'mine': ask for 'router-mine-0.5'" in hint
    with pytest.raises(ValueError, match="not enough values to unpack") as caught:
        client.decide("0.3", model="router-other")
    assert not hasattr(caught.value, "__notes__")
    assert pickle.loads(pickle.dumps(client.decide("0.1", router="my-own"))).threshold == 0.2005


def test_ends_are_always_strong_and_always_weak(client: Controller):
    client.hold("mine", Ramp(win_rates=SCORES, start=0))
    for rate in ("0", "1", "-0.0000001"):
        assert client.decide(rate, router="mine").model == "gpt-5.4-mini"
    client.hold("mine", Ramp(win_rates=SCORES, start=1, stages=[1]))
    decision = client.decide("1", router="mine")
    assert (decision.model, decision.threshold) == ("gpt-5.4-nano", math.inf)
    assert str(decision.explain())
    assert decision.explain()._repr_html_()


def test_a_revert_is_in_the_decision_the_log_and_the_metrics(client: Controller, caplog: pytest.LogCaptureFixture):
    client.hold("mine", Ramp(win_rates=SCORES))
    assert client._held_rate("mine") == 1.0
    assert client._held_rate("my-own") is None
    caplog.set_level(logging.INFO, "ferroute")
    for row in zip(*requests(2_500, 0.0), strict=True):
        client._observed("mine", *row, 0.5)
    assert not [record for record in caplog.records if record.levelno > logging.INFO and "went back" in record.message]
    for row in zip(*requests(600, 0.5, 1), strict=True):
        client._observed("mine", *row, 0.5)
    warned = [record.message for record in caplog.records if "went back from" in record.message]
    assert len(warned) == 1
    decision = client.decide("0.01", router="mine")
    assert decision.model == "gpt-5.4-mini"
    (note,) = decision.notes
    assert note.startswith("held by a ramp: went back from ")
    assert "because the evidence is" in note
    metrics = client.metrics()
    assert metrics['ferroute_held_threshold{router="mine"}'] == 0
    assert metrics['ferroute_held_reverted{router="mine"}'] == 1
    assert metrics['ferroute_held_reverts_total{router="mine"}'] == 1
    assert metrics['ferroute_held_audits_total{router="mine"}'] == 3_100
    assert metrics['ferroute_held_audit_rate{router="mine"}'] == 1.0
    # What cannot be taken in is logged and fails nobody.
    client._observed("mine", 0.5, 7.0, 1.0, 0.5)
    assert "an audit of router 'mine' was not taken in: strong_score" in caplog.text
    client._observed("my-own", 0.5, 1.0, 1.0, 0.5)
    client._observed("mine", None, 1.0, 1.0, 0.5)


def test_a_move_of_another_process_is_seen_and_told(
    client: Controller, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    path = tmp_path / "ramp.jsonl"
    client.hold("mine", Ramp(path, SCORES))
    assert client.decide("0.5", router="mine").model == "gpt-5.4-mini"
    other = Ramp(path)
    other.observe_many(*requests(2_500, 0.0))
    threading.Event().wait(0.06)
    decision = client.decide("0.5", router="mine")
    assert decision.threshold == other.threshold > 0.5
    assert decision.reason.endswith("held by the ramp ramp.jsonl")
    caplog.clear()
    other.observe_many(*requests(600, 0.5, 1))
    threading.Event().wait(0.06)
    assert client.decide("0.01", router="mine").notes
    client.decide("0.01", router="mine")
    # Once by each of the two.
    assert len([record for record in caplog.records if "went back from" in record.message]) == 2


def test_certificates_may_be_held_as_they_are(client: Controller):
    watch = client.hold("mine", Certificate(0.4))
    assert isinstance(watch, Watch)
    assert client.decide("0.3", router="mine").threshold == 0.4
    client.hold("mine", Certificate(0.0, certified=False))
    decision = client.decide("0.0", router="mine")
    assert decision.model == "gpt-5.4-mini"
    assert "nothing could be certified" in decision.notes[0]
    assert client.metrics() == {'ferroute_held_threshold{router="mine"}': 0.0}
    client._observed("mine", 0.5, 1.0, 1.0, 0.5)
    with pytest.raises(UnknownNameError, match="unknown router 'other'"):
        client.hold("other", Certificate())
    with pytest.raises(InvalidTypeError, match="found float"):
        client.hold("mine", 0.3)
    with pytest.raises(InvalidTypeError, match="names a rung by itself"):
        client.hold("named", Certificate())


def test_a_certificate_of_ours_is_watched(client: Controller):
    certificate = guarantee(*requests(2_000, 0.01), max_quality_loss=0.05)
    assert certificate.certified
    watch = client.hold("mine", certificate)
    assert watch.threshold == certificate.threshold
    assert client.decide("0.1", router="mine").threshold == certificate.threshold
    watch.observe_many(*requests(1_500, 0.5, 1))
    assert client.decide("0.1", router="mine").model == "gpt-5.4-mini"
    nothing = guarantee(*requests(100, 0.5), max_quality_loss=0.05)
    assert client.hold("mine", nothing).held()[0] == 0
    ramp = Ramp(win_rates=SCORES, certificate=certificate)
    assert ramp.threshold == certificate.threshold
    assert ramp.stages[-1].threshold > certificate.threshold


def test_a_controller_pickles_with_what_it_holds(tmp_path: Path):
    client = Controller(["random"], strong_model="gpt-5.4-mini", weak_model="gpt-5.4-nano", api_base=NOWHERE)
    client.hold("random", Ramp(tmp_path / "ramp.jsonl", SCORES))
    again = pickle.loads(pickle.dumps(client))
    assert again.decide("x", model="router-random").threshold == 0.2005
    again.held["random"].observe(0.5, 1, 1)
    assert Ramp(tmp_path / "ramp.jsonl").n == 1


def test_completions_are_made_by_the_held_threshold(client: Controller):
    client.hold("mine", Ramp(win_rates=SCORES))
    with FakeServer() as server:
        client.api_base, client.api_key = server.url, "not-a-key"

        def ask(number: str, **more: Any) -> Any:
            return client.chat.completions.create(messages=[{"role": "user", "content": number}], **more)

        assert ask("0.1", model="router-mine").routing.model == "gpt-5.4-nano"
        assert ask("0.3", router="mine").routing.model == "gpt-5.4-mini"
        chunks = list(ask("0.1", model="router-mine", stream=True))
        assert chunks

        async def later() -> Any:
            messages = [{"role": "user", "content": "0.1"}]
            return await client.acompletion(model="router-mine", messages=messages)

        assert asyncio.run(later()).routing.threshold == 0.2005
        assert [request.json["model"] for request in server.requests] == [
            "gpt-5.4-nano",
            "gpt-5.4-mini",
            "gpt-5.4-nano",
            "gpt-5.4-nano",
        ]


# A/B.


def test_arms_are_stable_and_requests_say_whose_they_are(client: Controller):
    test = ABTest("lower", a="router-mine-0.3", b="router-mine-0.5")
    arms = {user: test.arm(user) for user in ("ann", "bob", 7, "é\udc80")}
    assert arms == {"ann": "b", "bob": "a", 7: "a", "é\udc80": "a"}
    share = np.mean([ABTest("x", a="a", b="b", split=0.2).arm(i) == "b" for i in range(3_000)])
    assert share == pytest.approx(0.2, abs=0.03)
    request = test.request(7)
    assert request == {"model": "router-mine-0.3", "ferroute": {"session": "7", "tags": {"ab": "lower:a"}}}
    model, extras = request["model"], request["ferroute"]
    assert client.decide("0.4", model=model, ferroute=extras).model == "gpt-5.4-mini"


def test_a_difference_is_found_and_stays_found():
    test = ABTest("lower", a="router-mine-0.3", b="router-mine-0.5", effect=0.2, baseline=0.6)
    assert f"{test.required_n():,} scores find a difference of 0.2" in repr(test)
    assert "no scores yet" in repr(test)
    assert test.result().winner is None
    assert test.result().interval == (-1, 1)
    rng = np.random.default_rng(1)
    rows = [("b", float(rng.random() < 0.9)) if i % 2 else ("a", float(rng.random() < 0.6)) for i in range(1_000)]
    result = test.observe_many(rows)
    assert (result.winner, result.n) == ("b", (500, 500))
    assert result.decided_at is not None
    assert result.interval[0] < 0.3 < result.interval[1]
    assert result.e_value > 20
    assert "b (router-mine-0.5) is better" in repr(result)
    again = pickle.loads(pickle.dumps(test))
    assert again.result() == result
    assert copy.copy(test).result() == result


def test_each_user_counts_once_and_costs_are_means():
    test = ABTest("lower", a="x", b="y")
    assert test.observe("a", 1, cost=0.5, key="ann")
    assert not test.observe("a", 0, cost=0.5, key="ann")
    assert test.observe("a", 0, cost="0.1", key="bob")  # pyright: ignore[reportArgumentType]
    result = test.result()
    assert (result.n, result.means[0]) == ((2, 0), 0.5)
    assert str(result.costs[0]) == "0.3"
    assert result.costs[1] is None
    for bad, said in ((("c", 1), "expected 'a' or 'b'"), (("a", 2), "between 0 and 1, found 2")):
        with pytest.raises(InvalidValueError, match=said):
            test.observe(*bad)
    with pytest.raises(InvalidValueError, match="split"):
        ABTest("x", a="a", b="b", split=1)
    with pytest.raises(InvalidValueError, match="a: expected a name"):
        ABTest("x", a="", b="b")
    with pytest.raises(InvalidValueError, match="b: expected another model than a, found 'm' twice"):
        ABTest("x", a="m", b="m")
    with pytest.raises(InvalidTypeError, match=r"cost: expected US dollars as a number, found 'abc' \(str\)"):
        test.observe("a", 1, cost="abc")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidTypeError, match=r"row 1: expected a pair of arm and score, found \('a',\)"):
        test.observe_many([("a", 1.0), ("a",)])  # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidTypeError, match="score: expected a number, found None"):
        test.observe("a", None)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidTypeError, match="split: expected a number, found 'x'"):
        ABTest("x", a="a", b="b", split="x")  # pyright: ignore[reportArgumentType]


class Book:
    """What a ledger tells of scores, as far as it is read."""

    def __init__(self) -> None:
        self.rows: list[tuple[Any, ...]] = []

    def outcomes(self, *, tags: dict[str, str]) -> dict[str, list[Any]]:
        names = ("scored_time", "call", "session", "score", "cost_usd", "source", "model", "scored")
        found = [row[1:] for row in self.rows if tags == {"ab": row[0]}]
        return {name: [row[at] for row in found] for at, name in enumerate(names)}


def test_scores_are_read_from_a_ledger_once():
    test, book = ABTest("lower", a="x", b="y"), Book()
    book.rows = [
        ("lower:b", 3, "c3", "eve", 1.0, Decimal("0.2"), "feedback", "big", "big"),
        ("lower:a", 1, "c1", "ann", 1.0, Decimal("0.1"), "feedback", "small", None),
        ("lower:a", 2, "c2", "ann", 0.0, Decimal("0.1"), "feedback", "small", None),
        ("lower:a", 2, "c1", "ann", 0.0, Decimal("0.1"), "judge:m", "small", "small"),
        ("lower:a", 2, "c4", "bob", 0.0, Decimal("0.1"), "judge:m", "small", "big"),
        ("other:a", 2, "c5", "joe", 0.0, Decimal("0.1"), "feedback", "small", None),
    ]
    for _ in range(2):
        result = test.read(book)  # pyright: ignore[reportArgumentType]
        assert (result.n, result.means, result.costs[1]) == ((1, 1), (1.0, 1.0), Decimal("0.2"))
    judged = ABTest("lower", a="x", b="y").read(book, "judge:m")  # pyright: ignore[reportArgumentType]
    assert (judged.n, judged.means[0]) == ((1, 0), 0.0)


def test_the_required_number_is_about_twice_that_of_one_look():
    # One look at the level 0.05 with a power of 0.8 takes (1.96 + 0.84)^2 times the variance over the effect squared.
    test = ABTest("x", a="a", b="b", effect=0.05, baseline=0.8)
    once = 2 * (1.96 + 0.8416) ** 2 * (0.8 * 0.2 + 0.85 * 0.15) / 0.05**2
    assert 1.8 < test.required_n() / once < 2.5
    assert test.required_n(power=0.9) > test.required_n() > test.required_n(effect=0.1)


def test_pictures_are_drawn():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    ramp = Ramp(win_rates=SCORES)
    rows = joined(requests(2_000, 0.0), requests(1_000, 0.4, 1))
    ramp.observe_many(*rows)
    assert ramp.plot().get_xlabel() == "audited requests"
    run = ramp.rehearse(*rows, rate=1.0)
    assert run.plot().get_xlabel() == "requests"
    assert len(run.to_pandas()) == 3_000
    assert "went back" in repr(run)
    test = ABTest("x", a="a", b="b")
    test.observe_many([("a", 1.0), ("b", 0.0)])
    assert "interval" in test.result().plot().get_xlabel()
    pyplot.close("all")
