"""Draw labelled samples from populations whose truth is known, and write the tables of `docs/certificates.md`.

    python scripts/simulate_guarantee.py             # some minutes on two cores; rewrites the part between the markers
    python scripts/simulate_guarantee.py --print     # only prints it
    python scripts/simulate_guarantee.py --draws 100 --seed 7

Populations: MMLU (14,042 questions, mixtral-8x7b and gpt-4-1106-preview, win rates of the router `local`), and one of
2^17 prompts for each risk and bound, whose true loss rises to a fiftieth above the bound and stays there: a bound that
is a little too good fails there most often. A draw takes n prompts with replacement; it fails where the certified
threshold's true loss, over the whole population, is above the bound.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ferroute.calibrate import guarantee
from ferroute.controller import build_router

F64 = NDArray[np.float64]

ROOT = Path(__file__).parent.parent
DOC = ROOT / "docs" / "certificates.md"
BEGIN, END = "<!-- figures: written by scripts/simulate_guarantee.py -->", "<!-- end of figures -->"
RISKS = ("net", "regret", "weak_routed")
SIZES = (100, 500, 2_000)
LOSSES = (0.02, 0.05, 0.1)
ROUNDING = 1e-9


@dataclass(frozen=True)
class Population:
    """Prompts of which everything is known."""

    name: str
    rates: F64
    strong: F64
    weak: F64

    @property
    def size(self) -> int:
        """How many prompts."""
        return self.rates.size

    def losses(self, risk: str) -> F64:
        """What each prompt loses when it is weak."""
        loss = self.strong - self.weak
        return loss.clip(0) if risk == "regret" else loss

    def truth(self, risk: str) -> Truth:
        """The true risk at every threshold."""
        order = np.argsort(self.rates, kind="stable")
        sums = np.concatenate([[0.0], np.cumsum(self.losses(risk)[order])])
        over = np.maximum(np.arange(self.size + 1), 1) if risk == "weak_routed" else self.size
        return Truth(self.rates[order], sums / over)


@dataclass(frozen=True)
class Truth:
    """Ascending win rates ``[n]``, and the risk ``[n + 1]`` if so many of the lowest are weak."""

    rates: F64
    risks: F64

    def risk_at(self, threshold: float) -> float:
        """The true risk at a threshold."""
        return float(self.risks[np.searchsorted(self.rates, threshold)])

    def share_at(self, threshold: float) -> float:
        """The true weak share at a threshold."""
        return float(np.searchsorted(self.rates, threshold)) / self.rates.size

    def best(self, most: float) -> float:
        """The highest threshold whose true risk is within the bound; 2 where all may be weak."""
        n = self.rates.size
        counts = np.concatenate([[0], np.flatnonzero(np.diff(self.rates)) + 1, [n]])
        most_weak = int(counts[self.risks[counts] <= most + ROUNDING].max())
        return 2.0 if most_weak == n else float(self.rates[most_weak])


@lru_cache(maxsize=1)
def mmlu() -> Population:
    """The shipped benchmark, scored by the shipped router."""
    frame = pd.read_parquet(ROOT / "python" / "ferroute" / "data" / "benchmarks" / "mmlu.parquet")
    rates = np.asarray(build_router("local", None).calculate_strong_win_rates(frame.prompt.tolist()), dtype=np.float64)
    return Population("MMLU", rates, frame.strong.to_numpy(np.float64), frame.weak.to_numpy(np.float64))


@lru_cache(maxsize=16)
def tight(risk: str, most: float, size: int = 1 << 17) -> Population:
    """Scores of 0 and 1 whose risk rises to 1.02 of the bound, at a win rate between 0.2 and 0.35, and stays there."""
    rates = (np.arange(size) + 0.5) / size
    if risk == "weak_routed":
        mean = np.select([rates < 0.2, rates < 0.25], [0.7, (1.02 * 0.25 - 0.7 * 0.2) / 0.05], 1.02) * most
    else:
        mean = np.select([rates < 0.3, rates < 0.35], [0.6 / 0.3, 0.42 / 0.05], 0.0) * most
    # Steps of the golden ratio fill 0..1 so evenly that every stretch of win rates has its share of outcomes.
    chance = np.arange(size) * ((5**0.5 - 1) / 2) % 1
    weak_better = 0.1
    strong_better = mean if risk == "regret" else mean + weak_better
    strong, weak = np.ones(size), np.ones(size)
    weak[chance < strong_better] = 0.0
    strong[chance > 1 - weak_better] = 0.0
    return Population(f"tight for {risk}", rates, strong, weak)


@dataclass(frozen=True)
class Setting:
    """What is repeated."""

    population: Population
    n: int
    risk: str
    most: float
    draws: int
    seed: int


@dataclass(frozen=True)
class Outcome:
    """What came of it: how often the bound failed, and the mean weak share as a part of the best one's."""

    failures: int
    draws: int
    part: float


