"""How a chat is written out as one text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ferroute.errors import InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Sequence

Turn = dict[str, Any]


@dataclass(init=False)
class PromptFormat:
    """Templates around the turns of a chat, each with ``{instruction}`` where the turn's text goes.

    Args:
        system: Around the system message.
        assistant: Around the assistant's turns.
        trailing_assistant: Always empty: no header of an answer follows.
        user: Around the user's turns; with ``system_in_user`` it also holds ``{system}``.
        default_system_message: Used for chats without one.
        system_in_user: Whether the system message goes into the first user turn.
        is_generation: Whether a chat may end with the user's turn.
        ignored: Other fields of an entry, such as ``bos``, have no effect.

    Raises:
        ValueError: A template without ``{instruction}``, or a trailing text.
    """

    system: str
    assistant: str
    trailing_assistant: str
    user: str
    default_system_message: str
    system_in_user: bool
    is_generation: bool

    def __init__(
        self,
        *,
        system: str,
        assistant: str,
        trailing_assistant: str,
        user: str,
        default_system_message: str = "",
        system_in_user: bool = False,
        is_generation: bool = False,
        **ignored: Any,
    ) -> None:
        for name, template in (("system", system), ("assistant", assistant), ("user", user)):
            if "{instruction}" not in template:
                raise InvalidValueError(f"{name}: expected a template with '{{instruction}}', found {template!r:.60}")
        if trailing_assistant:
            raise InvalidValueError(f"trailing_assistant: expected an empty text, found {trailing_assistant!r:.60}")
        self.system = system
        self.assistant = assistant
        self.trailing_assistant = trailing_assistant
        self.user = user
        self.default_system_message = default_system_message
        self.system_in_user = system_in_user
        self.is_generation = is_generation

    def generate_prompt_turns(self, messages: Sequence[Turn]) -> list[Turn]:
        """Each turn with its text written out; a system message comes first, an empty one is left out.

        Args:
            messages: The conversation in OpenAI's form.

        Raises:
            ValueError: Turns that do not alternate, a turn without text, or a chat that should end with an answer.
        """
        turns = list(messages)
        system: str | None = None
        if turns[0]["role"] == "system":
            system = turns.pop(0)["content"] or ""
        if system is None and self.default_system_message:
            system = self.default_system_message
        asked = all(turn["role"] == "user" for turn in turns[::2])
        if not asked and all(turn["role"] == "assistant" for turn in turns[1::2]):
            raise InvalidValueError("expected turns of 'user' and 'assistant' in alternation, the user's first")
        if any(turn["content"] is None for turn in turns):
            raise InvalidValueError("expected every turn to have a text, found None")
        if not self.is_generation and turns[-1]["role"] != "assistant":
            raise InvalidValueError(f"expected the last turn to be the assistant's, found {turns[-1]['role']!r}")
        written: list[Turn] = []
        if system and not self.system_in_user:
            turns.insert(0, {"role": "system", "content": system})
        for turn in turns:
            role, text = turn["role"], turn["content"].strip()
            if role == "user" and self.system_in_user:
                inside = "" if system is None else self.system.format(instruction=system)
                written.append({"role": role, "content": self.user.format(instruction=text, system=inside)})
                system = None
            elif role in {"system", "user", "assistant"}:
                written.append({"role": role, "content": getattr(self, role).format(instruction=text)})
        return written

    def generate_prompt(self, messages: Sequence[Turn]) -> str:
        """The whole chat as one text.

        Args:
            messages: The conversation in OpenAI's form.

        Raises:
            ValueError: As for `generate_prompt_turns`.
        """
        return "".join(turn["content"] for turn in self.generate_prompt_turns(messages))
