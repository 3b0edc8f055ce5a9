"""The pydantic classes of RouteLLM's server module, for programs that import them. The server itself needs none."""

from __future__ import annotations

import time
import uuid
from typing import Any, Literal, Optional, Union

from pydantic import BaseModel, ConfigDict, Field

# Annotations are read at run time, also by Python 3.10's pydantic, so they are spelled as it understands them.
# ruff: noqa: UP007, UP045


class ErrorResponse(BaseModel):
    """What is wrong with a request that cannot be routed."""

    object: str = "error"
    message: str


class ChatCompletionRequest(BaseModel):
    """A request; fields that are not listed are kept."""

    model_config = ConfigDict(extra="allow")

    model: str
    messages: Union[str, list[dict[str, Any]]]
    frequency_penalty: Optional[float] = 0.0
    logit_bias: Optional[dict[int, float]] = None
    logprobs: Optional[bool] = None
    top_logprobs: Optional[int] = None
    max_tokens: Optional[int] = None
    n: Optional[int] = 1
    presence_penalty: Optional[float] = 0.0
    response_format: Optional[dict[str, Any]] = None
    seed: Optional[int] = None
    stop: Optional[Union[str, list[str]]] = None
    stream: Optional[bool] = False
    temperature: Optional[float] = 1.0
    top_p: Optional[float] = 1.0
    tools: Optional[list[dict[str, Any]]] = None
    tool_choice: Optional[Union[str, dict[str, Any]]] = None
    user: Optional[str] = None


class UsageInfo(BaseModel):
    """Tokens."""

    prompt_tokens: int = 0
    total_tokens: int = 0
    completion_tokens: Optional[int] = 0


class ChatMessage(BaseModel):
    """What somebody says."""

    role: str
    content: str


class ChatCompletionResponseChoice(BaseModel):
    """One of the answers."""

    index: int
    message: ChatMessage
    finish_reason: Optional[Literal["stop", "length"]] = None


class ChatCompletionResponse(BaseModel):
    """An answer."""

    id: str = Field(default_factory=lambda: f"chatcmpl-{uuid.uuid4().hex}")
    object: str = "chat.completion"
    created: int = Field(default_factory=lambda: int(time.time()))
    model: str
    choices: list[ChatCompletionResponseChoice]
    usage: UsageInfo
