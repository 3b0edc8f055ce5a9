"""More than two models: the grammar, the tiers of a Controller, and calls that go to the rung."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ferroute
from fakeserver import Answer, FakeServer
from ferroute import Controller, RoutingError, Share, Shares, _core
from ferroute.controller import ROUTER_CLS
from ferroute.decision import aside
from ferroute.errors import InvalidTypeError, InvalidValueError, UnknownNameError
from ferroute.routers.base import Router

if TYPE_CHECKING:
    from collections.abc import Iterator

TIERS = {"cheap": "gpt-5-nano", "mid": "gpt-5-mini", "expensive": "gpt-5.2"}
# Where no provider is, so that the day on which it ends a model bars none of them.
NOWHERE = "http://127.0.0.1:9/v1"
KEY = "sk-very-secret-1234567890"


class Number(Router):
    """Scores a prompt with the number it is."""

    def calculate_strong_win_rate(self, prompt: str) -> float:
        return float(prompt)


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ROUTER_CLS, "number", Number)
    monkeypatch.setitem(ROUTER_CLS, "my-own", Number)


@pytest.fixture
def c() -> Controller:
    return Controller(["number", "my-own", "local"], tiers=TIERS, api_base=NOWHERE)


@pytest.fixture
def servers() -> Iterator[list[FakeServer]]:
    with FakeServer() as cheap, FakeServer() as mid, FakeServer() as expensive:
        yield [cheap, mid, expensive]


def on(servers: list[FakeServer], **kwargs: Any) -> Controller:
    """A Controller with an address and a key for each rung."""
    tiers = {
        name: {"model": f"openai/{model}", "api_base": server.url, "api_key": f"{KEY}-{name}"}
        for (name, model), server in zip(TIERS.items(), servers, strict=True)
    }
    return Controller(["number"], tiers=tiers, **kwargs)


def said(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


# --- the grammar ---


@pytest.mark.parametrize(
    ("model", "router", "threshold"),
    [
        ("router-number-0.3,0.7", "number", (0.3, 0.7)),
        ("router-number- 0.3 , 7e-1", "number", (0.3, 0.7)),
        ("router-number-60%,15%", "number", Shares(0.6, 0.15)),
        ("router-my-own-0.3,0.7", "my-own", (0.3, 0.7)),
        ("router-number-0.5", "number", 0.5),
        ("router-number-30%", "number", Share(0.3)),
    ],
)
def test_model_strings_of_a_ladder(c: Controller, model: str, router: str, threshold: Any) -> None:
    parsed = c._parse_model_name(model)
    assert parsed == (router, threshold)
    assert type(parsed[1]) is type(threshold)
    c._validate_router_threshold(*parsed)


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("router-number-0.7,0.3", "Thresholds must not fall, found 0.7,0.3."),
        ("router-number-15%,60%", "Shares must not rise, found 15%,60%."),
        ("router-number-0.1,0.2,0.3", "Expected 2 thresholds, one for each step between the 3 rungs (cheap, mid, exp"),
        ("router-number-60%,30%,10%", "Expected 2 shares"),
        ("router-number-0.3,1.5", "Invalid threshold 1.5. Threshold must be a float between 0.0 and 1.0."),
        ("router-number-nan,0.5", "Invalid threshold nan."),
        ("router-number-130%,5%", "Invalid share 130%."),
        ("router-number-0.3,70%", "Thresholds 0.3,70% must be floats with commas between them"),
        ("router-number-0.3,", "Thresholds 0.3, must be floats"),
        ("router-nobody-0.3,0.7", "Invalid router nobody. Available routers are ['number', 'my-own', 'local']."),
        ("gpt-number-0.3,0.7", "Invalid model gpt-number-0.3,0.7. Model name must be of the format"),
    ],
)
def test_what_is_wrong_is_said(c: Controller, model: str, says: str) -> None:
    with pytest.raises(RoutingError) as caught:
        c.decide("0.5", model=model)
    assert str(caught.value).startswith(says)


def test_strings_of_two_models_are_read_as_ever() -> None:
    pair = Controller(["number", "local"], "big", "small")
    for model, says in [
        ("router-number-0.3,0.7", "Threshold 0.3,0.7 must be a float."),
        ("router-number-60%,15%", "Threshold 60%,15% must be a float."),
    ]:
        with pytest.raises(RoutingError) as caught:
            pair.decide("0.5", model=model)
        assert str(caught.value) == says
    # Without a router that names a rung, the two-part form is RouteLLM's error on a ladder too.
    for c in (pair, Controller(["number"], tiers=TIERS, api_base=NOWHERE)):
        with pytest.raises(ValueError, match=r"not enough values to unpack \(expected 3, got 2\)"):
            c.completion(model="router-number", messages=said("0.5"))


@given(st.text(st.sampled_from("0123456789.,%- erou"), max_size=20))
def test_no_string_is_read_as_more_than_one_number_with_two_models(text: str) -> None:
    names = ["number"]
    try:
        _, number, _ = _core.parse_model_name(f"router-number-{text}", [], names, 2)
    except RoutingError:
        return
    assert isinstance(number, float)


# --- where a win rate leads ---


def test_thresholds_in_routellms_direction(c: Controller) -> None:
    """The article has it reversed: a higher threshold is cheaper, and 0 is always the strongest."""
    for threshold, tiers in [
        ([0.3, 0.7], ["cheap", "mid", "mid", "expensive"]),
        ([0.0, 0.0], ["expensive"] * 4),
        ([1.0, 1.0], ["cheap"] * 4),
        ([0.0, 1.0], ["mid"] * 4),
        ([0.5, 0.5], ["cheap", "cheap", "expensive", "expensive"]),
    ]:
        assert [c.decide(p, "number", threshold).tier for p in ("0.2", "0.3", "0.6", "0.7")] == tiers, threshold


def test_the_articles_tiers_and_thresholds() -> None:
    """``router-mf-0.3`` and ``router-mf-0.7`` on the article's models, which it names ``gpt-5-2``."""
    c = Controller(["number"], tiers={**TIERS, "expensive": "gpt-5-2"}, api_base=NOWHERE)
    prompts = [str(i / 100) for i in range(100)]
    strong = {t: sum(d.model == "gpt-5-2" for d in c.decide_batch(prompts, "number", t)) for t in (0.0, 0.3, 0.5, 0.7)}
    assert strong == {0.0: 100, 0.3: 70, 0.5: 50, 0.7: 30}
    decision = c.decide("0.6", "number", threshold=[0.3, 0.7])
    assert (decision.model, decision.tier) == ("gpt-5-mini", "mid")
    assert (decision.threshold, decision.share) == ((0.3, 0.7), None)
    assert decision.reason == "win rate 0.6000 >= 0.3 and < 0.7: mid"


