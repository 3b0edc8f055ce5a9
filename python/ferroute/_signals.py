"""How programs end: on SIGTERM as on Ctrl-C, with files in the making removed, and with one line on an error."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from typing import TYPE_CHECKING, NoReturn

from ferroute.errors import FerrouteError

if TYPE_CHECKING:
    from collections.abc import Generator

TERMINATED = 128 + 15


def _stop(_number: int, _frame: object) -> NoReturn:
    raise SystemExit(TERMINATED)


@contextlib.contextmanager
def stoppable() -> Generator[None]:
    """SIGTERM raises `SystemExit` with the code 143 in here, instead of ending the process at once.

    Without effect outside the main thread, and where the program has a handler of its own.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextlib.contextmanager
def program(name: str) -> Generator[None]:
    """As `stoppable`; errors of ferroute and of the disk end the program called ``name`` with one line and code 1."""
    try:
        with stoppable():
            yield
    except (FerrouteError, OSError) as error:
        sys.exit(f"{name}: {error}")
