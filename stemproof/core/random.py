"""Random numbers that belong to what they are drawn for, and not to the batch it is in."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

Part = str | int | float
SEPARATOR = "\x1f"


def derive_seed(*parts: Part) -> int:
    """The one way to make a seed: 63 bits of the SHA-256 of what the numbers are for.

    Args:
        parts: for instance a purpose, a parameter, a track's name and a position in it.
    """
    text = SEPARATOR.join(_text(part) for part in parts)
    # Names of files may hold bytes that are no text.
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def _text(part: Part) -> str:
    """A part and its type; a separator in it is doubled, so that other parts give another text."""
    if isinstance(part, np.generic):
        part = part.item()  # the same number
    return f"{type(part).__name__}:{part}".replace(SEPARATOR, 2 * SEPARATOR)


@dataclass(frozen=True)
class Draws:
    """One generator an item of a batch: what an item gets does not depend on the others.

    Attributes:
        generators: on the CPU, so that every device gets the same numbers.
    """

    generators: tuple[torch.Generator, ...]

    @classmethod
    def of(cls, seeds: Sequence[int], *parts: Part) -> Draws:
        """New generators, one a seed; ``parts`` says for what purpose."""
        return cls(
            tuple(torch.Generator().manual_seed(derive_seed(seed, *parts)) for seed in seeds)
        )

    def uniform(self, *shape: int) -> Tensor:
        """Uniform in [0, 1), items x shape, on the CPU."""
        return torch.stack([torch.rand(shape, generator=g) for g in self.generators])

    def normal(self, *shape: int) -> Tensor:
        """Standard normal, items x shape, on the CPU."""
        return torch.stack([torch.randn(shape, generator=g) for g in self.generators])

    def signs(self, *shape: int) -> Tensor:
        """Plus or minus one with equal chance, items x shape, float32 on the CPU."""
        return 2.0 * self.integers(2, *shape) - 1

    def integers(self, high: int, *shape: int) -> Tensor:
        """Whole numbers from 0 to ``high - 1``, items x shape, on the CPU."""
        return torch.stack([torch.randint(0, high, shape, generator=g) for g in self.generators])
