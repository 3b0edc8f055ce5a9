"""Decisions over three models through Python: rules, semantic routes, thresholds, and the guess of a task."""

from __future__ import annotations

import ferroute
from common import emit, per_call_us, spread, text_of
from ferroute.controller import Controller

TIERS = {"cheap": "gpt-5-nano", "mid": "gpt-5-mini", "expensive": "gpt-5.2"}
# Ten routes of twenty utterances.
ROUTES = {f"route {n}": [f"{text_of(6 + n)} {n} {i} times" for i in range(20)] for n in range(10)}


def main() -> None:
    controller = Controller(
        ["rules", "semantic", "local"],
        tiers=TIERS,
        config={
            "rules": {"preset": "article"},
            "semantic": {"routes": ROUTES, "map": dict.fromkeys(ROUTES, "mid")},
        },
    )
    for words in (10, 50, 500):
        text = text_of(words)
        messages = [{"role": "user", "content": text}]
        emit(
            "ours_rungs_python",
            words=words,
            unit="us",
            guess_task=spread(per_call_us(lambda t=text: ferroute.guess_task(t))),
            rules=spread(per_call_us(lambda t=text: controller.decide(t, router="rules"))),
            rules_task_given=spread(
                per_call_us(lambda m=messages: controller.decide(m, router="rules", ferroute={"task": "simple_qa"}))
            ),
            semantic=spread(per_call_us(lambda t=text: controller.decide(t, router="semantic"))),
            local_thresholds=spread(
                per_call_us(lambda t=text: controller.decide(t, router="local", threshold=[0.3, 0.7]))
            ),
            local_shares=spread(per_call_us(lambda t=text: controller.decide(t, model="router-local-60%,15%"))),
            **({"target_rules": 20, "target_semantic": 20} if words == 50 else {}),
        )


if __name__ == "__main__":
    main()
