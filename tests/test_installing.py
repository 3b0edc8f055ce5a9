"""pip installs and uninstalls RouteLLM beside ferroute, in every order, in an environment of its own, offline.

There are three states and no fourth: `import routellm` leads to ferroute; or ferroute's first Controller and the
command line say that it does not, with the command that repairs it; or ferroute is gone and the original runs.
"""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

import ferroute
from ferroute._installation import REPAIR

ORIGINAL = {
    "routellm/__init__.py": "",
    "routellm/controller.py": "class Controller: pass\n",
    "routellm/routers/__init__.py": "",
    "routellm/routers/routers.py": "ROUTER_CLS = {}\n",
}
SITE = Path(ferroute.__file__).parent.parent
OURS = [*(SITE / "ferroute").rglob("*.py"), *(SITE / "ferroute").rglob("*.json"), SITE / "routellm" / "__init__.py"]
OURS += [SITE / "routellm.py"]


def wheel(folder: Path, name: str, files: dict[str, bytes]) -> Path:
    """A distribution of these files, as pip takes it."""
    info = f"{name}-1.0.dist-info"
    files = files | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    lines = []
    for path, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        lines.append(f"{path},sha256={digest},{len(data)}\n")
    record = "".join([*lines, f"{info}/RECORD,,\n"]).encode()
    made = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(made, "w") as archive:
        for path, data in (files | {f"{info}/RECORD": record}).items():
            archive.writestr(path, data)
    return made


class Environment:
    """A virtual environment; pip is the one that runs these tests, so none has to be installed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        venv.create(folder / "venv", with_pip=False, symlinks=os.name != "nt")
        self.python = next((folder / "venv").glob("bin/python")).absolute()
        self.site = next((folder / "venv").glob("lib/python*/site-packages"))
        library = next((SITE / "ferroute").glob("_core*.so"))
        # The library is lent by its path: copying it for each state would take longer than the test.
        ours = {path.relative_to(SITE).as_posix(): path.read_bytes() for path in OURS}
        ours["ferroute/_core.py"] = (
            "import importlib.machinery as m, importlib.util as u, sys\n"
            f"loader = m.ExtensionFileLoader('ferroute._core', {str(library)!r})\n"
            "module = u.module_from_spec(u.spec_from_loader('ferroute._core', loader))\n"
            "sys.modules['ferroute._core'] = module\n"
            "loader.exec_module(module)\n"
        ).encode()
        self.wheels = {
            "ferroute": wheel(folder, "ferroute", ours),
            "routellm": wheel(folder, "routellm", {path: text.encode() for path, text in ORIGINAL.items()}),
        }

    def pip(self, *words: str) -> None:
        command = [sys.executable, "-m", "pip", "--python", str(self.python), "--disable-pip-version-check", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr

    def install(self, *names: str) -> None:
        self.pip("install", "--quiet", "--no-deps", "--no-index", "--no-compile", *(str(self.wheels[n]) for n in names))

    def uninstall(self, *names: str) -> None:
        self.pip("uninstall", "--quiet", "-y", *names)

    def repair(self) -> None:
        """`REPAIR`, with the wheel in the place of the index's."""
        first, second = REPAIR.split("; ")
        assert first.split() == ["pip", "uninstall", "-y", "routellm"]
        assert second.split() == ["pip", "install", "--force-reinstall", "--no-deps", "ferroute"]
        self.pip("uninstall", "--quiet", "-y", "routellm")
        self.pip("install", "--quiet", "--force-reinstall", "--no-deps", "--no-index", str(self.wheels["ferroute"]))

    def run(self, code: str) -> tuple[str, str]:
        """What it printed, and the last line of what it warned or failed with."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        command = [str(self.python), "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=kept)
        return done.stdout.strip(), done.stderr.strip()


LEADS = """
try:
    import routellm.controller as c
except ImportError as error:
    print(type(error).__name__, error)
else:
    print(c.__name__, getattr(c, "__file__", ""))
"""
CONTROLLER = "from ferroute.controller import Controller; Controller(['random'], 'a', 'b'); print('made')"
COMMAND = "import sys; sys.argv = ['ferroute', 'serve', '--help']; from ferroute.cli import main; main()"


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return Environment(tmp_path)


def leads_to_ours(environment: Environment) -> None:
    assert environment.run(LEADS)[0].startswith("ferroute.controller")
    assert environment.run(CONTROLLER) == ("made", "")


def says_so(environment: Environment, words: str) -> None:
    """The Controller works, and warns; the command line too."""
    printed, warned = environment.run(CONTROLLER)
    assert printed == "made"
    assert warned.count("RuntimeWarning") == 1
    assert words in warned and REPAIR in warned
    _, told = environment.run(COMMAND)
    assert words in told and REPAIR in told


@pytest.mark.timeout(300)  # a dozen runs of pip
def test_every_order(environment: Environment) -> None:
    before = set(environment.site.iterdir())
    environment.install("routellm")
    environment.install("ferroute")
    leads_to_ours(environment)

    # Both lists of files name routellm/__init__.py, so that goes too; routellm.py stays.
    environment.uninstall("routellm")
    assert not (environment.site / "routellm").exists()
    leads_to_ours(environment)
    (environment.site / "routellm").mkdir()  # what somebody keeps in it hides nothing
    leads_to_ours(environment)
    (environment.site / "routellm").rmdir()

    environment.install("routellm")
    assert environment.run(LEADS)[0].startswith("routellm.controller")
    says_so(environment, "`import routellm` loads the original package, not ferroute")
    environment.repair()
    leads_to_ours(environment)

    environment.install("routellm")
    environment.uninstall("ferroute")
    assert environment.run(LEADS)[0].startswith("routellm.controller")
    environment.uninstall("routellm")
    assert environment.run(LEADS)[0] == "ModuleNotFoundError No module named 'routellm'"
    assert {path.name for path in set(environment.site.iterdir()) - before} == set()
