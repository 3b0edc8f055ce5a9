"""The causal-LLM router against the original's numbers (tests/goldens/causal_llm) and a Llama written out in numpy."""

from __future__ import annotations

import copy
import json
import os
import pickle
import shutil
import signal
import struct
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import llama
from ferroute import _core
from ferroute.errors import CheckpointError, InvalidValueError, MissingFileError, NotBuiltError, UnknownNameError
from ferroute.routers.causal_llm import llm_utils
from ferroute.routers.causal_llm.configs import PROMPT_FORMAT_CONFIGS, LabelError, ModelTypeEnum, RouterModelConfig
from ferroute.routers.causal_llm.model import CausalLLMClassifier
from ferroute.routers.causal_llm.prompt_format import PromptFormat
from ferroute.routers.routers import CausalLLMRouter
from llama import BASE, GOLDEN

if TYPE_CHECKING:
    from pathlib import Path

LABELS = [f"[[{i}]]" for i in range(1, 6)]
PROMPTS: list[str] = json.loads((GOLDEN / "prompts.json").read_text())


def golden(name: str) -> list[dict[str, Any]]:
    return json.loads((GOLDEN / name).read_text())


def router_of(folder: Path, **settings: Any) -> CausalLLMRouter:
    return CausalLLMRouter(folder, model_id=str(BASE), **settings)


@pytest.fixture(scope="module")
def router() -> CausalLLMRouter:
    return router_of(GOLDEN / "checkpoint")


@pytest.fixture(scope="module")
def second(tmp_path_factory) -> CausalLLMRouter:
    """The golden weights with the second pair of prompt files."""
    folder = tmp_path_factory.mktemp("second") / "checkpoint"
    shutil.copytree(GOLDEN / "checkpoint", folder)
    for file in (GOLDEN / "prompt_files_2").iterdir():
        shutil.copy(file, folder / file.name)
    return router_of(folder)


def check(router: CausalLLMRouter, expected: list[dict[str, Any]], rendered: list[dict[str, Any]]) -> None:
    for prompt, wanted, form in zip(PROMPTS, expected, rendered, strict=True):
        row = {"messages": router.to_openai_messages([prompt])}
        classifier = router.router_model
        assert classifier.prompt_format.generate_prompt(row["messages"]) == form["prompt_text"]
        assert classifier.prompt.render(prompt) == form["prompt_text"]
        assert classifier.preprocess(row)["input_ids"].tolist() == form["input_ids"]
        output, rate = classifier(row), router.calculate_strong_win_rate(prompt)
        assert rate == pytest.approx(wanted["win_rate"], abs=5e-5)
        if wanted["label_token_index"] is None:
            assert output is None and rate == 1 and type(rate) is int
            continue
        place = wanted["label_token_index"]
        assert output["output_ids"].tolist() == wanted["output_ids"][: place + 1]
        np.testing.assert_allclose(output["score_logits"], wanted["score_logits"], atol=5e-4, rtol=0)
        np.testing.assert_allclose(output["softmax_scores"], wanted["softmax_scores"], atol=5e-5, rtol=0)
        assert output["binary_prob"] == pytest.approx(wanted["binary_prob"], abs=5e-5)
        assert output["score_pred"] == wanted["score_pred"]
        assert wanted["output_str"].startswith(output["output_str"])
        assert set(output) == {
            "output_ids", "score_logits", "softmax_scores", "binary_prob", "output_tokens", "output_str", "score_pred",
        }  # fmt: skip


def test_golden_answers(router):
    check(router, golden("outputs_f32.json"), golden("rendered.json"))


def test_golden_answers_of_a_padded_vocabulary():
    padded = router_of(GOLDEN / "checkpoint_padded")
    check(padded, golden("padded_outputs_f32.json"), golden("rendered.json"))
    assert padded.router_model.model.outputs == 1022
    rows = [padded.router_model({"messages": padded.to_openai_messages([prompt])}) for prompt in PROMPTS]
    assert {len(row["softmax_scores"]) for row in rows if row is not None} == {12}


def test_golden_answers_of_the_second_prompt_files(second):
    expected = golden("prompt_files_2_outputs_f32.json")
    check(second, expected, expected)


def test_golden_first_logits(router):
    expected = np.load(GOLDEN / "first_step_logits_f32.npy")
    for row, form in zip(expected, golden("rendered.json"), strict=True):
        logits = router.router_model.model.first_logits(form["input_ids"])
        np.testing.assert_allclose(logits, row, atol=5e-4, rtol=0)
        assert logits.argmax() == row.argmax()


