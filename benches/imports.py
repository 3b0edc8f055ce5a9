"""Import time of `ferroute.controller` over a bare interpreter, in turns; `--peer-python` adds the original's."""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time

from common import emit


def seconds(python: str, code: str) -> float:
    environment = os.environ | {"OPENAI_API_KEY": "x", "HF_HUB_OFFLINE": "1"}
    start = time.perf_counter()
    subprocess.run([python, "-c", code], check=True, env=environment, capture_output=True)
    return time.perf_counter() - start


def over_bare(python: str, module: str, rounds: int) -> dict[str, float]:
    runs = [(seconds(python, "pass"), seconds(python, f"import {module}")) for _ in range(rounds + 1)][1:]
    extra = [1000 * (loaded - bare) for bare, loaded in runs]
    return {"median": round(statistics.median(extra), 2), "min": round(min(extra), 2), "max": round(max(extra), 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer-python", help="interpreter of an environment with RouteLLM")
    args = parser.parse_args()
    ours = over_bare(sys.executable, "ferroute.controller", 21)
    emit("ours_import", ms=ours, target_ms=60)
    if args.peer_python:
        theirs = over_bare(args.peer_python, "routellm.controller", 3)
        emit("peer_import", ms=theirs, ratio=round(theirs["median"] / ours["median"], 1))


if __name__ == "__main__":
    main()
