"""Whether the name `routellm` leads here, and what to do when it does not.

The original distribution installs a folder of the same name. Installed after ferroute its empty ``__init__.py``
hides the alias (uninstalled again, it brings the alias back: see `ferroute._alias`); nobody could say so from inside
those files, so the first Controller and the command line do.
"""

from __future__ import annotations

import sys
import warnings
from importlib.machinery import PathFinder
from pathlib import Path

REPAIR = "pip uninstall -y routellm; pip install --force-reinstall --no-deps ferroute"
_MARK = "__ferroute_alias__"


def shadowed() -> str | None:
    """One message with the repairing command if `import routellm` would not lead to ferroute, else None."""
    loaded = sys.modules.get("routellm")
    if loaded is not None:
        if getattr(loaded, _MARK, False) or getattr(loaded, "__file__", None) is None:
            return None  # ours, or a stub that a test has put there
    elif getattr(sys, "frozen", False):
        return None  # a bundled program holds just the modules it asked for
    spec = PathFinder.find_spec("routellm")
    if spec is None or spec.origin is None:
        return f"the alias `routellm` is missing from this installation of ferroute; to repair it: {REPAIR}"
    try:
        ours = _MARK in Path(spec.origin).read_text(encoding="utf-8")
    except OSError:
        return None
    if ours:
        return None
    return (
        "`import routellm` loads the original package, not ferroute: both are installed and the original's files "
        f"lie over the alias; to repair it: {REPAIR}"
    )


def warn_if_shadowed(stacklevel: int = 2) -> None:
    """Warns once with the message of `shadowed`, if any."""
    message = shadowed()
    if message:
        warnings.warn(message, RuntimeWarning, stacklevel=stacklevel)
