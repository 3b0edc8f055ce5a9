"""What people look at in a notebook: it is HTML, names are escaped, and it is readable on light and dark pages."""

from __future__ import annotations

import re

import numpy as np
import pytest

import ferroute
from ferroute import calibrate, pricing, rollout
from ferroute._notebook import NO_MATH, lines
from ferroute._progress import bar_class
from ferroute.embedding import LocalEmbedder
from ferroute.evals import compare, score_router
from ferroute.evals.benchmarks import MTBench
from ferroute.evals.model_comparison import ModelComparison
from ferroute.gateway import Gateway
from ferroute.shadow import ShadowStats

NASTY = "<img src=x onerror=alert(1)>"
RNG = np.random.default_rng(0)
RATES = RNG.random(200)
STRONG = (RNG.random(200) < 0.9).astype(float)
WEAK = (RNG.random(200) < 0.95 - 0.6 * RATES).astype(float)
BOTH = np.stack([STRONG, WEAK], axis=1)


def decision():
    client = ferroute.Controller(["local"], strong_model="openai/gpt-5.5", weak_model=f"openai/{NASTY}")
    return client.decide("hi", router="local", threshold=1.0)


def comparison():
    return compare({NASTY: RATES}, BOTH, (0.01, 0.001), models=[NASTY, "weak"], bootstrap=20)


def among_three():
    scores = np.column_stack([BOTH, WEAK])
    made = compare({NASTY: scores}, scores, [3.0, 2.0, 1.0], models=["a", NASTY, "c"], bootstrap=20)
    assert isinstance(made, ModelComparison)
    return made


def certificate():
    return calibrate.guarantee(RATES, STRONG, WEAK, max_quality_loss=0.2, judge=NASTY)


def ab_test():
    test = rollout.ABTest("owls", a=NASTY, b="other")
    test.observe_many([("a", 0.5), ("b", 0.9)])
    return test


LOOKED_AT = {
    "decision": decision,
    "explanation": lambda: decision().explain(at="2026-11-26"),
    "result": lambda: score_router(RATES, STRONG, WEAK, bootstrap=20, name=NASTY),
    "comparison": comparison,
    "differences": lambda: compare({NASTY: RATES, "b": 1 - RATES}, BOTH, bootstrap=20).differences(),
    "difference along the curve": lambda: compare({NASTY: RATES, "b": 1 - RATES}, BOTH, bootstrap=20).difference_curve(
        NASTY, "b"
    ),
    "comparison of models": among_three,
    "certificate": certificate,
    "budget": lambda: calibrate.budget(RATES, STRONG, WEAK, 0.01, 0.001, max_mean_cost=0.008),
    "threshold": lambda: calibrate.share(RATES, 0.3),
    "calibration table": lambda: calibrate.calibrate(RATES, name=NASTY),
    "explorer": lambda: ferroute.explore({NASTY: RATES}),
    "price": lambda: pricing.price("gpt-5.5", at="2026-11-26"),
    "cost": lambda: pricing.breakdown("gpt-5.5", input_tokens=10, output_tokens=10, at="2026-11-26"),
    "prices side by side": lambda: pricing.compare(["gpt-5.5", "gpt-5.4-mini"], input_tokens=10, at="2026-11-26"),
    "scenario": lambda: pricing.scenario(
        requests=10, input_tokens=10, output_tokens=10, mix={"gpt-5.5": 1}, baseline="gpt-5.5", at="2026-11-26"
    ),
    "A/B test": ab_test,
    "result of an A/B test": lambda: ab_test().result(),
    "watch": lambda: rollout.Watch(certificate()),
    "policy": lambda: ferroute.CallPolicy(retries=5, fallbacks=[NASTY]),
    "shadow": lambda: ferroute.Shadow(share=0.1),
    "spend": lambda: ferroute.Controller(["local"], strong_model="gpt-5.5", weak_model="gpt-5.4-mini").spend(),
}


@pytest.mark.parametrize("name", LOOKED_AT)
def test_it_is_html_that_escapes_and_fits_both_themes(name):
    html = LOOKED_AT[name]()._repr_html_()
    assert re.match(r"<(div|table|p|pre)\b", html)
    assert "<img" not in html
    # Its outermost element keeps MathJax away, which takes what stands between two dollar signs for a formula.
    assert NO_MATH in html.partition(">")[0]
    # The page's own colours: neither a white ground nor black letters.
    fixed = re.findall(r"(?:^|[;\s\"{])(?:color|background(?:-color)?):\s*([^;\"}]+)", html)
    plain = [each for each in fixed if re.fullmatch(r"#(000|fff|000000|ffffff)|black|white", each.strip())]
    assert plain == []


def test_every_nasty_name_that_is_shown_is_shown_as_text():
    for made in (comparison(), certificate(), ab_test(), LOOKED_AT["calibration table"]()):
        assert "&lt;img src=x" in made._repr_html_(), type(made).__name__


def test_text_of_several_lines_keeps_its_layout():
    assert lines("<a & b\n  two>") == lines("a & b\n  two")
    html = lines("a & b\n  two")
    assert "<strong>a &amp; b</strong>\n  two</pre>" in html
    assert "white-space:pre-wrap" in html
    assert html.count("<strong>") == 1


def test_what_has_settings_says_those_that_were_made():
    assert repr(ferroute.CallPolicy()) == "CallPolicy()"
    assert repr(ferroute.Shadow(share=0.1, per=None)) == "Shadow(share=0.1, per=None)"
    assert repr(ShadowStats(drawn=3)) == "ShadowStats(drawn=3)"
    html = ferroute.CallPolicy(retries=5)._repr_html_()
    row = re.search(r"<tr><th[^>]*>retries</th>(.*?)</tr>", html)[1]
    assert [re.sub("<.*?>", "", cell) for cell in row.split("</td>")] == ["5", "not 2", ""]
    assert ">connect_timeout</th>" in html


def test_a_benchmark_a_gateway_and_an_embedder_say_what_they_are():
    assert re.fullmatch(r"<MTBench: 72 prompts, answered by gpt-4\S* and \S+ixtral\S+>", repr(MTBench()))
    assert repr(LocalEmbedder()) == "<LocalEmbedder: 107 numbers a text, offline>"
    client = ferroute.Controller(
        ["random"], strong_model="s", weak_model="w", api_base="http://127.0.0.1:9", api_key="k"
    )
    with Gateway(client, port=0) as served:
        assert repr(served) == f"<Gateway at {served.url}>"


@pytest.mark.parametrize("widgets", [False, True])
def test_a_bar_in_a_notebook_without_widgets_is_text_and_warns_of_nothing(monkeypatch, widgets):
    import importlib.machinery
    import importlib.util

    import tqdm
    import tqdm.auto

    found = importlib.machinery.ModuleSpec("ipywidgets", None) if widgets else None
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: found)
    assert bar_class() is (tqdm.auto.tqdm if widgets else tqdm.tqdm)


def test_long_work_has_a_bar_where_it_is_asked_for(capsys):
    client = ferroute.Controller(["local"], strong_model="s", weak_model="w", progress_bar=True)
    client.batch_calculate_win_rate(["hi", "why?"], "local")
    calibrate.calibrate("local", ["hi", "why?"], progress_bar=True)
    said = capsys.readouterr().err
    assert "2/2" in said
    assert "Scoring with local" in said
