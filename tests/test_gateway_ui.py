"""The page ``/ui`` in a real Chromium. With FERROUTE_PICTURES=folder it leaves pictures there, to be looked at."""

from __future__ import annotations

import json
import os
import re
import time
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

import demo_ledger
from browser import Browser, Page, chromium
from demo_ledger import STRONG, THRESHOLD, WEAK
from fakeserver import Answer, FakeServer
from ferroute.controller import ROUTER_CLS, Controller
from ferroute.gateway import Gateway
from ferroute.ledger import Ledger
from ferroute.policy import CallPolicy
from ferroute.rollout import Ramp
from ferroute.routers.base import Router

if TYPE_CHECKING:
    from collections.abc import Iterator

NOWHERE = "http://127.0.0.1:9/v1"
READY = "document.body.classList.contains('ready')"


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture(autouse=True)
def pages(request) -> Iterator[None]:
    """No page is left open."""
    yield
    if "browser" in request.fixturenames:
        request.getfixturevalue("browser").close_pages()


def controller_of(ledger: Ledger, **kwargs: Any) -> Controller:
    settings = {"api_base": NOWHERE, "api_key": "none", **kwargs}
    return Controller(["random"], strong_model=STRONG, weak_model=WEAK, ledger=ledger, **settings)


@pytest.fixture(scope="module")
def book(tmp_path_factory) -> Iterator[Ledger]:
    with Ledger(f"sqlite:///{tmp_path_factory.mktemp('demo')}/calls.db") as ledger:
        demo_ledger.fill(ledger, time.time() - 120)
        yield ledger


@pytest.fixture(scope="module")
def month(book) -> Iterator[Gateway]:
    """A server over thirty days of calls, with a ramp under way."""
    controller = controller_of(book)
    ramp = Ramp(win_rates=[i / 500 for i in range(500)])
    ramp.observe_many([0.05] * 300, [1.0] * 300, [1.0] * 300)
    controller.hold("random", ramp)
    with Gateway(controller, port=0) as gateway:
        yield gateway


@pytest.fixture
def empty() -> Iterator[Gateway]:
    with Ledger("memory:") as ledger, Gateway(controller_of(ledger), port=0) as gateway:
        yield gateway


def shown(browser: Browser, gateway: Gateway, where: str = "#30d", **look: Any) -> Page:
    page = browser.open(f"{gateway.url}/ui{where}", **look)
    page.wait(READY)
    return page


def picture(page: Page, name: str) -> None:
    folder = os.environ.get("FERROUTE_PICTURES")
    if folder:
        page.picture(Path(folder) / f"{name}.png")


def overview(gateway: Gateway, span: str = "30d") -> dict[str, Any]:
    answer = httpx.get(f"{gateway.url}/ui/data/overview", params={"range": span})
    assert answer.status_code == 200, answer.text
    return answer.json()


def span_of(told: dict[str, Any]) -> dict[str, datetime]:
    return {name: datetime.fromtimestamp(told[name] / 1000, timezone.utc) for name in ("since", "until")}


def tiles(page: Page, where: str = "#tiles") -> dict[str, str]:
    pairs = page.js(
        f"[...document.querySelectorAll('{where} > div')].map(d => [d.children[0].innerText, d.children[1].innerText])"
    )
    return {name: value.replace("\u00a0", " ") for name, value in pairs}


def dollars(text: str) -> float:
    return float(text.split(maxsplit=1)[0].replace("$", "").replace(",", "").replace("\u2212", "-"))


def test_the_figures_are_those_of_the_ledger(month, book):
    told = overview(month)
    spend = book.spend(**span_of(told))
    totals = told["totals"]
    assert (totals["calls"], totals["failed"], totals["unpriced"]) == (spend.queries, spend.failed, spend.unpriced)
    assert totals["cost"] == pytest.approx(float(spend.cost), rel=1e-12)
    assert told["measured"]["saved"] == pytest.approx(spend.saving.usd, rel=1e-9)
    ends = told["measured"]["low"], told["measured"]["high"]
    assert ends == pytest.approx([spend.saving.low, spend.saving.high], rel=1e-9)
    assert told["saving"][-1]["measured"] == pytest.approx(told["measured"]["saved"], rel=1e-12)
    assert sum(map(sum, told["spend"]["cost"])) == pytest.approx(totals["cost"], rel=1e-9)
    assert {line["model"] for line in told["models"]} == {WEAK, STRONG, demo_ledger.BESIDE}


