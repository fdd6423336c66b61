"""The section ``audit``: how much is audited, and when a flag is raised."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from stemproof.core.params import Section

Steps = Annotated[int, Field(ge=1, le=100_000)]
Factor = Annotated[float, Field(gt=0, le=1e6)]
Drop = Annotated[float, Field(gt=0, le=100)]


class AuditParams(Section):
    """How much is audited, and when a flag is raised."""

    segments: int = Field(default=6, ge=1, le=100_000)
    steps: list[Steps] = Field(default=[1, 2, 5, 50], min_length=1)
    eps_factors: list[Factor] = Field(default=[0.1, 0.3, 1, 3, 10, 30, 100], min_length=6)
    queries: int = Field(default=100, ge=1, le=1_000_000)
    noise_draws: int = Field(default=5, ge=1, le=1000)
    minimal_drops: list[Drop] = Field(default=[1, 3, 6])
    sparse_samples: int = Field(default=100, ge=1, le=1_000_000)
    sparse_amplitude: float = Field(default=0.1, gt=0, le=1)
    universal_epochs: int = Field(default=20, ge=1, le=10_000)
    seeds: int = Field(default=3, ge=1, le=100)
    tolerance_db: float = Field(default=0.05, gt=0, le=10)
    black_box_share: float = Field(default=0.02, ge=0, le=1)
    zero_gradient_share: float = Field(default=0.01, ge=0, le=1)
    gradient_error: float = Field(default=0.1, ge=0, le=1)

    @field_validator("eps_factors")
    @classmethod
    def _rising(cls, factors: list[float]) -> list[float]:
        if sorted(set(factors)) != factors:
            raise ValueError("eps_factors must rise")
        return factors
