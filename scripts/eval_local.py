"""Measure the embedded router `local` and write the tables of `docs/local-router.md`.

    python scripts/eval_local.py             # a few minutes; rewrites the part between the markers
    python scripts/eval_local.py --print     # only prints it

Every score is made by a head that has not seen the questions it is tested on. APGR is RouteLLM's: thresholds at the
quantiles of the scores, accuracy against share of strong calls, area above the weak model's score over the area
between the strong and the weak one. 0.5 is what random routing gets. Intervals: 95 %, bootstrap over questions.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ferroute.routers._rules import score
from train_local import ROOT, SHIPPED, Head, Set, everyday, fit, outcome_sets

F64 = NDArray[np.float64]
Scorer = Callable[[Set], F64]

DOC = ROOT / "docs" / "local-router.md"
BEGIN, END = "<!-- figures: written by scripts/eval_local.py -->", "<!-- end of figures -->"
RESULTS = 10  # thresholds of RouteLLM's evaluation
FOLDS = 5
RESAMPLES = 300


def apgr(scores: F64, strong: F64, weak: F64) -> float:
    """Average performance gap recovered, as RouteLLM computes it."""
    thresholds = np.quantile(scores, np.linspace(0, 1, RESULTS + 1))
    share, quality = [], []
    for k, threshold in enumerate(thresholds):
        to_strong = scores > threshold if k == RESULTS else scores >= threshold
        share.append(to_strong.mean())
        quality.append(np.where(to_strong, strong, weak).mean())
    order = np.argsort(share, kind="stable")
    share, quality = np.array(share)[order], np.array(quality)[order]
    span = share[-1] - share[0]
    low, high = weak.mean() * span, strong.mean() * span
    return float((np.trapezoid(quality, share) - low) / (high - low))


def interval(scores: F64, strong: F64, weak: F64, seed: int = 0) -> tuple[float, float]:
    """95 % bootstrap interval of the APGR, questions drawn with replacement."""
    rng = np.random.default_rng(seed)
    draws = []
    for _ in range(RESAMPLES):
        pick = rng.integers(0, len(scores), len(scores))
        draws.append(apgr(scores[pick], strong[pick], weak[pick]))
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)


def rules(data: Set) -> F64:
    """Baseline: the regular expressions and the length that `ferroute demo` compares with."""
    return np.array([score(p) for p in data.prompts])


def length(data: Set) -> F64:
    """Baseline: the longer, the harder."""
    return np.log1p([float(len(p)) for p in data.prompts])


def related(train: str, test: str) -> bool:
    """MMLU-Pro holds rewritten MMLU questions."""
    return {train, test} == {"MMLU", "MMLU-Pro"}


def original(data: Set) -> Set:
    """MMLU-Pro without the questions it took from MMLU."""
    return data.take(np.array([not str(g).startswith("ori_mmlu") for g in data.groups]))


def training_without(sets: dict[str, Set], test: str) -> list[Set]:
    """Everything but `test`, and nothing that shares questions with it."""
    out = [everyday()]
    for name, data in sets.items():
        if name == test or (test == "MMLU-Pro" and name == "MMLU"):
            continue
        out.append(original(data) if related(name, test) else data)
    return out


def cross_validated(data: Set, rest: list[Set], fold_of: NDArray[np.int64]) -> F64:
    """Scores of `data`, fold by fold, by heads trained on the other folds and on `rest`."""
    scores = np.zeros(len(data.prompts))
    for fold in np.unique(fold_of):
        test = fold_of == fold
        scores[test] = fit([data.take(~test), *rest]).scores(data.take(test).prompts)
    return scores


def by_question(data: Set) -> NDArray[np.int64]:
    """Folds at random."""
    return np.random.default_rng(0).permutation(len(data.prompts)) % FOLDS


def by_group(data: Set) -> NDArray[np.int64]:
    """Folds that keep each domain whole."""
    groups = sorted(set(data.groups))
    order = np.random.default_rng(0).permutation(len(groups))
    fold = {g: int(order[i] % FOLDS) for i, g in enumerate(groups)}
    return np.array([fold[g] for g in data.groups])


def mt_bench() -> Set:
    """72 questions; quality is the judge's score of both turns, routing sees the first."""
    frame = pd.read_parquet(SHIPPED / "mt_bench.parquet").query("not contaminated")
    strong = ((frame.strong_1 + frame.strong_2) / 2).to_numpy()
    weak = ((frame.weak_1 + frame.weak_2) / 2).to_numpy()
    return Set("MT-Bench", frame.prompt.tolist(), strong, weak, frame.category.to_numpy(dtype=object))


def cell(scores: F64, data: Set) -> str:
    """One figure with its interval."""
    low, high = interval(scores, data.strong, data.weak)
    return f"{apgr(scores, data.strong, data.weak):.3f} ({low:.2f}-{high:.2f})"


def row(label: str, data: Set, scores: F64) -> str:
    """One line of a table: local beside the baselines."""
    return (
        f"| {label} | {len(data.prompts):,} | {cell(length(data), data)} "
        f"| {cell(rules(data), data)} | {cell(scores, data)} |"
    )


HEADER = ["| set | questions | length | regex rules | local |", "|---|---|---|---|---|"]


def joined(name: str, first: Set, second: Set) -> Set:
    """Two sets one after the other."""
    return Set(
        name,
        first.prompts + second.prompts,
        np.concatenate([first.strong, second.strong]),
        np.concatenate([first.weak, second.weak]),
        np.concatenate([first.groups, second.groups]),
    )


