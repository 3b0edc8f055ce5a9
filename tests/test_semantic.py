"""Semantic routes: what is near, what is none, thresholds with and without examples, and every way to ask."""

from __future__ import annotations

import asyncio
import json
import pickle
import re
from pathlib import Path
from threading import Thread

import numpy as np
import openai
import pytest

from fakeserver import Answer, FakeServer
from ferroute import _core
from ferroute.controller import Controller
from ferroute.errors import FerrouteError, InvalidTypeError, UnreadableFileError
from ferroute.routers.routers import ROUTER_CLS
from ferroute.routers.semantic import SemanticRouter

# Measured: see docs/semantic.md.
ACCURACY, NONE_RECALL = 0.76, 0.88
# Models without an end: retired ones are passed over.
TIERS = {"cheap": "claude-haiku-4-5", "mid": "claude-sonnet-4-5", "expensive": "gpt-5.2"}
CODE = ["Write a Python function", "Why does my loop never end?", "Fix this compiler error", "Explain this SQL query"]
COOKING = ["A recipe for lentil soup", "How long do I boil potatoes?", "What goes with roast chicken?", "Bake a cake"]
ROUTES = {"code": CODE, "cooking": COOKING}
MAP = {"code": "expensive", "cooking": "cheap"}
UNRELATED = [
    "Who won the election in 1932?",
    "hello",
    "What is the capital of Peru?",
    "I had a wonderful day",
    "asdf qwer",
    "🙂",
    "你好",
    "",
    "Tell me about the French Revolution",
    "name the planets",
]


def router(**more):
    return SemanticRouter(**{"routes": ROUTES, "map": MAP, **more})


def controller(routers=("semantic",), **more):
    config = {"semantic": {"routes": ROUTES, "map": MAP, **more}}
    # At an address of one's own, where no provider shuts a model down while these tests are kept.
    return Controller(routers=list(routers), tiers=TIERS, config=config, api_base="http://127.0.0.1:9/v1")


def ask(r, text):
    return r.choose(_core.Request(text))


def cases(which):
    lines = Path(__file__).with_name("semantic_cases.jsonl").read_text().splitlines()
    rows = [row for row in map(json.loads, lines) if row["set"] == which]
    routes = {}
    for row in rows:
        if row["role"] == "utterance":
            routes.setdefault(row["route"], []).append(row["text"])
    prompts = [(row["text"], row["route"]) for row in rows if row["role"] == "prompt"]
    return routes, [text for text, _ in prompts], [route for _, route in prompts]


def words(text):
    """An embedder for tests: a bag of hashed words, with what all texts share."""
    vector = np.full(32, 0.5)
    for word in text.lower().replace("?", "").split():
        vector[sum(map(ord, word)) % 32] += 1
    return vector


def test_what_is_near_takes_its_route():
    c = controller()
    decision = c.decide("my python function never returns", router="semantic")
    assert (decision.tier, decision.model) == ("expensive", "gpt-5.2")
    assert "route 'code'" in decision.reason
    assert c.decide("how do I cook potato soup", router="semantic").tier == "cheap"
    assert c.decide("how do I cook potato soup", model="router-semantic").tier == "cheap"


@pytest.mark.parametrize("text", UNRELATED)
def test_what_is_near_nothing_goes_by_otherwise(text):
    decision = controller(otherwise="mid").decide(text, router="semantic")
    assert decision.tier == "mid"
    assert decision.reason.startswith("no route")


def test_otherwise_may_be_a_learned_router():
    c = controller(["semantic", "local"], otherwise="router-local-0.0,0.0")
    assert c.decide(UNRELATED[0], router="semantic").tier == "expensive"
    assert c.decide(COOKING[0], router="semantic").tier == "cheap"
    c = controller(["semantic", "local"], map={"code": "router-local-1.0,1.0", "cooking": "mid"})
    assert c.decide(CODE[0], router="semantic").tier == "cheap"


