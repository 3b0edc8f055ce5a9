"""How often intervals and bands of comparisons hold: samples drawn from a population whose truth is known.

Run: python scripts/simulate_comparisons.py [--draws 1000] [--rows 100 500 2000] [--seed 1] [--nearly-right]

The population is a large sample (a million rows) of a model that is known; a router's scores there say something of the
weak model's success, another's say less. "curve" and "difference curve" count a draw only if every point is inside.
With ``--nearly-right`` the strong model fails once in a hundred rows and the weak one six times.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from ferroute import evals

POPULATION = 1_000_000
RESULTS = 20


def population(rows: int, rng: np.random.Generator, nearly: bool) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Scores of two routers, and outcomes of a strong and a weak model."""
    hard = rng.random(rows)
    chances = (0.99 - 0 * hard, 0.99 - 0.1 * hard) if nearly else (0.95 - 0.2 * hard, 0.9 - 0.65 * hard)
    outcomes = np.stack([rng.random(rows) < chance for chance in chances], axis=1) * 1.0
    good = hard + 0.2 * rng.standard_normal(rows)
    poor = hard + 1.0 * rng.standard_normal(rows)
    return {"good": good, "poor": poor}, outcomes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--rows", type=int, nargs="+", default=[100, 500, 2000])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--bootstrap", type=int, default=1000)
    parser.add_argument("--results", type=int, default=RESULTS)
    parser.add_argument("--nearly-right", action="store_true")
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    costs = (0.01, 0.001)
    whole = evals.compare(*population(POPULATION, rng, args.nearly_right), costs, args.results, bootstrap=0)
    at = np.linspace(0, 100, args.results + 1)
    truth = {name: whole[name].along(at)[1] for name in ("good", "poor")}
    figures = ("apgr", "auc", "share95", "cost95")
    true = {(name, figure): whole[name].value(figure) for name in truth for figure in figures}
    for rows in args.rows:
        held: dict[str, list[bool]] = {}
        begun = time.perf_counter()
        for draw in range(args.draws):
            compared = evals.compare(
                *population(rows, rng, args.nearly_right), costs, args.results, bootstrap=args.bootstrap, seed=draw
            )
            count(held, compared, whole, truth, true, at)
        took = (time.perf_counter() - begun) / args.draws
        print(f"\n{rows:,} rows, {args.draws:,} draws of {args.bootstrap:,} resamples ({took * 1000:.0f} ms each)")
        for name, hits in held.items():
            print(f"  {name:32} {np.mean(hits):.3f} +- {np.std(hits) / len(hits) ** 0.5:.3f} of {len(hits)}")


def count(held, compared, whole, truth, true, at) -> None:
    def add(name: str, hit: bool) -> None:
        held.setdefault(name, []).append(bool(hit))

    def inside(value: float, found) -> bool:
        return found.low is not None and found.low <= value <= found.high

    for figure in ("apgr", "auc"):
        want = true["good", figure] - true["poor", figure]
        add(f"difference of {figure}", inside(want, compared.difference("good", "poor", figure)))
    for name in truth:
        add(f"share at 95 % ({name})", inside(true[name, "share95"], compared[name].share_at_quality()))
        add(f"cost at 95 % ({name})", inside(true[name, "cost95"], compared[name].cost_at_quality()))
        saved = whole[name].cost_saving_at_quality()
        add(f"$ saved at 95 % ({name})", inside(saved, compared[name].cost_saving_at_quality()))
        band = compared[name].simultaneous_bands
        where = compared[name].points.strong_percentage
        value = np.interp(where, at, truth[name])
        add(f"curve ({name})", ((band[:, 0] <= value + 1e-9) & (value - 1e-9 <= band[:, 1])).all())
        low, high = compared[name].bands.T
        add(f"curve, pointwise band ({name})", ((low <= value + 1e-9) & (value - 1e-9 <= high)).all())
    joint = compared.simultaneous_bands()
    good = True
    for name, band in joint.items():
        value = np.interp(compared[name].points.strong_percentage, at, truth[name])
        good &= ((band[:, 0] <= value + 1e-9) & (value - 1e-9 <= band[:, 1])).all()
    add("both curves together", good)
    curve = compared.difference_curve("good", "poor")
    want = np.interp(curve.at, at, truth["good"] - truth["poor"])
    add("difference curve", ((curve.bands[:, 0] <= want + 1e-9) & (want - 1e-9 <= curve.bands[:, 1])).all())
    pairs = [("good", "poor"), ("good", "random mixing"), ("poor", "random mixing")]
    found = compared.differences("apgr", pairs)
    want_all = [whole.difference(*pair) for pair in pairs]
    add("three differences together", all(inside(w, found[pair]) for pair, w in zip(pairs, want_all, strict=True)))


if __name__ == "__main__":
    main()
