"""Writes `docs/benchmarks.md` from what `run.py` kept: machine, versions, commands, figures with their spread.

No figure is typed. A script that was not run, or a peer that was left out, is named with the command that would run it.
"""

from __future__ import annotations

import argparse
import ast
import json
import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any

from run import HERE, LETTERS, RESULTS, SCRIPTS, Script

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = HERE.parent / "docs" / "benchmarks.md"
# Numbers that say what was measured, not what came out.
PARAMETERS = {
    "words", "threads", "rows", "rungs", "models", "battles", "dim", "calls", "tokens", "shared", "text_dim", "epochs",
    "connections", "utterances", "routes", "prompts", "resamples", "thresholds",
}  # fmt: skip
LEAST, MIDDLE, MOST = ("min", "least"), ("median", "middle"), ("max", "p90", "most")
HEAD = """# Benchmarks

Written by `benches/report.py` from `benches/results/`; nothing here is typed by hand. To make it anew:

    make bench                                     # an optimised wheel; our rows, then this page
    python benches/run.py --peer-python A --litellm-python B --peers DIR --floor PROGRAM --portkey FOLDER
    python benches/report.py                       # this page

[benches/README.md](../benches/README.md) says what the letters stand for and how each figure is taken. Times move with
the machine and its load; ratios within one run are what to compare. "Least" and "most" are over all turns of all runs
(where a script gives a 90th percentile but no largest, that is "most"); a dash: taken once.
"""


def read(folder: Path) -> dict[str, dict[str, Any]]:
    """Results by script; a script without a file was not run."""
    found = {}
    for script in SCRIPTS:
        path = folder / f"{script.name}.json"
        kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"not_run": "no results"}
        found[script.name] = kept
    return found


def leaves(line: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Names and values of the figures of a line; a spread (median and least) is one figure."""
    for name, value in line.items():
        if isinstance(value, dict) and not any(key.split("_")[0] in MIDDLE for key in value):
            yield from leaves(value, f"{prefix}{name}, ")
        else:
            yield prefix + name, value


def identity(line: dict[str, Any]) -> str:
    """What a line is about: its name, its words and its parameters."""
    said = [str(line.get("bench", ""))]
    for name, value in line.items():
        if name not in ("bench", "unit") and (isinstance(value, str) or name in PARAMETERS):
            said.append(f"{name} {value}")
    return ", ".join(part for part in said if part)


def of(value: Any, kind: tuple[str, ...]) -> float | None:
    """The least, middle or most of a figure: of a spread the one it has, of a single number the number."""
    if isinstance(value, dict):
        by_kind = {key.split("_")[0]: figure for key, figure in value.items()}
        return next((by_kind[key] for key in kind if key in by_kind), None)
    return value


def shown(figure: float | None) -> str:
    if figure is None:
        return "-"
    if figure == 0 or abs(figure) >= 1e-3:
        return f"{figure:,.4g}" if abs(figure) < 1000 else f"{figure:,.0f}"
    return f"{figure:.1e}"


def figures(runs: list[list[dict[str, Any]]]) -> Iterator[tuple[str, str, str, str, str]]:
    """Rows of the table: what, which figure, least, median, most."""
    values: dict[tuple[str, str], list[Any]] = {}
    for lines in runs:
        seen: dict[str, int] = {}
        for line in lines:
            name = identity(line)
            seen[name] = seen.get(name, 0) + 1
            name += f" ({seen[name]})" if seen[name] > 1 else ""
            unit = f" ({line['unit']})" if "unit" in line else ""
            told = {key: value for key, value in line.items() if key not in PARAMETERS and not isinstance(value, str)}
            for what, value in leaves(told):
                if isinstance(value, (dict, int, float)) and not isinstance(value, bool):
                    values.setdefault((name, what.replace("_", " ") + unit), []).append(value)
    for (name, what), found in values.items():
        middles = [figure for value in found if (figure := of(value, MIDDLE)) is not None]
        # A target is no measurement.
        spread = (len(found) > 1 or isinstance(found[0], dict)) and not what.startswith("target")
        least = [figure for value in found if (figure := of(value, LEAST)) is not None] if spread else []
        most = [figure for value in found if (figure := of(value, MOST)) is not None] if spread else []
        middle = statistics.median(middles) if middles else None
        yield name, what, shown(min(least) if least else None), shown(middle), shown(max(most) if most else None)


def title(script: Script) -> str:
    """First sentence of the script's own description."""
    text = ast.get_docstring(ast.parse((HERE / f"{script.name}.py").read_text(encoding="utf-8"))) or script.name
    return " ".join(text.split("\n\n")[0].split())


def section(script: Script, kept: dict[str, Any]) -> Iterator[str]:
    """One script's part of the page."""
    yield f"\n## `{script.name}`\n"
    yield f"{title(script)}\n"
    machine, ours = kept["machine"], dict(kept["ours"])
    yield f"    {kept['command']}\n"
    size = ours.pop("library_mb")
    where = [
        machine["processor"],
        f"{machine['cores']} cores",
        f"{machine.get('memory_gib', '?')} GiB",
        machine["system"],
    ]
    yield f"- {kept['date']}, {', '.join(where)}; load before it {machine.get('load_before', '?')}"
    yield f"- {', '.join(f'{name} {version}' for name, version in ours.items())}; library of {size} MB"
    for letter, found in kept["peers"].items():
        yield f"- {letter}: {', '.join(f'{name} {version}' for name, version in found.items())}"
    yield f"- {len(kept['runs'])} run{'s' if len(kept['runs']) > 1 else ''}, {kept['seconds']} s"
    if kept["left_out"]:
        options = ", ".join(f"`{option}`" for option in kept["left_out"])
        yield f"- **not run**: rows of the peers that {options} would add"
    yield "\n| what | figure | least | median | most |\n|---|---|---|---|---|"
    for row in figures(kept["runs"]):
        yield f"| {' | '.join(row)} |"


def page(results: dict[str, dict[str, Any]]) -> str:
    """The whole page."""
    parts = [HEAD]
    absent = [script for script in SCRIPTS if "runs" not in results[script.name]]
    if absent:
        parts.append("\n## Not run\n")
        parts.append("| script | why | how |\n|---|---|---|")
        for script in absent:
            options = f" {needed}" if (needed := _options(script)) else ""
            why = results[script.name]["not_run"]
            parts.append(f"| `{script.name}` | {why} | `python benches/run.py --only {script.name}{options}` |")
    for script in SCRIPTS:
        if "runs" in results[script.name]:
            parts.extend(section(script, results[script.name]))
    return "\n".join(parts).rstrip() + "\n"


def _options(script: Script) -> str:
    return " ".join(f"--{option} {LETTERS[option]}" for option in script.takes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--page", type=Path, default=PAGE)
    args = parser.parse_args()
    args.page.write_text(page(read(args.results)), encoding="utf-8")


if __name__ == "__main__":
    main()
