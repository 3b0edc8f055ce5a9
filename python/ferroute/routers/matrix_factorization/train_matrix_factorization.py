"""Training of the matrix factorisation (later version): importing is fine, running says so."""

from __future__ import annotations

from ferroute.routers._later import not_yet

if __name__ == "__main__":
    not_yet("Training of the matrix factorisation")
