"""Protecting a song: a perturbation that separators stumble over, what it costs and what it buys."""
