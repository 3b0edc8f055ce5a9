"""Scores of the matrix factorisation router beside the original, numpy and this machine's memory, in one run.

    python benches/mf.py [--peer-python other/venv/bin/python]

Prints JSON lines. `one`: one score of the router, whose client returns a stored embedding as an array or as a list;
with ``--peer-python``, an interpreter where RouteLLM 0.2.0 is installed, the original is asked the same in turns.
`batch`: 200,000 x 1536 float32 on one and two threads, in turns with the folded product in numpy and with a plain read
of as much memory (compiled here with ``cc``, flags as for a native build). Compare ratios: absolute times move with the
load of the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS, DIM, STRONG, WEAK = 200_000, 1536, 24, 36
WIDE = {"models": 64, "dim": 128}

# Some environments pin OpenBLAS to a slow kernel; numpy is to be measured at its best.
SLOWING = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")

READ = r"""
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
/* Prints, for each line read from stdin, the seconds one read of the array took. */
int main(int argc, char **argv) {
    size_t n = atol(argv[2]);
    float *a = malloc(n * 4);
    char line[16];
    omp_set_num_threads(atoi(argv[1]));
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i++) a[i] = i & 1;
    volatile float sink;
    while (fgets(line, sizeof line, stdin)) {
        float sum = 0;
        double start = omp_get_wtime();
#pragma omp parallel for simd schedule(static) reduction(+ : sum)
        for (size_t i = 0; i < n; i++) sum += a[i];
        double seconds = omp_get_wtime() - start;
        sink = sum;
        printf("%.9f\n", seconds);
        fflush(stdout);
    }
    (void)sink;
    return 0;
}
"""

PEER = r"""
import os, sys, time, tempfile
os.environ.update(OPENAI_API_KEY="x", HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
from types import SimpleNamespace
import numpy as np, torch
from routellm.routers.matrix_factorization import model as mf
from routellm.routers.routers import MatrixFactorizationRouter
router = MatrixFactorizationRouter(sys.argv[1])
rows = np.load(sys.argv[2])
torch.set_num_threads(1)
def client(vector):
    answer = SimpleNamespace(data=[SimpleNamespace(embedding=vector)])
    return SimpleNamespace(embeddings=SimpleNamespace(create=lambda **_: answer))
clients = {"ndarray": [client(v) for v in rows], "list": [client(v) for v in rows.tolist()]}
print("ready", flush=True)
for line in sys.stdin:
    chosen = clients[line.strip()]
    start = time.perf_counter()
    for one in chosen:
        mf.OPENAI_CLIENT = one
        router.calculate_strong_win_rate("text")
    print(repr((time.perf_counter() - start) / len(chosen)), flush=True)
"""


def emit(**figures: Any) -> None:
    print(json.dumps(figures), flush=True)


class Helper:
    """A child process that answers each line with a number of seconds."""

    def __init__(self, command: list[str]) -> None:
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, line: str) -> float:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return float(self.line())

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=10)


def seconds_of(work: Callable[[], object]) -> Callable[[], float]:
    def timed() -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    return timed


def in_turns(ways: dict[str, Callable[[], float]], rounds: int, warm_up: int = 1) -> dict[str, list[float]]:
    """Each way once, then all again: what disturbs the machine disturbs all alike."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + warm_up):
        for name, way in ways.items():
            seconds = way()
            if turn >= warm_up:
                times[name].append(seconds)
    return times


def ratio(slow: list[float], fast: list[float]) -> float:
    """Median over the turns, each pair taken within one turn."""
    return round(statistics.median(a / b for a, b in zip(slow, fast, strict=True)), 2)


def best_ratio(slow: list[float], fast: list[float]) -> float:
    return round(min(slow) / min(fast), 2)


def bench_one(peer_python: str | None, rounds: int) -> None:
    from contextlib import redirect_stdout
    from io import StringIO
    from types import SimpleNamespace

    import numpy as np

    from ferroute.routers.matrix_factorization import model as mf
    from ferroute.routers.matrix_factorization.model import MFModel
    from ferroute.routers.routers import MatrixFactorizationRouter

    def client(vector: Any) -> SimpleNamespace:
        answer = SimpleNamespace(data=[SimpleNamespace(embedding=vector)])
        return SimpleNamespace(embeddings=SimpleNamespace(create=lambda **_: answer))

    rows = np.random.default_rng(7).standard_normal((64, DIM), dtype="float32")
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    with tempfile.TemporaryDirectory() as folder:
        MFModel(WIDE["dim"], WIDE["models"], DIM, 1, True, seed=1).save_pretrained(folder)
        with redirect_stdout(StringIO()):
            router = MatrixFactorizationRouter(folder)
        np.save(Path(folder, "rows.npy"), rows)
        peer = None
        if peer_python:
            peer = Helper([peer_python, "-c", PEER, folder, str(Path(folder, "rows.npy"))])
            while peer.line() != "ready":
                pass
        for kind, vectors in (("ndarray", list(rows)), ("list", rows.tolist())):
            clients = [client(vector) for vector in vectors]

            def ours(clients: list[Any] = clients) -> float:
                start = time.perf_counter()
                for one in clients:
                    mf.OPENAI_CLIENT = one
                    router.calculate_strong_win_rate("text")
                return (time.perf_counter() - start) / len(clients)

            ways = {"ours": ours}
            if peer is not None:
                ways["routellm"] = lambda kind=kind, peer=peer: peer.ask(kind)
            times = in_turns(ways, rounds, warm_up=5)
            figures = {f"{name}_us": round(statistics.median(t) * 1e6, 2) for name, t in times.items()}
            if peer is not None:
                figures["times_faster"] = ratio(times["routellm"], times["ours"])
            emit(bench="one", embedding=kind, **figures)
        if peer is not None:
            peer.close()


def bench_batch(threads: int, rounds: int, count: int) -> None:
    import numpy as np

    from ferroute import _core
    from ferroute.routers.matrix_factorization.model import MFModel

    model = MFModel(WIDE["dim"], WIDE["models"], DIM, 1, True, seed=1)
    x = np.random.default_rng(7).standard_normal((count, DIM), dtype="float32")
    x /= np.sqrt(np.float32(DIM))
    state = model.state_dict()
    units = state["P.weight"] / np.linalg.norm(state["P.weight"], axis=1, keepdims=True)
    folded = ((units[STRONG] - units[WEAK]) * state["classifier.0.weight"][0]) @ state["text_proj.0.weight"]

    def numpy_folded() -> np.ndarray:
        return 1 / (1 + np.exp(-(x @ folded)))

    np.testing.assert_allclose(model.win_rates(STRONG, WEAK, x), numpy_folded(), atol=5e-6)
    pairs = [(STRONG, WEAK), (0, 1), (2, 3), (4, 5)]
    with tempfile.TemporaryDirectory() as folder:
        source, program = Path(folder, "read.c"), Path(folder, "read")
        source.write_text(READ)
        flags = ["-O3", "-ffast-math", "-march=native", "-fopenmp"]
        subprocess.run(["cc", *flags, str(source), "-o", str(program)], check=True)
        read = Helper([str(program), str(threads), str(x.size)])
        times = in_turns(
            {
                "read": lambda: read.ask(""),
                "ours": seconds_of(lambda: model.win_rates(STRONG, WEAK, x, threads=threads)),
                "numpy": seconds_of(numpy_folded),
                "ours_4_pairs": seconds_of(lambda: model.win_rates_pairs(pairs, x, threads=threads)),
            },
            rounds,
        )
        read.close()
    emit(
        bench="batch",
        rows=count,
        dim=DIM,
        threads=threads,
        kernels=_core.dot_kernels(),
        debug_assertions=_core.DEBUG_BUILD,
        gb_per_s={name: round(x.nbytes / statistics.median(t) / 1e9, 2) for name, t in times.items()},
        gb_per_s_best={name: round(x.nbytes / min(t) / 1e9, 2) for name, t in times.items()},
        of_read_bandwidth=ratio(times["read"], times["ours"]),
        of_read_bandwidth_best=best_ratio(times["read"], times["ours"]),
        faster_than_numpy=ratio(times["numpy"], times["ours"]),
        faster_than_numpy_best=best_ratio(times["numpy"], times["ours"]),
        four_pairs_cost=ratio(times["ours_4_pairs"], times["ours"]),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--peer-python", help="interpreter of an environment where RouteLLM 0.2.0 is installed")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--batch-threads", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.batch_threads:
        bench_batch(args.batch_threads, args.rounds, args.rows)
        return
    environment = {name: value for name, value in os.environ.items() if name not in SLOWING}
    for threads in (1, 2):
        # A process each: OpenBLAS reads its number of threads at start.
        limits = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
        options = ["--batch-threads", str(threads), "--rounds", str(args.rounds), "--rows", str(args.rows)]
        subprocess.run([sys.executable, __file__, *options], env={**environment, **limits}, check=True)
    bench_one(args.peer_python, args.rounds * 2)


if __name__ == "__main__":
    main()
