"""What a model says, before any dialect puts it into its own words."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Tokens:
    """`prompt` is the whole prompt, `cached` and `written` are parts of it; `made` holds `reasoning`."""

    prompt: int = 120
    cached: int = 64
    written: int = 16
    made: int = 45
    reasoning: int = 0


@dataclass
class Script:
    """One answer."""

    text: str = ""
    thinking: str = ""
    calls: list[tuple[str, str]] = field(default_factory=list)  # name and arguments, a JSON object as text
    stop: str = "stop"  # in OpenAI's words; a script with calls stops for them
    tokens: Tokens = field(default_factory=Tokens)
    schema_tool: bool = False


@dataclass
class Asked:
    """What a request asks for, as far as an answer depends on it."""

    model: str
    text: str  # of the last user turn
    tools: list[str]
    choice: str = "auto"  # auto, none, required, or the name of a tool
    parallel: bool = True
    thinks: bool = False
    after_tools: bool = False  # the last turn holds tool results
    schema: Any = None
    count: int = 1
    legacy: bool = False  # `functions`: a single call, in the form of `function_call`


def usual(asked: Asked) -> Script:
    """The answer that nobody has scripted: tool calls where they are forced or wished for, else an echo.

    A prompt that holds ``[call]`` gets calls of the tools (two, where parallel calls are allowed), once.
    """
    thinking = f"thinking about {asked.text[:20]}" if asked.thinks else ""
    tokens = Tokens(reasoning=30 if asked.thinks else 0)
    names: list[str] = []
    if asked.tools and asked.choice != "none" and not asked.after_tools:
        if asked.choice in asked.tools:
            names = [asked.choice]
        elif asked.choice == "required" or "[call]" in asked.text:
            names = [asked.tools[0], asked.tools[-1]] if asked.parallel else asked.tools[:1]
    if names:
        calls = [(name, json.dumps({"q": f"é漢🦀 {at}"}, ensure_ascii=False)) for at, name in enumerate(names)]
        said = "Let me look." if "[aloud]" in asked.text else ""
        return Script(said, thinking, calls, "tool_calls", tokens)
    if asked.schema is not None:
        return Script(json.dumps({"ans": "é漢🦀"}, ensure_ascii=False), thinking, tokens=tokens)
    return Script(f"You said: {asked.text} é漢🦀", thinking, tokens=tokens)


def signature(provider: str, signed: str) -> str:
    """What `provider` signs `signed` with: another provider's, or a changed text, does not fit.

    Letters and digits that are base64 in either alphabet, since google-genai changes from one to the other.
    """
    return base64.b64encode(hashlib.sha256(f"{provider}|{signed}".encode()).hexdigest().encode()).decode()


def pieces(text: str, size: int = 5) -> list[str]:
    """`text` in pieces of `size` characters; an empty text is none."""
    return [text[at : at + size] for at in range(0, len(text), size)]


def event(value: Any, name: str | None = None) -> bytes:
    """One server-sent event."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(value, ensure_ascii=False)}\n\n".encode()


def vector(text: str, size: int) -> list[float]:
    """A small vector that depends on the text alone, exact in float32."""
    seed = zlib.crc32(text.encode())
    return [((seed >> (at % 24)) & 0xFF) / 256 for at in range(size)]
