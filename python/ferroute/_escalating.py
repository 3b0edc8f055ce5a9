"""Rungs above the one that was chosen; see ``CallPolicy.escalate_on``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ferroute.decision import aside

if TYPE_CHECKING:
    from ferroute._ladder import Rungs
    from ferroute.decision import Decision


class Above(NamedTuple):
    """The rungs above the one that was chosen.

    Attributes:
        rungs: Those that are asked when an answer fails, the next one first: their names (None in a pair) and models.
        left_out: What is then said of the others.
    """

    rungs: tuple[tuple[str | None, Any], ...] = ()
    left_out: tuple[str, ...] = ()


def rungs_above(decision: Decision, rungs: Rungs) -> Above:
    """Who is asked when an answer fails.

    Those that cannot serve the request are left out, and so are those that rest or are slow, unless no other is above.
    Nothing is above a model that is on no rung, nor above a rule's ceiling.
    """
    facts = aside(decision)
    if facts.rung is None or facts.endpoint is not None:
        return Above()
    ceiling = None if facts.trace is None else facts.trace.ceiling
    # A rule's ceiling may be more than a matter of money.
    above = range(facts.rung + 1, len(rungs.models) if ceiling is None else ceiling + 1)
    barred = [None] * len(rungs.models) if facts.trace is None else facts.trace.barred or [None] * len(rungs.models)
    unfit = None if facts.trace is None else facts.trace.unfit
    asked = [at for at in above if not barred[at]]
    if not asked and unfit is not None:
        asked = [at for at in above if unfit[at]]
    return Above(
        tuple((rungs.tier(at), rungs.models[at]) for at in asked),
        tuple(f"`{rungs.models[at]}` was not asked: {barred[at]}" for at in above if at not in asked),
    )


def rung_of(model: Any, rungs: Rungs) -> str | None:
    """The name of the rung that a fallback is: the one with its settings, else of its name; None where it is none."""
    at = rungs.place_of(model)
    if at is None:
        name = str(model)
        at = next((at for at, rung in enumerate(rungs.models) if str(rung) == name), None)
    return rungs.tier(at)
