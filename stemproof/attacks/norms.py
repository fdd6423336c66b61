"""Budgets: where a perturbation may lie, and what the steepest step is there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import torch
from torch import Tensor

from stemproof.params import AttackParams

Norm = Literal["linf", "l2"]
ATTEMPTS = 5  # roundings that may have to be undone
Keeper = Callable[[Tensor], Tensor]


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

    def keeper(self, mixture: Tensor) -> Keeper:
        """What moves adversarials of these mixtures so that their *stored* difference keeps inside.

        Adding a perturbation to the mixture rounds to float32, and may round outwards. The
        function takes and returns batch x samples; the difference of what it returns to
        ``mixture``, computed in double precision, is within the radius.
        """
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

    def keeper(self, mixture: Tensor) -> Keeper:
        """Clip to the outermost float32 numbers that are inside."""
        low, high = _outermost(mixture, self.radius.double())
        return lambda adversarial: torch.clamp(adversarial, low, high)


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


@dataclass(frozen=True)
class L0Budget:
    """At most ``radius`` samples change, each by at most ``amplitude``."""

    radius: Tensor
    amplitude: float

    def start(self, like: Tensor, generator: torch.Generator) -> Tensor:
        """Random samples, up or down by the amplitude."""
        order = torch.rand(like.shape, generator=generator).argsort(-1).argsort(-1)
        signs = torch.randint(0, 2, like.shape, generator=generator).to(like) * 2 - 1
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
        low, high = _outermost(mixture, self.amplitude)
        return lambda adversarial: torch.clamp(adversarial, low, high)


def _outermost(mixture: Tensor, limit: Tensor | float) -> tuple[Tensor, Tensor]:
    """The smallest and largest float32 within ``limit`` of each sample, in double precision."""
    exact = mixture.double()

    def rounded_in(bound: Tensor) -> Tensor:
        nearest = bound.float()
        outside = (nearest.double() - exact).abs() > limit
        return torch.where(outside, torch.nextafter(nearest, mixture), nearest)

    return rounded_in(exact - limit), rounded_in(exact + limit)


AnyBudget = LinfBudget | L2Budget | L0Budget


def make_budget(norm: str, mixture: Tensor, eps: float, snr: float) -> LinfBudget | L2Budget:
    """A ball for a batch of mixtures, batch x samples.

    Args:
        norm: ``linf`` (radius ``eps``, full scale 1) or ``l2``
            (radius ``||mixture|| * 10 ** (-snr / 20)``).
        mixture: the clean mixtures.
        eps: largest change of a sample.
        snr: mixture over perturbation in dB.
    """
    if norm == "linf":
        radius = mixture.new_full((len(mixture), 1), eps)
        # The nearest float32 may lie above eps; the budget is eps itself.
        below = torch.nextafter(radius, torch.zeros_like(radius))
        return LinfBudget(torch.where(radius.double() > eps, below, radius))
    # In double precision: a float32 norm can differ in its last bit with the size of the batch.
    energy = mixture.double().norm(dim=-1, keepdim=True)
    return L2Budget((energy * 10 ** (-snr / 20)).to(mixture.dtype))


def budget_of(attack: AttackParams, mixture: Tensor) -> AnyBudget:
    """The budget that the parameters describe, for a batch of mixtures (batch x samples).

    The method ``minimal`` has none: it looks for the smallest perturbation, however large.
    """
    if attack.norm == "l0":
        return L0Budget(mixture.new_full((len(mixture), 1), attack.samples), attack.amplitude)
    budget = make_budget(attack.norm, mixture, attack.eps, attack.snr)
    if attack.method == "minimal":
        return replace(budget, radius=torch.full_like(budget.radius, torch.inf))
    return budget


def matched(budget: AnyBudget, mixture: Tensor, adversarial: Tensor) -> AnyBudget:
    """A budget of the same kind that each perturbation fills: for noise of the same norm."""
    size = budget.size(adversarial.double() - mixture.double())
    return replace(budget, radius=size.to(mixture.dtype))


def used(budget: Budget, mixture: Tensor, adversarial: Tensor) -> float:
    """Largest perturbation as a fraction of the budget, in double precision; at most 1 when kept.

    A radius of zero (eps = 0, or silence under l2) is kept by a zero perturbation only.
    """
    size = budget.size(adversarial.double() - mixture.double())
    radius = budget.radius.double()
    fraction = torch.where(radius > 0, size / radius, torch.where(size > 0, torch.inf, 0.0))
    return float(fraction.max())