@pytest.mark.parametrize(
    "threshold", [[0.3, 0.7], (0.3, 0.7), np.array([0.3, 0.7]), np.array([0.3, 0.7], "f4").astype("f8").round(6)]
)
def test_thresholds_of_any_kind(c: Controller, threshold: Any) -> None:
    decision = c.decide("0.5", "number", threshold)
    assert decision.tier == "mid"
    assert decision.threshold == (0.3, 0.7)
    assert all(type(cut) is float for cut in decision.threshold)
    assert c.route("0.5", "number", threshold) == "gpt-5-mini"


def test_a_single_threshold_chooses_between_first_and_last(c: Controller) -> None:
    for threshold in (0.5, np.float64(0.5), Share(0.5)):
        low, high = (c.decide(p, "number", threshold) for p in ("0.1", "0.9"))
        assert high.tier == "expensive", threshold
        assert low.tier in ("cheap", "expensive")
    assert c.decide("0.1", "number", 0.5).tier == "cheap"
    decision = c.decide("0.9", "number", 0.5)
    assert (decision.threshold, decision.reason) == (0.5, "win rate 0.9000 >= threshold 0.5: expensive")
    assert (c.model_pair.strong, c.model_pair.weak) == ("gpt-5.2", "gpt-5-nano")


def test_two_rungs_take_a_list_of_one() -> None:
    two = Controller(["number"], tiers={"small": "a", "big": "b"})
    assert two.decide("0.6", "number", [0.5]).tier == "big"
    assert two.decide("0.6", "number", [0.5]).threshold == 0.5
    assert two.decide("0.6", model="router-number-0.5").tier == "big"
    pair = Controller(["number"], "b", "a")
    assert pair.decide("0.6", "number", np.array([0.5])).model == "b"
    assert pair.decide("0.6", "number", [0.5]).tier is None
    with pytest.raises(RoutingError, match="Expected 1 threshold, one for each step between the 2 rungs"):
        pair.decide("0.6", "number", [0.5, 0.7])


