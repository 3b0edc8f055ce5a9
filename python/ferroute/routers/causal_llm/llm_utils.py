"""Helpers of the causal-LLM classifier (later version)."""

from __future__ import annotations

from ferroute.routers._later import later

_WHAT = "The causal-LLM router"

load_model_config = later("load_model_config", _WHAT)
load_prompt_format = later("load_prompt_format", _WHAT)
get_model = later("get_model", _WHAT)
get_tokenizer = later("get_tokenizer", _WHAT)
to_openai_api_messages = later("to_openai_api_messages", _WHAT)
