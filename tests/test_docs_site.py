"""What `make docs` refuses, and what it makes of links: `scripts/build_docs.py` over a small tree of its own."""

from __future__ import annotations

import json
import sys

import pytest

import ferroute
from conftest import ROOT

sys.path.insert(0, str(ROOT / "scripts"))

import build_docs
import docs_reference


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A repository of two pages, a notebook and a finished site of one page."""
    for name, place in (("ROOT", ""), ("STAGE", "target/docs"), ("SITE", "site")):
        monkeypatch.setattr(build_docs, name, tmp_path / place)
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
    for folder in ("docs", "examples", "python/ferroute"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "docs" / "index.md").write_text("# Home\n\n[a page](a.md#here) and [a notebook](../examples/n.ipynb)\n")
    (tmp_path / "docs" / "a.md").write_text("# A\n\n```text\n[no link](nowhere.md)\n```\n")
    cells = [
        {"cell_type": "markdown", "source": ["# N\n", "[back](../docs/a.md)"]},
        {"cell_type": "code", "source": ["1"]},
    ]
    (tmp_path / "examples" / "n.ipynb").write_text(json.dumps({"cells": cells}))
    (tmp_path / "python" / "ferroute" / "policy.py").write_text("")
    (tmp_path / "zensical.toml").write_text('nav = ["index.md", "a.md"]\n')
    return tmp_path


def test_links_are_written_as_the_site_has_them(tree):
    text, linked = build_docs.rewritten(tree / "docs" / "index.md")
    assert "[a page](a.md#here)" in text
    assert "[a notebook](files/examples/n.md)" in text
    assert linked == {tree / "examples" / "n.ipynb"}
    text, _ = build_docs.rewritten(tree / "examples" / "n.ipynb")
    assert text.startswith("# N\n[back](../../a.md)")
    assert "```python\n1\n```" in text
    assert "[n.ipynb](n.ipynb)" in text


def test_links_in_code_are_left_alone(tree):
    assert "[no link](nowhere.md)" in build_docs.rewritten(tree / "docs" / "a.md")[0]


def test_a_link_to_a_source_leads_to_its_reference(tree):
    (tree / "docs" / "a.md").write_text("[it](../python/ferroute/policy.py)")
    assert build_docs.rewritten(tree / "docs" / "a.md") == ("[it](reference/policy.md)", set())


@pytest.mark.parametrize("target", ["nowhere.md", "../../outside.md", "../examples"])
def test_a_link_that_leads_nowhere_ends_the_build(tree, target):
    (tree / "docs" / "a.md").write_text(f"[it]({target})")
    with pytest.raises(SystemExit, match="leads nowhere"):
        build_docs.rewritten(tree / "docs" / "a.md")


def test_pages_and_navigation_have_to_agree(tree):
    for name in ("index.md", "a.md"):
        (tree / "target" / "docs" / name).write_text("")
    assert build_docs.unlisted() == []
    (tree / "docs" / "b.md").write_text("# B\n")
    (tree / "target" / "docs" / "a.md").unlink()
    assert build_docs.unlisted() == ["docs/b.md: in no section of zensical.toml", "zensical.toml: a.md is no page"]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("- one\n- two\n  more\n- three\n", []),
        ("1. one\n    - inner\n", []),
        ("1. one\n   - inner\n", ["docs/a.md:2: an inner list is indented by four columns"]),
        ("words\n- one\n", ["docs/a.md:2: a blank line belongs before a list"]),
        ("```text\nwords\n- one\n```\n", []),
    ],
)
def test_lists_read_alike_in_both_places(tree, text, wrong):
    (tree / "docs" / "a.md").write_text(text)
    assert build_docs.lists() == wrong


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ('<a href="#x">x</a><p id="x"><a href="https://example.org/">out</a><img src="data:image/png;base64,">', []),
        ('<a href="b.html">b</a>', ["index.html: b.html leads nowhere"]),
        ('<a href="index.html#y">y</a>', ["index.html: index.html#y: no such anchor"]),
        (
            '<script src="https://cdn.example/x.js"></script>',
            ["index.html: a browser would fetch https://cdn.example/x.js"],
        ),
        ('<link rel="stylesheet" href="//f.example/c">', ["index.html: a browser would fetch //f.example/c"]),
        ('<img src="gone.png">', ["index.html: gone.png leads nowhere"]),
    ],
)
def test_finished_pages_are_looked_through(tree, body, wrong):
    (tree / "site" / "index.html").write_text(f"<html><body>{body}</body></html>")
    assert build_docs.finished() == wrong


def test_stylesheets_are_looked_through(tree):
    (tree / "site" / "a.css").write_text("@import url(https://f.example/c.css); p { background: url('pic.png') }")
    assert build_docs.finished() == ["a.css: a browser would fetch https://f.example/c.css"]


def test_the_reference_has_every_public_name():
    pages = docs_reference.pages()
    listed = pages["ferroute.md"]
    assert all(f"[`{name}`](" in listed for name in ferroute.__all__ if name != "__version__")
    assert "{ #ferroute.calibrate.guarantee " in pages["calibrate.md"]
    assert "max_quality_loss: float" in pages["calibrate.md"]
    assert "{ #ferroute._core.Ladder.settle " in pages["core.md"]
    assert "](policy.md#ferroute.policy.CallPolicy)" in pages["controller.md"]
