"""Demucs, HDemucs and HTDemucs, and bags of them, with the weights that the user names."""

from stemproof.separators.demucs.kind import KIND

__all__ = ["KIND"]
