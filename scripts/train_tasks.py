"""Train the guess of a prompt's task and write `data/local/tasks.bin` and its card, `data/local/tasks.json`.

    python scripts/train_tasks.py            # a few minutes
    python scripts/train_tasks.py --check    # retrains, requires the committed files

Reads `data/tasks/train.jsonl` only; `test.jsonl` is for `scripts/eval_tasks.py`. The cues come from the compiled
`ferroute._core`, so training and serving share one implementation. Needs numpy.

Recipe: softmax regression with an L2 penalty over fifteen tasks and "none of them", by L-BFGS. A cue (a word of the
instruction, two in a row, a word of the material) that at least two prompts have gets a weight a class; embeddings,
lexical features and shape are standardised. Temperature and threshold are chosen on held-out folds of the training set:
the temperature with the best likelihood, and the lowest threshold at which the answers given are right often enough.
Weights are rounded to a fixed grid, so the same data give the same file.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import struct
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
TRAIN = ROOT / "data" / "tasks" / "train.jsonl"
HEAD = ROOT / "data" / "local" / "tasks.bin"
CARD = ROOT / "data" / "local" / "tasks.json"
TABLE = ROOT / "data" / "local" / "table.bin"

F64 = NDArray[np.float64]

DATE = "2026-11-27"
L2 = 0.15
# Standard deviations of the standardised numbers beside the words, and the weight of a cue: what the penalty sees.
BESIDE_SCALE = 0.2
CUE_SCALE = 5.0
# A text's cues are divided by the root of their number, or of this one: `FEWEST` in `src/routers/task/head.rs`.
FEWEST = 8
SEEN_IN = 2
STEPS, TOLERANCE = 120, 1e-3
FOLDS = 5
RIGHT = 0.9
BESIDE_DIGITS = 5


@dataclass
class Cues:
    """What the core reads in prompts: keys a prompt, and the numbers beside them (None where it never guesses)."""

    keys: list[list[int]]
    beside: list[F64 | None]

    def take(self, rows: list[int]) -> Cues:
        """Some of the prompts."""
        return Cues([self.keys[i] for i in rows], [self.beside[i] for i in rows])


def read(path: Path) -> tuple[list[str], list[str | None]]:
    """Prompts and their tasks."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [row["prompt"] for row in rows], [row["task"] for row in rows]


def classes() -> list[str | None]:
    """The tasks in the core's order, then none of them."""
    from ferroute._core import task_names

    return [*(name for name, _ in task_names()), None]


def cues(prompts: list[str]) -> Cues:
    """Cues of the prompts as the core reads them."""
    from ferroute._core import task_cues

    read = [task_cues(prompt) for prompt in prompts]
    return Cues([keys for keys, _ in read], [np.array(beside) if beside else None for _, beside in read])


class Sparse:
    """Rows of cue weights; products are sums over the entries, in a fixed order."""

    def __init__(self, keys: list[list[int]], known: dict[int, int]) -> None:
        found = [[known[key] for key in row if key in known] for row in keys]
        weights = [CUE_SCALE / np.sqrt(max(len(row), FEWEST)) for row in keys]
        self.rows, self.width = len(keys), len(known)
        self.row = np.repeat(np.arange(self.rows), [len(row) for row in found])
        self.column = np.array([column for row in found for column in row], np.int64)
        self.weight = np.asarray(weights)[self.row]
        self.by_column = np.argsort(self.column, kind="stable")

    def times(self, dense: F64) -> F64:
        """Self @ dense."""
        return _grouped(dense[self.column] * self.weight[:, None], self.row, self.rows)

    def transposed_times(self, dense: F64) -> F64:
        """Self.T @ dense."""
        order = self.by_column
        return _grouped(dense[self.row[order]] * self.weight[order, None], self.column[order], self.width)


def _grouped(entries: F64, group: NDArray[np.int64], groups: int) -> F64:
    """Sums of the entries of each group; groups come in order."""
    sums = np.zeros((groups, entries.shape[1]))
    if len(group):
        starts = np.flatnonzero(np.r_[True, group[1:] != group[:-1]])
        sums[group[starts]] = np.add.reduceat(entries, starts, axis=0)
    return sums


