"""Few samples, changed a lot: sparse saliency in the manner of JSMA."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from pydantic import Field

from stemproof.attacks.budgets import L0Budget
from stemproof.attacks.case import Case, Found
from stemproof.attacks.objectives import OBJECTIVES, Objective
from stemproof.attacks.protocol import Method, Words
from stemproof.core.params import Section

if TYPE_CHECKING:
    from stemproof.attacks.params import AttackParams


@dataclass(frozen=True)
class SparseSaliency:
    """Change the most salient samples of each item.

    JSMA (Papernot et al., 2016, algorithm 1) changes, again and again, the features to which a
    class score is most sensitive. For a regression the class score becomes the objective: the
    saliency of sample t is what the linearization gains when it moves by the amplitude,
    ``amplitude * |g_t|``. The budget is L0: at most so many samples change, each by at most
    the amplitude; it is another threat model than L-inf and L2, and not comparable to them.

    Attributes:
        objective: what is maximized, per item.
        rounds: gradients computed; each round fixes an equal share of the samples.
    """

    objective: Objective
    rounds: int = 10

    def __call__(self, case: Case) -> Found:
        """Attack a batch.

        Raises:
            TypeError: the budget is not an L0 budget.
        """
        mixture, budget = case.mixture, case.budget
        if not isinstance(budget, L0Budget):
            raise TypeError("sparse saliency needs an L0 budget")
        count = min(int(budget.radius.max()), mixture.shape[-1])
        target = self.objective.target(case)
        keep = budget.keeper(mixture)
        delta = torch.zeros_like(mixture)
        worst, worst_loss = mixture.clone(), torch.full_like(mixture[:, 0], -torch.inf)
        finite = torch.ones_like(worst_loss, dtype=torch.bool)
        curve = []
        for done in range(self.rounds + 1):
            candidate = keep(mixture + delta).requires_grad_(True)
            loss = self.objective.loss(case, candidate, target)
            (gradient,) = torch.autograd.grad(loss.sum(), candidate)
            finite &= torch.isfinite(loss.detach()) & torch.isfinite(gradient).all(-1)
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
        return Found(worst, torch.stack(curve, dim=1).where(finite[:, None], torch.nan))


class SparseSettings(Section):
    """In how many rounds the samples are chosen."""

    rounds: int = Field(default=10, ge=1, le=100_000)


def _build(params: AttackParams) -> SparseSaliency:
    own: SparseSettings = params.settings
    return SparseSaliency(OBJECTIVES[params.loss], own.rounds)


def _words(params: AttackParams) -> Words:
    return Words(
        how=f"sparse saliency in {params.settings.rounds} rounds",
        knows="{weights}, the true vocals and {side}",
    )


METHOD = Method(
    name="sparse",
    settings=SparseSettings,
    norms=("l0",),
    build=_build,
    words=_words,
    summary="the most salient samples",
    needs=frozenset({"gradient", "vocals", "start"}),
    passes=lambda params: params.settings.rounds + 1,
)
