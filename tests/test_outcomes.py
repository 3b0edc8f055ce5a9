"""Outcomes in the ledger: how good answers were, found again with their calls, and what that says of a router."""

from __future__ import annotations

import asyncio
import itertools
import json
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import closing
from decimal import Decimal
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

import ferroute
import postgres
from fakeserver import Answer, FakeServer, chunk, completion, event
from ferroute import _calls, completions
from ferroute.errors import InvalidTypeError, InvalidValueError, UnknownNameError
from ferroute.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STRONG, WEAK = "openai/gpt-5.5", "openai/gpt-5.4-nano"
HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture(scope="module")
def database() -> Iterator[str | None]:
    """One cluster for all of these; None where there is none."""
    if postgres.programs() is None and os.environ.get("CI") != "true":
        yield None
        return
    with postgres.cluster() as url:
        yield url


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def book(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    if request.param == "postgres":
        url = request.getfixturevalue("database")
        if url is None:
            pytest.skip("not run: PostgreSQL (apt-get install -y postgresql)")
        with Ledger(url) as opened:
            yield opened
        name = url.rsplit("/", 1)[0].rsplit(":", 1)[1]
        psql = [postgres.programs() / "psql", "-h", "127.0.0.1", "-p", name, "-U", "tester", "postgres", "-c"]
        subprocess.run([*psql, "DROP TABLE calls, outcomes"], check=True, capture_output=True, cwd="/")
    else:
        with Ledger("memory:" if request.param == "memory" else f"sqlite:///{tmp_path}/calls.db") as opened:
            yield opened


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server


def whole(name: Any, **more: Any) -> Answer:
    return Answer(body=json.dumps(completion() | {"id": name, **more}).encode())


def streamed(name: str, *, cut: bool = False) -> Answer:
    def piece(delta: dict[str, Any], finish: str | None = None) -> bytes:
        # Azure's first chunk has none.
        return chunk(delta, finish).replace(b'"c1"', json.dumps(name if delta or finish else "").encode())

    chunks = [piece({}), piece({"content": "a"}), piece({"content": "b"})]
    rest = [] if cut else [piece({}, "stop"), b"data: [DONE]\n\n"]
    return Answer(headers={"content-type": "text/event-stream"}, chunks=[*chunks, *rest], cut=cut)


def controller(server: FakeServer, book: Ledger) -> ferroute.Controller:
    return ferroute.Controller(
        ["local"], strong_model=STRONG, weak_model=WEAK, api_base=server.url, api_key="k", ledger=book
    )


def scores(book: Ledger, *names: str, **filters: Any) -> list[tuple[Any, ...]]:
    found = book.outcomes(**filters)
    return list(zip(*(found[name] for name in names or ("source", "scored", "score")), strict=True))


def test_an_outcome_comes_back_with_its_call(book: Ledger) -> None:
    book.add(
        WEAK, response="r1", router="mf", requested="router-mf-0.5", tier="low", win_rate=0.25, threshold=0.5,
        holdout=True, cost="0.001", text="Why?", task="coding", tags={"ab": "new:a", "team": "é"}, session="s",
        at=1_700_000_000.5,
    )  # fmt: skip
    book.add(STRONG, at=1_700_000_001)
    book.add_outcome("r1", score=0.75, source="judge:gpt-5.5", model=STRONG, probability=0.02, at=1_700_000_100)
    columns = book.outcomes()
    assert all(len(values) == 1 for values in columns.values())
    row = {name: values[0] for name, values in columns.items()}
    assert isinstance(row.pop("features"), bytes)
    assert row.pop("call") == book.spend().columns()["id"][0]
    assert row == {
        "time": 1_700_000_000_500_000,
        "router": "mf",
        "requested": "router-mf-0.5",
        "tier": "low",
        "model": WEAK,
        "win_rate": 0.25,
        "threshold": 0.5,
        "holdout": True,
        "cost_usd": 0.001,
        "text": None,
        "task": "coding",
        "tags": '{"ab":"new:a","team":"é"}',
        "session": "s",
        "source": "judge:gpt-5.5",
        "scored": STRONG,
        "score": 0.75,
        "probability": 0.02,
        "scored_time": 1_700_000_100_000_000,
    }
    assert list(columns) == list(Ledger().outcomes())


def test_the_latest_of_the_same_source_and_model_holds(book: Ledger) -> None:
    book.add(WEAK, response="r1")
    for score in (0.0, 1.0, 0.5):
        book.add_outcome("r1", score=score, source="feedback")
    book.add_outcome("r1", score=0.25, source="feedback", model=WEAK)
    book.add_outcome("r1", score=0.75, source="feedback", at=5)
    book.add_outcome("r1", score=0.0, source="user")
    book.add_outcome("r1", score=1.0, source="user", model=STRONG)
    assert scores(book) == [("feedback", WEAK, 0.25), ("user", WEAK, 0.0), ("user", STRONG, 1.0)]


def test_calls_are_found_by_their_own_ids_and_with_filters(book: Ledger) -> None:
    for n in range(10):
        book.add(WEAK if n % 2 else STRONG, router="mf" if n % 3 else None, tags={"n": str(n % 2)}, at=1000 + n)
    calls = book.spend().columns()["id"]
    for n, call in enumerate(calls):
        book.add_outcome(call=call, score=n / 10, source="gold")
    assert [round(10 * score) for (score,) in scores(book, "score")] == list(range(10))
    assert len(scores(book, router="mf")) == 6
    assert len(scores(book, model=WEAK)) == 5
    assert len(scores(book, tags={"n": "1"})) == 5
    assert scores(book, tags={"n": "2"}) == scores(book, tags={"x": "1"}) == []
    assert [n for (n,) in scores(book, "call", since="1970-01-01T00:16:42", until="1970-01-01T00:16:44")] == calls[2:4]


def test_what_is_not_known_is_refused(book: Ledger) -> None:
    book.add(WEAK, response="r1")
    book.add(WEAK, response="lost", outcome="failed")
    book.add(STRONG, response="beside", outcome="shadow")
    for unknown in ("r2", "lost", "beside", "", "r1\0", "é" * 600):
        with pytest.raises(UnknownNameError, match="ids are kept of calls made through ferroute"):
            book.add_outcome(unknown, score=1, source="user")
    with pytest.raises(UnknownNameError, match="there is no call with the id 12345"):
        book.add_outcome(call=12345, score=1, source="user")
    for score in (-0.1, 1.1, float("nan"), float("inf")):
        with pytest.raises(InvalidValueError, match="score: expected a number from 0 to 1, found"):
            book.add_outcome("r1", score=score, source="user")
    for share in (0, -1, 1.5, float("nan")):
        with pytest.raises(InvalidValueError, match="probability: expected above 0 and at most 1, found"):
            book.add_outcome("r1", score=1, source="user", probability=share)
    with pytest.raises(InvalidValueError, match="source: expected"):
        book.add_outcome("r1", score=1, source="")
    for both in ({}, {"call": 1, "response_id": "r1"}):
        with pytest.raises(InvalidValueError, match="either the id of a response or `call=`"):
            book.add_outcome(**both, score=1, source="user")
    for name in ("at", "began_by"):
        with pytest.raises(InvalidValueError, match=f"{name}: expected seconds"):
            book.add_outcome("r1", score=1, source="user", **{name: -1})
    assert scores(book) == []


def test_of_calls_with_the_same_id_the_last_is_meant(book: Ledger) -> None:
    for n in range(3):
        book.add(WEAK, response="same", session=str(n), at=1000 + n)
    # Also while the last ones are not written yet.
    book.add_outcome("same", score=1, source="user")
    book.add_outcome("same", score=1, source="user", began_by=1001.5)
    assert scores(book, "session") == [("1",), ("2",)]
    book.add(WEAK, response="same", session="3", at=1003)
    book.add_outcome("same", score=1, source="user")
    assert scores(book, "session") == [("1",), ("2",), ("3",)]
    with pytest.raises(UnknownNameError):
        book.add_outcome("same", score=1, source="user", began_by=999.0)
    # More than are remembered with the same id.
    for n in range(20):
        book.add(WEAK, response="same", session=f"more {n}", at=2000 + n)
    if not book.in_memory:
        book.add_outcome("same", score=0, source="user", began_by=2001)
        assert ("more 1",) in scores(book, "session")


def test_memory_knows_the_last_calls() -> None:
    book = Ledger()
    for n in range(10_001):
        book.add(WEAK, response=f"r{n}")
        if n in (0, 1):
            book.add_outcome(f"r{n}", score=n, source="user")
    assert scores(book, "score") == [(1.0,)]
    with pytest.raises(UnknownNameError, match="memory knows the last 10000 calls"):
        book.add_outcome("r0", score=1, source="user")
    book.add_outcome("r10000", score=1, source="user")


def test_answers_are_known_by_the_ids_their_callers_see(server: FakeServer, book: Ledger) -> None:
    c = controller(server, book)

    def ask(**more: Any) -> Any:
        return c.completion(model="router-local-1.0", messages=HELLO, **more)

    async def in_asyncio() -> list[str]:
        answer = await c.acompletion(model="router-local-1.0", messages=HELLO)
        chunks = [piece async for piece in await c.acompletion(model="router-local-1.0", messages=HELLO, stream=True)]
        return [answer.id, chunks[-1].id]

    server.then(whole("a"), streamed("b"), whole("c"), streamed("d"), streamed("e"))
    ids = [ask().id, list(ask(stream=True))[-1].id, *asyncio.run(in_asyncio())]
    assert ids == ["a", "b", "c", "d"]
    left = ask(stream=True)
    # The caller reads until he has seen an id, and leaves.
    ids.append(next(piece.id for piece in left if piece.id))
    left.close()
    for n, response in enumerate(ids):
        book.add_outcome(response, score=n / 10, source="user", at=n)
    assert sorted(scores(book, "scored_time", "scored", "router")) == [(n * 10**6, WEAK, "local") for n in range(5)]
    assert book.spend().columns()["response"] == ids


def test_an_answer_of_several_requests_has_the_id_its_caller_sees(server: FakeServer, book: Ledger) -> None:
    numbers = itertools.count()

    def message() -> Answer:
        block = {"type": "text", "text": "owl"}
        body = {"id": f"msg_{next(numbers)}", "type": "message", "role": "assistant", "model": "m", "content": [block]}
        return Answer(body=json.dumps({**body, "stop_reason": "end_turn"}).encode())

    def events() -> Answer:
        name = f"msg_{next(numbers)}"
        told = [
            {"type": "message_start", "message": {"id": name, "model": "m", "usage": {}}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "owl"}},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
            {"type": "message_stop"},
        ]
        return Answer(chunks=[event(each) for each in told])

    def ask(**more: Any) -> Any:
        return ferroute.completion(
            model="anthropic/claude-haiku-4-5", messages=HELLO, api_base=server.url, api_key="k", ledger=book, **more
        )

    server.then(message(), message(), events(), events())
    merged = ask(n=2)
    assert len(merged.choices) == 2
    ids = [merged.id, *{piece.id for piece in ask(n=2, stream=True)}]
    assert len(set(ids)) == 2
    for response in ids:
        book.add_outcome(response, score=1, source="user")
    assert scores(book) == 2 * [("user", "anthropic/claude-haiku-4-5", 1.0)]


