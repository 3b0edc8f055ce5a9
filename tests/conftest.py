"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
GOLDENS = ROOT / "tests" / "goldens"

# Tests never reach beyond this machine: no hub, no key of the developer's own.
os.environ["HF_HUB_OFFLINE"] = "1"
# A shell's background job hears no Ctrl-C, and neither would the children that are to hear one.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# No calibration table of the developer's own either: a folder that is not there.
os.environ["FERROUTE_CALIBRATION"] = str(ROOT / "target" / "no-calibration-tables")
for name in list(os.environ):
    if name.startswith("OPENAI_") or name.endswith(("_API_KEY", "_API_BASE", "_BASE_URL")):
        del os.environ[name]


@pytest.fixture
def shared() -> Path:
    """The folder with the originals of the data in this repository, where there is one."""
    folder = Path(os.environ.get("FERROUTE_SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip("not run: no folder ../shared to compare with")
    return folder
