"""The drop-in surface of `ferroute.controller`, with the call to the model replaced as users' tests replace it."""

from __future__ import annotations

import asyncio
import copy
import pickle
import random
import threading
import time
from types import SimpleNamespace
from unittest.mock import ANY, patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ferroute.controller as module
from ferroute.controller import GPT_4_AUGMENTED_CONFIG, ROUTER_CLS, Controller, ModelPair, RoutingError
from ferroute.decision import Decision, Share
from ferroute.routers.routers import NAME_TO_CLS, LocalRouter, RandomRouter, Router, no_parallel

HELLO = [{"role": "user", "content": "hello"}]


class Length(Router):
    """Longer prompts need the stronger model."""

    def __init__(self, scale=10):
        self.scale = scale

    def calculate_strong_win_rate(self, prompt):
        return min(len(prompt) / self.scale, 1.0)


@pytest.fixture
def registered():
    before = dict(ROUTER_CLS)
    ROUTER_CLS["length"] = Length
    yield ROUTER_CLS
    ROUTER_CLS.clear()
    ROUTER_CLS.update(before)


@pytest.fixture
def c(registered):
    return Controller(["length", "random"], "big", "small", api_base="http://base", api_key="k")


@pytest.fixture
def calls(monkeypatch):
    seen = []

    def completion(**kwargs):
        seen.append(kwargs)
        return SimpleNamespace(model=kwargs["model"])

    async def acompletion(**kwargs):
        seen.append(kwargs)
        return SimpleNamespace(model=kwargs["model"])

    monkeypatch.setattr(module, "completion", completion)
    monkeypatch.setattr(module, "acompletion", acompletion)
    return seen


def test_registry_order_and_default_configuration():
    theirs = ["random", "mf", "causal_llm", "bert", "sw_ranking"]
    assert list(ROUTER_CLS) == [*theirs, "local", "llm_classifier", "rules", "semantic", "fitted"]
    assert list(GPT_4_AUGMENTED_CONFIG) == ["sw_ranking", "causal_llm", "bert", "mf"]
    assert GPT_4_AUGMENTED_CONFIG["mf"] == {"checkpoint_path": "routellm/mf_gpt4_augmented"}
    assert NAME_TO_CLS[RandomRouter] == "random"


def test_patched_completion_gets_exactly_the_originals_keywords(c, calls):
    answer = c.chat.completions.create(model="router-length-0.5", messages=HELLO, temperature=0.1, extra=None)
    assert answer.model == "big"
    assert calls == [
        {
            "api_base": "http://base",
            "api_key": "k",
            "messages": HELLO,
            "temperature": 0.1,
            "extra": None,
            "model": "big",
        }
    ]


async def test_async_twin(c, calls):
    answer = await c.chat.completions.acreate(model="router-length-0.6", messages=HELLO)
    assert answer.model == "small"
    assert calls[0] == {"api_base": "http://base", "api_key": "k", "messages": HELLO, "model": "small"}
    assert dict(c.model_counts["length"]) == {"small": 1}


def test_model_overrides_router_and_threshold(c, calls):
    assert c.completion(model="router-length-0.9", router="random", threshold=0.0, messages=HELLO).model == "small"
    assert c.completion(router="length", threshold=0.1, messages=HELLO).model == "big"
    assert "router" not in calls[1]
    assert "threshold" not in calls[1]


def test_the_calls_own_endpoint_wins(c, calls):
    c.completion(router="length", threshold=0.1, messages=HELLO, api_key="mine", api_base=None)
    assert (calls[0]["api_key"], calls[0]["api_base"]) == ("mine", None)


def test_counts_are_of_completions_only_and_before_the_call(c, monkeypatch):
    c.route("hello", "length", 0.5)
    c.decide("hello", "length", 0.5)
    assert c.model_counts == {}

    def fails(**_):
        raise ConnectionError

    monkeypatch.setattr(module, "completion", fails)
    with pytest.raises(ConnectionError):
        c.completion(model="router-length-0.5", messages=HELLO)
    assert c.model_counts == {"length": {"big": 1}}


