"""MMLU: the list of its domains, and where RouteLLM's generator was."""
