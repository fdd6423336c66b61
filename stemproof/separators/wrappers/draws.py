"""Fixed draws: a random system that is the same function at every call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from stemproof.separators.protocol import Side
from stemproof.separators.wrappers.wrapper import Wrapper


@dataclass(frozen=True)
class FixedDraws(Wrapper):
    """A random system whose draws are fixed, each item's by a seed of its own.

    Items go through one at a time: what an item draws does not depend on the batch it is in.

    Attributes:
        inside: draws from PyTorch's global generator.
        seeds: one an item.
    """

    seeds: tuple[int, ...]

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        """Estimate the vocals, batch x channels x samples; the global generator is left alone.

        Raises:
            ValueError: there are not as many items as seeds.
        """

        def one(item: int, heard: Tensor) -> Tensor:
            return self.inside.separate(heard, None if side is None else side[item : item + 1])

        return self._each(mixture, one)

    def _reconstruct(self, vocals: Tensor) -> Tensor:
        inside: Any = self.inside
        return self._each(vocals, lambda _, own: inside.reconstruct(own))

    def redrawn(self, seeds: Sequence[int]) -> FixedDraws:
        """The same system with other draws."""
        return replace(self, seeds=tuple(seeds))

    def _each(self, batch: Tensor, system: Callable[[int, Tensor], Tensor]) -> Tensor:
        if len(batch) != len(self.seeds):
            raise ValueError(f"{len(batch)} items, but {len(self.seeds)} seeds")
        devices = [batch.device] if batch.is_cuda else []
        parts = []
        with torch.random.fork_rng(devices):
            for item, seed in enumerate(self.seeds):
                torch.manual_seed(seed)
                parts.append(system(item, batch[item : item + 1]))
        return torch.cat(parts)
