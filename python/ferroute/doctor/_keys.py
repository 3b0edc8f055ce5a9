"""Variables that hold keys: which the project's models need, and which of them are set. No value is ever read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ferroute import _core, _lifecycle
from ferroute.doctor._findings import Finding
from ferroute.doctor._mentions import is_priced, mentions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ferroute.doctor._files import Document

_NAME = re.compile(r"^[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)[ \t]*=", re.MULTILINE)
_SET_IN_CODE = re.compile(r"""environ(?:\[\s*["'](\w+)["']\s*\]\s*=(?!=)|\.setdefault\(\s*["'](\w+)["'])""", re.ASCII)
_TEMPLATES = ("example", "sample", "template", "dist")


class KeysNeeded:
    """Sees all files of a project, then says which keys are missing.

    Args:
        environ: Where keys are looked for.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.there = {name for name in environ if environ[name]}
        self.in_files: dict[str, str] = {}
        self.set_in_code: set[str] = set()
        self.loads_files = False
        # Provider -> the first model of it: name, file, line, cell.
        self.needed: dict[str, tuple[str, str, int, int | None]] = {}
        self._keys = dict(_core.provider_keys())

    def see(self, document: Document) -> None:
        """Notes what a file needs or has."""
        if document.is_environment:
            if not any(word in document.path.lower() for word in _TEMPLATES):
                for name in _NAME.findall(document.text):
                    self.in_files.setdefault(name, document.path)
            return
        for code in document.code:
            self.loads_files |= "load_dotenv" in code.text
            self.set_in_code.update(found[1] or found[2] for found in _SET_IN_CODE.finditer(code.text))
        for mention in mentions(document):
            if mention.read or not is_priced(mention.name):
                continue
            provider = _lifecycle.provider_of(mention.name)
            if provider in self._keys and provider not in self.needed and not _lifecycle.is_local(mention.name):
                self.needed[provider] = mention.name, document.path, mention.line, mention.cell

    def findings(self) -> Iterator[Finding]:
        """One for each provider without a key."""
        for provider, (model, path, line, cell) in self.needed.items():
            names = self._keys[provider]
            if not names or any(name in self.there or name in self.set_in_code for name in names):
                continue
            held = next((name for name in names if name in self.in_files), None)
            if held is not None and self.loads_files:
                continue
            what = f"{model} needs a key of {provider}, and {' or '.join(names)} is not set"
            if held is None:
                todo = f"Set {names[0]}, or give `api_key` with the model"
                yield Finding("warning", "key", what, "Calls fail without one", todo, path, line, cell)
            else:
                why = f"{held} stands in {self.in_files[held]}, which ferroute does not read by itself"
                yield Finding("note", "key", what, why, "Load that file before the process starts", path, line, cell)
