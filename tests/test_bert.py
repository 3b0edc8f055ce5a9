"""The BERT classifier against the original's numbers, a slow reference, and checkpoints that are wrong."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertcheckpoints import GOLDENS, random_tensors, reference, sizes, win_rate, write_checkpoint, write_safetensors
from ferroute.controller import Controller
from ferroute.errors import (
    CheckpointError,
    InvalidTypeError,
    InvalidValueError,
    MissingFileError,
    NotBuiltError,
    UnreadableFileError,
)
from ferroute.routers.routers import BERTRouter

VARIANTS = ["xlmr", "wordpiece"]
PROMPTS: list[str] = json.loads((GOLDENS / "prompts.json").read_text())


@pytest.fixture(scope="module")
def routers() -> dict[str, BERTRouter]:
    return {variant: BERTRouter(str(GOLDENS / variant / "checkpoint")) for variant in VARIANTS}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A good small checkpoint for the tests to spoil."""
    config = sizes(num_hidden_layers=2)
    return write_checkpoint(tmp_path / "checkpoint", config, random_tensors(config, 3, 5))


def change(folder: Path, **entries: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def spoil(folder: Path, change: dict[str, np.ndarray | None], **entries: Any) -> None:
    """Writes the weights again with some tensors replaced, added or (None) left out."""
    config = json.loads((folder / "config.json").read_text())
    tensors: dict[str, Any] = random_tensors(config, 3, 5) | change
    write_safetensors(folder / "model.safetensors", {k: v for k, v in tensors.items() if v is not None}, **entries)


# --- the original's numbers


@pytest.mark.parametrize("variant", VARIANTS)
def test_goldens(variant: str, routers: dict[str, BERTRouter]):
    here, router = GOLDENS / variant, routers[variant]
    assert [router.tokenizer(prompt) for prompt in PROMPTS] == json.loads((here / "token_ids.json").read_text())
    logits, rates = router.logits(PROMPTS), router.calculate_strong_win_rates(PROMPTS)
    assert logits.dtype == np.float32
    assert rates.dtype == np.float64
    for name in ("logits.npy", "logits_f64.npy"):
        np.testing.assert_allclose(logits, np.load(here / name), rtol=0, atol=1e-4)
    for name in ("win_rates.npy", "win_rates_f64.npy"):
        np.testing.assert_allclose(rates, np.load(here / name), rtol=0, atol=2e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_alone_and_together_are_the_same_bits(variant: str, routers: dict[str, BERTRouter]):
    router = routers[variant]
    done: list[int] = []
    prompts = PROMPTS * 2
    together = router.calculate_strong_win_rates(prompts, progress=done.append)
    assert sum(done) == len(prompts)
    alone = [router.calculate_strong_win_rate(prompt) for prompt in prompts]
    assert together.tolist() == alone
    assert all(type(rate) is float and 0 <= rate <= 1 for rate in alone)
    backwards = router.calculate_strong_win_rates(prompts[::-1])
    assert backwards[::-1].tolist() == alone
    logits = router.logits(PROMPTS)
    assert all(
        (router.model(router.tokenizer(prompt)) == row).all() for prompt, row in zip(PROMPTS, logits, strict=True)
    )


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_any_number_of_threads_gives_the_same_bits(threads: int, routers: dict[str, BERTRouter]):
    folder = GOLDENS / "xlmr" / "checkpoint"
    rates = BERTRouter(folder, threads=threads).calculate_strong_win_rates(PROMPTS)
    assert rates.tolist() == routers["xlmr"].calculate_strong_win_rates(PROMPTS).tolist()


def test_the_controller_routes_with_it(monkeypatch: pytest.MonkeyPatch):
    client = Controller(
        ["bert"], "strong", "weak", config={"bert": {"checkpoint_path": str(GOLDENS / "xlmr" / "checkpoint")}}
    )
    rates = np.load(GOLDENS / "xlmr" / "win_rates.npy")
    for prompt, rate in zip(PROMPTS, rates, strict=True):
        expected = "strong" if rate >= 0.5 else "weak"
        assert client.route(prompt, "bert", 0.5) == expected
    np.testing.assert_allclose(client.batch_calculate_win_rate(PROMPTS, "bert"), rates, atol=2e-5)


# --- other checkpoints


@pytest.mark.parametrize(
    ("model_type", "labels", "changed"),
    [
        ("bert", 3, {}),
        ("bert", 5, {"hidden_size": 7, "num_attention_heads": 1, "intermediate_size": 1}),
        ("bert", 3, {"num_hidden_layers": 1, "hidden_act": "relu", "pad_token_id": None}),
        ("bert", 3, {"num_hidden_layers": 0}),
        ("bert", 4, {"hidden_size": 96, "num_attention_heads": 2, "intermediate_size": 130, "hidden_act": "gelu_new"}),
        ("roberta", 3, {"hidden_act": "silu"}),
        ("xlm-roberta", 3, {"hidden_size": 72, "num_attention_heads": 3}),
        ("xlm-roberta", 3, {"pad_token_id": 3}),
    ],
)
def test_random_checkpoints_against_the_definition(
    tmp_path: Path, model_type: str, labels: int, changed: dict[str, Any]
):
    config = sizes(model_type, **changed)
    tensors = random_tensors(config, labels, seed=len(str(changed)))
    router = BERTRouter(write_checkpoint(tmp_path, config, tensors), num_labels=labels)
    logits, rates = router.logits(PROMPTS), router.calculate_strong_win_rates(PROMPTS)
    assert logits.shape == (len(PROMPTS), labels)
    for row, prompt in enumerate(PROMPTS):
        expected = reference(config, tensors, router.tokenizer(prompt))
        np.testing.assert_allclose(logits[row], expected, rtol=0, atol=1e-4)
        assert rates[row] == pytest.approx(win_rate(expected), abs=2e-5)


def test_padding_in_the_text_of_roberta_has_the_position_of_padding(tmp_path: Path):
    config = sizes("xlm-roberta")
    tensors = random_tensors(config, 3, 8)
    router = BERTRouter(write_checkpoint(tmp_path, config, tensors))
    ids = router.tokenizer("one <pad> two <pad><pad> three")
    assert ids.count(1) == 3
    np.testing.assert_allclose(router.model(ids), reference(config, tensors, ids), atol=1e-4)
    ones = [0, *[1] * 85, 2]
    np.testing.assert_allclose(router.model(ones), reference(config, tensors, ones), atol=1e-4)


def test_token_types(tmp_path: Path):
    config = sizes()
    tensors = random_tensors(config, 3, 9)
    folder = write_checkpoint(tmp_path, config, tensors)
    router = BERTRouter(folder)
    ids, types = [2, 10, 20, 3, 30, 3], [0, 0, 0, 0, 1, 1]
    expected = reference(config, tensors, ids, types)
    np.testing.assert_allclose(router.model(ids, types), expected, atol=1e-4)
    # A tokenizer whose template gives the text another type.
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    for piece in tokenizer["post_processor"]["single"]:
        next(iter(piece.values()))["type_id"] = 1
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    ids = BERTRouter(folder).tokenizer("hello there")
    np.testing.assert_allclose(
        BERTRouter(folder).logits(["hello there"])[0], reference(config, tensors, ids, [1] * len(ids)), atol=1e-4
    )


@pytest.mark.parametrize("dtype", ["F16", "BF16", "F64"])
def test_other_types_of_numbers_are_widened(tmp_path: Path, dtype: str):
    config = sizes("roberta")
    tensors = random_tensors(config, 3, 10)
    router = BERTRouter(write_checkpoint(tmp_path, config, tensors, dtype=dtype))
    if dtype == "F16":
        tensors = {name: values.astype(np.float16) for name, values in tensors.items()}
    if dtype == "BF16":
        cut = {name: values.view(np.uint32) & np.uint32(0xFFFF0000) for name, values in tensors.items()}
        tensors = {name: values.view(np.float32) for name, values in cut.items()}
    for prompt in PROMPTS[:10]:
        expected = reference(config, tensors, router.tokenizer(prompt))
        np.testing.assert_allclose(router.logits([prompt])[0], expected, atol=1e-4)


def test_harmless_tensors_and_old_names_of_norms(tmp_path: Path):
    config = sizes()
    tensors = random_tensors(config, 3, 5)
    folder = write_checkpoint(tmp_path, config, tensors)
    expected = BERTRouter(folder).logits(["a b"])
    extra = {
        "bert.embeddings.position_ids": np.zeros((1, 90)),
        "cls.predictions.bias": np.zeros(1200),
    }
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): values
        for name, values in tensors.items()
    }
    write_safetensors(folder / "model.safetensors", old | extra)
    assert (BERTRouter(folder).logits(["a b"]) == expected).all()