def test_the_page_shows_them(browser, month):
    page = shown(browser, month)
    told = overview(month)
    found = tiles(page)
    assert found["Calls"].startswith(f"{told['totals']['calls']:,}")
    assert dollars(found["Spend"]) == pytest.approx(told["totals"]["cost"], abs=0.006)
    assert "measured" in found["Saved"] and "±" in found["Saved"]
    assert dollars(found["Saved"]) == pytest.approx(told["measured"]["saved"], abs=0.006)
    # Nothing comes from elsewhere, nothing is in the address, nothing is complained about.
    assert all(address.startswith(f"{month.url}/ui") for address in page.requests()), page.requests()
    assert page.complaints() == []
    bars = page.js("document.querySelectorAll('#spend rect[class^=fill]').length")
    assert bars >= 60
    assert page.js("document.querySelectorAll('#saving polygon.band').length") == 1
    assert "holding" in page.js("document.querySelector('#experiments').innerText") or "growing" in page.js(
        "document.querySelector('#experiments').innerText"
    )
    rows = page.js("[...document.querySelectorAll('#decisions tbody tr')].map(r => r.innerText)")
    assert len(rows) == 12
    page.js("document.querySelector('#decisions button').click()")
    rows = page.js("[...document.querySelectorAll('#decisions tbody tr')].map(r => r.innerText)")
    assert len(rows) == 60
    assert any("below the threshold 0.55: weak" in row for row in rows)
    picture(page, "light")
    page.look(width=1280, dark=True)
    picture(page, "dark")


@pytest.mark.parametrize("span", ["1h", "24h", "7d"])
def test_every_range_is_there(browser, month, span):
    page = shown(browser, month, f"#{span}")
    assert page.js("document.querySelector('#ranges input:checked').value") == span
    assert tiles(page)["Calls"].startswith(f"{overview(month, span)['totals']['calls']:,}")
    picture(page, f"range-{span}")


def test_a_range_is_chosen_with_the_keyboard(browser, month):
    page = shown(browser, month, "")
    page.js("document.querySelector('#ranges input:checked').focus()")
    page.key("ArrowRight", 39)
    page.wait("location.hash === '#7d'")
    page.wait(f"document.querySelector('#tiles').innerText.includes('{overview(month, '7d')['totals']['calls']:,}')")


def test_the_slider_says_what_a_threshold_would_have_meant(browser, month, book):
    page = shown(browser, month)
    told = overview(month)
    calls = book.core.calls((told["since"] * 1000, told["until"] * 1000, None, None))
    kept = [
        rate
        for rate, router, outcome in zip(calls["win_rate"], calls["router"], calls["outcome"], strict=True)
        if router == "local" and outcome in {"ok", "cancelled"}
    ]

    def share(cut: float) -> float:
        return sum(rate >= cut for rate in kept) / len(kept)

    first = tiles(page, "#threshold-tiles")
    assert first["Threshold"].startswith("0.55") and f"used last: {THRESHOLD}" in first["Threshold"]
    page.js("document.querySelector('#cut').focus()")
    for _ in range(10):
        page.key("ArrowLeft", 37)
    second = tiles(page, "#threshold-tiles")
    assert second["Threshold"].startswith("0.45")
    for cut, found in ((0.55, first), (0.45, second)):
        strong = float(found["To the strong model"].split("%")[0])
        assert strong == pytest.approx(100 * share(cut), abs=0.06)
    assert dollars(second["1,000 calls"]) > dollars(first["1,000 calls"])
    before, after = (float(each["Expected quality"].split()[0]) for each in (first, second))
    assert after > before, "more strong answers are better ones"
    said = page.js("document.querySelector('#cut').getAttribute('aria-valuetext')")
    assert said.startswith("threshold 0.45: ") and "quality" in said
    page.key("End", 35)
    last = tiles(page, "#threshold-tiles")
    assert last["Threshold"].startswith("above 1") and last["To the strong model"].startswith("0 %")
    # What the recorded threshold would have cost is about what was paid, but for calls sent by lot.
    paid = told["thresholds"][0]["recorded"]["cost"] * 1000
    assert dollars(first["1,000 calls"]) == pytest.approx(paid, rel=0.25)


