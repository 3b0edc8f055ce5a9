"""Routers: a prompt, or its embedding, becomes the strong model's win rate."""