def test_failed_calls_and_answers_without_an_id_have_none(server: FakeServer, book: Ledger) -> None:
    server.then(Answer(status=400), streamed("broken", cut=True), whole(""), whole(7))
    c = controller(server, book)
    asked = {"model": "router-local-1.0", "messages": HELLO, "max_retries": 0}
    with pytest.raises(Exception, match="status 400"):
        c.completion(**asked)
    with pytest.raises(Exception, match="cut"):
        list(c.completion(**asked, stream=True))
    c.completion(**asked)
    c.completion(**asked)
    assert book.spend().columns()["response"] == [None] * 4


def test_a_call_beside_another_is_counted_apart(server: FakeServer, book: Ledger) -> None:
    c = controller(server, book)
    usage = {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500}
    server.then(whole("own", usage=usage))
    own = c.completion(model="router-local-1.0", messages=HELLO)
    before = book.spend()
    for status in (200, 400):
        server.then(whole("other", usage=usage) if status == 200 else Answer(status=400))
        routed = _calls.Routed(
            own.routing, c.policy, book, None, "router-local-1.0", False, 0, None, None, (server.url, "k"), shadow=True
        )
        call = _calls.prepare(STRONG, HELLO, server.url, "k", {"max_retries": 0}, routed)
        if status == 200:
            assert completions.complete(call).id == "other"
        else:
            with pytest.raises(Exception, match="status 400"):
                completions.complete(call)
    spend = book.spend()
    # 1,000 tokens at $5 and 500 at $30 a million, and nothing for the refusal.
    assert (spend.shadows, spend.unpriced_shadows, spend.shadow_cost) == (2, 0, Decimal("0.02"))
    for name in ("queries", "failed", "attempts", "prompt_tokens", "cost", "total", "compared", "baseline", "saved"):
        assert getattr(spend, name) == getattr(before, name), name
    assert spend.latency == before.latency
    assert "audits: $0.0200 for 2 answers to compare with; not in the total" in repr(spend)
    assert {model.model: (model.queries, model.shadows) for model in spend.models} == {WEAK: (1, 0), STRONG: (0, 2)}
    assert spend.as_dict()["shadow_cost"] == "0.02"
    assert book.failures().groups[0].calls == 1


