"""Draw the pictures of `docs/evaluation.md` from real runs on the packaged benchmarks.

    python scripts/draw_evaluation.py        # about a minute; writes docs/images/evaluation-*.png

`local` was trained on MMLU and GSM8K, so the pictures of these two show a head that was fitted without them (and
without the questions that MMLU-Pro took from MMLU), as in `scripts/eval_local.py`. MT-Bench is never trained on.
"""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from eval_local import training_without, whole
from ferroute import _core
from ferroute.evals import plots
from ferroute.evals.benchmarks import GSM8K, MMLU, MTBench
from train_local import ROOT, fit, outcome_sets

IMAGES = ROOT / "docs" / "images"
OUTPUT_TOKENS = 264

# US dollars for a million tokens in and out: assumptions for a picture, not a price list.
STRONG_PRICE, WEAK_PRICE = (10.0, 30.0), (0.6, 0.6)


def quiet(benchmark: type) -> Any:
    """The benchmark without the line it prints."""
    with contextlib.redirect_stdout(io.StringIO()):
        return benchmark()


def costs(prompts: list[str]) -> tuple[Any, Any]:
    """Dollars of a call: the prompt's tokens and a fixed length of the answer."""
    tokens = np.array([len(_core.LocalModel.tokenize(prompt)) for prompt in prompts], dtype=float)
    return tuple((tokens * into + OUTPUT_TOKENS * out) / 1e6 for into, out in (STRONG_PRICE, WEAK_PRICE))


def save(name: str, draw: Any, size: tuple[float, float] = (6.4, 4.4)) -> None:
    """Writes one picture."""
    figure = Figure(figsize=size, dpi=130, layout="constrained")
    draw(figure)
    path = IMAGES / f"evaluation-{name}.png"
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, pil_kwargs={"optimize": True})
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes")


def main() -> None:
    """Scores, compares, draws."""
    sets = outcome_sets()
    unseen = "local, not trained on these"
    runs = {}
    for title, benchmark, head in (
        ("MMLU", quiet(MMLU), fit(training_without(sets, "MMLU"))),
        ("GSM8K", quiet(GSM8K), fit(training_without(sets, "GSM8K"))),
        ("MT-Bench", quiet(MTBench), whole(sets)),
    ):
        rates = head.scores(benchmark.prompts())
        compared = benchmark.compare_scores({unseen: rates}, costs=costs(benchmark.prompts()))
        runs[title] = benchmark, rates, compared
        print(title, compared, sep="\n")
        name = title.lower()
        save(name, lambda f, c=compared, t=title: plots.quality_plot(c, title=t, ax=f.subplots()))

    _, _, compared = runs["MMLU"]
    save("mmlu-cost", lambda f: plots.quality_plot(compared, against="cost", title="MMLU, in dollars", ax=f.subplots()))

    scores = {title: rates for title, (_, rates, _) in runs.items()}
    cut = compared[unseen].points["threshold"][5]
    save(
        "scores",
        lambda f: plots.score_histogram(
            scores,
            thresholds=[cut],
            title=f"Scores of local: {cut:.3f} splits MMLU in halves, and only MMLU",
            ax=f.subplots(),
        ),
    )

    def reliability(figure: Figure) -> None:
        axes = figure.subplots()
        for title, (benchmark, rates, _) in runs.items():
            strong, weak = benchmark.scores()
            bins = 10 if len(rates) > 5000 else 4
            plots.reliability_diagram(rates, strong, weak, bins=bins, label=title, ax=axes)
        axes.set_title("Scores are a ranking, not probabilities", loc="left", fontsize=11, fontweight="bold")

    save("reliability", reliability, (4.8, 4.8))


if __name__ == "__main__":
    main()
