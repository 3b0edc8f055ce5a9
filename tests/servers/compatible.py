"""The rows of the OpenAI-compatible table: what each refuses that OpenAI takes, and how its answers differ."""

from __future__ import annotations

from servers.openai import FIELDS, FOREIGN, Rules

MISTRAL = frozenset({
    "model", "messages", "temperature", "top_p", "max_tokens", "stream", "stop", "random_seed", "response_format",
    "tools",
    "tool_choice", "presence_penalty", "frequency_penalty", "n", "prediction", "parallel_tool_calls", "prompt_mode",
    "safe_prompt", "metadata", "reasoning_effort",
})  # fmt: skip
PENALTIES = ("presence_penalty", "frequency_penalty")
# Fields of other providers' thinking, for those who take no reasoning back either.
STRICT = frozenset({*FOREIGN, "reasoning_content", "reasoning"})

RULES = {
    "openai": Rules(
        fields=frozenset(FIELDS), roles=("developer", "system", "user", "assistant", "tool", "function"),
        lengths=("max_tokens", "max_completion_tokens"), call_id=r".{1,40}", foreign=STRICT, by_family=True,
    ),
    "groq": Rules(refused=("logprobs", "logit_bias", "top_logprobs"), most_n=1, foreign=STRICT,
    reasoning_field="reasoning", usage="groq"),
    "together": Rules(stop="eos", usage="plain"),
    "mistral": Rules(
        fields=MISTRAL, unknown=422, roles=("system", "user", "assistant", "tool"), choices=("none", "auto", "any"),
        call_id=r"[A-Za-z0-9]{9}", foreign=STRICT, usage_unasked=True,
    ),
    "deepseek": Rules(usage="deepseek", comments=True),
    "xai": Rules(refused=("stop", *PENALTIES), usage="xai"),
    "fireworks": Rules(model=r"accounts/[\w-]+/models/.+|[^/]+/.+"),
    "openrouter": Rules(
        foreign=frozenset({"extra_content"}), reasoning_field="reasoning", usage="cost", comments=True,
        extra={"provider": "Someone"},
    ),
    "perplexity": Rules(roles=("system", "user", "assistant"), alternates=True, usage="cost", usage_unasked=True,
    extra={"citations": ["https://a.example"]}),
    "cerebras": Rules(refused=PENALTIES, foreign=STRICT, reasoning_field="reasoning",
    extra={"time_info": {"total_time": 0.1}}),
    "deepinfra": Rules(usage="estimated_cost"),
    "moonshot": Rules(most_temperature=1.0, choices=("none", "auto")),
    "vllm": Rules(reasoning_field="reasoning"),
    "ollama": Rules(usage="plain"),
}  # fmt: skip

# Prefix and base path of each, as a caller would write them.
PREFIXES = {
    "openai": ("openai/", "/v1"), "groq": ("groq/", "/openai/v1"), "together": ("together_ai/", "/v1"),
    "mistral": ("mistral/", "/v1"), "deepseek": ("deepseek/", "/v1"), "xai": ("xai/", "/v1"),
    "fireworks": ("fireworks_ai/", "/inference/v1"), "openrouter": ("openrouter/", "/api/v1"),
    "perplexity": ("perplexity/", ""),
    "cerebras": ("cerebras/", "/v1"), "deepinfra": ("deepinfra/", "/v1/openai"), "moonshot": ("moonshot/", "/v1"),
    "vllm": ("hosted_vllm/", "/v1"), "ollama": ("ollama/", "/v1"),
}  # fmt: skip
