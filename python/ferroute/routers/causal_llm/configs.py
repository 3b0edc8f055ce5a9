"""Configuration of the causal-LLM classifier."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from ferroute.errors import InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Callable

LLAMA_3 = "meta-llama/Meta-Llama-3-8B"
"""The base model of RouteLLM's checkpoint."""

_TURN = "<|start_header_id|>{role}<|end_header_id|>\n\n{{instruction}}<|eot_id|>"

PROMPT_FORMAT_CONFIGS: dict[str, dict[str, Any]] = {
    LLAMA_3: {
        **{role: _TURN.format(role=role) for role in ("system", "assistant", "user")},
        "trailing_assistant": "",
        "system_in_user": False,
        "bos": "<|begin_of_text|>",
        "default_system_message": "",
    },
}
"""Base model -> how its chats are written out. Add an entry to use another base model."""


class LabelError(InvalidValueError, AssertionError):
    """Labels, threshold or answer of the classifier do not fit each other; RouteLLM's assertions."""


class ModelTypeEnum(str, Enum):
    """Kinds of classifier models."""

    CAUSAL = "causal"


@dataclass
class RouterModelConfig:
    """What the classifier is made of.

    Args:
        model_id: The base model, whose tokenizer is taken: a folder or a Hub name.
        model_type: ``"causal"``.
        num_outputs: Number of labels.
        special_tokens: Texts of the label tokens.
        flash_attention_2: Accepted and without effect: there is one kind of attention here.
        attention_dropout: Accepted and without effect: it concerns training.

    Raises:
        ValueError: A field is of another type, or the model type is not known.
    """

    model_id: str
    model_type: ModelTypeEnum | str
    num_outputs: int
    special_tokens: list[str] = field(default_factory=list[str])
    flash_attention_2: bool = False
    attention_dropout: float = 0.0

    def __post_init__(self) -> None:
        try:
            self.model_type = ModelTypeEnum(self.model_type)
        except ValueError:
            known = ", ".join(repr(kind.value) for kind in ModelTypeEnum)
            raise InvalidValueError(f"expected a model_type of {known}, found {self.model_type!r:.60}") from None
        self.special_tokens = list(self.special_tokens)
        fields: dict[str, Any] = vars(self)
        _check("model_id", fields, "a string", lambda value: isinstance(value, str))
        _check("num_outputs", fields, "a whole number of at least 1", lambda value: type(value) is int and value > 0)
        _check(
            "special_tokens", fields, "a list of strings", lambda value: all(isinstance(text, str) for text in value)
        )
        _check("flash_attention_2", fields, "a bool", lambda value: isinstance(value, bool))
        _check("attention_dropout", fields, "a number", lambda value: isinstance(value, (int, float)))


def _check(name: str, fields: dict[str, Any], expected: str, fits: Callable[[Any], bool]) -> None:
    if not fits(fields[name]):
        raise InvalidValueError(f"{name}: expected {expected}, found {fields[name]!r:.60}")
