"""One perturbation for all: learned on training segments, played to test segments."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from stemproof.attacks.norms import Budget
from stemproof.attacks.objectives import Objective
from stemproof.separators.protocol import Context, Separator

# Mixture and vocals of some segments, each batch x samples, and what the separator is given.
Batch = tuple[Tensor, Tensor, Context]


class Batches(Protocol):
    """Batches that can be gone through again and again."""

    def __len__(self) -> int:
        """How many."""
        ...

    def __iter__(self) -> Iterator[Batch]:
        """From the first to the last."""
        ...


@dataclass(frozen=True)
class SamePerturbation:
    """Play one perturbation (1 x samples) to every segment.

    Attributes:
        delta: the perturbation.
        objective: what the curve shows.
    """

    delta: Tensor
    objective: Objective

    def __call__(
        self,
        separator: Separator,
        mixture: Tensor,
        vocals: Tensor,
        context: Context,
        budget: Budget,
        generator: torch.Generator,
    ) -> tuple[Tensor, Tensor]:
        """Attack a batch; see :class:`stemproof.attacks.protocol.Attack`."""
        played = budget.keeper(mixture)(mixture + self.delta)
        target = self.objective.target(separator, mixture, vocals, context)
        with torch.no_grad():
            losses = [
                self.objective(separator.separate(heard, context), target)
                for heard in (mixture, played)
            ]
        return played, torch.stack(losses, dim=1)


@dataclass(frozen=True)
class UniversalPerturbation:
    """A single perturbation that raises the mean loss (Moosavi-Dezfooli et al., 2017).

    It is found by projected steepest ascent on the mean loss over batches, which needs no
    per-segment minimal perturbations (as in Shafahi et al., 2020, algorithm 2).

    Attributes:
        objective: what is maximized.
        epochs: passes over the batches.
        step_size: step as a fraction of the radius, decaying linearly over the run.
    """

    objective: Objective
    epochs: int
    step_size: float = 0.5

    def learn(self, separator: Separator, batches: Batches, budget: Budget) -> SamePerturbation:
        """Learn the perturbation.

        Args:
            separator: differentiable in the mixture.
            batches: training segments, all of one length.
            budget: of one perturbation, radius 1 x 1.

        Returns:
            The attack that plays it.
        """
        delta = torch.zeros_like(next(iter(batches))[0][:1])
        total, done = self.epochs * len(batches), 0
        for _ in range(self.epochs):
            for mixture, vocals, context in batches:
                target = self.objective.target(separator, mixture, vocals, context)
                free = delta.clone().requires_grad_(True)
                loss = self.objective(separator.separate(mixture + free, context), target)
                (gradient,) = torch.autograd.grad(loss.mean(), free)
                length = self.step_size * (1 - done / total) * budget.radius
                delta = budget.project(delta + length * budget.steepest(gradient))
                done += 1
        return SamePerturbation(delta, self.objective)
