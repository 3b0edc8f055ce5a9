"""Train the head of the embedded router `local` and write `data/local/head.json`.

    python scripts/train_local.py            # a few seconds
    python scripts/train_local.py --check    # retrains, requires the committed file

Reads the repository's own data only: MMLU, GSM8K, MMLU-Pro, MATH level 5, CRUXEval outcomes, and the prompts of
`data/everyday.jsonl`. MT-Bench is never read, nor is the second copy of the GSM8K questions. The features come from
the compiled `ferroute._core`, so training and serving share one implementation. Needs numpy, pandas, pyarrow.

Recipe: soft label (1 + strong - weak) / 2, so a tie is 0.5; on sets with many models, strong is the mean of the best
quarter of the models and weak the mean of the worse half. Logistic regression with an L2 penalty on standardised
features, each of which has a second weight that counts as far as the text is short. Weights are rounded to a fixed
grid, so the same table and data give the same file.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "data"
SHIPPED = ROOT / "python" / "ferroute" / "data" / "benchmarks"
HEAD = DATA / "local" / "head.json"
TABLE = DATA / "local" / "table.bin"

F64 = NDArray[np.float64]

DATE = "2026-11-24"
EMBEDDING_SCALE = 0.7
C = 1e-3
# Weight of a row. Outcomes of one pair of models count most; MMLU-Pro's means over 28 models teach the others little.
ROW_WEIGHT = {"MMLU": 3.0, "GSM8K": 8.0, "MMLU-Pro": 0.1, "MATH-L5": 3.0, "CRUX": 3.0, "everyday": 12.0}
# Written prompts have no outcomes. The strong model is wasted on an easy one (a greeting, a fact), makes little
# difference to a plain one (a letter, a story, a summary), and is wanted for a hard one (a proof, a bug, a design).
EVERYDAY_LABEL = {"easy": 0.4, "plain": 0.5, "hard": 0.8}
# The outcome sets come from different models, so part of their difference in level is not about the prompts. Each gets
# an offset of its own in training, dropped afterwards; the larger this scale, the freer the offsets.
OFFSET_SCALE = 3.0
# Place of `shortness` among the lexical features.
SHORTNESS = 2
WEIGHT_DIGITS, QUANTILE_DIGITS = 5, 6


@dataclass
class Set:
    """Prompts of one data set with what each side scores on them (0 to 1), and groups to split by."""

    name: str
    prompts: list[str]
    strong: F64
    weak: F64
    groups: NDArray[np.object_]

    @property
    def labels(self) -> F64:
        """Soft labels: 1 strong wins, 0.5 tie, 0 weak wins."""
        return (1 + self.strong - self.weak) / 2

    def take(self, keep: NDArray[np.bool_]) -> Set:
        """The rows where `keep` is true."""
        prompts = [p for p, k in zip(self.prompts, keep, strict=True) if k]
        return Set(self.name, prompts, self.strong[keep], self.weak[keep], self.groups[keep])


def two_models(name: str, path: Path, group: str | None) -> Set:
    """A set with one strong and one weak model, without the contaminated rows."""
    frame = pd.read_parquet(path).query("not contaminated")
    groups = frame[group] if group else pd.Series("", frame.index)
    return Set(
        name,
        frame.prompt.tolist(),
        frame.strong.to_numpy(float),
        frame.weak.to_numpy(float),
        groups.to_numpy(dtype=object),
    )


def many_models(name: str, path: Path, group: str | None) -> Set:
    """A set with many models: the best quarter is the strong side, the worse half the weak one; nulls are left out."""
    frame = pd.read_parquet(path)
    models = [c for c in frame.columns if c not in {"qid", "prompt", "domain", "src"}]
    right = frame[models].astype(float)
    ranked = right.mean().sort_values(ascending=False, kind="stable").index
    strong = right[ranked[: len(ranked) // 4]].mean(axis=1)
    weak = right[ranked[len(ranked) // 2 :]].mean(axis=1)
    groups = frame[group] if group else pd.Series("", frame.index)
    known = strong.notna() & weak.notna()
    whole = Set(name, frame.prompt.tolist(), strong.to_numpy(), weak.to_numpy(), groups.to_numpy(dtype=object))
    return whole.take(known.to_numpy())


def outcome_sets() -> dict[str, Set]:
    """The five sets with outcomes that training may read."""
    sets = [
        two_models("MMLU", SHIPPED / "mmlu.parquet", "domain"),
        two_models("GSM8K", SHIPPED / "gsm8k.parquet", None),
        many_models("MMLU-Pro", DATA / "mmlu_pro.parquet", "src"),
        many_models("MATH-L5", DATA / "math_l5.parquet", None),
        many_models("CRUX", DATA / "crux.parquet", None),
    ]
    return {s.name: s for s in sets}


def everyday() -> Set:
    """The written prompts of `data/everyday.jsonl`, their label put into `strong`."""
    rows = [json.loads(line) for line in (DATA / "everyday.jsonl").read_text(encoding="utf-8").splitlines()]
    labels = np.array([EVERYDAY_LABEL[row["kind"]] for row in rows])
    kinds = np.array([row["kind"] for row in rows], dtype=object)
    return Set("everyday", [row["prompt"] for row in rows], 2 * labels - 1, np.zeros(len(rows)), kinds)


_features: dict[tuple[str, ...], F64] = {}


def features(prompts: list[str]) -> F64:
    """Features as the router computes them, `[n, 106]`; each list is featurised once."""
    from ferroute._core import LocalModel

    key = tuple(prompts)
    if key not in _features:
        _features[key] = np.asarray(LocalModel.features(prompts), np.float64)
    return _features[key]


def expand(x: F64) -> F64:
    """Every feature, and every feature times the text's shortness: `[n, 212]`."""
    return np.concatenate([x, x * x[:, [64 + SHORTNESS]]], axis=1)


