"""Requirements of a project: packages that clash with ferroute, are too old for it, or must not be installed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ferroute.doctor._findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ferroute.doctor._files import Document

COMPROMISED = {"litellm": ("1.82.7", "1.82.8")}
"""Releases that held code to steal credentials (2026-03-24; https://github.com/BerriAI/litellm/issues/24518)."""
OLDEST_OPENAI = (1, 40)
_REQUIREMENT = re.compile(
    r"""(?:^|["'\s])(routellm|ferroute|litellm|openai)\s*(?:\[[\w,\s-]*\])?\s*((?:[=<>!~]=?=?\s*[\w.*+!-]+\s*,?\s*)*)(?=$|["';#\s])""",
    re.IGNORECASE,
)
_PIN = re.compile(r"(===?|<=|<|~=)\s*v?([\d.]+)")


def of_pins(document: Document) -> Iterator[Finding]:
    """What is wrong with requirement files and with dependencies in TOML."""
    if document.kind != "requirements" and not document.path.endswith("pyproject.toml"):
        return
    places: dict[str, int] = {}
    section, key = "", ""
    for number, line in enumerate(document.text.splitlines(), start=1):
        said = re.sub(r"(^|\s)#.*", "", line)
        if document.kind == ".toml":
            if header := re.match(r"\s*\[+([^\]\"']+)\]", said):
                section, key = header[1].strip(), ""
            elif begun := re.match(r"\s*([\w-]+)\s*=", said):
                key = begun[1]
            # Keywords and lists of packages are strings, too.
            if not (key == "dependencies" or section.endswith(("dependencies", "dependency-groups"))):
                continue
        for name, pins in _REQUIREMENT.findall(said):
            package = name.lower()
            places.setdefault(package, number)
            yield from _of_pin(document.path, number, package, pins)
    if "routellm" in places and "ferroute" in places:
        yield Finding(
            "error",
            "installation",
            "routellm and ferroute are both required",
            "Both install a folder `routellm`, and whichever is installed last wins",
            "Remove routellm: ferroute answers to that name",
            document.path,
            places["routellm"],
        )
    elif "routellm" in places:
        yield Finding(
            "note",
            "installation",
            "routellm is required",
            "`import routellm` is served by ferroute as well",
            "Write ferroute in its place; the extras serve and eval have the same names",
            document.path,
            places["routellm"],
        )


def _of_pin(path: str, line: int, package: str, pins: str) -> Iterator[Finding]:
    for sign, version in _PIN.findall(pins):
        exact = sign.startswith("==")
        if exact and version in COMPROMISED.get(package, ()):
            yield compromised(package, version, path, line)
        if package == "openai" and _too_old(sign, version):
            yield Finding(
                "error",
                "installation",
                f"openai {sign}{version} keeps openai below 1.40",
                "ferroute needs openai 1.40 or later, so the two cannot be installed together",
                "Ask for openai>=1.40",
                path,
                line,
            )


def compromised(package: str, version: str, path: str = "", line: int | None = None) -> Finding:
    """A release that nobody should have."""
    return Finding(
        "error",
        "installation",
        f"{package} {version} was withdrawn: it held code that steals credentials",
        "It ran on every start of Python (https://github.com/BerriAI/litellm/issues/24518)",
        "Remove it, install another version, and change every key that this environment could read",
        path,
        line,
    )


def _too_old(sign: str, version: str) -> bool:
    found = version_of(version)
    if sign == "<":
        return found <= OLDEST_OPENAI
    if sign == "~=" and len(found) == 2:
        return found[0] < OLDEST_OPENAI[0]  # ~=1.30 is any 1.x from there on
    return found < OLDEST_OPENAI


def version_of(text: str) -> tuple[int, ...]:
    """The numbers a version begins with."""
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])
