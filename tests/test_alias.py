"""`routellm` is another name for `ferroute`, in every order of installing, and importing either is free."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ferroute

SITE = Path(ferroute.__file__).parent.parent

HEAVY = ["numpy", "pandas", "openai", "httpx", "pydantic", "yaml", "huggingface_hub", "matplotlib", "torch", "rich",
         "typer", "tqdm", "polars", "requests", "asyncio"]  # fmt: skip


def python(code, *args, env=None, expect=0, path=None):
    variables = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"OPENAI_API_KEY": ""} | (env or {})
    if path:
        variables["PYTHONPATH"] = str(path)
    command = [sys.executable, *(["-c", code] if code else []), *args]
    done = subprocess.run(command, capture_output=True, text=True, env=variables, check=False, timeout=60)
    assert done.returncode == expect, done.stderr
    return done


def test_same_objects_under_both_names():
    import routellm.controller
    import routellm.routers.matrix_factorization.model
    import routellm.routers.routers
    from routellm.controller import Controller

    import ferroute.controller
    import ferroute.routers.routers
    from routellm import controller

    assert routellm.controller is ferroute.controller is controller
    assert routellm.routers.routers is ferroute.routers.routers
    assert Controller is ferroute.controller.Controller
    assert ferroute.controller.__spec__.name == "ferroute.controller"
    assert ferroute.routers.__spec__.submodule_search_locations
    assert routellm.__version__ == ferroute.__version__
    with pytest.raises(ModuleNotFoundError, match=r"routellm\.nonsense"):
        import routellm.nonsense


def test_old_name_first_in_a_fresh_process():
    done = python(
        "import routellm.routers.routers as a, sys; import ferroute.routers.routers as b; assert a is b; "
        "import importlib; assert importlib.reload(b) is b; print(a.__name__, a.__spec__.name)"
    )
    assert done.stdout.split() == ["ferroute.routers.routers"] * 2


def test_pickles_that_name_the_old_module():
    text = b"croutellm.controller\nModelPair\n(S'a'\nS'b'\ntR."
    pair = pickle.loads(text)
    assert (pair.strong, pair.weak) == ("a", "b")


def test_a_stub_of_the_routers_module_is_honoured():
    done = python(
        "import sys, types\n"
        "stub = types.ModuleType('routellm.routers.routers'); stub.ROUTER_CLS = {'x': lambda: None}\n"
        "sys.modules['routellm.routers.routers'] = stub\n"
        "import routellm.controller as c\n"
        "assert c.ROUTER_CLS is stub.ROUTER_CLS\n"
        "c.Controller(['x'], 'a', 'b')\n"
        "assert 'ferroute.routers.routers' not in sys.modules\n"
    )
    assert done.stderr == ""


def test_m_runs_the_real_module():
    done = python(None, "-m", "routellm", "--version")
    assert ferroute.__version__ in done.stdout


@pytest.mark.parametrize(
    "name",
    [
        "ferroute.controller",
        "routellm.controller",
        "ferroute.cli",
        "ferroute.completions",
        "ferroute.pricing",
        "ferroute.plot",
        "ferroute.prompts",
    ],
)
def test_importing_is_free(name):
    code = (
        "import sys, json; before = set(sys.modules)\n"
        "import socket; socket.socket.connect = None\n"
        f"sys.argv = ['x', '--nonsense']; import {name}\n"
        f"print(json.dumps([m for m in {HEAVY!r} if m in sys.modules and m not in before]))"
    )
    assert json.loads(python(code).stdout) == []


def make_original(folder, controller="class Controller: original = True\n"):
    """A folder as the original distribution leaves it: an empty `__init__.py` and its own modules."""
    package = folder / "routellm"
    package.mkdir(exist_ok=True)
    (package / "__init__.py").write_text("")
    (package / "controller.py").write_text(controller)


def make_ours(folder):
    shutil.copytree(
        SITE / "ferroute", folder / "ferroute", dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copytree(
        SITE / "routellm", folder / "routellm", dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copy(SITE / "routellm.py", folder)


PROBE = "import routellm.controller as c; print(getattr(c.Controller, 'original', False))"
WARNS = """
import warnings
warnings.simplefilter("always")
from ferroute.controller import Controller
Controller([], "a", "b")
Controller([], "a", "b")
"""


class TestOrdersOfInstalling:
    def test_original_then_ours_runs_ours(self, tmp_path):
        make_original(tmp_path)
        make_ours(tmp_path)
        assert python(PROBE, path=tmp_path).stdout.strip() == "False"
        assert python(WARNS, path=tmp_path).stderr == ""

    def test_ours_then_original_warns_once_with_the_command(self, tmp_path):
        make_ours(tmp_path)
        make_original(tmp_path)
        assert python(PROBE, path=tmp_path).stdout.strip() == "True"
        warned = python(WARNS, path=tmp_path).stderr
        assert warned.count("RuntimeWarning") == 1
        assert "pip install --force-reinstall --no-deps ferroute" in warned
        shown = python(None, "-m", "ferroute", "--version", path=tmp_path).stderr
        assert "pip install --force-reinstall" in shown

    @pytest.mark.parametrize("ours_first", [True, False])
    def test_uninstalling_the_original_brings_the_alias_back(self, tmp_path, ours_first):
        for make in (make_ours, make_original) if ours_first else (make_original, make_ours):
            make(tmp_path)
        shutil.rmtree(tmp_path / "routellm")
        # `-S -E` would hide the wheel that runs these tests too, so look at the copy through its own path alone.
        only = f"import sys; sys.path = [p for p in sys.path if p != {str(SITE)!r}]\n"
        assert python(only + PROBE, path=tmp_path).stdout.strip() == "False"
        assert python(only + WARNS, path=tmp_path).stderr == ""
        same = "import routellm, routellm.routers.routers as a, ferroute.routers.routers as b, ferroute\n"
        same += "assert a is b and routellm.__version__ == ferroute.__version__ and routellm.Controller"
        python(only + same, path=tmp_path)
        # `python -m` finds packages of the environment that runs it, so its own copy of the library is asked.
        assert ferroute.__version__ in python(None, "-m", "routellm", "--version", path=tmp_path).stdout
        assert (
            "--strong-model-pct" in python(None, "-m", "routellm.calibrate_threshold", "--help", path=tmp_path).stdout
        )

    def test_without_either_file_we_say_so(self, tmp_path):
        make_ours(tmp_path)
        shutil.rmtree(tmp_path / "routellm")
        (tmp_path / "routellm.py").unlink()
        code = f"import sys; sys.path = [p for p in sys.path if p != {str(SITE)!r}]\n" + WARNS
        assert "the alias `routellm` is missing" in python(code, path=tmp_path).stderr

    @pytest.mark.parametrize("ours_first", [True, False])
    def test_uninstalling_ours_leaves_the_original_running(self, tmp_path, ours_first):
        for make in (make_ours, make_original) if ours_first else (make_original, make_ours):
            make(tmp_path)
        shutil.rmtree(tmp_path / "ferroute")
        (tmp_path / "routellm" / "__init__.py").unlink()  # what pip removes: the files of our record
        (tmp_path / "routellm.py").unlink()
        code = f"import sys; sys.path = [p for p in sys.path if p != {str(SITE)!r}]; " + PROBE
        assert python(code, path=tmp_path).stdout.strip() == "True"


def test_the_alias_is_two_small_files():
    assert (SITE / "routellm.py").is_file()
    assert [p.name for p in (SITE / "routellm").iterdir() if p.name != "__pycache__"] == ["__init__.py"]
