"""The files of a project, read with bounds: size, number, time; links to folders are not followed."""

from __future__ import annotations

import ast
import json
import os
import re
import stat
import time
import warnings
from collections import Counter
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from ferroute._one_line import one_line
from ferroute.doctor._findings import Seen

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGEST = 2_000_000
MOST_FILES = 20_000
_SKIPPED = frozenset(
    (
        ".git", ".hg", ".svn", ".venv", "venv", "env", ".tox", ".nox", "node_modules", "__pycache__", "site-packages",
        ".mypy_cache", ".ruff_cache", ".pytest_cache", ".ipynb_checkpoints", "target", "dist", "build",
    )
)  # fmt: skip
_READ = frozenset((".py", ".ipynb", ".yaml", ".yml", ".md", ".toml"))
# IPython's own lines, which are no Python.
_MAGIC = re.compile(r"^(\s*)[%!?].*$|^(\s*).*\?$", re.MULTILINE)


class Code(NamedTuple):
    """A piece of Python: a file, or a cell of a notebook.

    Attributes:
        text: The source.
        tree: What it means; None where it is no Python.
        cell: Of a notebook, from 1.
    """

    text: str
    tree: ast.Module | None
    cell: int | None


class Document:
    """A file as it was read.

    Attributes:
        path: As it is shown, from the project's folder.
        kind: Its ending, ``requirements`` or ``.env``.
        text: All of it.
    """

    def __init__(self, path: str, kind: str, text: str) -> None:
        self.path, self.kind, self.text = path, kind, text

    @property
    def is_environment(self) -> bool:
        """Whether it holds variables, of which only names may be looked at."""
        return self.kind == ".env"

    @cached_property
    def code(self) -> list[Code]:
        """Its Python."""
        if self.kind == ".py":
            return [Code(self.text, _parsed(self.text), None)]
        if self.kind == ".ipynb":
            return [Code(text, _parsed(_plain(text)), number) for number, text in self._cells("code")]
        return []

    @cached_property
    def prose(self) -> list[tuple[int | None, str]]:
        """What is written for people: a page, or cells of a notebook, with their number."""
        if self.kind == ".md":
            return [(None, self.text)]
        return [(number, text) for number, text in self._cells("markdown")] if self.kind == ".ipynb" else []

    @cached_property
    def about_routing(self) -> bool:
        """Whether it speaks of RouteLLM or of ferroute."""
        return re.search("routellm|ferroute|route_llm|win.?rate", self.text, re.IGNORECASE) is not None

    def _cells(self, kind: str) -> Iterator[tuple[int, str]]:
        try:
            held: Any = json.loads(self.text)
        except (ValueError, RecursionError):
            return
        cells: Any = cast("dict[str, Any]", held).get("cells") if isinstance(held, dict) else None
        for number, cell in enumerate(cast("list[Any]", cells) if isinstance(cells, list) else (), start=1):
            if not isinstance(cell, dict) or cast("dict[str, Any]", cell).get("cell_type") != kind:
                continue
            source: Any = cast("dict[str, Any]", cell).get("source", "")
            lines = cast("list[Any]", source) if isinstance(source, list) else [source]
            yield number, "".join(map(str, lines))


def _plain(cell: str) -> str:
    """A cell without IPython's lines; the others keep their numbers."""
    return _MAGIC.sub(lambda found: f"{found[1] or found[2] or ''}pass", cell)


def _parsed(text: str) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            # A wrong escape in somebody's string is not our subject.
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


class Walk:
    """Counts what was read and what was not."""

    def __init__(self) -> None:
        self.files: Counter[str] = Counter()
        self.left_out: Counter[str] = Counter()
        self.complete = True

    def seen(self) -> Seen:
        """The counts."""
        return Seen(dict(self.files), dict(self.left_out), self.complete)


def kind_of(name: str) -> str | None:
    """What a file of this name is read as; None: not read."""
    lower = name.lower()
    if lower.startswith("requirements") and lower.endswith((".txt", ".in")):
        return "requirements"
    if lower == ".env" or lower.startswith(".env.") or lower.endswith(".env"):
        return ".env"
    ending = os.path.splitext(lower)[1]  # noqa: PTH122
    return ending if ending in _READ else None


def documents(root: Path, walk: Walk, seconds: float) -> Iterator[Document]:
    """Files of a project, in the order of their names."""
    end = time.monotonic() + seconds
    for path in _paths(root):
        if path != root and path.is_symlink():
            continue
        kind = kind_of(path.name)
        if kind is None:
            if path == root:
                walk.left_out["of another kind"] += 1
            continue
        if time.monotonic() > end or walk.files.total() >= MOST_FILES:
            walk.complete = False
            return
        shown = one_line(path.name if path == root else path.relative_to(root).as_posix())
        document = _read(path, shown, kind, walk)
        if document is not None:
            walk.files[kind] += 1
            yield document


def _paths(root: Path) -> Iterator[Path]:
    if not root.is_dir():
        yield root
        return
    for folder, folders, names in os.walk(root):
        here = Path(folder)
        # A virtual environment may have any name.
        folders[:] = sorted(
            name for name in folders if name not in _SKIPPED and not (here / name / "pyvenv.cfg").is_file()
        )
        for name in sorted(names):
            yield here / name


def _read(path: Path, shown: str, kind: str, walk: Walk) -> Document | None:
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            return None
        if found.st_size > LARGEST:
            walk.left_out["over 2 MB"] += 1
            return None
        with path.open("rb") as file:
            # It may have grown meanwhile.
            text = file.read(LARGEST).decode("utf-8-sig", "replace")
    except OSError:
        walk.left_out["not readable"] += 1
        return None
    return Document(shown, kind, text)