def judged(book: Ledger, n: int, *, weak: bool, passes: bool, source: str, probability: float | None = None) -> None:
    for _ in range(n):
        response = f"r{next(_numbers)}"
        book.add(
            WEAK if weak else STRONG, response=response, router="mf", win_rate=0.2 if weak else 0.8, threshold=0.5,
            cost="0.001", router_cost=0, baseline="0.002",
        )  # fmt: skip
        book.add_outcome(response, score=float(passes), source=source, model=WEAK, probability=probability)
        book.add_outcome(response, score=1.0, source=source, model=STRONG, probability=probability)


_numbers = itertools.count()


def test_the_accuracy_of_a_router_by_source(book: Ledger) -> None:
    judged(book, 90, weak=True, passes=True, source="judge:gpt-5.5", probability=0.1)
    judged(book, 10, weak=True, passes=False, source="judge:gpt-5.5", probability=0.1)
    judged(book, 3, weak=False, passes=True, source="judge:gpt-5.5", probability=0.1)
    judged(book, 1, weak=False, passes=False, source="judge:gpt-5.5", probability=0.1)
    judged(book, 2, weak=True, passes=True, source="user")
    spend = book.spend(weak=WEAK)
    assert [each.source for each in spend.accuracies] == ["user", "judge:gpt-5.5"]
    assert spend.accuracy == spend.accuracies[0]
    assert spend.accuracy.strong_unneeded is None
    judge = spend.accuracies[1]
    assert (judge.weak_succeeded.n, judge.weak_succeeded.effective, judge.weak_succeeded.share) == (100, 100, 0.9)
    # Clopper and Pearson by scipy 1.17: binomtest(90, 100).proportion_ci(0.95, "exact"), and of 3 of 4.
    assert (judge.weak_succeeded.low, judge.weak_succeeded.high) == pytest.approx((0.823777, 0.950995), abs=1e-6)
    assert (judge.strong_unneeded.low, judge.strong_unneeded.high) == pytest.approx((0.194120, 0.993691), abs=1e-6)
    lines = repr(spend).splitlines()
    assert "quality: 100.0% of weak-routed succeeded (15.8% to 100.0%, user)" in lines[0]
    assert (
        "quality relative to judge gpt-5.5: 90.0% of 100 weak-routed calls succeeded (95 %: 82.4% to 95.1%); "
        "the weak model would have passed 75.0% of 4 strong-routed calls (95 %: 19.4% to 99.4%)"
    ) in lines
    assert "quality by user: 100.0% of 2 weak-routed calls succeeded (95 %: 15.8% to 100.0%)" in lines
    assert "quality" in spend._title()
    assert "quality relative to judge gpt-5.5" in spend._repr_html_()
    told = json.loads(json.dumps(spend.as_dict()))
    assert told["accuracy"]["source"] == "user"
    assert told["accuracies"][1]["strong_unneeded"]["n"] == 4
    assert book.spend(passing=1.0).accuracies[1].weak_succeeded.share == 0.9
    assert book.spend(router="other").accuracy is None
    # The ledger alone does not know whose answers those are.
    alone = book.spend().accuracies[1]
    assert (alone.weak_succeeded.n, alone.strong_unneeded, alone.unplaced) == (100, None, 4)
    assert "4 scores that cannot be placed are left out" in alone.words()
    with pytest.raises(InvalidValueError, match="passing: expected a number from 0 to 1"):
        book.spend(passing=2)


