"""Spleeter with two stems, as Deezer published it: a blind separator of stereo recordings."""

from stemproof.separators.spleeter.kind import KIND

__all__ = ["KIND"]
