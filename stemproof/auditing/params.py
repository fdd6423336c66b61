"""The section ``audit``: how much is audited, and when a flag is raised."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from stemproof.attacks.objectives import OBJECTIVES
from stemproof.attacks.steps import STEP_RULES
from stemproof.attacks.threat import Threat
from stemproof.core.params import Section

Steps = Annotated[int, Field(ge=1, le=100_000)]
Factor = Annotated[float, Field(gt=0, le=1e6)]
Drop = Annotated[float, Field(gt=0, le=100)]


def _known(names: list[str], known: list[str]) -> list[str]:
    for name in names:
        if name not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}")
    return names


class Suite(Section):
    """How much is audited of one threat model.

    ``segments`` are the parts that are attacked: segments, or the excerpts of a blind system. Of
    ``universal_epochs`` and ``sparse_samples`` none means that the check is left out.
    """

    segments: int = Field(default=6, ge=1, le=100_000)
    steps: list[Steps] = Field(default=[1, 2, 5, 40])
    rules: list[str] = Field(default=list(STEP_RULES), min_length=1)
    losses: list[str] = Field(default=list(OBJECTIVES), min_length=1)
    eps_factors: list[Factor] = Field(default=[0.1, 0.3, 1, 3, 10, 30, 100], min_length=1)
    queries: int = Field(default=80, ge=1, le=1_000_000)
    noise_draws: int = Field(default=5, ge=1, le=1000)
    minimal_drops: list[Drop] = Field(default=[3])
    sparse_samples: int = Field(default=100, ge=0, le=1_000_000)
    sparse_amplitude: float = Field(default=0.1, gt=0, le=1)
    universal_epochs: int = Field(default=5, ge=0, le=10_000)

    @field_validator("eps_factors")
    @classmethod
    def _rising(cls, factors: list[float]) -> list[float]:
        if sorted(set(factors)) != factors:
            raise ValueError("eps_factors must rise")
        return factors

    @field_validator("rules")
    @classmethod
    def _rules_are_known(cls, names: list[str]) -> list[str]:
        return _known(names, list(STEP_RULES))

    @field_validator("losses")
    @classmethod
    def _losses_are_known(cls, names: list[str]) -> list[str]:
        return _known(names, list(OBJECTIVES))


class AuditParams(Suite):
    """How much is audited, and when a flag is raised; ``excerpts`` is for blind systems."""

    excerpts: Suite = Field(default_factory=Suite)
    seeds: int = Field(default=3, ge=1, le=100)
    tolerance_db: float = Field(default=0.05, gt=0, le=10)
    black_box_share: float = Field(default=0.02, ge=0, le=1)
    zero_gradient_share: float = Field(default=0.01, ge=0, le=1)
    gradient_error: float = Field(default=0.1, ge=0, le=1)

    def of(self, threat: Threat) -> AuditParams:
        """The same with the suite of a threat model in the place of its own."""
        if threat == "informed":
            return self
        return self.model_copy(update=dict(self.excerpts))