def test_weights_in_several_files(checkpoint: Path):
    expected = BERTRouter(checkpoint).logits(["a b"])
    tensors = random_tensors(json.loads((checkpoint / "config.json").read_text()), 3, 5)
    names = sorted(tensors)
    (checkpoint / "model.safetensors").unlink()
    places = {}
    for number, part in enumerate([names[:7], names[7:]]):
        file = f"model-{number}.safetensors"
        write_safetensors(checkpoint / file, {name: tensors[name] for name in part})
        places |= dict.fromkeys(part, file)
    (checkpoint / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    assert (BERTRouter(checkpoint).logits(["a b"]) == expected).all()


def test_weights_in_several_files_from_the_hub_s_cache(checkpoint: Path, tmp_path: Path):
    expected = BERTRouter(checkpoint).calculate_strong_win_rate("a b")
    config = json.loads((checkpoint / "config.json").read_text())
    tensors = random_tensors(config, 3, 5)
    (checkpoint / "model.safetensors").unlink()
    places = {name: f"part-{number % 2}.safetensors" for number, name in enumerate(tensors)}
    for file in set(places.values()):
        write_safetensors(checkpoint / file, {name: tensors[name] for name in tensors if places[name] == file})
    index = checkpoint / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": places}))
    root = tmp_path / "hub" / "models--someone--bert"
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text("0" * 40)
    (root / "snapshots").mkdir()
    folder = checkpoint.rename(root / "snapshots" / ("0" * 40))
    code = (
        "from ferroute.routers.bert import BERTRouter;"
        "print(BERTRouter('someone/bert').calculate_strong_win_rate('a b'))"
    )

    def run() -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
        return subprocess.run(
            [sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
        )

    done = run()
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == expected
    index = folder / index.name
    for bad in ("[]", "{", '{"weight_map": {"a": "../part-0.safetensors"}}', '{"weight_map": {"a": 5}}'):
        index.write_text(bad)
        assert "CheckpointError" in run().stderr, bad
    index.unlink()
    assert "'model.safetensors' of 'someone/bert'" in run().stderr


# --- files beside tokenizer.json

# Ids that transformers 4.44.0 (RouteLLM's version) gave for folders that differ from a golden tokenizer as listed.
CASES: dict[str, Any] = json.loads((Path(__file__).parent / "tokenizer_cases.json").read_text())


@pytest.mark.parametrize("case", CASES["cases"], ids=lambda case: case["name"])
def test_tokenizers_are_what_transformers_makes_of_a_folder(case: dict[str, Any], tmp_path: Path):
    kind = "bert" if case["model_type"] == "llama" else case["model_type"]
    config = sizes(kind, hidden_size=1, num_attention_heads=1, intermediate_size=1, num_hidden_layers=0)
    write_checkpoint(tmp_path, config, random_tensors(config, 3, 1))
    tokenizer = json.loads((GOLDENS.parent / case["base"] / "tokenizer.json").read_text()) | case["changes"]
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer))
    (tmp_path / "tokenizer_config.json").unlink()
    for name in ("tokenizer_config", "special_tokens_map"):
        if case[name] is not None:
            (tmp_path / f"{name}.json").write_text(json.dumps(case[name]))
    tokenizer = BERTRouter(tmp_path).tokenizer
    assert len(tokenizer) == case["length"]
    assert [tokenizer(text) for text in CASES["texts"]] == case["ids"]