@pytest.mark.parametrize(
    "threshold",
    [
        b"\x00\x01", bytearray(2), 1 + 2j, [1 + 2j, 1], [1 + 2j], {0.3, 0.7}, {0.3: "a", 0.7: "b"}, [[0.3], [0.7]],
        np.ones((2, 2)), object(), [b"0", b"1"], [object()], [np.complex128(1), 1.0],
    ],
)  # fmt: skip
def test_thresholds_of_a_wrong_kind_are_typed_errors(c: Controller, threshold: Any) -> None:
    pair = Controller(["number"], "b", "a")
    for decide in (c.decide, pair.decide):
        with pytest.raises(RoutingError, match="number") as caught:
            decide("0.5", "number", threshold)
        assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize("threshold", [[10**400, 1], [-(10**400), 0.5], [0.5, 10**400], 10**400])
def test_integers_beyond_every_float_are_out_of_range(c: Controller, threshold: Any) -> None:
    with pytest.raises(RoutingError):
        c.decide("0.5", "number", threshold)


@pytest.mark.parametrize(
    ("name", "meant"), [("thresold", "threshold"), ("treshold", "threshold"), ("ruoter", "router"), ("polcy", "policy")]
)
def test_a_misspelt_keyword_is_an_error(c: Controller, name: str, meant: str) -> None:
    keywords: Any = {name: 0.5}
    with pytest.raises(InvalidTypeError, match=f"decide.* takes no '{name}'; did you mean '{meant}'"):
        c.decide("0.5", "number", 0.5, **keywords)
    assert c.decide("0.5", "number", 0.5, tools=[], temperature=1, user="u", top_k=3, metadata={}).tier == "expensive"


@pytest.mark.parametrize("threshold", [["0.3", "0.7"], [0.3, None], [0.3, Share(0.1)], {"mid": 0.3, "expensive": 0.7}])
def test_thresholds_that_are_none(c: Controller, threshold: Any) -> None:
    with pytest.raises(RoutingError) as caught:
        c.decide("0.5", "number", threshold)
    assert isinstance(caught.value, TypeError)


@given(st.floats(0, 1), st.lists(st.floats(0, 1), min_size=2, max_size=2), st.lists(st.floats(0, 0.5), min_size=2))
def test_higher_thresholds_never_lead_higher(win_rate: float, cuts: list[float], more: list[float]) -> None:
    c = _LADDER
    low = sorted(cuts)
    high = sorted(min(cut + add, 1.0) for cut, add in zip(low, more, strict=False))
    places = [list(TIERS).index(c.decide(repr(win_rate), "number", each).tier or "") for each in (low, high)]
    assert places[0] >= places[1]


ROUTER_CLS["number"] = Number
_LADDER = Controller(["number"], tiers=TIERS, api_base=NOWHERE)
del ROUTER_CLS["number"]


# --- shares ---


def test_shares_come_out_on_any_scores() -> None:
    c = Controller(["number"], tiers=TIERS, api_base=NOWHERE)
    random = np.random.default_rng(5)
    for scores in (random.random(4000), 0.55 + 0.02 * random.random(4000)):
        seen = [c.decide(repr(float(s)), model="router-number-60%,15%", remember=True) for s in scores]
        warm = [decision.tier for decision in seen[1000:]]
        for tier, share in (("cheap", 0.4), ("mid", 0.45), ("expensive", 0.15)):
            # Three binomial deviations of 3,000 draws (0.027) and that of the window's border, twice 0.0155 at most.
            assert abs(warm.count(tier) / len(warm) - share) < 0.04, tier
    assert seen[-1].share == (0.6, 0.15) and seen[-1].threshold is None and not seen[-1].warmup
    assert "for shares of 60%,15%: " in seen[-1].reason