def test_the_verdict_explains_itself():
    r = router()
    verdict = ask(r, "my python function never returns")
    assert (verdict.label, verdict.rung, verdict.scores[0][0]) == ("code", "expensive", "code")
    assert f"{verdict.scores[0][1]:.3f}" in verdict.reason and f"{r.thresholds['code']:.3f}" in verdict.reason
    near = r.similarities(["my python function never returns"])[0]
    assert dict(verdict.scores) == pytest.approx(dict(zip(ROUTES, near, strict=True)))
    none = ask(r, UNRELATED[0])
    assert (none.label, none.rung) == (None, "mid")
    for text, given in (("my python function never returns", verdict), (UNRELATED[0], none)):
        (said,) = r.would_change(_core.Request(text), given)
        assert "threshold" in said
    # What it says is true.
    near = max(zip(r.similarities([UNRELATED[0]])[0], ROUTES, strict=True))
    r.thresholds = {near[1]: near[0]}
    assert ask(r, UNRELATED[0]).label == near[1]


def test_a_route_leads_to_the_rung_of_its_own_name_unless_mapped():
    config = {"semantic": {"routes": {"expensive": CODE}}}
    c = Controller(["semantic"], tiers=TIERS, config=config, api_base="http://127.0.0.1:9/v1")
    assert c.decide(CODE[0], router="semantic").tier == "expensive"
    with pytest.raises(ValueError, match=r"route 'code' leads to 'code': expected one of the rungs cheap, mid.*map="):
        Controller(["semantic"], tiers=TIERS, config={"semantic": {"routes": ROUTES}})
    with pytest.raises(ValueError, match=r"otherwise leads to 'router-locl-0.3,0.7': expected one of the routers"):
        controller(otherwise="router-locl-0.3,0.7")
    pair = Controller(["semantic"], "gpt-5.2", "claude-haiku-4-5", config={"semantic": {"routes": ROUTES, "map": MAP}})
    assert pair.decide(CODE[0], router="semantic").model == "gpt-5.2"


@pytest.mark.parametrize(
    ("arguments", "kind", "said"),
    [
        ({"routes": {}}, ValueError, "routes is empty"),
        ({"routes": ["code"]}, TypeError, "routes is a mapping.*found list"),
        ({"routes": {"code": []}}, ValueError, "route 'code' has no utterance"),
        ({"routes": {"code": "text"}}, TypeError, "route 'code': expected a list of example utterances, found str"),
        ({"routes": {"code": ["x", 3]}}, TypeError, "route 'code', utterance 2: expected a string, found int"),
        ({"routes": {"code": ["  "]}}, ValueError, "route 'code', utterance 1 is empty"),
        ({"routes": {3: ["x"]}}, TypeError, "name of a route is a string"),
        (
            {"routes": {"a": ["Hello there"], "b": ["hello THERE "]}, "map": None},
            ValueError,
            "in two routes, 'a' and 'b'",
        ),
        ({"map": {"cod": "mid"}}, ValueError, "map has 'cod', which is no route; there are code, cooking"),
        ({"map": {"code": 3}}, TypeError, r"map\['code'\] is a rung"),
        ({"otherwise": None}, TypeError, "otherwise is a rung"),
        ({"embedder": 5}, TypeError, "callable from a text to a vector; found int"),
        ({"thresholds": {"cod": 0.3}}, ValueError, "thresholds has 'cod'"),
        ({"thresholds": {"code": 1.5}}, ValueError, "from -1 to 1, found 1.5"),
        ({"thresholds": float("nan")}, ValueError, "from -1 to 1, found nan"),
        ({"thresholds": True}, TypeError, "a number from -1 to 1"),
        ({"thresholds": "there/is/none.json"}, FileNotFoundError, "no file of thresholds"),
        ({"examples": [("x", "cod")]}, ValueError, "label 0 is 'cod': expected None or one of code, cooking"),
        ({"examples": ["x"]}, TypeError, r"examples\[0\]: expected a pair"),
        ({"examples": [(1, None)]}, TypeError, r"examples\[0\]: expected a text, found int"),
    ],
)
def test_mistakes_are_told(arguments, kind, said):
    with pytest.raises(kind, match=said):
        router(**arguments)


async def test_an_embedder_that_fails_is_told_with_what_it_was_given():
    def fails_on(bad):
        def embed(text):
            if bad in text:
                raise RuntimeError("no memory left")
            return [float(len(text)), 1.0, float(text.count("e"))]

        return embed

    said = "semantic: the embedder failed on {}: RuntimeError: no memory left"
    for bad, what in ((CODE[0], "the routes' utterances and the ordinary texts"), ("zzz", "a prompt")):
        one = router(embedder=fails_on(bad))
        request = _core.Request("zzz")
        with pytest.raises(FerrouteError) as told:
            one.choose(request)
        assert str(told.value) == said.format(what) and isinstance(told.value.__cause__, RuntimeError)
        with pytest.raises(FerrouteError, match=re.escape(said.format(what))):
            await router(embedder=fails_on(bad)).achoose(request)
    with pytest.raises(FerrouteError, match="failed on 2 prompts"):
        router(embedder=fails_on("zzz")).similarities(["a", "zzz"])
    with pytest.raises(FerrouteError, match="failed on its examples"):
        router(embedder=fails_on("zzz"), examples=[("zzz", None)]).choose(request)


