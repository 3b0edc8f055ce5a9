"""What is installed beside ferroute: by the metadata of distributions, without importing any."""

from __future__ import annotations

import re
from collections import defaultdict
from importlib.metadata import distributions
from typing import TYPE_CHECKING, Any

from ferroute._installation import REPAIR, shadowed
from ferroute.doctor._findings import Finding
from ferroute.doctor._pins import COMPROMISED, OLDEST_OPENAI, compromised, version_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_WATCHED = ("ferroute", "routellm", "openai", "litellm")


def installed() -> dict[str, list[str]]:
    """Versions of the packages that matter here; more than one where two copies lie on the path."""
    found: dict[str, set[str]] = defaultdict(set)
    for distribution in distributions():
        metadata: Any = distribution.metadata
        name = re.sub(r"[-_.]+", "-", str(metadata["Name"] or "")).lower()
        if name in _WATCHED:
            found[name].add(str(distribution.version))
    return {name: sorted(versions, key=version_of) for name, versions in found.items()}


def of_installation(versions: Mapping[str, list[str]] | None = None, message: str | None = None) -> Iterator[Finding]:
    """What is wrong with it.

    Args:
        versions: As `installed` tells; None: looked up.
        message: As `ferroute._installation.shadowed` tells, where `versions` is given.
    """
    if versions is None:
        versions, message = installed(), shadowed()
    if message is not None:
        said = message.partition("; to repair it")[0]
        yield _of("error", said[:1].upper() + said[1:], "Code that imports routellm is not run by ferroute", REPAIR)
    elif "routellm" in versions:
        text = f"routellm {versions['routellm'][-1]} is installed beside ferroute; `import routellm` leads to ferroute"
        yield _of("warning", text, "The next installation or update of routellm takes the name back", REPAIR)
    for name, found in versions.items():
        if len(found) > 1:
            text = f"{name} is installed in {len(found)} versions: {', '.join(found)}"
            yield _of("warning", text, "Which of them is imported depends on the path", f"pip uninstall {name}; again")
        for version in found:
            if version in COMPROMISED.get(name, ()):
                yield compromised(name, version)
    openai = versions.get("openai", [])
    if not openai:
        yield _of("error", "openai is not installed", "Failed calls are its exceptions", 'pip install "openai>=1.40"')
    elif version_of(openai[-1]) < OLDEST_OPENAI:
        yield _of("error", f"openai {openai[-1]} is too old", "ferroute needs 1.40", 'pip install "openai>=1.40"')


def _of(severity: Any, what: str, why: str, command: str) -> Finding:
    return Finding(severity, "installation", what, why, f"To repair it: {command}")
