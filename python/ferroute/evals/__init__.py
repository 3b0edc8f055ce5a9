"""Evaluation on benchmarks (later version)."""