@pytest.mark.parametrize(
    ("kwargs", "error"),
    [
        ({"router": "length", "threshold": 0.5}, KeyError),
        ({"router": "length", "threshold": 0.5, "messages": []}, IndexError),
        ({"router": "length", "threshold": "0.5", "messages": HELLO}, TypeError),
        ({"model": None, "messages": HELLO}, AttributeError),
        ({"messages": HELLO}, RoutingError),
        ({"router": 5, "threshold": 0.5, "messages": HELLO}, RoutingError),
    ],
)
async def test_mistakes_keep_their_types_and_are_routing_errors(c, calls, kwargs, error):
    for create in (c.completion, lambda **k: asyncio.run(c.acompletion(**k))):
        with pytest.raises(error) as caught:
            await asyncio.to_thread(create, **kwargs)
        assert isinstance(caught.value, RoutingError)
        assert str(caught.value)
    assert calls == []


def test_decide_explains_itself(c):
    d = c.decide("hello", router="length", threshold=0.4)
    assert (d.model, d.router, d.win_rate, d.threshold, d.share) == ("big", "length", 0.5, 0.4, None)
    assert d.reason == "win rate 0.5000 >= threshold 0.4: strong model"
    assert 0 < d.routing_us < 1e6
    assert not d.warmup
    assert c.decide("hello", model="router-length-0.4").model == "big"
    assert c.decide("hello", "router-length-0.4") == d.__class__(**(vars(d) | {"routing_us": ANY}))
    with pytest.raises(RoutingError, match="unspecified"):
        c.decide("hello", "nope")
    assert "big (length: win rate" in str(d)
    assert "<table" in d._repr_html_()
    with pytest.raises(AttributeError):
        d.model = "other"
    assert copy.copy(d) == pickle.loads(pickle.dumps(d)) == d
    assert d == Decision(**vars(d))
    assert hash(d) == hash(Decision(**vars(d)))


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("plain", "plain"),
        (None, ""),
        (
            [
                {"type": "text", "text": "a"},
                {"type": "image_url", "image_url": {"url": "u"}},
                {"type": "text", "text": "b"},
            ],
            "a\nb",
        ),
        ([], ""),
    ],
)
def test_text_of_the_last_message(c, content, text):
    seen = []
    c.routers["length"].calculate_strong_win_rate = lambda prompt: seen.append(prompt) or 0.5
    c.decide([{"role": "system", "content": "no"}, {"role": "user", "content": content}], "length", 0.5)
    assert seen == [text]


async def test_patched_and_overridden_routers_are_honoured(c, calls):
    c.routers["random"].calculate_strong_win_rate = lambda _prompt: 0.25
    assert c.decide("x", "random", 0.25).win_rate == 0.25
    await c.acompletion(router="random", threshold=0.26, messages=HELLO)
    assert calls[-1]["model"] == "small"

    class Third(Length):
        def route(self, prompt, threshold, routed_pair):
            return "third"

    c.routers["third"] = Third()
    assert c.route("x", "third", 0.5) == "third"
    await c.acompletion(router="third", threshold=0.5, messages=HELLO)
    c.completion(router="third", threshold=0.5, messages=HELLO)
    assert [call["model"] for call in calls[-2:]] == ["third", "third"]
    d = c.decide("x", "third", 0.5)
    assert (d.model, d.win_rate) == ("third", None)
    assert d.reason == "Third.route chose it"
    with pytest.raises(RoutingError, match="decides by itself"):
        c.decide("x", "third", Share(0.3))


async def test_any_object_with_a_route_method_will_do(registered, calls):
    class Slotted:
        __slots__ = ()

        def route(self, prompt, threshold, pair):
            return pair.weak

    registered["odd"] = Slotted
    registered["made"] = lambda scale: Length(scale)
    c = Controller(["odd", "made", "made"], "big", "small", config={"made": {"scale": 1}, "unused": {"x": 1}})
    assert list(c.routers) == ["odd", "made"]
    assert c.completion(model="router-odd-0.5", messages=HELLO).model == "small"
    assert (await c.acompletion(model="router-odd-0.5", messages=HELLO)).model == "small"
    assert c.route("abc", "made", 1.0) == "big"


def test_overridden_private_methods_are_called(registered, calls):
    class Mine(Controller):
        def _get_routed_model_for_completion(self, messages, router, threshold):
            return "mine"

        def _parse_model_name(self, model):
            return "length", 0.5

    c = Mine(["length"], "big", "small")
    assert c.completion(model="anything", messages=HELLO).model == "mine"
    assert asyncio.run(c.acompletion(model="anything", messages=HELLO)).model == "mine"
    assert c.model_counts == {}