def test_calls_drawn_more_rarely_weigh_more() -> None:
    book = Ledger()
    judged(book, 100, weak=True, passes=True, source="judge:a", probability=1.0)
    judged(book, 10, weak=True, passes=False, source="judge:a", probability=0.1)
    rate = book.spend().accuracy.weak_succeeded
    assert (rate.n, rate.share) == (110, 0.5)
    # (100 + 10 * 10)^2 / (100 + 10 * 100)
    assert rate.effective == pytest.approx(40_000 / 1100)
    assert rate.low < 0.35 and rate.high > 0.65
    assert "of 110 weak-routed calls succeeded" in repr(book.spend())
    assert "worth 36 of equal weight" in repr(book.spend())


def test_how_a_call_was_drawn_is_kept_and_is_no_score(book: Ledger) -> None:
    for response in ("drawn", "plain"):
        book.add(WEAK, response=response, router="mf", win_rate=0.2, threshold=0.5)
    book.core.mark_drawn("drawn", 0.25, time.time())
    assert book.core.drawn("drawn") == 0.25  # at once,
    book.flush()
    assert (book.core.drawn("drawn"), book.core.drawn("plain")) == (0.25, None)  # and from the store
    assert book.outcomes()["score"] == [] and book.spend().accuracies == ()
    with pytest.raises(UnknownNameError, match="nobody"):
        book.core.drawn("nobody")


