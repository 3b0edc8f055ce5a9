"""What certificates, comparisons, held thresholds and fitted routers take."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

import ferroute
from common import emit, per_call_us, spread, text_of
from ferroute import calibrate, evals, rollout

if TYPE_CHECKING:
    from collections.abc import Callable


def seconds(work: Callable[[], object], times: int = 1) -> float:
    """The least of several runs."""
    least = float("inf")
    for _ in range(times):
        start = time.perf_counter()
        work()
        least = min(least, time.perf_counter() - start)
    return round(least, 4)


def main() -> None:
    rng = np.random.default_rng(0)
    for rows in (1_000, 2_000, 100_000):
        rates = rng.uniform(size=rows)
        strong = (rng.uniform(size=rows) < 0.9).astype(float)
        weak = strong * (rng.uniform(size=rows) > 0.3 * rates)
        emit("guarantee", rows=rows, seconds=seconds(lambda r=rates, s=strong, w=weak: calibrate.guarantee(r, s, w), 5))

    rows, models = 12_000, 28
    pair = rng.uniform(size=(rows, 2))
    emit(
        "compare",
        rows=rows,
        models=2,
        seconds=seconds(lambda: evals.compare({"mine": pair[:, 0]}, pair, (0.01, 0.001))),
    )
    many = (rng.uniform(size=(rows, models)) < np.linspace(0.4, 0.8, models)).astype(float)
    guess, names = many * 0.2 + rng.uniform(size=(rows, models)), [f"m{i}" for i in range(models)]
    costs = np.linspace(0.001, 0.01, models)
    emit(
        "compare",
        rows=rows,
        models=models,
        seconds=seconds(lambda: evals.compare({"mine": guess}, many, costs, models=names)),
    )

    ramp = rollout.Ramp(None, rng.uniform(size=2_000), max_quality_loss=0.05)
    draws = iter(rng.uniform(size=1_000_000).tolist())
    emit("ramp, an audit", us=spread(per_call_us(lambda: ramp.observe(next(draws), 1.0, 1.0), 200, 40)))
    emit("ramp, the threshold in force", us=spread(per_call_us(ramp.held)))

    prompts = [text_of(3 + i % 60) + f" {i}" for i in range(400)]
    router = ferroute.fit(prompts, rng.uniform(size=(400, 2)), models=["strong", "weak"], bootstrap=0)
    for words in (10, 50, 500):
        text = text_of(words)
        emit(
            "fitted, a win rate",
            words=words,
            us=spread(per_call_us(lambda t=text: router.calculate_strong_win_rate(t))),
        )


if __name__ == "__main__":
    main()