@dataclass
class Head:
    """Weights on cues and on the numbers beside them, the standardisation folded in."""

    bias: F64
    beside: F64
    keys: list[int]
    rows: F64

    def logits(self, of: Cues) -> F64:
        """A row for each prompt; a prompt without cues is of no task."""
        known = {key: i for i, key in enumerate(self.keys)}
        sums = Sparse(of.keys, known).times(self.rows / CUE_SCALE)
        out = np.full_like(sums, -1e3)
        out[:, -1] = 0
        for i, beside in enumerate(of.beside):
            if beside is not None:
                out[i] = self.bias + sums[i] + beside @ self.beside
        return out

    def rounded(self) -> tuple[Head, float]:
        """On the grid of the file: rows in whole steps of a 127th of the largest; returns the step."""
        step = float(np.float32(np.abs(self.rows).max() / 127))
        beside = self.beside.round(BESIDE_DIGITS).astype(np.float32).astype(np.float64)
        bias = self.bias.round(BESIDE_DIGITS).astype(np.float32).astype(np.float64)
        return Head(bias, beside, self.keys, (self.rows / step).round().clip(-127, 127) * step), step


def fit(of: Cues, labels: NDArray[np.int64], count: int) -> Head:
    """Softmax regression on the prompts that have cues."""
    usable = [i for i, beside in enumerate(of.beside) if beside is not None]
    of, labels = of.take(usable), labels[usable]
    beside = np.array(of.beside)
    seen = Counter(key for keys in of.keys for key in set(keys))
    keys = sorted(key for key, times in seen.items() if times >= SEEN_IN)
    sparse = Sparse(of.keys, {key: i for i, key in enumerate(keys)})
    means, stretch = beside.mean(axis=0), BESIDE_SCALE / beside.std(axis=0).clip(1e-3)
    dense = np.column_stack([(beside - means) * stretch, np.ones(len(beside))])
    target = np.eye(count)[labels]

    def loss(flat: F64) -> tuple[float, F64]:
        weights = flat.reshape(-1, count)
        logits = sparse.times(weights[: len(keys)]) + dense @ weights[len(keys) :]
        logits -= logits.max(axis=1, keepdims=True)
        powers = np.exp(logits)
        totals = powers.sum(axis=1, keepdims=True)
        error = powers / totals - target
        gradient = np.concatenate([sparse.transposed_times(error), dense.T @ error]) + L2 * weights
        value = -(target * (logits - np.log(totals))).sum() + L2 / 2 * (weights**2).sum()
        return float(value), gradient.ravel()

    weights = minimise(loss, np.zeros((len(keys) + dense.shape[1]) * count)).reshape(-1, count)
    rows, rest, bias = weights[: len(keys)] * CUE_SCALE, weights[len(keys) : -1], weights[-1]
    rest = rest * stretch[:, None]
    return Head(bias - means @ rest, rest, keys, rows)


def minimise(loss: Any, x: F64, memory: int = 12) -> F64:
    """L-BFGS with a halving line search."""
    value, gradient = loss(x)
    steps: list[tuple[F64, F64, float]] = []
    for _ in range(STEPS):
        direction = gradient.copy()
        dots = []
        for moved, turned, scale in reversed(steps):
            dots.append(scale * (moved @ direction))
            direction -= dots[-1] * turned
        if steps:
            moved, turned, _ = steps[-1]
            direction *= (moved @ turned) / (turned @ turned)
        else:
            direction /= max(1.0, np.abs(gradient).max())
        for (moved, turned, scale), dot in zip(steps, reversed(dots), strict=True):
            direction += moved * (dot - scale * (turned @ direction))
        slope, length = gradient @ direction, 1.0
        while True:
            after = x - length * direction
            new_value, new_gradient = loss(after)
            if new_value <= value - 1e-4 * length * slope or length < 1e-6:
                break
            length /= 2
        moved, turned = after - x, new_gradient - gradient
        if moved @ turned > 1e-12:
            steps = [*steps[1 - memory :], (moved, turned, 1 / (moved @ turned))]
        x, value, gradient = after, new_value, new_gradient
        if np.abs(gradient).max() < TOLERANCE:
            break
    return x


def probabilities(logits: F64, temperature: float) -> F64:
    """Softmax at a temperature."""
    powers = np.exp((logits - logits.max(axis=1, keepdims=True)) / temperature)
    return powers / powers.sum(axis=1, keepdims=True)


