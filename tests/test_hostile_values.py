"""Every public callable of the core against hostile values: an answer or an error that says why, never worse."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hostile.limits import posix

if TYPE_CHECKING:
    from typing import Any

TESTS = Path(__file__).parent


def run(part: str, folder: Path, *only: str) -> dict[str, Any]:
    """What `hostile.run` reports; a crash, a hang of ten seconds and a panic in a thread fail the test."""
    ended = subprocess.run(
        [sys.executable, "-m", "hostile.run", part, *only],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(TESTS), "RUST_BACKTRACE": "0"},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    call = (folder / "call.txt").read_text().strip() if (folder / "call.txt").exists() else "before the first call"
    assert ended.returncode == 0, f"ended with {ended.returncode} in {call}:\n{ended.stderr[-3000:]}"
    assert "panicked at" not in ended.stderr, f"{ended.stderr[-3000:]}"
    return json.loads(ended.stdout)


@posix
@pytest.mark.timeout(120)
def test_no_value_gets_worse_than_an_error(tmp_path: Path) -> None:
    """No panic, no crash, no hang, no error that is a slip of ours; and a new callable needs a recipe."""
    found = run("core", tmp_path)
    assert not found["offences"], "\n".join(found["offences"])
    assert found["made"] > 5_000
    assert Path("/dev/null").is_char_device(), "a file was put in the place of a device"


@posix
def test_the_search_finds_what_it_is_for(tmp_path: Path) -> None:
    """With an argument that no recipe has, it says so; the faults it looks for are not swallowed by it."""
    code = """
import asyncio, json, os
from hostile import run
from ferroute._core import label_probability
calls = run.Calls()
class Panic(BaseException): pass
def panics(): raise Panic("panicked")
def slips(): raise RecursionError("deep")
def says(): raise ValueError("expected a number")
async def all_of_them():
    for each in (panics, slips, says): await calls.make(each.__name__, each, {})
asyncio.run(all_of_them())
print(json.dumps(calls.offences))
"""
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert [said.split(":")[0] for said in json.loads(ended.stdout)] == ["panics", "slips"]
