"""The section ``evaluate``: figures and controls."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from stemproof.core.params import Name, Section, Seed


class EvaluateParams(Section):
    """What is played to a system, and what is measured."""

    noise_draws: int = Field(default=3, ge=1, le=1000)
    bsseval: Literal["fast", "museval", "sdr", "none"] = "fast"
    oracle: Name = "stft"
    batch: int = Field(default=16, ge=1, le=65_536)
    seed: Seed = 0
