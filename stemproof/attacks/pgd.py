"""PGD: projected gradient ascent (Madry et al., 2018), with any step rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field, field_validator

from stemproof.attacks.gradient import GradientAttack
from stemproof.attacks.objectives import OBJECTIVES
from stemproof.attacks.protocol import Method, Words
from stemproof.attacks.steps import STEP_RULES
from stemproof.core.params import Section

if TYPE_CHECKING:
    from stemproof.attacks.params import AttackParams


class PGDSettings(Section):
    """How PGD goes."""

    steps: int = Field(default=10, ge=1, le=100_000)
    step_size: float = Field(default=0.5, gt=0, le=10)
    step_rule: str = "decaying"
    random_start: bool = True

    @field_validator("step_rule")
    @classmethod
    def _known(cls, rule: str) -> str:
        if rule not in STEP_RULES:
            raise ValueError(f"step_rule must be one of {', '.join(STEP_RULES)}")
        return rule


def build_pgd(params: AttackParams) -> GradientAttack:
    """PGD with the steps, rule and loss of the parameters, whatever the method."""
    own: PGDSettings = params.pgd  # type: ignore[attr-defined]
    return GradientAttack(
        objective=OBJECTIVES[params.loss],
        steps=own.steps,
        step_size=own.step_size,
        rule=STEP_RULES[own.step_rule],
        random_start=own.random_start,
    )


def _words(params: AttackParams) -> Words:
    own: PGDSettings = params.settings
    runs = "one run" if params.restarts == 1 else f"{params.restarts} runs"
    start = "random start" if own.random_start else "start at the mixture"
    # Auto-PGD chooses its own step sizes.
    steps = f"{own.step_rule}, first step {own.step_size:g} of the budget"
    rule = "Auto-PGD" if own.step_rule == "auto" else steps
    return Words(
        how=f"PGD, {own.steps} steps ({rule}), {runs}, {start}",
        knows="{weights}, the true vocals and {side}",
    )


METHOD = Method(
    name="pgd",
    settings=PGDSettings,
    norms=("linf", "l2"),
    build=build_pgd,
    words=_words,
    summary="projected gradient steps; `attack.pgd.step_rule: auto` is Auto-PGD",
    needs=frozenset({"gradient", "vocals", "start"}),
    restarts=True,
    passes=lambda params: params.settings.steps + 1,
)
