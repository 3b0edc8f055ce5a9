"""A Llama in numpy, written out in float64, and checkpoints of any size for it: what the decoder is compared with."""

from __future__ import annotations

import json
import shutil
import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from conftest import GOLDENS

if TYPE_CHECKING:
    from pathlib import Path

GOLDEN = GOLDENS / "causal_llm"
BASE = GOLDEN / "base_tokenizer"


def as_bytes(array: np.ndarray, dtype: str) -> tuple[bytes, np.ndarray]:
    """The numbers as a file stores them, and what a reader of the file gets."""
    if dtype == "BF16":
        bits = (array.astype("<f4").view("<u4") + 0x8000) >> 16
        return bits.astype("<u2").tobytes(), (bits << 16).astype("<u4").view("<f4").astype(float)
    stored = array.astype({"F32": "<f4", "F16": "<f2", "F64": "<f8"}[dtype])
    return stored.tobytes(), stored.astype(float)


def write_safetensors(path: Path, tensors: dict[str, tuple[str, tuple[int, ...], bytes]]) -> None:
    header, start = {}, 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, start + len(data)]}
        start += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(data for _, _, data in tensors.values()))


CONFIG: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 30,
    "intermediate_size": 42,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 10,
    "vocab_size": 1015,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
    "max_position_embeddings": 4096,
    "eos_token_id": 1001,
}


def checkpoint(folder: Path, seed: int = 0, dtype: str = "F32", shards: int = 1, **changes: Any) -> dict[str, Any]:
    """Writes a random checkpoint with the golden prompt files; returns its weights as a reader gets them."""
    config = CONFIG | changes
    rng = np.random.default_rng(seed)
    hidden, inner, width = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    queries, keys = config["num_attention_heads"] * width, config["num_key_value_heads"] * width
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (config["vocab_size"], hidden),
        "model.norm.weight": (hidden,),
    }
    if not config["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (config["vocab_size"], hidden)
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}."
        shapes |= {at + "input_layernorm.weight": (hidden,), at + "post_attention_layernorm.weight": (hidden,)}
        sizes = {"q": (queries, hidden), "k": (keys, hidden), "v": (keys, hidden), "o": (hidden, queries)}
        for name, shape in sizes.items():
            shapes[f"{at}self_attn.{name}_proj.weight"] = shape
            if config.get("attention_bias") or (config["model_type"] == "qwen2" and name != "o"):
                shapes[f"{at}self_attn.{name}_proj.bias"] = shape[:1]
        for name, shape in {"gate": (inner, hidden), "up": (inner, hidden), "down": (hidden, inner)}.items():
            shapes[f"{at}mlp.{name}_proj.weight"] = shape
            if config.get("mlp_bias"):
                shapes[f"{at}mlp.{name}_proj.bias"] = shape[:1]
    tensors, weights = {}, {}
    for name, shape in shapes.items():
        scale = 1.0 if "embed" in name else 1.6 / np.sqrt(shape[-1])
        numbers = rng.normal(1.0 if "norm" in name else 0.0, 0.2 if len(shape) == 1 else scale, shape)
        data, weights[name] = as_bytes(numbers, dtype)
        tensors[name] = (dtype, shape, data)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    names = list(tensors)
    if shards == 1:
        write_safetensors(folder / "model.safetensors", tensors)
    else:
        places = {name: f"model-{i % shards + 1:05}-of-{shards:05}.safetensors" for i, name in enumerate(names)}
        for place in set(places.values()):
            write_safetensors(folder / place, {name: tensors[name] for name in names if places[name] == place})
        (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    for name in ("system_ft_v5.txt", "classifier_ft_v5.txt"):
        shutil.copy(GOLDEN / "checkpoint" / name, folder / name)
    return {"config": config, **weights}


def frequencies(config: dict[str, Any]) -> np.ndarray:
    width = config["head_dim"]
    scaling = config.get("rope_parameters") or config.get("rope_scaling") or {}
    plain = scaling.get("rope_theta", config.get("rope_theta")) ** -(np.arange(0, width, 2) / width)
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    if kind == "linear":
        return plain / scaling["factor"]
    if kind != "llama3":
        return plain
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    turns = scaling["original_max_position_embeddings"] * plain / (2 * np.pi)
    mix = np.clip((turns - low) / (high - low), 0, 1)
    return plain * (mix + (1 - mix) / scaling["factor"])


def logits(weights: dict[str, Any], ids: list[int]) -> np.ndarray:
    """Logits after the last token, float64 ``[vocabulary]``."""
    config = weights["config"]
    width, heads, shared = config["head_dim"], config["num_attention_heads"], config["num_key_value_heads"]

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + config["rms_norm_eps"]) * weights[name]

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        return x @ weights[name + ".weight"].T + weights.get(name + ".bias", 0)

    angles = np.arange(len(ids))[:, None] * frequencies(config)
    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]

    def turned(x: np.ndarray) -> np.ndarray:
        a, b = np.split(x, 2, axis=-1)
        return np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)

    x = weights["model.embed_tokens.weight"][ids]
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}."
        h = norm(x, at + "input_layernorm.weight")
        q, k, v = (linear(h, f"{at}self_attn.{name}_proj").reshape(len(ids), -1, width) for name in "qkv")
        q, k = turned(q), np.repeat(turned(k), heads // shared, axis=1)
        v = np.repeat(v, heads // shared, axis=1)
        scores = np.einsum("qhd,khd->hqk", q, k) / np.sqrt(width)
        scores = np.where(np.tri(len(ids), dtype=bool), scores, -np.inf)
        p = np.exp(scores - scores.max(-1, keepdims=True))
        p /= p.sum(-1, keepdims=True)
        x = x + linear(np.einsum("hqk,khd->qhd", p, v).reshape(len(ids), -1), at + "self_attn.o_proj")
        h = norm(x, at + "post_attention_layernorm.weight")
        gate = linear(h, at + "mlp.gate_proj")
        x = x + linear(gate / (1 + np.exp(-gate)) * linear(h, at + "mlp.up_proj"), at + "mlp.down_proj")
    head = "model.embed_tokens.weight" if config["tie_word_embeddings"] else "lm_head.weight"
    return norm(x[-1], "model.norm.weight") @ weights[head].T
