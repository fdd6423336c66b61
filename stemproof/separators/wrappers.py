"""Wrappers that compose: a separator inside, a separator outside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stemproof.separators.protocol import Separator, Side


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
        devices = [mixture.device] if mixture.is_cuda else []
        parts = []
        with torch.random.fork_rng(devices):
            for item, seed in zip(range(len(mixture)), self.seeds, strict=True):
                torch.manual_seed(seed)
                own = None if side is None else side[item : item + 1]
                parts.append(self.inside.separate(mixture[item : item + 1], own))
        return torch.cat(parts)

    def redrawn(self, seeds: Sequence[int]) -> FixedDraws:
        """The same system with other draws."""
        return FixedDraws(self.inside, tuple(seeds))
