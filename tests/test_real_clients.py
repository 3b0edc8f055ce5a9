"""The providers' own clients and ours read the same recorded responses: same text, calls, tokens and reason to stop."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import ferroute
from servers.joined import joined, whole
from servers.recorded import Recorded, recordings

READER = Path(__file__).parent / "servers" / "read_with_clients.py"
PROVIDERS = {
    "openai": ("openai/m", "/v1"),
    "anthropic": ("anthropic/claude-haiku-4-5", ""),
    "gemini": ("gemini/gemini-3-pro-preview", ""),
}
# The table of reasons to stop, as the wire formats have it.
STOPS = {
    "end_turn": "stop", "stop_sequence": "stop", "pause_turn": "stop", "max_tokens": "length", "tool_use": "tool_calls",
    "refusal": "content_filter", "model_context_window_exceeded": "length", "STOP": "stop", "MAX_TOKENS": "length",
    "SAFETY": "content_filter", "blocked: SAFETY": "content_filter",
}  # fmt: skip


@pytest.fixture(scope="module")
def theirs() -> dict[str, Any]:
    missing = [name for name in ("anthropic", "google.genai") if not _is_there(name)]
    if missing:
        told = f"not run: {' and '.join(missing)} (pip install anthropic google-genai)"
        assert not os.environ.get("CI"), told
        pytest.skip(told)
    done = subprocess.run([sys.executable, str(READER)], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _is_there(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def tokens(provider: str, told: dict[str, Any]) -> dict[str, int]:
    """The client's own numbers by the table of usages."""

    def number(*path: str) -> int:
        value: Any = told
        for name in path:
            value = (value or {}).get(name)
        return value or 0

    if provider == "openai":
        return {
            "prompt": number("prompt_tokens"), "completion": number("completion_tokens"),
            "total": number("total_tokens"),
            "cached": number("prompt_tokens_details", "cached_tokens"), "written": number("prompt_tokens_details",
            "cache_write_tokens"),
            "reasoning": number("completion_tokens_details", "reasoning_tokens"),
        }  # fmt: skip
    if provider == "anthropic":
        cached, written = number("cache_read_input_tokens"), number("cache_creation_input_tokens")
        prompt, completion = number("input_tokens") + cached + written, number("output_tokens")
        reasoning = number("output_tokens_details", "thinking_tokens")
        return {
            "prompt": prompt, "completion": completion, "total": prompt + completion, "cached": cached,
            "written": written,
            "reasoning": reasoning,
        }  # fmt: skip
    thoughts = number("thoughts_token_count")
    return {
        "prompt": number("prompt_token_count") + number("tool_use_prompt_token_count"),
        "completion": number("candidates_token_count") + thoughts, "total": number("total_token_count"),
        "cached": number("cached_content_token_count"), "written": 0, "reasoning": thoughts,
    }  # fmt: skip


CASES = [(provider, name, streamed) for provider in PROVIDERS for name, streamed in recordings(provider)]


@pytest.mark.parametrize(
    ("provider", "name", "streamed"),
    CASES,
    ids=[f"{name}-{'stream' if streamed else 'whole'}" for _, name, streamed in CASES],
)
def test_both_read_the_same(theirs: dict[str, Any], provider: str, name: str, streamed: bool) -> None:
    told = theirs[f"{name}{'.sse' if streamed else '.json'}"]
    model, path = PROVIDERS[provider]
    more: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}} if streamed else {}
    with Recorded() as server:
        answer = ferroute.completion(
            model=model, messages=[{"role": "user", "content": "hi"}], max_tokens=100,
            api_base=f"{server.url}/{name}{path}",
            api_key="k", max_retries=0, **more,
        )  # fmt: skip
        ours = joined(answer) if streamed else whole(answer)
    choice, usage = ours["choices"][0], ours["usage"]
    assert choice["content"] == told["text"]
    assert choice["reasoning"] == told["thinking"]
    calls = [(call["id"], call["name"], json.loads(call["arguments"])) for call in choice["calls"].values()]
    assert [call[1:] for call in calls] == [tuple(call[1:]) for call in told["calls"]]
    for mine, its in zip(calls, told["calls"], strict=True):
        assert mine[0] and (its[0] is None or mine[0] == its[0])
    expected = "tool_calls" if told["calls"] else STOPS.get(told["stop"], told["stop"])
    if told["stop"] == "MALFORMED_FUNCTION_CALL":
        assert choice["finish"] in ("error", "stop")
    else:
        assert choice["finish"] == expected
    details, made = usage.get("prompt_tokens_details") or {}, usage.get("completion_tokens_details") or {}
    assert tokens(provider, told["usage"]) == {
        "prompt": usage["prompt_tokens"], "completion": usage["completion_tokens"], "total": usage["total_tokens"],
        "cached": details.get("cached_tokens") or 0, "written": details.get("cache_write_tokens") or 0,
        "reasoning": made.get("reasoning_tokens") or 0,
    }  # fmt: skip
