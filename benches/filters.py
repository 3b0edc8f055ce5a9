"""What filters and sessions add to a decision through Python: a prompt, a conversation, and each without filters."""

from __future__ import annotations

from typing import Any

from common import emit, per_call_us, spread, text_of
from ferroute._serving import Serving
from ferroute.controller import Controller
from ferroute.policy import CallPolicy


def main() -> None:
    tiers = {"cheap": "openai/gpt-5-nano", "mid": "openai/gpt-5-mini", "expensive": "openai/gpt-5.2"}
    made = Controller(["random"], tiers=tiers, api_base="http://127.0.0.1:9/v1")
    text = text_of(50)
    one = [{"role": "user", "content": text}]
    many = [{"role": role, "content": text} for _ in range(5) for role in ("user", "assistant")] + one
    sticky = CallPolicy(sticky=True)
    filters = Serving._barred  # pyright: ignore[reportPrivateUsage]
    for name, asked in (("prompt", text), ("one_message", one), ("eleven_messages", many)):

        def decide(asked: Any = asked, policy: Any = None) -> Any:
            return made.decide(asked, "random", 0.5, policy=policy)

        with_filters = spread(per_call_us(decide))
        Serving._barred = lambda *_: None  # pyright: ignore[reportPrivateUsage, reportUnknownLambdaType]
        without = spread(per_call_us(decide))
        Serving._barred = filters  # pyright: ignore[reportPrivateUsage]
        emit(
            "ours_filters",
            asked=name,
            unit="us",
            with_filters=with_filters,
            without=without,
            sticky=spread(per_call_us(lambda: decide(policy=sticky))),
        )


if __name__ == "__main__":
    main()
