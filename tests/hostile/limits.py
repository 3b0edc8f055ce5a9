"""Python code in a child with bounded memory and time."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ferroute.errors import FerrouteError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

posix = pytest.mark.skipif(sys.platform == "win32", reason="not run: there are no limits of this kind")

_HEAD = """
import faulthandler, resource, sys
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
faulthandler.dump_traceback_later({seconds}, exit=True)
def grown():  # MiB: the most this process ever held
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
"""


def outcome(call: Callable[[], Any], *kinds: type[Exception]) -> Any:
    """What a call gives, or the error it raises if that is one of `kinds` (none: ours, `ValueError` and `TypeError`).

    Errors that repeat what they were given whole fail the test.
    """
    kinds = kinds or (FerrouteError, ValueError, TypeError)
    try:
        return call()
    except kinds as error:
        said = str(error)
    assert len(said) < 3_000, said[:1_000]
    return Refused(said)


class Refused(str):
    """The message of an error."""

    __slots__ = ()


def child(
    code: str,
    *arguments: object,
    seconds: float = 20,
    env: Mapping[str, str] | None = None,
    command: tuple[str, ...] = (),
    **more: Any,
) -> subprocess.CompletedProcess[str]:
    """Runs it to its end; what it did not catch, a crash and more than `seconds` fail the test.

    The code has `sys`, `resource` and `grown()`, which tells the most memory it held, in MiB.
    """
    text = _HEAD.format(seconds=seconds) + textwrap.dedent(code)
    ended = subprocess.run(
        [*command, sys.executable, "-W", "error", "-c", text, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=seconds + 20,
        check=False,
        env=None if env is None else dict(env),
        cwd=Path(__file__).parent.parent,
        **more,
    )
    assert ended.returncode == 0, (ended.returncode, ended.stdout[-2000:], ended.stderr[-4000:])
    return ended
