"""Answers that can be seen to have failed: in the ledger, as tables and pictures, by the command."""

from __future__ import annotations

import json
import subprocess
import sys
from math import comb

import pytest

from fakeserver import Answer, FakeServer, completion
from ferroute import Controller
from ferroute.errors import InvalidValueError
from ferroute.failures import SIGNS
from ferroute.ledger import Ledger

CHEAP, DEAR = "openai/gpt-5-nano", "openai/gpt-5.2"


def fill(book):
    for n in range(20):
        book.add(
            "nano", tier="cheap", task="coding", signs=["truncated"] if n < 5 else [], cost="0.001", router="rules"
        )
    book.add("nano", tier="cheap", task="coding", signs=["empty", "truncated"], outcome="escalated", cost="0.001")
    book.add("gpt", tier="expensive", task="coding", signs=[], router="rules")
    book.add("nano", tier="cheap", signs=["refusal"], at=1_768_000_000)
    book.add("gpt", signs=["asked_again"])
    book.add("gpt", outcome="failed", error="timeout")
    # Nobody has looked at these.
    book.add("gpt")
    book.add("gpt", outcome="cancelled")
    return book


@pytest.fixture
def book(tmp_path):
    with Ledger(f"sqlite:///{tmp_path}/calls.db") as opened:
        yield fill(opened)


def test_groups(book):
    found = book.failures()
    assert [(group.rung, group.task, group.calls, group.failed) for group in found.groups] == [
        ("cheap", "coding", 21, 6), ("gpt", "unknown", 1, 1), ("cheap", "unknown", 1, 1), ("expensive", "coding", 1, 0),
    ]  # fmt: skip
    first = found.groups[0]
    assert (first.escalated, first.signs["truncated"], first.signs["empty"], first.errors) == (1, 6, 1, 0)
    # Six of 21 or more have a chance of 2.5 % at the lower end, six or fewer at the upper one.
    chance = [comb(21, n) for n in range(22)]
    assert sum(chance[n] * first.low**n * (1 - first.low) ** (21 - n) for n in range(6, 22)) == pytest.approx(0.025)
    assert sum(chance[n] * first.high**n * (1 - first.high) ** (21 - n) for n in range(7)) == pytest.approx(0.025)
    assert (found.calls, found.failed, found.rate) == (24, 8, 8 / 24)
    assert found.signs == {"empty": 1, "refusal": 1, "truncated": 6, "asked_again": 1}
    assert found.groups[1].errors == 1


def test_filters(book):
    assert book.failures(router="rules").calls == 21
    assert book.failures(model="gpt").calls == 2
    assert book.failures(until="2026-01-12").failed == 1
    assert book.failures(since="2026-01-12").failed == 7
    assert Ledger().failures().groups == ()
    with pytest.raises(InvalidValueError, match="since: expected a time"):
        book.failures(since="yesterday")


def test_memory_says_the_same(book):
    assert fill(Ledger()).failures() == book.failures()


def test_tables(book):
    found = book.failures()
    text = repr(found)
    assert text.splitlines()[0] == "Failures: 8 of 24 answers (33.3%)"
    assert "28.6%  11.3% to 52.2%" in text
    assert "invalid_json" not in text
    assert "1 calls got no answer at all" in text
    html = found._repr_html_()
    assert html.count("<tr>") == 5
    odd = Ledger()
    odd.add("m", tier="<b>", signs=["empty"])
    assert "<b>" not in odd.failures()._repr_html_()
    assert repr(Ledger().failures()) == "Failures: 0 of 0 answers"


def test_frames(book):
    pytest.importorskip("pandas")
    polars = pytest.importorskip("polars")
    found = book.failures()
    frame = found.to_dataframe()
    assert list(frame["failed"]) == [6, 1, 1, 0]
    assert list(frame["truncated"]) == [6, 0, 0, 0]
    assert isinstance(found.to_dataframe(frame="polars"), polars.DataFrame)
    assert list(Ledger().failures().to_dataframe().columns) == list(frame.columns)
    assert set(SIGNS) < set(frame.columns)
    with pytest.raises(InvalidValueError, match="frame: expected pandas or polars"):
        found.to_dataframe(frame="arrow")


def test_the_picture_has_a_bar_a_group(book, tmp_path):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    axes = book.failures().plot()
    bars = next(each for each in axes.containers if hasattr(each, "patches"))
    assert [bar.get_width() for bar in bars] == pytest.approx([0, 1, 1, 6 / 21])
    assert "6 of 21" in [text.get_text() for text in axes.texts]
    book.failures().save_plot(tmp_path / "failures.png")
    assert (tmp_path / "failures.png").read_bytes().startswith(b"\x89PNG")
    Ledger().failures().plot()
    matplotlib.pyplot.close("all")


def test_the_command(book, tmp_path):
    book.close()

    def run(*arguments):
        command = [sys.executable, "-m", "ferroute", "failures", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    path = tmp_path / "calls.db"
    shown = run("--ledger", path)
    assert shown.returncode == 0, shown.stderr
    assert "8 of 24 answers show a sign of failure (33.3%)" in shown.stdout
    found = json.loads(run("--ledger", path, "--json", "--model", "gpt").stdout)
    assert (found["calls"], found["failed"], found["signs"]) == (2, 1, {"asked_again": 1})
    refused = run("--ledger", "memory:")
    assert (refused.returncode, "belongs to the process" in refused.stderr) == (2, True)


def test_a_controllers_calls_are_looked_at():
    with FakeServer() as server:
        made = Controller(["random"], DEAR, CHEAP, api_base=server.url, api_key="k")

        def ask(*turns, **more):
            roles = ("user", "assistant")
            messages = [{"role": roles[n % 2], "content": turn} for n, turn in enumerate(turns)]
            return made.chat.completions.create(model="router-random-1.0", messages=messages, **more)

        server.then(Answer(body=json.dumps(completion(content="Sydney")).encode()))
        first = "What is the capital of Australia?"
        ask(first, ferroute={"task": "simple_qa"})
        ask(first, "Sydney", "No! What is the capital of Australia?")
        assert [(group.task, group.failed, group.signs["asked_again"]) for group in made.failures().groups] == [
            ("simple_qa", 1, 1), ("unknown", 0, 0),
        ]  # fmt: skip
        # A session that keeps its history to itself.
        ask("Which animal hunts at night?", ferroute={"session": "s"})
        ask("Which animal hunts at night, please?", ferroute={"session": "s"})
        ask("Which animal hunts at night?", ferroute={"session": "t"})
        assert made.spend().columns()["signs"] == ["asked_again", "", "asked_again", "", ""]
        stream = ask("Which animal hunts at night?", stream=True)
        list(stream)
        assert made.spend().columns()["signs"][-1] == ""


def test_what_is_added_is_checked():
    book = Ledger()
    with pytest.raises(InvalidValueError, match="signs: there is no sign"):
        book.add("m", signs=["bored"])
    with pytest.raises(InvalidValueError, match="escalated, vain or shadow"):
        book.add("m", outcome="great")
    book.add("m", tags={"team": "legal"}, task="coding")
    columns = book.spend().columns()
    assert (columns["tags"], columns["task"], columns["signs"]) == (['{"team":"legal"}'], ["coding"], [None])


def test_importing_is_free():
    heavy = "numpy, pandas, polars, matplotlib, openai, rich, sqlite3"
    code = f"import sys, ferroute.failures\nprint([m for m in '{heavy}'.split(', ') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
