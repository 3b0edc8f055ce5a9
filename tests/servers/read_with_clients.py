"""Reads every recorded response with the provider's own client, and prints what that client says it is, as JSON.

A program of its own: these clients warn and patch as they like. What it prints is in each client's own words (its
numbers of tokens, its reasons to stop); the test turns them into OpenAI's by the tables.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

# Instead of this folder, whose modules are named like the clients.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from servers.recorded import Recorded, recordings  # noqa: E402

HELLO: Any = [{"role": "user", "content": "hi"}]


def main() -> None:
    with Recorded() as server:
        found = {
            f"{name}{'.sse' if streamed else '.json'}": read(server, name, streamed)
            for read, providers in (
                (read_openai, ("openai",)),
                (read_anthropic, ("anthropic",)),
                (read_gemini, ("gemini",)),
            )
            for name, streamed in recordings(*providers)
        }
    print(json.dumps(found))


def read_openai(server: Recorded, name: str, streamed: bool) -> Any:
    import openai
    from openai.lib.streaming.chat import ChatCompletionStreamState

    client = openai.OpenAI(base_url=f"{server.url}/{name}/v1", api_key="k", max_retries=0)
    if streamed:
        state: Any = ChatCompletionStreamState()
        for chunk in client.chat.completions.create(model="m", messages=HELLO, stream=True):
            state.handle_chunk(chunk)
        answer = state.current_completion_snapshot
    else:
        answer = client.chat.completions.create(model="m", messages=HELLO)
    message = answer.choices[0].message
    calls = [(call.id, call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls or ()]
    return {
        "text": message.content or "",
        "thinking": "",
        "calls": calls,
        "stop": answer.choices[0].finish_reason,
        "usage": answer.usage.model_dump(),
    }


def read_anthropic(server: Recorded, name: str, streamed: bool) -> Any:
    import anthropic

    client = anthropic.Anthropic(base_url=f"{server.url}/{name}", api_key="k", max_retries=0)
    asked: Any = {"model": "claude-haiku-4-5", "max_tokens": 100, "messages": HELLO}
    if streamed:
        with client.messages.stream(**asked) as stream:
            answer: Any = stream.get_final_message()
    else:
        answer = client.messages.create(**asked)
    blocks = answer.content
    return {
        "text": "".join(block.text for block in blocks if block.type == "text"),
        "thinking": "".join(block.thinking for block in blocks if block.type == "thinking"),
        "calls": [(block.id, block.name, block.input) for block in blocks if block.type == "tool_use"],
        "stop": answer.stop_reason,
        "usage": answer.usage.model_dump(),
    }


def read_gemini(server: Recorded, name: str, streamed: bool) -> Any:
    from google import genai
    from google.genai import types

    client = genai.Client(
        api_key="k", http_options=types.HttpOptions(base_url=f"{server.url}/{name}", api_version="v1beta")
    )
    if streamed:
        answers: list[Any] = list(client.models.generate_content_stream(model="gemini-3-pro-preview", contents="hi"))
    else:
        answers = [client.models.generate_content(model="gemini-3-pro-preview", contents="hi")]
    candidates = [candidate for answer in answers for candidate in answer.candidates or ()]
    parts = [part for candidate in candidates for part in (candidate.content and candidate.content.parts) or ()]
    stops = [candidate.finish_reason.value for candidate in candidates if candidate.finish_reason]
    blocked = [answer.prompt_feedback.block_reason.value for answer in answers if answer.prompt_feedback]
    return {
        "text": "".join(part.text for part in parts if part.text and not part.thought),
        "thinking": "".join(part.text for part in parts if part.text and part.thought),
        "calls": [(call.id, call.name, call.args or {}) for part in parts if (call := part.function_call)],
        "stop": stops[-1] if stops else f"blocked: {blocked[-1]}",
        "usage": answers[-1].usage_metadata.model_dump(mode="json"),
    }


if __name__ == "__main__":
    main()
