"""RouteLLM's generator of MMLU answers: importing is fine, running points to the command that took its place."""

from __future__ import annotations

INSTEAD = (
    "Outcomes of two models are collected by one command for any prompts:\n"
    "  ferroute collect --file questions.jsonl --strong MODEL --weak MODEL --score choice --output outcomes.parquet\n"
    "  python -m ferroute.evals.evaluate --data outcomes.parquet --routers local\n"
    "questions.jsonl has the fields prompt and answer (the letter). See docs/evaluation.md.\n"
)

if __name__ == "__main__":
    import sys

    sys.exit(INSTEAD)