def test_mistakes_of_types_and_paths_are_told(tmp_path):
    one = router()
    for call in (one.plot, one.similarities):
        with pytest.raises(InvalidTypeError, match="prompts is a list of strings; found int"):
            call(5)
    with pytest.raises(UnreadableFileError, match=r"none.x.json: cannot be written"):
        one.save(tmp_path / "none" / "x.json")


def test_the_same_utterance_twice_counts_once():
    assert (
        router(routes={"code": [*CODE, CODE[0], f" {CODE[1]}\n"], "cooking": COOKING}).thresholds == router().thresholds
    )


def test_thresholds_may_be_given():
    assert router(thresholds=0.4).thresholds == {"code": 0.4, "cooking": 0.4}
    usual = router().thresholds
    assert router(thresholds={"code": np.float32(0.25)}).thresholds == {"code": 0.25, "cooking": usual["cooking"]}
    r = router(thresholds=1.0)
    assert ask(r, "write me a python function").label is None
    r.thresholds = -1.0
    assert ask(r, UNRELATED[0]).label in ROUTES


def test_a_higher_threshold_takes_less():
    texts = CODE + COOKING + UNRELATED + ["python", "soup", "query the database", "boil an egg"]
    routers = [router(thresholds=float(threshold)) for threshold in np.linspace(-1, 1, 41)]
    taken = [[verdict.label is not None for verdict in r.choose_batch(texts)] for r in routers]
    assert (np.diff(np.array(taken, dtype=int), axis=0) <= 0).all()
    assert sum(taken[0]) == len(texts) and sum(taken[-1]) == 0


def test_the_committed_cases():
    """Figures of docs/semantic.md: floors a little below what was measured."""
    routes, prompts, labels = cases("test")
    r = SemanticRouter(routes)
    found = r.evaluate(prompts, labels)
    assert found.n == 180
    assert found.accuracy >= ACCURACY
    assert found[None].recall >= NONE_RECALL
    # Against the plain cosine of the same embeddings, with the best single threshold there is in hindsight.
    asked, *examples = (_core.LocalModel.features(texts)[:, :64] for texts in (prompts, *routes.values()))
    near = np.array([(asked @ rows.T).max(axis=1) for rows in examples]).T
    names = list(routes)
    best = 0.0
    for threshold in np.unique(near.max(axis=1)):
        told = [names[row.argmax()] if row.max() >= threshold else None for row in near]
        best = max(best, np.mean([a == b for a, b in zip(told, labels, strict=True)]))
    assert found.accuracy > best + 0.08


def test_fitting_helps_where_it_was_not_fitted():
    routes, prompts, labels = cases("test")
    r = SemanticRouter(routes)
    before = r.evaluate(prompts[1::2], labels[1::2])
    fitted = r.fit(prompts[::2], labels[::2])
    assert fitted.mean_f1 >= r.evaluate(prompts[::2], labels[::2]).mean_f1 - 1e-12
    after = r.evaluate(prompts[1::2], labels[1::2])
    assert after.accuracy > before.accuracy - 0.03
    again = SemanticRouter(routes)
    again.fit(prompts[::2], labels[::2])
    assert again.thresholds == r.thresholds
    examples = SemanticRouter(routes, examples=zip(prompts[::2], labels[::2], strict=True))
    assert examples.thresholds == r.thresholds


def test_the_report():
    r = router(thresholds={"code": 0.3, "cooking": 0.3})
    found = r.evaluate([*CODE, UNRELATED[0]], ["code"] * 4 + [None])
    assert (found["code"].n, found["code"].recall, found["cooking"].recall) == (4, 1.0, None)
    assert found["cooking"].f1 is None and found.accuracy == 1.0
    shown = repr(found).splitlines()
    assert shown[0].split() == ["route", "threshold", "n", "precision", "recall", "F1"]
    assert shown[-1] == "5 prompts, accuracy 1.000, mean F1 1.000"
    assert ">code</th>" in found._repr_html_()
    with pytest.raises(KeyError, match="no route 'x'"):
        found["x"]
    assert r.evaluate([], []).accuracy is None
    with pytest.raises(ValueError, match="expected a label for each of 2 prompts, found 1"):
        r.fit(["a", "b"], ["code"])
    with pytest.raises(TypeError, match="single string"):
        r.fit(["a"], "code")
    # What a table has for an empty cell is none.
    assert r.evaluate(["a"], [float("nan")])[None].n == 1


