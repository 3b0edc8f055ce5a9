"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from ferroute.errors import UnreadableFileError

if TYPE_CHECKING:
    from os import PathLike


def write_whole(path: str | PathLike[str], text: str) -> Path:
    """Writes ``text`` beside the file and puts it in its place, so a reader never sees a part.

    Raises:
        UnreadableFileError: It cannot be written; an older file is still there.
    """
    target = Path(path)
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8")
        put(part, target)
    except BaseException as error:  # a signal's handler may raise anything
        part.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise UnreadableFileError(f"{target}: cannot be written: {error}") from error
        raise
    return target


def put(part: Path, target: Path) -> None:
    """Gives a finished file its name. A device or a pipe, such as ``/dev/null``, gets its content and stays what it is.

    Raises:
        OSError: It cannot be done.
    """
    if target.exists() and not target.is_file() and not target.is_dir():
        with part.open("rb") as made, target.open("wb") as taker:
            shutil.copyfileobj(made, taker)
        part.unlink()
    else:
        part.replace(target)
