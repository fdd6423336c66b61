"""The section ``statistics``: intervals over tracks and training seeds."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from stemproof.core.params import Section, Seed


class StatisticsParams(Section):
    """How intervals are made."""

    bootstrap: int = Field(default=20_000, ge=100, le=1_000_000)
    confidence: float = Field(default=0.95, gt=0, lt=1)
    seed: Seed = 0

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of :func:`stemproof.figures.statistics.bootstrap`."""
        return {
            "resamples": self.bootstrap,
            "confidence": self.confidence,
            "seed": self.seed,
        }