# --- lengths


def test_what_the_tokenizer_does_not_cut_may_not_be_longer_than_the_positions(tmp_path: Path):
    for number, model_type in enumerate(["bert", "xlm-roberta"]):
        config = sizes(model_type)
        folder = tmp_path / str(number)
        for max_length in (None, 1e30, 500):
            write_checkpoint(folder, config, random_tensors(config, 3, 1), max_length=max_length)
            router = BERTRouter(folder)
            most = 90 if model_type == "bert" else 88
            assert f"at most {most} tokens" in repr(router)
            word = next(
                word for word in ["a", "b", "c", "d", "e", "the"] if len(router.tokenizer(f"{word} {word}")) == 4
            )
            fits, too_long = " ".join([word] * (most - 2)), " ".join([word] * (most - 1))
            assert 0 <= router.calculate_strong_win_rate(fits) <= 1
            with pytest.raises(InvalidValueError, match=f"{most + 1} tokens, .* takes {most}: `model_max_length`"):
                router.calculate_strong_win_rate(too_long)
            with pytest.raises(InvalidValueError, match="text 2: "):
                router.calculate_strong_win_rates([fits, "short", too_long])


def test_ids_are_checked(routers: dict[str, BERTRouter]):
    model = routers["wordpiece"].model
    for ids in ([], [1200], [2] * 65):
        with pytest.raises(InvalidValueError):
            model(ids)
    with pytest.raises(InvalidValueError, match="token type 2"):
        model([2, 3], [0, 2])
    with pytest.raises(InvalidValueError, match="one token type for each"):
        model([2, 3], [0])
    with pytest.raises((OverflowError, TypeError)):
        model([-1])


