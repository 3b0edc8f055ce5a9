"""`ferroute doctor`: each kind of finding where it is due, and silence where it is not."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import openai
import pytest
from typer.testing import CliRunner

from conftest import ROOT
from ferroute import _lifecycle
from ferroute.cli.app import app
from ferroute.doctor import Finding, Report, examine
from ferroute.doctor._installed import of_installation
from ferroute.doctor._pins import version_of
from ferroute.doctor._routellm import PATCH_POINTS, exists
from ferroute.doctor._thresholds import looks_reversed
from ferroute.errors import MissingFileError

if TYPE_CHECKING:
    from pathlib import Path

DAY = dt.date(2026, 11, 27)
KEYS = {"OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k"}


def look(folder: Path, files: dict[str, str] | None = None, **kwargs: object) -> Report:
    for name, text in (files or {}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    given: dict[str, object] = {"today": DAY, "environ": KEYS, "installation": False, **kwargs}
    return examine(folder, **given)  # type: ignore[arg-type]


def found(report: Report, kind: str) -> list[tuple[str, str]]:
    return [
        (f"{finding.severity} {finding.where}", finding.what) for finding in report.findings if finding.kind == kind
    ]


def notebook(*cells: tuple[str, str]) -> str:
    listed = [{"cell_type": kind, "source": text.splitlines(keepends=True)} for kind, text in cells]
    return json.dumps({"cells": listed, "nbformat": 4})


# --- models ---


def test_models_that_ended_or_end_soon(tmp_path: Path) -> None:
    report = look(tmp_path, {"app.py": 'a = "gpt-4"\nb = f(model="openai/gpt-5-mini")\nc = ["gpt-4"]\nd = "gpt-5.5"\n'})
    assert found(report, "model") == [
        ("error app.py:1", "gpt-4 (also line 3): its provider has shut it down on 2026-10-23"),
        ("warning app.py:2", "openai/gpt-5-mini: its provider shuts it down on 2026-12-11, in 14 days"),
    ]
    assert not report.ok
    gone = report.findings[0]
    assert "read on 2026-" in gone.why
    assert gone.todo.startswith("Consider openai/")


def test_the_day_is_the_one_that_is_given(tmp_path: Path) -> None:
    files = {"app.py": 'model = "gpt-5-mini"\n'}
    assert found(look(tmp_path, files, today=dt.date(2026, 1, 1)), "model") == []
    assert look(tmp_path, today=dt.date(2026, 12, 11)).count("error") == 1


@pytest.mark.parametrize(
    "code",
    [
        'f({"model": "gpt-4", "api_base": "http://localhost:8000/v1"})',  # whatever is served there
        'Client(model="gpt-4", base_url=url)',
        'pricing.cost("gpt-4", 1000, at="2024-01-01")',  # a price of the past
        'config = {"mf": {"checkpoint_path": "x", "strong_model": "gpt-4-1106-preview"}}',  # what it was trained with
        'print("we moved from gpt-4 to something else")',
        'column = "o1"',  # too short to be a model where nothing says so
        "# gpt-4",
    ],
)
def test_what_is_no_call_of_the_provider(tmp_path: Path, code: str) -> None:
    assert found(look(tmp_path, {"app.py": code}), "model") == []


def test_a_short_name_counts_where_it_is_called_a_model(tmp_path: Path) -> None:
    assert found(look(tmp_path, {"a.py": 'f(model="o1")', "b.yaml": "model: o1\n"}), "model") == [
        ("error a.py:1", "o1: its provider has shut it down on 2026-10-23"),
        ("error b.yaml:1", "o1: its provider has shut it down on 2026-10-23"),
    ]


def test_settings_pages_and_notebooks(tmp_path: Path) -> None:
    files = {
        "tiers.yaml": "# gpt-4 was here\ntiers: {cheap: openai/gpt-5-nano}\nhere: {model: gpt-4, api_base: x}\n",
        "pyproject.toml": '[tool.ours]\nmodel = "gpt-4"\n',
        "page.md": "GPT-4 or gpt-4 was good.\nCall `gpt-4`.\n\n```python\nask('gpt-5-mini')\n```\n",
        "n.ipynb": notebook(("markdown", "text"), ("code", '%pip install x\n!ls\nask("gpt-4")\n')),
    }
    assert [where for where, _ in found(look(tmp_path, files), "model")] == [
        "error n.ipynb:cell 2:3",
        "error pyproject.toml:2",
        "warning page.md:2",
        "warning tiers.yaml:2",
        "note page.md:5",
    ]


def test_a_provider_that_closed(tmp_path: Path) -> None:
    report = look(tmp_path, {"a.py": 'weak = "anyscale/mistralai/Mixtral-8x7B-Instruct-v0.1"'})
    assert found(report, "model")[0][0] == "warning a.py:1"
    assert "closed in 2024" in report.findings[0].why


# --- RouteLLM ---


def test_imports_that_are_there_and_one_that_is_not(tmp_path: Path) -> None:
    code = (
        "from routellm.controller import Controller\nimport routellm.routers.routers\n"
        "from routellm.nowhere import x\nfrom routellm.controller import Nobody\nfrom . import routellm\n"
    )
    report = look(tmp_path, {"app.py": code})
    assert found(report, "routellm") == [
        ("error app.py:3", "imports routellm.nowhere.x, which ferroute does not have"),
        ("error app.py:4", "imports routellm.controller.Nobody, which ferroute does not have"),
        ("note app.py:1", "imports routellm.controller.Controller, routellm.routers.routers"),
    ]


def test_patches_by_every_spelling(tmp_path: Path) -> None:
    code = """
