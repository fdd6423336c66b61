"""Open-Unmix (Stöter et al., 2019): weights that are there already, or a small model for vocals."""

from stemproof.separators.openunmix.kind import KIND

__all__ = ["KIND"]
