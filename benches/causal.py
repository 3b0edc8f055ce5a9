"""The causal router beside the original's generate call: a Llama of 1.5 G random weights in bfloat16, 300 tokens.

    python benches/causal.py --peer-python PEER/bin/python [--rounds 3] [--precisions bf16 f32]

The checkpoint (3 GB) is written to a temporary folder by the peer, and removed at the end. Both sides load the same
file and continue the same ids; the peer with six tokens without a cache as RouteLLM does, and with one forward pass.
Random weights never give a label, so our side is timed twice: up to six tokens, and one token, which is what a trained
classifier gives. `FERROUTE_CPU` switches processor paths off.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import emit, spread

HIDDEN, LAYERS, HEADS, KEYS, INNER, VOCABULARY = 2048, 16, 32, 8, 8192, 128_261
TOKENS, SHARED = 300, 120

PEER = f"""
import json, sys, time, torch
from transformers import AutoModelForCausalLM, LlamaConfig
folder, threads = sys.argv[1], int(sys.argv[2])
torch.set_num_threads(threads)
if sys.argv[3] == "write":
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    config = LlamaConfig(hidden_size={HIDDEN}, num_hidden_layers={LAYERS}, num_attention_heads={HEADS},
                         num_key_value_heads={KEYS}, intermediate_size={INNER}, vocab_size={VOCABULARY},
                         rope_theta=500000.0, max_position_embeddings=8192, eos_token_id=None)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder, max_shard_size="10GB")
    sys.exit()
model = AutoModelForCausalLM.from_pretrained(folder, torch_dtype=torch.bfloat16).eval()
ids = torch.tensor([json.loads(sys.argv[4])])
def generate():
    model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=6, min_new_tokens=6, do_sample=False,
                   pad_token_id=0, use_cache=False, output_scores=True, return_dict_in_generate=True)
def forward():
    model(input_ids=ids, use_cache=False, logits_to_keep=1)
with torch.no_grad():
    forward()
    print("ready", flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        (generate if line.strip() == "generate" else forward)()
        print(time.perf_counter() - start, flush=True)
"""


def tokenizer(folder: Path) -> None:
    """A tokenizer with a token for each id but the labels', so that the labels get the last five."""
    vocabulary = {f"t{i}": i for i in range(VOCABULARY - 5)}
    model = {"type": "WordLevel", "vocab": vocabulary, "unk_token": "t0"}
    nothing = dict.fromkeys(("truncation", "padding", "normalizer", "post_processor", "decoder"))
    split = {"type": "WhitespaceSplit"}
    whole = {"version": "1.0", "added_tokens": [], "pre_tokenizer": split, "model": model, **nothing}
    folder.mkdir()
    (folder / "tokenizer.json").write_text(json.dumps(whole))
    (folder / "tokenizer_config.json").write_text("{}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--peer-python", help="Python of an environment with torch and transformers")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--precisions", nargs="+", default=["bf16", "f32"])
    parser.add_argument("--folder", type=Path, help="keep the checkpoint here for another run")
    parser.add_argument("--no-original", action="store_true", help="skip the slow generate call")
    args = parser.parse_args()
    if args.peer_python is None:
        print("not run: benches/causal.py needs --peer-python, which also writes the checkpoint")
        return
    folder = args.folder or Path(tempfile.mkdtemp(prefix="ferroute-causal-"))
    try:
        run(args, folder)
    finally:
        if args.folder is None:
            shutil.rmtree(folder)


def run(args: argparse.Namespace, folder: Path) -> None:
    script, weights, base = folder / "peer.py", folder / "checkpoint", folder / "tokenizer"
    folder.mkdir(exist_ok=True)
    script.write_text(PEER)
    if not weights.is_dir():
        subprocess.run([args.peer_python, script, weights, str(args.threads), "write"], check=True)
        tokenizer(base)
    first = [(i * 7919 + 11) % 128_000 for i in range(TOKENS)]
    second = first[:SHARED] + [(i * 104_729 + 5) % 128_000 for i in range(TOKENS - SHARED)]

    from ferroute import _core

    labels = [f"[[{i}]]" for i in range(1, 6)]
    ours = {}
    for precision in args.precisions:
        start = time.perf_counter()
        model = _core.CausalModel(weights, base, labels=labels, bf16=precision == "bf16", threads=args.threads)
        ours[precision] = (model, time.perf_counter() - start)
    command = [args.peer_python, script, weights, str(args.threads), "time", json.dumps(first)]
    peer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert peer.stdin is not None
    assert peer.stdout is not None
    to_peer, from_peer = peer.stdin, peer.stdout
    assert from_peer.readline().strip() == "ready"

    def ask(what: str) -> float:
        print(what, file=to_peer, flush=True)
        return float(from_peer.readline())

    times: dict[str, list[float]] = {}

    def note(name: str, seconds: float) -> None:
        times.setdefault(name, []).append(seconds * 1000)

    def timed(work) -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    shared = _core.CausalPrompt("", " ".join(f"t{i}" for i in first[:SHARED]) + " {question}", "{instruction}",
                                "{instruction}")  # fmt: skip
    for _ in range(args.rounds):
        note("torch_forward", ask("forward"))
        for precision, (model, _) in ours.items():
            model.share(_core.CausalPrompt("", "{question}", "{instruction}", "{instruction}"))
            note(f"{precision}_first_token", timed(lambda model=model: model.first_logits(first)))
            note(f"{precision}_six_tokens", timed(lambda model=model: model.answer(first)))
            model.share(shared)
            model.first_logits(first)
            note(f"{precision}_second_prompt", timed(lambda model=model: model.first_logits(second)))
        if not args.no_original:
            note("original_generate", ask("generate"))
    to_peer.close()
    peer.wait()
    least = {name: min(values) for name, values in times.items()}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    emit("causal", cpu=os.environ.get("FERROUTE_CPU", "all"), threads=args.threads, tokens=TOKENS, shared=SHARED,
         peak_mib=peak, **{name: spread(values) for name, values in times.items()})  # fmt: skip
    for precision, (_, seconds) in ours.items():
        ratios = {"forward": round(least["torch_forward"] / least[f"{precision}_first_token"], 2)}
        if "original_generate" in least:
            ratios["end_to_end"] = round(least["original_generate"] / least[f"{precision}_first_token"], 2)
            ratios["end_to_end_six_tokens"] = round(least["original_generate"] / least[f"{precision}_six_tokens"], 2)
            ratios["second_prompt"] = round(least["original_generate"] / least[f"{precision}_second_prompt"], 2)
        emit("causal_ratio", precision=precision, load_s=round(seconds, 2), **ratios)


if __name__ == "__main__":
    sys.exit(main())
