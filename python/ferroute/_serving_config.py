"""The configuration of the server, as the core has read and checked it."""

from __future__ import annotations

import json
import os
import re
from functools import cached_property
from typing import Any, NamedTuple, cast

from ferroute import _core
from ferroute.errors import InvalidValueError, MissingFileError, UnreadableFileError

MOST_BYTES = 1 << 20
"""Bytes of a configuration; the core has the same bound."""
HIDDEN = "(hidden)"
"""What the core shows in the place of a secret."""
LEDGER = "ferroute.db"
"""The ledger beside a configuration that names none."""


class Mistake(NamedTuple):
    """Where a configuration is wrong, and what was expected there."""

    file: str
    line: int | None
    column: int | None
    path: str
    what: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}:{self.column}"
        return ": ".join(part for part in (place, self.path, self.what) if part)


class ConfigMistakes(InvalidValueError):
    """A configuration that is wrong; the message has a line for each mistake.

    Attributes:
        mistakes: All of them, in the order of the file.
    """

    def __init__(self, mistakes: list[Mistake]) -> None:
        super().__init__("\n".join(map(str, mistakes)))
        self.mistakes = mistakes

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.mistakes,)


class Configuration:
    """What a file says, with the defaults of what it does not say.

    Attributes:
        core: As the core holds it, the policies among it.
        name: The file's, as it was given; None where there is no file.
        folder: Where its relative paths begin.
        digest: Of the text, to tell a change.
        said: What was made of it, for whoever starts the server.
    """

    def __init__(self, core: _core.GatewayConfig, name: str | None, folder: str, digest: bytes) -> None:
        self.core, self.name, self.folder, self.digest = core, name, folder, digest
        self.said: list[str] = []

    @cached_property
    def plain(self) -> dict[str, Any]:
        """All of it, with what secrets stand for. Not to be shown."""
        return json.loads(self.core.plain())

    @cached_property
    def shown(self) -> dict[str, Any]:
        """All of it as it may be shown."""
        return json.loads(self.core.shown())

    @property
    def notes(self) -> list[str]:
        """What whoever wrote it should know."""
        return self.core.notes

    @property
    def routers_only(self) -> bool:
        """Whether it is RouteLLM's own."""
        return self.core.routers_only

    @property
    def host(self) -> str:
        """Address to listen on."""
        return self.plain.get("host", "127.0.0.1")

    @property
    def port(self) -> int:
        """Port to listen on."""
        return int(self.plain.get("port", 6060))

    @property
    def tiers(self) -> list[tuple[str, Any]]:
        """Names and models of the rungs, weakest first; none where the file has none."""
        return [(name, model) for name, model in self.plain.get("tiers", ())]

    @property
    def pair(self) -> bool:
        """Whether the rungs are RouteLLM's two, which have no names."""
        return bool(self.plain.get("pair"))

    @property
    def models(self) -> list[tuple[str, Any]]:
        """Names and models that are asked for by name alone."""
        return [(name, model) for name, model in self.plain.get("models", ())]

    @property
    def aliases(self) -> dict[str, str]:
        """Other names of models and router strings."""
        return self.plain.get("aliases", {})

    @property
    def routers(self) -> dict[str, dict[str, Any] | None] | None:
        """Routers to load, with their arguments; None: the file says nothing."""
        return self.plain.get("routers")

    @property
    def imports(self) -> list[str]:
        """Modules of the user's that are imported first."""
        return self.plain.get("imports", [])

    @property
    def calls(self) -> dict[str, Any]:
        """Attributes of the `CallPolicy`."""
        calls = dict(self.plain.get("calls", {}))
        if "holdout" in self.plain:
            calls["holdout"] = self.plain["holdout"]
        return calls

    @property
    def ledger(self) -> str:
        """Where calls are entered: a URL or path."""
        said: str | None = self.plain.get("ledger")
        if said is None:
            return "memory:" if self.name is None else os.path.join(self.folder, LEDGER)  # noqa: PTH118 - no Path on this way
        if said in ("memory", "memory:"):
            return "memory:"
        path = said.removeprefix("sqlite:") if not said.startswith("sqlite://") else said
        return path if "://" in path else os.path.join(self.folder, path)  # noqa: PTH118

    @property
    def store(self) -> str:
        """What the ledger keeps of prompts."""
        return self.plain.get("store", "features")

    @property
    def keys(self) -> dict[str, Any]:
        """``required`` and ``admin``."""
        return self.plain.get("keys", {})

    @property
    def server(self) -> dict[str, Any]:
        """Limits of the server, as far as they are given."""
        return self.plain.get("server", {})

    @property
    def telemetry(self) -> dict[str, Any]:
        """Metrics, traces and logs, as far as they are given."""
        return self.plain.get("telemetry", {})

    def mistake(self, way: str, what: str) -> Mistake:
        """A mistake at a part of the file, such as ``routers.mf``, with its line where it has one."""
        line, column = self.core.place(way) or (None, None)
        return Mistake(self.name or "", line, column, way, what)

    @property
    def ledger_shown(self) -> str:
        """Where calls are entered, as it may be shown: a path, or a URL without its password and parameters."""
        said: str = self.shown.get("ledger", "")
        if not said and self.name is None:
            return "in memory"
        if said != HIDDEN:
            return said or LEDGER
        given = str(self.plain.get("ledger", ""))
        if given in ("memory", "memory:"):
            return "in memory"
        # Anything else may be a secret that has slipped a line.
        if re.fullmatch(r"(sqlite:/*)?[\w ./\\-]+\.(db|sqlite3?)", given):
            return given
        if found := re.fullmatch(
            r"(postgres(?:ql)?://)(?:([\w.-]+)(?::[^@]*)?@)?([\w.:\[\]-]+(?:/[\w.-]*)?)(\?.*)?", given
        ):
            return f"{found[1]}{f'{found[2]}@' if found[2] else ''}{found[3]}"
        return "in a database that the file names (hidden)"

    def __repr__(self) -> str:
        return f"Configuration({self.name!r})"


