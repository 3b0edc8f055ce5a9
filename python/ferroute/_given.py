"""Keywords that stand for not given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ferroute.errors import InvalidTypeError

if TYPE_CHECKING:
    from collections.abc import Iterable

# Keywords of a completion, which are nobody's misspelling.
_OF_A_CALL = frozenset(
    (
        "api_base", "api_key", "base_url", "extra_body", "extra_headers", "extra_query", "functions",
        "max_completion_tokens", "max_tokens", "messages", "metadata", "modalities", "n", "policy", "response_format",
        "seed", "stop", "store", "stream", "temperature", "timeout", "tool_choice", "tools", "top_p", "user",
    )
)  # fmt: skip


def is_unset(value: object) -> bool:
    """`openai.NOT_GIVEN` and `openai.omit`, recognised without importing openai."""
    cls = type(value)
    return cls.__name__ in ("NotGiven", "Omit") and cls.__module__.partition(".")[0] == "openai"


def given(value: Any) -> Any:
    """`value`; None where it stands for not given."""
    return None if value is None or is_unset(value) else value


def check_spelling(keywords: Iterable[str], own: tuple[str, ...], what: str) -> None:
    """Refuses a keyword of a request that looks like a parameter of `what` itself.

    Args:
        keywords: What was given beside the parameters.
        own: Names of the parameters.
        what: Whose they are, for the message.

    Raises:
        InvalidTypeError: One of them is written almost like one of those.
    """
    strange = [name for name in keywords if name not in _OF_A_CALL]
    if not strange:
        return
    from difflib import get_close_matches

    for name in strange:
        for meant in get_close_matches(name, own, 1, 0.8):
            raise InvalidTypeError(f"{what} takes no {name!r}; did you mean {meant!r}?")