def test_shares_are_written_in_several_ways(c: Controller) -> None:
    decisions = [
        c.decide("0.5", "local", threshold)
        for threshold in (Shares(0.6, 0.15), [Share(0.6), Share(0.15)], (Share(0.6), Share(0.15)))
    ]
    assert {decision.share for decision in decisions} == {(0.6, 0.15)}
    assert len({decision.reason for decision in decisions}) == 1
    shares = Shares(0.6, 0.15)
    assert (str(shares), repr(shares), len(shares)) == ("60%,15%", "Shares(0.6, 0.15)", 2)
    assert pickle.loads(pickle.dumps(shares)) == copy.deepcopy(shares) == shares == Shares(*shares)
    assert type(pickle.loads(pickle.dumps(shares))) is Shares
    assert ferroute.Shares is Shares


def test_the_ends_of_shares_hold(c: Controller) -> None:
    for shares, tier in [((1, 1), "expensive"), ((0, 0), "cheap"), ((1, 0), "mid")]:
        assert {c.decide(p, "number", Shares(*shares)).tier for p in ("0.0", "0.5", "1.0")} == {tier}


def test_a_calibration_table_gives_each_share_its_threshold(tmp_path: Any) -> None:
    from ferroute.calibrate import calibrate

    path = calibrate(np.linspace(0, 1, 1001), name="number").save(tmp_path / "table.json")
    c = Controller(["number"], tiers=TIERS, api_base=NOWHERE, config={"number": {"calibration": path}})
    decision = c.decide("0.5", model="router-number-60%,15%")
    assert decision.tier == "mid" and decision.share == (0.6, 0.15)
    assert decision.threshold == pytest.approx((0.4, 0.85), abs=1e-3)
    assert "; the thresholds for 60%,15% of 1,001 calibration prompts" in decision.reason
    assert c.decide("0.9", model="router-number-60%,15%").tier == "expensive"
    assert c.decide("0.9", model="router-number-100%,0%").tier == "mid"
    ends = c.decide("0.0", model="router-number-100%,50%")
    assert (ends.tier, ends.threshold) == ("mid", (-np.inf, pytest.approx(0.5, abs=1e-3)))
    assert c.decide("0.9", model="router-number-15%").threshold == pytest.approx(0.85, abs=1e-3)


# --- the tiers of a Controller ---


def test_tiers_are_a_mapping_or_pairs(c: Controller) -> None:
    assert c.tiers == TIERS and list(c.tiers) == list(TIERS)
    assert Controller([], tiers=list(TIERS.items())).tiers == TIERS
    assert Controller([], "big", "small").tiers == {}
    shown = repr(Controller([], tiers={"a": {"model": "m", "api_key": KEY}, "b": "n"}, api_base="http://h"))
    assert shown == "Controller(routers=[], tiers={'a': 'm', 'b': 'n'}, api_base='http://h')"
    assert KEY not in repr(vars(Controller([], tiers={"a": {"model": "m", "api_key": KEY}, "b": "n"})))


@pytest.mark.parametrize(
    ("tiers", "error", "says"),
    [
        ({"one": "a"}, InvalidValueError, "at least 2 rungs, found 1"),
        ({}, InvalidValueError, "at least 2 rungs"),
        ("gpt-5.2", InvalidTypeError, "tiers maps names to models"),
        (["a", "b"], InvalidTypeError, "no pair of name and model"),
        ({"a": "m", 2: "n"}, InvalidTypeError, "found the name 2"),
        ({"a": "m", "": "n"}, InvalidValueError, "empty name"),
        ([("a", "m"), ("a", "n")], InvalidValueError, "of an earlier one"),
        ([("a", "m"), ("a ", "n")], InvalidValueError, "of an earlier one"),
        ({"expensive": "m", "cheap": "n"}, InvalidValueError, "from the weakest to the strongest"),
        ({"strong": "m", "weak": "n"}, InvalidValueError, "from the weakest to the strongest"),
        ({"mid": "m", "weak": "n"}, InvalidValueError, "from the weakest to the strongest"),
        ({"a": "m", "b": ""}, InvalidValueError, ""),
        ({"a": "m", "b": " "}, InvalidValueError, "has a model without a name"),
        ({"a": "m", "b": None}, InvalidTypeError, "a mapping with 'model'"),
        ({"a": "m", "b": {"model": "n", "key": 1}}, InvalidValueError, "tiers['b']: unknown setting 'key'"),
    ],
)
def test_tiers_that_are_none(tiers: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error) as caught:
        Controller([], tiers=tiers)
    assert says in str(caught.value)


