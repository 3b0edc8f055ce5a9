"""The router `rules`: conditions, places of mistakes, the preset of the article, the command line."""

from __future__ import annotations

import copy
import json
import pickle
import re
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from conftest import ROOT
from fakeserver import FakeServer
from ferroute import Controller, _core
from ferroute.cli.app import app
from ferroute.endpoints import Endpoint
from ferroute.errors import InvalidTypeError, InvalidValueError, MissingFileError, UnknownNameError
from ferroute.routers.routers import ROUTER_CLS, RulesRouter

if TYPE_CHECKING:
    from pathlib import Path

CHEAP = [
    "classification_sentiment",
    "entity_extraction",
    "format_conversion",
    "keyword_extraction",
    "text_reformatting",
]
MID = ["summarization", "translation", "simple_qa", "content_moderation", "code_explanation"]
EXPENSIVE = [
    "complex_reasoning",
    "code_generation_debugging",
    "creative_writing",
    "math_problem_solving",
    "strategy_planning",
]
ARTICLE = {
    **dict.fromkeys([*CHEAP, "classification", "extraction", "formatting"], "cheap"),
    **dict.fromkeys(MID, "mid"),
    **dict.fromkeys([*EXPENSIVE, "reasoning", "coding", "creative"], "expensive"),
}


def chosen(router: RulesRouter, messages, task=None, tags=None, **keywords):
    return router.choose(_core.Request(messages, keywords, task=task, tags=tags))


# --- the article ---


@pytest.mark.parametrize(("task", "rung"), ARTICLE.items())
def test_what_goes_where(task, rung):
    verdict = chosen(RulesRouter(preset="article"), "some text", task)
    assert verdict.rung == rung
    assert verdict.label == {"classification": "classification_sentiment"}.get(task, verdict.label)


def test_a_simple_question_about_quantum_physics_needs_a_strong_model():
    router = RulesRouter(preset="article")
    hard = chosen(router, "What is quantum tunnelling?", "simple_qa")
    assert (hard.rung, hard.floor, hard.fired) == ("expensive", "expensive", ["hard subjects", "mid tasks"])
    assert "word 'quantum'" in hard.reason
    assert chosen(router, "What is the capital of France?", "simple_qa").rung == "mid"
    # Sorting reviews stays cheap, whatever they are about.
    assert chosen(router, "Is this review positive? 'Quantum dish tabs: great'", "classification").rung == "cheap"


def test_the_default_is_the_middle():
    verdict = chosen(RulesRouter(preset="article"), "asdf", "none")
    assert (verdict.rung, verdict.fired, verdict.reason) == ("mid", [], "`otherwise`, since no rule decided")
    verdict = chosen(RulesRouter(preset="article", otherwise="router-local-60%,15%"), "asdf", "none")
    assert (verdict.rung, verdict.ask) == (None, "router-local-60%,15%")


def test_an_unknown_task_is_guessed_and_told():
    verdict = chosen(RulesRouter(preset="article"), "asdf", "sock_sorting")
    assert verdict.rung == "mid"
    assert verdict.notes == ["the task 'sock_sorting' is not one that rules know, so it was guessed where asked for"]


def test_the_guess_is_asked_where_no_task_is_given():
    text = "Translate this sentence into French: The meeting was moved to Tuesday."
    guess = _core.guess_task(text)
    verdict = chosen(RulesRouter(preset="article"), text)
    assert guess is not None
    assert (verdict.label, verdict.rung) == (guess[0], guess[1])
    assert f"task looks like {guess[0]}" in verdict.reason


# --- rules in Python ---


def test_python_forms():
    router = RulesRouter(
        (
            {"name": "a", "when": {"words": ("alpha", "beta")}, "use": "cheap"},
            {"when": {"pattern": re.compile("^GAMMA", re.IGNORECASE), "turns": np.int64(1)}, "use": "expensive"},
            {"when": {"tags": {"plan": ["pro", "team"]}}, "floor": "mid", "ask": "router-local-0.3,0.7"},
        ),
        otherwise={"model": "openai/other"},
    )
    assert chosen(router, "Alpha!").rung == "cheap"
    assert chosen(router, "gamma rays").rung == "expensive"
    asked = chosen(router, "delta", tags=[("plan", "pro")])
    assert (asked.rung, asked.floor, asked.ask) == (None, "mid", "router-local-0.3,0.7")
    assert chosen(router, "delta").model == "openai/other"
    assert router.named_rungs == ["cheap", "expensive", "mid"]


