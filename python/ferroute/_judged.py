"""A caller's own judgement of an answer: the callable of ``CallPolicy.escalate_on``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ferroute._one_line import one_line

if TYPE_CHECKING:
    from collections.abc import Callable


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
        return None, f"{type(error).__name__}: {one_line(str(error)[:200])}"
