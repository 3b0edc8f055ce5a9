"""The YAML file with the arguments of each router, by name."""

from __future__ import annotations

import os
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
    from ferroute import _yaml

    name = os.fspath(path)
    try:
        found = _yaml.read(name)
    except FileNotFoundError:
        raise MissingFileError(f"{name}: there is no such configuration file") from None
    except OSError as error:
        raise UnreadableFileError(f"{name}: cannot be read: {error}") from error
    except InvalidValueError as error:
        raise InvalidValueError(f"{name}: {error}") from None
    if found is None:
        return None
    if not isinstance(found, dict):
        raise InvalidValueError(f"{name}: expected a mapping from router names to their arguments")
    return cast("dict[str, Any]", found)
