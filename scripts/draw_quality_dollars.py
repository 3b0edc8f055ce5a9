"""Draw the README's picture: quality against dollars, on questions that no router in it has seen.

    python scripts/draw_quality_dollars.py        # about half a minute; writes docs/images/quality-dollars.png

Outcomes are those of RouteLLM's MMLU in the wheel, answered by GPT-4 Turbo and Mixtral-8x7B. One half of the questions
fits a router (`ferroute.fit`), the other half is drawn; `local` stands there with a head that was trained without MMLU
and without what MMLU-Pro took from it, as in `scripts/eval_local.py`. A call's price is today's list price of the date
below for the tokens of the question and for an answer of a stated length.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

import ferroute
from eval_local import training_without
from ferroute import _core, pricing
from ferroute.evals import compare
from train_local import ROOT, fit, outcome_sets

TARGET = ROOT / "docs" / "images" / "quality-dollars.png"

STRONG, WEAK = "gpt-4-1106-preview", "mixtral-8x7b-instruct-v0.1"
NAMES = {STRONG: "GPT-4 Turbo", WEAK: "Mixtral-8x7B"}
PRICES_OF = "2026-10-01"
"""While both could be called: GPT-4 Turbo's version was shut down on 2026-10-23."""
ANSWER_TOKENS = 300
PART = 0.95
"""Of the strong model's quality, where the saving is marked."""

FITTED, LOCAL = "fitted", "local"
BLUE, ORANGE, GREY, INK = "#1f6fb4", "#d1601f", "#6b6b6b", "#222222"


