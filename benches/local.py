"""The router `local` from text to decision through Python, at 10, 50 and 500 words."""

from __future__ import annotations

from common import emit, per_call_us, spread, text_of
from ferroute.controller import Controller
from ferroute.decision import Share


def main() -> None:
    controller = Controller(["local"], strong_model="big", weak_model="small")
    router = controller.routers["local"]
    for words in (10, 50, 500):
        text = text_of(words)
        emit(
            "ours_local_python",
            words=words,
            unit="us",
            score=spread(per_call_us(lambda t=text: router.calculate_strong_win_rate(t))),
            decide=spread(per_call_us(lambda t=text: controller.decide(t, "local", 0.5))),
            decide_share=spread(per_call_us(lambda t=text: controller.decide(t, "local", Share(0.3)))),
            **({"target_decide": 12} if words == 50 else {}),
        )


if __name__ == "__main__":
    main()
