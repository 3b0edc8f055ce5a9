"""What is paid for a router's word is never lost: not where the request is refused, not in a batch that fails."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from ferroute import Controller, RoutingError, _notes
from ferroute.controller import ROUTER_CLS
from ferroute.errors import InvalidTypeError
from ferroute.routers.base import Request, Router, RungRouter, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Facts of the price data: none of them takes images.
BLIND = {"cheap": "openai/gpt-4", "mid": "openai/gpt-3.5-turbo", "expensive": "openai/gpt-4-1106-preview"}
TIERS = {"cheap": "gpt-5-nano", "mid": "gpt-5-mini", "expensive": "gpt-5.2"}
NOWHERE = "http://127.0.0.1:9/v1"
CENT = Decimal("0.01")
SHOWN: list[Any] = [
    {"role": "user", "content": [{"type": "text", "text": "0.5"}, {"type": "image_url", "image_url": {"url": "x"}}]}
]


class Paid(Router):
    """Scores a prompt with the number it is, for a cent."""

    asked = 0

    def calculate_strong_win_rate(self, prompt: str) -> float:
        type(self).asked += 1
        _notes.charge(CENT)
        return float(prompt)


class Together(Paid):
    """The same, with a way for many."""

    def calculate_strong_win_rates(
        self, prompts: Sequence[str], progress: Callable[[int], object] | None = None
    ) -> Any:
        return [self.calculate_strong_win_rate(prompt) for prompt in prompts]


class Named(RungRouter):
    """Says what the test has given it, for a cent."""

    verdict: Any = Verdict("cheap")
    asked = 0

    def choose(self, request: Request) -> Any:
        type(self).asked += 1
        _notes.charge(CENT)
        return self.verdict


class OnlyRungs(Named):
    names_models = False


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, cls in {"paid": Paid, "together": Together, "named": Named, "only": OnlyRungs}.items():
        monkeypatch.setitem(ROUTER_CLS, name, cls)
        monkeypatch.setattr(cls, "asked", 0)
    for cls in (Named, OnlyRungs):
        monkeypatch.setattr(cls, "verdict", Verdict("cheap"))


def controller(tiers: Any = TIERS, **more: Any) -> Controller:
    return Controller(["paid", "together", "named", "only"], tiers=tiers, api_base=NOWHERE, **more)


def pair() -> Controller:
    return Controller(["paid", "only"], "openai/gpt-4", "openai/gpt-3.5-turbo", api_base=NOWHERE)


# --- requests that no rung can serve ---


@pytest.mark.parametrize("made", [pair, lambda: controller(BLIND)])
@pytest.mark.parametrize(("router", "threshold"), [("paid", 0.5), ("only", None)])
def test_a_request_nobody_can_serve_is_refused_before_anybody_is_paid(
    made: Callable[[], Controller], router: str, threshold: float | None
) -> None:
    c = made()
    calls: list[Callable[[], object]] = [
        lambda: c.decide(SHOWN, router, threshold),
        lambda: c.completion(router=router, threshold=threshold, messages=SHOWN),
        lambda: asyncio.run(c.acompletion(router=router, threshold=threshold, messages=SHOWN)),
    ]
    for call in calls:
        with pytest.raises(RoutingError, match=r"no model can serve this request: .*takes no images") as caught:
            call()
        assert caught.value.router_cost_usd is None
    assert ROUTER_CLS[router].asked == 0  # type: ignore[attr-defined]
    assert c.spend().queries == 0


def test_many_are_refused_before_anybody_is_paid() -> None:
    with pytest.raises(RoutingError, match=r"^prompt 1: no model can serve") as caught:
        controller(BLIND).decide_batch(["0.5", "0.5" + " " * 600_000], "paid", 0.5)
    assert (Paid.asked, caught.value.router_cost_usd) == (0, None)


def test_a_model_beyond_the_ladder_is_still_asked_for() -> None:
    c = controller(BLIND)
    Named.verdict = Verdict(model="openai/gpt-4o")
    assert c.decide(SHOWN, "named").model == "openai/gpt-4o"
    rules = {"rules": [{"when": {"images": True}, "model": "openai/gpt-4o"}], "otherwise": "router-paid-0.5"}
    c = Controller(["rules", "paid"], tiers=BLIND, config={"rules": rules}, api_base=NOWHERE)
    assert c.decide(SHOWN, "rules").model == "openai/gpt-4o"


def test_the_router_that_is_left_to_is_not_paid_either() -> None:
    Named.verdict = Verdict(ask="router-paid-0.5")
    with pytest.raises(RoutingError, match="no model can serve") as caught:
        controller(BLIND).decide(SHOWN, "named")
    assert (Paid.asked, caught.value.router_cost_usd) == (0, CENT)


# --- refusals after the word ---


@pytest.mark.parametrize(
    ("verdict", "says"),
    [
        (Verdict("nope"), "unknown rung"),
        (Verdict(ask="router-named"), "in a circle"),
        (Verdict(ask="router-gone-0.5"), "leaves the choice to"),
        (Verdict(), "names neither"),
    ],
)
def test_what_was_paid_is_on_the_error_and_in_the_ledger(verdict: Verdict, says: str) -> None:
    c = controller()
    Named.verdict = verdict
    messages = [{"role": "user", "content": "hi"}]
    with pytest.raises(RoutingError, match=says) as caught:
        c.decide("hi", "named")
    assert caught.value.router_cost_usd == CENT
    assert c.spend().queries == 0, "decide enters nothing"
    with pytest.raises(RoutingError, match=says):
        c.completion(model="router-named", messages=messages)
    with pytest.raises(RoutingError, match=says):
        asyncio.run(c.acompletion(model="router-named", messages=messages))
    spend = c.spend()
    assert (spend.queries, spend.failed, spend.router_cost, spend.cost) == (2, 2, 2 * CENT, 0)
    assert spend.total == 2 * CENT


def test_a_model_beyond_the_ladder_that_cannot_either() -> None:
    Named.verdict = Verdict(model="openai/gpt-4-0613")
    with pytest.raises(RoutingError, match="openai/gpt-4-0613: takes no images") as caught:
        controller(BLIND).decide(SHOWN, "named")
    assert caught.value.router_cost_usd == CENT


def test_a_call_of_its_own_ledger_has_it_there() -> None:
    from ferroute.ledger import Ledger

    c, book = controller(), Ledger("memory:")
    Named.verdict = Verdict("nope")
    with pytest.raises(RoutingError):
        c.completion(model="router-named", messages=[{"role": "user", "content": "hi"}], ledger=book)
    assert (book.spend().router_cost, c.spend().queries) == (CENT, 0)


def test_a_router_that_fails_after_it_was_paid() -> None:
    c = controller()
    with pytest.raises(ValueError, match="could not convert") as caught:
        c.completion(model="router-paid-0.5", messages=[{"role": "user", "content": "x"}])
    assert caught.value.router_cost_usd == CENT  # type: ignore[attr-defined]
    assert c.spend().router_cost == CENT


# --- batches ---


@pytest.mark.parametrize(("router", "asked"), [("paid", 4), ("together", 3 + 4)])
def test_a_bad_prompt_does_not_lose_what_the_batch_has_paid(router: str, asked: int) -> None:
    c = controller(policy={"on_router_error": "cheap"})
    decisions = c.decide_batch(["0.9", "0.5", "x", "0.1"], router, [0.3, 0.7])
    assert [decision.tier for decision in decisions] == ["expensive", "mid", "cheap", "cheap"]
    costs = [decision.router_cost_usd for decision in decisions]
    assert ROUTER_CLS[router].asked == asked  # type: ignore[attr-defined]
    assert sum(cost or 0 for cost in costs) == asked * CENT
    if router == "paid":
        assert costs == [CENT] * 4
    assert "failed (ValueError" in decisions[2].reason and "failed" not in decisions[1].reason


def test_a_batch_is_left_to_a_router_that_fails() -> None:
    c = controller(policy={"on_router_error": "mid"})
    Named.verdict = Verdict(ask="router-together-0.3,0.7", floor="mid")
    decisions = c.decide_batch(["0.9", "x"], "named")
    assert [decision.tier for decision in decisions] == ["expensive", "mid"]
    paid = (Named.asked + Together.asked) * CENT
    assert sum(decision.router_cost_usd or 0 for decision in decisions) == paid


def test_another_router_stands_in_for_one_prompt() -> None:
    c = controller(policy={"on_router_error": "only"})
    decisions = c.decide_batch(["0.9", "x"], "paid", [0.3, 0.7])
    assert [(decision.tier, decision.router_cost_usd) for decision in decisions] == [
        ("expensive", CENT),
        ("cheap", 2 * CENT),
    ]
    assert decisions[1].notes[0].endswith("so 'only' was asked")


def test_a_batch_that_ends_says_where_and_what_it_has_cost() -> None:
    c = controller()
    Named.verdict = Verdict("nope")
    with pytest.raises(RoutingError, match=r"^prompt 0: unknown rung") as caught:
        c.decide_batch(["a", "b"], "named")
    assert caught.value.router_cost_usd == 2 * CENT
    with pytest.raises(ValueError, match="could not convert") as failed:
        c.decide_batch(["0.5", "0.5", "x"], "paid", 0.5)
    assert failed.value.router_cost_usd == 3 * CENT  # type: ignore[attr-defined]
    Named.verdict = 7
    with pytest.raises(InvalidTypeError, match=r"^prompt 0: router 'named' names a rung"):
        c.decide_batch(["a"], "named")
