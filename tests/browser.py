"""A real Chromium for tests, driven over its debugging pipe: no port, no driver, no library."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
_PATIENCE = 60.0
# It reads from descriptor 3 and writes to 4, whatever ours are.
_EXEC = """
import fcntl, os, sys
heard, said = (fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3])
os.dup2(heard, 3), os.dup2(said, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


@contextlib.contextmanager
def chromium(folder: Path) -> Iterator[Browser]:
    """Yields a browser with a profile of its own; skips where there is none, unless CI says there is."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        text = "not run: Chromium (apt install chromium)"
        if os.environ.get("CI") == "true":
            pytest.fail(text)
        pytest.skip(text)
    (hear, said), (heard, say) = os.pipe(), os.pipe()
    flags = [*_FLAGS, f"--user-data-dir={folder / 'profile'}", "about:blank"]
    command = [sys.executable, "-c", _EXEC, str(heard), str(said), program, *flags]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, pass_fds=(heard, said), **quiet)
    os.close(heard)
    os.close(said)
    browser = Browser(hear, say)
    try:
        yield browser
    finally:
        with contextlib.suppress(OSError, AssertionError):
            browser.send("Browser.close")
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        os.close(hear)
        os.close(say)


class Browser:
    """Sends commands and hears events, one after the other."""

    def __init__(self, hear: int, say: int) -> None:
        self._hear, self._say = hear, say
        self._rest = b""
        self._number = 0
        self._contexts: list[str] = []
        self.events: list[dict[str, Any]] = []

    def send(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        whole = json.dumps(message).encode() + b"\0"
        while whole:
            whole = whole[os.write(self._say, whole) :]
        deadline = time.monotonic() + _PATIENCE
        while True:
            told = self._next(deadline)
            if told.get("id") == self._number:
                assert "error" not in told, f"{method}: {told['error']}"
                return told["result"]
            self.events.append(told)

    def _next(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._hear], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, "Chromium does not answer"
            piece = os.read(self._hear, 1 << 16)
            assert piece, "Chromium has ended"
            self._rest += piece
        whole, self._rest = self._rest.split(b"\0", 1)
        return json.loads(whole)

    def close_pages(self) -> None:
        """Closes what was opened: a page that is open goes on asking."""
        while self._contexts:
            self.send("Target.disposeBrowserContext", browserContextId=self._contexts.pop())
        self.events.clear()

    def open(self, url: str, *, width: int = 1280, height: int = 900, dark: bool = False, still: bool = False) -> Page:
        """Opens a page in a window of its own, with nothing remembered from others."""
        context = self.send("Target.createBrowserContext")["browserContextId"]
        self._contexts.append(context)
        target = self.send("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.send(f"{domain}.enable")
        page.look(width=width, height=height, dark=dark, still=still)
        page.send("Page.navigate", url=url)
        return page


class Page:
    """One tab."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser, self._session = browser, session

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        return self._browser.send(method, self._session, **params)

    def look(self, *, width: int, height: int = 900, dark: bool = False, still: bool = False) -> None:
        """Sets the window's size and what the system prefers."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        features = [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce" if still else "no-preference"},
        ]
        self.send("Emulation.setEmulatedMedia", features=features)

    def js(self, expression: str) -> Any:
        """The value of an expression, or of its promise."""
        told = self.send("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def wait(self, expression: str) -> Any:
        """Waits until an expression is true, and gives its value."""
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            value = self.js(f"Boolean(document.body) && ({expression})")
            if value:
                return value
            time.sleep(0.05)
        raise AssertionError(
            f"it never came to {expression}; the page says {self.js('document.body.innerText')[:2000]!r}"
        )

    def key(self, key: str, code: int = 0, text: str = "") -> None:
        """Presses a key, as a person does."""
        common = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.send("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        self.send("Input.dispatchKeyEvent", type="keyUp", **common)

    def type(self, text: str) -> None:
        self.send("Input.insertText", text=text)

    def picture(self, path: Path) -> None:
        """The whole page as a PNG."""
        size = self.send("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        told = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        path.write_bytes(base64.b64decode(told["data"]))

    def requests(self) -> list[str]:
        """Every address that was asked for."""
        return [told["params"]["request"]["url"] for told in self._own("Network.requestWillBeSent")]

    def headers(self) -> list[dict[str, str]]:
        """The headers of every request, as the page has set them."""
        return [told["params"]["request"]["headers"] for told in self._own("Network.requestWillBeSent")]

    def complaints(self) -> list[Any]:
        """What the console says is wrong."""
        thrown = [told["params"]["exceptionDetails"] for told in self._own("Runtime.exceptionThrown")]
        logged = [told["params"]["entry"] for told in self._own("Log.entryAdded")]
        said = [told["params"]["args"] for told in self._own("Runtime.consoleAPICalled")]
        return [*thrown, *(entry for entry in logged if entry["level"] in {"error", "warning"}), *said]

    def _own(self, method: str) -> list[dict[str, Any]]:
        self.js("0")
        return [
            told
            for told in self._browser.events
            if told.get("method") == method and told.get("sessionId") == self._session
        ]