def share_of(given: Any) -> float:
    """``20%`` or 0.2 as a part of 1; the core has seen that it is one of these."""
    return float(given[:-1]) / 100 if isinstance(given, str) else float(given)


def read(text: str, name: str, folder: str | None = None) -> Configuration:
    """The configuration of a text.

    Args:
        text: YAML.
        name: The file's, for messages.
        folder: Where relative paths begin; None: the file's own.

    Raises:
        ConfigMistakes: It is wrong.
    """
    import hashlib

    where = os.path.dirname(os.path.abspath(name)) if folder is None else folder  # noqa: PTH100, PTH120
    core, told = _core.read_gateway_config(text, name, where)
    if core is None:
        raise ConfigMistakes([Mistake(name, *each) for each in told])
    return Configuration(core, name, where, hashlib.sha256(text.encode()).digest())


def load(path: str | os.PathLike[str]) -> Configuration:
    """The configuration in a file.

    Raises:
        ConfigMistakes: It is wrong.
        MissingFileError: There is no such file.
        UnreadableFileError: It cannot be read.
    """
    name = os.fspath(path)
    return read(text_of(name), name)


def text_of(name: str) -> str:
    """The text of a file.

    Raises:
        ConfigMistakes: It is too long, or not UTF-8.
        MissingFileError: There is no such file.
        UnreadableFileError: It cannot be read.
    """
    try:
        with open(name, "rb") as file:  # noqa: PTH123
            data = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise MissingFileError(f"{name}: there is no such configuration file") from None
    except OSError as error:
        raise UnreadableFileError(f"{name}: cannot be read: {error.strerror or error}") from error
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        if len(data) > MOST_BYTES:
            return " " * len(data)  # the core says that it is too long
        line = data[: error.start].count(b"\n") + 1
        raise ConfigMistakes([Mistake(name, line, 1, "", "is not UTF-8")]) from None


def without_file(said: dict[str, Any] | None = None) -> Configuration:
    """The configuration of a server that is started without one; `said` is what the command line says."""
    core, _ = _core.read_gateway_config("", "", os.getcwd())  # noqa: PTH109
    made = Configuration(cast("_core.GatewayConfig", core), None, os.getcwd(), b"")  # noqa: PTH109
    made.plain.update(said or {})
    return made
