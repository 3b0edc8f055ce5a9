"""How `routellm` becomes another name for `ferroute`: every module below it is the very same object.

``from routellm.controller import Controller`` keeps working, and so do ``python -m routellm...``, pickles that name
``routellm.controller.ModelPair``, and ``isinstance`` across both names.

The name stands in two places, because the original distribution has a folder of the same name. Installed before us,
its empty ``routellm/__init__.py`` is overwritten by ours; uninstalled later, it takes that file along, and Python goes
on to ``routellm.py``, which it prefers to a folder without ``__init__.py``. Installed after us the original's folder
hides both; `ferroute._installation` says so.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType, ModuleType


def _real(name: str) -> str:
    return "ferroute" + name[len("routellm") :]


class _Alias(MetaPathFinder, Loader):
    """Finds ``routellm.x`` as the module object ``ferroute.x``."""

    def __init__(self) -> None:
        self._specs: dict[str, ModuleSpec | None] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith("routellm."):
            return None
        try:
            found = importlib.util.find_spec(_real(fullname))
        except ModuleNotFoundError:
            return None
        if found is None:
            return None
        spec = ModuleSpec(fullname, self, origin=found.origin, is_package=found.submodule_search_locations is not None)
        spec.has_location = found.has_location
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(_real(spec.name))
        # The import system is about to write the alias's spec over the module's own.
        self._specs[spec.name] = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        name = module.__spec__.name if module.__spec__ else ""
        module.__spec__ = self._specs.pop(name, module.__spec__)

    # `python -m routellm.x` runs the code of the real module.
    def get_code(self, fullname: str) -> CodeType | None:
        found = importlib.util.find_spec(_real(fullname))
        loader: Any = found.loader if found else None
        return loader.get_code(_real(fullname)) if loader else None

    def is_package(self, fullname: str) -> bool:
        found = importlib.util.find_spec(_real(fullname))
        return found is not None and found.submodule_search_locations is not None


def install() -> None:
    """Puts the finder first, once: files of the original may lie in the very folder of the alias."""
    if not any(isinstance(finder, _Alias) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Alias())


def attribute(name: str) -> Any:
    """What ``routellm.<name>`` is: the same attribute of ``ferroute``.

    Raises:
        AttributeError: there is none; names of the import system are the alias's own affair.
    """
    if name.startswith("__") and name != "__version__":
        raise AttributeError(f"module 'routellm' has no attribute {name!r}")
    return getattr(importlib.import_module("ferroute"), name)
