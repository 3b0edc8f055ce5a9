"""Random checkpoints of BERT's family, and a slow reference for them in float64."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

GOLDENS = Path(__file__).parent / "goldens" / "bert"
VOCABULARY = {"bert": 1200, "roberta": 1202, "xlm-roberta": 1202}


def write_safetensors(path: Path, tensors: dict[str, np.ndarray], dtype: str = "F32") -> None:
    """The file format, written by hand: a header in JSON, then the numbers."""
    header, blocks, offset = {}, [], 0
    for name, values in tensors.items():
        block = numbers(values, dtype)
        header[name] = {"dtype": dtype, "shape": list(values.shape), "data_offsets": [offset, offset + len(block)]}
        blocks.append(block)
        offset += len(block)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(blocks))


def numbers(values: np.ndarray, dtype: str) -> bytes:
    if dtype == "BF16":
        return (np.ascontiguousarray(values, dtype="<f4").view("<u4") >> 16).astype("<u2").tobytes()
    return values.astype({"F32": "<f4", "F16": "<f2", "F64": "<f8"}[dtype]).tobytes()


def sizes(model_type: str = "bert", **changed: Any) -> dict[str, Any]:
    """A `config.json` of odd sizes."""
    return {
        "model_type": model_type,
        "hidden_size": 30,
        "num_hidden_layers": 3,
        "num_attention_heads": 5,
        "intermediate_size": 53,
        "vocab_size": VOCABULARY[model_type],
        "max_position_embeddings": 90,
        "type_vocab_size": 2 if model_type == "bert" else 1,
        "pad_token_id": 0 if model_type == "bert" else 1,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12 if model_type == "bert" else 1e-5,
        **changed,
    }


def random_tensors(config: dict[str, Any], labels: int, seed: int) -> dict[str, np.ndarray]:
    """Weights under the names of Hugging Face, large enough for every part to show in the logits."""
    rng = np.random.default_rng(seed)
    hidden, wide = config["hidden_size"], config["intermediate_size"]
    root = "bert" if config["model_type"] == "bert" else "roberta"
    tensors: dict[str, np.ndarray] = {}

    def linear(name: str, outputs: int, inputs: int) -> None:
        tensors[f"{name}.weight"] = rng.normal(0, 1.6 / np.sqrt(inputs), (outputs, inputs))
        tensors[f"{name}.bias"] = rng.normal(0, 0.2, outputs)

    def norm(name: str) -> None:
        tensors[f"{name}.weight"] = rng.normal(1, 0.2, hidden)
        tensors[f"{name}.bias"] = rng.normal(0, 0.2, hidden)

    for table, rows in [
        ("word", config["vocab_size"]),
        ("position", config["max_position_embeddings"]),
        ("token_type", config["type_vocab_size"]),
    ]:
        tensors[f"{root}.embeddings.{table}_embeddings.weight"] = rng.normal(0, 1, (rows, hidden))
    norm(f"{root}.embeddings.LayerNorm")
    for number in range(config["num_hidden_layers"]):
        layer = f"{root}.encoder.layer.{number}"
        for part in ("query", "key", "value"):
            linear(f"{layer}.attention.self.{part}", hidden, hidden)
        linear(f"{layer}.attention.output.dense", hidden, hidden)
        norm(f"{layer}.attention.output.LayerNorm")
        linear(f"{layer}.intermediate.dense", wide, hidden)
        linear(f"{layer}.output.dense", hidden, wide)
        norm(f"{layer}.output.LayerNorm")
    linear("bert.pooler.dense" if root == "bert" else "classifier.dense", hidden, hidden)
    linear("classifier" if root == "bert" else "classifier.out_proj", labels, hidden)
    return {name: values.astype(np.float32) for name, values in tensors.items()}


def write_checkpoint(
    folder: Path,
    config: dict[str, Any],
    tensors: dict[str, np.ndarray],
    *,
    dtype: str = "F32",
    max_length: float | None = 80,
) -> Path:
    """A folder with these weights and a golden tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    write_safetensors(folder / "model.safetensors", tensors, dtype)
    here = GOLDENS / ("wordpiece" if config["model_type"] == "bert" else "xlmr") / "checkpoint"
    shutil.copy(here / "tokenizer.json", folder)
    settings = json.loads((here / "tokenizer_config.json").read_text())
    settings["model_max_length"] = max_length
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def reference(
    config: dict[str, Any], tensors: dict[str, np.ndarray], ids: list[int], types: list[int] | None = None
) -> np.ndarray:
    """Logits of one sequence, from the definition of the network (post-norm transformer, first token classified)."""
    from math import erf, pi, sqrt

    root = "bert" if config["model_type"] == "bert" else "roberta"
    weights = {name: values.astype(np.float64) for name, values in tensors.items()}

    def linear(name: str, x: np.ndarray) -> np.ndarray:
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def norm(name: str, x: np.ndarray) -> np.ndarray:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + config["layer_norm_eps"])
        return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    activation = {
        "gelu": lambda x: x * 0.5 * (1 + np.vectorize(erf)(x / sqrt(2))),
        "gelu_new": lambda x: 0.5 * x * (1 + np.tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))),
        "relu": lambda x: np.maximum(x, 0),
        "silu": lambda x: x / (1 + np.exp(-x)),
    }[config["hidden_act"]]
    if root == "bert":
        positions = np.arange(len(ids))
    else:
        pad = config["pad_token_id"]
        counts = np.array(ids) != pad
        positions = np.cumsum(counts) * counts + pad
    table = f"{root}.embeddings.{{}}_embeddings.weight".format
    kinds = types if types is not None and root == "bert" else [0] * len(ids)
    x = weights[table("word")][ids] + weights[table("position")][positions] + weights[table("token_type")][kinds]
    x = norm(f"{root}.embeddings.LayerNorm", x)
    heads = config["num_attention_heads"]
    for number in range(config["num_hidden_layers"]):
        layer = f"{root}.encoder.layer.{number}"
        query, key, value = (
            linear(f"{layer}.attention.self.{part}", x).reshape(len(ids), heads, -1).swapaxes(0, 1)
            for part in ("query", "key", "value")
        )
        scores = query @ key.swapaxes(1, 2) / sqrt(query.shape[-1])
        weight = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = (weight / weight.sum(-1, keepdims=True) @ value).swapaxes(0, 1).reshape(len(ids), -1)
        x = norm(f"{layer}.attention.output.LayerNorm", linear(f"{layer}.attention.output.dense", mixed) + x)
        wide = activation(linear(f"{layer}.intermediate.dense", x))
        x = norm(f"{layer}.output.LayerNorm", linear(f"{layer}.output.dense", wide) + x)
    pooled = np.tanh(linear("bert.pooler.dense" if root == "bert" else "classifier.dense", x[0]))
    return linear("classifier" if root == "bert" else "classifier.out_proj", pooled)


def win_rate(logits: np.ndarray) -> float:
    """One minus the probability of the last two classes."""
    weight = np.exp(logits - logits.max())
    return 1 - (weight / weight.sum())[-2:].sum()
