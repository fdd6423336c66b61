"""Step rules: where a gradient attack goes next from where it stands."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from stemproof.attacks.budgets import Ball


@dataclass(frozen=True)
class Iterate:
    """Where an attack stands.

    Attributes:
        step: number of the step to be made, from 0.
        delta: perturbation, batch x samples, inside the budget.
        loss: per item, to be maximized.
        gradient: of the loss in the perturbation, batch x samples.
        budget: the ball.
    """

    step: int
    delta: Tensor
    loss: Tensor
    gradient: Tensor
    budget: Ball


class StepRule(Protocol):
    """Chooses the next perturbation; it may remember what it saw."""

    def next(self, at: Iterate) -> Tensor:
        """The next perturbation, inside the budget, batch x samples."""
        ...


# (full step as a fraction of the radius, number of steps) -> a rule for one run
MakeRule = Callable[[float, int], StepRule]


@dataclass
class Constant:
    """Every step is a full one along the steepest direction (Madry et al., 2018)."""

    size: float
    steps: int

    def next(self, at: Iterate) -> Tensor:
        """Steepest step, then projection."""
        length = self.size * self.fraction(at.step) * at.budget.radius
        return at.budget.project(at.delta + length * at.budget.steepest(at.gradient))

    def fraction(self, step: int) -> float:
        """Part of a full step that is taken."""
        return 1.0


class Decaying(Constant):
    """Steepest steps that shrink linearly towards zero."""

    def fraction(self, step: int) -> float:
        """From 1 at the first step to 1 / steps at the last."""
        return 1.0 - step / self.steps


@dataclass
class Momentum(Decaying):
    """Steepest steps along an accumulated gradient (MI-FGSM; Dong et al., 2018, eq. 6)."""

    decay: float = 1.0
    memory: Tensor | None = None

    def next(self, at: Iterate) -> Tensor:
        """Add the gradient, scaled to unit L1 norm, to the memory and follow the memory."""
        scale = at.gradient.abs().sum(-1, keepdim=True).clamp_min(1e-38)
        fresh = at.gradient / scale
        self.memory = fresh if self.memory is None else self.decay * self.memory + fresh
        return super().next(Iterate(at.step, at.delta, at.loss, self.memory, at.budget))


@dataclass
class Adam(Decaying):
    """Steps of Adam (Kingma & Ba, 2015) on the perturbation, decaying, then projection."""

    first: Tensor | None = None
    second: Tensor | None = None
    betas: tuple[float, float] = (0.9, 0.999)

    def next(self, at: Iterate) -> Tensor:
        """Normalize each sample's gradient by its running size."""
        if self.first is None or self.second is None:
            self.first, self.second = torch.zeros_like(at.delta), torch.zeros_like(at.delta)
        # The gradient's scale is arbitrary and can be tiny: bring it to 1 per item.
        scale = at.gradient.abs().amax(-1, keepdim=True).clamp_min(1e-38)
        gradient = at.gradient / scale
        self.first = self.betas[0] * self.first + (1 - self.betas[0]) * gradient
        self.second = self.betas[1] * self.second + (1 - self.betas[1]) * gradient.square()
        mean = self.first / (1 - self.betas[0] ** (at.step + 1))
        size = (self.second / (1 - self.betas[1] ** (at.step + 1))).sqrt()
        # A radius is a norm: under l2 the step of unit size per sample is shared out.
        length = self.size * self.fraction(at.step) * at.budget.radius * at.budget.per_sample(mean)
        return at.budget.project(at.delta + length * mean / (size + 1e-8))


@dataclass
class AutoPGD:
    """Auto-PGD (Croce & Hein, 2020, algorithm 1): momentum, step halving, restart from best.

    The first step is the full diameter, ``2 * radius``; ``size`` is not used, which is the
    point of the rule. At checkpoints, a segment whose loss rose in fewer than ``rho`` of the
    steps, or whose best did not change while its step stayed the same, halves its step and goes
    back to its best.
    """

    size: float
    steps: int
    alpha: float = 0.75
    rho: float = 0.75
    _checkpoints: list[int] = field(default_factory=list)
    _state: _AutoState | None = None

    def __post_init__(self) -> None:
        points = [0.0, 0.22]
        while points[-1] < 1:
            points.append(points[-1] + max(points[-1] - points[-2] - 0.03, 0.06))
        self._checkpoints = sorted({math.ceil(point * self.steps) for point in points})

    def next(self, at: Iterate) -> Tensor:
        """One step of the algorithm, per item."""
        if self._state is None:
            self._state = _AutoState.begin(at)
        state = self._state
        state.observe(at)
        delta, gradient = at.delta, at.gradient
        if at.step in self._checkpoints[1:]:
            previous = self._checkpoints[self._checkpoints.index(at.step) - 1]
            back = state.halve(self.rho * (at.step - previous))[:, None]
            delta = torch.where(back, state.best_delta, delta)
            gradient = torch.where(back, state.best_gradient, gradient)
            state.previous_delta = torch.where(back, delta, state.previous_delta)
        length = state.length[:, None] * at.budget.radius
        ahead = at.budget.project(delta + length * at.budget.steepest(gradient))
        # The first step has nothing to remember.
        alpha = 1.0 if at.step == 0 else self.alpha
        inertia = (1 - alpha) * (delta - state.previous_delta)
        following = at.budget.project(delta + alpha * (ahead - delta) + inertia)
        state.previous_delta = delta
        return following


@dataclass
class _AutoState:
    """What Auto-PGD remembers of each segment."""

    length: Tensor  # of the step, as a fraction of the radius
    length_at_checkpoint: Tensor
    previous_delta: Tensor
    previous_loss: Tensor
    best_delta: Tensor
    best_gradient: Tensor
    best_loss: Tensor
    best_at_checkpoint: Tensor
    rises: Tensor

    @classmethod
    def begin(cls, at: Iterate) -> _AutoState:
        """The state before the first step."""
        full = torch.full_like(at.loss, 2.0)
        never = torch.full_like(at.loss, torch.inf)
        return cls(
            length=full,
            length_at_checkpoint=full.clone(),
            previous_delta=at.delta,
            previous_loss=never,
            best_delta=at.delta,
            best_gradient=at.gradient,
            best_loss=at.loss,
            best_at_checkpoint=at.loss,
            rises=torch.zeros_like(at.loss),
        )

    def observe(self, at: Iterate) -> None:
        """Count rises and remember the best."""
        self.rises += (at.loss > self.previous_loss).to(self.rises)
        better = at.loss > self.best_loss
        self.best_delta = torch.where(better[:, None], at.delta, self.best_delta)
        self.best_gradient = torch.where(better[:, None], at.gradient, self.best_gradient)
        self.best_loss = torch.where(better, at.loss, self.best_loss)
        self.previous_loss = at.loss

    def halve(self, enough: float) -> Tensor:
        """Halve the steps of the segments that got stuck; which they are, one truth a segment."""
        few_rises = self.rises < enough
        same_length = self.length == self.length_at_checkpoint
        no_progress = same_length & (self.best_loss == self.best_at_checkpoint)
        stuck = few_rises | no_progress
        self.length_at_checkpoint = self.length
        self.length = torch.where(stuck, self.length / 2, self.length)
        self.best_at_checkpoint = self.best_loss
        self.rises = torch.zeros_like(self.rises)
        return stuck


STEP_RULES: dict[str, MakeRule] = {
    "constant": Constant,
    "decaying": Decaying,
    "momentum": Momentum,
    "adam": Adam,
    "auto": AutoPGD,
}