def test_a_chart_is_walked_through_with_the_arrow_keys(browser, month):
    page = shown(browser, month)
    page.js("document.querySelector('#spend svg').focus()")
    page.key("End", 35)
    last = page.js("document.querySelector('#spend-said').innerText")
    page.key("ArrowLeft", 37)
    before = page.js("document.querySelector('#spend-said').innerText")
    assert "call" in last and "$" in before and last != before
    page.js("document.activeElement.blur()")
    assert "in all" in page.js("document.querySelector('#spend-said').innerText")


CONTRAST = r"""
(() => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgb = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => {
    const part = (v) => ((v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const colour = rgb(getComputedStyle(node).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return rgb('white');
  };
  const ratio = (a, b) => {
    const [x, y] = [light(a), light(b)].sort((p, q) => q - p);
    return (x + 0.05) / (y + 0.05);
  };
  const bad = [];
  let seen = 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    const box = node.getBoundingClientRect();
    if (!walker.currentNode.data.trim() || !box.width) continue;
    if (node.closest('.unseen, script, noscript, option, .skip')) continue;
    const style = getComputedStyle(node);
    const colour = node instanceof SVGElement ? style.fill : style.color;
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
    const found = ratio(rgb(colour), behind(node));
    seen += 1;
    if (found < (large ? 3 : 4.5)) bad.push([walker.currentNode.data.trim().slice(0, 40), colour, found.toFixed(2)]);
  }
  const marks = 'svg rect[class^=fill]:not(.soft):not(.fill-none), .swatch:not(.fill-band)';
  for (const node of document.querySelectorAll(marks)) {
    const style = getComputedStyle(node);
    const html = node instanceof HTMLElement;
    const line = node.matches('.swatch-line, .swatch-dashed');
    const colour = line ? style.borderTopColor : html ? style.backgroundColor : style.fill;
    const found = ratio(rgb(colour), behind(node.parentElement));
    seen += 1;
    if (found < 3) bad.push([node.className.baseVal || node.className, found.toFixed(2)]);
  }
  for (const node of document.querySelectorAll('button, select, .ranges')) {
    const found = ratio(rgb(getComputedStyle(node).borderTopColor), behind(node.parentElement));
    if (found < 3) bad.push([node.id, 'border', found.toFixed(2)]);
  }
  return [seen, bad];
})()
"""


@pytest.mark.parametrize("dark", [False, True])
def test_contrast_is_enough(browser, month, empty, dark):
    for gateway, least in ((month, 500), (empty, 60)):
        page = shown(browser, gateway, dark=dark)
        seen, bad = page.js(CONTRAST)
        assert seen > least and bad == []


def test_a_theme_is_chosen_and_kept(browser, month):
    page = shown(browser, month)
    back = "getComputedStyle(document.body).backgroundColor"
    light = page.js(back)
    for expected in ("Theme: light", "Theme: dark"):
        page.js("document.querySelector('#theme').click()")
        assert page.js("document.querySelector('#theme').innerText") == expected
    assert page.js(back) != light
    page.send("Page.reload")
    page.wait(f"{READY} && document.documentElement.dataset.theme === 'dark'")


@pytest.mark.parametrize("width", [380, 640, 900])
def test_it_fits_narrow_windows(browser, month, width):
    page = shown(browser, month, width=width, height=800)
    assert page.js("document.documentElement.scrollWidth") <= width
    wide = (
        "[...document.querySelectorAll('main *')].filter(n => n.getBoundingClientRect().right > innerWidth + 1)"
        ".filter(n => !n.closest('.scroll, .unseen')).map(n => n.outerHTML.slice(0, 80))"
    )
    assert page.js(wide) == []
    picture(page, f"narrow-{width}")