def test_golden_answers_of_float64(router):
    rates = router.calculate_strong_win_rates(PROMPTS)
    expected = [record["win_rate"] for record in golden("scores_f64.json")]
    np.testing.assert_allclose(rates, expected, atol=5e-5, rtol=0)


def test_bf16_activations_are_near_the_original_as_it_is():
    rounded = router_of(GOLDEN / "checkpoint", precision="bf16")
    compared = 0
    for prompt, wanted in zip(PROMPTS, golden("outputs_bf16.json"), strict=True):
        if (wanted["min_top2_gap_until_label"] or 0) < 0.1:
            continue
        compared += 1
        row = rounded.router_model({"messages": rounded.to_openai_messages([prompt])})
        assert rounded.calculate_strong_win_rate(prompt) == pytest.approx(wanted["win_rate"], abs=0.06)
        if row is not None:
            place = wanted["label_token_index"]
            assert row["output_ids"].tolist() == wanted["output_ids"][: place + 1]
    assert compared > 15


def test_a_batch_has_the_bits_of_single_calls(router, second):
    for one in (router, second):
        seen: list[int] = []
        together = one.calculate_strong_win_rates(PROMPTS, seen.append)
        assert together.dtype == np.float64
        assert together.tolist() == [one.calculate_strong_win_rate(prompt) for prompt in PROMPTS]
        assert sum(seen) == len(PROMPTS)
        assert one.calculate_strong_win_rates(PROMPTS[::-1])[::-1].tolist() == together.tolist()
    assert router.calculate_strong_win_rates([]).shape == (0,)


@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_the_shared_prefix_changes_no_bit(precision):
    plain = router_of(GOLDEN / "checkpoint", precision=precision)
    assert llm_utils.get_model(plain.router_model.config, GOLDEN / "checkpoint").shared_tokens == 0
    assert plain.router_model.model.shared_tokens > 50
    for threads in (1, 2, 3):
        alone = _core.CausalModel(GOLDEN / "checkpoint", BASE, labels=LABELS, bf16=precision == "bf16", threads=threads)
        for form in golden("rendered.json"):
            ids, logits = plain.router_model.model.answer(form["input_ids"])
            other_ids, other_logits = alone.answer(form["input_ids"])
            assert ids == other_ids
            assert (logits is None) == (other_logits is None)
            if logits is not None:
                np.testing.assert_array_equal(logits, other_logits)


def test_prompts_that_are_odd(router, second):
    odd = ["", " ", "\n", "\r\n\r", "{question}", "{", "}}", "[[3]]", "<|eot_id|>", "\ud83d alone", "é" * 50, "x\0y"]
    for one in (router, second):
        rates = one.calculate_strong_win_rates(odd)
        assert rates.tolist() == [one.calculate_strong_win_rate(prompt) for prompt in odd]
        assert ((rates >= 0) & (rates <= 1)).all()
    # Half of a surrogate pair is read as U+FFFD, whichever way it comes in.
    assert router.calculate_strong_win_rate("\ud83d alone") == router.calculate_strong_win_rate("\ufffd alone")


def test_long_prompts_go_through_in_passes(router):
    model = router.router_model.model
    long = "word after word " * 400
    ids = router.router_model.tokenizer.encode(router.router_model.prompt.render(long))
    assert len(ids) > 1024
    alone = _core.CausalModel(GOLDEN / "checkpoint", BASE, labels=LABELS)
    np.testing.assert_array_equal(model.first_logits(ids), alone.first_logits(ids))
    rates = router.calculate_strong_win_rates(["short", long, "short", long])
    assert rates[0] == rates[2] and rates[1] == rates[3] == router.calculate_strong_win_rate(long)


