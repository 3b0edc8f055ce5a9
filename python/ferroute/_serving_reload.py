"""A configuration that is read again while it is served: at SIGHUP, and when the file changes.

A file that is wrong changes nothing: what was served goes on, and the reason is told. One that is right takes effect as
a whole, from the next request on; requests under way end as they began.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

from ferroute._serving_build import controller_of, door_of, page_about, served_of, stamps
from ferroute._serving_config import text_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from ferroute._serving_config import Configuration
    from ferroute.gateway import Gateway

EVERY = 1.0
"""Seconds between two looks at the file."""
_SETTLES = 0.1
# What a running server cannot change, at the top of the file and of its `server`.
_FIXED, _FIXED_OF_SERVER = ("host", "port", "telemetry"), ("workers", "drain_s", "page")


class OnHangup:
    """Does something at SIGHUP, on a thread of its own; without it the signal would end the server.

    Args:
        act: What is done.
    """

    def __init__(self, act: Callable[[], None]) -> None:
        self._act, self._wake = act, threading.Event()
        if not hasattr(signal, "SIGHUP") or threading.current_thread() is not threading.main_thread():
            return
        signal.signal(signal.SIGHUP, lambda _number, _frame: self._wake.set())
        threading.Thread(target=self._run, name="ferroute-hangup", daemon=True).start()

    def _run(self) -> None:
        while self._wake.wait():
            self._wake.clear()
            self._act()


class Reloading:
    """Reads a configuration again when it should be.

    Args:
        path: The file.
        config: What is served now.
        read: Reads it, with what the command line says beside it.
        gateway: What serves.
        say: Is told what happened: a level (``info``, ``warning``, ``error``) and a sentence.

    Attributes:
        state: How the last reading ended, for whoever asks the server.
    """

    def __init__(
        self,
        path: str,
        config: Configuration,
        read: Callable[[], Configuration],
        gateway: Gateway,
        say: Callable[[str, str], None],
    ) -> None:
        self.path, self.config, self._read, self._gateway, self._say = path, config, read, gateway, say
        self._wake, self._asked, self._ended, self._watches = threading.Event(), False, False, True
        self._digest = config.digest
        self._stamp = self._look()
        self.state: dict[str, Any] = {"file": path, "read_at": time.time(), "reloads": 0, "error": None}

    def start(self, *, watch: bool = True) -> None:
        """Takes SIGHUP, where there is one, and with `watch` looks at the file."""
        self._watches = watch
        if hasattr(signal, "SIGHUP") and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGHUP, self._on_signal)
        threading.Thread(target=self._run, name="ferroute-reload", daemon=True).start()

    def stop(self) -> None:
        """Watches no longer."""
        self._ended = True
        self._wake.set()

    def _on_signal(self, _number: int, _frame: Any) -> None:
        self._asked = True
        self._wake.set()

    def _run(self) -> None:
        while not self._ended:
            self._wake.wait(EVERY if self._watches else None)
            self._wake.clear()
            if self._ended:
                return
            try:
                self._turn()
            except Exception as error:
                # A watcher that has ended would keep an old configuration for ever, silently.
                self._say("error", f"{self.path}: the configuration could not be looked at: {error}")

    def _turn(self) -> None:
        if self._asked:
            self._asked = False
            self._stamp = self._look()
            self.reload("SIGHUP")
            return
        found = self._look()
        if found == self._stamp:
            return
        # Who writes it may not be done yet.
        while not self._ended:
            time.sleep(_SETTLES)
            again = self._look()
            if again == found:
                break
            found = again
        of_the_file, of_others = found[0] != self._stamp[0], found[1:] != self._stamp[1:]
        self._stamp = found
        if not of_others and self._same():
            return
        self.reload("it has changed" if of_the_file else "a file of its routers has changed")

    def _look(self) -> tuple[Any, ...]:
        """Time, size and place of the file, and those that its routers read; an editor may put another in its place."""
        try:
            found = os.stat(self.path)  # noqa: PTH116
            own: Any = found.st_mtime_ns, found.st_size, found.st_ino
        except OSError:
            own = None
        return own, *stamps(self.config.routers or {})

    def _same(self) -> bool:
        """Whether the file has the text that was read last: it was touched, or saved as it was."""
        import hashlib

        try:
            return hashlib.sha256(text_of(self.path).encode()).digest() == self._digest
        except Exception:
            return False  # reading it will say what is wrong

    def reload(self, why: str) -> bool:
        """Reads the file and serves what it says; whether it could be done. Nothing is raised."""
        try:
            config = self._read()
            before: Any = self._gateway.controller
            controller = controller_of(config, before)
            broken: list[tuple[str, str]] = []
            about = {"ui": page_about(config), "door": door_of(config), "broken": broken}
            self._gateway.replace(controller, **about, **served_of(config))
        except Exception as error:
            text = str(error) or type(error).__name__
            self.state |= {"error": text, "failed_at": time.time()}
            self._gateway.refused(text)
            self._say("error", f"{self.path}: not reloaded ({why}); what was served goes on:\n{text}")
            return False
        if before.ledger is not controller.ledger:
            before.ledger.flush()
        fixed = [name for name in _FIXED if config.plain.get(name) != self.config.plain.get(name)]
        served = config.server, self.config.server
        fixed += [f"server.{name}" for name in _FIXED_OF_SERVER if served[0].get(name) != served[1].get(name)]
        self.config, self._digest = config, config.digest
        self._stamp = self._look()
        self.state |= {"error": None, "read_at": time.time(), "reloads": self.state["reloads"] + 1}
        self._say("info", f"{self.path}: reloaded ({why})")
        for note in config.notes:
            self._say("warning", note)
        for name, reason in broken:
            self._say("warning", f"{name} cannot be called, and whoever asks for it is told so: {reason}")
        if fixed:
            self._say("warning", f"{self.path}: {', '.join(fixed)}: takes effect when the server is started anew")
        return True