def test_models_with_settings_of_their_own():
    secret = "sk-very-secret-123456"
    router = RulesRouter(
        [
            {
                "when": {"words": "a"},
                "model": {"model": "openai/mine", "base_url": "http://127.0.0.1:1/v1", "api_key": secret},
            },
            {"when": {"words": "b"}, "model": Endpoint("openai/two", {"api_key": secret})},
        ]
    )
    assert chosen(router, "a").model == "openai/mine"
    assert router.endpoints["openai/mine"].settings == {"api_base": "http://127.0.0.1:1/v1", "api_key": secret}
    assert router.endpoints["openai/two"].settings == {"api_key": secret}
    assert secret not in repr(router) + router._repr_html_() + str(router)
    with pytest.raises(InvalidValueError, match=r"rules\[0\]\.model: unknown setting 'apikey'") as told:
        RulesRouter([{"model": {"model": "m", "apikey": secret}}])
    assert secret not in str(told.value)


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({}, InvalidValueError, "the router 'rules' needs rules"),
        ({"rules": []}, InvalidValueError, "rules: expected a list of rules, found an empty list"),
        ({"preset": "artikle"}, InvalidValueError, "preset: unknown preset 'artikle'; did you mean 'article'?"),
        ({"rules": [{"use": "a"}], "file": "x.yaml"}, InvalidValueError, "both were given"),
        ({"preset": "article", "file": "x.yaml"}, InvalidValueError, "write `preset: article` into it"),
        ({"file": "nowhere.yaml"}, MissingFileError, "nowhere.yaml: no such file"),
        (
            {"rules": [{"when": {"wordz": "a"}, "use": "a"}]},
            InvalidValueError,
            "rules[0].when: unknown condition 'wordz'",
        ),
        ({"rules": [{"when": {"words": {"a"}}, "use": "a"}]}, InvalidTypeError, "rules[0].when.words: expected text"),
        ({"rules": [{"when": {1: "a"}, "use": "a"}]}, InvalidTypeError, "rules[0].when: keys are strings"),
        ({"rules": [{"when": {"turns": float("nan")}, "use": "a"}]}, InvalidValueError, "not finite"),
        ({"rules": [{"use": "a"}], "otherwise": 5}, InvalidValueError, "otherwise: expected a rung"),
        ({"rules": [{"use": "a"}, {"use": "b"}]}, InvalidValueError, "rules[1]: is never looked at: rule 'rule 1'"),
        ({"rules": "article"}, InvalidValueError, "rules: expected a list of rules, found 'article'"),
    ],
)
def test_mistakes_are_told_when_it_is_built(arguments, error, said):
    with pytest.raises(error) as told:
        RulesRouter(**arguments)
    assert said in str(told.value)


def test_a_tree_within_itself_is_refused():
    loop: list = []
    loop.append(loop)
    with pytest.raises(InvalidValueError, match="nested deeper"):
        RulesRouter(loop)


# --- files ---


def test_a_file_with_its_lines(tmp_path):
    file = tmp_path / "rules.yaml"
    file.write_text("rules:\n  - when:\n      words: urgent\n    use: expensive\notherwise: cheap\n", encoding="utf-8")
    router = RulesRouter(file=file)
    assert chosen(router, "URGENT: help").rung == "expensive"
    assert chosen(router, "no hurry").rung == "cheap"
    assert router.rows[0] == ("rule 1", f"{file}:2", "words: urgent", "expensive")
    assert chosen(RulesRouter(file=str(file), otherwise="mid"), "no hurry").rung == "mid"
    file.write_text("rules:\n  - when:\n      wordz: urgent\n    use: expensive\n", encoding="utf-8")
    with pytest.raises(
        InvalidValueError, match=rf"^{re.escape(str(file))}:3:7: rules\[0\]\.when: unknown condition 'wordz'"
    ):
        RulesRouter(file=file)
    file.write_bytes(b"rules:\n  - \xff\n")
    with pytest.raises(InvalidValueError, match=r":2: is not UTF-8"):
        RulesRouter(file=file)


