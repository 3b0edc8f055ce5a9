"""``escalate_on``: the next rung is asked when an answer shows a sign of failure, and both are accounted."""

from __future__ import annotations

import asyncio
import json
import pickle
from decimal import Decimal
from pathlib import Path

import pytest

import ferroute
from fakeserver import Answer, FakeServer, chunk, completion
from ferroute import CallPolicy, Controller, pricing
from ferroute._core import Verdict
from ferroute.errors import InvalidTypeError, InvalidValueError
from ferroute.policy import SIGNS
from ferroute.routers.routers import ROUTER_CLS, RungRouter

CHEAP, MID, DEAR = "openai/gpt-5-nano", "openai/gpt-5-mini", "openai/gpt-5.2"
USER = [{"role": "user", "content": "Which animal hunts at night?"}]
DONE = b"data: [DONE]\n\n"


@pytest.fixture
def server():
    with FakeServer() as running:
        yield running


def controller(server, **policy):
    """Three rungs at one server; the weights of `random` are set so that the lowest is chosen."""
    tiers = {"cheap": CHEAP, "mid": MID, "expensive": DEAR}
    return Controller(["random"], tiers=tiers, api_base=server.url, api_key="k", policy=CallPolicy(**policy))


def ask(made, **more):
    return made.chat.completions.create(model="router-random-1.0", messages=USER, **more)


def says(content, finish="stop", **message):
    return Answer(body=json.dumps(completion(content=content, finish=finish, **message)).encode())


def models(server):
    return [request.json["model"] for request in server.requests]


def told(made):
    columns = made.spend().columns()
    names = ("id", "outcome", "tier", "signs", "attempts")
    return [line[1:] for line in sorted(zip(*(columns[name] for name in names), strict=True))]


def test_both_calls_are_accounted(server):
    made = controller(server, escalate_on=["empty"])
    server.then(says(""))
    answer = ask(made, ferroute={"task": "simple_qa", "tags": {"team": "zoo"}})
    assert answer.choices[0].message.content == "Hello"
    assert models(server) == ["gpt-5-nano", "gpt-5-mini"]
    routing = answer.routing
    assert (routing.attempts, routing.model) == (2, CHEAP)
    assert f"`{CHEAP}` gave an empty answer: `{MID}` was asked" in routing.notes
    prices = [pricing.cost(model, input_tokens=9, output_tokens=2, at="2026-11-20") for model in (CHEAP, MID, DEAR)]
    assert routing.cost_usd == prices[0] + prices[1]
    assert routing.saved_usd == prices[2] - prices[0] - prices[1]
    assert told(made) == [("escalated", "cheap", "empty", 1), ("ok", "mid", "", 1)]
    spend = made.spend()
    assert (spend.queries, spend.escalated, spend.attempts) == (1, 1, 2)
    assert (spend.cost, spend.saved) == (routing.cost_usd, routing.saved_usd)
    assert {*made.spend().columns()["tags"]} == {'{"team":"zoo"}'}
    first, second = made.failures().groups
    assert (first.rung, first.task, first.failed, first.escalated) == ("cheap", "simple_qa", 1, 1)
    assert (second.rung, second.calls, second.failed) == ("mid", 1, 0)


@pytest.mark.parametrize(
    ("sign", "answer", "request_"),
    [
        ("refusal", says("I'm sorry, but I can't help with that."), {}),
        ("refusal", says(None, refusal="No."), {}),
        ("truncated", says("An ow", "length"), {}),
        ("invalid_json", says("{a: 1}"), {"response_format": {"type": "json_object"}}),
        (
            "invalid_schema",
            says('{"a": 1}'),
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"required": ["b"]}}}},
        ),
        (
            "bad_tool_arguments",
            says(None, "tool_calls", tool_calls=[
                {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{"}}]),
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]},
        ),
    ],
)  # fmt: skip
def test_every_sign_leads_on(server, sign, answer, request_):
    made = controller(server, escalate_on=sign)
    server.then(answer, says('{"b": 1}'))
    ask(made, **request_)
    assert models(server) == ["gpt-5-nano", "gpt-5-mini"]
    assert told(made)[0][:3] == ("escalated", "cheap", sign)
    # Without its name among them, the same answer is handed on.
    other = controller(server, escalate_on=[each for each in SIGNS if each != sign])
    server.then(answer)
    ask(other, **request_)
    assert told(other) == [("ok", "cheap", sign, 1)]


