"""One perturbation for all: learned on training recordings, played to test recordings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from pydantic import Field
from torch import Tensor

from stemproof.attacks.budgets import Bound
from stemproof.attacks.case import Case, Found
from stemproof.attacks.objectives import OBJECTIVES, Objective
from stemproof.attacks.protocol import Method, Words
from stemproof.core.params import Section

if TYPE_CHECKING:
    from stemproof.attacks.params import AttackParams


class Cases(Protocol):
    """Batches of training recordings, all of one length, that can be gone through again."""

    def __len__(self) -> int:
        """How many."""
        ...

    def __iter__(self) -> Iterator[Case]:
        """From the first to the last."""
        ...


@dataclass(frozen=True)
class SamePerturbation:
    """Play one perturbation to every recording; to a shorter one, its beginning.

    Attributes:
        delta: the perturbation, 1 x samples, the channels one after the other.
        objective: what the curve shows.
    """

    delta: Tensor
    objective: Objective

    def __call__(self, case: Case) -> Found:
        """Play it to a batch."""
        channels = self.delta.reshape(case.separator.channels, -1)
        samples = case.mixture.shape[-1] // len(channels)
        delta = channels[:, :samples].reshape(1, -1)
        played = case.budget.keeper(case.mixture)(case.mixture + delta)
        target = self.objective.target(case)
        with torch.no_grad():
            losses = [self.objective.loss(case, heard, target) for heard in (case.mixture, played)]
        return Found(played, torch.stack(losses, dim=1))


@dataclass(frozen=True)
class UniversalPerturbation:
    """A single perturbation that raises the mean loss (Moosavi-Dezfooli et al., 2017).

    It is found by projected steepest ascent on the mean loss over batches, which needs no
    minimal perturbation of each recording (as in Shafahi et al., 2020, algorithm 2).

    Attributes:
        objective: what is maximized.
        bound: of the one perturbation.
        epochs: passes over the batches.
        step_size: step as a fraction of the radius, decaying linearly over the run.
    """

    objective: Objective
    bound: Bound
    epochs: int
    step_size: float = 0.5

    def learned(self, cases: Cases) -> SamePerturbation:
        """Learn the perturbation on some cases; the attack that plays it."""
        delta = torch.zeros_like(next(iter(cases)).mixture[:1])
        budget = self.bound.budget(delta)
        total, done = self.epochs * len(cases), 0
        for epoch in range(self.epochs):
            for case in cases:
                case = case.restarted(epoch)  # a random system draws anew
                target = self.objective.target(case)
                free = delta.clone().requires_grad_(True)
                loss = self.objective.loss(case, case.mixture + free, target)
                (gradient,) = torch.autograd.grad(loss.mean(), free)
                length = self.step_size * (1 - done / total) * budget.radius
                delta = budget.project(delta + length * budget.steepest(gradient))
                done += 1
        return SamePerturbation(delta, self.objective)

    def __call__(self, case: Case) -> Found:
        """Learn on a batch and play to it: one perturbation for the whole batch."""
        return self.learned([case])(case)


class UniversalSettings(Section):
    """How it is learned."""

    epochs: int = Field(default=10, ge=1, le=100_000)
    step_size: float = Field(default=0.5, gt=0, le=10)


def _build(params: AttackParams) -> UniversalPerturbation:
    own: UniversalSettings = params.settings
    return UniversalPerturbation(OBJECTIVES[params.loss], params.bound, own.epochs, own.step_size)


def _words(params: AttackParams) -> Words:
    return Words(
        how=f"learned in {params.settings.epochs} passes",
        knows="{weights}, and training {part}s with their vocals, but nothing of the {part} that "
        "is attacked, for which the system has {side}",
        worst_kept=False,
        whom="Every {part} of {length} gets the same perturbation",
    )


METHOD = Method(
    name="universal",
    settings=UniversalSettings,
    norms=("linf",),
    build=_build,
    words=_words,
    summary="one perturbation for all, learned on the training split in "
    "`attack.universal.epochs` passes",
    needs=frozenset({"gradient", "start"}),
)
