"""Tries distributions as a stranger would: each in an empty environment of its own, wheels without Rust on the path.

    python scripts/release_check.py dist/*.whl dist/*.tar.gz     # all of it; dependencies come from PyPI
    python scripts/release_check.py --quick dist/*.whl           # what every system has to pass: import, commands, demo

Needs nothing but a Python with `venv`: release jobs have no development environment. The README, documentation and
notebooks that a wheel is tried with are this checkout's; those for an sdist come from the sdist.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parent.parent
RUST = ("cargo", "rustc", "maturin")
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
# RouteLLM's programs, by the names its README and its users' scripts call them.
PROGRAMS = [
    "routellm",
    "routellm.calibrate_threshold",
    "routellm.evals.evaluate",
    "routellm.evals.find_contaminated",
    "routellm.openai_server",
    "routellm.routers.matrix_factorization.train_matrix_factorization",
    "routellm.routers.similarity_weighted.generate_embeddings",
]
LEFT = """
import importlib.util, json, sysconfig, pathlib
site = pathlib.Path(sysconfig.get_paths()["purelib"])
print(json.dumps(sorted(p.name for p in site.iterdir() if p.name.startswith(("ferroute", "routellm")))))
"""
PROBE = """
import warnings
warnings.simplefilter("always")
from ferroute.controller import Controller
Controller(["local"], "a", "b").decide("hello", "local", 0.5)
from routellm.controller import Controller as other
print("ours" if other is Controller else "the original's")
"""


class Failed(Exception):
    """A check that did not pass, with what was seen."""


@dataclass
class Place:
    """An empty environment, a folder to work in, and the project whose words are tried."""

    folder: Path
    project: Path
    environment: dict[str, str]
    distribution: Path

    @property
    def python(self) -> str:
        """The environment's interpreter."""
        windows = self.folder / "venv" / "Scripts" / "python.exe"
        return str(windows if windows.parent.exists() else self.folder / "venv" / "bin" / "python")

    def run(self, *words: str, expect: int | None = 0, **more: str) -> str:
        """Output of Python with these arguments, standard error after it.

        Raises:
            Failed: it ended with another code than `expect` (None: any).
        """
        work = self.folder / "work"
        work.mkdir(exist_ok=True)
        done = subprocess.run(
            [self.python, *words],
            cwd=work,
            env=self.environment | more,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )
        told = done.stdout + done.stderr
        if expect is not None and done.returncode != expect:
            shown = " ".join(word if len(word) < 200 else word[:100] + "..." for word in words)
            raise Failed(f"{shown}: ended with {done.returncode}\n{told[-3000:]}")
        return told

    def pip(self, *words: str, **more: str) -> str:
        """Output of the environment's pip."""
        return self.run("-m", "pip", "--disable-pip-version-check", *words, **more)


def expect(truth: bool, message: str) -> None:
    if not truth:
        raise Failed(message)


def built(place: Place) -> Path:
    """The wheel: the distribution itself, or what pip makes of an sdist, once."""
    if place.distribution.suffix == ".whl":
        return place.distribution
    wheels = place.folder / "wheels"
    if not wheels.exists():
        place.pip("wheel", "--quiet", "--no-deps", "--wheel-dir", str(wheels), str(place.distribution))
    return next(wheels.glob("*.whl"))


# --- what is tried -------------------------------------------------------------------------------------------------


def imports(place: Place) -> str:
    """Both names lead to the installed package, and the version is the distribution's."""
    told = place.run(
        "-W",
        "error::UserWarning",
        "-c",
        "import importlib.metadata, ferroute, routellm, routellm.controller, ferroute.controller;"
        "assert routellm.controller is ferroute.controller;"
        "assert ferroute.__version__ == importlib.metadata.version('ferroute');"
        "print(ferroute.__file__, ferroute.__version__)",
    )
    expect(str(place.folder) in told, f"not the installed package: {told}")
    return told.split()[-1]


def commands(place: Place) -> str:
    """Every command of `ferroute` explains itself."""
    names = re.findall(r"^[│|] ([a-z]+) {2,}\S", place.run("-m", "ferroute", "--help"), re.MULTILINE)
    expect(len(names) > 10, f"few commands: {names}")
    for name in names:
        expect("--help" in place.run("-m", "ferroute", name, "--help"), f"{name} --help says nothing")
    return f"{len(names)} commands"


def demo(place: Place) -> str:
    told = place.run("-m", "ferroute", "demo")
    expect("router" in told.lower() and "%" in told, f"the demo shows nothing: {told[:500]}")
    return f"{len(told.splitlines())} lines"