@dataclass
class Head:
    """Weights on the expanded features."""

    bias: float
    weights: F64
    means: F64

    def scores(self, prompts: list[str]) -> F64:
        """Win rates."""
        return 1 / (1 + np.exp(-(self.bias + expand(features(prompts)) @ self.weights)))

    def rounded(self) -> Head:
        """On the grid of the committed file."""
        return Head(round(self.bias, WEIGHT_DIGITS), self.weights.round(WEIGHT_DIGITS), self.means.round(WEIGHT_DIGITS))


def fit(sets: list[Set]) -> Head:
    """L2-regularised logistic regression on soft labels, by Newton's method."""
    sizes = [len(s.prompts) for s in sets]
    x = expand(np.concatenate([features(s.prompts) for s in sets]))
    y = np.concatenate([s.labels for s in sets])
    w = np.repeat([ROW_WEIGHT[s.name] for s in sets], sizes)
    offsets = np.repeat(np.diag([0.0 if s.name == "everyday" else OFFSET_SCALE for s in sets]), sizes, axis=0)

    means = np.average(x, axis=0, weights=w)
    deviations = np.sqrt(np.average((x - means) ** 2, axis=0, weights=w)).clip(1e-6)
    embedding = np.arange(x.shape[1]) % (x.shape[1] // 2) < 64
    stretch = np.where(embedding, EMBEDDING_SCALE, 1.0) / deviations
    z = np.column_stack([np.ones(len(x)), (x - means) * stretch, offsets])

    penalty = np.ones(z.shape[1])
    penalty[0] = 0  # the bias is free
    beta = np.zeros(z.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-(z @ beta)))
        gradient = C * (z.T @ (w * (p - y))) + penalty * beta
        hessian = C * (z.T @ (z * (w * p * (1 - p))[:, None])) + np.diag(penalty)
        step = np.linalg.solve(hessian, gradient)
        beta -= step
        if np.abs(step).max() < 1e-10:
            break
    weights = beta[1 : 1 + x.shape[1]] * stretch
    return Head(float(beta[0] - weights @ means), weights, means)


def reference_quantiles(head: Head, sets: list[Set]) -> F64:
    """100 quantiles of the score over a mixture in which every set counts the same."""
    scores = np.concatenate([head.scores(s.prompts) for s in sets])
    weights = np.concatenate([np.full(len(s.prompts), 1 / len(s.prompts)) for s in sets])
    order = np.argsort(scores, kind="stable")
    position = (np.cumsum(weights[order]) - weights[order] / 2) / weights.sum()
    return np.interp((np.arange(100) + 0.5) / 100, position, scores[order]).round(QUANTILE_DIGITS)


def data_hash() -> str:
    """SHA-256 over the files training reads."""
    files = [SHIPPED / "mmlu.parquet", SHIPPED / "gsm8k.parquet", DATA / "everyday.jsonl"]
    files += [DATA / f"{name}.parquet" for name in ("mmlu_pro", "math_l5", "crux")]
    total = hashlib.sha256()
    for path in files:
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def train() -> dict[str, Any]:
    """The content of `head.json`."""
    from ferroute._core import LocalModel

    sets = [*outcome_sets().values(), everyday()]
    head = fit(sets).rounded()
    always, if_short = head.weights.reshape(2, -1).tolist()
    names = LocalModel.feature_names[64:]
    return {
        "format": 1,
        "bias": head.bias,
        "embedding": always[:64],
        "embedding_if_short": if_short[:64],
        "lexical": [
            {"name": name, "always": a, "if_short": s, "mean": m}
            for name, a, s, m in zip(
                names, always[64:], if_short[64:], head.means[64 : 64 + len(names)].tolist(), strict=True
            )
        ],
        "quantiles": reference_quantiles(head, sets).tolist(),
        "card": {
            "date": DATE,
            "recipe": {
                "label": "(1 + strong - weak) / 2",
                "c": C,
                "embedding_scale": EMBEDDING_SCALE,
                "row_weight": ROW_WEIGHT,
                "everyday_labels": EVERYDAY_LABEL,
                "offset_scale": OFFSET_SCALE,
            },
            "rows": {s.name: len(s.prompts) for s in sets},
            "never_read": ["MT-Bench"],
            "data_sha256": data_hash(),
            "table_sha256": hashlib.sha256(TABLE.read_bytes()).hexdigest(),
            "strong": "gpt-4-1106-preview; on sets with many models the mean of the best quarter",
            "weak": "mixtral-8x7b-instruct; on sets with many models the mean of the worse half",
            "versions": {"numpy": np.__version__, "pandas": pd.__version__},
        },
    }


def without_versions(head: dict[str, Any]) -> dict[str, Any]:
    """The part of the file that must not change."""
    return head | {"card": {k: v for k, v in head["card"].items() if k != "versions"}}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the committed head instead of writing it")
    check = parser.parse_args().check
    head = train()
    if check:
        if without_versions(head) != without_versions(json.loads(HEAD.read_text(encoding="utf-8"))):
            raise SystemExit("the head differs from the committed one")
        print("the head is the committed one")
    else:
        HEAD.write_text(json.dumps(head, indent=1) + "\n", encoding="utf-8")
        print(f"{HEAD.relative_to(ROOT)}: {2 * (len(head['embedding']) + len(head['lexical']))} weights")


if __name__ == "__main__":
    main()
