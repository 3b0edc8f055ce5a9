"""The page of benchmarks is what `benches/report.py` makes of the kept results, and says what was not run."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def benches(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "benches"))
    import report
    import run

    yield argparse.Namespace(run=run, report=report)
    for name in ("run", "report"):
        sys.modules.pop(name)


def rows(page: str, name: str) -> list[list[str]]:
    part = page.split(f"\n## `{name}`\n")[1].split("\n## ", maxsplit=1)[0]
    table = [line for line in part.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[1:]]


def test_the_page_is_what_the_results_say(benches: Any) -> None:
    page = benches.report.page(benches.report.read(benches.run.RESULTS))
    assert (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8") == page, "run: python benches/report.py"


def test_every_script_is_run_by_run(benches: Any) -> None:
    helpers = {"run", "report", "common"}
    assert {path.stem for path in (ROOT / "benches").glob("*.py")} - helpers == {s.name for s in benches.run.SCRIPTS}


def test_results_name_no_folder_of_a_machine(benches: Any) -> None:
    for path in benches.run.RESULTS.glob("*.json"):
        kept = json.loads(path.read_text(encoding="utf-8"))
        assert "not_run" in kept or not any(word.startswith(("/", "~")) for word in kept["command"].split()), path.name


def kept(runs: list[list[dict[str, Any]]]) -> dict[str, Any]:
    return {
        "command": "python benches/imports.py",
        "date": "2026-11-27",
        "machine": {"processor": "x", "cores": 2, "system": "y"},
        "ours": {"ferroute": "0.1.0", "library_mb": 30.0},
        "peers": {},
        "left_out": ["--peer-python A"],
        "seconds": 3,
        "runs": runs,
    }


def test_the_spread_is_over_all_turns_of_all_runs(benches: Any) -> None:
    def run(median: float, least: float, most: float, once: float) -> list[dict[str, Any]]:
        spread = {"median": median, "min": least, "p90": median, "max": most}
        return [
            {"bench": "a", "words": 10, "unit": "us", "time": spread, "target_time": 5},
            {"bench": "a", "words": 50, "unit": "us", "time": {"score": spread}},
            {"bench": "b", "kind": "x", "once": once, "ok": True},
        ]

    results = {script.name: {"not_run": "no results"} for script in benches.run.SCRIPTS}
    results["imports"] = kept([run(3, 2, 9, 1), run(4, 1, 7, 0.0002), run(5, 3, 8, 12345)])
    page = benches.report.page(results)
    assert rows(page, "imports") == [
        ["a, words 10", "time (us)", "1", "4", "9"],
        ["a, words 10", "target time (us)", "-", "5", "-"],
        ["a, words 50", "time, score (us)", "1", "4", "9"],
        ["b, kind x", "once", "2.0e-04", "1", "12,345"],
    ]
    assert "**not run**: rows of the peers that `--peer-python A` would add" in page
    assert "| `gateway` | no results | `python benches/run.py --only gateway --peers DIR --floor PROGRAM" in page
    results["imports"] = kept([run(3, 2, 9, 1)])
    assert rows(benches.report.page(results), "imports")[-1] == ["b, kind x", "once", "-", "1", "-"]


def test_what_fails_or_lacks_something_is_kept_as_not_run(benches: Any, tmp_path: Path) -> None:
    run = benches.run
    assert run.run(run.Script("calls", ("peers",), needs=("peers",)), {}, 1, tmp_path)
    assert json.loads((tmp_path / "calls.json").read_text())["not_run"] == "needs --peers DIR"
    assert not run.run(run.Script("no_such_script"), {}, 1, tmp_path)
    assert json.loads((tmp_path / "no_such_script.json").read_text())["not_run"].startswith("failed with code")
