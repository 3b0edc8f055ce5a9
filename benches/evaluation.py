"""Evaluation: the program on all three benchmarks, and the paired bootstrap beside the same resamples in numpy."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time

import numpy as np

from common import emit
from ferroute.evals import compare

RESULTS, ROUTERS, SLOW = 10, 3, 20


def program() -> None:
    """`evaluate` with `random local` on all three benchmarks, first and second run, pictures included."""
    with tempfile.TemporaryDirectory() as folder:
        seconds = []
        for _ in range(3):
            start = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "ferroute.evals.evaluate", "--routers", "random", "local", "--benchmark", "mmlu",
                 "gsm8k", "mt-bench", "--output", folder],
                check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                env={**os.environ, "FERROUTE_CACHE_DIR": folder},
            )  # fmt: skip
            seconds.append(time.perf_counter() - start)
    emit("evaluate_all_benchmarks", first_s=round(seconds[0], 2), later_s=round(min(seconds[1:]), 2))


def numpy_apgr(rates: np.ndarray, strong: np.ndarray, weak: np.ndarray) -> float:
    """One figure of one resample, as one would write it."""
    thresholds = np.quantile(rates, np.linspace(0, 1, RESULTS + 1))
    share, quality = [], []
    for k, threshold in enumerate(thresholds):
        to_strong = rates > threshold if k == RESULTS else rates >= threshold
        share.append(to_strong.mean())
        quality.append(np.where(to_strong, strong, weak).mean())
    x, y = np.array(share)[::-1], np.array(quality)[::-1]
    area = (np.diff(x) * (y[1:] + y[:-1]) / 2).sum()
    return float((area - weak.mean()) / (strong.mean() - weak.mean()))


def bootstrap() -> None:
    """Milliseconds a resample of three routers on 14,037 rows."""
    rng = np.random.default_rng(0)
    n = 14_037
    strong, weak = (rng.random(n) < 0.8).astype(float), (rng.random(n) < 0.68).astype(float)
    rates = {str(i): rng.random(n) for i in range(ROUTERS)}
    ours, theirs = [], []
    for turn in range(5):
        start = time.perf_counter()
        compare(rates, strong, weak, RESULTS, bootstrap=500, seed=turn)
        ours.append((time.perf_counter() - start) / 500)
        start = time.perf_counter()
        for _ in range(SLOW):
            rows = rng.integers(0, n, n)
            for values in rates.values():
                numpy_apgr(values[rows], strong[rows], weak[rows])
        theirs.append((time.perf_counter() - start) / SLOW)
    ratio = min(theirs) / min(ours)
    emit("bootstrap", ours_ms=round(min(ours) * 1e3, 3), numpy_ms=round(min(theirs) * 1e3, 3), ratio=round(ratio, 1))


if __name__ == "__main__":
    program()
    bootstrap()
