"""Send each prompt to the cheapest language model that is good enough."""