def test_construction_errors(registered):
    with pytest.raises(KeyError, match="unknown router 'nope'"):
        Controller(["nope"], "a", "b")
    with pytest.raises(TypeError):
        Controller(["mf"], "a", "b", config={})
    with pytest.raises(TypeError, match="list of names"):
        Controller("random", "a", "b")
    Controller(["random"], "a", "b", {"random": None})


def test_names_of_routers_registered_later(registered):
    assert str(Length()) == "length"
    assert str(RandomRouter()) == "random"

    class Nameless(Length):
        pass

    assert str(Nameless()) == "Nameless"
    assert no_parallel(Nameless).NO_PARALLEL


def test_pair_can_be_changed_at_run_time(c, calls):
    c.model_pair.strong = "other"
    assert c.completion(router="length", threshold=0, messages=HELLO).model == "other"
    assert c.model_pair == ModelPair("other", "small")


def test_random_follows_the_global_seed(c):
    random.seed(7)
    drawn = [c.decide("x", "random", 0.5).win_rate for _ in range(3)]
    random.seed(7)
    assert drawn == [random.uniform(0, 1) for _ in range(3)]


async def test_async_routing_never_blocks_the_loop(registered, calls):
    class Slow(Router):
        def calculate_strong_win_rate(self, prompt):
            time.sleep(0.3)
            return 1.0

    registered["slow"] = Slow
    c = Controller(["slow"], "big", "small")
    pending = asyncio.ensure_future(c.acompletion(model="router-slow-0.5", messages=HELLO))
    ticks = 0
    while not pending.done():
        await asyncio.sleep(0.01)
        ticks += 1
    assert ticks >= 10
    assert (await pending).model == "big"


def test_counts_hold_under_threads(c, calls):
    def work():
        for _ in range(200):
            c.completion(model="router-length-0.5", messages=HELLO)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert c.model_counts == {"length": {"big": 1600}}
    assert len(c._windows["length"][1]) == 1000


def test_pickle_keeps_settings_and_starts_counts_anew(calls):
    c = Controller(["local", "random"], "big", "small", api_base="http://base")
    c.completion(model="router-local-0.0", messages=HELLO)
    again = pickle.loads(pickle.dumps(c))
    assert again.model_counts == {}
    assert again.model_pair == c.model_pair
    assert again.decide("hello", "local", 0.5).win_rate == c.decide("hello", "local", 0.5).win_rate
    assert again.completion(model="router-local-0.0", messages=HELLO).model == "big"
    assert pickle.loads(pickle.dumps(c.model_counts)) == c.model_counts


def test_key_is_not_in_the_repr(c):
    assert repr(c) == (
        "Controller(routers=['length', 'random'], strong_model='big', weak_model='small', api_base='http://base')"
    )


@pytest.mark.parametrize(
    ("base", "shown"),
    [
        ("https://user:SECRET@host:8000/v1?key=SECRET#SECRET", "https://host:8000/v1"),
        ("https://host/v1?key=SECRET", "https://host/v1"),
        ("user:SECRET@host/v1", "host/v1"),
        ("https://user:SEC/RET@host/v1", "..."),
        ("localhost:8000/v1", "localhost:8000/v1"),
    ],
)
def test_no_part_of_an_address_that_may_be_secret_is_in_the_repr(base, shown):
    assert repr(Controller(["random"], "big", "small", api_base=base)).endswith(f", api_base={shown!r})")


@given(st.text(), st.floats(0, 1), st.floats(0, 1))
def test_monotone_in_the_threshold(prompt, a, b):
    c = Controller(["local"], "big", "small")
    low, high = sorted((a, b))
    at_low, at_high = c.decide(prompt, "local", low), c.decide(prompt, "local", high)
    assert 0 <= at_low.win_rate <= 1
    assert at_low.model == "big" or at_high.model == "small"