SCALING = {
    "rope_type": "llama3",
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
OTHERS: dict[str, dict[str, Any]] = {
    "plain": {},
    "tied, llama3 positions": {"tie_word_embeddings": True, "rope_scaling": SCALING},
    "linear positions": {"rope_scaling": {"type": "linear", "factor": 3.0}},
    "new-style positions": {"rope_theta": None, "rope_parameters": SCALING | {"rope_theta": 5000.0}},
    "biases": {"attention_bias": True, "mlp_bias": True},
    "one head for all": {"num_attention_heads": 5, "num_key_value_heads": 1, "head_dim": 6},
    "every head its own": {"num_attention_heads": 3, "num_key_value_heads": 3},
    "qwen2": {"model_type": "qwen2", "sliding_window": 4, "use_sliding_window": False},
    "mistral": {"model_type": "mistral", "sliding_window": 4096},
    "odd sizes": {"hidden_size": 17, "intermediate_size": 7, "num_hidden_layers": 1, "head_dim": 2, "dtype": "F32"},
    "bf16": {"dtype": "BF16"},
    "f16": {"dtype": "F16"},
    "f64": {"dtype": "F64"},
    "three files": {"shards": 3, "dtype": "BF16"},
    "wide heads": {"hidden_size": 64, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 128},
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_checkpoints_against_numpy(tmp_path, name):
    weights = llama.checkpoint(tmp_path, seed=sum(map(ord, name)), **OTHERS[name])
    model = _core.CausalModel(tmp_path, BASE, labels=LABELS)
    rng = np.random.default_rng(3)
    for length in (1, 2, 17, 64, 131):
        ids = rng.integers(0, 1015, length).tolist()
        expected = llama.logits(weights, ids)
        np.testing.assert_allclose(model.first_logits(ids), expected, atol=2e-4 * np.abs(expected).max(), rtol=0)


def test_generation_follows_numpy(tmp_path):
    """Greedy tokens, the first label, the end of the text: over many checkpoints, so that each case occurs."""
    cases = set()
    for seed in range(6):
        weights = llama.checkpoint(tmp_path / str(seed), seed=seed)
        ends = [int(i) for i in np.argsort(llama.logits(weights, [1000, 5, 0]))[-1:]] if seed % 2 else [1001]
        (tmp_path / str(seed) / "generation_config.json").write_text(json.dumps({"eos_token_id": ends}))
        model = _core.CausalModel(tmp_path / str(seed), BASE, labels=LABELS)
        assert model.first_label == 1010
        for start in range(12):
            prompt = [1000, start + 5, 7 * start]
            ids, expected = list(prompt), []
            while len(expected) < 6:
                logits = llama.logits(weights, ids)
                best = int(logits.argmax())
                expected.append(best)
                ids.append(best)
                if best >= 1010 or best in ends:
                    break
            found, scores = model.answer(prompt)
            assert found == expected
            assert (scores is not None) == (expected[-1] >= 1010)
            if scores is not None:
                np.testing.assert_allclose(scores, logits[1010:], atol=1e-3)
                cases.add("label")
            else:
                cases.add("end" if len(expected) < 6 else "none")
    assert {"end", "none"} <= cases


def test_shared_embedding_files_of_any_layout_give_the_same(tmp_path):
    llama.checkpoint(tmp_path / "one", seed=5, dtype="BF16")
    llama.checkpoint(tmp_path / "four", seed=5, dtype="BF16", shards=4)
    one, four = router_of(tmp_path / "one"), router_of(tmp_path / "four")
    assert one.calculate_strong_win_rates(PROMPTS).tolist() == four.calculate_strong_win_rates(PROMPTS).tolist()


def broken(tmp_path: Path, **changes: Any) -> Path:
    llama.checkpoint(tmp_path / "broken", **changes)
    return tmp_path / "broken"


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"model_type": "gpt2"}, NotBuiltError, 'found "gpt2"'),
        ({"hidden_act": "gelu"}, NotBuiltError, "hidden_act"),
        ({"rope_scaling": {"type": "yarn", "factor": 2}}, NotBuiltError, "yarn"),
        ({"quantization_config": {}}, NotBuiltError, "quantized"),
        ({"vocab_size": 1014}, CheckpointError, "1014 outputs"),
    ],
)
def test_configurations_that_are_not_read(tmp_path, changes, error, message):
    with pytest.raises(error, match=message):
        router_of(broken(tmp_path, **changes))


