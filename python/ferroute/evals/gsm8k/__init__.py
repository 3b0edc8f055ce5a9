"""GSM8K: where RouteLLM's generator was."""
