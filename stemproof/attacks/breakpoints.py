"""Break points: the smallest perturbations that cost so many dB, for several levels at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stemproof.attacks.budgets import Bound
from stemproof.attacks.case import Case
from stemproof.attacks.objectives import Objective, negative_si_sdr
from stemproof.attacks.protocol import Attack

# SI-SDR that a perturbation costs, in dB.
LEVELS = (1.0, 3.0, 6.0)
QUIETEST = 120.0  # dB of mixture over perturbation; a system that breaks there has no robustness
# Of a perturbation's length, as a factor, from one step to the next.
LARGEST_CHANGE = 2.0
# Share of the gradient's direction in the next one's.
LARGEST_TURN = 0.5


@dataclass(frozen=True)
class Broken:
    """What was found for a batch.

    Attributes:
        snr: mixture over the smallest perturbation found in dB, items x levels; ``loudest`` where
            none cost as much.
        reached: whether the level was reached, items x levels.
        clean: loss on the clean mixture, one an item.
        perturbations: the smallest that were found, levels x items x samples; silence where none
            cost as much.
    """

    snr: Tensor
    reached: Tensor
    clean: Tensor
    perturbations: Tensor


@dataclass(frozen=True)
class BreakPoints:
    """Search the smallest perturbation in L2 that costs each of some levels.

    Direction and length are searched apart, as in DDN (Rony et al., CVPR 2019): the direction
    follows the gradient on a sphere, and the sphere's radius goes towards where the loss would
    reach the level if it rose linearly along the direction (DDN shrinks or grows it by a fixed
    factor), at first by most of the way and at last by little of it. The search for a level begins
    where that for the one before ended, and every point that is visited counts for every level that
    it reaches. Deep networks have directions that are good for one level only, so there are two
    searches, one from the lowest level to the highest and one back, and the smaller perturbation
    counts. At last that of each level is scaled down by bisection.

    Attributes:
        steps: gradients for each level in each of the two searches.
        levels: dB that a perturbation shall cost, rising.
        bisections: halvings of the interval of scales, forward passes each.
        loudest: dB of mixture over perturbation, below which is not searched.
        objective: whose value is held against the levels; minus the SI-SDR in dB.
    """

    steps: int
    levels: tuple[float, ...] = LEVELS
    bisections: int = 5
    loudest: float = 0.0
    objective: Objective = negative_si_sdr

    @property
    def passes(self) -> float:
        """Forward and backward passes over an item; a forward pass counts a third."""
        return 1 + len(self.levels) * (2 * self.steps + self.bisections / 3)

    def __call__(self, case: Case) -> Broken:
        """Search for a batch; the case's budget is not used.

        Raises:
            ValueError: a loss or a gradient is not a number.
        """
        energy = case.mixture.norm(dim=-1)
        clean, gradient = self._loss(case, torch.zeros_like(case.mixture))
        goals = torch.stack([clean + level for level in self.levels], dim=1)
        rising = list(range(len(self.levels)))
        best, kept = self._searched(case, clean, gradient, goals, rising)
        other, other_kept = self._searched(case, clean, gradient, goals, rising[::-1])
        smaller = other < best
        best = torch.where(smaller, other, best)
        kept = torch.where(smaller.T[:, :, None], other_kept, kept)
        for number in rising:
            scale = self._scaled_down(case, kept[number], goals[:, number])
            best[:, number] *= scale
            kept[number] *= scale[:, None]
        return _broken(energy, best, kept, clean, self.loudest)

    def _searched(
        self, case: Case, clean: Tensor, gradient: Tensor, goals: Tensor, order: list[int]
    ) -> tuple[Tensor, Tensor]:
        """Lengths, items x levels, and perturbations, levels first, of one search.

        Args:
            case: the batch.
            clean: loss on the clean mixtures, one an item.
            gradient: there, items x samples.
            goals: losses to reach, items x levels.
            order: numbers of the levels, one searched after the other.
        """
        largest = case.mixture.norm(dim=-1) * 10 ** (-self.loudest / 20)
        best = torch.full_like(goals, torch.inf)
        kept = case.mixture.new_zeros(len(self.levels), *case.mixture.shape)
        direction = _unit(gradient)
        slope = gradient.norm(dim=-1).clamp_min(1e-12)
        radius = torch.minimum((goals[:, order[0]] - clean) / slope, largest)
        before: int | None = None
        for number in order:
            goal = goals[:, number]
            if before is not None:
                # On from the smallest of the level before.
                from_here = best[:, before].isfinite()
                radius = torch.where(from_here, best[:, before], radius)
                direction = torch.where(from_here[:, None], _unit(kept[before]), direction)
                ratio = self.levels[number] / self.levels[before]
                radius = torch.minimum(radius * ratio, largest)
            for step in range(self.steps):
                delta = radius[:, None] * direction
                loss, gradient = self._loss(case, delta)
                best, kept = _better(best, kept, loss[:, None] >= goals, delta, radius)
                # From large turns and changes to small ones, so that both settle.
                share = step / max(self.steps - 1, 1)
                turn = LARGEST_TURN * (1 - 0.9 * share)
                direction = _unit((1 - turn) * direction + turn * _unit(gradient))
                rise = (loss - clean).clamp_min(1e-6)
                change = ((goal - clean) / rise).clamp(1 / LARGEST_CHANGE, LARGEST_CHANGE)
                # A level that nothing has reached yet is gone for all the way.
                reached = best[:, number].isfinite()
                change = torch.where(reached, change ** (0.7 - 0.5 * share), change)
                radius = torch.minimum(radius * change, largest)
            before = number
        return best, kept

    def _loss(self, case: Case, delta: Tensor) -> tuple[Tensor, Tensor]:
        """Loss per item, and its gradient in the perturbation."""
        heard = (case.mixture + delta).detach().requires_grad_(True)
        loss = self.objective.loss(case, heard, case.vocals)
        (gradient,) = torch.autograd.grad(loss.sum(), heard)
        if not bool(torch.isfinite(loss).all() and torch.isfinite(gradient).all()):
            raise ValueError("loss or gradient is not a number")
        return loss.detach(), gradient

    def _scaled_down(self, case: Case, delta: Tensor, goal: Tensor) -> Tensor:
        """The smallest factor on each perturbation with which it still costs the level."""
        # The radius has been led to the level already: not far below it.
        low, high = torch.full_like(goal, 0.5), torch.ones_like(goal)
        with torch.no_grad():
            for _ in range(self.bisections):
                middle = (low + high) / 2
                heard = case.mixture + middle[:, None] * delta
                enough = self.objective.loss(case, heard, case.vocals) >= goal
                low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
        return high


@dataclass(frozen=True)
class ScaledBreakPoints:
    """Break points of a system whose gradient is of no use, along what another attack finds.

    An attack without gradients runs in a large budget; then the scale of what it found at which
    each level is reached is sought by bisection; where it found nothing, that of random noise. What
    is found is an upper bound on the smallest perturbation, and a loose one.

    Attributes:
        attack: needs no gradient.
        bound: of its perturbation.
        levels: dB that a perturbation shall cost, rising.
        bisections: forward passes for each level.
        loudest: as in :class:`BreakPoints`.
        attack_passes: that the attack takes.
    """

    attack: Attack
    bound: Bound
    levels: tuple[float, ...] = LEVELS
    bisections: int = 10
    loudest: float = 0.0
    attack_passes: float = 0.0

    @property
    def passes(self) -> float:
        """As those of :class:`BreakPoints`, with those of the attack."""
        return self.attack_passes + (1 + len(self.levels) * (self.bisections + 1)) / 3

    def __call__(self, case: Case) -> Broken:
        """Search for a batch; the case's budget is not used."""
        energy = case.mixture.norm(dim=-1)
        inside = case.within(self.bound)
        found = self.attack(inside).adversarial - case.mixture
        # An attack that found nothing in its budget says nothing of larger ones.
        random = inside.budget.start(case.mixture, case.draws("scale"))
        found = torch.where(found.any(dim=-1, keepdim=True), found, random)
        size = found.norm(dim=-1).clamp_min(1e-30)
        with torch.no_grad():
            clean = negative_si_sdr.loss(case, case.mixture, case.vocals)
            columns = [self._scale(case, found, size, clean + level) for level in self.levels]
        best = torch.stack(columns, dim=1)
        factors = torch.where(best.isfinite(), best, 0.0) / size[:, None]
        return _broken(energy, best, factors.T[:, :, None] * found, clean, self.loudest)

    def _scale(self, case: Case, found: Tensor, size: Tensor, goal: Tensor) -> Tensor:
        """The smallest length along each perturbation that reaches the goal; infinite for none."""
        largest = case.mixture.norm(dim=-1) * 10 ** (-self.loudest / 20)

        def enough(length: Tensor) -> Tensor:
            heard = case.mixture + (length / size)[:, None] * found
            return negative_si_sdr.loss(case, heard, case.vocals) >= goal

        # In dB: from the loudest to the quietest.
        low, high = largest * 10 ** (-QUIETEST / 20), largest
        reached = enough(high)
        for _ in range(self.bisections):
            middle = (low * high).sqrt()
            there = enough(middle)
            low, high = torch.where(there, low, middle), torch.where(there, middle, high)
        return torch.where(reached, high, torch.inf)


