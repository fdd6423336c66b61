"""The template of every iterative gradient attack: start, gradient, step, project."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stemproof.attacks.norms import Budget
from stemproof.attacks.objectives import Objective
from stemproof.attacks.steps import Constant, Iterate, MakeRule
from stemproof.separators.protocol import Context, Separator


@dataclass(frozen=True)
class GradientAttack:
    """Maximize an objective inside a budget by following its gradient.

    FGSM, PGD, MI-FGSM and Auto-PGD are this class with another step rule. The worst iterate per
    segment is kept.

    Attributes:
        objective: what is maximized, per segment.
        steps: gradient steps.
        step_size: full step as a fraction of the budget's radius.
        rule: how steps are chosen.
        random_start: start at a random point of the budget instead of at the mixture.
        restarts: independent runs, of which the worst result per segment is kept. The first
            one starts at the mixture unless ``random_start``.
        samples: forward passes that loss and gradient are averaged over: expectation over
            transformation (Athalye et al., 2018), for a system that is random at test time.
    """

    objective: Objective
    steps: int
    step_size: float
    rule: MakeRule = Constant
    random_start: bool = True
    restarts: int = 1
    samples: int = 1

    def __call__(
        self,
        separator: Separator,
        mixture: Tensor,
        vocals: Tensor,
        context: Context,
        budget: Budget,
        generator: torch.Generator,
    ) -> tuple[Tensor, Tensor]:
        """Attack a batch; see :class:`stemproof.attacks.protocol.Attack`.

        The separator's weights get no gradient.
        """
        target = self.objective.target(separator, mixture, vocals, context)
        keep = budget.keeper(mixture)
        worst = mixture.clone()
        worst_loss = mixture.new_full((len(mixture),), -torch.inf)
        finite = torch.ones_like(worst_loss, dtype=torch.bool)
        curves: list[Tensor] = []
        for restart in range(self.restarts):
            if self.random_start or restart > 0:
                delta = budget.start(mixture, generator)
            else:
                delta = torch.zeros_like(mixture)
            rule = self.rule(self.step_size, self.steps)
            best = torch.full_like(worst_loss, -torch.inf)
            curve = []
            for step in range(self.steps + 1):
                # What is scored is what will be stored: rounded to float32, within the budget.
                candidate = keep(mixture + delta)
                last = step == self.steps
                loss, gradient = self._loss(
                    separator, candidate, context, target, with_gradient=not last
                )
                finite &= torch.isfinite(loss) & torch.isfinite(gradient).all(-1)
                better = loss > worst_loss
                worst = torch.where(better[:, None], candidate, worst)
                worst_loss = torch.where(better, loss, worst_loss)
                best = torch.maximum(best, loss)
                curve.append(best)
                if not last:
                    delta = rule.next(Iterate(step, delta, loss, gradient, budget))
            curves.append(torch.stack(curve, dim=1))
        # After k steps of every restart.
        return worst, torch.stack(curves).amax(0).where(finite[:, None], torch.nan)

    def _loss(
        self,
        separator: Separator,
        candidate: Tensor,
        context: Context,
        target: Tensor,
        *,
        with_gradient: bool,
    ) -> tuple[Tensor, Tensor]:
        """Loss per segment and its gradient in the mixture (and in nothing else)."""
        candidate = candidate.detach().requires_grad_(with_gradient)
        with torch.set_grad_enabled(with_gradient):
            passes = [
                self.objective(separator.separate(candidate, context), target)
                for _ in range(self.samples)
            ]
            loss = torch.stack(passes).mean(0)
        if not with_gradient:
            return loss, torch.zeros_like(candidate)
        # Segments do not touch each other, so the gradient of the sum is each one's own.
        (gradient,) = torch.autograd.grad(loss.sum(), candidate)
        return loss.detach(), gradient


def fgsm(objective: Objective, samples: int = 1) -> GradientAttack:
    """One full step from the mixture (Goodfellow et al., 2015)."""
    return GradientAttack(objective, steps=1, step_size=1.0, random_start=False, samples=samples)
