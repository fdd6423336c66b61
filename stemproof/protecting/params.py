"""How a song is protected: all that changes what comes out."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from stemproof.attacks.steps import STEP_RULES
from stemproof.core.params import Section, Seed
from stemproof.protecting.transforms import MIXES

BudgetName = Literal["masking", "snr", "eps"]


class ProtectParams(Section):
    """How a song is protected.

    Attributes:
        budget: what bounds the perturbation: the ``masking`` threshold of the song, an ``snr``, or
            ``eps``, the largest change of a sample.
        size: of that budget: dB below the threshold; dB of song over perturbation, in every
            window; full scale 1.
        mix: what it is made to survive.
        diverse: whether drawn changes come on top, for better transfer.
        steps: gradient steps in each window, each through every system that is aimed at.
        step_size: of the first, as a fraction of the budget.
        step_rule: how steps are chosen.
        window: seconds that are protected at once.
        fade: seconds over which one window is cross-faded into the next.
        bits: of the file that is written.
        gain: dB by which the song is made louder beforehand; mostly below 0.
        survival: windows, spread over the song, on which is measured what the protection survives.
        seed: of all that is drawn.
    """

    budget: BudgetName = "masking"
    size: float = Field(default=3.0, ge=-40, le=200)
    mix: str = "streaming"
    diverse: bool = False
    steps: int = Field(default=30, ge=1, le=100_000)
    step_size: float = Field(default=0.25, gt=0, le=10)
    step_rule: str = "momentum"
    window: float = Field(default=11.5, ge=0.25, le=600)
    fade: float = Field(default=0.5, ge=0.01, le=60)
    bits: Literal[16, 24] = 24
    gain: float = Field(default=0.0, ge=-60, le=20)
    survival: int = Field(default=2, ge=1, le=10_000)
    seed: Seed = 0

    @field_validator("step_rule")
    @classmethod
    def _known(cls, rule: str) -> str:
        if rule not in STEP_RULES:
            raise ValueError(f"step_rule must be one of {', '.join(STEP_RULES)}")
        return rule

    @field_validator("mix")
    @classmethod
    def _is_there(cls, mix: str) -> str:
        if mix not in MIXES:
            raise ValueError(f"mix must be one of {', '.join(MIXES)}")
        return mix

    @model_validator(mode="after")
    def _fits(self) -> ProtectParams:
        if self.fade > self.window / 2:
            raise ValueError(f"fade = {self.fade:g} must be at most half of window")
        if self.budget == "eps" and not 0 < self.size <= 1:
            raise ValueError(f"eps = {self.size:g} must lie above 0, and be 1 at most")
        return self

    @property
    def words(self) -> str:
        """The budget in words."""
        if self.budget == "masking":
            if self.size == 0:
                return "at the masking threshold of the song"
            side = "below" if self.size > 0 else "above"
            return f"{abs(self.size):g} dB {side} the masking threshold of the song"
        if self.budget == "snr":
            return f"{self.size:g} dB below the song in every window"
        return f"no sample changed by more than {self.size:g} of full scale"
