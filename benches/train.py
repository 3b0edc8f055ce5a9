"""One epoch of training of the matrix factorisation beside the original's loop, on the same data, in turns.

    python benches/train.py [--peer-python other/venv/bin/python] [--battles 20000] [--threads 2]

Prints a JSON line: seconds an epoch takes, here and in RouteLLM 0.2.0 on torch (device "cpu", as many threads), their
ratio, and the held-out losses after as many epochs, which should be close. Compare ratios of minima: absolute times
move with the load of the machine.
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

import numpy as np

from common import emit
from ferroute.routers.matrix_factorization.model import MODEL_IDS
from ferroute.routers.matrix_factorization.train_matrix_factorization import (
    MFModel_Train,
    PairwiseDataset,
    evaluator,
    train_loops,
)

SETTINGS = {"lr": 3e-4, "weight_decay": 1e-5, "alpha": 0.1, "num_epochs": 1}
TEXT_DIM, DIM, BATCH = 1536, 128, 64

# Epochs one by one: a line on standard input asks for the next, its seconds are the answer; at the end the loss.
PEER = """
import json, sys, time
import torch
torch.set_num_threads(int(sys.argv[2]))
from routellm.routers.matrix_factorization.model import MODEL_IDS
from routellm.routers.matrix_factorization import train_matrix_factorization as m
folder, settings = sys.argv[1], json.loads(sys.argv[3])
data = json.load(open(folder + "/battles.json"))
cut = int(len(data) * 0.95)
train = m.PairwiseDataset(data[:cut]).get_dataloaders(64, shuffle=True)
test = m.PairwiseDataset(data[cut:]).get_dataloaders(1024, shuffle=False)
net = m.MFModel_Train(128, len(MODEL_IDS), len(data), npy_path=folder + "/embeddings.npy")
nothing = lambda *_: (0.0, 0.0)
print("ready", flush=True)
for line in sys.stdin:
    if line.strip() == "end":
        losses = [torch.nn.functional.softplus(-net(w, l, p, test=True)) for w, l, p in test]
        print(torch.cat(losses).mean().item(), flush=True)
        break
    start = time.perf_counter()
    m.train_loops(net, train, test, device="cpu", evaluator=nothing, **settings)
    print(time.perf_counter() - start, flush=True)
"""


def data(count: int) -> tuple[list[dict[str, object]], np.ndarray]:
    """Battles among the standard models, decided by strength, a direction of the prompt, and luck."""
    random = np.random.default_rng(0)
    embeddings = random.standard_normal((count, TEXT_DIM)).astype("float32")
    embeddings[:, 0] += 8
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    names, strength = list(MODEL_IDS), random.standard_normal(len(MODEL_IDS))
    taste = random.standard_normal((len(MODEL_IDS), TEXT_DIM))
    battles: list[dict[str, object]] = []
    for idx in range(count):
        a, b = random.choice(len(names), 2, replace=False)
        edge = strength[a] - strength[b] + (taste[a] - taste[b]) @ embeddings[idx]
        winner = "model_a" if random.random() < 1 / (1 + np.exp(-edge)) else "model_b"
        battles.append({"idx": idx, "model_a": names[a], "model_b": names[b], "winner": winner})
    return battles, embeddings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer-python", help="interpreter of an environment with RouteLLM 0.2.0 and torch")
    parser.add_argument("--battles", type=int, default=20_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=4)
    args = parser.parse_args()
    battles, embeddings = data(args.battles)
    cut = int(len(battles) * 0.95)
    train = PairwiseDataset(battles[:cut]).get_dataloaders(BATCH, shuffle=True)
    test = PairwiseDataset(battles[cut:]).get_dataloaders(1024, shuffle=False)
    net = MFModel_Train(DIM, len(MODEL_IDS), len(battles), npy_path=embeddings)
    ours: list[float] = []
    theirs: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        peer = None
        if args.peer_python:
            np.save(Path(folder, "embeddings.npy"), embeddings)
            Path(folder, "battles.json").write_text(json.dumps(battles), encoding="utf-8")
            command = [args.peer_python, "-c", PEER, folder, str(args.threads), json.dumps(SETTINGS)]
            environment = {**os.environ, "OPENAI_API_KEY": "unused", "OMP_NUM_THREADS": str(args.threads)}
            peer = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                text=True, env=environment,
            )  # fmt: skip
            assert peer.stdout.readline() == "ready\n", "the peer did not start"
        for _ in range(args.epochs):
            start = time.perf_counter()
            train_loops(net, train, None, evaluator=None, threads=args.threads, progress_bar=False, **SETTINGS)
            ours.append(time.perf_counter() - start)
            if peer:
                theirs.append(float(ask(peer, "next")))
        figures: dict[str, object] = {"epoch_s": round(min(ours), 3), "loss": round(evaluator(net, test)[0], 4)}
        if peer:
            figures |= {
                "peer_epoch_s": round(min(theirs), 3),
                "peer_loss": round(float(ask(peer, "end")), 4),
                "ratio": round(min(theirs) / min(ours), 2),
            }
            peer.wait()
    emit("train", battles=len(battles), text_dim=TEXT_DIM, threads=args.threads, epochs=args.epochs, **figures)


def ask(peer: subprocess.Popen[str], what: str) -> str:
    peer.stdin.write(what + "\n")
    peer.stdin.flush()
    return peer.stdout.readline()


if __name__ == "__main__":
    sys.exit(main())
