"""Protecting a song: a perturbation that separators stumble over, its costs and its effects."""