def test_the_example_is_whole():
    router = RulesRouter(file=ROOT / "examples" / "rules.yaml")
    router.check(["nano", "mini", "grand"], ["local", "rules"])
    assert chosen(router, "hi there").rung == "cheap"
    assert chosen(router, "hi", metadata={"team": "legal"}).floor == "expensive"
    angry = chosen(router, "I want a refund now, or my lawyer writes to you")
    assert (angry.ask, angry.floor) == ("router-local-0.3,0.7", "mid")
    assert chosen(router, "classify: my printer is broken", tags=[("plan", "trial")]).rung == "cheap"


def test_pickles_by_what_was_read(tmp_path):
    file = tmp_path / "rules.yaml"
    file.write_text("rules: [{when: {words: a}, floor: big}, {when: {words: b}, floor: small}]\n", encoding="utf-8")
    router = RulesRouter(file=file, otherwise="small")
    router.check(["small", "big"])
    file.unlink()
    for other in (pickle.loads(pickle.dumps(router)), copy.deepcopy(router)):
        assert other.rows == router.rows
        assert chosen(other, "b a").floor == "big"
        assert chosen(other, "c").rung == "small"
    preset = pickle.loads(pickle.dumps(RulesRouter(preset="article")))
    assert chosen(preset, "x", "coding").rung == "expensive"


# --- the Controller's questions ---


def test_names_are_held_against_the_ladder():
    router = RulesRouter(
        [{"when": {"words": "a"}, "use": "grand"}, {"when": {"words": "b"}, "ask": "router-local-0.3"}]
    )
    with pytest.raises(InvalidValueError, match=r"^rules\[0\]\.use: no rung is called 'grand'; there are nano, mini"):
        router.check(["nano", "mini"], ["local"])
    with pytest.raises(
        InvalidValueError, match=r"^rules\[1\]\.ask: 'router-local-0.3' asks a router that is not loaded"
    ):
        router.check(["nano", "grand"], ["rules", "mf"])
    router.check(["nano", "grand"], ["rules", "local"])
    assert router.calculate_strong_win_rate("a") == 1.0


def test_win_rates_are_places_on_the_ladder():
    router = RulesRouter(preset="article", otherwise="cheap")
    assert router.calculate_strong_win_rate("asdf qwer") == 0.0
    router = RulesRouter([{"when": {"words": "a"}, "floor": "expensive"}], otherwise="cheap")
    assert router.calculate_strong_win_rate("a") == 1.0
    with pytest.raises(InvalidTypeError):
        router.calculate_strong_win_rate(None)  # type: ignore[arg-type]


def test_it_is_registered_and_shown():
    assert ROUTER_CLS["rules"] is RulesRouter
    router = RulesRouter([{"name": "<b>", "when": {"words": ["a"]}, "use": "cheap"}])
    assert repr(router) == "RulesRouter('rules', 1 rules)\n  <b>: words: a -> cheap\n  otherwise -> mid"
    assert "&lt;b&gt;" in router._repr_html_() and "<b>" not in router._repr_html_()
    assert str(router) == "rules"


def test_what_would_have_been():
    router = RulesRouter(preset="article")
    request = _core.Request("What is quantum foam?", task="simple_qa")
    assert router.would_change(request, router.choose(request)) == [
        "without rule 'hard subjects': mid, by rule 'mid tasks' (task is simple_qa)"
    ]


async def test_a_subclass_decides():
    class Own(RulesRouter):
        def choose(self, request):
            return "mid"

    own = Own(preset="article")
    request = _core.Request("x")
    assert await own.achoose(request) == "mid"
    assert own.calculate_strong_win_rate("x") == 0.5
    assert (await RulesRouter(preset="article").achoose(request)).rung == "mid"


