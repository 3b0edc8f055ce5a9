"""The router `semantic`: how well it does on `tests/semantic_cases.jsonl`, and how long it takes through Python."""

from __future__ import annotations

import json
from pathlib import Path

from common import emit, per_call_us, spread, text_of
from ferroute.controller import Controller
from ferroute.routers.semantic import SemanticRouter

CASES = Path(__file__).resolve().parent.parent / "tests" / "semantic_cases.jsonl"
TIERS = {"cheap": "claude-haiku-4-5", "mid": "claude-sonnet-4-5", "expensive": "gpt-5.2"}
ROUTES, UTTERANCES = 10, 20


def read(which: str) -> tuple[dict[str, list[str]], list[str], list[str | None]]:
    """Routes with their utterances, prompts, and the route of each."""
    routes: dict[str, list[str]] = {}
    prompts: list[tuple[str, str | None]] = []
    for row in map(json.loads, CASES.read_text(encoding="utf-8").splitlines()):
        if row["set"] != which:
            continue
        if row["role"] == "utterance":
            routes.setdefault(row["route"], []).append(row["text"])
        else:
            prompts.append((row["text"], row["route"]))
    return routes, [text for text, _ in prompts], [route for _, route in prompts]


def main() -> None:
    routes, prompts, labels = read("test")
    router = SemanticRouter(routes)
    found = router.evaluate(prompts, labels)
    print(found)
    emit("ours_semantic_cases", thresholds="usual", accuracy=found.accuracy, none_recall=found[None].recall)
    for few in (2, 5, 10):
        less = SemanticRouter({name: texts[:few] for name, texts in routes.items()}).evaluate(prompts, labels)
        emit("ours_semantic_cases", utterances=few, accuracy=less.accuracy, none_recall=less[None].recall)
    # Every prompt is judged by thresholds that were fitted without its fifth.
    right = nowhere = 0
    for fold in range(5):
        inside = [at for at in range(len(prompts)) if at % 5 != fold]
        fitted = SemanticRouter(routes, examples=[(prompts[at], labels[at]) for at in inside])
        for verdict, label in zip(fitted.choose_batch(prompts[fold::5]), labels[fold::5], strict=True):
            right += verdict.label == label
            nowhere += verdict.label is label is None
    none = labels.count(None)
    emit("ours_semantic_cases", thresholds="fitted", accuracy=right / len(prompts), none_recall=nowhere / none)

    words = [text for texts in routes.values() for text in texts] + [p for p in prompts if p.strip()]
    texts = iter(words * (1 + ROUTES * UTTERANCES // len(words)))
    many = {f"r{n}": [f"{next(texts)} {n}" for _ in range(UTTERANCES)] for n in range(ROUTES)}
    config = {"semantic": {"routes": many, "map": dict.fromkeys(many, "mid")}}
    controller = Controller(["semantic"], tiers=TIERS, config=config)
    for length in (10, 50, 500):
        text = text_of(length)
        emit(
            "ours_semantic_python",
            words=length,
            unit="us",
            routes=ROUTES,
            utterances=ROUTES * UTTERANCES,
            decide=spread(per_call_us(lambda t=text: controller.decide(t, router="semantic"))),
            **({"target_decide": 20} if length == 50 else {}),
        )


if __name__ == "__main__":
    main()
