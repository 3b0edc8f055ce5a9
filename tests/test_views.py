"""What of a conversation is routed on."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fakeserver import FakeServer
from ferroute import Controller, _core
from ferroute._refusals import EmptyMessages
from ferroute.controller import ROUTER_CLS
from ferroute.decision import aside
from ferroute.routers.base import Router

if TYPE_CHECKING:
    from collections.abc import Iterator

TALK: list[Any] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Prove that there are infinitely many primes."},
    {"role": "assistant", "content": "Suppose there were finitely many."},
    {
        "role": "user",
        "content": [{"type": "text", "text": "And of twin primes,"}, {"type": "text", "text": "what is known?"}],
    },
    {"role": "assistant", "content": None, "tool_calls": []},
    {"role": "tool", "content": "42", "tool_call_id": "c"},
    {"role": "user", "content": "go on"},
]
FIRST = "Prove that there are infinitely many primes."
SECOND = "And of twin primes,\nwhat is known?"
GOLDENS = Path(__file__).parent / "goldens" / "views"


class Heard(Router):
    """Remembers what it is asked."""

    heard: list[Any] = []  # noqa: RUF012 - each test has its own

    def calculate_strong_win_rate(self, prompt: Any) -> float:
        self.heard.append(prompt)
        return 0.5


@pytest.fixture(autouse=True)
def heard(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    monkeypatch.setattr(Heard, "heard", [])
    monkeypatch.setitem(ROUTER_CLS, "heard", Heard)
    return Heard.heard


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server


def controller(base: str = "http://127.0.0.1:9/v1", **policy: Any) -> Controller:
    return Controller(["heard"], "openai/big", "openai/small", api_base=base, policy=policy)


@pytest.mark.parametrize(
    ("policy", "text"),
    [
        ({}, "go on"),
        ({"view": "first"}, FIRST),
        ({"view": "first", "join_short_turns": True}, FIRST),
        ({"view": "user_turns"}, f"{FIRST}\n{SECOND}\ngo on"),
        ({"join_short_turns": True}, f"{SECOND}\ngo on"),
    ],
)
def test_the_view_is_what_the_router_hears(policy: dict[str, Any], text: str, heard: list[Any]) -> None:
    decision = controller(**policy).decide(TALK, "heard", 0.5)
    assert heard == [text]
    trace = aside(decision).trace
    assert trace is not None
    assert trace.asked.text_or_none() == text, "the ledger's features are of the same text"


def test_a_prompt_is_every_view_of_itself(heard: list[Any]) -> None:
    for view in ("last", "first", "user_turns"):
        controller(view=view, join_short_turns=True).decide("go on", "heard", 0.5)
    assert heard == ["go on"] * 3


def test_a_conversation_without_the_user_is_its_last_message(heard: list[Any]) -> None:
    for view in ("first", "user_turns"):
        controller(view=view).decide(TALK[:1], "heard", 0.5)
    assert heard == ["Be brief."] * 2
    with pytest.raises(EmptyMessages):
        controller(view="user_turns").decide([], "heard", 0.5)


def test_a_tools_result_is_not_joined(heard: list[Any]) -> None:
    controller(join_short_turns=True).decide(TALK[:-1], "heard", 0.5)
    assert heard == ["42"]


def test_a_turn_with_content_stands_alone(heard: list[Any]) -> None:
    talk = [*TALK[:-1], {"role": "user", "content": "Capital of Peru?"}]
    controller(join_short_turns=True).decide(talk, "heard", 0.5)
    assert heard == ["Capital of Peru?"]


def test_calls_of_every_kind_are_viewed(server: FakeServer, heard: list[Any]) -> None:
    c = controller(server.url)
    view = {"view": "user_turns"}
    c.completion(router="heard", threshold=0.5, messages=TALK, policy=view)
    asyncio.run(c.acompletion(router="heard", threshold=0.5, messages=TALK, policy=view))
    c.completion(router="heard", threshold=0.5, messages=TALK)
    assert heard == [f"{FIRST}\n{SECOND}\ngo on"] * 2 + ["go on"]
    # What is sent is the whole conversation.
    assert [len(request.json["messages"]) for request in server.requests] == [7] * 3


def test_the_built_in_routers_score_the_view() -> None:
    c = Controller(["local"], "openai/big", "openai/small", policy={"join_short_turns": True})
    alone, joined = c.decide("go on", "local", 0.5), c.decide(TALK, "local", 0.5)
    assert joined.win_rate == c.decide(f"{SECOND}\ngo on", "local", 0.5).win_rate != alone.win_rate


# --- which turns only follow ---


def _figures(name: str) -> tuple[float, float]:
    """Precision and recall of the rule on a list."""
    lines = (GOLDENS / name).read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) >= 100
    said = [(_core.only_follows(row["text"]), row["joins"]) for row in rows]
    hits = sum(mine and true for mine, true in said)
    return hits / sum(mine for mine, _ in said), hits / sum(true for _, true in said)


def test_the_rule_is_as_good_as_its_page_says() -> None:
    # The words were chosen with the first list in view; nobody looked at the second while choosing.
    precision, recall = _figures("short_turns.jsonl")
    assert (round(precision, 2), round(recall, 2)) == (0.97, 0.99)
    precision, recall = _figures("short_turns_held_out.jsonl")
    assert (round(precision, 2), round(recall, 2)) == (0.96, 0.50)


@pytest.mark.parametrize("text", ["yes", "go on", "why?", "ja", "continue please", "and in French?", "", "?", "2."])
def test_turns_that_only_follow(text: str) -> None:
    assert _core.only_follows(text)


@pytest.mark.parametrize(
    "text", ["2+2?", "Define entropy", "Write a poem", "yes, and then do what we said before, twice"]
)
def test_turns_with_content_of_their_own(text: str) -> None:
    assert not _core.only_follows(text)