def test_names_of_places_stand_apart(browser, month):
    page = shown(browser, month, "#7d", width=380, height=800)
    near = (
        "[...document.querySelectorAll('main svg')].flatMap(svg => {"
        " const texts = [...svg.querySelectorAll('text.scale')].filter(t => t.getAttribute('text-anchor') !== 'end');"
        " const all = texts.map(t => t.getBoundingClientRect());"
        " return all.slice(1).filter((box, at) => box.left < all[at].right + 4).map(box => box.left); })"
    )
    assert page.js("document.querySelectorAll('#spend text.scale').length") >= 4
    assert page.js(near) == []


def test_a_threshold_in_use_changes_nothing(browser, month):
    page = shown(browser, month)
    found = tiles(page, "#threshold-tiles")
    for name in ("To the strong model", "1,000 calls"):
        now, was = re.findall(r"[\d.,]+(?= %)|(?<=\$)[\d.,]+", found[name])
        assert now == was, found


def test_counts_have_whole_steps(browser, month):
    page = shown(browser, month)
    steps = "import('/ui/charts.js').then(charts => charts.ticks(0, 1.06, 4, 1))"
    assert page.js(steps) == [0, 1]


def test_an_empty_book_explains_itself(browser, empty):
    page = shown(browser, empty, "#24h")
    said = page.js("document.body.innerText")
    assert "No calls yet. Send one:" in said and "router-random-0.5" in said
    assert f"curl {empty.url}/v1/chat/completions" in said
    assert "No router has given a win rate in this range." in said
    red = page.js(
        "[...document.querySelectorAll('#quality .missing')].map(n => [n.innerText, getComputedStyle(n).color])"
    )
    assert red == [["not measured", "rgb(179, 38, 30)"]] * 2
    assert tiles(page)["Spend"].startswith("$0") and page.complaints() == []
    picture(page, "empty")


def test_the_skip_link_and_names(browser, month):
    page = shown(browser, month)
    page.key("Tab", 9)
    assert page.js("document.activeElement.className") == "skip"
    page.key("Enter", 13, "\r")
    assert page.js("document.activeElement.id") == "main"
    unnamed = page.js(
        "[...document.querySelectorAll('input, select, button, svg[role=img], [role=region], section')]"
        ".filter(n => !(n.labels?.length || n.ariaLabel || n.getAttribute('aria-labelledby') || n.innerText?.trim()))"
        ".map(n => n.outerHTML.slice(0, 80))"
    )
    assert unnamed == []
    headed = "t.caption && t.tHead.querySelectorAll('th[scope=col]').length"
    assert page.js(f"[...document.querySelectorAll('table')].every(t => {headed})")
    assert page.js("[...document.querySelectorAll('h1, h2, h3')].map(n => n.tagName)[0]") == "H1"


def test_motion_stops_where_it_is_not_wanted(browser, empty):
    assert shown(browser, empty).js("getComputedStyle(document.querySelector('.pulse')).animationName") == "pulse"
    still = shown(browser, empty, still=True)
    assert still.js("getComputedStyle(document.querySelector('.pulse')).animationName") == "none"


def test_nobody_looks_nobody_asks(browser, empty):
    page = shown(browser, empty)
    assert page.js("document.body.classList.contains('running')")
    told = "document.dispatchEvent(new Event('visibilitychange'))"
    page.js(f"Object.defineProperty(document, 'hidden', {{get: () => true, configurable: true}}); {told}")
    assert not page.js("document.body.classList.contains('running')")
    page.js(f"delete document.hidden; {told}")
    assert page.js("document.body.classList.contains('running')")
    page.js("document.querySelector('#refresh').click()")
    assert "paused" in page.js("document.querySelector('#fresh').innerText")
    assert page.js("document.querySelector('#refresh').getAttribute('aria-pressed')") == "false"


