"""One perturbation for all: learned on training segments, played to test segments."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from rsvm.attacks.norms import Budget
from rsvm.attacks.objectives import Objective
from rsvm.separator import Context, Separator

# Mixture, vocals and context of some segments.
Batch = tuple[Tensor, Tensor, Context]


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
    step_size: float = 0.25

    def learn(self, separator: Separator, batches: Iterable[Batch], budget: Budget) -> Tensor:
        """Learn the perturbation.

        Args:
            separator: differentiable in the mixture.
            batches: training segments, all of one length.
            budget: of one perturbation, radius 1 x 1.

        Returns:
            1 x samples; add it to any mixture.
        """
        cached = list(batches)
        delta = torch.zeros_like(cached[0][0][:1])
        total, done = self.epochs * len(cached), 0
        for _ in range(self.epochs):
            for mixture, vocals, context in cached:
                with torch.no_grad():
                    clean = separator.separate(mixture, context)
                free = delta.clone().requires_grad_(True)
                loss = self.objective(separator.separate(mixture + free, context), vocals, clean)
                (gradient,) = torch.autograd.grad(loss.mean(), free)
                length = self.step_size * (1 - done / total) * budget.radius
                delta = budget.project(delta + length * budget.steepest(gradient))
                done += 1
        return delta