@pytest.mark.parametrize("models", [{}, {"strong_model": "a"}, {"weak_model": "a"}])
def test_two_models_or_tiers(models: dict[str, str]) -> None:
    with pytest.raises(TypeError, match="needs strong_model and weak_model, or tiers"):
        Controller([], **models)
    if models:
        with pytest.raises(TypeError, match="found both"):
            Controller([], tiers=TIERS, api_base=NOWHERE, **models)


def test_models_are_assigned_at_run_time(c: Controller) -> None:
    c.model_pair.strong = "gpt-4o"
    assert c.decide("0.9", "number", [0.3, 0.7]).model == "gpt-4o" == c.tiers["expensive"]
    assert c.decide("0.5", "number", [0.3, 0.7]).model == "gpt-5-mini"


def test_pickles_and_copies(c: Controller) -> None:
    c.decide("0.5", model="router-number-60%,15%", remember=True)
    for made in (pickle.loads(pickle.dumps(c)), copy.deepcopy(c)):
        assert made.tiers == TIERS and made.decide("0.5", "number", [0.3, 0.7]).tier == "mid"
    decision = c.decide("0.5", "number", [0.3, 0.7])
    assert pickle.loads(pickle.dumps(decision)) == decision


def test_threads(c: Controller) -> None:
    found: list[str | None] = []

    def ask() -> None:
        found.extend(c.decide("0.5", model="router-number-0.3,0.7", remember=True).tier for _ in range(200))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["mid"] * 800


def test_on_router_error_names_a_rung() -> None:
    c = Controller(["number", "local"], tiers=TIERS, api_base=NOWHERE, policy={"on_router_error": "mid"})
    decision = c.decide("no number", "number", [0.3, 0.7])
    assert (decision.tier, decision.model, decision.threshold) == ("mid", "gpt-5-mini", (0.3, 0.7))
    assert decision.reason.startswith("mid, because router 'number' failed (ValueError: ")
    for side, tier in (("strong", "expensive"), ("weak", "cheap")):
        assert c.decide("x", "number", Shares(0.5, 0.1), policy={"on_router_error": side}).tier == tier
    other = c.decide("x", "number", [0.0, 0.0], policy={"on_router_error": "local"})
    assert (other.router, other.tier) == ("local", "expensive")
    assert other.notes[0].endswith("so 'local' was asked")
    with pytest.raises(UnknownNameError, match="'number', 'local', 'cheap', 'mid', 'expensive'"):
        c.policy = {"on_router_error": "best"}  # type: ignore[assignment]


def test_a_rung_called_strong_is_meant_before_the_last() -> None:
    tiers = {"weak": "gpt-5-nano", "strong": "gpt-5-mini", "top": "gpt-5.2"}
    c = Controller(["number"], tiers=tiers, api_base=NOWHERE)
    found = [c.decide("x", "number", 0.5, policy={"on_router_error": other}).tier for other in ("strong", "weak")]
    assert found == ["strong", "weak"]