def test_the_last_answer_is_handed_on_whatever_it_is(server):
    made = controller(server, escalate_on=["empty"])
    server.then(says(""), says(""), says(""))
    assert ask(made).choices[0].message.content == ""
    assert [line[:2] for line in told(made)] == [("escalated", "cheap"), ("escalated", "mid"), ("ok", "expensive")]


def test_a_pair_is_a_ladder_of_two(server):
    made = Controller(["random"], DEAR, CHEAP, api_base=server.url, api_key="k", policy={"escalate_on": ["empty"]})
    server.then(says(""))
    ask(made)
    assert models(server) == ["gpt-5-nano", "gpt-5.2"]
    assert [(group.rung, group.failed) for group in made.failures().groups] == [(CHEAP, 1), (DEAR, 0)]


def test_by_name_there_is_no_next_rung(server):
    server.then(says(""))
    book = ferroute.ledger.Ledger()
    policy = CallPolicy(escalate_on=["empty"])
    ferroute.completion(
        model=CHEAP, messages=USER, api_base=server.url, api_key="k", policy=policy, ledger=book,
        ferroute={"task": "simple_qa", "tags": ["zoo"]},
    )  # fmt: skip
    assert models(server) == ["gpt-5-nano"]
    columns = book.spend().columns()
    assert [columns[name] for name in ("signs", "task", "tags", "tier")] == [
        ["empty"], ["simple_qa"], ['{"zoo":""}'], [None],
    ]  # fmt: skip


def test_a_rung_at_its_own_place_is_asked_there(server):
    with FakeServer() as other:
        tiers = {"cheap": CHEAP, "expensive": {"model": DEAR, "api_base": other.url, "api_key": "other-key"}}
        made = Controller(["random"], tiers=tiers, api_base=server.url, api_key="k", policy={"escalate_on": ["empty"]})
        server.then(says(""))
        ask(made)
        assert models(other) == ["gpt-5.2"]
        assert other.requests[0].headers["authorization"] == "Bearer other-key"
        assert server.requests[0].headers["authorization"] == "Bearer k"


def test_a_callable_judges_whole_answers(server):
    seen = []

    def short(answer):
        seen.append(answer.choices[0].message.content)
        return len(seen[-1]) < 6

    made = controller(server, escalate_on=short)
    server.then(says("An owl, of course"))
    assert ask(made).routing.attempts == 1
    server.then(says("owl"), says("An owl, surely"))
    answer = ask(made)
    assert answer.choices[0].message.content == "An owl, surely"
    assert any("`escalate_on` does not take" in note for note in answer.routing.notes)
    assert seen == ["An owl, of course", "owl", "An owl, surely"]
    assert told(made)[1][:3] == ("escalated", "cheap", "")
    assert made.failures().groups[0].failed == 1
    # Streams are not held back for it, which is said.
    stream = ask(made, stream=True)
    list(stream)
    assert any("whole answers only" in note for note in stream.routing.notes)
    assert len(seen) == 3


def test_a_callable_works_for_asyncio_and_its_errors_count_as_no(server):
    async def ask_async(made):
        return await made.acompletion(model="router-random-1.0", messages=USER)

    made = controller(server, escalate_on=lambda answer: "Hello" in answer.choices[0].message.content)
    assert asyncio.run(ask_async(made)).routing.attempts == 3

    def broken(answer):
        raise KeyError("nothing there")

    async def waits(answer):
        return True

    for judge, why in ((broken, "KeyError: 'nothing there'"), (waits, "asynchronous")):
        made = controller(server, escalate_on=judge)
        routing = asyncio.run(ask_async(made)).routing
        assert routing.attempts == 1
        assert any(why in note for note in routing.notes), routing.notes


def test_streams_lead_on_before_their_first_content_only(server):
    made = controller(server, escalate_on=["empty", "refusal"])
    role = chunk({"role": "assistant", "content": ""})
    server.then(Answer(chunks=[role, chunk({}, "stop"), DONE]))
    stream = ask(made, stream=True)
    text = "".join(each.choices[0].delta.content or "" for each in stream)
    assert text == "w0 w1 w2 "
    assert stream.routing.attempts == 2
    refusal = chunk({"content": "I'm sorry, but I can't help with that."})
    server.then(Answer(chunks=[role, refusal, chunk({}, "stop"), DONE]))
    assert "can't help" in "".join(each.choices[0].delta.content or "" for each in ask(made, stream=True))
    assert [line[:3] for line in told(made)] == [
        ("escalated", "cheap", "empty"), ("ok", "mid", ""), ("ok", "cheap", "refusal"),
    ]  # fmt: skip

    async def read():
        server.then(Answer(chunks=[role, chunk({}, "content_filter"), DONE]))
        opened = await made.acompletion(model="router-random-1.0", messages=USER, stream=True)
        return [each async for each in opened], opened.routing

    chunks, routing = asyncio.run(read())
    assert (len(chunks), routing.attempts) == (5, 2)