def test_generation_settings(tmp_path):
    folder = broken(tmp_path)
    for name, value in {"num_beams": 4, "repetition_penalty": 1.2, "suppress_tokens": [1], "min_new_tokens": 2}.items():
        (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [1], name: value}))
        with pytest.raises(NotBuiltError, match=name):
            router_of(folder)
    plain = {"num_beams": 1, "repetition_penalty": 1.0, "suppress_tokens": [], "temperature": 0.1, "do_sample": True}
    (folder / "generation_config.json").write_text(json.dumps(plain))
    # A file that names no end of the text leaves it without one, whatever config.json says.
    rates = router_of(folder).calculate_strong_win_rates(PROMPTS)
    (folder / "generation_config.json").unlink()
    assert router_of(folder).calculate_strong_win_rates(PROMPTS).shape == rates.shape
    for text in ('{"eos_token_id": "x"}', "[]", "{"):
        (folder / "generation_config.json").write_text(text)
        with pytest.raises(CheckpointError, match="generation_config"):
            router_of(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden_size": 31},
        {"hidden_size": 0},
        {"hidden_size": -1},
        {"hidden_size": 2**40},
        {"hidden_size": "30"},
        {"num_hidden_layers": 4},
        {"num_attention_heads": 5},
        {"num_key_value_heads": 4},
        {"head_dim": 9},
        {"intermediate_size": 43},
        {"vocab_size": 1016},
        {"rms_norm_eps": "small"},
        {"rms_norm_eps": 2},
        {"rope_theta": -1},
        {"tie_word_embeddings": "no"},
        {"eos_token_id": "end"},
        {"attention_bias": True},
        {"mlp_bias": True},
    ],
)
def test_sizes_that_do_not_fit_the_tensors(tmp_path, changes):
    folder = broken(tmp_path)
    config = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=str(folder)):
        router_of(folder)


def test_tensors_without_a_place_are_refused(tmp_path):
    biases = broken(tmp_path, attention_bias=True, mlp_bias=True)
    config = json.loads((biases / "config.json").read_text())
    for changes, named in (
        ({"mlp_bias": False}, r"unexpected tensor `model\.layers\.0\.mlp\.down_proj\.bias` and 8 more"),
        ({"attention_bias": False}, r"unexpected tensor .*_proj\.bias` and 11 more"),
        ({"num_hidden_layers": 2}, r"unexpected tensor `model\.layers\.2\..*the decoder of 2 layers"),
    ):
        (biases / "config.json").write_text(json.dumps(config | changes))
        with pytest.raises(CheckpointError, match=named):
            router_of(biases)


def test_tensors_that_have_no_part_are_left_out(tmp_path):
    expected = llama.checkpoint(tmp_path / "plain", tie_word_embeddings=True)
    tensors = {
        name: ("F32", values.shape, llama.as_bytes(values, "F32")[0])
        for name, values in expected.items() if name != "config"
    }  # fmt: skip
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = ("F32", (5,), b"\0" * 20)
    shutil.copytree(tmp_path / "plain", tmp_path / "more")
    llama.write_safetensors(tmp_path / "more" / "model.safetensors", tensors)
    plain, more = (router_of(tmp_path / name).calculate_strong_win_rates(PROMPTS) for name in ("plain", "more"))
    assert plain.tolist() == more.tolist()