def halves() -> tuple[list[str], Any, list[str], Any]:
    """Questions and outcomes ``[n, 2]`` (strong, weak) to fit with, and those to draw; each question is in one half."""
    table = _core.read_columns(files("ferroute") / "data" / "benchmarks" / "mmlu.parquet")
    outcomes = np.stack([table["strong"], table["weak"]], axis=1).astype(float)
    once = np.unique(table["prompt"], return_index=True)[1]
    kept = np.random.default_rng(7).permutation(once[np.asarray(table["contaminated"])[once] == 0])
    fitting, unseen = kept[: len(kept) // 2], kept[len(kept) // 2 :]
    texts = table["prompt"]
    return [texts[i] for i in fitting], outcomes[fitting], [texts[i] for i in unseen], outcomes[unseen]


def dollars(prompts: list[str]) -> Any:
    """US dollars of a call, ``[n, 2]`` (strong, weak)."""
    tokens = [len(_core.LocalModel.tokenize(prompt)) for prompt in prompts]
    found = {
        (model, count): float(pricing.cost(model, input_tokens=count, output_tokens=ANSWER_TOKENS, at=PRICES_OF))
        for model in (STRONG, WEAK)
        for count in set(tokens)
    }
    return np.array([[found[model, count] for model in (STRONG, WEAK)] for count in tokens])


def draw(compared: Any, costs: Any, labels: int) -> Figure:
    """The picture of a comparison whose costs are dollars a call, and whose fitted router had so many labels."""
    figure = Figure(figsize=(8, 4.8), dpi=200, layout="constrained")
    axes: Any = figure.subplots()
    strong, weak = 100 * float(compared.strong_score), 100 * float(compared.weak_score)
    dear, cheap = 1000 * costs.mean(axis=0)
    axes.plot([cheap, dear], [weak, strong], color=GREY, linewidth=1.6, linestyle=(0, (5, 3)), zorder=2)
    for name, colour in ((LOCAL, ORANGE), (FITTED, BLUE)):
        result = compared[name]
        order = np.argsort(result.points["cost"], kind="stable")
        x, y = 1000 * result.points["cost"][order], 100 * result.points["accuracy"][order]
        axes.fill_between(x, *(100 * result.bands[order]).T, color=colour, alpha=0.16, linewidth=0, zorder=2)
        axes.plot(x, y, color=colour, linewidth=2.6, zorder=4)
    for x, y, model, side in ((cheap, weak, WEAK, "left"), (dear, strong, STRONG, "right")):
        axes.plot([x], [y], "o", color=INK, markersize=9, zorder=6, clip_on=False)
        where = ((12, -4), "left", "top") if side == "left" else ((0, 13), "right", "bottom")
        offset, align, base = where
        text = f"{NAMES[model]} alone: {y:.1f} %, ${x:.2f}"
        axes.annotate(text, (x, y), offset, textcoords="offset points", ha=align, va=base, fontsize=11.5, color=INK)

    saving(axes, compared)
    gap, span = strong - weak, dear - cheap
    said(axes, "random mixing", (cheap + 0.22 * span, weak + 0.22 * gap), (26, -22), GREY)
    for name, colour, text, part, offset in (
        (FITTED, BLUE, f"router fitted to {labels:,} labels", 25, (-104, 62)),
        (LOCAL, ORANGE, "local, trained without MMLU", 45, (42, -74)),
    ):
        points = compared[name].points
        at = int(np.argmin(np.abs(points["strong_percentage"] - part)))
        said(axes, text, (1000 * points["cost"][at], 100 * points["accuracy"][at]), offset, colour, fontweight="bold")
    rows = int(compared[FITTED].points["total"][0])
    axes.set_xlim(0, 1.07 * dear)
    axes.set_xlabel(
        f"US dollars for 1,000 calls (prices of {PRICES_OF}, answers of {ANSWER_TOKENS} tokens)", fontsize=11
    )
    axes.set_ylabel("questions answered correctly", fontsize=11)
    axes.yaxis.set_major_formatter("{x:.0f} %")
    axes.xaxis.set_major_formatter("${x:.0f}")
    axes.tick_params(labelsize=11, colors=INK, length=0)
    axes.set_title(
        f"{rows:,} MMLU questions no router here was trained on, with 95 % bands",
        loc="left",
        fontsize=12.5,
        color=INK,
        fontweight="bold",
        pad=12,
    )
    axes.grid(axis="y", color="0.92", linewidth=0.9)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color("0.7")
    return figure


def saving(axes: Any, compared: Any) -> None:
    """What the fitted router saves against random mixing at a part of the strong model's quality."""
    result = compared[FITTED]
    spent, saved = result.cost_at_quality(PART), result.cost_saving_at_quality(PART)
    mixed = float(spent) / (1 - float(saved))
    height = 100 * PART * float(compared.strong_score)
    axes.annotate(
        "",
        (1000 * float(spent), height),
        (1000 * mixed, height),
        arrowprops={"arrowstyle": "-|>", "color": INK, "linewidth": 1.4, "shrinkA": 0, "shrinkB": 2},
        zorder=5,
    )
    less, low, high = (100 * float(value) for value in (saved, saved.low, saved.high))
    text = (
        f"{100 * PART:.0f} % of {NAMES[STRONG]}'s score:\n"
        f"{less:.0f} % fewer dollars than\nrandom mixing ({low:.0f} to {high:.0f} %)"
    )
    place = 1000 * mixed, height
    axes.annotate(text, place, (12, 8), textcoords="offset points", va="top", fontsize=11, color=INK)


def said(axes: Any, text: str, place: tuple[float, float], offset: tuple[int, int], colour: str, **style: Any) -> None:
    """A label beside its curve, with a thin line to it."""
    arrow = {"arrowstyle": "-", "color": colour, "linewidth": 1, "shrinkA": 2, "shrinkB": 1}
    style = {"fontsize": 12, "color": colour, "arrowprops": arrow, "zorder": 7, **style}
    axes.annotate(text, place, offset, textcoords="offset points", ha="left", va="center", **style)


def main() -> None:
    """Fits, compares, draws, and says the figures."""
    texts, outcomes, prompts, unseen = halves()
    fitted = ferroute.fit(texts, outcomes, models=[STRONG, WEAK])
    local = fit(training_without(outcome_sets(), "MMLU"))
    costs = dollars(prompts)
    compared = compare(
        {FITTED: fitted.win_rates(prompts), LOCAL: local.scores(prompts)},
        unseen,
        costs,
        models=[STRONG, WEAK],
        pair=(STRONG, WEAK),
        prompts=prompts,
    )
    print(compared)
    figure = draw(compared, costs, len(texts))
    for text in figure.axes[0].texts:
        text.set_in_layout(False)  # labels lie inside; the axes keep their width
    TARGET.parent.mkdir(exist_ok=True)
    figure.savefig(TARGET)
    # A third of the size, and nothing that an eye sees.
    Image.open(TARGET).convert("RGB").quantize(96).save(TARGET, optimize=True)
    print(f"{TARGET.relative_to(ROOT)}: {TARGET.stat().st_size:,} bytes")
    for name in (FITTED, LOCAL):
        for against in ("random", "strong"):
            saved = compared[name].cost_saving_at_quality(PART, against)
            print(f"{name} at {PART:.0%} of the strong score, dollars saved against {against}: {saved.show('.3f')}")


if __name__ == "__main__":
    main()
