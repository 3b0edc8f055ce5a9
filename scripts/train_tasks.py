"""Train the guess of a prompt's task and write `data/local/tasks.bin` and its card, `data/local/tasks.json`.

    python scripts/train_tasks.py            # a few minutes
    python scripts/train_tasks.py --check    # retrains, requires the committed files

Reads `data/tasks/train.jsonl` and `payloads.jsonl` only; the tests there are for `scripts/eval_tasks.py`. The cues come
from the compiled `ferroute._core`, so training and serving share one implementation. Needs numpy.

Each short prompt is trained on three times: as it is, with a text to work on after it, and with one before it. A
reading that takes the end of such a text for the instruction is a row of "none of them", so the head learns to tell a
request from a line of a letter. Which text goes with which prompt is drawn at random, but for code and tables of data.

Recipe: softmax regression with an L2 penalty over fifteen tasks and "none of them", by L-BFGS. A cue (a word of the
instruction, two in a row, a word of the material) that at least two prompts or texts have gets a weight a class;
embeddings, lexical features and shape are standardised. Temperature and threshold are chosen on held-out folds of the
training set, whose texts are others too: the temperature with the best likelihood, and the lowest threshold at which
the answers to prompts as they were written are right often enough. Weights are rounded to a fixed grid, so the same
data give the same file.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import re
import struct
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
TRAIN = ROOT / "data" / "tasks" / "train.jsonl"
PAYLOADS = ROOT / "data" / "tasks" / "payloads.jsonl"
HEAD = ROOT / "data" / "local" / "tasks.bin"
CARD = ROOT / "data" / "local" / "tasks.json"
TABLE = ROOT / "data" / "local" / "table.bin"

F64 = NDArray[np.float64]
F32 = NDArray[np.float32]

DATE = "2026-11-27"
L2 = 0.5
# Standard deviations of the standardised numbers beside the words, and the weight of a cue: what the penalty sees.
BESIDE_SCALE = 0.2
CUE_SCALE = 5.0
# A text's cues are divided by the root of their number, or of this one: `FEWEST` in `src/routers/task/head.rs`.
FEWEST = 8
SEEN_IN = 2
STEPS, TOLERANCE = 120, 1e-3
FOLDS = 5
RIGHT = 0.89
BESIDE_DIGITS = 5
# A longer prompt, or one with material of its own, gets no text.
LONGEST_BARE = 200
SHORTEST_TEXT, LONGEST_TEXT = 100, 4000
# A text without any request, one to so many prompts.
TEXTS_ALONE = 10
# Of the readings that miss the instruction, one in so many is trained on: they are long, and there are enough.
MISSES = 3
# The kinds that go with a task more often than by chance, and how often.
NATURAL = {
    "code_explanation": ("code", 0.6),
    "code_generation_debugging": ("code", 0.6),
    "format_conversion": ("data", 0.4),
}
AFTER = [
    "{i}: {t}",
    "{i}:\n{t}",
    "{i}.\n\n{t}",
    "{I}\n\n{t}",
    "{I}\n{t}",
    "{I}\n<text>\n{t}\n</text>",
    "{I}\n\n```\n{t}\n```",
    '{I} "{t}"',
    '{i}:\n\n"{t}"',
]
BEFORE = [
    "{t}\n\n{I}",
    "{t}\n\n{i}.",
    "{t}\n{I}",
    "<text>\n{t}\n</text>\n\n{I}",
    "```\n{t}\n```\n{I}",
    '"{t}"\n\n{I}',
    "Text: {t}\n\n{I}",
    "{t}\n\n---\n\n{I}",
]


@dataclass
class Rows:
    """Readings of prompts: keys of the instruction and of the material, the numbers beside them.

    `label` is the class, or -1 for a reading that is not trained on; `source` the prompt of the training set, or minus
    one minus the text whose words these are; `bare` whether the prompt stands as it was written; `asked` the prompt's
    number among those that were read.
    """

    keys: list[list[int]]
    material: list[list[int]]
    beside: F64
    label: NDArray[np.int64]
    source: NDArray[np.int64]
    bare: NDArray[np.bool_]
    asked: NDArray[np.int64]

    def take(self, rows: NDArray[np.int64]) -> Rows:
        """Some of the readings."""
        keys, material = [self.keys[i] for i in rows], [self.material[i] for i in rows]
        return Rows(
            keys, material, self.beside[rows], self.label[rows], self.source[rows], self.bare[rows], self.asked[rows]
        )


@dataclass
class Prompt:
    """A prompt to train on or to be held out."""

    text: str
    label: int
    fold: int
    source: int
    # Where its instruction is (0 first, 1 last), None where it stands alone, and the text that goes with it.
    place: int | None = None
    payload: int = 0


def read(path: Path) -> tuple[list[str], list[str | None]]:
    """Prompts and their tasks."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [row["prompt"] for row in rows], [row["task"] for row in rows]


