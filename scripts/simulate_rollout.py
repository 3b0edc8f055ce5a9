"""Simulates ramps and A/B tests and prints how often their promises broke: the figures of docs/rollout.md.

    python scripts/simulate_rollout.py [--runs 100] [--ab-runs 300] [--seed 0]

Each deployment is a stream of requests with the outcomes of both models; what is counted are true risks, which the
simulation knows and the ramp does not.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ferroute import _core

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

BOUND, CONFIDENCE, RATES = 0.05, 0.95, (1.0, 0.02)
SHARES = (0.1, *(round(0.2 + 0.05 * i, 2) for i in range(17)))
BURN_IN = 500


@dataclass(frozen=True)
class World:
    """A kind of traffic: how much less likely the weak model is right, by win rate and by the part of the time gone.

    Attributes:
        name: For the table.
        gap: Difference of the two models' mean scores, of win rates and of the time in requests.
        weak_wins: Probability that only the weak model is right.
        n: Requests.
        turn: When it changes for the worse; None: never.
        stationary: Whether the true risk of a threshold never changes.
        squeeze: Power that win rates are raised to from that turn on: their ranks mean something else then.
    """

    name: str
    gap: Callable[[Numbers, Any], Numbers]
    weak_wins: float
    n: int = 5_000
    turn: int | None = None
    stationary: bool = True
    squeeze: float = 1.0

    def draw(self, rng: np.random.Generator) -> tuple[Numbers, Numbers, Numbers]:
        """Win rates and both models' scores."""
        win_rates = rng.random(self.n)
        if self.turn is not None and self.squeeze != 1.0:
            win_rates[self.turn :] **= self.squeeze
        lost = np.clip(self.gap(win_rates, np.arange(self.n)) + self.weak_wins, 0, 1)
        lots = rng.random(self.n)
        strong = np.where(lots > 1 - self.weak_wins, 0.0, 1.0)
        return win_rates, np.where(lots < lost, 1.0, strong), np.where(lots < lost, 0.0, 1.0)

    def risk(self) -> Numbers:
        """The true risk of each stage at each request, ``[n, stages + 1]``."""
        grid = (np.arange(2_000) + 0.5) / 2_000
        marks = np.round(np.array((0.0, *SHARES)) * 2_000).astype(int)

        def at(when: int) -> Numbers:
            rates = grid ** (self.squeeze if self.turn is not None and when >= self.turn else 1.0)
            gap = np.clip(self.gap(rates, np.array(when)), -1, 1)
            order = np.concatenate([[0.0], np.cumsum(gap) / grid.size])
            return order[marks] if self.squeeze == 1 else order[np.searchsorted(rates, (0.0, *SHARES[:-1], 1.1))]

        step = 1 if not self.stationary and self.turn is None else self.n
        if step == 1:
            whens = range(0, self.n, 50)
            return np.repeat([at(when) for when in whens], 50, axis=0)[: self.n]
        turn = self.n if self.turn is None else self.turn
        return np.concatenate([np.tile(at(0), (turn, 1)), np.tile(at(self.n - 1), (self.n - turn, 1))])


def worsens(slope: float, turn: int, by: float) -> Callable[[Numbers, Any], Numbers]:
    """A gap that rises with the win rate, and by a constant from a request on."""
    return lambda rates, when: slope * rates + by * (when >= turn)


def creeps(slope: float, by: float, n: int) -> Callable[[Numbers, Any], Numbers]:
    """A gap that grows evenly over the time."""
    return lambda rates, when: slope * rates + by * when / n


def flat(gap: float) -> Callable[[Numbers, Any], Numbers]:
    """The same gap for all win rates, always."""
    return lambda rates, _: gap + 0 * rates


def tight(rates: Numbers, when: Any) -> Numbers:
    """A gap that is just within the bound at the second stage and just beyond it at each later one."""
    return np.where(rates < 0.2, 0.249, np.where(rates < 0.25, 0.025, 0.0)) + 0 * when


