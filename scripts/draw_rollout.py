"""Draw the picture of `docs/rollout.md`: a ramp rehearsed on traffic whose weak model turns bad on the way.

    python scripts/draw_rollout.py        # some seconds; writes docs/images/rollout.png

The requests are made up, the ramp is not: 12,000 requests of which both scores are known. The weak model fails the more
often the higher the win rate, in one request of six at most; from the 6,000th on, four times as often.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ferroute.rollout import Ramp

IMAGE = Path(__file__).resolve().parent.parent / "docs" / "images" / "rollout.png"
REQUESTS, TURNS = 12_000, 6_000


def main() -> None:
    draws = np.random.default_rng(0)
    win_rates = draws.uniform(size=REQUESTS)
    chance = win_rates / 6 * np.where(np.arange(REQUESTS) < TURNS, 1, 4)
    weak = (draws.uniform(size=REQUESTS) > chance).astype(float)
    done = Ramp(win_rates=win_rates[:1_000], max_quality_loss=0.05, start=0.2).rehearse(
        win_rates, np.ones(REQUESTS), weak
    )
    figure = Figure(figsize=(8, 3.6), layout="constrained", dpi=110)
    axes = figure.subplots()
    done.plot(axes)
    axes.axvline(TURNS, color="#888888", linewidth=0.8, linestyle=":")
    where = {"xycoords": ("data", "axes fraction"), "fontsize": 8, "color": "#666666", "ha": "right"}
    axes.annotate("fails four times as often from here ", (TURNS, 0.93), **where)
    figure.savefig(IMAGE)
    for move in done.moves:
        print(move.request, move.kind, round(move.weak_share, 2))


if __name__ == "__main__":
    main()
