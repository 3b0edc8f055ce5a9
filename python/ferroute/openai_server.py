"""The OpenAI-compatible server (later version): importing is fine, running says so."""

from __future__ import annotations

if __name__ == "__main__":
    raise SystemExit(
        "The OpenAI-compatible server is not part of this version of ferroute yet; `ferroute --help` lists what is"
    )