def test_a_rung_that_cannot_be_asked_is_passed_over(server, monkeypatch):
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    tiers = {
        "cheap": {"model": CHEAP, "api_base": server.url, "api_key": "k"},
        "mid": "anthropic/claude-haiku-4-5",
        "expensive": {"model": DEAR, "api_base": server.url, "api_key": "k"},
    }
    made = Controller(["random"], tiers=tiers, policy={"escalate_on": ["empty"]})
    server.then(says(""))
    with pytest.warns(RuntimeWarning, match="the rung 'anthropic/claude-haiku-4-5' is passed over"):
        ask(made)
    assert models(server) == ["gpt-5-nano", "gpt-5.2"]
    assert told(made)[1][1] == "expensive"


def test_a_rung_that_fails_leaves_the_answer_there_is(server):
    made = controller(server, escalate_on=["truncated"], retries=0)
    server.then(says("An ow", "length"), Answer(status=500), Answer(status=500))
    answer = ask(made)
    assert answer.choices[0].message.content == "An ow"
    assert answer.routing.attempts == 3
    assert told(made) == [
        ("vain", "mid", None, 1), ("vain", "expensive", None, 1), ("ok", "cheap", "truncated", 1),
    ]  # fmt: skip
    assert [(group.rung, group.errors) for group in made.failures().groups[1:]] == [("expensive", 1), ("mid", 1)]
    assert made.spend().queries == 1
    assert answer.routing.cost_usd > Decimal(0)


def test_the_top_rung_has_none_above(server):
    made = controller(server, escalate_on=["empty"])
    server.then(says(""))
    made.chat.completions.create(model="router-random-0.0", messages=USER)
    assert told(made) == [("ok", "expensive", "empty", 1)]


def test_names_are_checked_and_policies_pickle():
    with pytest.raises(InvalidValueError, match="`escalate_on` knows 'empty'"):
        CallPolicy(escalate_on=["asked_again"])
    with pytest.raises(InvalidTypeError, match="`escalate_on` is a list of names or a callable"):
        CallPolicy(escalate_on=7)
    for on in (["empty", "refusal"], bool):
        policy = CallPolicy(escalate_on=on)
        assert pickle.loads(pickle.dumps(policy)) == policy


def test_a_rung_that_rests_is_asked_where_no_other_is_left(server):
    made = controller(server, escalate_on=["empty"], retries=0, failures_before_cooldown=1, cooldown=60)
    # The lower of the two fails and rests, while the other answers; then that fails, and both rest.
    for _ in range(2):
        server.then(says(""), Answer(status=500))
        ask(made)
    assert models(server)[3:] == ["gpt-5-nano", "gpt-5.2"]
    server.then(says(""), says("An owl"))
    before = len(server.requests)
    answer = ask(made)
    assert [request.json["model"] for request in server.requests[before:]] == ["gpt-5-nano", "gpt-5-mini"]
    assert answer.choices[0].message.content == "An owl"


def test_rungs_that_are_not_asked_are_named(server):
    tiers = {"cheap": "openai/gpt-4o-mini", "mid": "openai/gpt-4-1106-preview", "expensive": "openai/gpt-4-0613"}
    made = Controller(["random"], tiers=tiers, api_base=server.url, api_key="k", policy={"escalate_on": ["empty"]})
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    seen = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, image]}]
    server.then(says(""))
    notes = made.completion(model="router-random-1.0", messages=seen).routing.notes
    for name in ("mid", "expensive"):
        assert f"`{tiers[name]}` was not asked: takes no images" in notes
    assert models(server) == ["gpt-4o-mini"]
    # An answer that is fine leads to nobody.
    notes = made.completion(model="router-random-1.0", messages=seen).routing.notes
    assert not any("was not asked" in note for note in notes), notes


def test_a_fallback_is_entered_under_its_own_rung(server):
    policy = {"fallbacks": [DEAR, "openai/gpt-5"], "retries": 0, "failures_before_cooldown": 100}
    tiers = {"cheap": CHEAP, "mid": MID, "expensive": DEAR}
    for escalate_on in ((), ["empty"]):
        made = Controller(["random"], tiers=tiers, api_base=server.url, api_key="k",
                          policy={**policy, "escalate_on": escalate_on})  # fmt: skip
        server.then(Answer(status=500))
        ask(made)
        server.then(Answer(status=500), Answer(status=500))
        ask(made)
        # One that is on no rung stands in for the one that was chosen.
        assert [line[:2] for line in told(made)] == [("ok", "expensive"), ("ok", "cheap")]


