"""`_core.LocalModel`: the embedded router as Python sees it, and that its head is what the script trains."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferroute._core import LocalModel

ROOT = Path(__file__).resolve().parent.parent
MODEL = LocalModel()


@settings(max_examples=300)
@given(st.text(st.characters(exclude_categories=[])))
def test_any_string_has_a_score(text: str) -> None:
    """Lone surrogates included: `exclude_categories=[]` lets hypothesis make them."""
    score = MODEL.win_rate(text)
    assert isinstance(score, float)
    assert 0 <= score <= 1
    assert MODEL.win_rates([text], threads=1)[0] == score


def test_lone_surrogates_are_replaced() -> None:
    assert MODEL.win_rate("a \ud800 b") == MODEL.win_rate("a \ufffd b")
    assert MODEL.tokenize("caf\udce9") == MODEL.tokenize("caf\ufffd")


def test_batch_equals_single_on_any_number_of_threads() -> None:
    texts = [f"prompt {i} " + "why? " * (i % 70) for i in range(400)] + ["", " ", "naïve 漢字"]
    single = np.array([MODEL.win_rate(t) for t in texts])
    for threads in (None, 1, 2, 7):
        batch = MODEL.win_rates(texts, threads)
        assert batch.dtype == np.float64
        assert np.array_equal(batch, single)
    assert MODEL.win_rates([]).shape == (0,)
    assert MODEL.features([]).shape == (0, len(MODEL.feature_names))


def test_features_and_names() -> None:
    rows = MODEL.features(["Prove it.", ""])
    assert rows.dtype == np.float32
    assert rows.shape == (2, len(MODEL.feature_names))
    assert np.linalg.norm(rows[0, :64]) == pytest.approx(1, abs=1e-6)
    assert not rows[1, :64].any()
    assert rows[0, MODEL.feature_names.index("words_prove")] == pytest.approx(np.log(2))


def test_ids_are_those_of_bert() -> None:
    assert MODEL.tokenize("Hello, World!") == [7592, 1010, 2088, 999]
    assert MODEL.tokenize("") == []


def test_quantiles_and_card() -> None:
    quantiles = MODEL.quantiles
    assert len(quantiles) == 100
    assert np.all(np.diff(quantiles) >= 0)
    card = MODEL.card
    assert card["never_read"] == ["MT-Bench"]
    assert card["rows"]["MMLU"] == 14037


def test_explanation_adds_up() -> None:
    text = "Prove that there are infinitely many primes."
    terms = MODEL.explain(text, limit=1000)
    assert 1 / (1 + np.exp(-sum(v for _, v in terms))) == pytest.approx(MODEL.win_rate(text), abs=1e-6)
    assert len(MODEL.explain(text)) == 10
    assert MODEL.explain(text) == terms[:10]


def test_wrong_types_are_type_errors() -> None:
    for call in (MODEL.win_rate, MODEL.tokenize, MODEL.explain):
        with pytest.raises(TypeError):
            call(b"bytes")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        MODEL.win_rates(["a", None])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="str"):
        MODEL.win_rates("one string is not a list of them")  # type: ignore[arg-type]


def test_pickles_and_is_safe_on_many_threads() -> None:
    again = pickle.loads(pickle.dumps(MODEL))
    want = MODEL.win_rate("hello")
    got: list[float] = []
    workers = [threading.Thread(target=lambda: got.append(again.win_rate("hello"))) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert got == [want] * 8


def test_everyday_prompts_score_below_hard_ones() -> None:
    prompts = json.loads((ROOT / "tests" / "goldens" / "first_impression.json").read_text(encoding="utf-8"))
    easy, hard = MODEL.win_rates(prompts["easy"]), MODEL.win_rates(prompts["hard"])
    assert easy.max() + 0.03 < hard.min()


def test_prompts_nobody_looked_at_are_told_apart() -> None:
    """Written before the head was trained; a pair in two hundred may be in the wrong order."""
    path = ROOT / "tests" / "goldens" / "first_impression_held_out.json"
    prompts = json.loads(path.read_text(encoding="utf-8"))
    easy, hard = MODEL.win_rates(prompts["easy"]), MODEL.win_rates(prompts["hard"])
    assert (easy[:, None] < hard[None, :]).mean() >= 0.995
    trained = (ROOT / "data" / "everyday.jsonl").read_text(encoding="utf-8")
    for prompt in prompts["easy"] + prompts["hard"]:
        assert json.dumps(prompt, ensure_ascii=False) not in trained


def test_the_committed_head_is_what_training_gives() -> None:
    pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    command = [sys.executable, "scripts/train_local.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_training_computes_the_scores_that_are_served() -> None:
    """The formula of the head exists twice, in the script and in the core."""
    head = json.loads((ROOT / "data" / "local" / "head.json").read_text(encoding="utf-8"))
    texts = ["hi", "Prove Fermat's little theorem.", "word " * 60, "Which?\nA. one\nB. two\nC. three", ""]
    x = MODEL.features(texts).astype(float)
    weight = {kind: np.array([entry[kind] for entry in head["lexical"]]) for kind in ("always", "if_short")}
    always = np.concatenate([head["embedding"], weight["always"]])
    if_short = np.concatenate([head["embedding_if_short"], weight["if_short"]])
    short = x[:, MODEL.feature_names.index("shortness")]
    logit = head["bias"] + x @ always + short * (x @ if_short)
    assert np.allclose(1 / (1 + np.exp(-logit)), MODEL.win_rates(texts), atol=1e-12)