def test_a_key_opens_the_data_and_is_in_no_address(browser, book):
    admin = "admin-secret-1234567890"
    keys = {"required": True, "admin": admin}
    with Gateway(controller_of(book), port=0, ui={"keys": True}, door={"keys": keys}) as gateway:

        def made(scopes: list[str]) -> str:
            headers = {"authorization": f"Bearer {admin}"}
            told = httpx.post(f"{gateway.url}/admin/keys", headers=headers, json={"name": scopes[0], "scopes": scopes})
            assert told.status_code < 300, told.text
            return told.json()["key"]

        secret, other = made(["ui"]), made(["chat"])
        for what in ("overview", "recent", "state"):
            url = f"{gateway.url}/ui/data/{what}"
            refused = httpx.get(url, headers={"authorization": "Bearer wrong"})
            assert refused.status_code == 401 and "no-store" in refused.headers["cache-control"]
            assert httpx.get(f"{url}?key={secret}").status_code == 401
            assert httpx.get(url, headers={"authorization": f"Bearer {other}"}).status_code == 403
            for opens in (secret, admin):
                assert httpx.get(url, headers={"authorization": f"Bearer {opens}"}).status_code == 200
        page = browser.open(f"{gateway.url}/ui")
        page.wait("document.querySelector('#door')?.open")
        picture(page, "door")
        for wrong in ("not this one", other):
            page.js("document.querySelector('#door-wrong').innerText = ''; document.querySelector('#key').focus()")
            page.type(wrong)
            page.key("Enter", 13, "\r")
            page.wait("document.querySelector('#door-wrong').innerText.includes('does not open')")
        page.js("document.querySelector('#key').focus()")
        page.type(secret)
        page.key("Enter", 13, "\r")
        page.wait(READY)
        assert not page.js("document.querySelector('#door').open")
        page.send("Page.reload")
        page.wait(READY)
        assert not any(secret in address for address in page.requests())
        assert secret not in page.js("Object.values(localStorage).join()")
        assert secret not in page.js("document.documentElement.outerHTML")
        sent = [headers.get("authorization", headers.get("Authorization")) for headers in page.headers()]
        assert f"Bearer {secret}" in sent


def test_budgets_are_shown_as_they_stand(browser, tmp_path):
    policies = [{"team": "legal", "budget": "100/month"}, {"budget": "0.02/day"}]
    policies += [{"requests": "100/minute"}, {"share": {"model": STRONG, "most": "90%"}}]
    with FakeServer() as upstream, Ledger(f"sqlite:///{tmp_path}/calls.db") as ledger:
        controller = controller_of(ledger, api_base=upstream.url)
        with Gateway(controller, port=0, door={"policies": policies}) as gateway:
            url, hello = f"{gateway.url}/v1/chat/completions", [{"role": "user", "content": "Hello"}]
            for _ in range(3):
                assert httpx.post(url, json={"model": STRONG, "messages": hello, "max_tokens": 50}).status_code == 200
            budgets = httpx.get(f"{gateway.url}/ui/data/state").json()["budgets"]
            assert {each["name"]: each["period"] for each in budgets} == {"team legal": "month", "everybody": "day"}
            spent = {each["name"]: Decimal(each["spent"]) for each in budgets}
            assert spent == {"team legal": 0, "everybody": ledger.spend().cost}
            page = shown(browser, gateway, "#1h")
            said = page.js("document.querySelector('#budgets').innerText")
            assert "team legal" in said and "$0.02 a day" in said and "$100.00 a month" in said
            assert "100 a minute" in said and "90.0\u00a0%" in said


def test_prompts_are_shown_where_they_are_kept_and_asked_for(browser):
    for store, kept in (("text", True), ("features", False)):
        with Ledger("memory:", store=store) as ledger:
            demo_ledger.fill(ledger, time.time(), days=0.01, calls=20, scores=False)
            with Gateway(controller_of(ledger), port=0) as gateway:
                plain = httpx.get(f"{gateway.url}/ui/data/recent").text
                asked = httpx.get(f"{gateway.url}/ui/data/recent?texts=1").text
                assert "a prompt about" not in plain and ("a prompt about" in asked) == kept
                page = shown(browser, gateway, "#1h")
                assert page.js("document.querySelector('#texts-place').hidden") != kept
                assert "a prompt about" not in page.js("document.body.innerText")
                if kept:
                    page.js("document.querySelector('#texts').click()")
                    page.wait("document.querySelector('#decisions blockquote')?.innerText.startsWith('a prompt about')")