def test_a_tokenizer_with_more_tokens_than_the_model(checkpoint: Path):
    settings = json.loads((checkpoint / "tokenizer_config.json").read_text())
    settings["additional_special_tokens"] = ["<new>"]
    (checkpoint / "tokenizer_config.json").write_text(json.dumps(settings))
    router = BERTRouter(checkpoint)
    assert router.tokenizer("<new>")[1] == 1200
    with pytest.raises(InvalidValueError, match="id 1200"):
        router.calculate_strong_win_rate("a <new>")


# --- the face


def test_no_prompts(routers: dict[str, BERTRouter]):
    for router in routers.values():
        assert router.calculate_strong_win_rates([]).shape == (0,)
        assert router.logits([]).shape == (0, 3)


def test_bad_prompts(routers: dict[str, BERTRouter]):
    router: Any = routers["xlmr"]
    for bad in (None, 3, b"x", ["a"]):
        with pytest.raises(InvalidTypeError):
            router.calculate_strong_win_rate(bad)
    with pytest.raises(InvalidTypeError, match="single string"):
        router.calculate_strong_win_rates("text")
    with pytest.raises(InvalidTypeError, match="prompt 1"):
        router.calculate_strong_win_rates(["a", None])


def test_lone_surrogates_are_replacement_characters(routers: dict[str, BERTRouter]):
    for router in routers.values():
        assert router.calculate_strong_win_rate("a\ud800b") == router.calculate_strong_win_rate("a\ufffdb")


@pytest.mark.parametrize(
    "text", ["", " ", "\0", "\n" * 5000, "a" * 100_000, "\u200d" * 300, "𒐫" * 200, "<s></s><mask>"]
)
def test_odd_prompts(text: str, routers: dict[str, BERTRouter]):
    for router in routers.values():
        assert 0 <= router.calculate_strong_win_rate(text) <= 1


def test_async_twin_leaves_the_loop_free(routers: dict[str, BERTRouter]):
    router = routers["xlmr"]

    async def both() -> list[float]:
        return await asyncio.gather(*(router.acalculate_strong_win_rate(prompt) for prompt in PROMPTS[:8]))

    assert asyncio.run(both()) == router.calculate_strong_win_rates(PROMPTS[:8]).tolist()


