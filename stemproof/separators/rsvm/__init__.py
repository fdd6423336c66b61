"""The paper's family of models: RSVM as published, with attention and dropout, and controls."""

from stemproof.separators.rsvm.kind import KIND
from stemproof.separators.rsvm.published import load_published

__all__ = ["KIND", "load_published"]
