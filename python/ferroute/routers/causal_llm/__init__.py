"""RouteLLM's causal-LLM classifier: a language model that answers with a label token."""