def test_thresholds_are_saved(tmp_path):
    r = router()
    r.fit([*CODE, *UNRELATED], ["code"] * 4 + [None] * len(UNRELATED))
    path = tmp_path / "thresholds.json"
    r.save(path)
    assert router(thresholds=path).thresholds == r.thresholds
    other = router()
    other.load(str(path))
    assert other.thresholds == r.thresholds
    with pytest.raises(ValueError, match="had other utterances when it was fitted: fit again"):
        router(routes={**ROUTES, "code": CODE[:2]}, thresholds=path)
    with pytest.raises(ValueError, match="is of the routes code, cooking: expected code"):
        SemanticRouter({"code": CODE}, thresholds=path)
    with pytest.raises(ValueError, match="was fitted with the embedder 'ferroute/local-1'"):
        router(embedder=words, thresholds=path)
    for text in ("{", "[]", '{"format": 1, "embedder": {}, "routes": {"code": 3}}'):
        path.write_text(text)
        with pytest.raises(ValueError, match=r"thresholds\.json"):
            router(thresholds=path)


def test_one_many_and_async_are_the_same():
    c = controller()
    texts = [*CODE, *COOKING, *UNRELATED, "lone \ud800 surrogate", "x " * 20_000]
    single = [c.decide(text, router="semantic") for text in texts]
    assert [d.tier for d in c.decide_batch(texts, router="semantic")] == [d.tier for d in single]
    r = c.routers["semantic"]

    async def every():
        return [await r.achoose(_core.Request(text)) for text in texts]

    alone = [ask(r, text).reason for text in texts]
    assert all(d.reason.startswith(reason) for d, reason in zip(single, alone, strict=True))
    assert [v.reason for v in asyncio.run(every())] == alone
    done = []
    assert [v.reason for v in r.choose_batch(texts, done.append)] == alone
    assert sum(done) == len(texts)
    assert r.choose_batch([]) == []
    with pytest.raises(TypeError, match="prompt 1 is a string"):
        r.choose_batch(["a", 3])


def test_an_overridden_choice_is_honoured():
    class Own(SemanticRouter):
        def choose(self, request):
            return "expensive"

    r = Own(ROUTES)
    assert r.choose_batch(["a", "b"]) == ["expensive"] * 2
    assert asyncio.run(r.achoose(_core.Request("a"))) == "expensive"


def test_it_pickles():
    r = router()
    r.fit([*CODE, *UNRELATED], ["code"] * 4 + [None] * len(UNRELATED))
    back = pickle.loads(pickle.dumps(r))
    assert back.thresholds == r.thresholds and back.map == MAP
    assert repr(back) == repr(r)
    c = pickle.loads(pickle.dumps(controller()))
    assert c.decide(CODE[0], router="semantic").tier == "expensive"


def test_it_shows_its_routes():
    shown = repr(router(thresholds=0.25, routes={"code": CODE[:1], "cooking": COOKING}))
    assert shown.splitlines() == [
        "<SemanticRouter ferroute/local-1",
        "  code -> expensive (1 utterance, from 0.250 on)",
        "  cooking -> cheap (4 utterances, from 0.250 on)",
        "  otherwise mid>",
    ]
    assert router().named_rungs == ["cheap", "expensive", "mid"]
    assert str(router()) == "semantic" and ROUTER_CLS["semantic"] is SemanticRouter