def test_many_threads_at_once(routers: dict[str, BERTRouter]):
    router = routers["wordpiece"]
    expected = router.calculate_strong_win_rates(PROMPTS).tolist()
    results: list[list[float]] = []
    crowd = [
        threading.Thread(target=lambda: results.append(router.calculate_strong_win_rates(PROMPTS).tolist()))
        for _ in range(6)
    ]
    for one in crowd:
        one.start()
    for one in crowd:
        one.join()
    assert results == [expected] * 6


def test_pickle_and_repr(routers: dict[str, BERTRouter]):
    router = routers["wordpiece"]
    again = pickle.loads(pickle.dumps(router))
    assert again.calculate_strong_win_rates(PROMPTS).tolist() == router.calculate_strong_win_rates(PROMPTS).tolist()
    assert len(pickle.dumps(router)) < 1000
    assert "bert, 2 layers, hidden size 32, 3 labels, at most 64 tokens" in repr(router)
    assert repr(router.model) == "<BERTModel bert, 2 layers, hidden size 32, 4 heads, 3 labels>"
    assert repr(router.tokenizer) == "<BERTTokenizer 1,200 tokens, model_max_length 64>"
    assert str(router) == "bert"


def test_small_faces(routers: dict[str, BERTRouter]):
    router = routers["wordpiece"]
    ids = router.tokenizer("[MASK]")
    assert router.tokenizer.decode(ids) == "[CLS] [MASK] [SEP]"
    assert [router.tokenizer.convert_tokens_to_ids(token) for token in ("[CLS]", "no such token")] == [ids[0], None]
    assert router.model.num_labels == 3
    assert router.model(ids).shape == (3,)


def test_an_override_is_honoured():
    class Half(BERTRouter):
        def calculate_strong_win_rate(self, prompt: str) -> float:
            return super().calculate_strong_win_rate(prompt) / 2

    folder = GOLDENS / "wordpiece" / "checkpoint"
    halves, wholes = (cls(folder).calculate_strong_win_rates(PROMPTS[:5]) for cls in (Half, BERTRouter))
    assert (halves * 2 == wholes).all()


def test_progress_may_raise(routers: dict[str, BERTRouter]):
    def stop(_done: int) -> None:
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        routers["xlmr"].calculate_strong_win_rates(PROMPTS, progress=stop)
    assert routers["xlmr"].calculate_strong_win_rates(PROMPTS).shape == (40,)


@pytest.mark.skipif(not hasattr(signal, "SIGINT") or os.name == "nt", reason="signals of POSIX")
def test_a_signal_ends_a_batch():
    code = f"""
import os, signal, threading
from ferroute.routers.bert import BERTRouter
router = BERTRouter({str(GOLDENS / "xlmr" / "checkpoint")!r})
threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
try:
    router.calculate_strong_win_rates(["word " * 600] * 200_000)
except KeyboardInterrupt:
    print("interrupted")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "interrupted\n", done.stderr


def test_importing_costs_nothing():
    code = (
        "import sys, ferroute.routers.bert; "
        "assert not {'numpy', 'pandas', 'huggingface_hub', 'tokenizers', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is asked of Linux")
def test_words_take_no_memory(tmp_path: Path):
    """A table of 256 MB, and a tokenizer of 200,000 pieces that the tokenizers crate holds in 200 MB."""
    config = sizes("xlm-roberta", hidden_size=320, vocab_size=200_000, num_hidden_layers=1)
    tensors = random_tensors(config | {"vocab_size": 1}, 3, 1)
    tensors["roberta.embeddings.word_embeddings.weight"] = np.zeros((200_000, 320), dtype=np.float32)
    folder = write_checkpoint(tmp_path, config, tensors)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    vocab = tokenizer["model"]["vocab"]
    letters = np.random.default_rng(3).integers(97, 123, 6 * 198_000, dtype=np.uint8).tobytes().decode()
    vocab += [[f"{number:x}"[::-1] + letters[6 * number : 6 * number + 6], -20.0] for number in range(198_000)]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    code = f"""
import re
from ferroute.routers.bert import BERTRouter
def resident():
    return int(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read())[1]) // 1024