Choice = Callable[[Setting, np.random.Generator], float]


def certified(setting: Setting, draws: np.random.Generator) -> float:
    """The threshold of the certificate."""
    p = setting.population
    rows = draws.integers(0, p.size, setting.n)
    found = guarantee(p.rates[rows], p.strong[rows], p.weak[rows], setting.most, risk=setting.risk)
    return found.threshold


def by_sample(setting: Setting, draws: np.random.Generator) -> float:
    """The highest threshold whose loss in the sample is within the bound: what certificates are there to replace."""
    p = setting.population
    rows = draws.integers(0, p.size, setting.n)
    sample = Population("sample", p.rates[rows], p.strong[rows], p.weak[rows])
    return sample.truth(setting.risk).best(setting.most)


def repeated(setting: Setting, choose: Choice = certified) -> Outcome:
    """Draws samples and looks at what was chosen."""
    truth = setting.population.truth(setting.risk)
    best = truth.share_at(truth.best(setting.most))
    failures, part = 0, 0.0
    for draw in range(setting.draws):
        threshold = choose(setting, np.random.default_rng([setting.seed, draw]))
        failures += truth.risk_at(threshold) > setting.most + ROUNDING
        part += truth.share_at(threshold) / best if best else 0.0
    return Outcome(failures, setting.draws, part / setting.draws)


def below_ceiling(setting: Setting, draws: np.random.Generator, share: float = 0.8, logged: int = 20_000) -> float:
    """The certificate of labels drawn by lot among the prompts of a log below a quantile of other traffic."""
    p = setting.population
    ceiling = float(np.quantile(p.rates[draws.integers(0, p.size, 1_000)], share))
    log = draws.integers(0, p.size, logged)
    rates = p.rates[log]
    drawn = draws.permutation(np.flatnonzero(rates < ceiling))[: setting.n]
    strong, weak = np.full(logged, np.nan), np.full(logged, np.nan)
    strong[drawn], weak[drawn] = p.strong[log[drawn]], p.weak[log[drawn]]
    return guarantee(rates, strong, weak, setting.most, risk=setting.risk, ceiling=ceiling).threshold


def _judged(p: Population, rows: NDArray[np.int64], draws: np.random.Generator) -> tuple[F64, F64]:
    """A judge who errs in 15 % of the labels, and takes three of ten weak answers for right because they are long."""

    def flipped(scores: F64) -> F64:
        return np.where(draws.uniform(size=scores.size) < 0.15, 1 - scores, scores)

    long = draws.uniform(size=rows.size) < 0.3
    return flipped(p.strong[rows]), np.where(long, 1.0, flipped(p.weak[rows]))


def by_judge(setting: Setting, draws: np.random.Generator) -> float:
    """The certificate on a judge's labels alone."""
    rows = draws.integers(0, setting.population.size, setting.n)
    judged = _judged(setting.population, rows, draws)
    return guarantee(setting.population.rates[rows], *judged, setting.most, risk=setting.risk, judge="long").threshold