def classes() -> list[str | None]:
    """The tasks in the core's order, then none of them."""
    from ferroute._core import task_names

    return [*(name for name, _ in task_names()), None]


def folds(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """A fold for each prompt.

    A fold is a stretch of the file within each class, not every fifth prompt: what was written in one go is alike, and
    would make the held-out prompts look easier than those of others are.
    """
    fold = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        fold[rows] = np.arange(len(rows)) * FOLDS // len(rows)
    return fold


def stretch(text: str, draw: random.Random) -> str:
    """Some of a text from a random place on, over and over where it is too short; whole lines or sentences."""
    lines = text.splitlines() if "\n" in text else re.split(r"(?<=[.!?]) ", text)
    between = "\n" if "\n" in text else " "
    want = SHORTEST_TEXT * (LONGEST_TEXT / SHORTEST_TEXT) ** draw.random()
    at, out = draw.randrange(len(lines)), ""
    while len(out) < want:
        out += (between if out else "") + lines[at % len(lines)]
        at += 1
    return out


def prompts_to_train(prompts: list[str], labels: NDArray[np.int64]) -> list[Prompt]:
    """The prompts as they are, with texts after and before them, and texts alone."""
    names = classes()
    texts = [json.loads(line) for line in PAYLOADS.read_text(encoding="utf-8").splitlines()]
    kinds: dict[str, list[int]] = {}
    for i, text in enumerate(texts):
        kinds.setdefault(text["kind"], []).append(i)
    draw = random.Random(0)

    def drawn(fold: int, task: str | None) -> int:
        kind, share = NATURAL.get(task or "", ("", 0.0))
        if draw.random() >= share:
            kind = draw.choice(sorted(kinds))
        return draw.choice(kinds[kind][fold::FOLDS])

    out = []
    for i, (prompt, label, fold) in enumerate(zip(prompts, labels.tolist(), folds(labels).tolist(), strict=True)):
        out.append(Prompt(prompt, label, fold, i))
        if i % TEXTS_ALONE == 0:
            payload = drawn(fold, None)
            text = stretch(texts[payload]["text"], draw)
            out.append(Prompt(text, len(names) - 1, fold, -1 - payload, None, payload))
        if len(prompt) > LONGEST_BARE or any(mark in prompt for mark in '\n"\u201c`'):
            continue
        for place, forms in enumerate((AFTER, BEFORE)):
            payload = drawn(fold, names[label])
            text = stretch(texts[payload]["text"], draw)
            form = draw.choice(forms)
            if '"' in form:
                text = text.replace('"', "'")
            asked = form.format(I=prompt, i=prompt.rstrip(".:!?"), t=text)
            out.append(Prompt(asked, label, fold, i, place, payload))
    return out


def rows(prompts: list[Prompt]) -> Rows:
    """Readings of the prompts by the core, labelled: the one that misses the instruction is of no task."""
    from ferroute._core import task_cues

    none = len(classes()) - 1
    keys, material, beside, about = [], [], [], []
    for number, prompt in enumerate(prompts):
        found = task_cues(prompt.text)
        alone = prompt.place is None
        for place, reading in enumerate(found):
            if reading is None:
                continue
            label, source = prompt.label, prompt.source
            if alone and place == 1 and found[0] is not None and source >= 0:
                # Either may be right, and the first mostly is.
                label = -1
            if not alone and place != prompt.place:
                label, source = none if number % MISSES == 0 else -1, -1 - prompt.payload
            keys.append(reading[0])
            material.append(reading[1])
            beside.append(reading[2])
            about.append((label, source, alone and source >= 0, number))
    columns = np.array(about, np.int64).T
    return Rows(keys, material, np.array(beside), columns[0], columns[1], columns[2].astype(bool), columns[3])


class Sparse:
    """Rows of cue weights; products are sums over the entries, in a fixed order."""

    def __init__(self, of: Rows, known: dict[int, int]) -> None:
        cues = zip(of.keys, of.material, strict=True)
        found = [[known[key] for key in [*keys, *material] if key in known] for keys, material in cues]
        weights = [CUE_SCALE / np.sqrt(max(len(row), FEWEST)) for row in of.keys]
        self.rows, self.width = len(of.keys), len(known)
        self.row = np.repeat(np.arange(self.rows), [len(row) for row in found])
        self.column = np.array([column for row in found for column in row], np.int64)
        self.weight = np.asarray(weights, np.float32)[self.row][:, None]
        self.by_column = np.argsort(self.column, kind="stable")

    def times(self, dense: F64) -> F64:
        """Self @ dense."""
        return _grouped(dense.astype(np.float32)[self.column] * self.weight, self.row, self.rows)

    def transposed_times(self, dense: F64) -> F64:
        """Self.T @ dense."""
        order = self.by_column
        return _grouped(dense.astype(np.float32)[self.row[order]] * self.weight[order], self.column[order], self.width)


def _grouped(entries: F32, group: NDArray[np.int64], groups: int) -> F64:
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

    def logits(self, of: Rows) -> F64:
        """A row for each reading."""
        known = {key: i for i, key in enumerate(self.keys)}
        return self.bias + Sparse(of, known).times(self.rows / CUE_SCALE) + of.beside @ self.beside

    def rounded(self) -> tuple[Head, float]:
        """On the grid of the file: rows in whole steps of a 127th of the largest; returns the step."""
        step = float(np.float32(np.abs(self.rows).max() / 127))
        beside = self.beside.round(BESIDE_DIGITS).astype(np.float32).astype(np.float64)
        bias = self.bias.round(BESIDE_DIGITS).astype(np.float32).astype(np.float64)
        return Head(bias, beside, self.keys, (self.rows / step).round().clip(-127, 127) * step), step


def known_cues(of: Rows) -> list[int]:
    """Keys of the cues that get weights: those of enough prompts and texts.

    The words of the texts count where they are read as an instruction, not where they are material.
    """
    seen: dict[int, set[int]] = {}
    for keys, material, source, bare in zip(of.keys, of.material, of.source.tolist(), of.bare.tolist(), strict=True):
        for key in [*keys, *material] if bare else keys:
            seen.setdefault(key, set()).add(source)
    return sorted(key for key, sources in seen.items() if len(sources) >= SEEN_IN)


def fit(of: Rows, count: int) -> Head:
    """Softmax regression on the readings that have a label."""
    of = of.take(np.flatnonzero(of.label >= 0))
    keys = known_cues(of)
    sparse = Sparse(of, {key: i for i, key in enumerate(keys)})
    means, stretched = of.beside.mean(axis=0), BESIDE_SCALE / of.beside.std(axis=0).clip(1e-3)
    dense = np.column_stack([(of.beside - means) * stretched, np.ones(len(of.keys))])
    target = np.eye(count)[of.label]

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
    rest = rest * stretched[:, None]
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


def answers(of: Rows, chances: F64, asked: int) -> tuple[NDArray[np.int64], F64, NDArray[np.int64]]:
    """Of each prompt the likeliest task, its probability, and the reading it is of (-1 for one that cannot be read).

    As in `src/routers/task.rs`: of two readings the one that is surer of its task.
    """
    best, sure = chances[:, :-1].argmax(axis=1), chances[:, :-1].max(axis=1)
    order = np.lexsort((sure, of.asked))
    last = np.flatnonzero(np.r_[of.asked[order][1:] != of.asked[order][:-1], True])
    chosen = np.full(asked, -1)
    chosen[of.asked[order][last]] = order[last]
    return np.where(chosen < 0, chances.shape[1] - 1, best[chosen]), np.where(chosen < 0, 0.0, sure[chosen]), chosen


def held_out(of: Rows, fold: NDArray[np.int64], count: int) -> F64:
    """Logits of each reading by a head that has seen neither the prompt nor the text."""
    logits = np.zeros((len(of.keys), count))
    for k in range(FOLDS):
        left = np.flatnonzero(fold[of.asked] == k)
        head = fit(of.take(np.flatnonzero(fold[of.asked] != k)), count).rounded()[0]
        logits[left] = head.logits(of.take(left))
    return logits


def calibrate(of: Rows, logits: F64, prompts: list[Prompt]) -> tuple[float, float]:
    """Temperature by all prompts, threshold by those without a text from elsewhere; on two decimals."""
    labels = np.array([prompt.label for prompt in prompts])
    written = np.array([prompt.place is None and prompt.source >= 0 for prompt in prompts])
    grid = np.round(np.arange(0.4, 2.01, 0.02), 2)
    losses = []
    for t in grid:
        chances = probabilities(logits, t)
        chosen = answers(of, chances, len(labels))[2]
        read = chosen >= 0
        losses.append(-np.log(chances[chosen[read], labels[read]].clip(1e-9)).mean())
    temperature = float(grid[int(np.argmin(losses))])
    best, sure, _ = answers(of, probabilities(logits, temperature), len(labels))
    for threshold in np.round(np.arange(0.2, 0.96, 0.01), 2):
        answered = written & (sure >= threshold)
        if (best == labels)[answered].mean() >= RIGHT:
            return temperature, float(threshold)
    raise SystemExit(f"no threshold makes {RIGHT:.0%} of the answers right")


def train() -> tuple[bytes, dict[str, Any]]:
    """The content of the two files."""
    names = classes()
    none = len(names) - 1
    written, tasks = read(TRAIN)
    prompts = prompts_to_train(written, np.array([names.index(task) for task in tasks]))
    labels = np.array([prompt.label for prompt in prompts])
    of = rows(prompts)
    logits = held_out(of, np.array([prompt.fold for prompt in prompts]), len(names))
    temperature, threshold = calibrate(of, logits, prompts)
    best, sure, _ = answers(of, probabilities(logits, temperature), len(prompts))
    answered = sure >= threshold

    def shares(which: list[bool]) -> dict[str, float]:
        of = np.array(which)
        return {
            "right_of_answered": round(float((best == labels)[answered & of].mean()), 4),
            "coverage": round(float(answered[of & (labels < none)].mean()), 4),
            "none_left_alone": round(float((~answered)[of & (labels == none)].mean()), 4),
        }

    head, step = fit(of, len(names)).rounded()
    file = b"FRTASKS\x02" + struct.pack(
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
        "with_texts": len(prompts) - len(written),
        "cues": len(head.keys),
        "temperature": temperature,
        "threshold": threshold,
        "held_out_folds": {
            "as_written": shares([prompt.place is None and prompt.source >= 0 for prompt in prompts]),
            "text_after": shares([prompt.place == 0 for prompt in prompts]),
            "text_before": shares([prompt.place == 1 for prompt in prompts]),
            "texts_left_alone": round(float((~answered)[[prompt.source < 0 for prompt in prompts]].mean()), 4),
        },
        "never_read": ["data/tasks/test.jsonl", "data/tasks/test_payloads.jsonl"],
        "data_sha256": hashlib.sha256(TRAIN.read_bytes()).hexdigest(),
        "payloads_sha256": hashlib.sha256(PAYLOADS.read_bytes()).hexdigest(),
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
