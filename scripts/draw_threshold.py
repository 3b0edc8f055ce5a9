"""Draw the picture of `docs/choosing-a-threshold.md`: what a threshold does, on outcomes in the wheel.

    python scripts/draw_threshold.py        # some seconds; writes docs/images/threshold.png and prints what is in it

Left: the share of strong calls that each threshold of `local` gives on all prompts of three benchmarks, those that
`ferroute demo` speaks of; only scores are used. Right: a router fitted to 600 questions of GSM8K, on the 707 others:
their mean score at each threshold, with the 95 % interval of the loss against always strong (normal approximation), and
the threshold that is certified with them.
"""

from __future__ import annotations

import contextlib
import io
from importlib.resources import files
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import ferroute
from ferroute.controller import Controller
from ferroute.evals.benchmarks import GSM8K
from ferroute.prompts import read_texts

IMAGE = Path(__file__).resolve().parent.parent / "docs" / "images" / "threshold.png"
BENCHMARKS = {"MMLU": "mmlu.parquet", "GSM8K": "gsm8k.parquet", "MT-Bench": "mt_bench.parquet"}
FITTED, LOSS, SEED = 600, 0.15, 0
INK = ("#b7410e", "#2f6f8f", "#6b7a3a")


def main() -> None:
    figure = Figure(figsize=(10, 3.8), layout="constrained", dpi=110)
    left, right = figure.subplots(1, 2)
    shares(left)
    quality(right)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xlabel("threshold  (higher: fewer strong calls)")
    figure.savefig(IMAGE)


def shares(axes: object) -> None:
    """The share of strong calls over the threshold, for three kinds of traffic."""
    client = Controller(["local"], strong_model="openai/big", weak_model="openai/small")
    folder = files("ferroute") / "data" / "benchmarks"
    for (name, file), colour in zip(BENCHMARKS.items(), INK, strict=True):
        prompts = read_texts(folder / file)
        scores = np.sort(client.batch_calculate_win_rate(prompts, "local"))
        thresholds = np.linspace(0.5, 0.8, 301)
        share = 1 - np.searchsorted(scores, thresholds) / scores.size
        axes.plot(thresholds, 100 * share, color=colour, label=f"{name}, {len(prompts):,} prompts")
        print(f"{name}: {np.mean(scores >= 0.645):.0%} strong calls at 0.645")
    axes.axvline(0.645, color="#888888", linewidth=0.8, linestyle=":")
    axes.set_ylabel("strong calls, %")
    axes.set_title("one threshold, three kinds of traffic", loc="left", fontsize=10)
    axes.legend(frameon=False, fontsize=8)


def quality(axes: object) -> None:
    """The mean score over the threshold on questions that the router was not fitted to, and the certified threshold."""
    with contextlib.redirect_stdout(io.StringIO()):
        benchmark = GSM8K()
    prompts, outcomes = benchmark.prompts(), np.stack(benchmark.scores(), axis=1) / 100
    router = ferroute.fit(prompts[:FITTED], outcomes[:FITTED], models=["strong", "weak"])
    scores, (strong, weak) = router.win_rates(prompts[FITTED:]), outcomes[FITTED:].T
    certificate = ferroute.calibrate.guarantee(scores, strong, weak, max_quality_loss=LOSS, confidence=0.95)

    thresholds = np.quantile(scores, np.linspace(0, 1, 101))
    loss = np.where(scores[None, :] >= thresholds[:, None], 0.0, (strong - weak)[None, :])
    mean, error = loss.mean(axis=1), loss.std(axis=1, ddof=1) / np.sqrt(scores.size)
    best = strong.mean()
    axes.fill_between(
        thresholds, best - mean - 1.96 * error, best - mean + 1.96 * error, color=INK[0], alpha=0.18, linewidth=0
    )
    axes.plot(thresholds, best - mean, color=INK[0], label=f"mean score of {scores.size} questions")
    axes.axhline(best - LOSS, color="#888888", linewidth=0.8, linestyle=":")
    axes.axvline(certificate.threshold, color=INK[1])
    axes.annotate(
        f" certified: {certificate.threshold:.3f}\n {certificate.weak_share:.0%} of the calls are weak",
        (certificate.threshold, best),
        fontsize=8,
        color=INK[1],
        va="bottom",
    )
    axes.annotate(f"always strong less {LOSS}", (thresholds[0], best - LOSS), fontsize=8, color="#666666", va="bottom")
    axes.set_ylabel("mean score")
    axes.set_title("a fitted router on GSM8K, and a certificate", loc="left", fontsize=10)
    axes.legend(frameon=False, fontsize=8, loc="lower left")
    print(f"GSM8K: certified {certificate.threshold:.5f}, {certificate.weak_share:.1%} weak, {scores.size} questions")


if __name__ == "__main__":
    main()