def test_files_that_are_broken(tmp_path):
    folder = broken(tmp_path)
    weights = (folder / "model.safetensors").read_bytes()
    for content in (b"", weights[:100], weights[:-1], struct.pack("<Q", 1 << 60)):
        (folder / "model.safetensors").write_bytes(content)
        with pytest.raises(CheckpointError, match=r"model\.safetensors"):
            router_of(folder)
    (folder / "model.safetensors").write_bytes(weights[:-4] + struct.pack("<f", float("nan")))
    with pytest.raises(CheckpointError, match="NaN"):
        router_of(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(MissingFileError, match=r"model\.safetensors"):
        router_of(folder)
    for content in ("", "[]", "{", "null"):
        (folder / "config.json").write_text(content)
        with pytest.raises(CheckpointError, match=r"config\.json"):
            router_of(folder)
    (folder / "config.json").unlink()
    with pytest.raises(MissingFileError, match=r"config\.json"):
        router_of(folder)


def test_a_bad_row_of_the_embedding_is_found_when_it_is_read(tmp_path):
    folder = broken(tmp_path)
    weights = bytearray((folder / "model.safetensors").read_bytes())
    start = 8 + struct.unpack("<Q", weights[:8])[0]  # the embedding comes first; row 7 has 30 numbers of 4 bytes
    weights[start + 7 * 120 : start + 7 * 120 + 4] = struct.pack("<f", float("inf"))
    (folder / "model.safetensors").write_bytes(weights)
    model = _core.CausalModel(folder, BASE, labels=LABELS)
    model.answer([1000, 6, 8])
    with pytest.raises(CheckpointError, match="row 7"):
        model.answer([1000, 7])


def test_weights_that_overflow_are_an_error_not_a_win_rate(tmp_path):
    folder = broken(tmp_path)
    weights = bytearray((folder / "model.safetensors").read_bytes())
    start = 8 + struct.unpack("<Q", weights[:8])[0]
    head = json.loads(weights[8:start])["model.norm.weight"]["data_offsets"]
    weights[start + head[0] : start + head[1]] = struct.pack("<f", 3e38) * 30
    (folder / "model.safetensors").write_bytes(weights)
    with pytest.raises(CheckpointError, match="expected a finite number"):
        router_of(folder).calculate_strong_win_rate("hello")


@pytest.mark.parametrize("text", ["{other}", "{}", "{0}", "{question!r}", "{question:>10}", "{", "}", "{question.x}"])
def test_classifier_files_with_other_fields(tmp_path, text):
    folder = tmp_path / "c"
    shutil.copytree(GOLDEN / "checkpoint", folder)
    (folder / "classifier_ft_v5.txt").write_text(text)
    with pytest.raises(CheckpointError, match="classifier_ft_v5"):
        router_of(folder)
    (folder / "classifier_ft_v5.txt").write_bytes(b"\xff{question}")
    with pytest.raises(CheckpointError, match="UTF-8"):
        router_of(folder)
    (folder / "classifier_ft_v5.txt").unlink()
    with pytest.raises(MissingFileError, match="classifier_ft_v5"):
        router_of(folder)


TEXT = st.text(max_size=40) | st.text(st.sampled_from("{} \n\r\t\x1c\x85\u00a0\u3000ab[]3"), max_size=20)


@settings(max_examples=300, deadline=None)
@given(system=TEXT, before=TEXT, after=TEXT, question=TEXT)
def test_the_core_writes_prompts_as_python_does(system, before, after, question):
    form = llm_utils.load_prompt_format("meta-llama/Meta-Llama-3-8B")
    braces = str.maketrans({"{": "{{", "}": "}}"})
    lines = "\n".join  # files are read with universal newlines, by both
    system = lines(system.replace("\r\n", "\n").split("\r"))
    classifier = f"{before.translate(braces)}{{question}}{after.translate(braces)}{{question}}"
    classifier = lines(classifier.replace("\r\n", "\n").split("\r"))
    messages = llm_utils.to_openai_api_messages(system, classifier, [question])
    core = _core.CausalPrompt(system, classifier, form.system, form.user)
    assert core.render(question) == form.generate_prompt(messages)


def test_messages_and_formats():
    messages = llm_utils.to_openai_api_messages("s", "<{question}>", ["a", "b", "c"])
    assert [turn["content"] for turn in messages] == ["s", "<a>", "b", "<c>"]
    assert [turn["role"] for turn in messages] == ["system", "user", "assistant", "user"]
    form = PromptFormat(system="S{instruction}", assistant="A{instruction}", trailing_assistant="",
                        user="U{instruction}", is_generation=True, bos="ignored")  # fmt: skip
    before = copy.deepcopy(messages)
    assert form.generate_prompt(messages) == "SsU<a>AbU<c>"
    assert messages == before
    assert form.generate_prompt([{"role": "system", "content": None}, {"role": "user", "content": " a "}]) == "Ua"
    for turns in (
        [{"role": "assistant", "content": "a"}],
        [{"role": "user", "content": None}],
        [{"role": "user", "content": "a"}, {"role": "assistant", "content": None}],
    ):
        with pytest.raises(ValueError, match="expected"):
            form.generate_prompt(turns)
    with pytest.raises(ValueError, match="last turn"):
        PromptFormat(system="{instruction}", assistant="{instruction}", trailing_assistant="",
                     user="{instruction}").generate_prompt([{"role": "user", "content": "a"}])  # fmt: skip
    inside = PromptFormat(system="({instruction})", assistant="{instruction}", trailing_assistant="",
                          user="{system}{instruction}", system_in_user=True, is_generation=True,
                          default_system_message="d")  # fmt: skip
    assert inside.generate_prompt([{"role": "user", "content": "a"}]) == "(d)a"
    for name in ("system", "user", "assistant"):
        fields = dict.fromkeys(("system", "user", "assistant"), "{instruction}") | {name: "none"}
        with pytest.raises(ValueError, match=name):
            PromptFormat(trailing_assistant="", **fields)
    with pytest.raises(ValueError, match="trailing"):
        PromptFormat(system="{instruction}", user="{instruction}", assistant="{instruction}", trailing_assistant="x")


def test_configurations(tmp_path):
    file = tmp_path / "model.yaml"
    file.write_text("model_id: m\nmodel_type: causal\nnum_outputs: 5\nother: 1\n")
    config = llm_utils.load_model_config(file)
    assert config == RouterModelConfig("m", ModelTypeEnum.CAUSAL, 5) and config.special_tokens == []
    for text in ("[]", "model_id: m\n", "model_id: m\nmodel_type: other\nnum_outputs: 5\n"):
        file.write_text(text)
        with pytest.raises(ValueError, match=r"expected|missing"):
            llm_utils.load_model_config(file)
    for changes in ({"num_outputs": 0}, {"num_outputs": "5"}, {"special_tokens": [5]}, {"flash_attention_2": None}):
        with pytest.raises(ValueError, match=next(iter(changes))):
            RouterModelConfig(**{"model_id": "m", "model_type": "causal", "num_outputs": 5} | changes)
    with pytest.raises(KeyError, match="PROMPT_FORMAT_CONFIGS"):
        llm_utils.load_prompt_format("someone/some-model")


def test_labels_and_threshold_must_fit():
    for settings_ in ({"score_threshold": 3}, {"num_outputs": 4}, {"special_tokens": ["[[1]]"]},
                      {"special_tokens": ["a", "b", "c", "d", "e"]}):  # fmt: skip
        with pytest.raises(LabelError, match="expected") as caught:
            router_of(GOLDEN / "checkpoint", **settings_)
        assert isinstance(caught.value, AssertionError)
    with pytest.raises(InvalidValueError, match="precision"):
        router_of(GOLDEN / "checkpoint", precision="f16")
    with pytest.raises(ValueError, match="model_type"):
        router_of(GOLDEN / "checkpoint", model_type="other")


def test_parse_score(router):
    parse = router.router_model.parse_score
    assert [parse(t) for t in ("[[3]]", "a[[2.9]]b[[1]]", "[[[[5]]", "[[x]] [[4]]")] == [3, 2, 5, 4]
    for text in ("", "[[]]", "[3]", "[[a]]"):
        with pytest.raises(LabelError, match="Bad score format"):
            parse(text)


def test_the_answer_must_name_its_label(router):
    one = copy.copy(router.router_model)
    row = {"input_ids": 0, "output_ids": np.array([1012]), "score_logits": np.array([0, 0, 1.0, 0, 0])}
    assert one.postprocess(dict(row))["score_pred"] == 3
    with pytest.raises(AssertionError, match="highest logit"):
        one.postprocess(row | {"score_logits": np.array([0, 2.0, 1, 0, 0])})


def test_overridden_parts_take_part(router, monkeypatch):
    class Always(CausalLLMClassifier):
        def __call__(self, row):
            return {"binary_prob": 0.25}

    one = router_of(GOLDEN / "checkpoint")
    one.router_model.__class__ = Always
    assert one.calculate_strong_win_rate("a") == 0.75
    assert one.calculate_strong_win_rates(["a", "b"]).tolist() == [0.75, 0.75]
    two = router_of(GOLDEN / "checkpoint")
    two.router_model.compute_routing_prob = lambda logits: (0.125, logits)
    labelled = [p for p, r in zip(PROMPTS, router.calculate_strong_win_rates(PROMPTS), strict=True) if r < 1]
    assert two.calculate_strong_win_rates(labelled[:2]).tolist() == [0.875, 0.875]
    two.to_openai_messages = lambda turns: [{"role": "user", "content": "always the same"}]
    assert len(set(two.calculate_strong_win_rates(PROMPTS).tolist())) == 1


def test_the_checkpoint_s_own_tokenizer_stands_in(router):
    with pytest.warns(UserWarning, match="the checkpoint's own stands in"):
        own = CausalLLMRouter(GOLDEN / "checkpoint")
    assert own.router_model.orig_vocab_size == 1010
    expected = router.calculate_strong_win_rates(PROMPTS)
    np.testing.assert_array_equal(own.calculate_strong_win_rates(PROMPTS), expected)
    with pytest.raises(MissingFileError, match="Meta-Llama"):
        CausalLLMRouter(GOLDEN / "checkpoint_padded")  # has none
    with pytest.raises(UnknownNameError, match="prompt format"):
        CausalLLMRouter(GOLDEN / "checkpoint", model_id="someone/else")


def test_a_tokenizer_without_the_labels_cannot_stand_in(tmp_path):
    folder = tmp_path / "c"
    shutil.copytree(GOLDEN / "checkpoint", folder)
    for file in BASE.iterdir():
        shutil.copy(file, folder / file.name)
    with pytest.warns(UserWarning, match="stands in"), pytest.raises(CheckpointError, match="as the last tokens"):
        CausalLLMRouter(folder)


def test_a_base_tokenizer_that_has_the_labels_does_not_grow(router):
    one = CausalLLMRouter(GOLDEN / "checkpoint", model_id=str(GOLDEN / "checkpoint"))
    assert one.router_model.orig_vocab_size == 1010
    assert one.calculate_strong_win_rate(PROMPTS[3]) == router.calculate_strong_win_rate(PROMPTS[3])


def test_tokenizer_members(router):
    tokenizer = llm_utils.get_tokenizer(str(BASE), LABELS)
    assert len(tokenizer) == 1015 == len(router.router_model.tokenizer)
    assert (tokenizer.eos_token, tokenizer.pad_token, tokenizer.eos_token_id) == ("<|end_of_text|>",) * 2 + (1001,)
    ids = tokenizer.encode("a[[3]]")
    assert ids[-1] == 1012 and tokenizer.convert_ids_to_tokens([1012, 5_000]) == ["[[3]]", None]
    assert tokenizer.decode(np.array(ids[1:])) == "a[[3]]"
    assert len(llm_utils.get_tokenizer(str(BASE))) == 1010


def test_pickle_and_names(router, capsys):
    copied = pickle.loads(pickle.dumps(router))
    assert "Loading model checkpoint" not in capsys.readouterr().out
    assert copied.calculate_strong_win_rates(PROMPTS).tolist() == router.calculate_strong_win_rates(PROMPTS).tolist()
    assert copied._unpatched() and copied.router_model.model.shared_tokens == router.router_model.model.shared_tokens
    assert str(router) == "causal_llm" and "checkpoint" in repr(router) and router.NO_PARALLEL
    assert router.router_model.additinal_fields == []
    router_of(GOLDEN / "checkpoint")
    out = capsys.readouterr().out.splitlines()
    assert out[0] == f"Loading model checkpoint from {GOLDEN / 'checkpoint'} ..."
    assert out[1].startswith("Done loading model in ") and out[1].endswith(" seconds.")


async def test_async_is_the_same(router):
    assert await router.acalculate_strong_win_rate(PROMPTS[5]) == router.calculate_strong_win_rate(PROMPTS[5])


def test_a_progress_callback_can_stop_the_work(router):
    def stop(_done):
        raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        router.calculate_strong_win_rates(PROMPTS, stop)
    for bad in ("one text", [1], None):
        with pytest.raises(TypeError):
            router.calculate_strong_win_rates(bad)


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize(
    "call", ["router.calculate_strong_win_rate(text)", "model.answer(ids)", "model.first_logits(ids)"]
)
def test_a_signal_ends_a_long_prompt(call):
    script = f"""
import os, signal, sys, threading
from ferroute.routers.routers import CausalLLMRouter
router = CausalLLMRouter(sys.argv[1], model_id=sys.argv[2])
model, text = router.router_model.model, "word " * 150_000
ids = router.router_model.tokenizer.encode(text)
threading.Timer(0.5, os.kill, (os.getpid(), {signal.SIGINT:d})).start()
try:
    {call}
except KeyboardInterrupt:
    print("interrupted")
"""
    command = [sys.executable, "-c", script, str(GOLDEN / "checkpoint"), str(BASE)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.splitlines()[-1] == "interrupted", done.stderr


def test_a_prompt_beyond_all_bounds_is_an_error(tmp_path):
    folder = broken(tmp_path, model_type="mistral", sliding_window=200)
    one = router_of(folder)
    assert one.router_model.model.longest == 200
    with pytest.raises(InvalidValueError, match="at most 200"):
        one.calculate_strong_win_rate("word " * 300)
    # transformers' own window is 4096; that there is none is written as null.
    config = json.loads((folder / "config.json").read_text())
    del config["sliding_window"]
    (folder / "config.json").write_text(json.dumps(config))
    assert router_of(folder).router_model.model.longest == 4096
    (folder / "config.json").write_text(json.dumps(config | {"sliding_window": None}))
    assert router_of(folder).router_model.model.longest > 4096
    (folder / "config.json").write_text(json.dumps(config | {"sliding_window": 0}))
    with pytest.raises(CheckpointError, match="sliding_window"):
        router_of(folder)
    with pytest.raises(InvalidValueError, match="at least one token"):
        one.router_model.model.answer([])
    with pytest.raises(InvalidValueError, match="rows"):
        one.router_model.model.answer([2000])


def test_a_fork_after_use_still_scores(tmp_path):
    script = """
import os, sys
from ferroute.routers.routers import CausalLLMRouter
router = CausalLLMRouter(sys.argv[1], model_id=sys.argv[2])
rate = router.calculate_strong_win_rate("hello")
child = os.fork()
if child == 0:
    os._exit(0 if router.calculate_strong_win_rate("hello") == rate else 1)
assert os.waitpid(child, 0)[1] == 0
"""
    command = [sys.executable, "-c", script, str(GOLDEN / "checkpoint"), str(BASE)]
    subprocess.run(command, check=True, timeout=60, stdout=subprocess.DEVNULL)


def test_importing_the_router_is_free():
    script = (
        "import sys, ferroute.routers.causal_llm.router, ferroute.routers.causal_llm.model;"
        "bad = {'numpy', 'openai', 'yaml', 'tokenizers', 'huggingface_hub', 'pydantic', 'torch'} & set(sys.modules);"
        "assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_the_format_table_is_llama_3_s():
    assert set(PROMPT_FORMAT_CONFIGS) == {"meta-llama/Meta-Llama-3-8B"}
    form = llm_utils.load_prompt_format("meta-llama/Meta-Llama-3-8B")
    turns = form.generate_prompt_turns([{"role": "system", "content": "s"}, {"role": "user", "content": "u"}])
    assert [turn["role"] for turn in turns] == ["system", "user"]


@pytest.mark.parametrize("cpu", ["avx512_bf16", "avx512", "avx2", "plain"])
def test_every_processor_path_gives_the_golden_answers(cpu):
    """The bits differ between paths, the answers do not; within one path a batch still has the bits of single calls."""
    script = """
import json, sys
from ferroute.routers.routers import CausalLLMRouter
found = {}
for precision in ("f32", "bf16"):
    router = CausalLLMRouter(sys.argv[1], model_id=sys.argv[2], precision=precision)
    prompts = json.loads(sys.stdin.read()) if not found else prompts
    found[precision] = router.calculate_strong_win_rates(prompts).tolist()
    assert found[precision] == [router.calculate_strong_win_rate(prompt) for prompt in prompts]
print(json.dumps(found))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(GOLDEN / "checkpoint"), str(BASE)],
        input=json.dumps(PROMPTS), env=os.environ | {"FERROUTE_CPU": cpu}, check=True, timeout=100,
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    found = json.loads(done.stdout.splitlines()[-1])
    for precision, file, tolerance in (("f32", "outputs_f32.json", 5e-5), ("bf16", "outputs_bf16.json", 0.06)):
        for rate, wanted in zip(found[precision], golden(file), strict=True):
            if precision == "f32" or (wanted["min_top2_gap_until_label"] or 0) >= 0.1:
                assert rate == pytest.approx(wanted["win_rate"], abs=tolerance)


def test_a_checkpoint_in_parts_from_the_hub_s_cache(tmp_path):
    """By their names, as RouteLLM's users give them; the cache of this machine stands where the Hub would be."""

    def repository(name: str) -> Path:
        root = tmp_path / "hub" / f"models--{name.replace('/', '--')}"
        (root / "refs").mkdir(parents=True)
        (root / "refs" / "main").write_text("0" * 40)
        return root / "snapshots" / ("0" * 40)

    llama.checkpoint(repository("routellm/causal_llm_gpt4_augmented"), seed=5, shards=3)
    shutil.copytree(BASE, repository("meta-llama/Meta-Llama-3-8B"))
    script = (
        "from ferroute.controller import Controller, GPT_4_AUGMENTED_CONFIG as config;"
        "router = Controller(['causal_llm'], 'a', 'b').routers['causal_llm'];"
        "print(router.calculate_strong_win_rate('hello'))"
    )
    environment = os.environ | {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], env=environment, cwd=tmp_path, check=True, timeout=100,
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    llama.checkpoint(tmp_path / "same", seed=5)
    assert float(done.stdout.splitlines()[-1]) == router_of(tmp_path / "same").calculate_strong_win_rate("hello")