def test_tags_that_are_none_are_refused() -> None:
    book = Ledger()
    for tags in ("x", 3, ["ab"]):
        with pytest.raises(InvalidTypeError, match="tags: expected"):
            book.outcomes(tags=tags)  # type: ignore[arg-type]
        with pytest.raises(InvalidTypeError, match="tags: expected"):
            book.add(WEAK, tags=tags)  # type: ignore[arg-type]


def test_where_calls_went_is_told_by_who_answered_where_no_threshold_says_it(book: Ledger) -> None:
    book.add(WEAK, response="share", router="mf", win_rate=0.2)
    book.add_outcome("share", score=1, source="user")
    # Routed to the weak model, and answered by the strong one after an escalation.
    book.add(STRONG, response="moved", router="mf", win_rate=0.2, threshold=0.5)
    book.add_outcome("moved", score=1, source="user")
    book.add(STRONG, response="lot", router="mf", win_rate=0.2, threshold=0.5, holdout=True)
    book.add_outcome("lot", score=1, source="user", model=WEAK)
    accuracy = book.spend(strong=STRONG).accuracy
    assert (accuracy.weak_succeeded.n, accuracy.strong_unneeded, accuracy.unplaced) == (1, None, 1)
    assert book.spend().accuracy.unplaced == 1


def test_a_controller_names_its_strong_model(server: FakeServer) -> None:
    book = Ledger()
    c = controller(server, book)
    server.then(whole("a"))
    c.completion(model="router-local-50%", messages=HELLO)
    assert "quality: not measured" in repr(c.spend())
    book.add_outcome("a", score=1, source="user", model=WEAK)
    accuracy = c.spend().accuracy
    assert accuracy.unplaced == 0
    assert [accuracy.weak_succeeded, accuracy.strong_unneeded].count(None) == 1


def test_the_command_tells_the_quality(tmp_path: Path) -> None:
    def command(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "ferroute", "spend", "--ledger", str(tmp_path / "calls.db"), *arguments],
            capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "200"},
        )  # fmt: skip
        return done.stdout

    with Ledger(tmp_path / "calls.db") as book:
        book.add(WEAK, router="mf", cost="0.001", router_cost=0, baseline="0.002", win_rate=0.1, threshold=0.5)
        book.flush()
        assert "quality: not measured" in command()
        book.add(STRONG, outcome="shadow", cost="0.25")
        book.add_outcome(call=book.spend().columns()["id"][0], score=0.6, source="gold")
    assert "quality by gold: 100.0% of 1 weak-routed calls succeeded (95 %: 2.5% to 100.0%)" in command()
    assert "quality by gold: 0.0% of 1" in command("--passing", "0.7")
    assert "audits: $0.250 for 1 answer to compare with; not in the total" in command()
    assert json.loads(command("--json", "--strong", STRONG))["accuracy"]["weak_succeeded"]["n"] == 1