def _unit(vector: Tensor) -> Tensor:
    return vector / vector.norm(dim=-1, keepdim=True).clamp_min(1e-30)


def _broken(energy: Tensor, best: Tensor, kept: Tensor, clean: Tensor, loudest: float) -> Broken:
    """What was found, given the lengths of the smallest perturbations, items x levels.

    What costs more also costs less: after each was scaled by itself, the one for a higher level
    may be the smaller one.
    """
    for number in reversed(range(len(kept) - 1)):
        smaller = best[:, number + 1] < best[:, number]
        best[:, number] = torch.where(smaller, best[:, number + 1], best[:, number])
        kept[number] = torch.where(smaller[:, None], kept[number + 1], kept[number])
    reached = best.isfinite()
    snr = 20 * torch.log10(energy[:, None] / best.clamp_min(1e-30))
    snr = torch.where(reached, snr.clamp(loudest, QUIETEST), loudest)
    return Broken(snr, reached, clean, kept)


def _better(
    best: Tensor, kept: Tensor, reached: Tensor, delta: Tensor, radius: Tensor
) -> tuple[Tensor, Tensor]:
    """Take a perturbation over, for every level that it reaches with less than before."""
    smaller = reached & (radius[:, None] < best)
    best = torch.where(smaller, radius[:, None], best)
    return best, torch.where(smaller.T[:, :, None], delta[None], kept)
