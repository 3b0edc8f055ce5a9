"""Configuration of the causal-LLM classifier (later version)."""

from __future__ import annotations

from enum import Enum
from typing import Any

from ferroute.routers._later import later_class

PROMPT_FORMAT_CONFIGS: dict[str, dict[str, Any]] = {}


class ModelTypeEnum(str, Enum):
    """Kinds of classifier models."""

    CAUSAL = "causal"


RouterModelConfig: Any = later_class("RouterModelConfig", "The causal-LLM router's configuration", __name__)
