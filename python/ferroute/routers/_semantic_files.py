"""Thresholds of semantic routes, as they are given and in files."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from ferroute.errors import CheckpointError, InvalidTypeError, InvalidValueError, MissingFileError, UnreadableFileError

FORMAT = 1


def checked(given: Any, routes: Mapping[str, tuple[str, ...]], embedder: Mapping[str, Any]) -> dict[str, float]:
    """The thresholds of the routes that have one, from a number, a mapping, or the path of a file.

    Raises:
        InvalidTypeError: It is something else.
        InvalidValueError: A name is of no route, or a number not in -1..=1.
    """
    if given is None:
        return {}
    if isinstance(given, (str, os.PathLike)):
        return read(cast("str | os.PathLike[str]", given), routes, embedder)
    if isinstance(given, Mapping):
        pairs = cast("Mapping[Any, Any]", given)
        for name in pairs:
            if name not in routes:
                raise InvalidValueError(f"thresholds has {name!r}, which is no route; there are {', '.join(routes)}")
        return {name: _number(f"thresholds[{name!r}]", pairs[name]) for name in pairs}
    return dict.fromkeys(routes, _number("thresholds", given))


def save(
    path: str | os.PathLike[str],
    routes: Mapping[str, tuple[str, ...]],
    embedder: Mapping[str, Any],
    thresholds: Mapping[str, float],
) -> None:
    """Writes the thresholds, and what they are for.

    Raises:
        UnreadableFileError: The file cannot be written.
    """
    held = {
        "format": FORMAT,
        "embedder": dict(embedder),
        "routes": {name: {"threshold": thresholds[name], "utterances": _hash(routes[name])} for name in routes},
    }
    try:
        Path(path).write_text(json.dumps(held, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise UnreadableFileError(f"{os.fspath(path)}: cannot be written: {error}") from error


def read(
    path: str | os.PathLike[str], routes: Mapping[str, tuple[str, ...]], embedder: Mapping[str, Any]
) -> dict[str, float]:
    """The thresholds of a file, if they are for these routes and this embedder.

    Raises:
        MissingFileError: There is no such file.
        CheckpointError: They are not, or the file is damaged.
    """
    try:
        held: Any = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MissingFileError(f"no file of thresholds at {os.fspath(path)!r}") from None
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{os.fspath(path)!r} is no JSON: {error}") from None
    try:
        version, made_with, saved = held["format"], held["embedder"], dict(held["routes"])
        found = {name: (float(entry["threshold"]), entry["utterances"]) for name, entry in saved.items()}
    except (KeyError, TypeError, ValueError, AttributeError):
        raise CheckpointError(
            f"{os.fspath(path)!r} is no file of thresholds as SemanticRouter.save writes it"
        ) from None
    if version != FORMAT:
        raise CheckpointError(f"{os.fspath(path)!r} has format {version!r}: expected {FORMAT}")
    if made_with != dict(embedder):
        raise CheckpointError(
            f"{os.fspath(path)!r} was fitted with the embedder {made_with.get('model')!r}, and this router has "
            f"{embedder['model']!r}: fit again"
        )
    if set(found) != set(routes):
        known, others = ", ".join(routes), ", ".join(found)
        raise CheckpointError(f"{os.fspath(path)!r} is of the routes {others}: expected {known}")
    for name, (threshold, utterances) in found.items():
        if utterances != _hash(routes[name]):
            raise CheckpointError(
                f"{os.fspath(path)!r}: route {name!r} had other utterances when it was fitted: fit again"
            )
        _number(f"{os.fspath(path)!r}: the threshold of {name!r}", threshold)
    return {name: threshold for name, (threshold, _) in found.items()}


def _hash(texts: tuple[str, ...]) -> str:
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:16]


def _number(what: str, value: Any) -> float:
    if isinstance(value, (str, bytes, bool)) or not hasattr(value, "__float__"):
        raise InvalidTypeError(f"{what} is a number from -1 to 1; found {value!r:.60}")
    number = float(value)
    if math.isnan(number) or not -1 <= number <= 1:
        raise InvalidValueError(f"{what} is from -1 to 1, found {number}")
    return number
