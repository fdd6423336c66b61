"""L0: so many samples change, each by at most so much."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stemproof.attacks.budgets.protocol import Keeper
from stemproof.attacks.budgets.rounding import outermost
from stemproof.core.random import Draws


@dataclass(frozen=True)
class L0Budget:
    """At most ``radius`` samples change, each by at most ``amplitude``."""

    radius: Tensor
    amplitude: float

    def start(self, like: Tensor, draws: Draws) -> Tensor:
        """Random samples, up or down by the amplitude."""
        order = draws.uniform(like.shape[-1]).argsort(-1).argsort(-1)
        signs = draws.signs(like.shape[-1]).to(like)
        return torch.where(order.to(like.device) < self.radius, self.amplitude * signs, 0.0)

    def steepest(self, gradient: Tensor) -> Tensor:
        """The most salient sample, by the whole amplitude."""
        place = gradient.abs().argmax(-1, keepdim=True)
        step = self.amplitude * gradient.gather(-1, place).sign()
        return torch.zeros_like(gradient).scatter(-1, place, step)

    def project(self, delta: Tensor) -> Tensor:
        """Keep the largest samples, clipped to the amplitude."""
        order = delta.abs().argsort(dim=-1, descending=True, stable=True).argsort(dim=-1)
        clipped = delta.clamp(-self.amplitude, self.amplitude)
        return torch.where(order < self.radius, clipped, 0.0)

    def size(self, delta: Tensor) -> Tensor:
        """How many samples change; infinite where one changes by more than the amplitude."""
        count = (delta != 0).double().sum(-1, keepdim=True)
        too_far = delta.double().abs().amax(-1, keepdim=True) > self.amplitude
        return torch.where(too_far, torch.inf, count)

    def per_sample(self, like: Tensor) -> float:
        """The amplitude."""
        return self.amplitude

    def keeper(self, mixture: Tensor) -> Keeper:
        """Clip to the outermost float32 numbers that are inside."""
        low, high = outermost(mixture, self.amplitude)
        return lambda adversarial: torch.clamp(adversarial, low, high)
