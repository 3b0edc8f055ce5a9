"""Runs the Python benchmarks in turn, several times over, and keeps what they print for `report.py`.

    python benches/run.py                                   # our rows alone
    python benches/run.py --peer-python A --litellm-python B --peers DIR --floor PROGRAM --portkey FOLDER
    python benches/run.py --only imports,local --runs 2     # some of them

Each script prints JSON lines. Those of all runs go to `results/<script>.json`, with the machine and the versions; a
script that lacks what it needs, or fails, is written down as not run. `benches/README.md` says what the options are.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"


@dataclass(frozen=True)
class Script:
    """A benchmark: the options it takes, those it cannot do without, and how often it is run if nobody says."""

    name: str
    takes: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    runs: int = 3


SCRIPTS = [
    Script("imports", ("peer-python",)),
    Script("local"),
    Script("rungs"),
    Script("semantic"),
    Script("filters"),
    Script("promises"),
    Script("fit", runs=1),
    Script("mf", ("peer-python",)),
    Script("sw_ranking", ("peer-python",), runs=1),
    Script("bert", ("peer-python",), runs=1),
    Script("causal", ("peer-python",), runs=1),
    Script("train", ("peer-python",), runs=1),
    Script("evaluation"),
    Script("ledger"),
    Script("calls", ("peers", "litellm-python"), needs=("peers",), runs=1),
    Script("limits", runs=1),
    Script("gateway", ("peers", "floor", "peer-python", "litellm-python", "portkey"), needs=("peers", "floor"), runs=1),
]
# What stands for a path in the results: the letters of benches/README.md.
LETTERS = {"peer-python": "A", "litellm-python": "B", "peers": "DIR", "floor": "PROGRAM", "portkey": "FOLDER"}
PACKAGES = ("routellm", "torch", "transformers", "litellm", "numpy", "openai", "httpx")
VERSIONS = """
import importlib.metadata as m, json, platform, sys
found = {"Python": platform.python_version()}
for name in sys.argv[1:]:
    try: found[name] = m.version(name)
    except m.PackageNotFoundError: pass
print(json.dumps(found))
"""


def versions(python: str, packages: tuple[str, ...]) -> dict[str, str]:
    """Versions of Python and of those packages that an interpreter has."""
    done = subprocess.run([python, "-c", VERSIONS, *packages], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def processor() -> str:
    """The processor's name as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def machine() -> dict[str, Any]:
    """What the figures depend on. The load is that of the minute before: other programs show in it."""
    found: dict[str, Any] = {
        "processor": processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
    }
    if hasattr(os, "sysconf"):
        found["memory_gib"] = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    if hasattr(os, "getloadavg"):
        found["load_before"] = round(os.getloadavg()[0], 2)
    return found


def ours() -> dict[str, Any]:
    """The build that is measured; the size of its library tells a release from a quick build."""
    import ferroute
    from ferroute import _core

    return {
        "ferroute": ferroute.__version__,
        "library_mb": round(Path(str(_core.__file__)).stat().st_size / 1e6, 1),
    } | versions(sys.executable, ("numpy", "openai"))


def lines_of(script: Script, options: list[str]) -> list[dict[str, Any]]:
    """The JSON lines that one run prints; everything is shown as it comes.

    Raises:
        subprocess.CalledProcessError: the benchmark failed.
    """
    command = [sys.executable, str(HERE / f"{script.name}.py"), *options]
    found = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=HERE) as process:
        assert process.stdout
        for line in process.stdout:
            print(line, end="", flush=True)
            if line.startswith("{"):
                found.append(json.loads(line))
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return found


def keep(folder: Path, script: Script, content: dict[str, Any]) -> None:
    folder.mkdir(exist_ok=True)
    path = folder / f"{script.name}.json"
    path.write_text(json.dumps({"script": script.name} | content, indent=1) + "\n", encoding="utf-8")


def run(script: Script, given: dict[str, str], runs: int, folder: Path) -> bool:
    """Runs one script and keeps its lines, or keeps why it was not run; False if it failed."""
    shown = [f"--{option} {LETTERS[option]}" for option in script.takes if option in given]
    if missing := [f"--{option} {LETTERS[option]}" for option in script.needs if option not in given]:
        print(f"not run: {script.name} (give {' '.join(missing)})", file=sys.stderr)
        keep(folder, script, {"not_run": f"needs {' '.join(missing)}"})
        return True
    options = [part for option in script.takes if option in given for part in (f"--{option}", given[option])]
    pythons = [option for option in script.takes if option in given and option.endswith("python")]
    content: dict[str, Any] = {
        "command": " ".join(["python", f"benches/{script.name}.py", *shown]),
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "machine": machine(),
        "ours": ours(),
        "peers": {LETTERS[option]: versions(given[option], PACKAGES) for option in pythons},
        "left_out": [f"--{option} {LETTERS[option]}" for option in script.takes if option not in given],
    }
    start = time.monotonic()
    try:
        content["runs"] = [lines_of(script, options) for _ in range(runs)]
    except subprocess.CalledProcessError as error:
        print(f"failed: {script.name}, code {error.returncode}", file=sys.stderr)
        keep(folder, script, {"not_run": f"failed with code {error.returncode}"})
        return False
    keep(folder, script, content | {"seconds": round(time.monotonic() - start)})
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", help="A: interpreter of an environment with RouteLLM 0.2.0")
    parser.add_argument("--litellm-python", help="B: interpreter of an environment with LiteLLM")
    parser.add_argument("--peers", help="DIR: folder with the peers' scripts (stub.py, membw.c)")
    parser.add_argument("--floor", help="PROGRAM: the bare proxy that servers are compared with")
    parser.add_argument("--portkey", help="FOLDER: its node_modules have @portkey-ai/gateway")
    parser.add_argument("--only", help="names of scripts, with commas between them; results of the others stay")
    parser.add_argument("--runs", type=int, help="how often each is run; default: three times, the long ones once")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the results go")
    args = parser.parse_args()
    given = {name: str(value) for name in LETTERS if (value := getattr(args, name.replace("-", "_")))}
    wanted = args.only.split(",") if args.only else [script.name for script in SCRIPTS]
    if unknown := set(wanted) - {script.name for script in SCRIPTS}:
        parser.error(f"--only: no script {', '.join(sorted(unknown))}")
    chosen = [script for script in SCRIPTS if script.name in wanted]
    passed = [run(script, given, args.runs or script.runs, args.results) for script in chosen]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
