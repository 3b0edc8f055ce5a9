"""Fails unless a tag, `Cargo.toml` (the only place of the version) and `CHANGELOG.md` speak of the same version."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def problems(tag: str, cargo: str, changelog: str) -> list[str]:
    """What keeps this tag from being released.

    Args:
        tag: Name of the tag, `v` and the version.
        cargo: Text of `Cargo.toml`.
        changelog: Text of `CHANGELOG.md`, whose sections begin with `## <version> (<date or unreleased>)`.

    Returns:
        One sentence for each; none: it may be released.
    """
    package = re.search(r'^\[package\]\n(?:(?!\[).*\n)*?version = "([^"]+)"', cargo, re.MULTILINE)
    if package is None:
        return ["Cargo.toml names no version"]
    version = package[1]
    found = []
    if tag != f"v{version}":
        found.append(f"the tag is {tag}, Cargo.toml says {version}: the tag has to be v{version}")
    section = re.search(rf"^## {re.escape(version)} \(([^)]*)\)$", changelog, re.MULTILINE)
    if section is None:
        found.append(f"CHANGELOG.md has no section {version}")
    elif not re.fullmatch(r"\d{4}-\d\d-\d\d", section[1]):
        found.append(f"CHANGELOG.md has no date for {version}, but ({section[1]})")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tag", help="the tag that is to be released, for example v0.1.0")
    tag = parser.parse_args().tag
    found = problems(
        tag,
        (ROOT / "Cargo.toml").read_text(encoding="utf-8"),
        (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"),
    )
    for problem in found:
        print(problem, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
