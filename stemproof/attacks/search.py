"""A gradient-free attack with a query budget, in the manner of the Square attack."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from stemproof.attacks.norms import Budget
from stemproof.attacks.objectives import Objective
from stemproof.separators.protocol import Context, Separator

# Fractions of the queries after which the window halves (Andriushchenko et al., 2020, sec. 4.1).
HALVINGS = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)


@dataclass(frozen=True)
class RandomSearch:
    """Random search over windows (Square attack; Andriushchenko et al., 2020), for waveforms.

    An image's squares of constant color become windows of time, and the constant becomes a
    square wave of random pitch and phase, because a constant is inaudible to a separator. A
    proposal that raises the loss is kept. Only outputs are used, no gradient.

    Attributes:
        objective: what is maximized, per segment.
        queries: proposals per segment, one forward pass each; one more is the clean output.
        window: first window as a fraction of the segment.
    """

    objective: Objective
    queries: int
    window: float = 0.8

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
        target = self.objective.target(separator, mixture, vocals, context)
        keep = budget.keeper(mixture)
        with torch.no_grad():
            waves = _square_waves(mixture, generator)
            delta = budget.project(budget.radius * waves / budget.size(waves).to(mixture))
            worst = mixture.clone()
            worst_loss = self.objective(separator.separate(mixture, context), target)
            curve = [worst_loss.clone()]
            for query in range(self.queries):
                proposal = delta if query == 0 else self._propose(delta, query, budget, generator)
                candidate = keep(mixture + proposal)
                loss = self.objective(separator.separate(candidate, context), target)
                better = loss > worst_loss
                delta = torch.where(better[:, None], proposal, delta)
                worst = torch.where(better[:, None], candidate, worst)
                worst_loss = torch.where(better, loss, worst_loss)
                curve.append(worst_loss.clone())
        return worst, torch.stack(curve, dim=1)

    def _propose(
        self, delta: Tensor, query: int, budget: Budget, generator: torch.Generator
    ) -> Tensor:
        """Replace one window of each perturbation by a new square wave of full size."""
        samples = delta.shape[-1]
        halvings = sum(query >= fraction * self.queries for fraction in HALVINGS)
        length = max(2, round(self.window * samples / 2**halvings))
        starts = torch.randint(0, samples - length + 1, (len(delta), 1), generator=generator)
        time = torch.arange(samples)
        chosen = ((time >= starts) & (time < starts + length)).to(delta.device)
        waves = _square_waves(delta, generator)
        # A full-size wave has the largest sample (linf), or the mean energy (l2), of the budget.
        level = budget.radius * budget.per_sample(delta)
        return budget.project(torch.where(chosen, waves * level, delta))


def _square_waves(like: Tensor, generator: torch.Generator) -> Tensor:
    """One square wave of +-1 a segment, its period log-uniform from 2 samples to half a segment."""
    batch, samples = like.shape
    exponent = torch.rand(batch, 1, generator=generator)
    period = 2 * torch.exp(exponent * math.log(max(2, samples / 4)))
    phase = torch.rand(batch, 1, generator=generator)
    turns = torch.arange(samples) / period + phase
    return torch.where(turns % 1 < 0.5, 1.0, -1.0).to(like)
