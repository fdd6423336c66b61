"""The smallest perturbation that costs a given number of dB, in the manner of DeepFool."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stemproof.attacks.norms import Budget, Norm
from stemproof.figures.si_sdr import si_sdr
from stemproof.separators.protocol import Context, Separator

REACHED = 0.02  # dB; so near to its level a perturbation has reached it


@dataclass(frozen=True)
class MinimalPerturbation:
    """DeepFool (Moosavi-Dezfooli et al., 2016) for a regression.

    DeepFool steps to the linearized decision boundary. A separator has no boundary; the level
    set on which the SI-SDR is ``drop`` dB below its clean value takes its place. With loss
    ``l`` and gradient ``g``, the smallest step that the linearization needs to reach the level
    ``L`` is ``(L - l) g / ||g||_2^2`` in L2 and ``(L - l) sign(g) / ||g||_1`` in L-inf
    (Moosavi-Dezfooli et al., eq. 4-6 and 10-11, with ``L - l`` for the distance to the boundary).
    Steps are repeated until the level is reached, then the whole perturbation is scaled down by
    bisection to lie on the level.

    Attributes:
        drop: loss of SI-SDR in dB.
        norm: ``l2`` or ``linf``.
        steps: linearizations at most.
        bisections: halvings of the interval of scales.
        overshoot: factor on each step beyond the linearized level.
    """

    drop: float
    norm: Norm = "l2"
    steps: int = 30
    bisections: int = 8
    overshoot: float = 0.02

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

        The budget is not used: what is sought is how large one would have to be. A segment whose
        level is not reached within ``steps`` keeps its last iterate, unless an earlier one cost
        more: too little, and too large. Whoever reports the perturbations' size has to count them.
        """
        level = self._loss(separator, mixture, vocals, context) + self.drop
        delta = torch.zeros_like(mixture)
        best, best_loss = delta, torch.full_like(level, -torch.inf)
        curve = []
        for step in range(self.steps + 1):
            candidate = (mixture + delta).requires_grad_(True)
            loss = -si_sdr(vocals, separator.separate(candidate, context))
            curve.append(loss.detach())
            better = loss.detach() > best_loss
            best = torch.where(better[:, None], delta, best)
            best_loss = torch.where(better, loss.detach(), best_loss)
            missing = (level - loss.detach()).clamp_min(0)
            # The one wait for the device; most batches need few of the steps.
            if step == self.steps or not bool((missing > 0).any()):
                break
            (gradient,) = torch.autograd.grad(loss.sum(), candidate)
            delta = delta + (1 + self.overshoot) * self._step(gradient, missing[:, None])
        smallest = self._scale_down(separator, mixture, vocals, context, best, level)
        last = self._loss(separator, mixture + smallest, vocals, context)
        # One length for all batches of a run, however many steps each of them needed.
        curve += [last] * (self.steps + 1 - len(curve))
        return mixture + smallest, torch.stack(curve, dim=1).cummax(dim=1).values

    def _step(self, gradient: Tensor, missing: Tensor) -> Tensor:
        if self.norm == "linf":
            return missing * gradient.sign() / gradient.abs().sum(-1, keepdim=True).clamp_min(1e-30)
        return missing * gradient / gradient.square().sum(-1, keepdim=True).clamp_min(1e-30)

    def _loss(
        self, separator: Separator, mixture: Tensor, vocals: Tensor, context: Context
    ) -> Tensor:
        with torch.no_grad():
            return -si_sdr(vocals, separator.separate(mixture, context))

    def _scale_down(
        self,
        separator: Separator,
        mixture: Tensor,
        vocals: Tensor,
        context: Context,
        delta: Tensor,
        level: Tensor,
    ) -> Tensor:
        low, high = torch.zeros_like(level), torch.ones_like(level)
        for _ in range(self.bisections):
            middle = (low + high) / 2
            loss = self._loss(separator, mixture + middle[:, None] * delta, vocals, context)
            enough = loss >= level
            low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
        return high[:, None] * delta
