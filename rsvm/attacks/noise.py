"""Random perturbations of the attack's own norm: the control that every attack must beat."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from rsvm.attacks.norms import Budget

# (mixtures, budget, generator on the CPU) -> perturbations of full norm, batch x samples
Noise = Callable[[Tensor, Budget, torch.Generator], Tensor]


def signs(like: Tensor, budget: Budget, generator: torch.Generator) -> Tensor:
    """Plus or minus one level: under linf the largest energy the budget allows."""
    return _full(torch.randint(0, 2, like.shape, generator=generator).to(like) * 2 - 1, budget)


def uniform(like: Tensor, budget: Budget, generator: torch.Generator) -> Tensor:
    """Uniform between minus and plus one level."""
    return _full(torch.rand(like.shape, generator=generator).to(like) * 2 - 1, budget)


def gaussian(like: Tensor, budget: Budget, generator: torch.Generator) -> Tensor:
    """Normal; under linf clipped at three standard deviations, which become the level."""
    draw = torch.randn(like.shape, generator=generator).to(like)
    return _full(draw.clamp(-3, 3), budget)


def _full(noise: Tensor, budget: Budget) -> Tensor:
    return budget.project(noise * budget.radius / budget.size(noise).to(noise))


NOISES: dict[str, Noise] = {"signs": signs, "uniform": uniform, "gaussian": gaussian}
