"""The causal-LLM classifier (later version)."""

from __future__ import annotations

from typing import Any

from ferroute.routers._later import later_class

CausalLLMClassifier: Any = later_class("CausalLLMClassifier", "The causal-LLM classifier", __name__)
