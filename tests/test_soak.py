"""A minute of what ``make soak`` does for half an hour: a server under steady load keeps its memory and descriptors."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).parents[1] / "scripts" / "soak.py"


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
@pytest.mark.timeout(180)
def test_a_minute_under_load() -> None:
    command = [sys.executable, str(SOAK), "--seconds", "60", "--rate", "500", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout)
    assert done.returncode == 0 and found["flat"] and found["failed"] == 0, found
    # Whatever the machine, there was load.
    assert found["requests"] > 1000, found
