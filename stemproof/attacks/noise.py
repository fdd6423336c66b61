"""Random perturbations of the attack's own norm: the control that every attack must beat."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from stemproof.attacks.budgets import Budget, L0Budget
from stemproof.attacks.case import Case, Found
from stemproof.attacks.objectives import OBJECTIVES, Objective
from stemproof.attacks.protocol import Method, Words
from stemproof.core.params import Section
from stemproof.core.random import Draws

if TYPE_CHECKING:
    from stemproof.attacks.params import AttackParams

# (mixtures, budget, draws) -> perturbations of full norm, batch x samples
Noise = Callable[[Tensor, Budget, Draws], Tensor]


def signs(like: Tensor, budget: Budget, draws: Draws) -> Tensor:
    """Plus or minus one level: the largest energy that the budget allows."""
    if isinstance(budget, L0Budget):
        return budget.start(like, draws)
    return _full(draws.signs(like.shape[-1]).to(like), budget)


def uniform(like: Tensor, budget: Budget, draws: Draws) -> Tensor:
    """Uniform between minus and plus one level."""
    return _full(draws.uniform(like.shape[-1]).to(like) * 2 - 1, budget)


def gaussian(like: Tensor, budget: Budget, draws: Draws) -> Tensor:
    """Normal; under linf clipped at three standard deviations, which become the level."""
    draw = draws.normal(like.shape[-1]).to(like)
    return _full(draw.clamp(-3, 3), budget)


def _full(noise: Tensor, budget: Budget) -> Tensor:
    return budget.project(noise * budget.radius / budget.size(noise).to(noise))


NOISES: dict[str, Noise] = {"signs": signs, "uniform": uniform, "gaussian": gaussian}


@dataclass(frozen=True)
class RandomNoise:
    """The control in the place of an attack: random signs; restarts make it the worst of many.

    Attributes:
        objective: by what the worst is chosen, per item.
    """

    objective: Objective

    def __call__(self, case: Case) -> Found:
        """Play noise to a batch."""
        target = self.objective.target(case)
        noise = signs(case.mixture, case.budget, case.draws("noise"))
        noisy = case.budget.keeper(case.mixture)(case.mixture + noise)
        with torch.no_grad():
            clean = self.objective.loss(case, case.mixture, target)
            loss = self.objective.loss(case, noisy, target)
        better = loss > clean
        worst = torch.where(better[:, None], noisy, case.mixture)
        return Found(worst, torch.stack([clean, torch.maximum(clean, loss)], dim=1))


class NoiseSettings(Section):
    """Noise has no settings of its own; ``attack.restarts`` is the number of draws."""


def _build(params: AttackParams) -> RandomNoise:
    return RandomNoise(OBJECTIVES[params.loss])


def _words(params: AttackParams) -> Words:
    return Words(
        how=f"random signs, the worst of {params.restarts} draws",
        knows="outputs only, by which the worst draw is chosen; the true vocals, and {side}",
    )


METHOD = Method(
    name="noise",
    settings=NoiseSettings,
    norms=("linf", "l2", "l0"),
    build=_build,
    words=_words,
    summary="random signs, the worst of `attack.restarts` draws",
    restarts=True,
)