def worlds() -> list[World]:
    """The kinds that are simulated."""
    still = [
        World("good: gap 0.02 everywhere", lambda rates, _: 0.02 + 0 * rates, 0.05),
        World("good: gap 0.05 x win rate", lambda rates, _: 0.05 * rates, 0.05),
        World("good: gap 0.06 x win rate", lambda rates, _: 0.06 * rates, 0.08),
        World("steep: gap 0.5 x win rate squared", lambda rates, _: 0.5 * rates**2, 0.03),
        World("like MMLU: gap 0.25 x win rate", lambda rates, _: 0.25 * rates, 0.08),
        World("tight: risk 0.0498 at 20%, 0.051 at 25%", tight, 0.03),
    ]
    turns = [
        World(f"turns at {turn:,} by {by:g}", worsens(slope, turn, by), 0.06, turn + 4_000, turn, False)
        for slope in (0.04,)
        for turn in (500, 1_500, 4_000)
        for by in (0.1, 0.2, 0.4)
    ]
    # Long after nothing has moved any more, when little is audited: at the top, and stalled just below the bound.
    late = [
        World(f"turns at 20,000 by 0.2, {name}", worsens(slope, 20_000, 0.2), 0.06, 24_000, 20_000, False)
        for slope, name in ((0.04, "all weak"), (0.2, "near the bound"))
    ]
    # Whether the threshold is above the bound is no question there: it is from the beginning.
    above = [World(f"starts above: gap {gap:g}", flat(gap), 0.05, stationary=False) for gap in (0.26, 0.35, 0.5, 0.8)]
    drift = [
        World("creeps by 0.3 over 8,000", creeps(0.04, 0.3, 8_000), 0.06, 8_000, None, False),
        World("scores fall at 3,000", lambda rates, _: 0.15 * rates, 0.06, 7_000, 3_000, False, 2.0),
    ]
    return still + turns + late + above + drift


def deployments(world: World, runs: int, seed: int, rate: float | None) -> dict[str, Any]:
    """What came of so many deployments in a world."""
    stages = [(share, share if share < 1 else float("inf")) for share in SHARES]
    risk, shares = world.risk(), np.array((0.0, *SHARES))
    best = shares[np.flatnonzero(risk[0] <= BOUND)[-1]]
    told: dict[str, list[Any]] = {
        name: [] for name in ("ever", "running", "false", "delay", "share", "drift", "audited")
    }
    for run in range(runs):
        rng = np.random.default_rng([seed, run])
        rows = world.draw(rng)
        plan = _core.RampPlan(stages, 2, False, rng.random(1_000), BOUND, CONFIDENCE, None, RATES, False, False)
        places, audited, moves = plan.rehearse(*rows, rate, run)
        in_force = risk[np.arange(world.n), places]
        running = np.cumsum(in_force) / np.arange(1, world.n + 1)
        told["ever"].append(bool((in_force > BOUND).any()))
        told["running"].append(bool((running[BURN_IN:] > BOUND).any()))
        turn = world.n if world.turn is None else world.turn
        down = [at for kind, at, *_ in moves if kind == "reverted"]
        told["false"].append(any(at < turn for at in down) if world.turn is not None or world.stationary else False)
        told["drift"].append(any(kind == "drifted" for kind, *_ in moves))
        if world.turn is not None and risk[-1, places[turn]] > BOUND:
            # In audited requests, until the first step down; of a run too short to tell nothing is said.
            lower = np.flatnonzero(places[turn:] < places[turn])
            seen = int(audited[turn : turn + lower[0]].sum()) if lower.size else int(audited[turn:].sum())
            if lower.size or seen > 2_000:
                told["delay"].append(seen if lower.size else np.inf)
        told["share"].append(shares[places[min(4_999, world.n - 1)]] / best if best else np.nan)
        told["audited"].append(audited.mean())
    return told