def test_a_router_with_a_route_of_its_own_answers_with_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    class Own(Number):
        def route(self, prompt: str, threshold: float, routed_pair: Any) -> str:
            return {"weak": routed_pair.weak, "strong": routed_pair.strong}.get(prompt, prompt)

    monkeypatch.setitem(ROUTER_CLS, "own", Own)
    c = Controller(["own"], tiers=TIERS, api_base=NOWHERE)
    tiers = [c.decide(p, "own", 0.5).tier for p in ("weak", "strong", "gpt-5-mini", "another")]
    assert tiers == ["cheap", "expensive", "mid", None]
    assert c.decide("another", "own", 0.5).model == "another"
    assert [d.tier for d in c.decide_batch(["weak", "another"], "own", 0.5)] == ["cheap", None]
    for threshold, what in (([0.3, 0.7], "a threshold for each step"), (Shares(0.5, 0.1), "a share")):
        with pytest.raises(RoutingError, match=f"so {what} cannot be asked of it"):
            c.decide("weak", "own", threshold)


# --- many prompts ---


@pytest.mark.parametrize("threshold", [[0.3, 0.7], 0.5, Shares(0.6, 0.15), Share(0.3)])
def test_a_batch_is_decided_as_one_by_one(c: Controller, threshold: Any) -> None:
    prompts = ["What is 2+2?", "Prove that there are infinitely many primes.", "", "Write a poem about the sea."]
    for one, many in zip(prompts, c.decide_batch(prompts, "local", threshold), strict=True):
        alone = c.decide(one, "local", threshold)
        assert {**vars(many), "routing_us": 0} == {**vars(alone), "routing_us": 0}
        assert many.routing_us > 0 and aside(many).rung == aside(alone).rung


def test_batches_of_any_kind(c: Controller) -> None:
    pd, pl = pytest.importorskip("pandas"), pytest.importorskip("polars")
    texts = ["0.1", "0.5", "0.9"]
    for prompts in (texts, tuple(texts), np.array(texts), pd.Series(texts), pl.Series("p", texts)):
        assert [d.tier for d in c.decide_batch(prompts, model="router-number-0.3,0.7")] == list(TIERS)
    assert c.decide_batch([], "number", 0.5) == []
    with pytest.raises(InvalidTypeError, match="found a single string"):
        c.decide_batch("0.1", "number", 0.5)


def test_a_batch_that_fails_follows_the_policy(c: Controller) -> None:
    with pytest.raises(ValueError, match="could not convert"):
        c.decide_batch(["0.9", "x"], "number", [0.3, 0.7])
    c.policy = {"on_router_error": "cheap"}  # type: ignore[assignment]
    assert [d.tier for d in c.decide_batch(["0.9", "x"], "number", [0.3, 0.7])] == ["expensive", "cheap"]


def test_a_batch_shows_its_progress(capsys: pytest.CaptureFixture[str]) -> None:
    Controller(["number"], tiers=TIERS, api_base=NOWHERE, progress_bar=True).decide_batch(
        ["0.1"] * 3, "number", [0.3, 0.7]
    )
    assert "Deciding with number: 100%" in capsys.readouterr().err


# --- calls ---


def test_each_rung_has_its_own_address_and_key(servers: list[FakeServer]) -> None:
    c = on(servers)
    for text in ("0.1", "0.5", "0.9"):
        c.chat.completions.create(model="router-number-0.3,0.7", messages=said(text))
    for server, (name, model) in zip(servers, TIERS.items(), strict=True):
        (request,) = server.requests
        assert request.json["model"] == model and request.headers["authorization"] == f"Bearer {KEY}-{name}"
    assert dict(c.model_counts["number"]) == dict.fromkeys((f"openai/{model}" for model in TIERS.values()), 1)


def test_rungs_may_have_a_model_of_the_same_name(servers: list[FakeServer]) -> None:
    tiers = [(name, {"model": "llama", "api_base": server.url}) for name, server in zip("abc", servers, strict=True)]
    c = Controller(["number"], tiers=tiers)
    for text in ("0.1", "0.5", "0.5", "0.9"):
        response = c.completion(router="number", threshold=[0.3, 0.7], messages=said(text))
        assert response.routing.model == "llama"
    assert [len(server.requests) for server in servers] == [1, 2, 1]