def seen_tasks(sets: dict[str, Set]) -> list[str]:
    """Questions held out from tasks that are in the training data, and MT-Bench, which is not."""
    lines = list(HEADER)
    mmlu, gsm = sets["MMLU"], sets["GSM8K"]
    rest = training_without(sets, "MMLU")
    mmlu_scores = cross_validated(mmlu, rest, by_question(mmlu))
    lines.append(row("MMLU, 5 folds by question", mmlu, mmlu_scores))
    lines.append(row("MMLU, unseen domains (5 groups)", mmlu, cross_validated(mmlu, rest, by_group(mmlu))))
    alone = cross_validated(mmlu, [], by_question(mmlu))
    lines.append(row("MMLU, 5 folds by question, trained on MMLU alone", mmlu, alone))
    rest = training_without(sets, "GSM8K")
    gsm_scores = cross_validated(gsm, rest, by_question(gsm))
    lines.append(row("GSM8K, 5 folds by question", gsm, gsm_scores))
    # The same two models on both, so their questions can be ranked together.
    keep = np.random.default_rng(0).permutation(len(mmlu.prompts)) < len(gsm.prompts)
    both = joined("both", mmlu.take(keep), gsm)
    lines.append(row("MMLU and GSM8K in equal parts", both, np.concatenate([mmlu_scores[keep], gsm_scores])))
    mt = mt_bench()
    lines.append(row("MT-Bench, never trained on", mt, whole(sets).scores(mt.prompts)))
    return lines


def unseen_tasks(sets: dict[str, Set]) -> tuple[list[str], list[float]]:
    """Each set scored by a head that has seen only the others."""
    lines, values = list(HEADER), []
    for name, data in sets.items():
        scores = fit(training_without(sets, name)).scores(data.prompts)
        lines.append(row(f"{name}, left out", data, scores))
        values.append(apgr(scores, data.strong, data.weak))
    return lines, values


def whole(sets: dict[str, Set]) -> Head:
    """The head as shipped."""
    return fit([*sets.values(), everyday()]).rounded()


def thresholds(sets: dict[str, Set]) -> list[str]:
    """What the reference's threshold for 50 % strong calls does on each set."""
    head = whole(sets)
    pooled = [head.scores(s.prompts) for s in [*sets.values(), everyday()]]
    weights = np.concatenate([np.full(len(s), 1 / len(s)) for s in pooled])
    values = np.concatenate(pooled)
    order = np.argsort(values)
    # Cut at the number that is printed.
    half = round(float(values[order][np.searchsorted(np.cumsum(weights[order]) / weights.sum(), 0.5)]), 3)
    lines = [f"| set | 10-90 % range of the scores | strong calls at {half:.3f} |", "|---|---|---|"]
    for data in [*sets.values(), mt_bench(), everyday()]:
        scores = head.scores(data.prompts)
        low, high = np.quantile(scores, [0.1, 0.9])
        lines.append(f"| {data.name} | {low:.3f}-{high:.3f} | {(scores >= half).mean():.0%} |")
    return lines


# The first set steered the choice of the training prompts; the second was written before them and looked at once after.
IMPRESSIONS = {"kept out of training": "first_impression", "never looked at": "first_impression_held_out"}


def first_impression(sets: dict[str, Set]) -> list[str]:
    """Pairs of an easy and a hard prompt that come out in the right order."""
    head = whole(sets)
    lines = ["| prompts | easy | hard | pairs in order | easy: 95 %, highest | hard: lowest, 5 % |"]
    lines.append("|---|---|---|---|---|---|")
    for label, name in IMPRESSIONS.items():
        prompts = json.loads((ROOT / "tests" / "goldens" / f"{name}.json").read_text(encoding="utf-8"))
        easy, hard = head.scores(prompts["easy"]), head.scores(prompts["hard"])
        right = (easy[:, None] < hard[None, :]).mean()
        lines.append(
            f"| {label} | {len(easy)} | {len(hard)} | {right:.1%} | {np.quantile(easy, 0.95):.3f}, {easy.max():.3f} "
            f"| {hard.min():.3f}, {np.quantile(hard, 0.05):.3f} |"
        )
    return lines


def figures() -> str:
    """The generated part of the document."""
    sets = outcome_sets()
    unseen, values = unseen_tasks(sets)
    return "\n".join(
        [
            BEGIN,
            "",
            "### Held-out questions of known tasks, and MT-Bench",
            "",
            *seen_tasks(sets),
            "",
            "### One training set left out in turn",
            "",
            *unseen,
            "",
            f"Mean of `local` over the five: {np.mean(values):.3f}.",
            "",
            "### What one fixed threshold does",
            "",
            "MT-Bench without the questions that resemble RouteLLM's training data, 72 of 80; `ferroute demo` has all.",
            "",
            *thresholds(sets),
            "",
            "### Everyday prompts",
            "",
            *first_impression(sets),
            "",
            END,
        ]
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--print", action="store_true", help="print the figures, leave the document alone")
    args = parser.parse_args()
    text = figures()
    if args.print:
        print(text)
        return
    document = DOC.read_text(encoding="utf-8")
    before, after = document.split(BEGIN)[0], document.split(END)[1]
    DOC.write_text(before + text + after, encoding="utf-8")
    print(f"{DOC.relative_to(ROOT)} written")


if __name__ == "__main__":
    main()