def test_texts_of_any_kind():
    router = RulesRouter(preset="article")
    for text in ("", "\ud800 quantum", "\0", "a" * 1_000_000, "量子" * 1000, " \n\t"):
        assert chosen(router, text, "simple_qa").rung in {"mid", "expensive"}


def test_catastrophic_patterns_take_linear_time():
    router = RulesRouter([{"when": {"pattern": ["(a+)+$", "(a|aa)+b", "(.*)*x"]}, "use": "cheap"}])
    start = time.perf_counter()
    chosen(router, "a" * 300_000 + "!")
    assert time.perf_counter() - start < 5


def test_threads():
    router = RulesRouter(preset="article")
    found = []

    def work():
        found.extend(chosen(router, "What is quantum foam?", "simple_qa").rung for _ in range(200))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["expensive"] * 1600


KEYS = [
    *("name", "when", "use", "model", "ask", "floor", "ceiling", "task", "words", "pattern", "in", "language", "turns"),
    *("tools", "tags", "any", "all", "not", "rules"),
]
SCALARS = ["words", "cheap", "< 3", "router-x", "none", "de", "article", True, 3, -1, 2.5, None, ""]
trees = st.recursive(
    st.sampled_from(SCALARS) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(rules=trees, otherwise=trees)
def test_no_tree_does_anything_but_load_or_be_refused(rules, otherwise):
    try:
        router = RulesRouter(rules, otherwise=otherwise)
    except (InvalidValueError, InvalidTypeError):
        return
    chosen(router, "cheap words")


# --- through the Controller ---

TIERS = {"cheap": "openai/small", "mid": "openai/medium", "expensive": "openai/large"}


def controller(rules, tiers=TIERS, **more):
    return Controller(["rules", "local"], tiers=tiers, config={"rules": rules}, **more)


def test_a_controller_follows_the_article():
    c = controller({"preset": "article"})
    messages = [{"role": "user", "content": "some text"}]
    decision = c.decide(messages, router="rules", ferroute={"task": "classification_sentiment"})
    assert (decision.model, decision.tier) == ("openai/small", "cheap")
    assert decision.reason == "rule 'cheap tasks' (task is classification_sentiment): cheap"
    hard = c.decide("What is quantum tunnelling?", router="rules", ferroute={"task": "simple_qa"})
    assert (hard.tier, hard.threshold, hard.win_rate) == ("expensive", None, None)
    assert c.decide("asdf", router="rules", ferroute={"task": "sock_sorting"}).notes[0].startswith("the task 'sock_so")
    assert c.decide("asdf", model="router-rules").tier == "mid"
    again = pickle.loads(pickle.dumps(c))
    assert again.decide(messages, router="rules", ferroute={"task": "coding"}).model == "openai/large"


def test_a_floor_leaves_the_choice_to_a_learned_router():
    c = controller({"rules": [{"when": {"words": "quantum"}, "floor": "mid", "ask": "router-local-0.0,0.0"}]})
    assert c.decide("What is quantum foam?", router="rules").tier == "expensive"
    c = controller({"rules": [{"when": {"words": "quantum"}, "floor": "mid", "ask": "router-local-1.0,1.0"}]})
    decision = c.decide("What is quantum foam?", router="rules")
    assert (decision.tier, decision.router) == ("mid", "rules")
    # The caller's thresholds are the learned router's.
    assert c.decide("What is quantum foam?", router="rules", threshold=[0.0, 0.0]).tier == "expensive"


def test_the_other_keywords_of_a_call_are_seen():
    c = controller({"rules": [
        {"when": {"tools": True}, "use": "expensive"},
        {"when": {"metadata": {"team": "legal"}}, "use": "expensive"},
        {"when": {"tags": {"plan": "trial"}}, "use": "cheap"},
        {"when": {"tags": "beta"}, "use": "expensive"},
        {"when": {"turns": ">= 2"}, "use": "expensive"},
    ]})  # fmt: skip
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    assert c.decide("x", router="rules", tools=tools).tier == "expensive"
    assert c.decide("x", router="rules", metadata={"team": "legal"}).tier == "expensive"
    assert c.decide("x", router="rules", ferroute={"tags": {"plan": "trial"}}).tier == "cheap"
    assert c.decide("x", router="rules", ferroute={"tags": ["beta"]}).tier == "expensive"
    turns = [{"role": role, "content": "x"} for role in ("user", "assistant", "user")]
    assert c.decide(turns, router="rules").tier == "expensive"
    assert c.decide("x", router="rules").tier == "mid"


def test_unknown_rungs_and_routers_are_refused_at_construction(tmp_path):
    file = tmp_path / "rules.yaml"
    file.write_text("rules:\n  - when: {words: a}\n    use: gross\n", encoding="utf-8")
    ladder = {"klein": "openai/small", "groß": "openai/large"}
    said = rf"^{re.escape(str(file))}:3:10: rules\[0\]\.use: no rung is called 'gross'; did you mean 'groß'\?"
    with pytest.raises(InvalidValueError, match=said):
        controller({"file": file}, ladder)
    with pytest.raises(InvalidValueError, match=r"'router-mf-0.5' asks a router that is not loaded"):
        controller({"preset": "article", "otherwise": "router-mf-0.5"})


def test_names_of_every_ladder_and_of_its_own():
    rules = {"rules": [
        {"when": {"words": "a"}, "use": "cheap"},
        {"when": {"words": "b"}, "use": "grand"},
        {"when": {"words": ["c", "d"]}, "floor": "nano"},
        {"when": {"words": "d"}, "floor": "grand"},
    ], "otherwise": "weak"}  # fmt: skip
    c = controller(rules, {"nano": "openai/small", "mini": "openai/medium", "grand": "openai/large"})
    assert [c.decide(text, router="rules").tier for text in "abcde"] == ["nano", "grand", "nano", "grand", "nano"]
    pair = Controller(["rules"], "openai/large", "openai/medium", config={"rules": {"preset": "article"}})
    assert pair.decide("x", router="rules", ferroute={"task": "coding"}).model == "openai/large"
    assert pair.decide("x", router="rules", ferroute={"task": "translation"}).model == "openai/medium"


@pytest.mark.filterwarnings("ignore::ferroute.pricing.PriceWarning")
async def test_calls_of_every_kind():
    rules = [
        {"when": {"words": "alpha"}, "use": "expensive"},
        {"when": {"words": "elsewhere"}, "model": {"model": "openai/other", "api_key": "sk-own"}},
    ]
    with FakeServer() as server:
        tiers = {name: f"openai/{name}" for name in ("cheap", "mid", "expensive")}
        c = controller({"rules": rules}, tiers, api_base=server.url, api_key="sk-not-a-key")
        ask = c.chat.completions.create
        alpha = [{"role": "user", "content": "Alpha?"}]
        answer = ask(model="router-rules", messages=alpha)
        assert (answer.routing.tier, server.requests[-1].json["model"]) == ("expensive", "expensive")
        answer = ask(model="router-rules", messages=[{"role": "user", "content": "elsewhere"}])
        assert (answer.routing.tier, server.requests[-1].json["model"]) == (None, "other")
        assert server.requests[-1].headers["authorization"] == "Bearer sk-own"
        with ask(model="router-rules", messages=alpha, stream=True) as stream:
            assert stream.routing.tier == "expensive"
            assert len(list(stream)) > 3
        answer = await c.acompletion(model="router-rules", messages=[{"role": "user", "content": "Beta?"}])
        assert answer.routing.tier == "mid"
        tiers = [decision.tier for decision in c.decide_batch(["alpha", "beta", "Alpha"], router="rules")]
        assert tiers == ["expensive", "mid", "expensive"]
        assert list(c.batch_calculate_win_rate(["alpha", "beta"], "rules")) == [1.0, 0.5]


# --- the command line ---


def run(*arguments: str):
    return CliRunner().invoke(app, ["rules", *arguments])


@pytest.fixture
def requests(tmp_path) -> Path:
    rows = [
        {"prompt": "asdf", "task": "classification", "expect": "cheap"},
        {"messages": [{"role": "user", "content": "What is quantum foam?"}], "ferroute": {"task": "simple_qa"}},
        "just a string qwer",
        {"text": "hi", "metadata": {"team": "legal"}, "tags": ["urgent"], "task": "none"},
    ]
    file = tmp_path / "prompts.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)) + "\n\n", encoding="utf-8")
    return file


def test_rules_are_tried_on_requests(requests):
    done = run("test", "article", str(requests), "--json")
    assert done.exit_code == 0, done.output
    *rows, last = map(json.loads, done.stdout.splitlines())
    assert [row["rung"] for row in rows][:2] == ["cheap", "expensive"]
    assert rows[0]["as_expected"] is True and rows[1]["fired"] == ["hard subjects", "mid tasks"]
    assert last["summary"]["prompts"] == 4
    assert last["summary"]["fired"]["expensive tasks"] == 0
    table = run("test", "article", str(requests))
    assert "expensive tasks: never fired" in table.stdout
    assert "cheap tasks: 1 times (25.0%)" in table.stdout


def test_what_was_expected_decides_the_exit_code(tmp_path):
    file = tmp_path / "prompts.jsonl"
    file.write_text('{"prompt": "x", "task": "coding", "expect": "cheap"}\n', encoding="utf-8")
    done = run("test", "article", str(file))
    assert done.exit_code == 1
    assert "1 did not go where they were expected to" in done.stdout


def test_bad_rows_are_told(tmp_path):
    file = tmp_path / "prompts.jsonl"
    file.write_text('{"prompt": "x"}\n{"promt": "y"}\n{"prompt": "z", "task": 5}\n[1]\n{\n', encoding="utf-8")
    done = run("test", "article", str(file))
    assert done.exit_code == 3
    assert "line 2: expected `prompt`, a text, or `messages`, a list" in done.stderr
    done = run("test", "article", str(file), "--skip-bad", "--json")
    assert done.exit_code == 0 and json.loads(done.stdout.splitlines()[-1])["summary"]["prompts"] == 1
    assert "4 bad rows were left out" in done.stderr


def test_other_sources_of_prompts(tmp_path):
    file = tmp_path / "prompts.txt"
    file.write_text("alpha\nbeta\n", encoding="utf-8")
    rules = tmp_path / "rules.yaml"
    rules.write_text(
        "rules: [{when: {words: alpha}, model: openai/m}]\notherwise: router-local-0.5\n", encoding="utf-8"
    )
    rows = [json.loads(line) for line in run("test", str(rules), str(file), "--json").stdout.splitlines()]
    assert (rows[0]["model"], rows[1]["ask"]) == ("openai/m", "router-local-0.5")
    command = [sys.executable, "-m", "ferroute", "rules", "test", str(rules), "-", "--json"]
    piped = subprocess.run(command, input="alpha\n", capture_output=True, text=True, check=True)
    assert json.loads(piped.stdout.splitlines()[0])["model"] == "openai/m"
    assert run("test", str(rules), str(tmp_path / "none.jsonl")).exit_code == 3


def test_rules_are_checked(tmp_path):
    done = run("check", "article", "--json")
    assert done.exit_code == 0 and json.loads(done.stdout)["otherwise"] == "mid"
    file = tmp_path / "rules.yaml"
    file.write_text("rules:\n  - when: {turns: often}\n    use: mid\n", encoding="utf-8")
    done = run("check", str(file))
    assert done.exit_code == 1
    assert f"{file}:2:19: rules[0].when.turns: expected a whole number" in done.stderr
    assert run("check", str(tmp_path / "none.yaml")).exit_code == 1
    assert "4 rules, no mistakes" in run("check", "article").stdout


def test_a_preset_is_a_start_for_a_file(tmp_path):
    shown = run("show", "article")
    assert shown.stdout == _core.rules_preset("article")
    file = tmp_path / "mine.yaml"
    file.write_text(shown.stdout, encoding="utf-8")
    assert [row[2:] for row in RulesRouter(file=file).rows] == [row[2:] for row in RulesRouter(preset="article").rows]
    assert run("show", "novel").exit_code == 2
    with pytest.raises(UnknownNameError):
        _core.rules_preset("novel")
