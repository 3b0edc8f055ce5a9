"""RouteLLM's generator of GSM8K answers: importing is fine, running points to the command that took its place."""

from __future__ import annotations

INSTEAD = (
    "Outcomes of two models are collected by one command for any prompts:\n"
    "  ferroute collect --file test.jsonl --column question --reference answer --score number \\\n"
    "    --strong MODEL --weak MODEL --output outcomes.parquet\n"
    "  python -m ferroute.evals.evaluate --data outcomes.parquet --routers local\n"
    "test.jsonl is GSM8K's own file: the last number of each answer counts. See docs/evaluation.md.\n"
)

if __name__ == "__main__":
    import sys

    sys.exit(INSTEAD)
