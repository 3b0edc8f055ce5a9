"""The copies under `tests/goldens` against the originals, where those lie beside the checkout."""

from __future__ import annotations

import json

import pytest

from conftest import GOLDENS

FILES = sorted(
    p.relative_to(GOLDENS)
    for folder in ("mf", "names", "sw_ranking", "bert", "causal_llm", "calibration", "eval")
    for p in (GOLDENS / folder).rglob("*")
    if p.is_file() and p.suffix != ".md"
)


@pytest.mark.parametrize("file", FILES, ids=str)
def test_copy_is_the_original(file, shared):
    ours, theirs = GOLDENS / file, shared / "goldens" / file
    if file.suffix == ".json":
        assert json.loads(ours.read_text()) == json.loads(theirs.read_text())
    else:
        assert ours.read_bytes() == theirs.read_bytes()