def test_threads_share_one():
    c = controller()
    expected = [c.decide(text, router="semantic").tier for text in CODE + COOKING]
    found = []

    def work():
        for _ in range(50):
            same = [c.decide(text, router="semantic").tier for text in CODE + COOKING] == expected
            found.append(same)

    threads = [Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 200 and all(found)


def test_any_callable_embeds():
    asked = []

    def embedder(text):
        asked.append(text)
        return words(text)

    r = router(embedder=embedder)
    assert asked == [] and "from" not in repr(r)
    verdict = ask(r, "write a python function please")
    assert verdict.label == "code"
    assert len(asked) == len(CODE + COOKING) + len(_core.semantic_ordinary_texts()) + 1
    batch = r.choose_batch(["write a python function please", "zebra"])
    assert batch[0].reason == verdict.reason
    assert len(asked) == 8 + 129 + 1 + 2
    back = pickle.loads(pickle.dumps(router(embedder=words)))
    assert ask(back, "write a python function please").reason == verdict.reason
    ask(r, "x")
    r.embedder = None  # a lambda of a test cannot be pickled, what it gave can
    assert pickle.loads(pickle.dumps(r)).thresholds == r.thresholds


async def test_an_asynchronous_callable_embeds():
    async def embedder(text):
        return words(text)

    verdict = await router(embedder=embedder).achoose(_core.Request("write a python function please"))
    assert verdict.reason == ask(router(embedder=words), "write a python function please").reason


def test_vectors_that_do_not_fit_are_told():
    def broken(text):
        return {"nan": [float("nan")] * 32, "short": [1.0, 2.0]}.get(text, words(text))

    r = router(embedder=broken)
    with pytest.raises(ValueError, match="finite numbers, found NaN at 0"):
        ask(r, "nan")
    with pytest.raises(ValueError, match="a vector of 32 numbers as the routes', found 2"):
        ask(r, "short")
    with pytest.raises(ValueError, match="prompt 1: expected a vector of finite"):
        r.choose_batch(["fine", "nan"])
    bad = router(routes={"code": ["nan"], "cooking": COOKING}, embedder=broken)
    with pytest.raises(ValueError, match="route 'code', utterance 1: expected a vector of finite"):
        ask(bad, "x")


async def test_an_endpoint_embeds_and_its_cost_is_told():
    with FakeServer(dim=16) as server:
        c = controller(
            embedder={
                "model": "text-embedding-3-small",
                "api_base": server.url,
                "api_key": "sk-secret",
                "dimensions": 16,
            }
        )
        assert "sk-secret" not in repr(c.routers["semantic"])
        decision = c.decide("write a python function please", router="semantic")
        assert decision.router_cost_usd is not None and decision.router_cost_usd > 0
        assert {len(request.json["input"]) for request in server.requests} == {137, 1}
        before = len(server.requests)
        text = "how do I cook rice"
        first = (await c.routers["semantic"].achoose(_core.Request(text))).reason
        assert c.decide(text, router="semantic").reason.startswith(first)  # from the cache
        assert len(server.requests) == before + 1
        assert c.decide_batch([text, "write a python function please"], router="semantic")[0].reason.startswith(first)
        server.then(*[Answer(status=400, body=b'{"error": {"message": "no"}}')] * 2)
        with pytest.raises(openai.BadRequestError):
            c.decide("another text", router="semantic")


def test_completions_streams_and_async():
    with FakeServer() as server:
        models = {"cheap": "gpt-4o-mini", "mid": "gpt-4o", "expensive": "gpt-5.2"}
        tiers = {name: {"model": model, "api_base": server.url, "api_key": "k"} for name, model in models.items()}
        c = Controller(["semantic"], tiers=tiers, config={"semantic": {"routes": ROUTES, "map": MAP}})
        messages = [{"role": "user", "content": "my python function never returns"}]
        answer = c.chat.completions.create(model="router-semantic", messages=messages)
        assert answer.routing.tier == "expensive"
        with c.chat.completions.create(model="router-semantic", messages=messages, stream=True) as stream:
            assert stream.routing.tier == "expensive"
            list(stream)
        answer = asyncio.run(c.acompletion(model="router-semantic", messages=messages))
        assert answer.routing.tier == "expensive"
        assert {request.json["model"] for request in server.requests} == {"gpt-5.2"}


def test_pictures():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    r = router()
    one = r.plot("my python function costs $5")
    assert [label.get_text() for label in one.get_yticklabels()] == list(ROUTES)
    assert len(one.patches) == 2
    assert [r.plot(text).get_title(loc="left") for text in ("", " \n")] == ["A text without words"] * 2
    many = r.plot([*CODE, *UNRELATED], ["code"] * 4 + [None] * len(UNRELATED))
    assert [text.get_text() for text in many.get_legend().get_texts()] == [
        "other prompts",
        "prompts of the route",
        "threshold",
    ]
    own = r.plot([*CODE], ax=one)
    assert own is one
    many.figure.canvas.draw()
    plt.close("all")