before = resident()
router = BERTRouter({str(folder)!r})
router.calculate_strong_win_rate("hello there")
print(resident() - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 60, f"{done.stdout} MiB more"


# --- what does not fit


@pytest.mark.parametrize(
    ("entries", "error", "named"),
    [
        ({"num_hidden_layers": 10**9}, CheckpointError, r"encoder\.layer\.2\."),
        ({"num_hidden_layers": 1}, CheckpointError, r"unexpected tensor `bert\.encoder\.layer\.1.*and 15 more"),
        ({"num_attention_heads": 4}, CheckpointError, "30 and 4"),
        ({"num_attention_heads": 0}, CheckpointError, "30 and 0"),
        ({"hidden_size": 10**18}, CheckpointError, "hidden_size=1000000000000000000"),
        ({"hidden_size": 0}, CheckpointError, "0 and 5"),
        ({"intermediate_size": 2**63}, CheckpointError, "intermediate"),
        ({"intermediate_size": 10**30}, CheckpointError, "config.json"),
        ({"vocab_size": 1199}, CheckpointError, "vocab_size=1199"),
        ({"max_position_embeddings": 91}, CheckpointError, "max_position_embeddings=91"),
        ({"layer_norm_eps": -1}, CheckpointError, "layer_norm_eps"),
        ({"hidden_act": "mish"}, NotBuiltError, "mish"),
        ({"position_embedding_type": "relative_key"}, NotBuiltError, "relative_key"),
        ({"model_type": "deberta-v2"}, NotBuiltError, "deberta-v2"),
        ({"model_type": "roberta", "pad_token_id": 90}, CheckpointError, "pad_token_id"),
        ({"model_type": "roberta", "pad_token_id": 89}, CheckpointError, "pad_token_id"),
        ({"pad_token_id": -1}, CheckpointError, "pad_token_id"),
        ({"layer_norm_eps": None}, CheckpointError, "layer_norm_eps"),
        ({"model_type": "roberta"}, CheckpointError, r"roberta\.embeddings\.word_embeddings\.weight"),
        ({"is_decoder": True}, NotBuiltError, "is_decoder"),
    ],
)
def test_a_config_that_does_not_fit(checkpoint: Path, entries: dict[str, Any], error: type[Exception], named: str):
    change(checkpoint, **entries)
    with pytest.raises(error, match=named):
        BERTRouter(checkpoint)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a":' * 100_000, "[" * 100_000, "null", '"\ud800"'])
@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json", "special_tokens_map.json", "tokenizer.json"])
def test_broken_json(checkpoint: Path, file: str, text: str):
    if file == "special_tokens_map.json":
        settings = json.loads((checkpoint / "tokenizer_config.json").read_text())
        del settings["added_tokens_decoder"]
        (checkpoint / "tokenizer_config.json").write_text(json.dumps(settings))
    (checkpoint / file).write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises((CheckpointError, UnreadableFileError), match=file):
        BERTRouter(checkpoint)


def test_a_tokenizer_that_would_fill_the_memory(checkpoint: Path):
    path = checkpoint / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    empty = {"type": "Replace", "pattern": {"String": ""}, "content": "xx"}
    double = {"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}
    for normalizer, named in [
        (empty, "expected a pattern"),
        ({"type": "Sequence", "normalizers": [double] * 40}, "times longer"),
        ({"type": "Prepend", "prepend": "a" * 1000}, "64 bytes"),
    ]:
        path.write_text(json.dumps(tokenizer | {"normalizer": normalizer}))
        with pytest.raises(CheckpointError, match=named):
            BERTRouter(checkpoint)


def test_tensors_that_do_not_fit(checkpoint: Path):
    query, head = "bert.encoder.layer.1.attention.self.query", "classifier"
    nan = np.zeros((30, 30))
    nan[3, 4] = np.nan
    for change, named in [
        ({f"{query}.weight": None}, rf"`{query}\.weight` of shape .* is missing"),
        ({f"{head}.bias": None}, r"`classifier\.bias`"),
        ({"bert.pooler.dense.weight": None}, r"pooler"),
        ({f"{query}.weight": np.zeros((30, 29))}, r"shape \[30, 29\]"),
        ({f"{query}.bias": np.zeros((30, 1))}, r"shape \[30, 1\]"),
        ({f"{query}.weight": nan}, r"`bert\.encoder\.layer\.1\.attention\.self\.query\.weight`.*\[3, 4\]"),
        ({f"{head}.bias": np.array([0, np.inf, 0])}, r"`classifier\.bias`"),
        ({"bert.odd": np.zeros(1)}, r"unexpected tensor `bert\.odd`"),
    ]:
        spoil(checkpoint, change)
        with pytest.raises(CheckpointError, match=named):
            BERTRouter(checkpoint)


def test_a_word_that_is_not_a_number_is_found_when_it_is_met(checkpoint: Path):
    config = json.loads((checkpoint / "config.json").read_text())
    name = "bert.embeddings.word_embeddings.weight"
    table = random_tensors(config, 3, 5)[name]
    table[BERTRouter(checkpoint).tokenizer("hello")[1]] = np.nan
    spoil(checkpoint, {name: table})
    router = BERTRouter(checkpoint)
    assert 0 <= router.calculate_strong_win_rate("") <= 1
    with pytest.raises(CheckpointError, match="word_embeddings"):
        router.calculate_strong_win_rate("hello")


def test_weights_whose_result_overflows(checkpoint: Path):
    spoil(
        checkpoint, {"bert.pooler.dense.weight": np.full((30, 30), 3e38), "classifier.weight": np.full((3, 30), 3e38)}
    )
    with pytest.raises(CheckpointError, match="too large"):
        BERTRouter(checkpoint).calculate_strong_win_rate("hello")


def test_another_number_of_labels(checkpoint: Path):
    with pytest.raises(CheckpointError, match=r"num_labels=4 was asked for, the checkpoint has num_labels=3"):
        BERTRouter(checkpoint, num_labels=4)
    for few in (1, 2):
        with pytest.raises(InvalidValueError, match="at least 3"):
            BERTRouter(checkpoint, num_labels=few)
    for bad in (0, -1):
        with pytest.raises(InvalidValueError, match="num_labels"):
            BERTRouter(checkpoint, num_labels=bad)


def test_cut_files(checkpoint: Path):
    weights = (checkpoint / "model.safetensors").read_bytes()
    for length in (0, 7, 8, 100, len(weights) // 2, len(weights) - 1):
        (checkpoint / "model.safetensors").write_bytes(weights[:length])
        with pytest.raises((CheckpointError, UnreadableFileError)):
            BERTRouter(checkpoint)


def test_what_is_missing_is_named(checkpoint: Path, tmp_path: Path):
    with pytest.raises(MissingFileError, match="no file or folder"):
        BERTRouter(tmp_path / "none")
    for file in ("config.json", "model.safetensors", "tokenizer.json"):
        kept = (checkpoint / file).read_bytes()
        (checkpoint / file).unlink()
        with pytest.raises(MissingFileError, match=file):
            BERTRouter(checkpoint)
        (checkpoint / file).write_bytes(kept)
    (checkpoint / "model.safetensors").rename(checkpoint / "pytorch_model.bin")
    with pytest.raises(MissingFileError, match="save_file"):
        BERTRouter(checkpoint)


def test_a_slow_tokenizer_gives_the_command(checkpoint: Path):
    (checkpoint / "tokenizer.json").unlink()
    (checkpoint / "sentencepiece.bpe.model").touch()
    with pytest.raises(MissingFileError, match=r"sentencepiece\.bpe\.model.*save_pretrained"):
        BERTRouter(checkpoint)


def test_a_name_of_the_hub_is_looked_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    with pytest.raises(MissingFileError, match=r"routellm/bert_gpt4_augmented"):
        BERTRouter("routellm/bert_gpt4_augmented")
    shutil.copytree(GOLDENS / "xlmr" / "checkpoint", "routellm/bert_gpt4_augmented")
    assert 0 <= BERTRouter("routellm/bert_gpt4_augmented").calculate_strong_win_rate("a") <= 1
