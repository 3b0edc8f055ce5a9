"""The threshold explorer: its numbers against numpy, and the slider in a real Chromium, moved with the keyboard."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

import ferroute
from browser import chromium
from ferroute._explorer_page import threshold as shown_threshold
from ferroute.calibrate import calibrate
from ferroute.errors import InvalidTypeError, InvalidValueError, UnreadableFileError
from ferroute.evals import compare, score_router
from ferroute.explorer import Explorer, explore
from ferroute.plot import share_at

RNG = np.random.default_rng(3)
RATES = np.round(RNG.beta(4, 3, 400), 4)
STRONG = (RNG.random(400) < 0.8).astype(float)
WEAK = (RNG.random(400) < 0.9 - 0.8 * RATES).astype(float)
COSTS = (0.02, 0.001)


def places(html, sweep=0):
    """What the script has to say, from the page."""
    return json.loads(re.search(r"const sweeps = (\[.*\]);\n", html)[1])[sweep]["places"]


@pytest.mark.parametrize("rates", [RATES, np.full(7, 0.5), [0.0, 1.0, 1.0], [0.3], np.linspace(0, 1, 1001)])
def test_shares_and_costs_are_those_of_the_thresholds(rates):
    (sweep,) = explore(rates, costs=COSTS).sweeps
    assert sweep.shares[0] == 1
    assert sweep.shares[-1] == 0
    assert list(sweep.thresholds) == sorted(set(sweep.thresholds))
    for threshold, share, cost in zip(sweep.thresholds, sweep.shares, sweep.costs, strict=True):
        assert share == share_at(rates, threshold)
        assert cost == pytest.approx(share * COSTS[0] + (1 - share) * COSTS[1])
    assert sweep.qualities is None
    # No step is longer than a hundredth of the calls, unless scores are equal.
    steps = -np.diff(sweep.shares) * len(rates)
    most = np.unique(rates, return_counts=True)[1].max()
    assert steps.max() <= max(most, np.ceil(len(rates) / 100)) + most


def test_a_threshold_as_it_is_written_routes_as_it_is_said_to():
    (sweep,) = explore({"mine": RATES}).sweeps
    for at, share in enumerate(sweep.shares):
        assert share_at(RATES, float(shown_threshold(sweep, at))) == share
    html = explore({"mine": RATES})._repr_html_()
    names = [place["call"] for place in places(html)]
    assert names[0] == f'model="router-mine-{RATES.min():.5f}"'
    assert all(re.fullmatch(r'model="router-mine-0\.\d{5}"', name) for name in names)
    # The nameless has no name to call it by, and above 1 there is no threshold to ask for.
    assert not any(place["call"] for place in places(explore(RATES)._repr_html_()))
    last = places(explore({"mine": [0.5, 1.0]})._repr_html_())[-1]
    assert (last["threshold"][0], last["call"]) == ("above 1", "")


def test_outcomes_give_the_results_figures_and_its_bands():
    (sweep,) = explore({"mine": RATES}, STRONG, WEAK, costs=COSTS, bootstrap=200).sweeps
    result = score_router(RATES, STRONG, WEAK, 100, costs=COSTS, bootstrap=200, on_ties="merge", name="mine")
    assert sorted(sweep.qualities) == sorted(result.points["accuracy"])
    for at in (0, 30, len(sweep.shares) - 1):
        strong = sweep.thresholds[at] <= RATES
        assert sweep.shares[at] == strong.mean()
        assert sweep.qualities[at] == pytest.approx(np.where(strong, STRONG, WEAK).mean())
        assert sweep.costs[at] == pytest.approx(np.where(strong, *COSTS).mean())
        low, high = sweep.bands[at]
        assert low < sweep.qualities[at] < high
    assert sweep.quality_ends == (WEAK.mean(), STRONG.mean())
    assert sweep.cost_ends == pytest.approx((COSTS[1], COSTS[0]))
    html = Explorer([sweep])._repr_html_()
    weak, strong = sweep.quality_ends
    assert f"random mixing: {weak + sweep.shares[30] * (strong - weak):.3f}" in places(html)[30]["quality"][1]


def test_costs_of_each_call_are_means_over_who_answers():
    strong, weak = RNG.random(400), RNG.random(400) / 10
    (sweep,) = explore(RATES, costs={"strong": strong, "weak": weak}).sweeps
    assert sweep.costs[40] == pytest.approx(np.where(sweep.thresholds[40] <= RATES, strong, weak).mean())


def test_results_comparisons_and_tables_have_one():
    result = score_router(RATES, STRONG, WEAK, on_ties="merge", bootstrap=50)
    assert len(result.explore().sweeps[0].shares) == len(result.points)
    outcomes = np.stack([STRONG, WEAK], axis=1)
    compared = compare({"mine": RATES, "upside down": 1 - RATES}, outcomes, COSTS, bootstrap=50)
    assert [sweep.name for sweep in compared.explore().sweeps] == [one.name for one in compared.sorted()[:2]]
    assert [sweep.name for sweep in compared.explore("upside down").sweeps] == ["upside down"]
    with pytest.raises(InvalidValueError, match="random mixing: has no win rates"):
        compared.explore("random mixing")
    table = calibrate(RATES, name="mine")
    assert table.explore(costs=COSTS).sweeps[0].costs is not None
    assert "quality not measured" in repr(table.explore())
    assert ferroute.explore is explore


def test_wrong_things_are_refused(tmp_path):
    with pytest.raises(InvalidTypeError, match="scores of both models or of none"):
        explore(RATES, STRONG)
    with pytest.raises(InvalidValueError, match="win rates of mine: expected at least one"):
        explore({"mine": []})
    with pytest.raises(InvalidValueError, match="at least one router"):
        explore({})
    with pytest.raises(InvalidValueError, match="not finite"):
        explore(RATES, costs=(float("nan"), 1))
    with pytest.raises(InvalidValueError, match="between 0 and 1"):
        explore(RATES, share=30)
    with pytest.raises(UnreadableFileError):
        explore(RATES).save(tmp_path / "nowhere" / "explorer.html")


def test_names_are_escaped_and_nothing_is_loaded():
    nasty = '</script><img src=x onerror="alert(1)">'
    html = explore({nasty: RATES, "other": RATES}, STRONG, WEAK, bootstrap=0).to_html()
    assert "<img" not in html
    assert html.count("</script>") == 1
    html = explore(RATES, STRONG, WEAK, bootstrap=0).to_html()
    for outside in ("http:", "https:", " src=", "url(", "@import"):
        assert outside not in html


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


def part(page, name, which=0):
    return page.js(f"document.querySelectorAll('[data-part=\"{name}\"]')[{which}].textContent")


def test_the_slider_is_moved_with_the_keyboard(browser, tmp_path):
    shown = explore({"mine": RATES, "other": 1 - RATES}, STRONG, WEAK, costs=COSTS, bootstrap=100, share=0.5)
    page = browser.open(shown.save(tmp_path / "explorer.html").as_uri(), dark=True)
    page.wait("Boolean(document.querySelector('[data-live]'))")
    said = places(shown.to_html())
    at = page.js("Number(document.querySelector('input').value)")
    assert said[at]["share"][0] == part(page, "share") == "50.0 %"

    # The first thing that is focused is the choice of the router, then the slider.
    page.key("Tab", 9)
    assert page.js("document.activeElement.dataset.part") == "choice"
    page.key("Tab", 9)
    assert page.js("document.activeElement.dataset.part") == "slider"
    before = float(part(page, "threshold")), float(part(page, "share")[:-2])
    page.key("ArrowRight", 39)
    after = float(part(page, "threshold")), float(part(page, "share")[:-2])
    assert after[0] > before[0]
    assert after[1] < before[1]
    for name in ("threshold", "share", "cost", "quality"):
        assert [part(page, name), part(page, f"{name}-fine")] == said[at + 1][name]
    assert page.js("document.querySelector('input').getAttribute('aria-valuetext')") == said[at + 1]["spoken"]
    assert page.js("document.querySelector('[data-dot=y-share]').getAttribute('cy')") == str(said[at + 1]["y-share"])
    page.key("Home", 36)
    assert part(page, "share") == "100.0 %"
    page.key("End", 35)
    assert (part(page, "share"), part(page, "cost")) == ("0.0 %", "$1.00")

    page.js("document.querySelector('select').focus()")
    page.key("ArrowDown", 40)
    other = places(shown.to_html(), 1)
    now = page.js("Number(document.querySelector('input').value)")
    assert part(page, "call") == other[now]["call"] == f'model="router-other-{part(page, "threshold")}"'
    assert page.js("[...document.querySelectorAll('svg')].map((each) => getComputedStyle(each).display)") == [
        "none",
        "block",
    ]
    assert page.complaints() == []
    assert all(url.startswith("file:") for url in page.requests())


def test_copies_of_one_output_all_work_and_narrow_pages_fit(browser, tmp_path):
    block = explore({"mine": RATES})._repr_html_()
    path = tmp_path / "twice.html"
    path.write_text(f"<!doctype html><meta charset=utf-8>{block}{block}", encoding="utf-8")
    page = browser.open(path.as_uri(), width=360)
    page.wait("document.querySelectorAll('[data-live]').length === 2")
    assert part(page, "share", 1) == part(page, "share", 0) != ""
    assert part(page, "quality", 1) == "not measured"
    assert page.js("document.documentElement.scrollWidth") <= 360
    assert page.complaints() == []


def test_without_scripts_it_is_a_picture_and_a_table(browser, tmp_path):
    path = explore({"mine": RATES}, STRONG, WEAK, bootstrap=50).save(tmp_path / "explorer.html")
    page = browser.open("about:blank")
    page.send("Emulation.setScriptExecutionDisabled", value=True)
    page.send("Page.navigate", url=path.as_uri())
    page.wait("document.querySelectorAll('tbody tr').length > 5")
    assert page.js("document.querySelector('[data-live]') === null")
    text = page.js("document.body.innerText")
    assert "higher threshold = fewer strong calls" in text
    assert "30.0 %" in text
    assert "router-mine" not in text
    heights = page.js(
        "['[data-part=live]', 'svg', 'table'].map((each) => document.querySelector(each).offsetHeight ?? "
        "document.querySelector(each).getBoundingClientRect().height)"
    )
    assert heights[0] == 0
    assert heights[1] > 100
    assert heights[2] > 100


def test_what_a_viewer_without_scripts_and_styles_leaves_is_a_table(browser, tmp_path):
    # JupyterLab leaves this of a notebook that it does not trust: no scripts, styles, data attributes or drawings, but
    # the words of the drawings, and `hidden` where it has a value.
    block = explore({"mine": RATES}, STRONG, WEAK, bootstrap=50)._repr_html_()
    block = re.sub(r"<(script|style)>.*?</\1>", "", block, flags=re.DOTALL)
    block = re.sub(r"</?(svg|path|line|circle|text)\b[^>]*>", "", block)
    block = re.sub(r' (data-[a-z-]+|hidden)(="(?P<value>[^"]*)")?(?=[ >])', _if_it_has_a_value, block)
    path = tmp_path / "untrusted.html"
    path.write_text(f"<!doctype html><meta charset=utf-8>{block}", encoding="utf-8")
    page = browser.open(path.as_uri())
    page.wait("document.querySelectorAll('tbody tr').length > 5")
    before, after = page.js("document.body.innerText").split("As a table")
    assert before.strip().endswith("Trust Notebook).")
    assert "30.0 %" in after
    assert page.js("document.querySelector('input').offsetHeight") == 0
    assert page.js("document.querySelector('details').open") is True


def _if_it_has_a_value(found):
    return found[0] if found[1] == "hidden" and found["value"] else ""


def test_jupyterlab_leaves_arrow_keys_to_the_slider_and_keeps_its_own(browser, tmp_path):
    # JupyterLab hears keys on the way down to the page, and takes those of an element without Lumino's attribute.
    page = browser.open(explore({"mine": RATES}).save(tmp_path / "explorer.html").as_uri())
    page.wait("Boolean(document.querySelector('[data-live]'))")
    page.js("""document.addEventListener("keydown", (event) => {
      if (!event.target.hasAttribute("data-lm-suppress-shortcuts")) (window.taken ??= []).push(event.key);
    }, true)""")
    page.js("document.querySelector('input').focus()")
    page.key("ArrowRight", 39)
    assert page.js("window.taken") is None
    for kind, key, code in [
        ("keyDown", "Control", 17),
        ("keyDown", "s", 83),
        ("keyUp", "s", 83),
        ("keyUp", "Control", 17),
    ]:
        modifiers = 2 * (kind == "keyDown" or key == "s")
        page.send("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, modifiers=modifiers)
    page.key("ArrowRight", 39)
    assert page.js("window.taken") == ["s"]


def test_where_formulas_are_set_dollars_stay_dollars():
    # Without these classes MathJax makes a formula of "$20.00, all weak $1.00".
    block = explore(RATES, costs=COSTS)._repr_html_()
    assert "all strong $20.00, all weak $1.00" in block
    assert {"tex2jax_ignore", "mathjax_ignore"} <= set(block.partition(">")[0].split('"')[1].split())