def shown(world: World, told: dict[str, Any]) -> str:
    """A line of the table."""
    cells = [
        f"{np.mean(told['ever']):.1%}" if world.stationary else "",
        f"{np.mean(told['running']):.1%}",
        f"{np.mean(told['false']):.1%}" if world.stationary or world.turn else "",
        f"{np.mean(np.array(told['share']) >= 0.8 - 1e-9):.0%}" if world.stationary else "",
        f"{np.mean(told['audited']):.0%}",
    ]
    if world.turn is not None:
        delay = np.array(told["delay"])
        late = f"{np.mean(delay > 2_000):.1%}" if delay.size else ""
        cells += [f"{np.median(delay):.0f}" if delay.size else "", late, f"{delay.size}"]
    return " | ".join((world.name, *cells))


def ab(runs: int, seed: int, n: int) -> list[str]:
    """False winners of two equal arms that are looked at after every score, and how often a difference is found."""
    time = (np.arange(n) + 0.5) / n
    trends = {
        "both 0.5": np.full(n, 0.5),
        "both 0.9": np.full(n, 0.9),
        "both from 0.85 to 0.6 at the half": np.where(time < 0.5, 0.85, 0.6),
        "both from 0.9 slowly to 0.6": 0.9 - 0.3 * time,
    }
    lines: list[str] = []
    for split in (0.5, 0.45, 0.4, 0.3, 0.03):
        for what, mean in trends.items():
            won = sum(winners(mean, mean, split, runs, seed).values())
            lines.append(f"{what}, {split:.0%} to the second | false winners | {won / runs:.1%}")
    for mean, other, split in ((0.7, 0.75, 0.5), (0.9, 0.85, 0.2), (0.8, 0.9, 0.05)):
        size = _core.ab_required_n(other - mean, mean, 0.8, split, CONFIDENCE)
        won = winners(np.full(size, mean), np.full(size, other), split, runs, seed)[other > mean]
        lines.append(f"{mean:g} against {other:g}, {split:.0%} to the second | found with {size:,} | {won / runs:.1%}")
    return lines


def winners(mean: Numbers, other: Numbers, split: float, runs: int, seed: int) -> dict[bool, int]:
    """How often the first (False) and the second arm (True) of these mean scores won."""
    won = {True: 0, False: 0}
    for run in range(runs):
        rng = np.random.default_rng([seed, run])
        trial = _core.Trial(split, CONFIDENCE)
        seconds = rng.random(mean.size) < split
        scores = rng.random(mean.size) < np.where(seconds, other, mean)
        for second, score in zip(seconds.tolist(), scores.tolist(), strict=True):
            trial.observe(second, float(score))
        if (winner := trial.told()[-1]) is not None:
            won[winner[0]] += 1
    return won


def main() -> None:
    """Prints all tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100, help="deployments in each world")
    parser.add_argument("--ab-runs", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    began = time.monotonic()
    for rate, what in ((1.0, "every request audited"), (None, "audited at the ramp's own rates, the default")):
        print(f"\n{what}, {given.runs:,} deployments in each world")
        print(
            "world | ever above | running mean above | false reverts | 80 % of best share | audited | "
            "delay | over 2,000 | of"
        )
        all_of_them: dict[str, list[Any]] = {}
        for world in worlds():
            told = deployments(world, given.runs, given.seed, rate)
            print(shown(world, told), flush=True)
            for name in ("ever", "running", "delay") if world.stationary else ("running", "delay"):
                all_of_them.setdefault(name, []).extend(told[name])
        ever, running, delay = (np.array(all_of_them[name], dtype=float) for name in ("ever", "running", "delay"))
        print(
            f"all: above ever {ever.mean():.2%} of {ever.size:,}; running mean above {running.mean():.2%} of "
            f"{running.size:,}; noticed later than 2,000 audits {np.mean(delay > 2_000):.2%} of {delay.size:,}"
        )
    print(f"\nA/B, looked at after every score, {given.ab_runs:,} tests each")
    print("\n".join(ab(given.ab_runs, given.seed, 4_000)))
    print(f"\n{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
