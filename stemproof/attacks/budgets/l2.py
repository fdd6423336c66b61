"""L2: the whole perturbation lies so many dB below the mixture."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stemproof.attacks.budgets.protocol import Keeper
from stemproof.core.random import Draws

ATTEMPTS = 5  # roundings that may have to be undone


@dataclass(frozen=True)
class L2Budget:
    """``||delta||_2 <= radius``; the radius follows from an SNR and the mixture's energy."""

    radius: Tensor

    def start(self, like: Tensor, draws: Draws) -> Tensor:
        """Uniform direction, and a length whose distribution is uniform in the ball."""
        direction = draws.normal(like.shape[-1])
        length = draws.uniform(1) ** (1 / like.shape[-1])
        unit = direction / direction.norm(dim=-1, keepdim=True)
        return (unit * length).to(like) * self.radius

    def steepest(self, gradient: Tensor) -> Tensor:
        """The gradient, normalized; zero where it is zero."""
        norm = gradient.norm(dim=-1, keepdim=True)
        return torch.where(norm > 0, gradient / norm.clamp_min(1e-38), torch.zeros_like(gradient))

    def project(self, delta: Tensor) -> Tensor:
        """Scale down what is too long."""
        norm = delta.norm(dim=-1, keepdim=True).clamp_min(1e-38)
        return delta * (self.radius / norm).clamp(max=1)

    def size(self, delta: Tensor) -> Tensor:
        """The Euclidean norm."""
        return delta.double().norm(dim=-1, keepdim=True)

    def per_sample(self, like: Tensor) -> float:
        """``1 / sqrt(samples)``."""
        return float(like.shape[-1] ** -0.5)

    def keeper(self, mixture: Tensor) -> Keeper:
        """Scale a perturbation down by its excess, until it stays inside when it is rounded."""
        exact, radius = mixture.double(), self.radius.double()

        def keep(adversarial: Tensor) -> Tensor:
            for attempt in range(ATTEMPTS):
                delta = adversarial.double() - exact
                size = self.size(delta)
                # Looking at a result costs a CPU nothing, and makes a GPU wait.
                if not size.is_cuda and bool((size <= radius).all()):
                    return adversarial
                # Rounding to float32 may step out again: shrink a little more at each attempt.
                excess = (radius / size.clamp_min(1e-38)).clamp(max=1) * (1 - 1e-7 * 4**attempt)
                shrunk = (exact + delta * excess).float()
                adversarial = torch.where(size <= radius, adversarial, shrunk)
            # Nothing left to round: the radius is below the spacing of float32 here.
            keeps = self.size(adversarial.double() - exact) <= radius
            return torch.where(keeps, adversarial, mixture)

        return keep
