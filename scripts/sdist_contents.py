"""Prints the size of an sdist; fails if it misses something, holds what does not belong in it, or is large.

An sdist has to be enough to build the wheel and to run every test, and to hold the licences of what it carries.
"""

from __future__ import annotations

import argparse
import re
import sys
import tarfile
from pathlib import Path

NEEDED = [
    "Cargo.toml",
    "Cargo.lock",
    "pyproject.toml",
    "Makefile",
    "PKG-INFO",
    "README.md",
    "LICENSE",
    "NOTICE",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "data/local/table.bin",  # compiled in
    "data/prices/prices.json",
    "docs/architecture.md",
    "examples/quickstart.ipynb",
    "fuzz/bodies.rs",  # tests/fuzz_corpus.rs replays the corpora with it
    "packaging/Dockerfile",
    "python/ferroute/__init__.py",
    "python/ferroute/py.typed",
    "python/ferroute/_core.pyi",
    "python/ferroute/data/benchmarks/mmlu.parquet",
    "python/routellm/__init__.py",
    "python/routellm.py",
    "src/lib.rs",
    "tests/conftest.py",
    "tests/goldens/README.md",
]
FOLDERS = ["benches", "docs/images", "fuzz/corpus", "scripts", "src/gateway/ui", "tests/goldens", "tests/servers"]
UNWANTED = re.compile(
    r"(^|/)(target|dist|\.venv|\.git|__pycache__|\.[a-z]+_cache|node_modules)/|\.(so|pyd|pyc|whl|log|db)$"
)
# What would tell on whose machine it was made.
PLACES = [str(Path(__file__).resolve().parent.parent), str(Path.home() / ".cargo"), str(Path.home() / ".rustup")]
TEXT = {".py", ".pyi", ".rs", ".toml", ".lock", ".md", ".yaml", ".yml", ".ipynb", ".json", ""}


def problems(archive: tarfile.TarFile, most_mb: float, largest_mb: float) -> list[str]:
    """What is wrong with it, one sentence each."""
    members = [member for member in archive.getmembers() if member.isfile()]
    inside = {member.name.split("/", 1)[1]: member for member in members}
    found = [f"missing: {name}" for name in NEEDED if name not in inside]
    found += [f"empty: {name}/" for name in FOLDERS if not any(path.startswith(name + "/") for path in inside)]
    found += [f"does not belong: {name}" for name in inside if UNWANTED.search(name)]
    total = sum(member.size for member in members) / 1e6
    if total > most_mb:
        found.append(f"{total:.1f} MB unpacked: at most {most_mb}")
    for name, member in inside.items():
        if member.size > largest_mb * 1e6:
            found.append(f"{name} has {member.size / 1e6:.1f} MB: at most {largest_mb} a file")
        if Path(name).suffix in TEXT and (file := archive.extractfile(member)):
            text = file.read()
            found += [f"{name} names a folder of this machine: {place}" for place in PLACES if place.encode() in text]
    if any(not member.isfile() and not member.isdir() for member in archive.getmembers()):
        found.append("holds links or devices")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sdist", type=Path)
    parser.add_argument("--most-mb", type=float, default=30, help="largest unpacked size in megabytes (10^6 bytes)")
    parser.add_argument("--largest-mb", type=float, default=3, help="largest size of one file")
    args = parser.parse_args()
    with tarfile.open(args.sdist) as archive:
        found = problems(archive, args.most_mb, args.largest_mb)
        files = [member for member in archive.getmembers() if member.isfile()]
    unpacked = sum(member.size for member in files) / 1e6
    print(f"{len(files)} files, {unpacked:.1f} MB, {args.sdist.stat().st_size / 1e6:.1f} MB packed: {args.sdist.name}")
    for problem in found:
        print(problem, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
