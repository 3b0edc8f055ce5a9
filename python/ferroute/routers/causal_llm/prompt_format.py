"""Prompt format of the causal-LLM classifier (later version)."""

from __future__ import annotations

from typing import Any

from ferroute.routers._later import later_class

PromptFormat: Any = later_class("PromptFormat", "The causal-LLM router's prompt format", __name__)
