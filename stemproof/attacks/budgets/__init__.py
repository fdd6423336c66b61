"""Budgets: L-inf, L2 and L0 balls, and the one way to make them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from stemproof.attacks.budgets.l0 import L0Budget
from stemproof.attacks.budgets.l2 import L2Budget
from stemproof.attacks.budgets.linf import LinfBudget
from stemproof.attacks.budgets.protocol import Ball, Budget, Keeper

__all__ = [
    "AnyBudget",
    "Ball",
    "Bound",
    "Budget",
    "Keeper",
    "L0Budget",
    "L2Budget",
    "LinfBudget",
    "Norm",
    "matched",
    "used",
]

Norm = Literal["linf", "l2", "l0"]
AnyBudget = LinfBudget | L2Budget | L0Budget


@dataclass(frozen=True)
class Bound:
    """How large a perturbation may be, before there is a mixture.

    Attributes:
        norm: ``linf`` (uses ``eps``), ``l2`` (``snr``) or ``l0`` (``samples``, ``amplitude``).
        eps: largest change of a sample, full scale 1.
        snr: mixture over perturbation in dB: the radius is ``||mixture|| * 10 ** (-snr / 20)``.
        samples: how many samples of an item may change.
        amplitude: by how much each, full scale 1.
        bounded: whether there is a bound at all; without one the radius is infinite.
    """

    norm: Norm
    eps: float = 0.0
    snr: float = 0.0
    samples: int = 0
    amplitude: float = 0.0
    bounded: bool = True

    def times(self, factor: float) -> Bound:
        """A multiple of the radius; the amplitude of ``l0`` stays."""
        return replace(
            self,
            eps=self.eps * factor,
            snr=self.snr - 20 * float(torch.tensor(factor, dtype=torch.float64).log10()),
            samples=round(self.samples * factor),
        )

    def budget(self, mixture: Tensor) -> AnyBudget:
        """The ball around each of some mixtures, batch x samples."""
        budget = self._ball(mixture)
        if self.bounded:
            return budget
        return replace(budget, radius=torch.full_like(budget.radius, torch.inf))

    def _ball(self, mixture: Tensor) -> AnyBudget:
        if self.norm == "l0":
            return L0Budget(mixture.new_full((len(mixture), 1), self.samples), self.amplitude)
        if self.norm == "linf":
            radius = mixture.new_full((len(mixture), 1), self.eps)
            # The nearest float32 may lie above eps; the budget is eps itself.
            below = torch.nextafter(radius, torch.zeros_like(radius))
            return LinfBudget(torch.where(radius.double() > self.eps, below, radius))
        # In double precision: a float32 norm can differ in its last bit with the batch's size.
        energy = mixture.double().norm(dim=-1, keepdim=True)
        return L2Budget((energy * 10 ** (-self.snr / 20)).to(mixture.dtype))


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