def test_what_others_write_is_text(browser):
    nasty = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    with Ledger("memory:", store="text") as ledger:
        ledger.add(
            nasty, router=nasty, requested=nasty, task=nasty, win_rate=0.4, error=nasty, key=nasty, text=nasty, cost=1
        )
        ledger.add_outcome(call=ledger.core.calls((None, None, None, None))["id"][0], score=1, source=nasty)
        with Gateway(controller_of(ledger), port=0, ui={"config": nasty}) as gateway:
            gateway.refused(f"line 3: {nasty}")
            page = shown(browser, gateway, "#1h")
            page.js("document.querySelector('#texts').click()")
            page.wait("document.querySelector('#decisions blockquote') !== null")
            assert page.js("document.title") == "ferroute" and page.complaints() == []
            assert page.js("document.querySelectorAll('main img, main script').length") == 0
            assert page.js("document.body.innerText.split('onerror').length") > 8


def test_calls_and_refusals_come_with_their_reasons(browser, tmp_path):
    with FakeServer() as upstream, Ledger(f"sqlite:///{tmp_path}/calls.db") as ledger:
        controller = controller_of(ledger, api_base=upstream.url)
        with Gateway(controller, port=0) as gateway:
            body = {"messages": [{"role": "user", "content": "Hello"}]}
            url = f"{gateway.url}/v1/chat/completions"
            assert httpx.post(url, json={"model": "router-random-0.5", **body}).status_code == 200
            assert httpx.post(url, json={"model": "router-nobody-0.5", **body}).status_code == 400
            told = httpx.get(f"{gateway.url}/ui/data/recent").json()["decisions"]
            assert [each["outcome"] for each in told] == ["refused", "ok"]
            refused, answered = told
            assert (refused["error"], refused["status"]) == ("routing", 400)
            side = "strong" if answered["win_rate"] >= 0.5 else "weak"
            assert answered["model"] == (STRONG if side == "strong" else WEAK)
            assert answered["thresholds"] == [0.5] and answered["reason"]
            page = shown(browser, gateway, "#1h")
            assert answered["reason"] in page.js("document.querySelector('#decisions').innerText")


class Repeats(Router):
    """Fails with the prompt in its words."""

    def calculate_strong_win_rate(self, prompt: str) -> float:
        raise ValueError(f"cannot read {prompt}")


@pytest.mark.parametrize("kept", [True, False])
def test_no_failure_repeats_the_prompt_and_none_is_listed_twice(tmp_path, monkeypatch, kept):
    secret = "the-prompt-nobody-may-see"
    monkeypatch.setitem(ROUTER_CLS, "repeats", Repeats)
    with FakeServer() as upstream, Ledger(f"sqlite:///{tmp_path}/calls.db") as ledger:
        routers = ["random", "repeats"]
        pair = {"strong_model": STRONG, "weak_model": WEAK, "api_base": upstream.url, "api_key": "k"}
        strict = Controller(routers, **pair, ledger=ledger)
        lenient = Controller(routers, **pair, ledger=ledger, policy=CallPolicy(on_router_error="strong"))
        words = json.dumps({"error": {"message": f"cannot read {secret}", "type": "server_error"}}).encode()
        with Gateway(strict if kept else lenient, port=0) as gateway:
            url = f"{gateway.url}/v1/chat/completions"
            body = {"messages": [{"role": "user", "content": secret}]}
            routed = httpx.post(url, json={"model": "router-repeats-0.5", **body})
            assert routed.status_code == (500 if kept else 200)
            upstream.then(*[Answer(status=500, body=words)] * 3)
            assert httpx.post(url, json={"model": "router-random-0", **body}, timeout=30).status_code == 500
            ledger.flush()
            answer = httpx.get(f"{gateway.url}/ui/data/recent")
            assert secret not in answer.text
            failed = [each for each in answer.json()["decisions"] if each["outcome"] != "ok"]
            outcomes = [(each["outcome"], each.get("path")) for each in failed]
            # The call is in the book; the router's failure came to no call.
            assert outcomes == [("failed", None)] + [("failed", "/v1/chat/completions")] * kept
            if kept:
                assert failed[1]["error"] == "router"
            else:
                (fallen,) = [each for each in answer.json()["decisions"] if each["outcome"] == "ok"]
                assert "failed (ValueError)" in fallen["reason"]


