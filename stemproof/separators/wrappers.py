"""Wrappers that compose: a separator inside, a separator outside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stemproof.separators.protocol import Reconstructing, Separator, Side


@dataclass(frozen=True)
class FixedDraws:
    """A random system whose draws are fixed, each item's by a seed of its own.

    Items go through one at a time: what an item draws does not depend on the batch it is in.

    Attributes:
        inside: draws from PyTorch's global generator.
        seeds: one an item.
    """

    inside: Separator
    seeds: tuple[int, ...]

    @property
    def sample_rate(self) -> int:
        """That of the system inside."""
        return self.inside.sample_rate

    @property
    def channels(self) -> int:
        """Those of the system inside."""
        return self.inside.channels

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        """Estimate the vocals, batch x channels x samples; the global generator is left alone."""

        def one(item: slice) -> Tensor:
            own = None if side is None else side[item]
            return self.inside.separate(mixture[item], own)

        return self._one_by_one(mixture, one)

    def redrawn(self, seeds: Sequence[int]) -> FixedDraws:
        """The same system with other draws."""
        return type(self)(self.inside, tuple(seeds))

    def _one_by_one(self, batch: Tensor, function: Callable[[slice], Tensor]) -> Tensor:
        parts = []
        with torch.random.fork_rng([batch.device] if batch.is_cuda else []):
            for item, seed in enumerate(self.seeds):
                torch.manual_seed(seed)
                parts.append(function(slice(item, item + 1)))
        return torch.cat(parts)


class FixedReconstruction(FixedDraws):
    """The same for a system that reconstructs."""

    def reconstruct(self, vocals: Tensor) -> Tensor:
        """Through the representation and back, with the draws of each item."""
        inside = self.inside
        assert isinstance(inside, Reconstructing)
        return self._one_by_one(vocals, lambda item: inside.reconstruct(vocals[item]))