async def test_calls_of_every_kind(servers: list[FakeServer]) -> None:
    c = on(servers)
    response = await c.acompletion(model="router-number-0.3,0.7", messages=said("0.5"))
    assert (response.routing.tier, response.routing.threshold) == ("mid", (0.3, 0.7))
    assert response.routing.cost_usd is not None and response.routing.saved_usd is not None
    with c.completion(model="router-number-60%,15%", messages=said("0.9"), stream=True) as stream:
        assert stream.routing.tier == "expensive"
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices) == "w0 w1 w2 "
    stream = await c.acompletion(router="number", threshold=(0.3, 0.7), messages=said("0.1"), stream=True)
    assert stream.routing.tier == "cheap"
    assert [chunk async for chunk in stream]
    many = await asyncio.gather(
        *(c.acompletion(model="router-number-0.3,0.7", messages=said(text)) for text in ("0.1", "0.5", "0.9"))
    )
    assert [each.routing.tier for each in many] == list(TIERS)


def test_the_saving_is_against_the_top_rung(servers: list[FakeServer]) -> None:
    c = on(servers)
    usage = {"prompt_tokens": 1_000_000, "completion_tokens": 0, "total_tokens": 1_000_000}
    body = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "usage": usage}
    choice = {"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}
    servers[0].then(Answer(body=json.dumps({**body, "choices": [choice]}).encode()))
    decision = c.completion(model="router-number-0.3,0.7", messages=said("0.1")).routing
    # A million tokens: $0.05 of gpt-5-nano, $1.75 of gpt-5.2.
    assert decision.cost_usd is not None and decision.saved_usd is not None
    assert (float(decision.cost_usd), float(decision.saved_usd)) == (0.05, pytest.approx(1.70))


def test_a_call_is_held_out_to_the_top_rung(servers: list[FakeServer]) -> None:
    c = on(servers, policy={"holdout": 1.0})
    decision = c.completion(model="router-number-0.3,0.7", messages=said("0.1")).routing
    assert (decision.tier, decision.model) == ("expensive", "openai/gpt-5.2")
    assert decision.reason.startswith("held out: sent to expensive by lot; the router's word was: win rate 0.1000")
    assert len(servers[2].requests) == 1


def test_an_overriding_method_keeps_its_say(servers: list[FakeServer]) -> None:
    class Mine(Controller):
        def _get_routed_model_for_completion(self, messages: Any, router: str, threshold: Any) -> str:
            if messages[-1]["content"] == "0.1":
                return "openai/gpt-5-mini"
            return super()._get_routed_model_for_completion(messages, router, threshold)

    tiers = {name: {"model": f"openai/{model}", "api_base": servers[i].url, "api_key": "k"}
             for i, (name, model) in enumerate(TIERS.items())}  # fmt: skip
    c = Mine(["number"], tiers=tiers)
    for text, tier in (("0.1", "mid"), ("0.9", "expensive")):
        assert c.completion(model="router-number-0.3,0.7", messages=said(text)).routing.tier == tier
    assert [len(server.requests) for server in servers] == [0, 1, 1]


# --- what cannot serve ---


def test_a_barred_rung_is_passed_over_and_the_decision_says_so() -> None:
    class Filtered(Controller):
        against: list[str | None]

        def _found(self, trace: Any) -> Any:
            return self.against, [], [], [False] * len(self.against)

    c = Filtered(["number"], tiers=TIERS, api_base=NOWHERE, policy={"holdout": 1.0})
    c.against = ["takes no images", None, None]
    decision = c.decide("0.1", "number", [0.3, 0.7])
    assert decision.tier == "mid"
    assert decision.reason == "win rate 0.1000 < threshold 0.3: cheap; moved to mid"
    assert decision.notes == ("cheap (gpt-5-nano) is skipped: takes no images",)
    c.against = [None, None, "retired"]
    assert c.decide("0.9", "number", [0.3, 0.7]).tier == "mid"
    assert c._counted(c.decide("0.1", "number", [0.3, 0.7])).tier == "cheap", "nothing is held out to a barred rung"
    c.against = ["a", "b", "c"]
    with pytest.raises(RoutingError) as caught:
        c.decide("0.9", "number", [0.3, 0.7])
    assert str(caught.value) == (
        "no model can serve this request: cheap (gpt-5-nano): a; mid (gpt-5-mini): b; expensive (gpt-5.2): c"
    )
