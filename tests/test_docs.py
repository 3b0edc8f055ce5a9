"""Every Python block of the README and the documentation runs, in order, as a reader would run it.

A model server on this machine stands where the provider would be; nothing in the blocks is changed.
"""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from conftest import ROOT
from fakeserver import FakeServer

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page):
    return BLOCK.findall(page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.name)
def test_python_blocks_run(page, tmp_path, monkeypatch):
    with FakeServer() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "not-a-key")
        monkeypatch.chdir(tmp_path)
        script = tmp_path / "page.py"
        script.write_text("\n\n".join(blocks(page)), encoding="utf-8")
        done = subprocess.run([sys.executable, "-W", "error", str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_extends_ferroute_stays_short():
    parts = blocks(ROOT / "docs" / "extending.md")
    assert len(parts) >= 4
    assert max(part.count("\n") for part in parts) < 30


def test_the_readme_has_blocks():
    assert blocks(ROOT / "README.md")


# --- figures that are on more than one page ---


def test_figures_of_the_routers_page_are_those_of_the_measurements():
    page, measured = ((ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("routers.md", "local-router.md"))
    figures = re.findall(r"0\.\d{3} \(0\.\d\d-0\.\d\d\)", page)
    assert len(figures) == 10
    assert not [figure for figure in figures if figure not in measured]
    assert "99.8 % are in order" in page
    assert "| 99.8% |" in measured


def test_shares_of_the_threshold_page_are_what_the_router_gives():
    from ferroute.controller import Controller
    from ferroute.prompts import read_texts

    page = (ROOT / "docs" / "choosing-a-threshold.md").read_text(encoding="utf-8")
    told = re.search(r"sends (\d+) % of MMLU's .*? (\d+) % of GSM8K's and (\d+) %\s+of MT-Bench's", page, re.DOTALL)
    client = Controller(["local"], strong_model="openai/big", weak_model="openai/small")
    for share, file in zip(told.groups(), ("mmlu", "gsm8k", "mt_bench"), strict=True):
        prompts = read_texts(ROOT / "python" / "ferroute" / "data" / "benchmarks" / f"{file}.parquet")
        scores = client.batch_calculate_win_rate(prompts, "local")
        assert f"{sum(score >= 0.645 for score in scores) / len(scores):.0%}" == f"{share}%"


# --- what the pages say of the tree ---

PLACES = ("benches", "data", "docs", "examples", "fuzz", "python", "scripts", "src", "tests")
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def named(page):
    return set(re.findall(r"`([^`\n]+)`", FENCED.sub("", page.read_text(encoding="utf-8"))))


def is_in_the_core(parts, below=ROOT / "src"):
    """Whether a path such as ``routing::model_name::parse`` leads to a module, or to a name in its last module."""
    first, *rest = parts
    folder, file = below / first, below / f"{first}.rs"
    if rest:
        return (folder.is_dir() and is_in_the_core(rest, folder)) or (len(rest) == 1 and says(file, rest[0]))
    return folder.is_dir() or file.exists() or any(says(path, first) for path in below.glob("*.rs"))


def says(path, word):
    return path.exists() and re.search(rf"\b{re.escape(word)}\b", path.read_text(encoding="utf-8")) is not None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_and_modules_that_pages_name_are_there(page):
    words = named(page)
    files = {word for word in words if re.fullmatch(rf"({'|'.join(PLACES)})/[\w./-]*", word)}
    modules = {word for word in words if re.fullmatch(r"[a-z_]+(::\w+)+", word)}
    missing = [word for word in files if not (ROOT / word).exists()]
    missing += [word for word in modules if not is_in_the_core(word.split("::"))]
    assert not missing


def test_the_walk_of_a_request_names_modules():
    assert len([word for word in named(ROOT / "docs" / "architecture.md") if "::" in word]) > 30


def anchors(page):
    """The anchors GitHub makes of a page's headings."""
    heads = re.findall(r"^#+ (.*)$", FENCED.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_anchors_of_links_are_there(page):
    for target, anchor in re.findall(r"\]\(([^)#:]*)#([^)]*)\)", page.read_text(encoding="utf-8")):
        there = page.parent / target if target else page
        assert anchor in anchors(there), f"{target}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_the_readme_shows_what_the_audit_says():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.search(r"^\$ ferroute (audit .*)\n((?:.*\n)*?)\.\.\.$", readme, re.MULTILINE)
    assert shown
    command = [sys.executable, "-m", "ferroute", *shown[1].split()]
    said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert shown[2]
    assert said.startswith(shown[2])