def test_a_callable_may_ask_a_model_itself(server):
    def judge(answer):
        verdict = ferroute.completion(
            model="openai/gpt-5", messages=[{"role": "user", "content": answer.choices[0].message.content}],
            api_base=server.url, api_key="k", policy=CallPolicy(),
        )  # fmt: skip
        return verdict.choices[0].message.content == "bad"

    made = controller(server, escalate_on=judge)
    server.then(says("A cow"), says("bad"), says("An owl"), says("good"))
    routing = ask(made).routing
    assert models(server) == ["gpt-5-nano", "gpt-5", "gpt-5-mini", "gpt-5"]
    assert routing.attempts == 2
    assert not any("no verdict" in note for note in routing.notes), routing.notes

    async def side_by_side():
        return await asyncio.gather(*(made.acompletion(model="router-random-0.0", messages=USER) for _ in range(8)))

    assert len(asyncio.run(side_by_side())) == 8
    assert made.spend().escalated == 1


@pytest.mark.parametrize("raised", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
def test_an_interrupt_in_a_callable_reaches_the_caller(server, raised):
    def interrupted(answer):
        raise raised("enough")

    made = controller(server, escalate_on=interrupted)
    with pytest.raises(raised, match="enough"):
        ask(made)
    assert told(made) == [("cancelled", "cheap", None, 1)]
    assert made.spend().cost == pricing.cost(CHEAP, input_tokens=9, output_tokens=2, at="2026-11-20")
    assert models(server) == ["gpt-5-nano"]


def test_an_interrupt_while_a_callable_runs_ends_the_call_at_once():
    import os
    import signal
    import subprocess
    import sys
    import time

    program = """
import sys, time
from fakeserver import FakeServer
import ferroute
from ferroute import Controller

def judge(answer):
    print("judging", flush=True)
    time.sleep(20)

with FakeServer() as server:
    made = Controller(["random"], "openai/gpt-5.2", "openai/gpt-5-nano", api_base=server.url, api_key="k",
                      policy={"escalate_on": judge})
    try:
        made.completion(model="router-random-1.0", messages=[{"role": "user", "content": "hello"}])
    except KeyboardInterrupt:
        print(made.spend().columns()["outcome"], made.spend().cost > 0, flush=True)
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent)}
    running = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment)
    assert running.stdout is not None
    assert running.stdout.readline() == "judging\n"
    begun = time.monotonic()
    running.send_signal(signal.SIGINT)
    rest, _ = running.communicate(timeout=15)
    assert rest == "['cancelled'] True\n"
    assert running.returncode == 0
    assert time.monotonic() - begun < 10


def test_a_schema_that_takes_for_ever_says_nothing_and_holds_nobody_up(server):
    parts = {"d0": {"type": "integer"}}
    for level in range(1, 29):
        parts[f"d{level}"] = {"allOf": [{"$ref": f"#/$defs/d{level - 1}"}] * 2}
    schema = {"$defs": parts, "$ref": "#/$defs/d28"}
    made = controller(server, escalate_on=["invalid_schema"])
    server.then(says('"no number"'))
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    ask(made, response_format=wanted)
    assert told(made) == [("ok", "cheap", "", 1)]

    async def beside():
        import time

        server.then(*[says("1")] * 3)
        slow = [made.acompletion(model="router-random-1.0", messages=USER, response_format=wanted) for _ in range(3)]
        waiting = asyncio.gather(*slow)
        begun = time.monotonic()
        await made.acompletion(model="router-random-1.0", messages=USER)
        await waiting
        return time.monotonic() - begun

    assert asyncio.run(beside()) < 5


def test_nobody_is_asked_above_a_ceiling(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    class Low(RungRouter):
        def choose(self, request):
            return Verdict("cheap", ceiling="mid")

    monkeypatch.setitem(ROUTER_CLS, "low", Low)
    tiers = {"cheap": CHEAP, "mid": MID, "expensive": DEAR}
    made = Controller(["low"], tiers=tiers, api_base=server.url, api_key="k", policy={"escalate_on": ["empty"]})
    server.then(says(""), says(""))
    made.completion(model="router-low", messages=[{"role": "user", "content": "hi"}])
    assert models(server) == ["gpt-5-nano", "gpt-5-mini"]
