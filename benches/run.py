"""Runs every Python benchmark in turn; peers are added by the options, which `benches/README.md` explains."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer-python", help="interpreter of an environment with RouteLLM 0.2.0")
    parser.add_argument("--litellm-python", help="interpreter of an environment with LiteLLM")
    parser.add_argument("--peers", help="folder with the peers' scripts (stub.py, membw.c)")
    args = parser.parse_args()
    given = {f"--{name.replace('_', '-')}": value for name, value in vars(args).items() if value}
    takes = {
        "imports.py": ["--peer-python"],
        "local.py": [],
        "rungs.py": [],
        "semantic.py": [],
        "filters.py": [],
        "promises.py": [],
        "fit.py": [],
        "mf.py": ["--peer-python"],
        "sw_ranking.py": ["--peer-python"],
        "bert.py": ["--peer-python"],
        "causal.py": ["--peer-python"],
        "train.py": ["--peer-python"],
        "evaluation.py": [],
        "ledger.py": [],
        "calls.py": ["--peers", "--litellm-python"],
    }
    for script, options in takes.items():
        pairs = [part for option in options if option in given for part in (option, given[option])]
        if script == "calls.py" and "--peers" not in given:
            print("not run: calls.py (give --peers)", file=sys.stderr)
            continue
        subprocess.run([sys.executable, str(HERE / script), *pairs], check=True, cwd=HERE)


if __name__ == "__main__":
    main()
