"""The BERT classifier beside torch, in one run: XLM-RoBERTa-base with random weights, of the published sizes.

    python benches/bert.py [--peer-python other/venv/bin/python] [--rounds 12] [--folder keep/the/checkpoint/here]

Prints JSON lines. `bert_one`: one sequence of 32, 128 and 512 token ids on one and two threads; with
``--peer-python``, an interpreter with torch and transformers, the same checkpoint and ids are given to transformers in
turns, and the largest difference of the logits is shown. `bert_batch`: 16 texts at once against one by one.
`bert_memory`: resident memory of a process that loads the checkpoint and scores 512 words that differ, and its peak.
Speed does not depend on the values of weights. Compare ratios: absolute times move with the load of the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from common import emit, spread, text_of

if TYPE_CHECKING:
    from collections.abc import Callable

HIDDEN, LAYERS, HEADS, WIDE, WORDS, POSITIONS = 768, 12, 12, 3072, 250_002, 514
TOKENS = (32, 128, 512)

PEER = r"""
import json, os, sys, time
os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
import torch
from transformers import AutoModelForSequenceClassification
model = AutoModelForSequenceClassification.from_pretrained(sys.argv[1], num_labels=3, dtype=torch.float32).eval()
print("ready", flush=True)
for line in sys.stdin:
    threads, ids = json.loads(line)
    torch.set_num_threads(threads)
    ids = torch.tensor([ids])
    with torch.no_grad():
        start = time.perf_counter()
        logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits.numpy()[0]
        seconds = time.perf_counter() - start
    print(json.dumps([seconds, logits.tolist()]), flush=True)
