"""Replaces one argument at a time by every hostile value, and reports what should never happen.

Run as ``python -m hostile.run core`` in an empty folder: a JSON object on stdout, with the number of calls and the
offences. A call that hangs ends the process with a traceback, one that kills it leaves its name in ``call.txt``.
"""

from __future__ import annotations

import asyncio
import faulthandler
import inspect
import json
import logging
import os
import resource
import sys
import time
import warnings
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

from ferroute import _core
from ferroute.errors import FerrouteError
from hostile import core
from hostile.values import HOSTILE

PART = 1 if os.environ.get("FERROUTE_HOSTILE") == "all" else 4
"""One in so many pairs of argument and value is tried, always the same ones; `FERROUTE_HOSTILE=all` tries all."""
LIMIT = 10.0
"""Seconds that a call may take."""
MEMORY = 8 << 30
"""Bytes of address space; allocators and threads reserve much that they never touch."""

NEVER = (
    AttributeError,
    AssertionError,
    IndexError,
    MemoryError,
    NameError,
    RecursionError,
    SystemError,
    ZeroDivisionError,
)
"""Errors that are a slip of ours, not an answer. `PanicException` is no `Exception` at all."""


def callables(only: str) -> Iterator[tuple[str, Callable[..., Any] | None]]:
    """Names of all that `_core` shows and that takes arguments; with None, what no recipe is there for."""
    for name, value in sorted(vars(_core).items()):
        if name.startswith("_") or name in core.MADE_BY_CALLS or not callable(value) or only not in ("", name):
            continue
        if not inspect.isclass(value):
            if parameters(value):
                yield name, value
            continue
        if parameters(value):
            yield name, value
        for method in sorted(vars(value)):
            if (method.startswith("_") and method != "__exit__") or not callable(getattr(value, method)):
                continue
            if f"{name}.{method}" not in core.NOT_CALLED and parameters(getattr(value, method)):
                yield (
                    f"{name}.{method}",
                    getattr(value if isinstance(vars(value)[method], staticmethod) else core.subject(name), method),
                )


def parameters(function: Any) -> list[str]:
    return [name for name in inspect.signature(function).parameters if name not in ("self", "args", "kwargs")]


class Calls:
    """Makes calls, and keeps what came of those that went wrong."""

    def __init__(self) -> None:
        self.made = 0
        self.offences: list[str] = []
        self.slow: list[tuple[float, str]] = []
        self._file = os.open("call.txt", os.O_CREAT | os.O_WRONLY)

    async def make(self, what: str, function: Callable[..., Any], arguments: dict[str, Any]) -> None:
        said = what.encode().ljust(200)[:200]
        os.pwrite(self._file, said, 0)
        faulthandler.dump_traceback_later(LIMIT, exit=True)
        began = time.monotonic()
        try:
            made = function(**arguments)
            if inspect.isawaitable(made):
                await asyncio.wait_for(asyncio.ensure_future(made), LIMIT)
        except BaseException as error:
            slip = isinstance(error, NEVER) and not isinstance(error, FerrouteError)
            if slip or not isinstance(error, Exception):
                self.offences.append(f"{what}: {type(error).__name__}: {str(error)[:160]}")
        finally:
            faulthandler.cancel_dump_traceback_later()
        self.made += 1
        self.slow.append((time.monotonic() - began, what))


async def of_core(calls: Calls, only: str) -> None:
    missing: list[str] = []
    for name, function in callables(only):
        if name not in core.RECIPES:
            missing.append(name)
            continue
        names = parameters(function)
        right = core.RECIPES[name]()
        if set(names) != set(right):
            calls.offences.append(f"{name}: the recipe has {sorted(right)}, the signature {names}")
            continue
        await calls.make(name, function, right)
        for parameter in names:
            for value, make in HOSTILE.items():
                if f"{name}({parameter})" in core.AMOUNT_OF_WORK and value.startswith("2**"):
                    continue
                if zlib.crc32(f"{name}({parameter}={value})".encode()) % PART:
                    continue
                arguments = core.RECIPES[name]()
                arguments[parameter] = make()
                await calls.make(f"{name}({parameter}={value})", function, arguments)
    calls.offences += [f"{name}: no recipe in tests/hostile/core.py" for name in missing]


def prepare() -> None:
    """Files that recipes name."""
    import numpy as np

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore")
    logging.disable()
    np.save("matrix.npy", np.zeros((3, 4), dtype=np.float32))
    Path("rules.yaml").write_text(core.RULES)
    core.subject("SwRanking")
    core.subject("FittedModel").save("fitted.bin")
    core.subject("SwRanking").save("saved.index", "{}")
    _core.write_columns("columns.parquet", {"a": ["x", None], "b": np.zeros(2)})


def main(part: str, only: str = "") -> None:
    prepare()
    calls = Calls()
    asyncio.run(of_core(calls, only))
    slow = sorted(calls.slow, reverse=True)[:10]
    print(json.dumps({"part": part, "made": calls.made, "offences": calls.offences, "slow": slow}))


if __name__ == "__main__":
    main(*sys.argv[1:])
