"""NES: the gradient is estimated from losses alone, by natural evolution strategies."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from pydantic import Field
from torch import Tensor

from stemproof.attacks.case import Case, Found
from stemproof.attacks.objectives import OBJECTIVES, Objective
from stemproof.attacks.protocol import Method, Words
from stemproof.attacks.steps import Iterate, Momentum
from stemproof.core.params import Section
from stemproof.core.random import Draws

if TYPE_CHECKING:
    from stemproof.attacks.params import AttackParams


@dataclass(frozen=True)
class NES:
    """Projected steepest steps along an estimated gradient (Ilyas et al., ICML 2018, algorithm 1).

    The loss is asked for at pairs of points on either side of where the attack stands, and the
    estimate is the mean of their directions, each weighted by the difference of its two losses
    (antithetic sampling, section 3.1). Only outputs are used, no gradient; the points that are
    asked need not lie in the budget, what is found does. The worst iterate per item is kept.

    Two things differ from images. A second of music has tens of thousands of samples, of which a
    few hundred white directions see next to nothing: directions are Gaussian noise below a
    frequency. And what one step's pairs see is little beside what all have seen: steps follow the
    accumulated estimates, as in MI-FGSM (:class:`stemproof.attacks.steps.Momentum`).

    Attributes:
        objective: what is maximized, per item.
        queries: forward passes per item in all: the clean mixture, the pairs, and every iterate.
        population: pairs per step, at least; there are as many steps as the queries allow.
        sigma: distance of the points as a fraction of the budget's radius.
        step_size: first step as a fraction of the radius; steps shrink linearly towards zero.
        cutoff: highest frequency of the directions in Hz; from half the sample rate on they are
            white.
    """

    objective: Objective
    queries: int
    population: int = 10
    sigma: float = 0.5
    step_size: float = 0.5
    cutoff: float = 1000.0

    @property
    def pairs(self) -> list[int]:
        """How many pairs each step asks for; with them and the iterates the queries are spent.

        An odd number of passes that a single step has leaves one over.
        """
        left = self.queries - 1
        steps = max(1, left // (2 * self.population + 1))
        # A step asks an odd number of times: their number must be even where what is left is.
        if (left - steps) % 2 and steps > 1:
            steps -= 1
        total = (left - steps) // 2
        return [total * (step + 1) // steps - total * step // steps for step in range(steps)]

    def __call__(self, case: Case) -> Found:
        """Attack a batch."""
        mixture, budget, draws = case.mixture, case.budget, case.draws("nes")
        target = self.objective.target(case)
        keep = budget.keeper(mixture)
        with torch.no_grad():
            worst, worst_loss = mixture.clone(), self.objective.loss(case, mixture, target)
            finite = torch.isfinite(worst_loss)
            curve = [worst_loss]
            delta = torch.zeros_like(mixture)
            # At the mixture itself the distance to the clean estimate has no slope.
            if self.objective.against_clean or case.run > 0:
                delta = budget.start(mixture, case.draws("start"))
            loss, rule = worst_loss, Momentum(self.step_size, len(self.pairs))
            for step, pairs in enumerate(self.pairs):
                gradient, whole = self._estimate(case, target, delta, pairs, draws)
                delta = rule.next(Iterate(step, delta, loss, gradient, budget))
                candidate = keep(mixture + delta)
                loss = self.objective.loss(case, candidate, target)
                finite &= whole & torch.isfinite(loss)
                better = loss > worst_loss
                worst = torch.where(better[:, None], candidate, worst)
                worst_loss = torch.where(better, loss, worst_loss)
                curve.append(worst_loss)
        return Found(worst, torch.stack(curve, dim=1).where(finite[:, None], torch.nan))

    def _estimate(
        self, case: Case, target: Tensor, delta: Tensor, pairs: int, draws: Draws
    ) -> tuple[Tensor, Tensor]:
        """The gradient up to a factor, and where all losses were numbers."""
        gradient = torch.zeros_like(delta)
        whole = torch.ones_like(delta[:, 0], dtype=torch.bool)
        distance = self.sigma * case.budget.radius * case.budget.per_sample(delta)
        for _ in range(pairs):
            direction = self._direction(case, draws).to(delta)
            ahead, behind = (
                self.objective.loss(case, case.mixture + delta + side * direction, target)
                for side in (distance, -distance)
            )
            whole &= torch.isfinite(ahead) & torch.isfinite(behind)
            gradient += (ahead - behind)[:, None] * direction
        return gradient, whole

    def _direction(self, case: Case, draws: Draws) -> Tensor:
        """Gaussian noise below the cutoff, of unit mean square per item, batch x samples."""
        channels = case.separator.channels
        samples = case.mixture.shape[-1] // channels
        bins = math.ceil(self.cutoff * samples / case.separator.sample_rate) + 1
        if bins > samples // 2:
            return draws.normal(channels * samples)
        spectrum = torch.view_as_complex(draws.normal(channels, bins, 2))
        noise = torch.fft.irfft(spectrum, samples).flatten(1)
        return noise / noise.square().mean(-1, keepdim=True).sqrt()


class NESSettings(Section):
    """How long is asked, and how."""

    queries: int = Field(default=1000, ge=4, le=10_000_000)
    population: int = Field(default=10, ge=1, le=1_000_000)
    sigma: float = Field(default=0.5, gt=0, le=100)
    step_size: float = Field(default=0.5, gt=0, le=10)
    cutoff: float = Field(default=1000.0, gt=0, le=1e9)


def _build(params: AttackParams) -> NES:
    own: NESSettings = params.settings
    objective = OBJECTIVES[params.loss]
    return NES(objective, own.queries, own.population, own.sigma, own.step_size, own.cutoff)


def _words(params: AttackParams) -> Words:
    own: NESSettings = params.settings
    return Words(
        how=f"NES, {own.queries} queries, {own.population} pairs for every step below "
        f"{own.cutoff:g} Hz, first step {own.step_size:g} of the budget",
        knows="outputs only, not the weights; the true vocals, and {side}",
    )


METHOD = Method(
    name="nes",
    settings=NESSettings,
    norms=("linf", "l2"),
    build=_build,
    words=_words,
    summary="steps along a gradient that is estimated from `attack.nes.queries` passes",
    restarts=True,
    passes=lambda params: params.settings.queries / 3,
)