class TestShare:
    def test_model_string_and_value_are_one(self, c):
        assert c._parse_model_name("router-length-30%") == ("length", Share(0.3))
        d = c.decide("hello", model="router-length-50%")
        assert (d.share, d.threshold, d.warmup, d.model) == (0.5, None, True, "big")
        assert "for want of earlier scores" in d.reason
        assert repr(Share(0.3)) == "Share(0.3)"
        assert f"{Share(0.07)}" == "7%"

    @pytest.mark.parametrize("text", ["130%", "-1%", "nan%"])
    def test_out_of_range(self, c, text):
        with pytest.raises(RoutingError, match="between 0% and 100%"):
            c.decide("hello", model=f"router-length-{text}")

    def test_share_comes_out_and_decide_leaves_no_trace(self, c, calls):
        rng = random.Random(3)
        c.routers["length"].calculate_strong_win_rate = lambda _prompt: 0.6 + 0.01 * rng.random()
        for i in range(3000):
            c.completion(model="router-length-30%", messages=[{"role": "user", "content": str(i)}])
        counts = c.model_counts["length"]
        # 3,000 draws: standard deviation 0.0084, plus the error of the window's own quantile
        assert abs(counts["big"] / 3000 - 0.3) < 0.04
        size = len(c._windows["length"][1])
        c.decide("x", model="router-length-30%")
        assert len(c._windows["length"][1]) == size == 1000
        c.route("x", "length", 0.5)
        assert not c.decide("x", "length", Share(0.3)).warmup

    def test_local_starts_from_shipped_quantiles(self):
        c = Controller(["local"], "big", "small")
        assert len(c.routers["local"].score_quantiles) == 100
        d = c.decide("Prove that there are infinitely many primes.", model="router-local-30%")
        assert d.warmup
        assert "100 reference scores" in d.reason

    def test_a_replaced_router_starts_a_new_window(self, c):
        c.route("hello", "length", 0.5)
        c.routers["length"] = Length()
        assert "for want of earlier scores" in c.decide("hello", model="router-length-30%").reason

    def test_lone_surrogates(self, c):
        assert c.decide("\ud800" * 3, model="router-length-30%").model in {"big", "small"}


class TestBatch:
    def test_kinds(self, c):
        import numpy as np
        import pandas as pd
        import polars as pl

        texts = ["a", "abc", "abcdefghijklmnop", ""]
        rates = [0.1, 0.3, 1.0, 0.0]
        assert c.batch_calculate_win_rate(texts, "length") == rates
        assert c.batch_calculate_win_rate(tuple(texts), "length") == tuple(rates)
        found = c.batch_calculate_win_rate(np.array(texts), "length")
        assert isinstance(found, np.ndarray)
        assert found.dtype == np.float64
        assert found.tolist() == rates
        series = pd.Series(texts, index=[7, 3, 3, 1], name="prompt")
        found = c.batch_calculate_win_rate(series, "length")
        pd.testing.assert_series_equal(found, pd.Series(rates, index=[7, 3, 3, 1], name="prompt"))
        found = c.batch_calculate_win_rate(pl.Series("prompt", texts), "length")
        assert found.name == "prompt"
        assert found.to_list() == rates
        assert c.batch_calculate_win_rate([], "length") == []

    def test_mistakes(self, c):
        import numpy as np
        import pandas as pd

        for wrong in ("one string", 5, np.array([["a"]]), pd.DataFrame({"prompt": ["a"]})):
            with pytest.raises(TypeError, match="prompts is"):
                c.batch_calculate_win_rate(wrong, "length")
        with pytest.raises(RoutingError, match="Invalid router nope"):
            c.batch_calculate_win_rate(["a"], "nope")

    def test_batch_is_one_by_one_even_when_patched(self):
        c = Controller(["local"], "big", "small")
        texts = [f"question {i}: what is {i} times {i}?" for i in range(50)] + ["", "\ud800", "日本語"]
        one_by_one = [c.routers["local"].calculate_strong_win_rate(text) for text in texts]
        assert c.batch_calculate_win_rate(texts, "local") == one_by_one
        c.routers["local"].calculate_strong_win_rate = lambda _text: 0.125
        assert c.batch_calculate_win_rate(texts, "local") == [0.125] * len(texts)

        class Mine(LocalRouter):
            def calculate_strong_win_rate(self, prompt):
                return 0.25

        c.routers["local"] = Mine()
        assert c.batch_calculate_win_rate(texts, "local") == [0.25] * len(texts)

    def test_progress(self, registered, capsys):
        c = Controller(["length"], "big", "small", progress_bar=True)
        c.batch_calculate_win_rate(["a"] * 3, "length")
        shown = capsys.readouterr().err
        assert "Loading routers" in shown
        assert "Scoring with length" in shown


