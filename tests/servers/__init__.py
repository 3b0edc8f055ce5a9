"""Servers that stand in for the providers: they enforce what the providers' formats say, and break on demand.

`strict.StrictServer` is one process that speaks OpenAI, Azure, Anthropic, Gemini and the compatible dialects, each
under its own first path segment, and refuses with the provider's own error whatever the provider would refuse. `faults`
makes its answers slow, cut, split or wrong. Standard library only.
"""
