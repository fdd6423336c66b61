"""FGSM: one full step along the gradient from the mixture (Goodfellow et al., 2015)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stemproof.attacks.gradient import GradientAttack
from stemproof.attacks.objectives import OBJECTIVES, Objective
from stemproof.attacks.protocol import Method, Words
from stemproof.core.params import Section

if TYPE_CHECKING:
    from stemproof.attacks.params import AttackParams


class FGSMSettings(Section):
    """FGSM has no settings of its own."""


def fgsm(objective: Objective) -> GradientAttack:
    """The template with a single step and no random start."""
    return GradientAttack(objective, steps=1, step_size=1.0, random_start=False)


def _build(params: AttackParams) -> GradientAttack:
    return fgsm(OBJECTIVES[params.loss])


def _words(params: AttackParams) -> Words:
    return Words(
        how="FGSM, one full step from the mixture",
        knows="{weights}, the true vocals and {side}",
        worst_kept=False,
    )


METHOD = Method(
    name="fgsm",
    settings=FGSMSettings,
    norms=("linf", "l2"),
    build=_build,
    words=_words,
    summary="one full step",
    needs=frozenset({"gradient", "vocals", "start"}),
    passes=lambda _: 2,
)
