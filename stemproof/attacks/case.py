"""One attack's case: who is attacked, with what, within which budget."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from stemproof.attacks.budgets import Bound, Budget
from stemproof.core.random import Draws, derive_seed
from stemproof.separators.protocol import Separator, Side, redrawn, separated, side_of


@dataclass(frozen=True)
class Case:
    """A batch of recordings under attack.

    Attacks see waveforms as batch x samples, the channels of a recording one after the other, so
    that a budget is over all of them.

    Attributes:
        separator: the system; differentiable in the mixture for attacks by gradient.
        mixture: clean mixtures, batch x samples.
        vocals: true vocals, batch x samples.
        side: what the separator is given, made from the clean stems.
        budget: where the perturbation may lie.
        seeds: one an item; whatever is drawn for an item depends on its seed alone.
        passes: forward passes that a loss is averaged over: expectation over transformation
            (Athalye et al., 2018), for a system that is random at test time.
        run: number of the restart, from 0.
    """

    separator: Separator
    mixture: Tensor
    vocals: Tensor
    side: Side
    budget: Budget
    seeds: tuple[int, ...]
    passes: int = 1
    run: int = 0
    _calls: Iterator[int] = field(default_factory=itertools.count, repr=False, compare=False)

    @classmethod
    def of(
        cls,
        separator: Separator,
        mixture: Tensor,
        vocals: Tensor,
        bound: Bound,
        seeds: Sequence[int],
        passes: int = 1,
    ) -> Case:
        """The case of some recordings.

        Args:
            separator: the system.
            mixture: batch x channels x samples.
            vocals: same shape.
            bound: how large a perturbation may be.
            seeds: one an item.
            passes: see :class:`Case`.

        Raises:
            ValueError: the separator takes recordings of another number of channels.
        """
        if mixture.shape[1] != separator.channels:
            raise ValueError(
                f"mixtures of {mixture.shape[1]} channels for a separator of {separator.channels}"
            )
        flat = mixture.flatten(1)
        side = side_of(separator, mixture, vocals)
        budget = bound.budget(flat)
        return cls(separator, flat, vocals.flatten(1), side, budget, tuple(seeds), passes)

    def shaped(self, waveform: Tensor) -> Tensor:
        """Batch x samples to batch x channels x samples."""
        return waveform.reshape(len(waveform), self.separator.channels, -1)

    def separate(self, heard: Tensor) -> Tensor:
        """What the system makes of some mixtures, batch x samples both ways.

        A system that is random draws anew at every call, and the same numbers in every run of the
        same case.
        """
        call = next(self._calls)
        seeds = [derive_seed(seed, "pass", self.run, call) for seed in self.seeds]
        fixed = redrawn(self.separator, seeds)
        return separated(fixed, self.shaped(heard), self.side).flatten(1)

    def draws(self, purpose: str) -> Draws:
        """Random numbers for an attack; other numbers for every purpose and restart."""
        return Draws.of(self.seeds, purpose, self.run)

    def restarted(self, run: int) -> Case:
        """The same case for another restart."""
        return replace(self, run=run, _calls=itertools.count())

    def within(self, bound: Bound) -> Case:
        """The same case in another budget."""
        return replace(self, budget=bound.budget(self.mixture), _calls=itertools.count())


@dataclass(frozen=True)
class Found:
    """What an attack found.

    Attributes:
        adversarial: mixtures inside the budget, batch x samples, float32.
        losses: the worst loss so far after 0, 1, ... steps, batch x steps + 1; NaN for an item on
            which a loss or a gradient was not a number.
    """

    adversarial: Tensor
    losses: Tensor


def worse(first: Found, second: Found) -> Found:
    """The worse of two for each item, by the last loss; not a number stays not a number."""
    better = second.losses[:, -1] > first.losses[:, -1]
    return Found(
        torch.where(better[:, None], second.adversarial, first.adversarial),
        torch.maximum(first.losses, second.losses),
    )
