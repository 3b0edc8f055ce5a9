"""Rolling out unattended: a ramp that grows and goes back by evidence, a watch on a certificate, and A/B tests.

Give a `Ramp` or `Watch` to a Controller by ``controller.hold("mine", ramp)``; then ``router-mine`` uses the threshold
it holds, and shadow judgements (``Controller(..., shadow=...)``) are what it learns from. All of it may be looked at at
any time: evidence is a bet, and stays valid however often somebody looks (`docs/rollout.md`).
"""

from __future__ import annotations

from ferroute.rollout.abtest import ABResult, ABTest
from ferroute.rollout.moves import Move, Rehearsal, Stage
from ferroute.rollout.ramps import Ramp
from ferroute.rollout.watch import Watch

__all__ = ["ABResult", "ABTest", "Move", "Ramp", "Rehearsal", "Stage", "Watch"]
