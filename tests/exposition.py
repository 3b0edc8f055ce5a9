"""Reads Prometheus' text format (0.0.4) from its description, strictly: what a scraper would refuse is refused here."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"')
NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?|[+-]Inf|NaN")
SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",), "gauge": ("",)}

Labels = frozenset[tuple[str, str]]


@dataclass
class Family:
    kind: str
    help: str
    samples: dict[tuple[str, Labels], float] = field(default_factory=dict)


def read(text: str) -> dict[str, Family]:
    """Families by their names; raises AssertionError at what is not of the format."""
    assert text.endswith("\n"), "the last line has no end"
    families: dict[str, Family] = {}
    open_family = None
    lines = iter(text.split("\n")[:-1])
    for line in lines:
        if line.startswith("# HELP "):
            _, _, name, words = line.split(" ", 3)
            kind = next(lines).split(" ")
            assert kind[:3] == ["#", "TYPE", name] and kind[3] in SUFFIXES, line
            assert name not in families, f"{name} is there twice"
            open_family = families[name] = Family(kind[3], words)
            assert (kind[3] == "counter") == name.endswith("_total"), f"{name} is a {kind[3]}"
            continue
        assert not line.startswith("#") and open_family is not None, line
        sample, labels, value = _sample(line)
        assert sample in {name + suffix for suffix in SUFFIXES[open_family.kind]}, f"{sample} among {name}"
        assert (sample, labels) not in open_family.samples, f"{line} is there twice"
        open_family.samples[sample, labels] = value
    for name, family in families.items():
        if family.kind == "histogram":
            _check_histogram(name, family)
        elif family.kind == "counter":
            assert all(value >= 0 for value in family.samples.values()), name
    return families


def value(families: dict[str, Family], name: str, **labels: str) -> float | None:
    """The sample with exactly these labels, or None."""
    family = families.get(name) or families[re.sub("_(bucket|sum|count)$", "", name)]
    return family.samples.get((name, frozenset(labels.items())))


def total(families: dict[str, Family], name: str, **labels: str) -> float:
    """The sum of the samples that have these labels among theirs."""
    wanted = set(labels.items())
    found = families[name].samples.items() if name in families else ()
    return sum(number for (sample, has), number in found if sample == name and wanted <= has)


def _sample(line: str) -> tuple[str, Labels, float]:
    name = NAME.match(line)
    assert name, line
    rest = line[name.end() :]
    labels: dict[str, str] = {}
    if rest.startswith("{"):
        at = 1
        while True:
            label = LABEL.match(rest, at)
            assert label and label[1] not in labels, line
            labels[label[1]] = re.sub(r"\\(.)", lambda one: {"n": "\n"}.get(one[1], one[1]), label[2])
            at = label.end()
            if rest[at] == "}":
                break
            assert rest[at] == ",", line
            at += 1
        rest = rest[at + 1 :]
    assert rest.startswith(" ") and NUMBER.fullmatch(rest[1:]), line
    return name[0], frozenset(labels.items()), float(rest[1:])


def _check_histogram(name: str, family: Family) -> None:
    series: dict[Labels, list[tuple[float, float]]] = {}
    for (sample, labels), number in family.samples.items():
        if sample == f"{name}_bucket":
            (bound,) = [float(value) for label, value in labels if label == "le"]
            rest = frozenset(pair for pair in labels if pair[0] != "le")
            series.setdefault(rest, []).append((bound, number))
    for labels, buckets in series.items():
        bounds, counts = zip(*buckets, strict=True)
        assert list(bounds) == sorted(bounds) and bounds[-1] == math.inf, name
        assert list(counts) == sorted(counts), f"{name}: buckets are not cumulative"
        assert family.samples[f"{name}_count", labels] == counts[-1], name
        assert (f"{name}_sum", labels) in family.samples, name
