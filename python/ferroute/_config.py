"""The YAML file with the arguments of each router, by name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, cast

from ferroute.errors import InvalidValueError, MissingFileError, UnreadableFileError


def read_config(path: str | os.PathLike[str] | None) -> dict[str, Any] | None:
    """Router name -> its arguments; None, the default configuration, without a file and for an empty one.

    Raises:
        MissingFileError: There is no such file.
        UnreadableFileError: It cannot be read.
        InvalidValueError: It is not YAML, or no mapping.
    """
    if path is None:
        return None
    import yaml

    name = os.fspath(path)
    try:
        found: Any = yaml.safe_load(Path(name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MissingFileError(f"{name}: there is no such configuration file") from None
    except OSError as error:
        raise UnreadableFileError(f"{name}: cannot be read: {error}") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        told = " ".join(str(error).split())  # the parser points at the place on lines of their own
        raise InvalidValueError(f"{name}: not readable as YAML: {told}") from None
    if found is None:
        return None
    if not isinstance(found, dict):
        raise InvalidValueError(f"{name}: expected a mapping from router names to their arguments")
    return cast("dict[str, Any]", found)
