"""Measure the task guess and write the tables of `docs/tasks.md`.

    python scripts/eval_tasks.py             # a few minutes; rewrites the part between the markers
    python scripts/eval_tasks.py --print     # only prints it

The committed test set, through the installed module, beside a list of keywords; the set of prompts with a text to work
on, beside the same requests alone; then heads that were trained without one style of prompt and tested on it. Macro-F1
is the mean over the fifteen tasks of F1, where no answer counts as a miss and an answer to a prompt of no task as a
false alarm. Intervals: 95 %, bootstrap over prompts.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from ferroute._core import guess_language, guess_task, task_names
from train_tasks import CARD, ROOT, TRAIN, answers, classes, fit, probabilities, prompts_to_train, read, rows

if TYPE_CHECKING:
    from collections.abc import Callable

TEST = ROOT / "data" / "tasks" / "test.jsonl"
WITH_TEXTS = ROOT / "data" / "tasks" / "test_payloads.jsonl"
LANGUAGES = ROOT / "data" / "tasks" / "languages.jsonl"
DOC = ROOT / "docs" / "tasks.md"
BEGIN, END = "<!-- figures: written by scripts/eval_tasks.py -->", "<!-- end of figures -->"
RESAMPLES = 2000
# A share of fewer prompts says nothing.
FEW = 10

# What somebody writes in an afternoon who sorts prompts by keywords: the first line that fits decides.
KEYWORDS: list[tuple[str, str]] = [
    (
        "code_explanation",
        r"(?s)\b(explain|describe|what|how|why)\b.*(\b(code|function|script|query|command)\b|[(){};]{2})",
    ),
    (
        "translation",
        r"\btranslat|\bin (spanish|french|german|italian|japanese|chinese|english|korean|russian)\b|\bhow do you say",
    ),
    ("summarization", r"\bsummar|\btl;?dr|\bkey points|\bcondense|\bgist\b|\brecap\b|\bsum up"),
    ("keyword_extraction", r"\bkey ?words?\b|\bkey ?(phrases?|terms)|\btags?\b|\bhashtags?\b|\btopics?\b"),
    (
        "content_moderation",
        r"\btoxic|\bmoderat|\boffensive|\bhate\b|\bharass|\bguidelines?\b|\binappropriate|\bpolic(y|ies)\b|\bsafe\b",
    ),
    (
        "classification_sentiment",
        r"\bclassif|\bsentiment|\bcategor|\bspam\b|\bpositive\b|\blabel\b|\bintent\b|\bemotion",
    ),
    ("entity_extraction", r"\bextract|\bentit|\bner\b|\bpull (out|the)|\blist (all|every)|\bidentify (all|the)"),
    ("format_conversion", r"\b(to|into|as|in) (a |an )?(json|xml|yaml|csv|markdown|html|latex|toml)|\bconvert"),
    (
        "text_reformatting",
        r"\brewrite|\brephrase|\bgrammar|\bspelling|\bbullet|\bproofread|\bparaphrase|\bcorrect\b|\buppercase|\bformal",
    ),
    (
        "code_generation_debugging",
        r"\bcode\b|\bfunction\b|\bpython\b|\bjavascript\b|\bsql\b|\bbug\b|\bdebug|\bscript\b|\bimplement|\berror\b|\bregex",
    ),
    (
        "math_problem_solving",
        r"\bcalculat|\bsolve\b|\bequation|integral|derivativ|\bprobab|\bpercent|\d ?[-+*/^=] ?\d|how m(uch|any)\b.*\d",
    ),
    (
        "creative_writing",
        r"\bpoem|\bstory|\bslogan|\bhaiku|\bsong|\bblog|\blyrics|\bcreative|\bspeech\b|\bwrite (a|an|me)\b",
    ),
    ("strategy_planning", r"\bplan\b|\bstrateg|\broadmap|\bschedule|\bitinerary|\bbudget"),
    (
        "complex_reasoning",
        r"\bprove\b|\bwhy\b|\bcompare|\banaly[sz]e|\bstep by step|\breason|\bpuzzle|\bargu|\bevaluate\b",
    ),
    ("simple_qa", r"^(what|who|when|where|which|how|is|are|does|do|can)\b|\?$"),
]

Answers = list[str | None]


def keywords(prompt: str) -> str | None:
    """The baseline's answer."""
    lower = prompt.lower()
    return next((task for task, pattern in KEYWORDS if re.search(pattern, lower)), None)


