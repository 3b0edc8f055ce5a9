"""Rungs above the one that was chosen, and a caller's own judgement of an answer; see ``CallPolicy.escalate_on``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ferroute.decision import aside

if TYPE_CHECKING:
    from collections.abc import Callable

    from ferroute.decision import Decision


def rungs_above(decision: Decision, rungs: Any) -> tuple[tuple[str | None, Any], ...]:
    """The rungs that are asked when an answer fails, the next one first: their names (None in a pair) and models.

    Those that cannot serve the request are left out. Nothing is above a model that is on no rung.
    """
    facts = aside(decision)
    if facts.rung is None or facts.endpoint is not None:
        return ()
    barred = None if facts.trace is None else facts.trace.barred
    above = range(facts.rung + 1, len(rungs.models))
    return tuple((rungs.tier(at), rungs.models[at]) for at in above if not (barred and barred[at]))


def judged(judge: Callable[[Any], Any], body: bytes) -> tuple[bool | None, str]:
    """Whether a callable takes an answer to have failed; None, with the reason, where it does not say.

    Args:
        judge: Gets the `ferroute.responses.ChatCompletion`.
        body: The answer's bytes.
    """
    from ferroute import responses

    try:
        said = judge(responses.parse_completion(body))
        if hasattr(said, "__await__"):
            if hasattr(said, "close"):
                said.close()
            return None, "it is asynchronous, which cannot be waited for here"
        return bool(said), ""
    except Exception as error:
        return None, f"{type(error).__name__}: {str(error)[:200]}"
