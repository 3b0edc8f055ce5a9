"""Where saved calibration tables are, and which router they belong to. Cheap: a Controller asks at its start."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, cast

# The Controller loads this module, so what is not always needed is imported where it is.
if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

KEY = "calibration"
"""The key of a router's config entry that names a table; the router itself does not get it."""

# Settings that change nothing about scores, or must not be written down.
_ASIDE = {KEY, "api_key", "token", "organization", "timeout", "max_retries", "extra_headers", "extra_query"}

# How much of a file's beginning, middle and end counts: reading a checkpoint whole would take seconds.
_PIECE = 64 << 10


def folder() -> Path:
    """Where tables are saved: ``FERROUTE_CALIBRATION``, or a folder of this user's data. It need not exist."""
    from pathlib import Path

    return Path(_folder())


def _folder() -> str:
    chosen = os.environ.get("FERROUTE_CALIBRATION")
    if chosen:
        return os.path.expanduser(chosen)  # noqa: PTH111
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Application Support"
    else:
        base = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return os.path.join(os.path.expanduser(base), "ferroute", "calibration")  # noqa: PTH111, PTH118


def file_name(router: str, fingerprint: str | None) -> str:
    """The name of the table of a router and configuration in the folder."""
    return f"{_plain(router)}-{(fingerprint or 'any')[:16]}.json"


def find(name: str, entry: Mapping[str, Any] | None, router: Any) -> Path | None:
    """The saved table for a router and its configuration, if there is one."""
    try:
        begins = f"{_plain(name)}-"
        if not any(found.startswith(begins) for found in os.listdir(_folder())):  # noqa: PTH208
            return None
        path = folder() / file_name(name, fingerprint(name, entry, router))
        return path if path.is_file() else None
    except OSError:
        return None


def fingerprint(name: str, entry: Mapping[str, Any] | None, router: Any = None) -> str:
    """Tells configurations of a router apart: its name, its arguments, and the files these name; its code if not ours.

    A file counts by its size and pieces of its content, so that a checkpoint may be copied to another machine; keys,
    headers and timeouts do not count. A name on the Hub counts as it is written.
    """
    import hashlib
    import json

    told = hashlib.sha256()
    told.update(json.dumps([name, _settings(dict(entry or {}))], sort_keys=True, default=_code).encode())
    for path in _paths(entry or {}):
        _files(told, path)
    # What a router ships about its own scores changes when its weights do.
    told.update(json.dumps([float(score) for score in getattr(router, "score_quantiles", ())]).encode())
    if router is not None:
        told.update(json.dumps(_home(router)).encode())
    return told.hexdigest()


def _home(router: Any) -> list[str]:
    """Where a router of the user's comes from: names and source of its classes, patched methods, its ``cache_key``.

    Nothing for a built-in one, whose code is that of this package.
    """
    from ferroute.routers.base import Router, is_built_in

    if is_built_in(router):
        return []
    import inspect

    own: dict[str, Any] = getattr(router, "__dict__", {})
    patches = [value for _, value in sorted(own.items()) if hasattr(value, "__code__")]
    classes = [one for one in type(router).__mro__ if one not in Router.__mro__]
    told = [str(getattr(router, "cache_key", ""))]
    for part in (*classes, *patches):
        told.append(f"{part.__module__}.{part.__qualname__}")
        if part.__module__.startswith("ferroute."):
            continue  # the code of this package does not count for anybody
        try:
            told.append(inspect.getsource(part))
        except (OSError, TypeError):  # written in no file
            told.append("")
    return told


def _plain(name: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c in "._") else "_" for c in name)


def _settings(value: Any) -> Any:
    if isinstance(value, dict):
        items = cast("dict[Any, Any]", value).items()
        # A path counts by what is there, so the same checkpoint may lie elsewhere.
        return {str(key): _settings(item) for key, item in items if key not in _ASIDE}
    if isinstance(value, (list, tuple)):
        return [_settings(item) for item in cast("list[Any]", value)]
    if isinstance(value, (str, os.PathLike)) and _existing(cast("str | os.PathLike[str]", value)) is not None:
        return "a path"
    return cast("Any", value)


def _code(value: Any) -> str:
    """An object of the user's (an embedder, say) by its name: its address would differ in each process."""
    name = getattr(value, "__qualname__", None)
    return f"{value.__module__}.{name}" if name else f"{type(value).__module__}.{type(value).__qualname__}"


def _paths(value: Any) -> list[Path]:
    if isinstance(value, dict):
        items = sorted(cast("dict[Any, Any]", value).items(), key=lambda item: str(item[0]))
        return [path for key, item in items if key not in _ASIDE for path in _paths(item)]
    if isinstance(value, (list, tuple)):
        return [path for item in cast("list[Any]", value) for path in _paths(item)]
    if isinstance(value, (str, os.PathLike)):
        path = _existing(cast("str | os.PathLike[str]", value))
        return [] if path is None else [path]
    return []


def _existing(value: str | os.PathLike[str]) -> Path | None:
    from pathlib import Path

    try:
        path = Path(value).expanduser()
        return path if os.fspath(value) and path.exists() else None
    except (OSError, ValueError, RuntimeError):
        return None


def _files(told: Any, path: Path) -> None:
    import json

    inside = sorted(found for found in path.rglob("*") if found.is_file()) if path.is_dir() else [path]
    for found in inside:
        relative = found.relative_to(path)
        if any(part.startswith(".") for part in relative.parts):
            continue
        size = found.stat().st_size
        told.update(json.dumps([relative.as_posix(), size]).encode())
        with found.open("rb") as stream:
            for at in sorted({0, max(size // 2 - _PIECE // 2, 0), max(size - _PIECE, 0)}):
                stream.seek(at)
                told.update(stream.read(_PIECE))