class TestPatchesOnClasses:
    """What `unittest.mock.patch.object` does to a class takes effect on every path."""

    async def test_route_of_the_base_class(self, calls):
        c = Controller(["local"], "big", "small")
        with patch.object(Router, "route", return_value="patched"):
            assert c.route("x", "local", 0.5) == "patched"
            assert (await c.acompletion(model="router-local-0.5", messages=HELLO)).model == "patched"
        assert c.route("x", "local", 0.0) == "big"

    async def test_scoring_of_a_built_in(self, calls):
        c = Controller(["local"], "big", "small")
        with patch.object(LocalRouter, "calculate_strong_win_rate", return_value=0.75):
            assert c.decide("x", "local", 0.5).win_rate == 0.75
            assert c.batch_calculate_win_rate(["a", "b"], "local") == [0.75, 0.75]
            answer = await c.acompletion(model="router-local-0.75", messages=HELLO)
            assert answer.routing.win_rate == 0.75

    async def test_the_choice_of_the_controller(self, c, calls):
        with patch.object(Controller, "_get_routed_model_for_completion", return_value="patched"):
            assert c.completion(model="router-length-0.5", messages=HELLO).model == "patched"
            assert (await c.acompletion(model="router-length-0.5", messages=HELLO)).model == "patched"


async def test_an_override_that_calls_ours_keeps_the_decision(registered, calls):
    class Trimming(Controller):
        def _get_routed_model_for_completion(self, messages, router, threshold):
            return super()._get_routed_model_for_completion(messages[-1:], router, threshold)

    c = Trimming(["length"], "big", "small")
    for answer in (
        c.completion(model="router-length-0.5", messages=HELLO),
        await c.acompletion(model="router-length-0.5", messages=HELLO),
    ):
        assert (answer.routing.model, answer.routing.win_rate, answer.routing.threshold) == ("big", 0.5, 0.5)
    assert c.model_counts == {"length": {"big": 2}}


class TestOddInput:
    def test_lone_surrogates_in_model_strings_are_routing_errors(self, c):
        for model in ("router-length-0.5\ud800", "router-\ud800-0.5", "\ud800"):
            with pytest.raises((RoutingError, ValueError)) as caught:
                c.completion(model=model, messages=HELLO)
            assert not isinstance(caught.value, UnicodeError)

    def test_numbers_beyond_every_float(self, c):
        with pytest.raises(RoutingError, match="Invalid threshold 1000"):
            c.decide("x", "length", 10**400)

    def test_conversations_may_be_tuples(self, c):
        assert c.decide(({"role": "user", "content": "hello"},), "length", 0.5).win_rate == 0.5

    def test_a_string_is_no_win_rate_and_odd_ones_are_noted(self, c):
        c.routers["length"].calculate_strong_win_rate = lambda _prompt: "0.5"
        with pytest.raises(TypeError, match="found the string"):
            c.decide("x", "length", 0.5)
        c.routers["length"].calculate_strong_win_rate = lambda _prompt: 2
        assert c.decide("x", "length", 0.5).notes == ("the router's win rate 2.0 is not in 0..1",)

    def test_prompts_that_are_no_strings_are_named(self):
        import pandas as pd

        c = Controller(["local"], "big", "small")
        with pytest.raises(TypeError, match="prompt is a string, found None"):
            c.decide(None, "local", 0.5)
        with pytest.raises(TypeError, match=r"prompt 1 is a string, found (None|nan)"):
            c.batch_calculate_win_rate(pd.Series(["a", None]), "local")
        for router in (LocalRouter(), RandomRouter()):
            with pytest.raises(TypeError, match="found a single string"):
                router.calculate_strong_win_rates("ab")
        with pytest.raises(TypeError, match="config maps"):
            Controller(["local"], "big", "small", config=[])

    def test_other_kinds_of_prompts(self, c):
        import pandas as pd
        import polars as pl

        assert c.batch_calculate_win_rate(pd.Index(["a"]), "length").tolist() == [0.1]
        with pytest.raises(TypeError, match="polars Expr"):
            c.batch_calculate_win_rate(pl.col("a"), "length")

    def test_uniform_traffic_gets_its_share_once_warm(self):
        c = Controller(["local"], "big", "small")
        strong = 0
        for i, n in enumerate(random.Random(0).sample(range(600), 600)):
            prompt = f"Tom has {n} apples and gives {n % 9} to each of {n % 7} friends. How many are left?"
            d = c.decide(prompt, model="router-local-30%", remember=True)
            assert d.warmup == (i < 100)
            strong += d.model == "big" and not d.warmup
        # 500 draws: a standard deviation of 10, and the early windows of a hundred scores add theirs
        assert 100 <= strong <= 200
