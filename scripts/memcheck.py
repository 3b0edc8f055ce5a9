"""Runs kernels and readers of the core under valgrind's memcheck, from Python, and reports what it says of our code.

    PYO3_BUILD_EXTENSION_MODULE=1 cargo rustc --profile ci --features python --lib --crate-type cdylib
    .venv/bin/python scripts/memcheck.py target/ci/libferroute.so

The library is given, and has its symbols: the installed one is stripped, and what is found in it has no name. Python
and numpy have findings of their own (an interpreter's memory is not freed at its end), so only those count whose stack
goes through `_core`. valgrind knows no AVX-512, so what runs is the AVX2 and the plain versions of the kernels.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent

KNOWN = "numpy::borrow::shared::insert_shared"
"""The table of borrowed arrays that the numpy crate makes once a process and leaves to its end (48 bytes)."""

WORK = """
import numpy as np, sys
from ferroute import _core
goldens = sys.argv[1]
rng = np.random.default_rng(0)
# Products of every number type and layout, with widths that are no multiple of any register.
for width in (1, 7, 8, 17, 33, 130):
    model = _core.MfModel.from_arrays(rng.random((3, 5)), rng.random((1, 5)), rng.random((5, width)))
    for kind in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"):
        x = (rng.random((9, width)) * 3).astype(kind)
        for view in (x, x[::2], x[::-1], np.asfortranarray(x), np.broadcast_to(x[:1], (4, width))):
            model.win_rates(view, 0, 1, threads=1)
    model.win_rate([0.5] * width, 0, 1)
    model.win_rate(np.zeros(width, dtype="f2"), 0, 1)
    model.win_rates_pairs(rng.random((3, width)), [(0, 1), (1, 2)], threads=2)
local = _core.LocalModel()
for text in ("", "what is this?", "\\ud800 \\0 e\\u0301 \\u91cf\\u5b50", "word " * 5000):
    local.win_rate(text)
    local.explain(text)
    _core.guess_task(text)
bert = _core.BertModel(goldens + "/bert/wordpiece/checkpoint")
bert.win_rates(["hello", "what is the capital of France? " * 3], threads=2)
semantic = _core.SemanticModel(
    [("a", "cheap", ["fix this bug"]), ("b", "mid", ["a poem"])], "cheap", rng.random((2, 13)), rng.random((1000, 13)))
semantic.choose_vector(rng.random(13))
_core.bradley_terry(*(rng.integers(0, 3, 30).astype("u4") for _ in range(2)), np.zeros(30, "u1"), 3)
rates = rng.random(60)
_core.eval_resample([rates], [(rates, rates)], 7, 3, 0, True, threads=2)
trainer = _core.MfTrainer(4, 3, 5)
trainer.fit(rng.random((3, 5)), np.array([[0, 1, 0], [1, 2, 1]]), np.array([[0, 2, 2]]), epochs=2, threads=2)
_core.pricing_cost(["openai/gpt-5.5"], (10, 10, 0, 0, 0, 0, 0, 0), at="2026-01-12")
book = _core.Ledger("memory:")
_core.Rules("rules:\\n  - when: {pattern: 'a+b'}\\n    use: cheap\\n", "r.yaml").choose_text("aab")
for hostile in (b"", b"\\xff" * 40, (2**40).to_bytes(8, "little") + b"{}"):
    open("model.safetensors", "wb").write(hostile)
    try:
        _core.MfModel("model.safetensors")
    except ValueError:
        pass
print("done")
"""


def main() -> int:
    """0 where nothing was found, 1 otherwise; without valgrind it says so and is no success either."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", type=Path, help="the core, not stripped")
    given = parser.parse_args()
    if shutil.which("valgrind") is None:
        print("not run: no valgrind (apt-get install valgrind)")
        return 1
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        package = importlib.util.find_spec("ferroute")
        assert package is not None
        assert package.origin is not None
        shutil.copytree(Path(package.origin).parent, Path(folder) / "ferroute")
        shutil.copy(given.library, Path(folder) / "ferroute" / "_core.abi3.so")
        command = ["valgrind", "--error-limit=no", "--num-callers=60", f"--log-file={log}", "--leak-check=full"]
        command += ["--show-leak-kinds=definite", "--keep-debuginfo=yes"]
        ended = subprocess.run(
            [*command, sys.executable, "-c", WORK, str(ROOT / "tests" / "goldens")],
            env={**os.environ, "PYTHONMALLOC": "malloc", "OPENBLAS_NUM_THREADS": "1"},
            cwd=folder,  # where `ferroute` is found first
            capture_output=True,
            text=True,
            check=False,
        )
        said = log.read_text(errors="replace")
    if ended.returncode or ended.stdout.strip() != "done":
        print(ended.stdout, ended.stderr, said[-3000:])
        return 1
    blocks = re.split(r"\n==\d+== *\n", said)
    errors = [block for block in blocks if re.search(r"(by|at) 0x", block)]
    ours = [block for block in errors if "_core.abi3" in block and KNOWN not in block]
    print(f"memcheck: {len(errors)} findings, {len(ours)} of them with `_core` in their stack")
    print("\n\n".join(ours))
    if any(re.search(r"\?\?\? \(in .*_core\.abi3", block) for block in ours):
        print(f"{given.library} has no symbols, so nobody can tell whether that is {KNOWN}")
    return bool(ours)


if __name__ == "__main__":
    sys.exit(main())