from unittest import mock
import sys
import routellm.controller
import routellm.routers.matrix_factorization.model as m
from routellm import controller as c
from routellm.routers import routers
routellm.controller.completion = f
c.acompletion = f
m.OPENAI_CLIENT = f
mock.patch("routellm.controller.completion")
mock.patch.object(c, "completion")
def test(monkeypatch):
    monkeypatch.setattr("routellm.controller.ROUTER_CLS", {})
    monkeypatch.setattr(c, "ROUTER_CLS", {})
    monkeypatch.setitem(sys.modules, "routellm.routers.routers", stub)
sys.modules["routellm.routers.routers"] = stub
routers.BERTRouter.calculate_strong_win_rate = f
c.tqdm = f
c.Controller.completion = f
c.Controller = f
unrelated.controller.completion = f
mock.patch("requests.get")
"""
    patches = found(look(tmp_path, {"test_it.py": code}), "patch")
    lines = {int(where.rpartition(":")[2]): where.partition(" ")[0] for where, _ in patches}
    # Each name once where nothing is to be done about it.
    assert lines == {
        8: "note", 9: "note", 10: "note", 14: "note", 16: "note", 18: "note", 19: "error", 20: "warning", 21: "warning"
    }  # fmt: skip
    alone = {"test_it.py": "import mock\nfrom routellm import controller as c\nmock.patch.object(c, 'completion')\n"}
    assert found(look(tmp_path, alone), "patch") == [("note test_it.py:3", "replaces routellm.controller.completion")]


@pytest.mark.parametrize("name", sorted(PATCH_POINTS))
def test_every_patch_point_is_there(name: str) -> None:
    assert exists(f"routellm.{name}")


def test_a_member_of_a_client_is_not_read(tmp_path: Path) -> None:
    """Reading it would make the client, and ask for a key."""
    code = 'mock.patch("routellm.routers.routers.OPENAI_CLIENT.embeddings.create")\n'
    name = "routellm.routers.routers.OPENAI_CLIENT.embeddings.create"
    assert found(look(tmp_path, {"a.py": code}, environ={}), "patch") == [("note a.py:1", f"replaces {name}")]


def test_what_was_said_to_litellm(tmp_path: Path) -> None:
    code = (
        "import litellm\nfrom litellm.exceptions import Timeout\n{}litellm.drop_params = True\nlitellm.other = 1\n"
        "try:\n    f()\nexcept (litellm.RateLimitError, ValueError):\n    pass\nexcept Timeout:\n    pass\n"
    )
    assert found(look(tmp_path, {"a.py": code.format("")}), "routellm") == []
    assert found(look(tmp_path, {"a.py": code.format("import routellm\n")}), "routellm") == [
        ("error a.py:8", "catches litellm.RateLimitError"),
        ("error a.py:10", "catches litellm.exceptions.Timeout"),
        ("warning a.py:4", "sets litellm.drop_params"),
        ("note a.py:3", "imports routellm"),
    ]


def test_the_exception_to_catch_exists(tmp_path: Path) -> None:
    names = ["RateLimitError", "Timeout", "ServiceUnavailableError", "ContextWindowExceededError", "APIConnectionError"]
    code = "import litellm, routellm\n" + "".join(f"try:\n    f()\nexcept litellm.{each}:\n    g()\n" for each in names)
    todo = [finding.todo for finding in look(tmp_path, {"a.py": code}).findings if finding.severity == "error"]
    assert len(todo) == len(names)
    for each in todo:
        name = each.removeprefix("Catch openai.").partition(",")[0]
        assert issubclass(getattr(openai, name), openai.OpenAIError), each


def test_code_that_is_no_python(tmp_path: Path) -> None:
    files = {"old.py": "print 'routellm'\n", "other.py": "print 'x'\n", "deep.py": "routellm" + "(" * 100_000}
    assert found(look(tmp_path, files), "file") == [
        ("note deep.py", "could not be read as Python"),
        ("note old.py", "could not be read as Python"),
    ]


def test_nothing_of_the_project_is_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    files = {"routellm.py": f"open({str(mark)!r}, 'w')", "conftest.py": f"open({str(mark)!r}, 'w')"}
    look(tmp_path, {**files, "a.py": "import routellm.controller\nimport conftest\n"})
    assert not mark.exists()


# --- thresholds ---


def test_thresholds_in_names(tmp_path: Path) -> None:
    code = (
        '"router-mf-0.11593"\n"router-mf-0.7"\n"router-local-0.5"\n"router-random-0.5"\n"router-bert-7"\n'
        '"router-local-30%"\n"router-local-0.3,0.7"\n"router-mine-0.5"\n"router-local-60%,15%"\n"router-local-1.0"\n'
    )
    assert found(look(tmp_path, {"a.py": code}), "threshold") == [
        ("error a.py:5", "router-bert-7: the threshold is above 1"),
        ("warning a.py:1", "router-mf-0.11593: the figure of RouteLLM's README"),
        ("warning a.py:3", "router-local-0.5: a fixed threshold"),
        ("note a.py:2", "router-mf-0.7: a calibrated threshold"),
    ]


REVERSED = (
    "A higher threshold means more strong calls.",
    "Higher thresholds send more queries to GPT-4.",
    "Raise the threshold to get more calls of the expensive model",
    "Increase the threshold to improve quality",
    "a lower threshold routes more traffic to the cheap model",
    "Lower the threshold to save money.",
    "Lower thresholds mean fewer calls to the stronger model",
    "threshold: higher = more strong model usage",
    "As the threshold increases, more requests go to the strong model.",
    "a larger threshold costs more, with higher quality",
    "Lower the threshold if you want to save costs",
)
RIGHT = (
    "A higher threshold means fewer strong calls.",
    "A higher threshold means fewer strong calls and more weak ones.",
    "Higher threshold: fewer strong calls; lower threshold: more strong calls.",
    "Lower the threshold to send more queries to the strong model.",
    "Raise the threshold to save money",
    "lower thresholds cost more",
    "A lower threshold means more expensive calls, a higher threshold more cheap ones",
    "As the threshold rises, more requests stay with the weak model.",
    "Lower the threshold if answers show less quality than you need",
    "A higher threshold does not mean more strong calls.",
    "Some articles have it reversed and say that a higher threshold means more strong calls.",
    "Increase the threshold until 50% of calls go to GPT-4.",
    "A higher threshold means fewer matches. More strong passwords are needed.",
    "The threshold was calibrated for more than one strong model",
    "A higher threshold keeps recall down",
    "We lower the temperature, and more strong words appear",
)


@pytest.mark.parametrize("text", REVERSED)
def test_a_direction_that_looks_reversed(text: str) -> None:
    assert len(list(looks_reversed(text))) == 1


@pytest.mark.parametrize("text", RIGHT)
def test_a_direction_that_does_not(text: str) -> None:
    assert list(looks_reversed(text)) == []


def test_directions_in_comments_docstrings_pages_and_only_where_routing_is_spoken_of(tmp_path: Path) -> None:
    wrong = "A higher threshold\n{}means more strong calls."
    files = {
        "a.py": f'"""Of ferroute.\n\n{wrong.format("")}\n"""\n\n\ndef f():\n    # {wrong.format("    # ")}\n    f()\n',
        "b.md": f"# RouteLLM\n\n{wrong.format('')}\n",
        "c.yaml": f"# ferroute\nx: 1  # {wrong.format('# ')}\n",
        "d.md": wrong.format(""),  # of something else
        "e.ipynb": notebook(("markdown", f"ferroute\n\n{wrong.format('')}")),
        "f.py": 'import ferroute\nprint("A higher threshold means more strong calls.")\n',  # a string, no comment
    }
    assert [where for where, _ in found(look(tmp_path, files), "threshold")] == [
        f"warning {place}" for place in ("a.py:3", "a.py:9", "b.md:3", "c.yaml:2", "e.ipynb:cell 1:3")
    ]


def test_our_own_pages_have_it_right() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "python" / "ferroute").rglob("*.py")]
    assert len(pages) > 200
    for page in pages:
        if "doctor" not in page.as_posix():
            assert list(looks_reversed(page.read_text(encoding="utf-8"))) == [], page


# --- requirements and installation ---


def test_requirements(tmp_path: Path) -> None:
    files = {
        "requirements.txt": "routellm[serve]==0.2.0  # old\nferroute\nlitellm==1.82.7\nopenai>=1.0,<1.40\n",
        "requirements-dev.txt": "# routellm\nroutellm-x==1\nopenai~=1.30\nlitellm>=1.82.7\nopenai==1.39.0\n",
        "pyproject.toml": '[project]\nkeywords = ["ferroute"]\ndependencies = [\n "routellm",\n "openai==1.14.0"\n]\n',
    }
    assert found(look(tmp_path, files), "installation") == [
        ("error pyproject.toml:5", "openai ==1.14.0 keeps openai below 1.40"),
        ("error requirements-dev.txt:5", "openai ==1.39.0 keeps openai below 1.40"),
        ("error requirements.txt:1", "routellm and ferroute are both required"),
        ("error requirements.txt:3", "litellm 1.82.7 was withdrawn: it held code that steals credentials"),
        ("error requirements.txt:4", "openai <1.40 keeps openai below 1.40"),
        ("note pyproject.toml:4", "routellm is required"),
    ]


def of(versions: dict[str, list[str]], message: str | None = None) -> list[tuple[str, str]]:
    return [(f.severity, f.what) for f in of_installation({"openai": ["3.0.0"], **versions}, message)]


def test_what_is_installed() -> None:
    assert of({"ferroute": ["0.1.0"], "litellm": ["1.90.0"]}) == []
    assert of({"routellm": ["0.2.0"]}) == [
        ("warning", "routellm 0.2.0 is installed beside ferroute; `import routellm` leads to ferroute")
    ]
    assert of({"routellm": ["0.2.0"]}, "`import routellm` loads the original; to repair it: x") == [
        ("error", "`import routellm` loads the original")
    ]
    assert of({"openai": ["1.39.9", "1.40.0"]}) == [("warning", "openai is installed in 2 versions: 1.39.9, 1.40.0")]
    assert of({"openai": ["1.39.9"]}) == [("error", "openai 1.39.9 is too old")]
    assert of({"openai": []}) == [("error", "openai is not installed")]
    assert of({"litellm": ["1.82.8"]})[0][0] == "error"
    assert version_of("2.54.0rc1") > version_of("2.9")


def test_this_installation_is_well() -> None:
    assert [finding for finding in of_installation() if finding.severity == "error"] == []


# --- keys ---


def test_keys_that_are_missing_by_name_only(tmp_path: Path) -> None:
    either = "ANTHROPIC_API_KEY or ANTHROPIC_AUTH_TOKEN"
    files = {"a.py": 'f("gpt-5.5", "anthropic/claude-opus-5-5", "mistral/mistral-medium-3.5", "ollama/qwen3:0.6b")\n'}
    assert found(look(tmp_path, files, environ={"MISTRAL_API_KEY": "m", "OPENAI_API_KEY": ""}), "key") == [
        ("warning a.py:1", f"anthropic/claude-opus-5-5 needs a key of anthropic, and {either} is not set"),
        ("warning a.py:1", "gpt-5.5 needs a key of openai, and OPENAI_API_KEY is not set"),
    ]  # fmt: skip
    assert found(look(tmp_path), "key") == [
        ("warning a.py:1", "mistral/mistral-medium-3.5 needs a key of mistral, and MISTRAL_API_KEY is not set")
    ]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({".env.example": "OPENAI_API_KEY=\n"}, "warning"),
        ({".env": "export OPENAI_API_KEY=sk-secret-value\n"}, "note"),
        ({".env": "OPENAI_API_KEY=sk-secret-value\n", "b.py": "from dotenv import load_dotenv\nload_dotenv()\n"}, None),
        ({"b.py": 'import os\nos.environ["OPENAI_API_KEY"] = read()\n'}, None),
        ({"b.py": 'import os\nkey = os.environ["OPENAI_API_KEY"]\n'}, "warning"),
        ({"b.md": "`gpt-5.5`"}, "warning"),
    ],
)
def test_where_a_key_may_come_from(tmp_path: Path, more: dict[str, str], told: str | None) -> None:
    report = look(tmp_path, {"a.py": 'f(model="gpt-5.5")', **more}, environ={})
    assert [finding.severity for finding in report.findings] == ([] if told is None else [told])
    assert "sk-secret-value" not in f"{report}{report.as_dict()}"


def test_a_page_alone_needs_no_key(tmp_path: Path) -> None:
    assert found(look(tmp_path, {"a.md": "`gpt-5.5`"}, environ={}), "key") == []


# --- walking ---


def test_what_is_skipped_and_what_is_counted(tmp_path: Path) -> None:
    bad = 'model = "gpt-4"\n'
    folders = (".git", ".venv", "node_modules", "own_env", "site-packages", "__pycache__")
    files = {f"{folder}/a.py": bad for folder in folders}
    files |= {"own_env/pyvenv.cfg": "", "big.py": bad + "#" * 2_000_000, "a.txt": bad, "a.py": "x = 1\n"}
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "b.py").write_text(bad)
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "link.py").symlink_to(tmp_path / "elsewhere" / "b.py")
    (tmp_path / "project" / "linked").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(tmp_path / "project" / "pipe.py")
    report = look(tmp_path / "project", files)
    assert report.findings == ()
    assert report.seen.files == {".py": 1}
    assert report.seen.left_out == {"over 2 MB": 1}
    assert report.ok
    assert report.summary == "Nothing found. In good health."
    assert str(report).endswith("1 file (1 .py); left out: 1 over 2 MB\nNothing found. In good health.")


def test_time_is_bounded(tmp_path: Path) -> None:
    report = look(tmp_path, {"a.py": 'm = "gpt-4"\n'}, seconds=-1)
    assert not report.seen.complete
    assert "stopped early" in str(report)


def test_hostile_files(tmp_path: Path) -> None:
    (tmp_path / "a\x1b[31m\n.py").write_bytes(b'model = "gpt-4"\n\xff\x00')
    (tmp_path / "b.ipynb").write_text("[" * 100_000)
    (tmp_path / "c.ipynb").write_text('{"cells": [1, {"cell_type": "code", "source": {"a": 1}}, null]}')
    (tmp_path / "d.md").write_text("ferroute `" + "a-" * 50_000 + "` higher threshold " + "more " * 20_000)
    (tmp_path / "e.ipynb").write_text('{"cells": {"a": 1}}')
    report = look(tmp_path)
    assert report.seen.files == {".ipynb": 3, ".py": 1, ".md": 1}
    assert "\x1b" not in str(report)


def test_one_file_and_none(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text('m = "gpt-4"\n')
    assert [finding.where for finding in look(tmp_path / "a.py").findings] == ["a.py:1"]
    with pytest.raises(MissingFileError):
        look(tmp_path / "nowhere")


# --- the command ---


def invoke(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["doctor", *words], env={"COLUMNS": "80"})
    return done.exit_code, done.output


def test_the_command(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text('m = "gpt-4"\n')
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    line = [sys.executable, "-W", "error", "-m", "ferroute", "doctor"]
    environment["COLUMNS"] = "80"
    done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith(
        "error    a.py:1\n         gpt-4: its provider has shut it down on 2026-10-23.\n         Calls fail ("
    )
    assert done.stdout.rstrip().endswith("Treat the errors first; the rest can wait.")
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_json(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text('m = "gpt-4"\n')
    code, out = invoke(str(tmp_path), "--json")
    told = json.loads(out)
    assert code == 1
    assert told["ok"] is False
    assert told["findings"][0]["where"] == "a.py:1"
    assert told["findings"][0]["severity"] == "error"
    assert set(told["findings"][0]) == {"where", *Finding.__dataclass_fields__}
    assert told["looked_at"]["files"] == {".py": 1}


def test_the_command_without_findings_and_without_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    code, out = invoke(str(tmp_path))
    assert code == 0
    assert out.endswith("1 file (1 .py); this installation\nNothing found. In good health.\n")
    assert invoke(str(tmp_path / "nowhere"))[0] == 2


def test_the_page_shows_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "doctor.md").read_text(encoding="utf-8")
    shown = {kind: re.search(rf"```{kind}\n(.*?)```", page, re.DOTALL) for kind in ("py", "text")}
    assert shown["py"] is not None
    assert shown["text"] is not None
    (tmp_path / "app.py").write_text(shown["py"][1])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_lifecycle, "today", lambda: DAY)
    done = CliRunner().invoke(app, ["doctor", "app.py"], env={"COLUMNS": "110", "OPENAI_API_KEY": ""})
    assert f"$ ferroute doctor app.py\n{done.output}" == shown["text"][1]