def figures(guessed: Answers, tasks: Answers) -> dict[str, float]:
    """Macro-F1, share right of those answered, coverage of prompts with a task, share of the others left alone."""
    pairs = list(zip(guessed, tasks, strict=True))
    names = [name for name, _ in task_names()]
    hit = Counter(g for g, t in pairs if g == t)
    of = Counter(t for _, t in pairs)
    said = Counter(g for g, _ in pairs)
    answered = [(g, t) for g, t in pairs if g]
    return {
        "macro_f1": sum(2 * hit[n] / max(said[n] + of[n], 1) for n in names) / len(names),
        "right": sum(g == t for g, t in answered) / max(len(answered), 1),
        "coverage": sum(g is not None for g, t in pairs if t) / max(len(pairs) - of[None], 1),
        "left_alone": hit[None] / max(of[None], 1),
    }


def interval(guessed: Answers, tasks: Answers, what: str) -> str:
    """A figure with its interval."""
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(RESAMPLES):
        rows = rng.integers(len(tasks), size=len(tasks))
        draws.append(figures([guessed[i] for i in rows], [tasks[i] for i in rows])[what])
    low, high = np.quantile(draws, [0.025, 0.975])
    return f"{figures(guessed, tasks)[what]:.3f} ({low:.3f} to {high:.3f})"


def guesses(prompts: list[str]) -> Answers:
    """What the installed module says."""
    return [found[0] if (found := guess_task(prompt)) else None for prompt in prompts]


def on_test_set() -> list[str]:
    """The test set: the guess, the baseline, a row a task, what is taken for what."""
    prompts, tasks = read(TEST)
    guessed = guesses(prompts)
    baseline = [keywords(prompt) for prompt in prompts]
    lines = [
        f"On `data/tasks/test.jsonl` ({len(tasks)} prompts, {tasks.count(None)} of them of no task):",
        "",
        "| | macro-F1 | right of those answered | coverage | none left alone |",
        "|---|---|---|---|---|",
    ]
    for name, said in (("the guess", guessed), ("keywords", baseline)):
        f = figures(said, tasks)
        lines.append(
            f"| {name} | {interval(said, tasks, 'macro_f1')} | {interval(said, tasks, 'right')} "
            f"| {f['coverage']:.3f} | {f['left_alone']:.3f} |"
        )
    lines += ["", "| task | prompts | precision | recall | F1 | keywords' F1 |", "|---|---|---|---|---|---|"]
    for name, _ in task_names():
        of, said = tasks.count(name), guessed.count(name)
        hit = sum(g == t == name for g, t in zip(guessed, tasks, strict=True))
        base = sum(g == t == name for g, t in zip(baseline, tasks, strict=True))
        lines.append(
            f"| {name} | {of} | {hit / max(said, 1):.2f} | {hit / of:.2f} | {2 * hit / max(said + of, 1):.2f} "
            f"| {2 * base / max(baseline.count(name) + of, 1):.2f} |"
        )
    wrong = Counter((t, g) for g, t in zip(guessed, tasks, strict=True) if g and g != t)
    pairs = [f"{t or 'none'} as {g} ({n})" for (t, g), n in sorted(wrong.items(), key=lambda x: (-x[1], str(x)))[:8]]
    return [*lines, "", f"Taken for another, most often first: {'; '.join(pairs)}.", ""]


def with_texts() -> list[str]:
    """Prompts with a text to work on, by form and by length."""
    found = [json.loads(line) for line in WITH_TEXTS.read_text(encoding="utf-8").splitlines()]
    tasks: Answers = [row["task"] for row in found]
    guessed, bare = guesses([row["prompt"] for row in found]), guesses([row["bare"] for row in found])
    count = len({row["bare"] for row in found})
    lines = [
        f"On `data/tasks/test_payloads.jsonl` ({len(found)} prompts with a text, {count} requests in four forms):",
        "",
        "| | prompts | right | the request alone | wrong | mean confidence of the wrong |",
        "|---|---|---|---|---|---|",
    ]
    sizes = [("up to 200 characters", 0, 200), ("201 to 700", 200, 700), ("longer", 700, 10**9)]
    groups = [(form, [row["form"] == form for row in found]) for form in dict.fromkeys(row["form"] for row in found)]
    length = [len(row["prompt"]) - len(row["bare"]) for row in found]
    groups += [(name, [low < n <= high for n in length]) for name, low, high in sizes]
    for name, inside in groups:
        picked = [i for i, is_in in enumerate(inside) if is_in]
        right = sum(guessed[i] == tasks[i] for i in picked)
        alone = sum(bare[i] == tasks[i] for i in picked)
        wrong = [i for i in picked if guessed[i] not in (None, tasks[i])]
        sure = [guess[2] for i in wrong if (guess := guess_task(found[i]["prompt"]))]
        mean = f"{sum(sure) / len(sure):.2f}" if sure else ""
        lines.append(f"| {name} | {len(picked)} | {right} | {alone} | {len(wrong)} | {mean} |")
    return [*lines, ""]


