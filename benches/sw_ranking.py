"""The similarity-weighted ranking beside the original, on one arena, in one run.

    python benches/sw_ranking.py [--battles 120000] [--dim 1536] [--peer-python other/venv/bin/python]

Writes two sets of battles and their embeddings (lists of float64 in uncompressed Parquet, 1,000 rows a group: the shape
of the published data sets) and prints JSON lines: `load` (files to a fitted router, files in the page cache, and the
most memory the process ever held), `query` on one and on all threads, `batch` for each query, `index` (saving, and the
start from the saved file). With ``--peer-python``, an interpreter where RouteLLM 0.2.0 is installed, the original loads
the same files and is asked the same.
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

from common import emit, spread

MODELS = 64

OURS = r"""
import json, os, sys, time
import numpy as np
from ferroute.routers.routers import SWRankingRouter
folder, dim = sys.argv[1], int(sys.argv[2])
def peak():
    lines = open("/proc/self/status").read().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) // 1024
battles, embeddings = ([f"{folder}/{kind}{part}" for part in (0, 1)] for kind in ("battles", "embeddings"))
names = dict(strong_model="model-3", weak_model="model-5")
start = time.perf_counter()
router = SWRankingRouter(battles, embeddings, **names)
seconds = time.perf_counter() - start
print(json.dumps({"load_s": seconds, "peak_mib": peak(), "pair": [*router.model2tier][:: len(router.model2tier) - 1]}))
names = dict(strong_model=list(router.model2tier)[0], weak_model=list(router.model2tier)[-1])
router.strong_model, router.weak_model = names.values()
x = np.random.default_rng(7).standard_normal((192, dim), dtype="float32")
core, tiers = router._core, router._tiers()
def timed(work, repeats):
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return seconds
for threads in (1, os.cpu_count()):
    one = timed(lambda: core.win_rate(x[0], *tiers, threads=threads), 9)
    many = timed(lambda: router.score_embeddings(x, threads=threads), 3)
    many = [s / len(x) for s in many]
    print(json.dumps({"threads": threads, "query_s": one, "batch_s": many, "peak_mib": peak()}), flush=True)
single = np.array([core.win_rate(row, *tiers) for row in x[:24]])
path = f"{folder}/arena.index"
saved = timed(lambda: router.save_index(path), 1)[0]
opened = timed(lambda: SWRankingRouter.from_index(path, **names), 3)
other = SWRankingRouter.from_index(path, **names)
first = timed(lambda: other._core.win_rate(x[0], *tiers), 1)[0]
print(json.dumps({
    "save_s": saved, "open_s": opened, "first_query_s": first,
    "rates": router.score_embeddings(x[:8]).tolist(),
    "batch_error": float(np.abs(router.score_embeddings(x)[:24] - single).max()),
}), flush=True)
"""

PEER = r"""
import os, sys, json, time
folder, dim = sys.argv[1], int(sys.argv[2])
os.environ.update(OPENAI_API_KEY="x", HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1",
                  HF_DATASETS_DISABLE_PROGRESS_BARS="1", HF_HOME=folder + "/hf",
                  TOKENIZERS_PARALLELISM="false",
                  LITELLM_LOCAL_MODEL_COST_MAP="True")
from types import SimpleNamespace
import numpy as np
from routellm.routers import routers
def peak():
    lines = open("/proc/self/status").read().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) // 1024
battles, embeddings = ([f"{folder}/{kind}{part}" for part in (0, 1)] for kind in ("battles", "embeddings"))
start = time.perf_counter()
router = routers.SWRankingRouter(battles, embeddings, strong_model=sys.argv[3], weak_model=sys.argv[4])
print(json.dumps({"load_s": time.perf_counter() - start, "peak_mib": peak()}), flush=True)
rows = np.random.default_rng(7).standard_normal((8, dim), dtype="float32").tolist()
def client(vector):
    answer = SimpleNamespace(data=[SimpleNamespace(embedding=vector)])
    return SimpleNamespace(embeddings=SimpleNamespace(create=lambda **_: answer))
seconds, rates = [], []
for row in rows:
    routers.OPENAI_CLIENT = client(row)
    start = time.perf_counter()
    rates.append(float(router.calculate_strong_win_rate("text")))
    seconds.append(time.perf_counter() - start)