def routellm_programs(place: Place) -> str:
    """`python -m routellm...`: all explain themselves, and those that need no network run."""
    for program in PROGRAMS:
        expect("-h" in place.run("-m", program, "--help"), f"{program} --help says nothing")
    prompts = place.folder / "prompts.jsonl"
    lines = (json.dumps({"prompt": f"Explain {n} times {n} step by step"}) for n in range(200))
    prompts.write_text("\n".join(lines), encoding="utf-8")
    words = ["--routers", "local", "--strong-model-pct", "0.3", "--prompts", str(prompts)]
    line = place.run("-m", "routellm.calibrate_threshold", *words)
    expect(re.search(r"For 30(\.0)?% strong model calls for local, threshold = \d", line) is not None, line)
    words = ["--routers", "random", "local", "--benchmark", "gsm8k", "--output", str(place.folder / "evaluated")]
    table = place.run("-m", "routellm.evals.evaluate", *words, expect=None)
    expect("APGR" in table or "AUC" in table, table[-2000:])
    return f"{len(PROGRAMS)} programs"


def readme_commands(place: Place) -> str:
    """Every `ferroute ...` line of the README names commands and flags that exist."""
    text = (place.project / "README.md").read_text(encoding="utf-8")
    lines = re.findall(r"^(?: {4}|\$ )ferroute ([a-z].*)$", text, re.MULTILINE)
    expect(bool(lines), "the README shows no command")
    for line in lines:
        words = line.split("#", maxsplit=1)[0].split()
        command = [words[0]]
        told = place.run("-m", "ferroute", *command, "--help", COLUMNS="200")
        if (
            len(words) > 1
            and not words[1].startswith("-")
            and re.search(rf"^[│|] {re.escape(words[1])} ", told, re.MULTILINE)
        ):
            command.append(words[1])
            told = place.run("-m", "ferroute", *command, "--help", COLUMNS="200")
        for flag in (word for word in words if word.startswith("--")):
            expect(flag in told, f"README: `ferroute {line}`: {' '.join(command)} has no {flag}")
    return f"{len(lines)} lines"


def run_page(place: Place, page: Path) -> None:
    """All Python blocks of a page as one script, with a model server on this machine where the provider would be."""
    sys.path.insert(0, str(place.project / "tests"))
    from fakeserver import FakeServer  # standard library only

    script = place.folder / f"{page.stem}.py"
    script.write_text("\n\n".join(BLOCK.findall(page.read_text(encoding="utf-8"))), encoding="utf-8")
    with FakeServer() as server:
        place.run("-W", "error", str(script), OPENAI_BASE_URL=server.url, OPENAI_API_KEY="not-a-key")


def readme(place: Place) -> str:
    """The README's Python blocks, from a plain install."""
    page = place.project / "README.md"
    run_page(place, page)
    return f"{len(BLOCK.findall(page.read_text(encoding='utf-8')))} blocks"


def extras(place: Place) -> str:
    """What documentation pages and notebooks draw and run with."""
    place.pip("install", "--quiet", "ferroute[eval]", "nbclient", "ipykernel", "langchain-openai", "anthropic")
    return "eval, nbclient, ipykernel, langchain-openai, anthropic"


def documentation(place: Place) -> str:
    pages = [page for page in sorted((place.project / "docs").glob("*.md")) if BLOCK.search(page.read_text("utf-8"))]
    for page in pages:
        run_page(place, page)
    return f"{len(pages)} pages"


NOTEBOOK = """
import sys, nbformat, nbclient
book = nbformat.read(sys.argv[1], as_version=4)
where = {"metadata": {"path": sys.argv[2]}}
nbclient.NotebookClient(book, timeout=300, kernel_name="python3", resources=where).execute()
said = [o for c in book.cells if c.cell_type == "code" for o in c.outputs if o.get("name") == "stderr"]
assert not said, said
"""


def notebooks(place: Place) -> str:
    books = sorted((place.project / "examples").glob("*.ipynb"))
    expect(bool(books), "no notebooks")
    for book in books:
        folder = place.folder / book.stem
        folder.mkdir()
        place.run("-c", NOTEBOOK, str(book), str(folder))
    return f"{len(books)} notebooks"


def uninstalls(place: Place) -> str:
    """Uninstalling leaves nothing of either name."""
    place.pip("uninstall", "--quiet", "-y", "ferroute")
    left = json.loads(place.run("-c", LEFT))
    expect(left == [], f"left behind: {left}")
    return "nothing is left"