def test_threads_and_processes_lose_none(tmp_path: Path) -> None:
    path = tmp_path / "calls.db"
    code = """
        import sys, threading
        from ferroute.ledger import Ledger
        book, name = Ledger(sys.argv[1]), sys.argv[2]
        def work(thread):
            for n in range(100):
                response = f"{name}-{thread}-{n}"
                book.add("m", response=response)
                book.add_outcome(response, score=n / 100, source="user")
        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        """
    Ledger(path).close()
    command = [sys.executable, "-c", textwrap.dedent(code), str(path)]
    children = [subprocess.Popen([*command, str(n)]) for n in range(3)]
    assert [child.wait() for child in children] == [0] * 3
    book = Ledger(path)
    found = book.outcomes()
    assert len(set(found["call"])) == len(found["call"]) == 1200
    assert sum(found["score"]) == pytest.approx(12 * sum(n / 100 for n in range(100)))
    # What another process has made is found by its id.
    book.add_outcome("2-3-99", score=0, source="gold")
    assert len(scores(book)) == 1201


def _score_in_child(book: Ledger) -> None:
    book.add_outcome("parent", score=1, source="child")
    book.add(WEAK, response="child")
    book.add_outcome("child", score=1, source="child")


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_scores_its_parents_calls(tmp_path: Path) -> None:
    with Ledger(tmp_path / "calls.db") as book:
        book.add(WEAK, response="parent")
        child = multiprocessing.get_context("fork").Process(target=_score_in_child, args=(book,))
        child.start()
        child.join()
        assert child.exitcode == 0
        book.add_outcome("child", score=0, source="parent")
        assert sorted(scores(book, "source", "score")) == [("child", 1.0), ("child", 1.0), ("parent", 0.0)]


def test_killed_programs_keep_what_is_older_than_a_tenth_of_a_second(tmp_path: Path) -> None:
    path = tmp_path / "calls.db"
    code = """
        import sys, time
        from ferroute.ledger import Ledger
        book = Ledger(sys.argv[1])
        book.add("m", response="r")
        n = 0
        while True:
            book.add_outcome("r", score=1, source=f"s{n}")
            n += 1
            if n % 10 == 0:
                print(n, time.time(), flush=True)
                time.sleep(0.001)
        """
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code), str(path)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    told = [child.stdout.readline() for _ in range(500)]
    os.kill(child.pid, signal.SIGKILL)
    told += child.stdout.readlines()
    child.wait()
    child.stdout.close()
    marks = [(int(line.split()[0]), float(line.split()[1])) for line in told if line.endswith(b"\n")]
    sure = max((n for n, at in marks if at <= marks[-1][1] - 0.1), default=0)
    assert sure > 0
    assert len(scores(Ledger(path))) >= sure


def test_while_another_holds_the_file_nothing_waits_or_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "calls.db"
    with Ledger(path) as book:
        book.add(WEAK, response="before")
        book.flush()
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            book.add(WEAK, response="after")
            ended = threading.Event()

            def score() -> None:
                for response in ("before", "after"):
                    book.add_outcome(response, score=1, source="user")
                ended.set()

            threading.Thread(target=score, daemon=True).start()
            assert ended.wait(30)
            assert len(scores(book)) == 2
            other.execute("COMMIT")
        book.flush()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM outcomes JOIN calls ON id = call_id").fetchone() == (2,)


def test_the_end_of_a_program_says_which_outcomes_were_lost(tmp_path: Path) -> None:
    path = tmp_path / "calls.db"
    with Ledger(path) as book:
        book.add(WEAK, response="r")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        code = "import sys; from ferroute.ledger import Ledger; b = Ledger(sys.argv[1])"
        code += "; b.add_outcome('r', score=1, source='x')"
        ended = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert "the last calls are not in the ledger: 1 outcomes are not in the store" in ended.stderr


def test_answers_by_way_of_litellm_are_known_by_their_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in: Any = ModuleType("litellm")
    pieces = [{"id": "b", "choices": [{"index": 0, "delta": {"content": "x"}}]}] * 2
    stand_in.completion = lambda **given: iter(pieces) if given.get("stream") else completion() | {"id": "a"}
    monkeypatch.setitem(sys.modules, "litellm", stand_in)
    book = Ledger()
    given: Any = {"model": WEAK, "messages": HELLO, "backend": "litellm", "ledger": book}
    ferroute.completion(**given)
    list(ferroute.completion(**given, stream=True))
    for name in ("a", "b"):
        book.add_outcome(name, score=1, source="user")
    assert scores(book) == 2 * [("user", WEAK, 1.0)]
