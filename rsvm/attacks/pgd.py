"""PGD on the mixture (Madry et al., 2018): start, gradient, step, project."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from rsvm.attacks.norms import Budget, inside
from rsvm.attacks.objectives import Objective
from rsvm.separator import Context, Separator

# (step number from 0, number of steps) -> fraction of the full step size
StepRule = Callable[[int, int], float]


def constant(step: int, steps: int) -> float:
    """Every step is a full one."""
    return 1.0


def decaying(step: int, steps: int) -> float:
    """Linearly from a full step towards zero."""
    return 1.0 - step / steps


STEP_RULES: dict[str, StepRule] = {"constant": constant, "decaying": decaying}


@dataclass(frozen=True)
class PGD:
    """An attack with its parts injected.

    Attributes:
        objective: what is maximized, per segment.
        steps: gradient steps.
        step_size: full step as a fraction of the budget's radius.
        step_rule: how the step shrinks.
        random_start: start at a random point of the budget instead of at the mixture.
        restarts: independent runs, of which the worst result per segment is kept. The first
            one starts at the mixture unless ``random_start``.
    """

    objective: Objective
    steps: int
    step_size: float
    step_rule: StepRule = decaying
    random_start: bool = True
    restarts: int = 1

    def __call__(
        self,
        separator: Separator,
        mixture: Tensor,
        vocals: Tensor,
        context: Context,
        budget: Budget,
        generator: torch.Generator,
    ) -> tuple[Tensor, Tensor]:
        """Attack a batch of segments.

        Args:
            separator: differentiable in the mixture; its weights get no gradient.
            mixture: clean mixtures, batch x samples.
            vocals: true vocals, batch x samples.
            context: what the separator is given, made from the clean stems.
            budget: where the perturbation may lie.
            generator: on the CPU; random starts.

        Returns:
            The adversarial mixture of the worst iterate per segment (batch x samples), and the
            worst loss so far after 0, 1, ... ``steps`` steps (batch x steps + 1).
        """
        with torch.no_grad():
            clean = separator.separate(mixture, context)
        worst = mixture.clone()
        worst_loss = mixture.new_full((len(mixture),), -torch.inf)
        curves = []
        for restart in range(self.restarts):
            if self.random_start or restart > 0:
                delta = budget.start(mixture, generator)
            else:
                delta = torch.zeros_like(mixture)
            for step in range(self.steps + 1):
                # What is scored is what will be stored: rounded to float32, within the budget.
                candidate = inside(budget, mixture, mixture + delta)
                last = step == self.steps
                loss, gradient = self._loss(
                    separator, candidate, vocals, context, clean, with_gradient=not last
                )
                better = loss > worst_loss
                worst[better] = candidate[better]
                worst_loss = torch.where(better, loss, worst_loss)
                curves.append(worst_loss.clone())
                if not last:
                    length = self.step_size * self.step_rule(step, self.steps) * budget.radius
                    delta = budget.project(delta + length * budget.steepest(gradient))
        # The curve of the last restart carries the worst of all restarts before it.
        return worst, torch.stack(curves[-(self.steps + 1) :], dim=1)

    def _loss(
        self,
        separator: Separator,
        candidate: Tensor,
        vocals: Tensor,
        context: Context,
        clean: Tensor,
        *,
        with_gradient: bool,
    ) -> tuple[Tensor, Tensor]:
        """Loss per segment and its gradient in the mixture (and in nothing else)."""
        candidate = candidate.detach().requires_grad_(with_gradient)
        with torch.set_grad_enabled(with_gradient):
            loss = self.objective(separator.separate(candidate, context), vocals, clean)
        if not with_gradient:
            return loss, torch.zeros_like(candidate)
        # Segments do not touch each other, so the gradient of the sum is each one's own.
        (gradient,) = torch.autograd.grad(loss.sum(), candidate)
        return loss.detach(), gradient
