"""`ferroute.fit`: what it learns, what it says of itself, its file, and what it refuses."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import struct
from typing import TYPE_CHECKING

import numpy as np
import pytest

import ferroute
from ferroute import _core
from ferroute.controller import Controller
from ferroute.errors import (
    CheckpointError,
    InvalidTypeError,
    InvalidValueError,
    MissingFileError,
    NotBuiltError,
    UnknownNameError,
)
from ferroute.routers.fitted import EstimatorRouter, FittedRouter
from ferroute.routers.routers import ROUTER_CLS

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ["large", "small"]


def world(n: int, seed: int = 0, models: int = 2) -> tuple[list[str], np.ndarray]:
    """Sums, which all can do, and proofs, which only the first model can; both with noise."""
    rng = np.random.default_rng(seed)
    hard = rng.random(n) < 0.5
    prompts = [
        f"Prove that the series a_{i} = 1/{i + 2}^2 converges, and bound its tail." if proof else f"What is {i} plus 7?"
        for i, proof in enumerate(hard)
    ]
    chance = np.full((n, models), 0.9)
    chance[hard, 1:] = 0.3
    return prompts, (rng.random((n, models)) < chance).astype(float)


@pytest.fixture(scope="module")
def router() -> FittedRouter:
    """One fit for the tests that only look."""
    prompts, outcomes = world(300)
    made = ferroute.fit(prompts, outcomes, NAMES, bootstrap=200, costs=[0.01, 0.001])
    assert isinstance(made, FittedRouter)
    return made


def test_it_learns_what_there_is(router: FittedRouter) -> None:
    prompts, _outcomes = world(400, seed=1)
    scores = router.predict(prompts)
    assert scores.shape == (400, 2)
    assert scores.dtype == np.float64
    assert ((scores >= 0) & (scores <= 1)).all()
    # The truth is 0.9 everywhere but 0.3 for the small model's proofs.
    proofs = np.array([prompt.startswith("Prove") for prompt in prompts])
    assert abs(scores[:, 0].mean() - 0.9) < 0.08
    assert abs(scores[proofs, 1].mean() - 0.3) < 0.12
    assert abs(scores[~proofs, 1].mean() - 0.9) < 0.12
    rates = router.win_rates(prompts)
    assert rates[proofs].min() > rates[~proofs].max()
    assert np.allclose(rates, (1 + scores[:, 0] - scores[:, 1]) / 2, atol=0.02)


def test_the_report_is_of_held_out_prompts_and_explains_itself(router: FittedRouter) -> None:
    report = router.report
    assert report.better_than_random
    assert report.p_value is not None
    assert report.p_value <= 0.02
    assert report.apgr > 0.6
    assert report.interval is not None
    assert report.interval[0] < report.apgr < report.interval[1]
    names = [row["name"] for row in report.rows()]
    assert {"fitted", "random mixing", "prompt length", "regex rules", "optimum"} < set(names)
    ahead = next(row for row in report.rows() if row["name"] == "random mixing")
    assert ahead["ahead_interval"][0] > 0
    assert report.best_single[0] == "large"
    for shown in (repr(report), report.to_html(), repr(router)):
        assert "Better than random mixing" in shown
        assert "5-fold" in shown
    assert router.held_out is not None
    assert router.held_out.shape == (300,)


def test_the_reports_names_are_escaped() -> None:
    prompts, outcomes = world(60)
    made = ferroute.fit(prompts, outcomes, ["<b>", "small"], bootstrap=0, name="<script>")
    assert "<script>" not in made.report.to_html()
    assert "<b>" not in made._repr_html_()


def test_shuffled_labels_are_no_better_than_random() -> None:
    prompts, outcomes = world(200)
    called = 0
    for seed in range(12):
        shuffled = np.random.default_rng(seed).permutation(outcomes)
        called += ferroute.fit(prompts, shuffled, NAMES, bootstrap=0, seed=seed).report.better_than_random
    # At 2 %, three or more of 12 come up once in 600 times.
    assert called <= 2


def test_few_labels_stay_near_the_shipped_router() -> None:
    prompts, outcomes = world(40)
    noise = np.random.default_rng(3).permutation(outcomes)
    made = ferroute.fit(prompts, noise, NAMES, bootstrap=0, folds=2)
    other = [
        f"{text} ({i})" for i in range(40) for text in ("thanks a lot!", "Prove it by induction on n.", "def f(x):")
    ]
    ours, shipped = made.win_rates(other), _core.LocalModel().win_rates(other)
    alone = ferroute.fit(prompts, noise, NAMES, bootstrap=0, folds=2, zero_shot=False).win_rates(other)
    assert np.corrcoef(ours, shipped)[0, 1] > np.corrcoef(alone, shipped)[0, 1]


def test_the_same_seed_gives_the_same_router() -> None:
    prompts, outcomes = world(120)
    one, two, other = (ferroute.fit(prompts, outcomes, NAMES, seed=seed, bootstrap=50) for seed in (4, 4, 5))
    assert one._model.to_bytes() == two._model.to_bytes()
    assert one.report == two.report
    assert one.report.apgr != other.report.apgr


def test_file_pickle_and_memory_agree(router: FittedRouter, tmp_path: Path) -> None:
    path = tmp_path / "r.safetensors"
    router.save(path)
    again = ferroute.load_router(path)
    prompts = [*world(50, seed=9)[0], "", "naïve 漢字", "lone \ud800"]
    for other in (again, pickle.loads(pickle.dumps(router)), copy.deepcopy(again), ferroute.FittedRouter.load(path)):
        assert (other.predict(prompts) == router.predict(prompts)).all()
        assert other.report.rows() == router.report.rows()
        assert repr(other.report) == repr(router.report)
    singles = [again.calculate_strong_win_rate(prompt) for prompt in prompts]
    assert singles == again.calculate_strong_win_rates(prompts).tolist() == again.win_rates(prompts).tolist()
    card = again.card
    assert card["models"] == NAMES
    assert len(card["data"]["sha256"]) == 64
    assert card["prices"]
    assert card["report"]["better_than_random"] is True
    with pytest.raises(InvalidValueError, match="no curves"):
        again.plot()


def test_it_routes_under_any_name(router: FittedRouter, tmp_path: Path) -> None:
    path = tmp_path / "r.safetensors"
    router.save(path)
    pair = {"strong_model": "gpt-5.5", "weak_model": "gpt-5.4-nano"}
    client = Controller(["mine", "fitted"], config={"mine": {"path": str(path)}, "fitted": {"path": path}}, **pair)
    proof, total = "Prove that the series a_1 = 1/3^2 converges, and bound its tail.", "What is 3 plus 7?"
    for name in ("mine", "fitted"):
        assert client.decide(proof, router=name, threshold=0.6).model == "gpt-5.5"
        assert client.decide(total, router=name, threshold=0.6).model == "gpt-5.4-nano"
    # The share form starts from the router's own quantiles.
    assert client.decide(proof, model="router-mine-50%").model == "gpt-5.5"
    assert client.decide(total, model="router-mine-30%").model == "gpt-5.4-nano"
    with pytest.raises(UnknownNameError, match="nobody"):
        Controller(["nobody"], config={}, **pair)
    with pytest.raises(MissingFileError):
        Controller(["mine"], config={"mine": {"path": str(tmp_path / "none.safetensors")}}, **pair)
    with pytest.raises(InvalidTypeError, match="unknown argument"):
        Controller(["mine"], config={"mine": {"path": str(path), "colour": "red"}}, **pair)


def test_it_serves_ladders_batches_and_pickles(router: FittedRouter, tmp_path: Path) -> None:
    path = tmp_path / "r.safetensors"
    router.save(path)
    tiers = {"cheap": "gpt-5.4-nano", "mid": "gpt-5.4-mini", "expensive": "gpt-5.5"}
    # An address of one's own, where nobody shuts down a model.
    client = Controller(["mine"], tiers=tiers, config={"mine": {"path": str(path)}}, api_base="http://127.0.0.1:9/v1")
    prompts = ["Prove that the series a_1 = 1/3^2 converges, and bound its tail.", "What is 3 plus 7?"]
    for one in (client, pickle.loads(pickle.dumps(client))):
        assert [one.decide(prompt, model="router-mine-0.3,0.6").tier for prompt in prompts] == ["expensive", "mid"]
        assert [made.tier for made in one.decide_batch(prompts, model="router-mine-0.3,0.6")] == ["expensive", "mid"]
        assert one.batch_calculate_win_rate(prompts, "mine") == router.win_rates(prompts).tolist()
    found = asyncio.run(router.acalculate_strong_win_rate(prompts[0]))
    assert found == router.calculate_strong_win_rate(prompts[0])


def test_a_decision_says_what_spoke_for_it(router: FittedRouter) -> None:
    terms = router.explain("Prove that the series a_1 = 1/3^2 converges, and bound its tail.")
    assert terms == sorted(terms, key=lambda term: -abs(term[1]))
    assert sum(part for _, part in terms) > 0
    router.register("ours")
    try:
        client = Controller(["ours"], strong_model="gpt-5.5", weak_model="gpt-5.4-nano")
        told = client.decide("Prove lemma 4.", router="ours", threshold=0.5).explain()
        assert "wording" in repr(told)
    finally:
        del ROUTER_CLS["ours"]


def test_a_registered_router_is_the_object_itself(router: FittedRouter) -> None:
    # A name with "-" is one that a Controller's config takes too.
    for name in ("ours", "our-own"):
        router.register(name)
        try:
            client = Controller([name], strong_model="gpt-5.5", weak_model="gpt-5.4-nano")
            assert client.routers[name] is router
            assert client.decide("What is 1 plus 7?", model=f"router-{name}-0.6").model == "gpt-5.4-nano"
        finally:
            del ROUTER_CLS[name]
    for name in ("", " ", "a\nb"):
        with pytest.raises(InvalidValueError, match="name"):
            router.register(name)


def test_a_subclass_has_its_say(router: FittedRouter, tmp_path: Path) -> None:
    class Sure(FittedRouter):
        def calculate_strong_win_rate(self, prompt: str) -> float:
            return 1.0

    path = tmp_path / "r.safetensors"
    router.save(path)
    assert Sure(path).calculate_strong_win_rates(["a", "b"]).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("damage", ["cut", "card", "models", "nan", "extra", "empty", "quantiles", "long"])
def test_a_damaged_file_is_refused(router: FittedRouter, tmp_path: Path, damage: str) -> None:
    content = router._model.to_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    numbers = content[8 + length :]
    about = json.loads(header["__metadata__"]["ferroute_router"])
    if damage == "cut":
        numbers = numbers[:-8]
    elif damage == "card":
        header["__metadata__"]["ferroute_router"] = "{"
    elif damage == "models":
        header["__metadata__"]["ferroute_router"] = json.dumps(about | {"models": ["one", "one"]})
    elif damage == "nan":
        numbers = struct.pack("<f", float("nan")) * (len(numbers) // 4)
    elif damage == "extra":
        header["more"] = {"dtype": "F32", "shape": [0], "data_offsets": [len(numbers)] * 2}
    elif damage == "empty":
        header["__metadata__"] = {}
    elif damage == "quantiles":
        start, end = header["quantiles"]["data_offsets"]
        numbers = numbers[:start] + numbers[start:end][::-1] + numbers[end:]
    else:
        header["__metadata__"]["ferroute_router"] = json.dumps(about | {"card": {"x": "y" * (1 << 21)}})
    head = json.dumps(header).encode()
    path = tmp_path / "bad.safetensors"
    path.write_bytes(struct.pack("<Q", len(head)) + head + numbers)
    with pytest.raises(CheckpointError, match=r"bad\.safetensors"):
        ferroute.load_router(path)


def test_any_bytes_are_a_router_or_an_error(router: FittedRouter) -> None:
    content = router._model.to_bytes()
    rng = np.random.default_rng(0)
    for _ in range(300):
        changed = bytearray(content)
        for place in rng.integers(len(content), size=3):
            changed[place] = int(rng.integers(256))
        try:
            model = _core.FittedModel.from_bytes(bytes(changed))
        except CheckpointError:
            continue
        assert 0 <= model.win_rate("Prove it.") <= 1
    for size in (0, 7, 8, 1000):
        with pytest.raises(CheckpointError):
            _core.FittedModel.from_bytes(rng.bytes(size))


def test_a_file_without_a_report_still_routes(router: FittedRouter, tmp_path: Path) -> None:
    path = tmp_path / "r.safetensors"
    router._model.with_card('{"report": {"router": 3}}').save(path)
    again = ferroute.load_router(path)
    assert 0 <= again.calculate_strong_win_rate("hello") <= 1
    with pytest.raises(CheckpointError, match="report"):
        _ = again.report


def test_unknown_outcomes_are_left_out_and_told() -> None:
    prompts, outcomes = world(400)
    gaps = outcomes.copy()
    gaps[np.random.default_rng(0).random(gaps.shape) < 0.3] = np.nan
    made = ferroute.fit(prompts, gaps, NAMES, bootstrap=0)
    assert made.report.better_than_random
    assert made.report.judged == int((~np.isnan(gaps)).all(axis=1).sum())
    assert any("lack an outcome" in note for note in made.report.notes)
    # Each prompt was answered by one model only: that is enough to fit, not to judge.
    half = outcomes.copy()
    half[np.arange(400), np.random.default_rng(1).integers(2, size=400)] = np.nan
    made = ferroute.fit(prompts, half, NAMES)
    assert not made.report.better_than_random
    assert made.report.verdict.startswith("Not judged")
    proofs = np.array([prompt.startswith("Prove") for prompt in prompts])
    rates = made.win_rates(prompts)
    assert rates[proofs].mean() > rates[~proofs].mean() + 0.1


def test_preferences_are_outcomes_too() -> None:
    prompts, _ = world(200)
    battles: list[tuple[object, ...]] = []
    for i, prompt in enumerate(prompts):
        if prompt.startswith("Prove"):
            battles.append((i, "large", "small"))
        else:
            battles.append((i, "small", "large") if i % 2 else (i, 0, 1, "tie"))
    made = ferroute.fit(prompts, preferences=battles, models=NAMES, bootstrap=0)
    assert made.report.better_than_random
    rates = made.win_rates(["Prove that the series a_5 = 1/7^2 converges, and bound its tail.", "What is 5 plus 7?"])
    assert rates[0] > 0.8
    assert rates[1] < 0.5


def test_more_models_and_one_more_later() -> None:
    prompts, outcomes = world(400, models=6)
    names = [f"model-{i}" for i in range(6)]
    made = ferroute.fit(prompts, outcomes, names, costs={name: 1.0 + i for i, name in enumerate(names)}, bootstrap=0)
    assert isinstance(made, FittedRouter)
    assert made.strong_model == "model-0"
    assert made.weak_model == "model-1"  # the cheapest of the others
    texts, truth = world(200, seed=5, models=6)
    before = made.win_rates(texts)
    assert made.add_model("new", *(part[:100] for part in (texts, truth[:, 3]))) is made
    assert made.models == [*names, "new"]
    scores = made.predict(texts)
    assert scores.shape == (200, 7)
    assert np.corrcoef(scores[:, 6], scores[:, 3])[0, 1] > 0.9
    assert (made.win_rates(texts) == before).all()
    with pytest.raises(InvalidValueError, match="already"):
        made.add_model("new", texts, truth[:, 3])
    with pytest.raises(InvalidValueError, match="row 1"):
        made.add_model("other", texts[:3], [1, 2, 0])


def test_strong_and_weak_as_named() -> None:
    prompts, outcomes = world(60, models=3)
    names = ["a", "b", "c"]
    made = ferroute.fit(prompts, outcomes, names, strong="b", weak="a", bootstrap=0)
    assert (made.strong_model, made.weak_model) == ("b", "a")
    pair = ferroute.fit(prompts, outcomes[:, :2], ["a", "b"], weak="a", bootstrap=0)
    assert (pair.strong_model, pair.weak_model) == ("b", "a")
    with pytest.raises(UnknownNameError, match="strong"):
        ferroute.fit(prompts, outcomes, names, strong="d")
    with pytest.raises(InvalidValueError, match="two models"):
        ferroute.fit(prompts, outcomes, names, strong="a", weak="a")


def test_groups_are_held_out_whole() -> None:
    # What a group has in common tells its labels, and nothing tells those of another group.
    rng = np.random.default_rng(2)
    words = [f"topic{'abcdefghijklmnopqrstuvwxyz'[i % 26] * (1 + i // 26)}" for i in range(40)]
    luck = rng.random(40) < 0.5
    prompts = [f"{words[i % 40]} {words[i % 40]} {words[i % 40]} number {i}" for i in range(600)]
    outcomes = np.column_stack([np.ones(600), luck[np.arange(600) % 40]]).astype(float)
    groups = [f"user {i % 40}" for i in range(600)]
    open_ended = ferroute.fit(prompts, outcomes, NAMES, bootstrap=0, zero_shot=False).report
    grouped = ferroute.fit(prompts, outcomes, NAMES, groups=groups, bootstrap=0, zero_shot=False).report
    assert open_ended.apgr > 0.65
    assert abs(grouped.apgr - 0.5) < 0.15
    assert grouped.groups == 40
    with pytest.raises(InvalidValueError, match="one group"):
        ferroute.fit(prompts, outcomes, NAMES, groups=["all"] * 600)
    with pytest.raises(InvalidValueError, match="one a prompt"):
        ferroute.fit(prompts, outcomes, NAMES, groups=["x"])


def test_equal_prompts_are_never_on_both_sides() -> None:
    rng = np.random.default_rng(4)
    prompts = [f"{i % 50} words of no use {i % 50}" for i in range(400)]
    once = rng.random(50) < 0.5
    outcomes = np.column_stack([np.ones(400), once[np.arange(400) % 50]]).astype(float)
    assert ferroute.fit(prompts, outcomes, NAMES, bootstrap=0, zero_shot=False).report.apgr < 0.65


@pytest.mark.parametrize("width", [6, 200])
def test_embeddings_of_the_users(tmp_path: Path, width: int) -> None:
    rng = np.random.default_rng(0)
    prompts = [f"request {i}" for i in range(400)]
    embeddings = rng.normal(size=(400, width)).astype(np.float32)
    embeddings[:, 0] *= 4
    small = (rng.random(400) < np.where(embeddings[:, 0] > 0, 0.9, 0.2)).astype(float)
    made = ferroute.fit(prompts, np.column_stack([np.ones(400), small]), NAMES, embeddings=embeddings, bootstrap=0)
    assert isinstance(made, FittedRouter)
    assert made.report.better_than_random
    rates = made.win_rates(prompts, embeddings=embeddings)
    assert rates[embeddings[:, 0] < -1].mean() > rates[embeddings[:, 0] > 1].mean() + 0.02
    with pytest.raises(InvalidValueError, match="embedder"):
        made.predict(prompts)
    with pytest.raises(InvalidValueError, match=str(width)):
        made.predict(prompts[:1], embeddings=[[1.0, 2.0]])
    path = tmp_path / "r.safetensors"
    made.save(path)
    table = dict(zip(prompts, embeddings, strict=True))
    again = ferroute.load_router(path, embedder=lambda texts: np.stack([table[text] for text in texts]))
    assert again.calculate_strong_win_rates(prompts).tolist() == rates.tolist()
    assert again.calculate_strong_win_rate(prompts[7]) == rates[7]
    again.add_model("new", prompts[:100], small[:100])
    assert again.predict(prompts[:3]).shape == (3, 3)


class Least:
    """A regressor in the manner of scikit-learn."""

    def __init__(self, penalty: float = 1.0) -> None:
        self.penalty = penalty

    def get_params(self, deep: bool = True) -> dict[str, float]:
        return {"penalty": self.penalty}

    def fit(self, rows: np.ndarray, labels: np.ndarray) -> Least:
        self.mean_, self.label_ = rows.mean(axis=0), labels.mean()
        left = rows - self.mean_
        gram = left.T @ left + self.penalty * np.eye(rows.shape[1])
        self.weights_ = np.linalg.solve(gram, left.T @ (labels - self.label_))
        return self

    def predict(self, rows: np.ndarray) -> np.ndarray:
        return self.label_ + (rows - self.mean_) @ self.weights_


class Chance(Least):
    """A classifier in the manner of scikit-learn."""

    def fit(self, rows: np.ndarray, labels: np.ndarray) -> Chance:
        assert labels.dtype.kind == "i"
        self.classes_ = np.unique(labels)
        super().fit(rows, labels)
        return self

    def predict_proba(self, rows: np.ndarray) -> np.ndarray:
        one = self.predict(rows).clip(0, 1)
        return np.column_stack([1 - one, one])


@pytest.mark.parametrize("kind", [Least, Chance])
def test_an_estimator_of_the_users(kind: type[Least], tmp_path: Path) -> None:
    prompts, outcomes = world(300)
    given = kind(penalty=10.0)
    made = ferroute.fit(prompts, outcomes, NAMES, estimator=given, bootstrap=0)
    assert isinstance(made, EstimatorRouter)
    assert not hasattr(given, "weights_")  # copies were fitted
    assert made.report.better_than_random
    assert made.report.p_value is None
    again = pickle.loads(pickle.dumps(made))
    assert (again.predict(prompts) == made.predict(prompts)).all()
    assert made.calculate_strong_win_rates(prompts).tolist() == made.win_rates(prompts).tolist()
    with pytest.raises(NotBuiltError, match="pickle"):
        made.save(tmp_path / "r.safetensors")
    called = 0
    for seed in range(4):
        shuffled = np.random.default_rng(seed).permutation(outcomes)
        called += ferroute.fit(prompts, shuffled, NAMES, estimator=given, bootstrap=0).report.better_than_random
    assert called <= 1
    with pytest.raises(InvalidTypeError, match="estimator"):
        ferroute.fit(prompts, outcomes, NAMES, estimator=object())


def test_a_classifier_needs_right_and_wrong() -> None:
    prompts, outcomes = world(60)
    with pytest.raises(InvalidValueError, match="regressor"):
        ferroute.fit(prompts, outcomes * 0.5, NAMES, estimator=Chance())


def test_neighbours(tmp_path: Path) -> None:
    prompts, outcomes = world(400)
    made = ferroute.fit(prompts, outcomes, NAMES, method="neighbours", bootstrap=0)
    assert isinstance(made, FittedRouter)
    assert made.report.better_than_random
    path = tmp_path / "r.safetensors"
    made.save(path)
    texts = world(40, seed=8)[0]
    assert (ferroute.load_router(path).predict(texts) == made.predict(texts)).all()
    with pytest.raises(NotBuiltError):
        made.add_model("new", prompts, outcomes[:, 0])


def test_dollars_where_they_are_known(router: FittedRouter) -> None:
    assert router.report.comparison["fitted"].has_costs
    prompts, outcomes = world(60)
    made = ferroute.fit(prompts, outcomes, NAMES, costs=[0.01, None], bootstrap=0)
    assert any("price" in note for note in made.report.notes)
    assert not made.report.comparison["fitted"].has_costs
    for costs in ([0.1], [-1.0, 1.0], {"large": 1.0, "other": 2.0}):
        with pytest.raises((InvalidValueError, UnknownNameError)):
            ferroute.fit(prompts, outcomes, NAMES, costs=costs)


def test_a_picture(router: FittedRouter) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    for kind in ("quality", "cost"):
        axes = router.plot(kind)
        assert axes.get_legend() is not None
        pyplot.close(axes.figure)


def test_progress_is_told_and_can_end_the_work() -> None:
    prompts, outcomes = world(60)
    features = _core.LocalModel.features(prompts)
    fitting = _core.Fitting(features, 64, np.zeros(60), outcomes)
    folds = np.arange(60, dtype=np.uint32) % 3
    told: list[int] = []
    fitting.cross_validated((0, 1), folds, progress=told.append)
    assert sum(told) == 3 * _core.Fitting.steps(2)

    def stop(_done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fitting.cross_validated((0, 1), folds, progress=stop)


def test_what_does_not_fit_is_told() -> None:
    prompts, outcomes = world(40)
    bad = outcomes.copy()
    bad[7, 1] = 3
    for match, arguments in {
        "row 7 of 'small'": {"outcomes": bad},
        "nothing is known of 'small'": {"outcomes": np.column_stack([outcomes[:, 0], np.full(40, np.nan)])},
        r"\[40, 2\]": {"outcomes": outcomes[:30]},
        "method": {"outcomes": outcomes, "method": "forest"},
        "folds": {"outcomes": outcomes, "folds": 1},
        "at least 2 different": {"outcomes": outcomes, "models": ["a", "a"]},
        "seed": {"outcomes": outcomes, "seed": -1},
        "at least 10": {"prompts": prompts[:4], "outcomes": outcomes[:4]},
        "meets itself": {"preferences": [(0, "large", "large")]},
        "row 0": {"preferences": [(99, "large", "small")]},
        "expected finite": {"outcomes": outcomes, "embeddings": np.full((40, 3), np.nan)},
    }.items():
        with pytest.raises(InvalidValueError, match=match):
            ferroute.fit(**({"prompts": prompts, "models": NAMES} | arguments))
    for arguments in (
        {},
        {"outcomes": outcomes, "preferences": []},
        {"outcomes": "right"},
        {"outcomes": outcomes, "models": "large"},
        {"outcomes": outcomes, "prompts": "one text"},
        {"outcomes": outcomes, "prompts": [1] * 40},
        {"outcomes": outcomes, "models": None},
    ):
        with pytest.raises(InvalidTypeError):
            ferroute.fit(**({"prompts": prompts, "models": NAMES} | arguments))


def test_labels_that_do_not_differ_are_said() -> None:
    prompts, _ = world(40)
    made = ferroute.fit(prompts, np.ones((40, 2)), NAMES, bootstrap=20)
    assert not made.report.better_than_random
    assert np.allclose(made.predict(prompts), 1.0)
    assert any("no better" in note for note in made.report.notes)
    assert repr(made)


def test_models_of_the_same_mean_have_no_gap_to_recover(tmp_path: Path) -> None:
    prompts, _ = world(40)
    outcomes = [[1, 0], [0, 1], [1, 1], [0, 0]] * 10
    made = ferroute.fit(prompts, outcomes, NAMES, bootstrap=50)
    assert isinstance(made, FittedRouter)
    assert any("no better" in note for note in made.report.notes)
    made.save(tmp_path / "r.safetensors")
    assert "No better" in repr(ferroute.load_router(tmp_path / "r.safetensors").report)
    assert made.report.to_html()


def test_tables_bring_their_names() -> None:
    pandas = pytest.importorskip("pandas")
    prompts, outcomes = world(60)
    frame = pandas.DataFrame(outcomes, columns=NAMES)
    made = ferroute.fit(pandas.Series(prompts), frame, bootstrap=0)
    assert made.models == NAMES
    turned = ferroute.fit(prompts, frame, NAMES[::-1], bootstrap=0)
    assert turned.report.means == made.report.means
    assert turned.strong_model == "small"
    columns = {name: [None if value is None else bool(value) for value in frame[name]] for name in NAMES}
    assert ferroute.fit(prompts, columns, bootstrap=0).report.means == made.report.means
    with pytest.raises(UnknownNameError, match="no column 'huge'"):
        ferroute.fit(prompts, frame, ["huge", "small"])


def rejected(sizes: list[int], labels: str, runs: int) -> int:
    """Of so many fits on labels that have nothing to do with the prompts, how many have p <= 0.02."""
    found = 0
    units = np.repeat(np.arange(len(sizes)), sizes).astype(np.uint32)
    n = len(units)
    for run in range(runs):
        rng = np.random.default_rng((run, n))
        features = np.zeros((n, _core.LocalModel.features(["x"]).shape[1]), dtype=np.float32)
        features[:, :64] = rng.normal(size=(len(sizes), 64))[units]
        difference = rng.choice([0.0, 1.0], size=len(sizes))[units]
        if (
            labels == "uneven"
        ):  # no model is ahead anywhere, but prompts on one side are decided and the others are ties
            difference = np.where(features[:, 0] > 0.5, rng.choice([0.0, 1.0], size=n), 0.5)
        outcomes = np.column_stack([difference, 1 - difference])
        fitting = _core.Fitting(features, 64, np.zeros(n), outcomes)
        folds = _core.Fitting.folds(units, 5, run)
        found += fitting.chance((0, 1), folds, units, times=99, seed=run)[1] <= 0.02
    return found


@pytest.mark.parametrize(
    ("sizes", "labels"),
    [
        ([30, 20, 15] + [1] * 35, "by unit"),
        ([max(1, 60 // rank) for rank in range(1, 60)], "by unit"),
        ([1] * 150, "uneven"),
    ],
)
def test_groups_of_uneven_size_and_uneven_spread_are_no_signal(sizes: list[int], labels: str) -> None:
    # At 2 %, more than 9 of 150 come up once in 1,000 times; shuffles that cut groups give 9 % and more.
    assert rejected(sizes, labels, 150) <= 9


def test_a_signal_in_groups_of_uneven_size_is_found() -> None:
    rng = np.random.default_rng(5)
    sizes = [int(size) for size in 1 + rng.pareto(1.5, size=150).clip(0, 15)]
    units = np.repeat(np.arange(len(sizes)), sizes)
    prompts, outcomes = world(len(units), seed=6)
    report = ferroute.fit(prompts, outcomes, NAMES, groups=units, bootstrap=0).report
    assert report.better_than_random
    assert report.groups == len(sizes)


def test_the_verdict_agrees_with_the_table_where_the_strong_model_is_behind(tmp_path: Path) -> None:
    prompts, outcomes = world(300)
    turned = ferroute.fit(prompts, outcomes, NAMES, strong="small", weak="large", bootstrap=100)
    report = turned.report
    assert report.gap.high is not None
    assert report.gap.high < 0
    assert np.isnan(report.apgr)
    assert report.verdict.startswith("large scores at least as well as small on average: send everything there.")
    shown = repr(report)
    assert "mean score" in shown
    assert "APGR  " not in shown
    assert "inf" not in shown
    ahead = next(row for row in report.rows() if row["name"] == "random mixing")
    assert report.better_than_random == (ahead["ahead"] > 0)
    assert isinstance(turned, FittedRouter)
    turned.save(tmp_path / "r.safetensors")
    assert repr(ferroute.load_router(tmp_path / "r.safetensors").report) == shown
    # As many on both sides: no gap, so nothing infinite.
    level = ferroute.fit(prompts[:40], [[1, 0], [0, 1], [1, 1], [0, 0]] * 10, NAMES, bootstrap=50).report
    assert np.isnan(level.apgr)
    assert "inf" not in repr(level)


def test_a_gap_that_may_be_chance_is_said() -> None:
    prompts, _ = world(60)
    outcomes = [[1, 0], [0, 1], [1, 1]] * 19 + [[1, 0], [1, 1], [1, 1]]
    report = ferroute.fit(prompts, outcomes, NAMES, bootstrap=50).report
    assert report.gap > 0
    assert any("may be chance" in note for note in report.notes)


def test_names_of_this_packages_routers_are_taken(router: FittedRouter) -> None:
    from ferroute.routers.base import BUILT_IN
    from ferroute.routers.routers import NAME_TO_CLS

    assert set(BUILT_IN) == set(NAME_TO_CLS.values())
    for name in BUILT_IN:
        before = ROUTER_CLS[name]
        with pytest.raises(InvalidValueError, match="of this package"):
            router.register(name)
        assert ROUTER_CLS[name] is before
    with pytest.raises(InvalidTypeError):
        router.register(3)  # pyright: ignore[reportArgumentType]


def test_a_router_knows_what_it_was_fitted_on(router: FittedRouter, tmp_path: Path) -> None:
    prompts, outcomes = world(300)
    asked = [prompts[7], "something new", prompts[0], prompts[7] + " "]
    assert router.was_fitted_on(asked).tolist() == [True, False, True, False]
    assert router.was_fitted_on([]).shape == (0,)
    router.save(tmp_path / "r.safetensors")
    again = ferroute.load_router(tmp_path / "r.safetensors")
    assert again.was_fitted_on(asked).tolist() == [True, False, True, False]
    assert "marks" not in again.card["data"]
    own = ferroute.fit(prompts, outcomes, NAMES, estimator=Least(), bootstrap=0)
    assert own.was_fitted_on(asked).tolist() == [True, False, True, False]
    with pytest.raises(InvalidValueError, match="does not tell"):
        FittedRouter.of(router._model.with_card("{}")).was_fitted_on(asked)


class Bare(Least):
    """Without ``deep`` and ``classes_``."""

    def get_params(self) -> dict[str, float]:  # type: ignore[override]
        return {"penalty": self.penalty}

    def predict_proba(self, rows: np.ndarray) -> np.ndarray:
        one = self.predict(rows).clip(0, 1)
        return np.column_stack([1 - one, one])


class Texts(Chance):
    def fit(self, rows: np.ndarray, labels: np.ndarray) -> Texts:
        super().fit(rows, labels)
        self.classes_ = np.array(["wrong", "right"])
        return self


class Flat(Chance):
    def predict_proba(self, rows: np.ndarray) -> np.ndarray:
        return self.predict(rows)


class Wordy(Least):
    def predict(self, rows: np.ndarray) -> np.ndarray:
        return np.array(["good"] * len(rows))


def test_estimators_that_are_a_little_different() -> None:
    prompts, outcomes = world(100)
    assert ferroute.fit(prompts, outcomes, NAMES, estimator=Bare(), bootstrap=0).report.apgr > 0.5
    for kind, match in ((Texts, "classes_"), (Flat, r"\[20, 2\]")):
        with pytest.raises(InvalidValueError, match=match):
            ferroute.fit(prompts, outcomes, NAMES, estimator=kind(), bootstrap=0)
    with pytest.raises(InvalidTypeError, match="numbers"):
        ferroute.fit(prompts, outcomes, NAMES, estimator=Wordy(), bootstrap=0)
    with pytest.raises(InvalidValueError, match="method"):
        ferroute.fit(prompts, outcomes, NAMES, estimator=Least(), method="neighbours")
    made = ferroute.fit(prompts, outcomes, NAMES, estimator=Least(), bootstrap=0)
    with pytest.raises(NotBuiltError, match="fit again"):
        made.add_model("new", prompts, outcomes[:, 0])


def test_names_and_preferences_of_wrong_types(router: FittedRouter) -> None:
    prompts, outcomes = world(40)
    with pytest.raises(InvalidTypeError, match="name"):
        router.add_model(3, prompts, outcomes[:, 0])  # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidValueError, match="name"):
        router.add_model("", prompts, outcomes[:, 0])
    with pytest.raises(InvalidValueError, match="empty"):
        ferroute.fit(prompts, outcomes, ["", "small"])
    for preferences in ([5], 5, "abc", ["abc"]):
        with pytest.raises(InvalidTypeError, match="preferences"):
            ferroute.fit(prompts, preferences=preferences, models=NAMES)
    with pytest.raises(InvalidValueError, match="none of the prompts"):
        ferroute.fit(prompts, preferences=[("never asked", "large", "small")], models=NAMES)


def test_preferences_name_a_prompt_by_text_or_place() -> None:
    prompts, _ = world(60)
    battles = [(i, "large", "small") if i % 3 else (i, "small", "large") for i in range(60)]
    by_text = [(prompts[i], *rest) for i, *rest in battles]
    one, two = (
        ferroute.fit(prompts, preferences=given, models=NAMES, bootstrap=0, groups=[i // 2 for i in range(60)])
        for given in (battles, by_text)
    )
    assert one._model.to_bytes() == two._model.to_bytes()
    with pytest.raises(InvalidValueError, match="one a prompt"):
        ferroute.fit(prompts, preferences=battles, models=NAMES, groups=["x"])


def test_a_missing_group_stands_alone() -> None:
    pandas = pytest.importorskip("pandas")
    prompts, outcomes = world(60)
    groups: list[object] = ["a"] * 20 + ["b"] * 20 + [None, float("nan"), pandas.NA, pandas.NaT] * 5
    for given in (groups, pandas.Series(groups, dtype=object)):
        assert ferroute.fit(prompts, outcomes, NAMES, groups=given, bootstrap=0).report.groups == 22
    alone = ferroute.fit(prompts, outcomes, NAMES, groups=[None] * 60, bootstrap=0).report
    assert alone.apgr == ferroute.fit(prompts, outcomes, NAMES, bootstrap=0).report.apgr
    with pytest.raises(InvalidTypeError, match="groups"):
        ferroute.fit(prompts, outcomes, NAMES, groups=5)


def test_too_few_resamples_give_no_interval() -> None:
    prompts, outcomes = world(60)
    assert ferroute.fit(prompts, outcomes, NAMES, bootstrap=1).report.interval is None
    assert ferroute.fit(prompts, outcomes, NAMES, bootstrap=20).report.interval is not None