print(json.dumps({"query_s": seconds[1:], "peak_mib": peak(), "rates": rates}), flush=True)
"""


def write_arena(folder: Path, battles: int, dim: int) -> None:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    random = np.random.default_rng(11)
    names = np.array([f"model-{i}" for i in range(MODELS)])
    strength = random.normal(0, 1.2, MODELS)
    first = battles * 11 // 24
    for part, count in enumerate((first, battles - first)):
        a = random.integers(0, MODELS, count)
        b = (a + random.integers(1, MODELS, count)) % MODELS
        tie = random.random(count) < 0.2
        a_wins = ~tie & (random.random(count) < 1 / (1 + np.exp(strength[b] - strength[a])))
        table = pa.table(
            {
                "model_a": names[a],
                "model_b": names[b],
                "prompt": [json.dumps([f"question {part} {i}: please explain how a heap works"]) for i in range(count)],
                "winner_model_a": a_wins.astype("int64"),
                "winner_model_b": (~tie & ~a_wins).astype("int64"),
                "winner_tie": tie.astype("int64"),
            }
        )
        (folder / f"battles{part}").mkdir()
        pq.write_table(table, folder / f"battles{part}/train.parquet", row_group_size=10_000, compression="none")
        (folder / f"embeddings{part}").mkdir()
        schema = pa.schema([("embeddings", pa.list_(pa.float64()))])
        path = folder / f"embeddings{part}/train.parquet"
        with pq.ParquetWriter(path, schema, compression="none") as writer:
            for start in range(0, count, 1000):
                rows = random.standard_normal((min(1000, count - start), dim), dtype="float32")
                rows /= np.linalg.norm(rows, axis=1, keepdims=True)
                offsets = np.arange(0, rows.size + 1, dim, dtype="int32")
                lists = pa.ListArray.from_arrays(offsets, rows.astype("float64").ravel())
                writer.write_table(pa.table({"embeddings": lists}))


def run(python: str, code: str, folder: Path, *arguments: object) -> list[dict]:
    command = [python, "-W", "ignore", "-c", code, str(folder), *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def milliseconds(seconds: list[float]) -> dict[str, float]:
    return spread([s * 1000 for s in seconds])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--battles", type=int, default=120_000)
    parser.add_argument("--dim", type=int, default=1536)
    parser.add_argument("--folder", type=Path, help="where to keep the arena; one that is there is used again")
    parser.add_argument("--peer-python")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.folder or Path(scratch)
        folder.mkdir(exist_ok=True)
        if not (folder / "embeddings1").exists():
            start = time.perf_counter()
            write_arena(folder, args.battles, args.dim)
            emit("sw_written", seconds=round(time.perf_counter() - start, 1))
        run(sys.executable, OURS, folder, args.dim)  # the files are in the page cache from here on
        load, *queries, index = run(sys.executable, OURS, folder, args.dim)
        emit("sw_load", battles=args.battles, dim=args.dim, seconds=round(load["load_s"], 3), peak_mib=load["peak_mib"])
        for line in queries:
            figures = {"query_ms": milliseconds(line["query_s"]), "batch_ms_a_query": milliseconds(line["batch_s"])}
            emit("sw_query", threads=line["threads"], peak_mib=line["peak_mib"], **figures)
        opened = milliseconds(index["open_s"])
        emit(
            "sw_index",
            save_s=round(index["save_s"], 2),
            open_ms=opened,
            first_query_ms=round(index["first_query_s"] * 1000, 1),
            batch_error=index["batch_error"],
        )
        if args.peer_python:
            peer_load, peer = run(args.peer_python, PEER, folder, args.dim, *load["pair"])
            best, theirs = min(queries[-1]["query_s"]), min(peer["query_s"])
            emit(
                "sw_peer",
                load_s=round(peer_load["load_s"], 1),
                peak_mib=peer["peak_mib"],
                query_ms=milliseconds(peer["query_s"]),
                load_ratio=round(peer_load["load_s"] / load["load_s"], 1),
                query_ratio=round(theirs / best, 1),
                batch_ratio=round(theirs / min(queries[-1]["batch_s"]), 1),
                threads=os.cpu_count(),
                largest_difference=max(abs(a - b) for a, b in zip(index["rates"], peer["rates"], strict=True)),
            )


if __name__ == "__main__":
    main()
