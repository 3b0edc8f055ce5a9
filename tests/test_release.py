"""What strangers get: the sdist, the workflows that make a release, and make targets that exist."""

from __future__ import annotations

import importlib.util
import io
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from conftest import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def script(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def jobs(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text())["jobs"]


def every_step(path: Path) -> list[dict[str, Any]]:
    return [step for job in jobs(path).values() for step in job["steps"]]


# --- the sdist ---


def test_the_sdist_is_enough_and_no_more(tmp_path: Path) -> None:
    maturin = Path(sys.executable).with_name("maturin")
    command = [str(maturin), "sdist", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=110)
    assert done.returncode == 0, done.stderr
    (sdist,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        assert script("sdist_contents").problems(archive, most_mb=30, largest_mb=3) == []
        inside = {name.split("/", 1)[1] for name in archive.getnames()}
    # What tests and build read is there: every file of these folders that is here.
    for folder in ("src", "python", "tests", "data", "fuzz/corpus"):
        here = {p.relative_to(ROOT).as_posix() for p in (ROOT / folder).rglob("*") if p.is_file()}
        left = {p for p in here - inside if not re.search(r"__pycache__|\.so$|\.pyc$|/\.", p)}
        assert not left, sorted(left)[:5]


def test_what_is_wrong_with_an_sdist_is_found(tmp_path: Path) -> None:
    contents = script("sdist_contents")
    path = tmp_path / "x.tar.gz"
    planted = {
        "src/lib.rs": f"// see {ROOT}/src".encode(),
        "python/ferroute/_core.abi3.so": b"x",
        "tests/__pycache__/a.txt": b"x",
        "data/huge.bin": b"x" * 2_000_000,
    }
    with tarfile.open(path, "w:gz") as archive:
        for name, data in planted.items():
            info = tarfile.TarInfo(f"ferroute-1/{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("ferroute-1/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    with tarfile.open(path) as archive:
        found = "\n".join(contents.problems(archive, most_mb=1, largest_mb=1))
    for expected in (
        "missing: LICENSE",
        "empty: fuzz/corpus/",
        "does not belong: python/ferroute/_core.abi3.so",
        "does not belong: tests/__pycache__/a.txt",
        "data/huge.bin has 2.0 MB",
        "2.0 MB unpacked: at most 1",
        "src/lib.rs names a folder of this machine",
        "holds links",
    ):
        assert expected in found


# --- the version ---

CARGO = '[package]\nname = "ferroute"\nversion = "1.2.3"\n\n[dependencies]\nbytes = { version = "9" }\n'


@pytest.mark.parametrize(
    ("tag", "changelog", "found"),
    [
        ("v1.2.3", "## 1.2.3 (2026-12-01)\n", []),
        ("1.2.3", "## 1.2.3 (2026-12-01)\n", ["has to be v1.2.3"]),
        ("v1.2.4", "## 1.2.3 (2026-12-01)\n", ["Cargo.toml says 1.2.3"]),
        ("v1.2.3", "## 1.2.3 (unreleased)\n", ["no date"]),
        ("v1.2.4", "## 1.2.30 (2026-12-01)\n", ["Cargo.toml says 1.2.3", "no section 1.2.3"]),
    ],
)
def test_the_tag_is_the_version(tag: str, changelog: str, found: list[str]) -> None:
    told = script("release_version").problems(tag, CARGO, changelog)
    assert len(told) == len(found) and all(part in text for part, text in zip(found, told, strict=True)), told


def test_the_version_is_found_where_it_is_written() -> None:
    told = script("release_version").problems("v0", (ROOT / "Cargo.toml").read_text(), "")
    import ferroute

    assert f"Cargo.toml says {ferroute.__version__}" in told[0]


# --- the workflows ---


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_and_rights_are_few(path: Path) -> None:
    text = path.read_text()
    whole = yaml.safe_load(text)
    assert whole["permissions"] == {"contents": "read"}
    for step in every_step(path):
        if "uses" in step:
            assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", step["uses"]), step
        if "checkout" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] is False
        # Expressions in a script are text that somebody else may write; they go through `env`.
        assert "${{" not in step.get("run", ""), step
    assert len(re.findall(r"uses: .*@[0-9a-f]{40} # v\d+\.\d+\.\d+$", text, re.MULTILINE)) == text.count("uses: ")
    assert "secrets." not in text
    for name, job in jobs(path).items():
        assert job["timeout-minutes"] <= 90, name
        if name != "publish":
            assert "permissions" not in job, name


def test_every_wheel_is_tried_before_anything_is_published() -> None:
    release = jobs(ROOT / ".github" / "workflows" / "release.yml")
    built = [entry["name"] for entry in release["wheels"]["strategy"]["matrix"]["include"]]
    tried = [entry["name"] for entry in release["smoke"]["strategy"]["matrix"]["include"]]
    assert built == tried
    assert release["smoke"]["needs"] == "wheels"
    assert set(release["publish"]["needs"]) == {"smoke", "sdist-builds"}
    assert release["wheels"]["needs"] == release["sdist"]["needs"] == "version"
    assert release["publish"]["permissions"] == {"id-token": "write", "attestations": "write"}
    assert release["publish"]["if"] == "github.ref_type == 'tag'"
    # A wheel that is tried on an older Python than it is built with proves that abi3 holds.
    assert "3.10" in str([step.get("with") for step in release["smoke"]["steps"]])


def test_every_supported_python_is_in_the_matrix() -> None:
    matrix = jobs(ROOT / ".github" / "workflows" / "ci.yml")["pythons"]["strategy"]["matrix"]
    assert matrix["python"] == [f"3.{minor}" for minor in range(10, 15)]
    assert {system.split("-")[0] for system in matrix["os"]} == {"ubuntu", "macos", "windows"}


def test_one_job_gathers_the_others() -> None:
    ci = jobs(ROOT / ".github" / "workflows" / "ci.yml")
    assert set(ci["passed"]["needs"]) == set(ci) - {"passed"}


# --- the words ---


def test_machines_and_people_are_sent_to_targets_that_exist() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    assert hooks and all(hook["entry"] == hook["name"] == f"make {hook['id']}" for hook in hooks)
    named = {hook["id"] for hook in hooks}
    for path in WORKFLOWS:
        for step in every_step(path):
            named |= set(re.findall(r"\bmake ([a-z][a-z-]*)", step.get("run", "")))
    pages = [ROOT / "CONTRIBUTING.md", ROOT / ".github" / "PULL_REQUEST_TEMPLATE.md"]
    for page in pages:
        for words in re.findall(r"(?:^ {4}|`)make ((?:[a-z][a-z-]* ?)+)", page.read_text(), re.MULTILINE):
            named |= set(words.split())
    assert {"test", "wheel", "smoke", "release-check", "lint-python", "types"} <= named
    assert named <= TARGETS, named - TARGETS


def test_files_that_the_pages_name_exist() -> None:
    for page in ("CONTRIBUTING.md", "SECURITY.md"):
        named = re.findall(r"`((?:src|python|tests|docs|scripts|fuzz|\.ci)/[\w./-]+)`", (ROOT / page).read_text())
        for name in named:
            assert (ROOT / name).exists() or "question_marks" in name, name


def test_rust_is_off_the_path(tmp_path: Path) -> None:
    check = script("release_check")
    (tmp_path / "with").mkdir()
    (tmp_path / "without").mkdir()
    (tmp_path / "with" / "cargo").write_text("#!/bin/sh\n")
    (tmp_path / "with" / "cargo").chmod(0o755)
    path = os.pathsep.join(str(tmp_path / name) for name in ("with", "without"))
    assert check.without_rust(path) == str(tmp_path / "without")


def test_the_check_knows_every_program_of_routellm() -> None:
    """Those that the documentation names, and no other."""
    named: set[str] = set()
    for page in (ROOT / "docs").glob("*.md"):
        named |= set(re.findall(r"python -m (routellm\.[\w.]+)", page.read_text()))
    assert named <= set(script("release_check").PROGRAMS)


def test_code_is_counted_for_the_crate_that_wrote_it() -> None:
    listing = """\
0000000000001000 0000000000000010 t <alloc::vec::Vec<ferroute::Price> as core::ops::Drop>::drop
0000000000001010 0000000000000020 t core::ptr::drop_in_place::<ferroute::Price>
0000000000001030 0000000000000040 T <&mut dyn jsonschema::Validate>::check
0000000000001070 0000000000000008 r ferroute::TABLE
                 U malloc
0000000000001078 0000000000000080 t sqlite3VdbeExec
"""
    found, total = script("library_size").sizes(listing)
    assert found == {"alloc": 16, "core": 32, "jsonschema": 64, "(other)": 128} and total == 240
