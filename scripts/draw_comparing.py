"""Draw the pictures of `docs/comparing.md`: four models of MMLU-Pro, with prices of their time.

    python scripts/draw_comparing.py        # some seconds; writes docs/images/comparing-*.png and prints the table

The router is a ridge regression of each model's success on the features of the embedded router, fitted on one half of
the questions and asked about the other, both ways round. Its ridge is not tuned.
"""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from ferroute import _core, pricing
from ferroute.evals import OutcomeTable, compare
from train_local import ROOT

IMAGES = ROOT / "docs" / "images"
AT, OUTPUT_TOKENS = "2025-01-01", 250
PRICED = {
    "gemini-1.5-pro-002": "gemini/gemini-1.5-pro-002",
    "gemini-1.5-flash-002": "gemini/gemini-1.5-flash-002",
    "Meta-Llama-3_1-70B-Instruct": "deepinfra/meta-llama/Meta-Llama-3.1-70B-Instruct",
    "Meta-Llama-3_1-8B-Instruct": "deepinfra/meta-llama/Meta-Llama-3.1-8B-Instruct",
}
RIDGE = 100.0


def outcomes() -> OutcomeTable:
    """The questions that all four models answered; answers count `OUTPUT_TOKENS`, which is an assumption."""
    columns = _core.read_columns(ROOT / "data" / "mmlu_pro.parquet", ["prompt", "domain", *PRICED])
    prompts = [text or "" for text in columns["prompt"]]
    tokens = [len(_core.LocalModel.tokenize(text)) for text in prompts]
    costs = [
        [float(pricing.cost(name, input_tokens=n, output_tokens=OUTPUT_TOKENS, at=AT)) for name in PRICED.values()]
        for n in tokens
    ]
    scores = np.stack([columns[model] for model in PRICED], axis=1)
    groups = [domain or "" for domain in columns["domain"]]
    return OutcomeTable(prompts, scores, list(PRICED), costs=costs, groups=groups).filter(complete=True)


def predicted(table: OutcomeTable) -> np.ndarray:
    """Scores of each model on questions that the regression has not seen, ``[n, m]``."""
    features = _core.LocalModel.features(table.prompts).astype(float)
    features = np.column_stack(
        [(features - features.mean(axis=0)) / (features.std(axis=0) + 1e-9), np.ones(len(table))]
    )
    half = np.random.default_rng(0).permutation(len(table)) % 2
    out = np.empty(table.scores.shape)
    for side in (0, 1):
        x, y = features[half != side], table.scores[half != side]
        out[half == side] = features[half == side] @ np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ y)
    return out


def main() -> None:
    """Compares, prints, draws."""
    table = outcomes()
    scores = predicted(table)
    print(table)
    many = compare({"ridge": scores}, table)
    two = compare({"ridge": scores[:, [0, 3]]}, table.filter([table.models[0], table.models[3]]))
    for compared, name in ((many, "four"), (two, "two")):
        print(compared, compared.differences(), sep="\n\n", end="\n\n")
        figure = Figure(figsize=(6.4, 4.4), dpi=130, layout="constrained")
        compared.plot("cost", ax=figure.subplots(), bands="simultaneous")
        path = IMAGES / f"comparing-{name}.png"
        figure.savefig(path, pil_kwargs={"optimize": True})
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes\n")


if __name__ == "__main__":
    main()
