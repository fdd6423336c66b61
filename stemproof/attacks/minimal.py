"""The smallest perturbation that costs a given number of dB, in the manner of DeepFool."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from pydantic import Field
from torch import Tensor

from stemproof.attacks.case import Case, Found
from stemproof.attacks.objectives import negative_si_sdr
from stemproof.attacks.protocol import Method, Words
from stemproof.core.params import Section

if TYPE_CHECKING:
    from stemproof.attacks.params import AttackParams


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
    norm: Literal["linf", "l2"] = "l2"
    steps: int = 30
    bisections: int = 8
    overshoot: float = 0.02

    def __call__(self, case: Case) -> Found:
        """Attack a batch.

        The budget is not used: what is sought is how large one would have to be. An item whose
        level is not reached within ``steps`` keeps its last iterate, unless an earlier one cost
        more: too little, and too large. Whoever reports the perturbations' size has to count them.
        """
        mixture = case.mixture
        level = self._loss(case, mixture) + self.drop
        delta = torch.zeros_like(mixture)
        best, best_loss = delta, torch.full_like(level, -torch.inf)
        shown = best_loss
        searching = torch.ones_like(level, dtype=torch.bool)
        curve = []
        for step in range(self.steps + 1):
            candidate = (mixture + delta).requires_grad_(True)
            loss = negative_si_sdr.loss(case, candidate, case.vocals)
            # Who has arrived waits for the others: a random system would draw for it anew.
            shown = torch.where(searching, loss.detach(), shown)
            curve.append(shown)
            better = searching & (shown > best_loss)
            best = torch.where(better[:, None], delta, best)
            best_loss = torch.where(better, shown, best_loss)
            searching = searching & (shown < level)
            # The one wait for the device; most batches need few of the steps.
            if step == self.steps or not bool(searching.any()):
                break
            (gradient,) = torch.autograd.grad(loss.sum(), candidate)
            missing = torch.where(searching, level - shown, 0.0)
            delta = delta + (1 + self.overshoot) * self._step(gradient, missing[:, None])
        # How many passes there were depends on the batch: draws are counted from the start again.
        again = case.restarted(case.run)
        smallest = self._scaled_down(again, best, level)
        # One length for all batches of a run, however many steps each of them needed.
        curve += [shown] * (self.steps + 1 - len(curve))
        curve[-1] = self._loss(again, mixture + smallest)
        return Found(mixture + smallest, torch.stack(curve, dim=1).cummax(dim=1).values)

    def _step(self, gradient: Tensor, missing: Tensor) -> Tensor:
        if self.norm == "linf":
            return missing * gradient.sign() / gradient.abs().sum(-1, keepdim=True).clamp_min(1e-30)
        return missing * gradient / gradient.square().sum(-1, keepdim=True).clamp_min(1e-30)

    def _loss(self, case: Case, heard: Tensor) -> Tensor:
        with torch.no_grad():
            return negative_si_sdr.loss(case, heard, case.vocals)

    def _scaled_down(self, case: Case, delta: Tensor, level: Tensor) -> Tensor:
        low, high = torch.zeros_like(level), torch.ones_like(level)
        for _ in range(self.bisections):
            middle = (low + high) / 2
            enough = self._loss(case, case.mixture + middle[:, None] * delta) >= level
            low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
        return high[:, None] * delta


class MinimalSettings(Section):
    """What the perturbation shall cost."""

    drop: float = Field(default=3.0, gt=0, le=100)


def _build(params: AttackParams) -> MinimalPerturbation:
    own: MinimalSettings = params.settings
    return MinimalPerturbation(own.drop, "l2" if params.norm == "l2" else "linf")


def _words(params: AttackParams) -> Words:
    return Words(
        how="DeepFool for a regression",
        knows="{weights}, the true vocals and {side}",
        worst_kept=False,
    )


METHOD = Method(
    name="minimal",
    settings=MinimalSettings,
    norms=("linf", "l2"),
    build=_build,
    words=_words,
    summary="the smallest perturbation that costs `attack.minimal.drop` dB; no budget",
    needs=frozenset({"gradient", "vocals"}),
    losses=("si_sdr",),
    bounded=False,
    aim=lambda params: float(params.settings.drop),
    passes=lambda _: 20,
)
