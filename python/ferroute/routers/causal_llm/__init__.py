"""The causal-LLM classifier's names; it runs in a later version."""
