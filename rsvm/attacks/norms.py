"""Budgets: where a perturbation may lie, and what the steepest step is there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

Norm = Literal["linf", "l2"]


class Budget(Protocol):
    """A ball around the clean mixture, one radius per segment (batch x 1)."""

    @property
    def radius(self) -> Tensor:
        """Largest norm allowed, batch x 1."""
        ...

    def start(self, like: Tensor, generator: torch.Generator) -> Tensor:
        """A random point of the ball, batch x samples."""
        ...

    def steepest(self, gradient: Tensor) -> Tensor:
        """The step of unit norm along which the linearized loss grows most."""
        ...

    def project(self, delta: Tensor) -> Tensor:
        """The nearest point of the ball."""
        ...

    def size(self, delta: Tensor) -> Tensor:
        """The norm of each perturbation, batch x 1, in double precision."""
        ...

    def per_sample(self, like: Tensor) -> float:
        """Size of one sample of a perturbation of norm 1 whose samples are equally large."""
        ...


@dataclass(frozen=True)
class LinfBudget:
    """``max |delta| <= radius``."""

    radius: Tensor

    def start(self, like: Tensor, generator: torch.Generator) -> Tensor:
        """Uniform in the cube."""
        uniform = torch.rand(like.shape, generator=generator).to(like)
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


@dataclass(frozen=True)
class L2Budget:
    """``||delta||_2 <= radius``; the radius follows from an SNR and the mixture's energy."""

    radius: Tensor

    def start(self, like: Tensor, generator: torch.Generator) -> Tensor:
        """Uniform direction, and a length whose distribution is uniform in the ball."""
        direction = torch.randn(like.shape, generator=generator)
        length = torch.rand(len(like), 1, generator=generator) ** (1 / like.shape[-1])
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


def make_budget(norm: str, mixture: Tensor, eps: float, snr: float) -> Budget:
    """The budget of ``attack.norm`` for a batch of mixtures, batch x samples.

    Args:
        norm: ``linf`` (radius ``eps``, full scale 1) or ``l2``
            (radius ``||mixture|| * 10 ** (-snr / 20)``).
        mixture: the clean mixtures.
        eps: largest change of a sample.
        snr: mixture over perturbation in dB.
    """
    if norm == "linf":
        return LinfBudget(mixture.new_full((len(mixture), 1), eps))
    # In double precision: a float32 norm can differ in its last bit with the size of the batch.
    energy = mixture.double().norm(dim=-1, keepdim=True)
    return L2Budget((energy * 10 ** (-snr / 20)).to(mixture.dtype))


def used(budget: Budget, mixture: Tensor, adversarial: Tensor) -> float:
    """Largest perturbation as a fraction of the budget, in double precision; at most 1 when kept.

    A radius of zero (eps = 0, or silence under l2) is kept by a zero perturbation only.
    """
    size = budget.size(adversarial.double() - mixture.double())
    radius = budget.radius.double()
    fraction = torch.where(radius > 0, size / radius, torch.where(size > 0, torch.inf, 0.0))
    return float(fraction.max())


def inside(budget: Budget, mixture: Tensor, adversarial: Tensor) -> Tensor:
    """Move float32 adversarials so that their *stored* difference keeps the budget.

    Adding a perturbation to the mixture rounds, and may round outwards. Under linf the samples
    that did are moved to their neighbor towards the mixture; under l2 the perturbation is
    scaled down by the excess.

    Returns:
        Adversarial mixtures whose difference to ``mixture``, computed in double precision, is
        within the radius.
    """
    for attempt in range(8):
        delta = adversarial.double() - mixture.double()
        radius = budget.radius.double()
        if bool((budget.size(delta) <= radius).all()):
            return adversarial
        if isinstance(budget, LinfBudget):
            toward = torch.nextafter(adversarial, mixture)
            adversarial = torch.where(delta.abs() > radius, toward, adversarial)
        else:
            excess = (radius / budget.size(delta).clamp_min(1e-38)).clamp(max=1)
            # Rounding to float32 may step out again: shrink a little more at each attempt.
            excess = excess * (1 - 1e-7 * 4**attempt)
            adversarial = (mixture.double() + delta * excess).float()
    # Nothing left to round: the radius is below the spacing of float32 here.
    keeps = budget.size(adversarial.double() - mixture.double()) <= budget.radius.double()
    return torch.where(keeps, adversarial, mixture)
