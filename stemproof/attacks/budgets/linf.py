"""L-inf: every sample changes by at most so much."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stemproof.attacks.budgets.protocol import Keeper
from stemproof.attacks.budgets.rounding import outermost
from stemproof.core.random import Draws


@dataclass(frozen=True)
class LinfBudget:
    """``max |delta| <= radius``."""

    radius: Tensor

    def start(self, like: Tensor, draws: Draws) -> Tensor:
        """Uniform in the cube."""
        uniform = draws.uniform(like.shape[-1]).to(like)
        return (2 * uniform - 1) * self.radius

    def steepest(self, gradient: Tensor) -> Tensor:
        """The signs of the gradient."""
        return gradient.sign()

    def project(self, delta: Tensor) -> Tensor:
        """Clip every sample."""
        return delta.clamp(-self.radius, self.radius)

    def size(self, delta: Tensor) -> Tensor:
        """The largest absolute sample."""
        return delta.double().abs().amax(-1, keepdim=True)

    def per_sample(self, like: Tensor) -> float:
        """One: every sample may use the whole budget."""
        return 1.0

    def keeper(self, mixture: Tensor) -> Keeper:
        """Clip to the outermost float32 numbers that are inside."""
        low, high = outermost(mixture, self.radius.double())
        return lambda adversarial: torch.clamp(adversarial, low, high)
