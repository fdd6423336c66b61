"""Few samples, changed a lot: sparse saliency in the manner of JSMA."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stemproof.attacks.norms import Budget, L0Budget
from stemproof.attacks.objectives import Objective
from stemproof.separators.protocol import Context, Separator


@dataclass(frozen=True)
class SparseSaliency:
    """Change the most salient samples of each segment.

    JSMA (Papernot et al., 2016, algorithm 1) changes, again and again, the features to which a
    class score is most sensitive. For a regression the class score becomes the objective: the
    saliency of sample t is what the linearization gains when it moves by the amplitude,
    ``amplitude * |g_t|``. The budget is L0: at most so many samples change, each by at most
    the amplitude; it is another threat model than L-inf and L2, and not comparable to them.

    Attributes:
        objective: what is maximized, per segment.
        rounds: gradients computed; each round fixes an equal share of the samples.
    """

    objective: Objective
    rounds: int = 10

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

        Raises:
            TypeError: the budget is not an L0 budget.
        """
        if not isinstance(budget, L0Budget):
            raise TypeError("sparse saliency needs an L0 budget")
        count = int(budget.radius.max())
        target = self.objective.target(separator, mixture, vocals, context)
        keep = budget.keeper(mixture)
        delta = torch.zeros_like(mixture)
        worst, worst_loss = mixture.clone(), torch.full_like(mixture[:, 0], -torch.inf)
        curve = []
        for done in range(self.rounds + 1):
            candidate = keep(mixture + delta).requires_grad_(True)
            loss = self.objective(separator.separate(candidate, context), target)
            (gradient,) = torch.autograd.grad(loss.sum(), candidate)
            better = loss.detach() > worst_loss
            worst = torch.where(better[:, None], candidate.detach(), worst)
            worst_loss = torch.where(better, loss.detach(), worst_loss)
            curve.append(worst_loss.clone())
            share = count * (done + 1) // self.rounds - count * done // self.rounds
            if done < self.rounds and share > 0:
                saliency = gradient.abs().masked_fill(delta != 0, -1)
                chosen = saliency.topk(share, dim=-1).indices
                signs = gradient.gather(-1, chosen).sign()
                delta = delta.scatter(-1, chosen, budget.amplitude * signs)
        return worst, torch.stack(curve, dim=1)
