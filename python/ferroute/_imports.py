"""Modules of the user's that a command imports before it looks at the registry of routers."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from ferroute.errors import InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Sequence


def import_modules(modules: Sequence[str]) -> None:
    """Imports modules by name; those of the working directory are found too.

    Raises:
        InvalidValueError: One cannot be imported.
    """
    import importlib

    if modules and os.getcwd() not in sys.path:  # noqa: PTH109
        sys.path.insert(0, os.getcwd())  # noqa: PTH109
    try:
        for module in modules:
            importlib.import_module(module)
    except ImportError as error:
        raise InvalidValueError(f"--import: {error}") from error