"""

MEMORY = r"""
import re, sys
import numpy as np
from ferroute.routers.bert import BERTRouter
router = BERTRouter(sys.argv[1], threads=2)
router.calculate_strong_win_rate("any text")
router.model([0, *np.random.default_rng(0).integers(5, 250_000, 510).tolist(), 2])
status = open("/proc/self/status").read()
print(*(int(re.search(rf"{key}:\s+(\d+)", status)[1]) // 1024 for key in ("VmRSS", "VmHWM")))
"""


class Peer:
    """transformers in a process of its own."""

    def __init__(self, python: str, folder: Path) -> None:
        command = [python, "-c", PEER, str(folder)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.line() == "ready"

    def ask(self, threads: int, ids: list[int]) -> tuple[float, list[float]]:
        pipe = self.process.stdin
        assert pipe is not None
        pipe.write(json.dumps([threads, ids]) + "\n")
        pipe.flush()
        return json.loads(self.line())

    def line(self) -> str:
        pipe = self.process.stdout
        assert pipe is not None
        return pipe.readline().strip()

    def close(self) -> None:
        self.process.communicate()


def shapes() -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {
        "roberta.embeddings.word_embeddings.weight": (WORDS, HIDDEN),
        "roberta.embeddings.position_embeddings.weight": (POSITIONS, HIDDEN),
        "roberta.embeddings.token_type_embeddings.weight": (1, HIDDEN),
        "roberta.embeddings.LayerNorm.weight": (HIDDEN,),
        "roberta.embeddings.LayerNorm.bias": (HIDDEN,),
    }

    def linear(name: str, outputs: int, inputs: int) -> None:
        found[f"{name}.weight"], found[f"{name}.bias"] = (outputs, inputs), (outputs,)

    for number in range(LAYERS):
        layer = f"roberta.encoder.layer.{number}"
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            linear(f"{layer}.attention.{part}", HIDDEN, HIDDEN)
        linear(f"{layer}.intermediate.dense", WIDE, HIDDEN)
        linear(f"{layer}.output.dense", HIDDEN, WIDE)
        for norm in ("attention.output", "output"):
            found[f"{layer}.{norm}.LayerNorm.weight"] = found[f"{layer}.{norm}.LayerNorm.bias"] = (HIDDEN,)
    linear("classifier.dense", HIDDEN, HIDDEN)
    linear("classifier.out_proj", 3, HIDDEN)
    return found


def write_weights(file: IO[bytes]) -> None:
    import numpy as np

    header, offset = {}, 0
    for name, shape in shapes().items():
        size = 4 * int(np.prod(shape))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little") + text)
    rng = np.random.default_rng(1)
    for name, shape in shapes().items():
        values = rng.standard_normal(shape, dtype=np.float32) * np.float32(0.04)
        file.write((values + ("LayerNorm.weight" in name)).astype("<f4").tobytes())


def write_checkpoint(folder: Path) -> None:
    """Weights, configuration, and a tokenizer with as many made-up words as the table has rows."""
    import numpy as np

    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(2)
    letters = np.array(list("etaoinshrdlucmfwypvbgkjqxz"))
    pieces = [["<s>", 0.0], ["<pad>", 0.0], ["</s>", 0.0], ["<unk>", 0.0]]
    known = {piece for piece, _ in pieces}
    for piece in ["\u2581", *(word + start for start in ("", "\u2581") for word in letters), "."]:
        known.add(piece)
        pieces.append([piece, -12.0])
    while len(pieces) < WORDS - 1:
        piece = "\u2581" * int(rng.random() < 0.5) + "".join(letters[rng.integers(0, 26, rng.integers(2, 9))])
        if piece not in known:
            known.add(piece)
            pieces.append([piece, -float(rng.uniform(8, 15))])
    pieces.append(["<mask>", 0.0])
    special = [(0, "<s>"), (1, "<pad>"), (2, "</s>"), (3, "<unk>"), (WORDS - 1, "<mask>")]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    tokenizer = {
        "version": "1.0",
        "added_tokens": [{"id": number, "content": content, **flags} for number, content in special],
        "normalizer": None,
        "pre_tokenizer": {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [
                {"SpecialToken": {"id": "<s>", "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": "</s>", "type_id": 0}},
            ],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {
                "<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]},
                "</s>": {"id": "</s>", "ids": [2], "tokens": ["</s>"]},
            },
        },
        "decoder": None,
        "model": {"type": "Unigram", "unk_id": 3, "vocab": pieces, "byte_fallback": False},
    }
    settings = {"tokenizer_class": "XLMRobertaTokenizer", "model_max_length": 512}
    config = {
        "architectures": ["XLMRobertaForSequenceClassification"],
        "model_type": "xlm-roberta",
        "hidden_size": HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "intermediate_size": WIDE,
        "vocab_size": WORDS,
        "max_position_embeddings": POSITIONS,
        "type_vocab_size": 1,
        "pad_token_id": 1,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-5,
        "id2label": {str(label): f"LABEL_{label}" for label in range(3)},
    }
    for name, content in (("tokenizer", tokenizer), ("tokenizer_config", settings), ("config", config)):
        (folder / f"{name}.json").write_text(json.dumps(content))
    with (folder / "model.safetensors").open("wb") as file:
        write_weights(file)


def one_by_one(router: Any, texts: list[str]) -> None:
    for text in texts:
        router.calculate_strong_win_rate(text)


def seconds_of(work: Callable[..., object], *given: object) -> float:
    start = time.perf_counter()
    work(*given)
    return time.perf_counter() - start


def milliseconds(figures: list[float]) -> dict[str, float]:
    return spread([figure * 1000 for figure in figures])


def bench_one(router: Any, peer: Peer | None, rounds: int) -> None:
    import numpy as np

    for threads in (1, 2):
        for tokens in TOKENS:
            ids = [0, *np.random.default_rng(tokens).integers(5, WORDS - 1, tokens - 2).tolist(), 2]
            ours: list[float] = []
            theirs: list[float] = []
            difference = 0.0
            for turn in range(rounds + 2):
                start = time.perf_counter()
                logits = router.model(ids, threads=threads)
                own = time.perf_counter() - start
                other, expected = peer.ask(threads, ids) if peer else (0.0, logits)
                difference = max(difference, float(np.abs(logits - np.array(expected)).max()))
                if turn >= 2:
                    ours.append(own)
                    theirs.append(other)
            figures: dict[str, Any] = {"tokens": tokens, "threads": threads, "ms": milliseconds(ours)}
            figures["gflop_per_s"] = round(2 * 85e6 * tokens / min(ours) / 1e9)
            if peer:
                pairs = sorted(b / a for a, b in zip(ours, theirs, strict=True))
                figures |= {
                    "torch_ms": milliseconds(theirs),
                    "times_torch": round(pairs[len(pairs) // 2], 2),
                    "times_torch_at_best": round(min(theirs) / min(ours), 2),
                    "largest_difference_of_logits": difference,
                }
            emit("bert_one", **figures)


def bench_batch(router: Any, rounds: int) -> None:
    for threads in (1, 2):
        router.threads = threads
        for name, words in (("short", [6] * 16), ("middle", [25] * 16), ("mixed", [3 + 5 * i for i in range(16)])):
            texts = [text_of(count) for count in words]
            together: list[float] = []
            alone: list[float] = []
            for _ in range(rounds):
                together.append(seconds_of(router.calculate_strong_win_rates, texts))
                alone.append(seconds_of(one_by_one, router, texts))
            emit(
                "bert_batch",
                texts=name,
                tokens=sum(len(router.tokenizer(text)) for text in texts),
                threads=threads,
                together_ms=milliseconds(together),
                one_by_one_ms=milliseconds(alone),
                times_one_by_one=round(min(alone) / min(together), 2),
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--peer-python", help="interpreter with torch and transformers")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--folder", type=Path, help="where the checkpoint of 1.1 GB is kept; default: nowhere")
    args = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary) / "checkpoint"
        if not (folder / "model.safetensors").is_file():
            write_checkpoint(folder)
        done = subprocess.run([sys.executable, "-c", MEMORY, str(folder)], capture_output=True, text=True, check=True)
        resident, peak = map(int, done.stdout.split())
        emit("bert_memory", resident_mib=resident, peak_mib=peak)

        from ferroute.routers.bert import BERTRouter

        start = time.perf_counter()
        router = BERTRouter(folder)
        emit("bert_load", seconds=round(time.perf_counter() - start, 2))
        peer = Peer(args.peer_python, folder) if args.peer_python else None
        bench_one(router, peer, args.rounds)
        if peer:
            peer.close()
        bench_batch(router, max(3, args.rounds // 3))


if __name__ == "__main__":
    main()
