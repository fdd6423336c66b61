"""A gradient-free attack with a query budget, in the manner of the Square attack."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from pydantic import Field
from torch import Tensor

from stemproof.attacks.budgets import Budget
from stemproof.attacks.case import Case, Found
from stemproof.attacks.objectives import OBJECTIVES, Objective
from stemproof.attacks.protocol import Method, Words
from stemproof.core.params import Section
from stemproof.core.random import Draws

if TYPE_CHECKING:
    from stemproof.attacks.params import AttackParams

# Fractions of the queries after which the window halves (Andriushchenko et al., 2020, sec. 4.1).
HALVINGS = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)


@dataclass(frozen=True)
class RandomSearch:
    """Random search over windows (Square attack; Andriushchenko et al., 2020), for waveforms.

    An image's squares of constant color become windows of time, and the constant becomes a
    square wave of random pitch and phase, because a constant is inaudible to a separator. A
    proposal that raises the loss is kept. Only outputs are used, no gradient.

    Attributes:
        objective: what is maximized, per item.
        queries: proposals per item, one forward pass each; one more is the clean output.
        window: first window as a fraction of the item.
    """

    objective: Objective
    queries: int
    window: float = 0.8

    def __call__(self, case: Case) -> Found:
        """Attack a batch."""
        mixture, budget, draws = case.mixture, case.budget, case.draws("search")
        target = self.objective.target(case)
        keep = budget.keeper(mixture)
        with torch.no_grad():
            waves = _square_waves(mixture, draws)
            delta = budget.project(budget.radius * waves / budget.size(waves).to(mixture))
            worst = mixture.clone()
            worst_loss = self.objective.loss(case, mixture, target)
            finite = torch.isfinite(worst_loss)
            curve = [worst_loss.clone()]
            for query in range(self.queries):
                proposal = delta if query == 0 else self._propose(delta, query, budget, draws)
                candidate = keep(mixture + proposal)
                loss = self.objective.loss(case, candidate, target)
                finite &= torch.isfinite(loss)
                better = loss > worst_loss
                delta = torch.where(better[:, None], proposal, delta)
                worst = torch.where(better[:, None], candidate, worst)
                worst_loss = torch.where(better, loss, worst_loss)
                curve.append(worst_loss.clone())
        return Found(worst, torch.stack(curve, dim=1).where(finite[:, None], torch.nan))

    def _propose(self, delta: Tensor, query: int, budget: Budget, draws: Draws) -> Tensor:
        """Replace one window of each perturbation by a new square wave of full size."""
        samples = delta.shape[-1]
        halvings = sum(query >= fraction * self.queries for fraction in HALVINGS)
        length = max(2, round(self.window * samples / 2**halvings))
        starts = draws.integers(samples - length + 1, 1)
        time = torch.arange(samples)
        chosen = ((time >= starts) & (time < starts + length)).to(delta.device)
        waves = _square_waves(delta, draws)
        # A full-size wave has the largest sample (linf), or the mean energy (l2), of the budget.
        level = budget.radius * budget.per_sample(delta)
        return budget.project(torch.where(chosen, waves * level, delta))


def _square_waves(like: Tensor, draws: Draws) -> Tensor:
    """One square wave of +-1 an item, its period log-uniform from 2 samples to half an item."""
    samples = like.shape[-1]
    exponent = draws.uniform(1)
    period = 2 * torch.exp(exponent * math.log(max(2, samples / 4)))
    phase = draws.uniform(1)
    turns = torch.arange(samples) / period + phase
    return torch.where(turns % 1 < 0.5, 1.0, -1.0).to(like)


class SearchSettings(Section):
    """How long is searched."""

    queries: int = Field(default=1000, ge=1, le=10_000_000)


def _build(params: AttackParams) -> RandomSearch:
    own: SearchSettings = params.settings
    return RandomSearch(OBJECTIVES[params.loss], own.queries)


def _words(params: AttackParams) -> Words:
    return Words(
        how=f"random search, {params.settings.queries} queries",
        knows="outputs only, not the weights; the true vocals, and {side}",
    )


METHOD = Method(
    name="search",
    settings=SearchSettings,
    norms=("linf", "l2"),
    build=_build,
    words=_words,
    summary="random search without gradients, `attack.search.queries` passes",
    restarts=True,
    passes=lambda params: params.settings.queries / 3,
)
