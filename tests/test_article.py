"""The article this project started from, as its reader would try it: tiers, rules, classifier, thresholds.

Where the article errs, the test says what is right: a higher threshold means fewer strong calls.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

import ferroute
from fakeserver import Answer, FakeServer, completion
from ferroute.controller import Controller

if TYPE_CHECKING:
    from collections.abc import Iterator

TIERS = {"cheap": "gpt-5-nano", "mid": "gpt-5-mini", "expensive": "gpt-5.2"}
HANOI = "Write a recursive algorithm to solve the Tower of Hanoi problem and explain its time complexity."
TABLE = {
    "cheap": ("classification_sentiment", "entity_extraction", "format_conversion", "keyword_extraction",
              "text_reformatting"),
    "mid": ("summarization", "translation", "simple_qa", "content_moderation", "code_explanation"),
    "expensive": ("complex_reasoning", "code_generation_debugging", "creative_writing", "math_problem_solving",
                  "strategy_planning"),
}  # fmt: skip
SHORT = {
    "cheap": ("classification", "extraction", "formatting"),
    "mid": ("summarization", "translation", "simple_qa"),
    "expensive": ("reasoning", "coding", "creative"),
}


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server


# An address of one's own, where nobody shuts down a model: prices tell of the day at the provider's.
HERE = "http://127.0.0.1:9/v1"


def _rules() -> Controller:
    return Controller(["rules", "local"], tiers=TIERS, config={"rules": {"preset": "article"}}, api_base=HERE)


@pytest.mark.parametrize("names", [TABLE, SHORT])
def test_the_rule_router_sends_each_task_to_its_model(names: dict[str, tuple[str, ...]]) -> None:
    controller = _rules()
    for tier, tasks in names.items():
        for task in tasks:
            decision = controller.decide("Here it is: 12 apples.", router="rules", ferroute={"task": task})
            assert (decision.tier, decision.model) == (tier, TIERS[tier]), task


def test_without_a_task_the_rule_router_takes_the_middle() -> None:
    decision = _rules().decide("hm, well", router="rules")
    assert (decision.tier, decision.model) == ("mid", "gpt-5-mini")


def test_a_simple_question_about_quantum_physics_needs_a_strong_model() -> None:
    controller = _rules()
    plain = controller.decide("What is the capital of France?", router="rules")
    hard = controller.decide("What is quantum entanglement?", router="rules")
    assert (plain.tier, hard.tier) == ("mid", "expensive")


def test_a_rule_may_set_a_floor_and_leave_the_choice_to_a_learned_router() -> None:
    rules = [{"when": {"words": ["quantum"]}, "floor": "mid"}]
    config = {"rules": {"rules": rules, "otherwise": "router-local-0.3,0.9"}}
    controller = Controller(["rules", "local"], tiers=TIERS, config=config, api_base=HERE)
    controller.routers["local"].calculate_strong_win_rate = lambda _: 0.1
    assert controller.decide("What is quantum foam?", router="rules").tier == "mid"
    assert controller.decide("What is sea foam?", router="rules").tier == "cheap"
    controller.routers["local"].calculate_strong_win_rate = lambda _: 0.95
    assert controller.decide("What is quantum foam?", router="rules").tier == "expensive"


def test_the_classifier_says_cheap_and_expensive(server: FakeServer) -> None:
    """`LLMRouter` of the article: the same class, the same five keys."""
    router = ferroute.LLMRouter(TIERS, "gpt-5-nano", api_base=server.url, api_key="k")
    for query, label, model in (("What is 2+2?", "cheap", "gpt-5-nano"), (HANOI, "expensive", "gpt-5.2")):
        usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
        server.then(
            Answer(body=json.dumps(completion(model="gpt-5-nano", content=label) | {"usage": usage}).encode()),
            Answer(body=json.dumps(completion(model=model, content="done") | {"usage": usage}).encode()),
        )
        result = router.route(query)
        assert result == {
            "response": "done",
            "model_used": model,
            "complexity": label,
            "input_tokens": 9,
            "output_tokens": 3,
        }


def test_the_threshold_runs_the_other_way_than_the_article_says() -> None:
    controller = Controller(["local"], tiers=TIERS, api_base=HERE)
    controller.routers["local"].calculate_strong_win_rate = lambda _: 0.5
    order = ["expensive", "mid", "cheap"]
    found = [
        controller.decide("x", router="local", threshold=cuts).tier for cuts in ([0.3, 0.4], [0.4, 0.7], [0.6, 0.7])
    ]
    assert found == order
    pair = Controller(["local"], strong_model="gpt-5.2", weak_model="gpt-5-mini")
    pair.routers["local"].calculate_strong_win_rate = lambda _: 0.5
    assert pair.decide("x", router="local", threshold=0.0).model == "gpt-5.2", "0.0 is always strong"
    assert pair.decide("x", router="local", threshold=1.0).model == "gpt-5-mini", "1.0 is as good as always weak"
    assert pair.decide("x", model="router-local-0.3").model == "gpt-5.2"
    assert pair.decide("x", model="router-local-0.7").model == "gpt-5-mini", "higher is cheaper"
