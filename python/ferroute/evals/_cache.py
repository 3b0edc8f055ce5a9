"""Win rates kept between runs, in the user's cache folder, under everything they depend on.

The key is a hash of the router (its class and the source of it, its state as pickle sees it, the files it names), of
this version of ferroute, and of the prompts. Only routers of this package are kept, and only as they are: what an
override, a patch or a callable depends on cannot be known. A router of the user's own is kept if its attribute
``cache_key`` is a string that changes whenever its scores do. Files that cannot be read, or hold something else, are as
good as absent.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray


def folder(benchmark: str) -> Path:
    """Where win rates of a benchmark are kept; ``FERROUTE_CACHE_DIR`` moves it."""
    return _root() / "evals" / benchmark


def _root() -> Path:
    if given := os.environ.get("FERROUTE_CACHE_DIR"):
        return Path(given).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "ferroute"


def key(router: Any, prompts: Sequence[str]) -> str | None:
    """A name for the win rates of ``prompts`` under ``router``; None if they should not be kept."""
    import pickle

    from ferroute import _core

    named = getattr(router, "cache_key", None)
    if not isinstance(named, str) and not _known(router):
        return None
    digest = hashlib.sha256()
    environment = [f"{name}={os.environ.get(name)}" for name in ("OPENAI_BASE_URL", "OPENAI_API_BASE")]
    core = _stamp(Path(_core.__file__ or ""))
    for part in (_core.__version__, core, *environment, *_sources(type(router))):
        digest.update(part.encode() + b"\0")
    try:
        digest.update(named.encode() if isinstance(named, str) else pickle.dumps(router, protocol=4))
    except Exception:  # whatever __reduce__ raises
        return None
    for path in _paths(router):
        digest.update(f"{path}\0{_stamp(path)}\0".encode("utf-8", "surrogatepass"))
    for prompt in prompts:
        digest.update(prompt.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()[:32]


def _known(router: Any) -> bool:
    """Whether the scores of a router depend on nothing but what the key holds."""
    from ferroute._openai_client import assigned
    from ferroute.embedding import LocalEmbedder, PromptEmbedder
    from ferroute.routers.base import is_built_in
    from ferroute.routers.routers import RandomRouter

    if isinstance(router, RandomRouter) or not is_built_in(router):
        return False
    values: list[Any] = list(getattr(router, "__dict__", {}).values())
    if any(callable(value) and hasattr(value, "__code__") for value in values):
        return False
    for embedder in values:
        if isinstance(embedder, PromptEmbedder):
            call: Any = getattr(embedder, "_call", None)
            if assigned() is not None or (call is not None and not isinstance(call, LocalEmbedder)):
                return False
    return True


def _sources(cls: Any) -> Iterator[str]:
    """The code that a class and those it comes from were written in, as far as it can be had."""
    import inspect

    for one in cls.__mro__[:-1]:
        yield f"{one.__module__}.{one.__qualname__}"
        with contextlib.suppress(OSError, TypeError):
            yield inspect.getsource(sys.modules.get(one.__module__) or one)


def _paths(router: Any) -> Iterator[Path]:
    """Files and folders that the router's attributes name: they may change while the name stays."""
    for value in getattr(router, "__dict__", {}).values():
        parts = cast("list[Any]", value) if isinstance(value, (list, tuple)) else [value]
        for one in parts:
            if isinstance(one, (str, Path)) and 0 < len(str(one)) < 4096:
                path = Path(one)
                with contextlib.suppress(OSError, ValueError):
                    if path.exists():
                        yield path


def _stamp(path: Path) -> str:
    """Sizes and times of a file, or of the files of a folder."""
    with contextlib.suppress(OSError):
        files = sorted(path.iterdir())[:1000] if path.is_dir() else [path]
        return ";".join(f"{one.name}:{one.stat().st_size}:{one.stat().st_mtime_ns}" for one in files)
    return ""


def load(path: Path, rows: int) -> NDArray[np.float64] | None:
    """The win rates in a file, if that is what it holds, to the byte: a header is never believed."""
    import numpy as np

    header = _header(rows)
    try:
        # Its size first: a damaged file may be of any.
        if path.stat().st_size != len(header) + 8 * rows:
            return None
        data = path.read_bytes()
    except OSError:
        return None
    if len(data) != len(header) + 8 * rows or not data.startswith(header):
        return None
    rates = np.frombuffer(data, "<f8", offset=len(header)).astype(np.float64)
    return rates if np.isfinite(rates).all() else None


def _header(rows: int) -> bytes:
    """How numpy begins a file of that many win rates."""
    import io

    import numpy as np

    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f8", "fortran_order": False, "shape": (rows,)})
    return buffer.getvalue()


def save(path: Path, rates: NDArray[np.float64]) -> None:
    """Keeps win rates; where nothing can be written they are computed again next time."""
    import uuid

    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        # Under a name of its own first: another process may be writing the same.
        part = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
        try:
            with part.open("xb") as file:
                file.write(_header(rates.size) + rates.astype("<f8").tobytes())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
