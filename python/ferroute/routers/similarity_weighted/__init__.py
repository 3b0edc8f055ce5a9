"""RouteLLM's similarity-weighted ranking: the router, its ratings and tiers, and the embeddings it is made of."""