STYLES: list[tuple[str, Callable[[str], bool]]] = [
    ("not English", lambda p: guess_language(p) not in (None, "en")),
    ("several lines", lambda p: "\n" in p),
    ("something in quotes", lambda p: '"' in p or "\u201c" in p),
    ("a question", lambda p: p.rstrip().endswith("?")),
    ("at most six words", lambda p: len(p.split()) <= 6),
    ("no capital at the start", lambda p: p[:1].islower()),
    (
        "polite (please, can you, could you)",
        lambda p: bool(re.search(r"\b(please|pls|can you|could you)\b", p.lower())),
    ),
    ("first person", lambda p: bool(re.search(r"\b(i|my|we|our|i'm|i'd)\b", p.lower()))),
]


def without_a_style() -> list[str]:
    """Heads trained without one style of prompt, tested on all training prompts of that style."""
    written, tasks = read(TRAIN)
    names = classes()
    prompts = prompts_to_train(written, np.array([names.index(task) for task in tasks]))
    of = rows(prompts)
    asked = [i for i, prompt in enumerate(prompts) if prompt.place is None and prompt.source >= 0]
    card = json.loads(CARD.read_text(encoding="utf-8"))
    lines = [
        "Left out in turn: a head is trained without one style of prompt and tested on the prompts of that style.",
        "",
        "| style | prompts | macro-F1 | right of those answered | coverage | none left alone |",
        "|---|---|---|---|---|---|",
    ]
    for style, has in STYLES:
        inside = {i for i, prompt in enumerate(written) if has(prompt)}
        left = np.array([prompt.source in inside for prompt in prompts])
        head = fit(of.take(np.flatnonzero(~left[of.asked])), len(names))
        best, sure, _ = answers(of, probabilities(head.logits(of), card["temperature"]), len(prompts))
        said = np.where(sure >= card["threshold"], best, len(names) - 1)
        guessed = [names[said[i]] for i in asked if prompts[i].source in inside]
        f = figures(guessed, [tasks[i] for i in sorted(inside)])
        cells = [f"{f[what]:.2f}" for what in ("macro_f1", "right", "coverage")]
        cells.append(f"{f['left_alone']:.2f}" if sum(tasks[i] is None for i in inside) >= FEW else "")
        lines.append(f"| {style} | {len(inside)} | {' | '.join(cells)} |")
    return [*lines, ""]


def languages() -> list[str]:
    """The language guess on short texts."""
    rows = [json.loads(line) for line in LANGUAGES.read_text(encoding="utf-8").splitlines()]
    guessed = [guess_language(row["text"]) for row in rows]
    answered = [(g, row["language"]) for g, row in zip(guessed, rows, strict=True) if g]
    codes = sorted({row["language"] for row in rows})
    wrong = Counter(f"{t} as {g}" for g, t in answered if g != t)
    said = f"; wrong: {', '.join(f'{k} ({n})' for k, n in sorted(wrong.items()))}" if wrong else ""
    line = (
        f"Languages, on `data/tasks/languages.jsonl` ({len(rows)} short texts in {len(codes)} languages): "
        f"{sum(g == t for g, t in answered)} of {len(answered)} answers right, {len(rows) - len(answered)} times "
        f"no answer{said}."
    )
    return [line, ""]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--print", action="store_true", help="print the tables instead of writing them")
    text = "\n".join([*on_test_set(), *with_texts(), *without_a_style(), *languages()])
    if parser.parse_args().print:
        print(text)
        return
    page = DOC.read_text(encoding="utf-8")
    before, rest = page.split(BEGIN)
    DOC.write_text(f"{before}{BEGIN}\n{text}{END}{rest.split(END)[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