def by_corrected_judge(setting: Setting, draws: np.random.Generator) -> float:
    """The same with true labels for a quarter of the prompts."""
    p = setting.population
    rows = draws.integers(0, p.size, setting.n)
    judged, true = _judged(p, rows, draws), np.arange(setting.n // 4)
    gold = (true, p.strong[rows[true]], p.weak[rows[true]])
    found = guarantee(p.rates[rows], *judged, setting.most, risk=setting.risk, judge="long", gold=gold)
    return found.threshold


def _task(task: tuple[Setting, Choice]) -> Outcome:
    return repeated(*task)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _percent(outcome: Outcome) -> str:
    return f"{outcome.failures / outcome.draws:.1%}"


def tables(draws: int, seed: int, run: Callable[[list[tuple[Setting, Choice]]], list[Outcome]]) -> Iterator[str]:
    """The lines of the tables."""

    def populations(risk: str, most: float) -> list[Population]:
        return [mmlu(), tight(risk, most)]

    settings = [
        Setting(population, n, risk, most, draws, seed)
        for risk, most, n in itertools.product(RISKS, LOSSES, SIZES)
        for population in populations(risk, most)
    ]
    proven = run([(setting, certified) for setting in settings])
    chosen = run([(setting, by_sample) for setting in settings])
    found = {(s.population.name, s.risk, s.most, s.n): (a, b) for s, a, b in zip(settings, proven, chosen, strict=True)}
    limit = 0.05 + 3.1 * (0.05 * 0.95 / draws) ** 0.5
    most_failures = max(outcome.failures for outcome in proven) / draws
    yield f"Bounds that failed, of {draws:,} draws each, at a confidence of 95 %: the certificate's, and those of the"
    yield 'highest threshold whose loss in the sample is within the bound ("by sample"). A true 5 % shows as more than'
    yield f"{limit:.1%} in one of 1,000 cases; the most of the certificate's is {most_failures:.1%}."
    yield ""
    yield _row("risk", "loss", "n", "MMLU", "MMLU by sample", "tight", "tight by sample")
    yield _row(*["---"] * 7)
    for risk, most, n in itertools.product(RISKS, LOSSES, SIZES):
        cells = [_percent(each) for p in populations(risk, most) for each in found[p.name, risk, most, n]]
        yield _row(risk, f"{most:g}", f"{n:,}", *cells)
    yield ""
    yield "The certified weak share as a part of the largest whose true loss is within the bound, MMLU, mean of draws:"
    yield ""
    yield _row("risk", "loss", *(f"n = {n:,}" for n in (500, 1_000, 2_000)))
    yield _row(*["---"] * 5)
    powers = [
        Setting(mmlu(), n, risk, most, draws // 4, seed + 1)
        for risk, most, n in itertools.product(RISKS, (0.05, 0.1), (500, 1_000, 2_000))
    ]
    parts = iter(run([(setting, certified) for setting in powers]))
    for risk, most in itertools.product(RISKS, (0.05, 0.1)):
        yield _row(risk, f"{most:g}", *(f"{outcome.part:.0%}" for outcome in itertools.islice(parts, 3)))
    yield ""
    yield from _designs(draws // 4, seed + 2, run)


def _designs(draws: int, seed: int, run: Callable[[list[tuple[Setting, Choice]]], list[Outcome]]) -> Iterator[str]:
    yield f"Other ways to get labels, MMLU, `net`, a loss of 0.05, {draws:,} draws each:"
    yield ""
    yield _row("labels", "bounds that failed", "part of the best weak share")
    yield _row(*["---"] * 3)
    ways: list[tuple[str, int, Choice]] = [
        ("1,000, of all prompts", 1_000, certified),
        ("1,000, drawn below a ceiling of 80 % of the prompts", 1_000, below_ceiling),
        ("1,000, drawn below a ceiling of 70 % of the prompts", 1_000, partial(below_ceiling, share=0.7)),
        ("2,000 by a judge (15 % wrong, for long weak answers), taken for true", 2_000, by_judge),
        ("the same, corrected by 500 true labels", 2_000, by_corrected_judge),
        ("the 500 true labels alone", 500, certified),
    ]
    outcomes = run([(Setting(mmlu(), n, "net", 0.05, draws, seed), choose) for _, n, choose in ways])
    for (name, _, _), outcome in zip(ways, outcomes, strict=True):
        yield _row(name, _percent(outcome), f"{outcome.part:.0%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--print", action="store_true", dest="only_print")
    arguments = parser.parse_args()
    mmlu()
    with multiprocessing.get_context("fork").Pool(arguments.processes) as pool:

        def run(tasks: list[Any]) -> list[Outcome]:
            return pool.map(_task, tasks, chunksize=1)

        text = "\n".join(tables(arguments.draws, arguments.seed, run))
    print(text)
    if not arguments.only_print:
        page = DOC.read_text(encoding="utf-8")
        before, rest = page.split(BEGIN)
        DOC.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.split(END)[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
