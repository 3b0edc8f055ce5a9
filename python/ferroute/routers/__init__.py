"""Routers and their registry."""
