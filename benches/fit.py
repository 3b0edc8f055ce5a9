"""Seconds and memory of `ferroute.fit` at the sizes it is asked for, each in a process of its own.

    python benches/fit.py [--only 10000x2]

Prints a JSON line for each size: 10,000 prompts of 2 and of 28 models with 5-fold cross-validation and 1,000 resamples,
and 50,000 of 2, whose peak memory counts. Prompts are MMLU's, repeated with a number in front; outcomes are drawn.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from importlib import resources

from common import emit

SIZES = ("10000x2", "10000x28", "10000x28-gaps", "50000x2")


def run(size: str) -> None:
    """Fits once and prints what it took."""
    import numpy as np

    import ferroute
    from ferroute import _core

    shape, _, gaps = size.partition("-")
    rows, models = (int(part) for part in shape.split("x"))
    benchmark = resources.files("ferroute") / "data" / "benchmarks" / "mmlu.parquet"
    texts = _core.read_columns(str(benchmark))["prompt"]
    prompts = [f"{i // len(texts)}. {texts[i % len(texts)]}" for i in range(rows)]
    rng = np.random.default_rng(0)
    hard = np.array([len(prompt) for prompt in prompts]) / 2_000
    outcomes = (rng.random((rows, models)) < (0.9 - 0.3 * hard[:, None] - np.linspace(0, 0.4, models))).astype(float)
    if gaps:
        outcomes[rng.random(outcomes.shape) < 0.1] = np.nan
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    router = ferroute.fit(prompts, outcomes, [f"model-{i}" for i in range(models)], folds=5, bootstrap=1_000)
    seconds = time.perf_counter() - start
    start = time.perf_counter()
    for prompt in prompts[:2_000]:
        router.calculate_strong_win_rate(prompt)
    each = (time.perf_counter() - start) / 2_000 * 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    figures = {"seconds": round(seconds, 2), "peak_mib": peak // 1024, "before_mib": before // 1024}
    print(json.dumps(figures | {"decision_us": round(each, 1)}))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=SIZES)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        run(given.child)
        return
    for size in [given.only] if given.only else SIZES:
        done = subprocess.run([sys.executable, __file__, "--child", size], capture_output=True, text=True, check=True)
        emit("fit", size=size, **json.loads(done.stdout))


if __name__ == "__main__":
    main()
