"""Does an audit's interval cover what is saved, and does it keep quiet where outcomes say nothing?

Each run draws calls from a data set, writes them as a log, audits the log, and then looks at what the audit could not
see: what the same rule saves on a fresh period of as many calls, at the cheaper model's true answer lengths, and what
it saves on average. Figures are in ``docs/audit.md``.

    python scripts/simulate_audit.py --runs 1000
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import ferroute
from ferroute import _core, auditing, pricing
from ferroute.evals.benchmarks import GSM8K, MMLU

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parent.parent
AT = "2026-11-01"
STRONG, WEAK = "gpt-5.5", "gpt-5.4-nano"
CALL = Any
"""One row: prompt, prompt tokens, answer tokens of both, outcomes of both."""


@dataclass
class Traffic:
    """A population of prompts: equal lengths ``[n]``."""

    prompts: list[str]
    prompt_tokens: Any
    strong_tokens: Any
    weak_tokens: Any
    strong_scores: Any
    weak_scores: Any

    def __post_init__(self) -> None:
        self.win_rates = _core.LocalModel().win_rates(self.prompts)
        self.by_text = dict(zip(self.prompts, self.win_rates.tolist(), strict=True))
        cost = pricing.cost
        self.strong_costs, self.weak_costs = (
            np.array(
                [
                    float(cost(model, int(p), int(o), at=AT) or 0)
                    for p, o in zip(self.prompt_tokens, tokens, strict=True)
                ]
            )
            for model, tokens in ((STRONG, self.strong_tokens), (WEAK, self.weak_tokens))
        )

    def rates(self, texts: list[str]) -> list[float]:
        """The router: `local`, asked once for each prompt and not in every run again."""
        return [self.by_text[text] for text in texts]


def tokens_of(prompts: list[str]) -> Any:
    """Tokens of prompts, four characters each."""
    return np.array([len(prompt) // 4 + 8 for prompt in prompts])


def gsm8k() -> Traffic:
    """GSM8K with the lengths of the answers that both models gave."""
    bench = GSM8K()
    strong, weak = bench.scores()
    with (ROOT / "tests/goldens/logs/gsm8k_answer_lengths.csv").open() as stream:
        chars = [(int(row["strong_chars"]), int(row["weak_chars"])) for row in csv.DictReader(stream)]
    kept = lengths_of_kept(bench, chars)
    return Traffic(bench.prompts(), tokens_of(bench.prompts()), kept[:, 0] // 4 + 1, kept[:, 1] // 4 + 1, strong, weak)


def lengths_of_kept(bench: Any, chars: list[tuple[int, int]]) -> Any:
    """Answer lengths of the prompts that the benchmark keeps."""
    from ferroute.evals.benchmarks import _packed

    by_prompt = dict(zip(_packed("gsm8k.parquet")["prompt"], chars, strict=True))
    return np.array([by_prompt[prompt] for prompt in bench.prompts()])


def mmlu(seed: int = 1) -> Traffic:
    """MMLU; answers of a letter from the cheaper model, of log-normal length from the strong one."""
    bench, random = MMLU(), np.random.default_rng(seed)
    strong, weak = bench.scores()
    n = len(bench.prompts())
    said = np.exp(random.normal(4, 1, n)).astype(int) + 1
    return Traffic(bench.prompts(), tokens_of(bench.prompts()), said, np.maximum(said // 2, 1), strong, weak)


def long_tailed(sigma: float, seed: int = 2) -> Traffic:
    """Prompts of GSM8K with log-normal counts of tokens of standard deviation ``sigma`` in the logarithm."""
    base, random = gsm8k(), np.random.default_rng(seed)
    n = len(base.prompts) * 20
    prompts = base.prompts * 20
    asked, said = (np.exp(random.normal(5, sigma, n)).astype(int) + 1 for _ in range(2))
    short = np.maximum((said * np.exp(random.normal(-0.3, 0.5, n))).astype(int), 1)
    scores = np.tile(base.strong_scores, 20), np.tile(base.weak_scores, 20)
    return Traffic(prompts, asked, said, short, *scores)


SETS: dict[str, Callable[[], Traffic]] = {
    "gsm8k": gsm8k,
    "mmlu": mmlu,
    "log-normal 1.0": lambda: long_tailed(1.0),
    "log-normal 1.5": lambda: long_tailed(1.5),
    "log-normal 2.0": lambda: long_tailed(2.0),
}


def written(traffic: Traffic, rows: Any, layout: str, random: Any, path: Path, scores: bool = False) -> None:
    """Writes a log of the calls ``rows``.

    Args:
        traffic: The population.
        rows: Positions of the strong model's calls.
        layout: ``"alone"``: the strong model's calls only. ``"beside"``: as many again of the cheaper model, of other
            prompts. ``"twice"``: each prompt once more at the cheaper model.
        random: The generator.
        path: The file.
        scores: Whether the outcomes are in the log.
    """
    with path.open("w") as stream:
        for row in rows:
            _line(stream, traffic, row, STRONG, traffic.strong_tokens, traffic.strong_scores if scores else None)
            if layout == "twice":
                _line(stream, traffic, row, WEAK, traffic.weak_tokens, traffic.weak_scores if scores else None)
        if layout == "beside":
            for row in random.integers(0, len(traffic.prompts), len(rows)):
                _line(stream, traffic, row, WEAK, traffic.weak_tokens, None)


def _line(stream: Any, traffic: Traffic, row: int, model: str, tokens: Any, scores: Any) -> None:
    line: dict[str, Any] = {
        "request": {"model": model, "messages": [{"role": "user", "content": traffic.prompts[row]}]},
        "response": {
            "choices": [{"message": {"role": "assistant", "content": "..."}}],
            "usage": {"prompt_tokens": int(traffic.prompt_tokens[row]), "completion_tokens": int(tokens[row])},
        },
    }
    if scores is not None:
        line["score"] = float(scores[row])
    stream.write(json.dumps(line) + "\n")


def coverage(traffic: Traffic, n: int, layout: str, runs: int, seed: int) -> dict[str, float]:
    """How often the interval covers a next period and the mean of all, and how wide it is."""
    random = np.random.default_rng(seed)
    size, truth = len(traffic.prompts), traffic.strong_costs - traffic.weak_costs
    covered, mean, width = 0, 0, 0.0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "logs.jsonl")
        for run in range(runs):
            rows = random.integers(0, size, n)
            written(traffic, rows, layout, random, path)
            found = ferroute.audit(path, strong=STRONG, to=WEAK, router=traffic.rates, seed=run, at=AT).saving
            assert found.interval is not None
            assert found.estimate is not None
            low, high = found.interval
            later = random.integers(0, size, n)
            covered += low <= truth[later][traffic.win_rates[later] < found.threshold].sum() <= high
            mean += low <= truth[traffic.win_rates < found.threshold].sum() * n / size <= high
            width += (high - low) / found.estimate / runs
    return {"next period": covered / runs, "mean": mean / runs, "width": width}


def verdicts(traffic: Traffic, n: int, runs: int, seed: int, shuffled: bool) -> float:
    """How often outcomes are called better than random mixing."""
    random, better = np.random.default_rng(seed), 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "logs.jsonl")
        for run in range(runs):
            rows = random.integers(0, len(traffic.prompts), n)
            seen = traffic
            if shuffled:
                order = random.permutation(len(traffic.prompts))
                seen = Traffic.__new__(Traffic)
                seen.__dict__.update(traffic.__dict__)
                seen.strong_scores, seen.weak_scores = traffic.strong_scores[order], traffic.weak_scores[order]
            written(seen, rows, "twice", random, path, scores=True)
            better += (
                ferroute.audit(path, strong=STRONG, to=WEAK, router=seen.rates, seed=run, at=AT).verdict
                == auditing.BETTER
            )
    return better / runs


def rare(calls: int, times: float, runs: int, seed: int) -> float:
    """How often a next period is covered where one call in so many costs so many times the others; costs as given."""
    from ferroute.auditing._habits import Habits
    from ferroute.auditing._saving import Movable, forecasts

    random, hits, n = np.random.default_rng(seed), 0, 300
    habits, nothing = Habits("paired", 1000, low=(1.0,), high=(1.0,)), np.zeros(n)
    for run in range(runs):
        costs = np.where(random.random((2, n)) < 1 / calls, times, 1.0) * np.exp(random.normal(0, 0.5, (2, n)))
        rates = random.random((2, n))
        seen = Movable(rates[0], costs[0], nothing, nothing, nothing)
        found = forecasts(seen, habits, (0.3,), spend=1.0, confidence=0.95, seed=run)[0]
        low, high = found.interval or (math.nan, math.nan)
        hits += low <= costs[1][rates[1] < (found.threshold or 0)].sum() <= high
    return hits / runs


def speed(rows: int) -> str:
    """What a log of so many calls takes, each with another prompt and a system message."""
    import resource
    import time

    traffic, random = mmlu(), np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "logs.jsonl")
        with path.open("w") as stream:
            for at, row in enumerate(random.integers(0, len(traffic.prompts), rows).tolist()):
                line = {
                    "model": STRONG if at % 3 else WEAK,
                    "messages": [
                        {"role": "system", "content": "You are a helpful assistant. " * 20},
                        {"role": "user", "content": f"{traffic.prompts[row]} ({at})"},
                    ],
                    "usage": {
                        "prompt_tokens": int(traffic.prompt_tokens[row]),
                        "completion_tokens": int(traffic.strong_tokens[row]),
                    },
                }
                stream.write(json.dumps(line) + "\n")
        size, before, began = path.stat().st_size, time.process_time(), time.perf_counter()
        ferroute.audit(path, at=AT)
        took, worked = time.perf_counter() - began, time.process_time() - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return f"{rows:,} calls, {size / 1e6:.0f} MB: {took:.1f} s, {worked:.1f} s of processors, peak {peak:.0f} MiB"


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--n", type=int, nargs="+", default=[300, 1000])
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--layouts", nargs="+", default=["alone", "beside", "twice"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--verdicts", type=int, default=200)
    parser.add_argument(
        "--rare", type=int, help="only 300 calls of which one in so many costs so many times the others"
    )
    parser.add_argument("--speed", type=int, help="only measure a log of so many calls")
    given = parser.parse_args()
    if given.speed:
        print(speed(given.speed))
        return
    if given.rare:
        share = rare(given.rare, given.rare, given.runs, given.seed)
        print(f"one call in {given.rare} costs {given.rare} times the others: next period {share:.3f}")
        return
    warnings.simplefilter("error")
    for name in given.sets:
        traffic = SETS[name]()
        for n in given.n:
            for layout in given.layouts:
                found = coverage(traffic, n, layout, given.runs, given.seed)
                error = math.sqrt(0.95 * 0.05 / given.runs)
                shown = ", ".join(f"{what} {value:.3f}" for what, value in found.items())
                print(f"{name}, {n} calls, {layout}: {shown} (+-{error:.3f})", flush=True)
        for shuffled in (False, True) if given.verdicts else ():
            share = verdicts(traffic, 500, given.verdicts, given.seed, shuffled)
            print(f"{name}, 500 pairs, {'shuffled' if shuffled else 'real'} outcomes: better {share:.3f}", flush=True)


if __name__ == "__main__":
    main()