def beside_the_original(place: Place) -> str:
    """RouteLLM from PyPI in the same environment, in every order; its heavy dependencies are left out.

    Whenever `routellm` does not lead to ferroute, ferroute says so with the command that repairs it, and that works.
    """

    def shown(*steps: str) -> str:
        for step in steps:
            if step == "ours":
                place.pip("install", "--quiet", "--force-reinstall", "--no-deps", str(built(place)))
            elif step == "original":
                place.pip("install", "--quiet", "--force-reinstall", "--no-deps", "routellm==0.2.0")
            else:
                place.pip("uninstall", "--quiet", "-y", step)
        return place.run("-c", PROBE, expect=None, OPENAI_API_KEY="not-a-key")

    repair = "pip uninstall -y routellm; pip install --force-reinstall --no-deps ferroute"
    told = shown("original", "ours")
    expect(told.strip() == "ours", f"routellm, then ferroute: {told}")
    told = shown("routellm")
    expect(told.strip() == "ours", f"... then routellm uninstalled: {told}")
    told = shown("original")
    expect("loads the original package" in told and repair in told, f"ferroute, then routellm: {told}")
    told = shown("routellm", "ours")
    expect(told.strip() == "ours", f"... then repaired: {told}")
    shown("original", "ferroute")
    told = place.run("-c", "import routellm.model_pair", expect=None)
    told += place.run("-c", "import importlib.util as u; print(u.find_spec('routellm.routers.routers').origin)")
    expect("routers.py" in told, f"ferroute uninstalled under the original: {told}")
    place.pip("uninstall", "--quiet", "-y", "routellm")
    left = json.loads(place.run("-c", LEFT))
    expect(left == [], f"left behind: {left}")
    return "5 states"


# --- how -----------------------------------------------------------------------------------------------------------


def without_rust(path: str) -> str:
    """The search path without the folders that hold a part of Rust's tools."""
    folders = [
        folder
        for folder in path.split(os.pathsep)
        if folder and not any(shutil.which(program, path=folder) for program in RUST)
    ]
    return os.pathsep.join(folders)


def environment(rust: bool, folder: Path) -> dict[str, str]:
    """Variables of this process without the way to this checkout, to keys, to Rust and to what is saved."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "FERROUTE", "VIRTUAL_ENV")) and not name.endswith(("_API_KEY", "_BASE_URL"))
    }
    kept["PATH"] = kept.get("PATH", "") if rust else without_rust(kept.get("PATH", ""))
    return kept | {"PYTHONUTF8": "1", "MPLBACKEND": "agg", "FERROUTE_CALIBRATION": str(folder / "calibration")}


def steps(quick: bool) -> Iterator[tuple[str, Callable[[Place], str]]]:
    yield "import under both names", imports
    yield "commands explain themselves", commands
    yield "ferroute demo", demo
    yield "python -m routellm...", routellm_programs
    if not quick:
        yield "README, Python", readme
        yield "README, commands", readme_commands
        yield "extras", extras
        yield "documentation, Python", documentation
        yield "notebooks", notebooks
    yield "uninstalling", uninstalls
    if not quick:
        yield "beside RouteLLM", beside_the_original


def project_of(distribution: Path, folder: Path) -> Path:
    """Where the words come from: the sdist's own folder, or this checkout for a wheel."""
    if distribution.suffix == ".whl":
        return ROOT
    with tarfile.open(distribution) as archive:
        if sys.version_info >= (3, 12):
            archive.extractall(folder, filter="data")
        else:
            archive.extractall(folder)
    return next(path for path in folder.iterdir() if (path / "PKG-INFO").exists())


def check(distribution: Path, quick: bool) -> int:
    """Tries one distribution; the number of failures."""
    rust = distribution.suffix != ".whl"
    print(f"{distribution.name}, Python {sys.version.split()[0]}, {'with' if rust else 'without'} Rust on the path")
    failures = 0
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve()
        place = Place(folder, project_of(distribution, folder), environment(rust, folder), distribution)
        venv.create(folder / "venv", with_pip=True)

        def install(place: Place) -> str:
            return place.pip("install", "--quiet", str(built(place))).strip() or "installed"

        for title, step in [("installing", install), *steps(quick)]:
            start = time.monotonic()
            try:
                seen, verdict = step(place), "ok"
            except Failed as error:
                seen, verdict = str(error), "FAILED"
                failures += 1
            print(f"  {verdict:6} {time.monotonic() - start:6.1f} s  {title}: {seen}", flush=True)
            if step is install and failures:
                break
    return failures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("distributions", nargs="+", type=Path, help="wheels and sdists")
    parser.add_argument("--quick", action="store_true", help="only what every system has to pass")
    args = parser.parse_args()
    failures = sum(check(path.resolve(), args.quick) for path in args.distributions)
    print(f"{failures} failed" if failures else "all of it passed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
