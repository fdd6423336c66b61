"""The template of every iterative gradient attack: start, gradient, step, project."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stemproof.attacks.case import Case, Found
from stemproof.attacks.objectives import Objective
from stemproof.attacks.steps import Constant, Iterate, MakeRule


@dataclass(frozen=True)
class GradientAttack:
    """Maximize an objective inside a budget by following its gradient.

    FGSM, PGD, MI-FGSM and Auto-PGD are this class with another step rule. The worst iterate per
    item is kept.

    Attributes:
        objective: what is maximized, per item.
        steps: gradient steps.
        step_size: full step as a fraction of the budget's radius.
        rule: how steps are chosen.
        random_start: start at a random point of the budget instead of at the mixture. Restarts
            after the first always do.
    """

    objective: Objective
    steps: int
    step_size: float
    rule: MakeRule = Constant
    random_start: bool = True

    def __call__(self, case: Case) -> Found:
        """Attack a batch. The separator's weights get no gradient."""
        target = self.objective.target(case)
        keep = case.budget.keeper(case.mixture)
        if self.random_start or case.run > 0:
            delta = case.budget.start(case.mixture, case.draws("start"))
        else:
            delta = torch.zeros_like(case.mixture)
        rule = self.rule(self.step_size, self.steps)
        worst = case.mixture.clone()
        worst_loss = case.mixture.new_full((len(worst),), -torch.inf)
        finite = torch.ones_like(worst_loss, dtype=torch.bool)
        curve = []
        for step in range(self.steps + 1):
            # What is scored is what will be stored: rounded to float32, within the budget.
            candidate = keep(case.mixture + delta)
            last = step == self.steps
            loss, gradient = self._loss(case, candidate, target, with_gradient=not last)
            finite &= torch.isfinite(loss) & torch.isfinite(gradient).all(-1)
            better = loss > worst_loss
            worst = torch.where(better[:, None], candidate, worst)
            worst_loss = torch.where(better, loss, worst_loss)
            curve.append(worst_loss)
            if not last:
                delta = rule.next(Iterate(step, delta, loss, gradient, case.budget))
        return Found(worst, torch.stack(curve, dim=1).where(finite[:, None], torch.nan))

    def _loss(
        self, case: Case, candidate: Tensor, target: Tensor, *, with_gradient: bool
    ) -> tuple[Tensor, Tensor]:
        """Loss per item and its gradient in the mixture (and in nothing else)."""
        candidate = candidate.detach().requires_grad_(with_gradient)
        with torch.set_grad_enabled(with_gradient):
            loss = self.objective.loss(case, candidate, target)
        if not with_gradient:
            return loss, torch.zeros_like(candidate)
        # Items do not touch each other, so the gradient of the sum is each one's own.
        (gradient,) = torch.autograd.grad(loss.sum(), candidate)
        return loss.detach(), gradient