def test_a_reload_is_told(browser, empty):
    empty.refused("config.yaml: line 7: expected a number")
    page = shown(browser, empty)
    said = page.js("document.querySelector('#config').innerText")
    assert "line 7: expected a number" in said and "What was loaded before goes on" in said
    with Ledger("memory:") as other:
        empty.replace(controller_of(other), ui={"config": "gateway.yaml", "models": ["gpt-5.4-mini"]})
        state = httpx.get(f"{empty.url}/ui/data/state").json()["config"]
        assert (state["file"], state["models"], state["refused"], state["reloads"]) == (
            "gateway.yaml",
            ["gpt-5.4-mini"],
            None,
            1,
        )


def test_the_files_are_careful(empty):
    page = httpx.get(f"{empty.url}/ui")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
    assert page.headers["x-content-type-options"] == "nosniff" and page.headers["referrer-policy"] == "no-referrer"
    again = httpx.get(f"{empty.url}/ui", headers={"if-none-match": page.headers["etag"]})
    assert again.status_code == 304 and not again.content
    assert httpx.get(f"{empty.url}/ui/none.js").json() == {"detail": "Not Found"}
    assert httpx.post(f"{empty.url}/ui").status_code == 405
    assert httpx.get(f"{empty.url}/ui/data/secrets").status_code in {400, 404}
    wrong = httpx.get(f"{empty.url}/ui/data/overview?range=2h")
    assert wrong.status_code == 400 and "1h, 24h, 7d or 30d" in wrong.json()["error"]["message"]
    assert httpx.get(f"{empty.url}/ui/data/state").headers["cache-control"] == "no-store"
    whole = sum(len(httpx.get(f"{empty.url}/ui/{name}").content) for name in ("style.css", "app.js", "charts.js"))
    assert whole < 60_000


def test_there_is_no_page_where_none_is_wanted(tmp_path):
    with Ledger("memory:") as ledger, Gateway(controller_of(ledger), port=0, ui=None) as gateway:
        assert httpx.get(f"{gateway.url}/ui").status_code == 404


def test_numbers_are_read_well(browser, empty):
    page = shown(browser, empty)
    calls = [
        *("money(0)", "money(1234.5)", "money(12345.6)", "money(0.0042)", "money(-0.5)", "money(null)"),
        *(
            "money(0.02)",
            "money(0.0217)",
            "money(0.00000123)",
            "axisMoney(0.05, 0.05)",
            "axisMoney(-20, 10)",
            "share(0.1234)",
            "share(0.00042)",
        ),
        *("share(1)", "took(0.2)", "took(999)", "took(61000)", "count(1234567)", "cut(0.5500000001)"),
        *("plural(1, 'call')", "plural(0, 'call')"),
    ]
    told = page.js(f"import('/ui/format.js').then(f => [{', '.join(f'f.{call}' for call in calls)}])")
    expected = [
        *("$0", "$1,234.50", "$12,346", "$0.0042", "\u2212$0.50", "unknown"),
        *("$0.02", "$0.022", "$0.0000012", "$0.05", "\u2212$20", "12.3 %", "0.04 %"),
        *("100 %", "<\u20091 ms", "999 ms", "1 min", "1,234,567", "0.55"),
        *("1 call", "0 calls"),
    ]
    assert [each.replace("\u00a0", " ") for each in told] == expected
    ticks = page.js("import('/ui/charts.js').then(c => [c.ticks(0, 97), c.ticks(-0.3, 1, 4), c.ticks(0, 4)])")
    assert ticks == [[0, 20, 40, 60, 80], [0, 0.5, 1], [0, 1, 2, 3, 4]]