def held_out(of: Cues, labels: NDArray[np.int64], count: int) -> F64:
    """Logits of each prompt by a head that has not seen it.

    A fold is a stretch of the file within each class, not every fifth prompt: what was written in one go is alike, and
    would make the held-out prompts look easier than those of others are.
    """
    fold = np.empty(len(labels), np.int64)
    for label in range(count):
        rows = np.flatnonzero(labels == label)
        fold[rows] = np.arange(len(rows)) * FOLDS // len(rows)
    logits = np.zeros((len(labels), count))
    for k in range(FOLDS):
        kept = np.flatnonzero(fold != k).tolist()
        left = np.flatnonzero(fold == k).tolist()
        logits[left] = fit(of.take(kept), labels[kept], count).rounded()[0].logits(of.take(left))
    return logits


def calibrate(logits: F64, labels: NDArray[np.int64]) -> tuple[float, float]:
    """Temperature and threshold, on two decimals."""
    right = np.arange(len(labels)), labels
    grid = np.round(np.arange(0.4, 2.01, 0.02), 2)
    losses = [-np.log(probabilities(logits, t)[right].clip(1e-9)).mean() for t in grid]
    temperature = float(grid[int(np.argmin(losses))])
    guessed = probabilities(logits, temperature)
    for threshold in np.round(np.arange(0.2, 0.96, 0.01), 2):
        answered = (guessed.argmax(axis=1) < logits.shape[1] - 1) & (guessed.max(axis=1) >= threshold)
        if (guessed.argmax(axis=1) == labels)[answered].mean() >= RIGHT:
            return temperature, float(threshold)
    raise SystemExit(f"no threshold makes {RIGHT:.0%} of the answers right")


def train() -> tuple[bytes, dict[str, Any]]:
    """The content of the two files."""
    names = classes()
    prompts, tasks = read(TRAIN)
    labels = np.array([names.index(task) for task in tasks])
    of = cues(prompts)
    logits = held_out(of, labels, len(names))
    temperature, threshold = calibrate(logits, labels)
    guessed = probabilities(logits, temperature)
    answered = (guessed.argmax(axis=1) < len(names) - 1) & (guessed.max(axis=1) >= threshold)
    head, step = fit(of, labels, len(names)).rounded()
    file = b"FRTASKS\x01" + struct.pack(
        "<IIfff", len(head.keys), len(head.beside), step, temperature, float(np.float32(threshold))
    )
    file += head.bias.astype("<f4").tobytes() + head.beside.astype("<f4").tobytes()
    file += np.array(head.keys, "<u4").tobytes() + (head.rows / step).round().astype(np.int8).tobytes()
    card = {
        "date": DATE,
        "recipe": {
            "l2": L2,
            "beside_scale": BESIDE_SCALE,
            "cue_scale": CUE_SCALE,
            "seen_in": SEEN_IN,
            "folds": FOLDS,
            "right": RIGHT,
        },
        "rows": dict(sorted(Counter(task or "none" for task in tasks).items())),
        "cues": len(head.keys),
        "temperature": temperature,
        "threshold": threshold,
        "held_out_folds": {
            "right_of_answered": round(float((guessed.argmax(axis=1) == labels)[answered].mean()), 4),
            "coverage": round(float(answered[labels < len(names) - 1].mean()), 4),
            "none_left_alone": round(float((~answered)[labels == len(names) - 1].mean()), 4),
        },
        "never_read": ["data/tasks/test.jsonl"],
        "data_sha256": hashlib.sha256(TRAIN.read_bytes()).hexdigest(),
        "table_sha256": hashlib.sha256(TABLE.read_bytes()).hexdigest(),
        "head_sha256": hashlib.sha256(file).hexdigest(),
        "versions": {"numpy": np.__version__},
    }
    return file, card


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the committed files instead of writing them")
    check = parser.parse_args().check
    file, card = train()
    if check:
        committed = json.loads(CARD.read_text(encoding="utf-8"))
        if file != HEAD.read_bytes() or card | {"versions": None} != committed | {"versions": None}:
            raise SystemExit("the head differs from the committed one")
        print("the head is the committed one")
    else:
        HEAD.write_bytes(file)
        CARD.write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
        print(f"{HEAD.relative_to(ROOT)}: {len(file):,} bytes, {card['cues']:,} cues; {card['held_out_folds']}")


if __name__ == "__main__":
    main()
