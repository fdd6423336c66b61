"""Random perturbations of the attack's own norm: the control that every attack must beat."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from stemproof.attacks.norms import Budget, L0Budget
from stemproof.attacks.objectives import Objective
from stemproof.separators.protocol import Context, Separator

# (mixtures, budget, generator on the CPU) -> perturbations of full norm, batch x samples
Noise = Callable[[Tensor, Budget, torch.Generator], Tensor]


def signs(like: Tensor, budget: Budget, generator: torch.Generator) -> Tensor:
    """Plus or minus one level: the largest energy that the budget allows."""
    if isinstance(budget, L0Budget):
        return budget.start(like, generator)
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


@dataclass(frozen=True)
class RandomNoise:
    """The control in the place of an attack: the worst of a few draws of random signs.

    Attributes:
        objective: by what the worst is chosen, per segment.
        draws: how many.
    """

    objective: Objective
    draws: int

    def __call__(
        self,
        separator: Separator,
        mixture: Tensor,
        vocals: Tensor,
        context: Context,
        budget: Budget,
        generator: torch.Generator,
    ) -> tuple[Tensor, Tensor]:
        """Play noise to a batch; see :class:`stemproof.attacks.protocol.Attack`."""
        target = self.objective.target(separator, mixture, vocals, context)
        keep = budget.keeper(mixture)
        with torch.no_grad():
            worst = mixture.clone()
            worst_loss = self.objective(separator.separate(mixture, context), target)
            curve = [worst_loss]
            for _ in range(self.draws):
                noisy = keep(mixture + signs(mixture, budget, generator))
                loss = self.objective(separator.separate(noisy, context), target)
                better = loss > worst_loss
                worst = torch.where(better[:, None], noisy, worst)
                worst_loss = torch.where(better, loss, worst_loss)
                curve.append(worst_loss)
        return worst, torch.stack(curve, dim=1)


NOISES: dict[str, Noise] = {"signs": signs, "uniform": uniform, "gaussian": gaussian}
