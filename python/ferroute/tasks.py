"""What kind of task a prompt is: fifteen names, their tiers, and a guess from the prompt alone.

The guess is local (no model is asked, nothing is fetched), takes microseconds and is None when it is not sure.
``docs/tasks.md`` says how often it is right, and on what.
"""

from __future__ import annotations

from dataclasses import dataclass

from ferroute import _core
from ferroute.errors import InvalidTypeError, UnknownNameError

TIERS: dict[str, str] = dict(_core.task_names())
"""The tier (``cheap``, ``mid`` or ``expensive``) of each task, by its full name, cheap ones first."""

ALIASES: dict[str, str] = dict(_core.task_aliases())
"""Short names and the full name each stands for."""


@dataclass(frozen=True, slots=True)
class TaskGuess:
    """What `guess_task` took a prompt for.

    Attributes:
        task: A full name, one of `TIERS`.
        tier: The task's tier: ``cheap``, ``mid`` or ``expensive``.
        confidence: Probability of the task, 0 to 1, calibrated on held-out prompts (``docs/tasks.md``).
    """

    task: str
    tier: str
    confidence: float

    def __repr__(self) -> str:
        return f"TaskGuess({self.task}, {self.tier}, confidence={self.confidence:.2f})"


def guess_task(text: str) -> TaskGuess | None:
    """The task that a prompt asks for.

    The instruction is looked for at the prompt's beginning and end, so that a text to work on does not decide, before
    or after it; of long prompts no more than both ends is read. English is known best, German, French, Spanish, Italian
    and Portuguese roughly, other languages not.

    Args:
        text: The prompt; any string, the empty one included.

    Returns:
        The guess, or None when it is not sure enough: small talk, requests for images, follow-ups, nonsense.

    Raises:
        InvalidTypeError: The prompt is not a string.
    """
    if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidTypeError(f"text: expected a string, found {type(text).__name__}")
    guessed = _core.guess_task(text)
    return None if guessed is None else TaskGuess(*guessed)


def canonical(name: str) -> str:
    """The full name of a task.

    Args:
        name: A full name or one of `ALIASES`, in any case.

    Raises:
        UnknownNameError: No task is called that; the message lists the names.
    """
    found = _core.task_alias(name) if isinstance(name, str) else None  # pyright: ignore[reportUnnecessaryIsInstance]
    if found is None:
        raise UnknownNameError(f"no task is called {name!r}; expected one of {', '.join([*TIERS, *ALIASES])}")
    return found
