"""Measure `ferroute.fit` by the number of labels, and how often shuffled labels pass for a signal.

    python scripts/eval_fit.py                      # the embedded router has not seen the set: a few minutes
    python scripts/eval_fit.py --shipped            # the router as it is shipped: it was trained on most of these sets
    python scripts/eval_fit.py --shuffles 400       # verdicts on shuffled labels
    python scripts/eval_fit.py --new-model          # adding a model with few labels

For each set and number of labels: the mean APGR on rows of the same set that were not fitted on, over draws of the
labels, of the embedded router without labels, of labels alone (`zero_shot=False`), and of the fit, which has both.
Every column is judged on the same rows of the same draws. Unless ``--shipped`` is given, the embedded router's head is
trained without the set and without any that shares questions with it, as in `scripts/eval_local.py`.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import ferroute
from eval_local import apgr, mt_bench, training_without
from ferroute import _core
from train_local import DATA, everyday, fit, outcome_sets

F64 = NDArray[np.float64]

LABELS = (50, 100, 200, 500, 1_000, 4_000)
MOST_HELD = 4_000
# A set must keep this part of its rows for judging.
KEPT = 0.28


@dataclass
class Rows:
    """Prompts with both outcomes, and what the embedded router says without labels (as a logit)."""

    features: NDArray[np.float32]
    logits: F64
    outcomes: F64

    def take(self, keep: NDArray[np.int64]) -> Rows:
        """The rows at these places."""
        return Rows(self.features[keep], self.logits[keep], self.outcomes[keep])


def rows_of(prompts: list[str], strong: F64, weak: F64, win_rates: F64) -> Rows:
    """A set as numbers."""
    logits = np.log(win_rates / (1 - win_rates))
    return Rows(_core.LocalModel.features(prompts), logits, np.column_stack([strong, weak]))


def all_sets(shipped: bool) -> dict[str, Rows]:
    """Each set, with the logits of a head that has not seen it (or of the shipped one)."""
    sets = outcome_sets()
    model = _core.LocalModel()
    heads = {} if shipped else {name: fit(training_without(sets, name)) for name in sets}
    everything = None if shipped else fit([*sets.values(), everyday()])

    def win_rates(prompts: list[str], unseen: str | None) -> F64:
        if shipped:
            return model.win_rates(prompts)
        head = everything if unseen is None else heads[unseen]
        return np.asarray(head.scores(prompts))

    found: dict[str, Rows] = {}
    for name in ("MMLU", "GSM8K"):
        data = sets[name]
        found[name] = rows_of(data.prompts, data.strong, data.weak, win_rates(data.prompts, name))
    many = {"MMLU-Pro": "mmlu_pro", "MATH-L5": "math_l5", "CRUX": "crux", "GSM8K (ZeroEval)": "zeroeval_gsm"}
    for name, file in many.items():
        frame = pd.read_parquet(DATA / f"{file}.parquet")
        models = [c for c in frame.columns if c not in {"qid", "prompt", "domain", "src"}]
        right = frame[models].astype(float)
        ranked = right.mean().sort_values(ascending=False, kind="stable").index
        # The best model against the median one, and a good one against a poor one.
        for sign, strong, weak in (("a", 0, len(ranked) // 2), ("b", len(ranked) // 4, 3 * len(ranked) // 4)):
            pair = right[[ranked[strong], ranked[weak]]].dropna()
            prompts = frame.prompt[pair.index].tolist()
            unseen = "GSM8K" if name.startswith("GSM8K") else name
            found[f"{name}, pair {sign}"] = rows_of(prompts, *pair.to_numpy().T, win_rates(prompts, unseen))
    bench = mt_bench()
    found["MT-Bench"] = rows_of(bench.prompts, bench.strong / 10, bench.weak / 10, win_rates(bench.prompts, None))
    rng = np.random.default_rng(5)
    mixed = [found[name] for name in ("MMLU", "GSM8K", "MMLU-Pro, pair a", "MATH-L5, pair a", "CRUX, pair a")]
    mixed = [part.take(rng.permutation(len(part.logits))[:700]) for part in mixed]
    found["five-task mix"] = Rows(
        *(np.concatenate([getattr(part, f) for part in mixed]) for f in ("features", "logits", "outcomes"))
    )
    return found


def fitted(data: Rows, labels: int, zero_shot: bool) -> F64:
    """Differences of the rows from ``labels`` on, expected by a fit on those before."""
    folds = (np.arange(len(data.logits)) < labels).astype(np.uint32)
    fitting = _core.Fitting(data.features, 64, data.logits, data.outcomes)
    scores = fitting.cross_validated((0, 1), folds, zero_shot=zero_shot)[labels:]
    return scores[:, 0] - scores[:, 1]


def cell(data: Rows, labels: int, draws: int, seed: int) -> tuple[float, float, float]:
    """Mean APGR without labels, of labels alone, of the fit."""
    figures = []
    for draw in range(draws):
        order = np.random.default_rng((seed, labels, draw)).permutation(len(data.logits))
        part = data.take(order[: labels + MOST_HELD])
        strong, weak = part.outcomes[labels:].T
        scores = (part.logits[labels:], fitted(part, labels, False), fitted(part, labels, True))
        figures.append([apgr(score, strong, weak) for score in scores])
    none, alone, both = np.mean(figures, axis=0)
    return float(none), float(alone), float(both)


def curves(shipped: bool, draws: int, seed: int) -> None:
    """Prints the table."""
    print("| set | labels | no labels | labels alone | fit | fit less the better |")
    print("|---|---|---|---|---|---|")
    by_labels: dict[int, list[tuple[float, float, float]]] = {}
    for name, data in all_sets(shipped).items():
        for labels in LABELS:
            if labels > (1 - KEPT) * len(data.logits):
                continue
            found = cell(data, labels, draws, seed)
            by_labels.setdefault(labels, []).append(found)
            none, alone, both = found
            print(f"| {name} | {labels} | {none:.3f} | {alone:.3f} | {both:.3f} | {both - max(none, alone):+.3f} |")
    for labels, found in by_labels.items():
        none, alone, both = np.mean(found, axis=0)
        line = f"| {none:.3f} | {alone:.3f} | {both:.3f} | {both - max(none, alone):+.3f} |"
        print(f"| **mean of {len(found)}** | {labels} {line}")


def shuffles(times: int, seed: int) -> None:
    """Prints how often shuffled labels are called better than random."""
    sets = outcome_sets()
    print("| set | labels | method | runs | called better than random |\n|---|---|---|---|---|")
    for name, labels, method in (
        ("MMLU", 200, "heads"),
        ("MMLU", 1_000, "heads"),
        ("GSM8K", 500, "heads"),
        ("MMLU", 300, "neighbours"),
    ):
        data, better = sets[name], 0
        for run in range(times):
            rng = np.random.default_rng((seed, run))
            pick = rng.permutation(len(data.prompts))[:labels]
            shuffled = rng.permutation(pick)
            outcomes = np.column_stack([data.strong[shuffled], data.weak[shuffled]])
            prompts = [data.prompts[i] for i in pick]
            router = ferroute.fit(prompts, outcomes, ["strong", "weak"], bootstrap=0, seed=run, method=method)
            better += router.report.better_than_random
        print(f"| {name} | {labels} | {method} | {times} | {better} ({better / times:.1%}) |")


def repeated(times: int, seed: int) -> None:
    """Prints the same for prompts that come several times each, with one random label a text; and for uneven spread."""
    texts = outcome_sets()["MMLU"].prompts
    print("| prompts of MMLU, random labels | runs | called better than random |\n|---|---|---|")
    tail = [int(size) for size in 1 + np.random.default_rng(seed).pareto(1.2, size=80).clip(0, 40)]
    for name, sizes in (
        ("30, 20, 15 times and 35 once", [30, 20, 15] + [1] * 35),
        ("60 / rank times, ranks 1 to 59", [max(1, 60 // rank) for rank in range(1, 60)]),
        (f"1 + Pareto(1.2) times, at most 41, 80 texts ({sum(tail)} rows)", tail),
        ("150 once; long ones decided by a coin, short ones ties", [1] * 150),
    ):
        better = 0
        for run in range(times):
            rng = np.random.default_rng((seed, run))
            pick = [texts[i] for i in rng.permutation(len(texts))[: len(sizes)]]
            weak = rng.integers(2, size=len(sizes)).astype(float)
            if "ties" in name:
                lengths = np.array([len(text) for text in pick])
                weak = np.where(lengths > np.median(lengths), weak, 0.5)
            prompts = [text for text, size in zip(pick, sizes, strict=True) for _ in range(size)]
            weak = np.repeat(weak, sizes)
            outcomes = np.column_stack([1 - weak, weak])
            report = ferroute.fit(prompts, outcomes, ["strong", "weak"], bootstrap=0, seed=run).report
            better += report.better_than_random
        print(f"| {name} | {times} | {better} ({better / times:.1%}) |", flush=True)


def new_model(draws: int, seed: int) -> None:
    """Prints how well a model is predicted that was added with few labels, beside a head of its own."""
    frame = pd.read_parquet(DATA / "mmlu_pro.parquet")
    models = [c for c in frame.columns if c not in {"qid", "prompt", "domain", "src"}]
    frame = frame.dropna(subset=models).reset_index(drop=True)
    outcomes = frame[models].to_numpy(float)
    prompts = frame.prompt.tolist()
    print("| labels of the new model | added | own head | its mean |\n|---|---|---|---|")
    for labels in (50, 100, 200, 500, 1_000):
        errors = []
        for draw in range(draws):
            rng = np.random.default_rng((seed, labels, draw))
            order = rng.permutation(len(prompts))
            base, new, held = order[:2_000], order[2_000 : 2_000 + labels], order[3_000:]
            last = int(rng.integers(len(models)))
            rest = [i for i in range(len(models)) if i != last]
            router = ferroute.fit(
                [prompts[i] for i in base],
                outcomes[np.ix_(base, rest)],
                [models[i] for i in rest],
                bootstrap=0,
                folds=2,
            )
            router.add_model(models[last], [prompts[i] for i in new], outcomes[new, last])
            texts = [prompts[i] for i in held]
            alone = np.column_stack([outcomes[new, last], outcomes[new, last]])
            own = ferroute.fit(
                [prompts[i] for i in new], alone, ["new", "again"], bootstrap=0, folds=2, zero_shot=False
            )
            truth = outcomes[held, last]
            found = (router.predict(texts)[:, -1], own.predict(texts)[:, 0], outcomes[new, last].mean())
            errors.append([((truth - guess) ** 2).mean() for guess in found])
        added, alone, mean = np.mean(errors, axis=0)
        print(f"| {labels} | {added:.4f} | {alone:.4f} | {mean:.4f} |")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--shipped", action="store_true", help="the shipped head instead of heads that have not seen the set"
    )
    parser.add_argument("--draws", type=int, default=16, help="draws of the labels")
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--shuffles", type=int, metavar="RUNS", help="verdicts on shuffled labels instead")
    parser.add_argument("--new-model", action="store_true", help="adding a model instead")
    given = parser.parse_args()
    if given.shuffles:
        shuffles(given.shuffles, given.seed)
        repeated(given.shuffles, given.seed)
    elif given.new_model:
        new_model(max(given.draws // 4, 2), given.seed)
    else:
        curves(given.shipped, given.draws, given.seed)


if __name__ == "__main__":
    main()
