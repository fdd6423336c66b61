"""What attacks, evaluation and audit know of a separator, and RSVM behind that interface."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor

from rsvm.model.rsvm import RSVM, binary_mask

Context = Tensor | None


class Separator(Protocol):
    """A separator of vocals whose output is differentiable in the mixture."""

    def context(self, mixture: Tensor, vocals: Tensor) -> Context:
        """Side information that the separator is given beside the mixture, or None.

        Both arguments are batch x samples; the first axis of the result is the batch.
        """
        ...

    def separate(self, mixture: Tensor, context: Context) -> Tensor:
        """Estimate the vocals of batch x samples; differentiable in ``mixture``."""
        ...


class InformedRSVM:
    """RSVM with the binary mask of the true stems: an *informed* separator.

    The mask is made from the clean stems and does not change under attack.
    """

    def __init__(self, model: RSVM) -> None:
        self.model = model.freeze()

    def context(self, mixture: Tensor, vocals: Tensor) -> Tensor:
        """The binary mask, batch x channels x frames."""
        with torch.no_grad():
            return binary_mask(self.model.encode(vocals), self.model.encode(mixture - vocals))

    def separate(self, mixture: Tensor, context: Context) -> Tensor:
        """Decode the masked coefficients of the mixture."""
        if context is None:
            raise ValueError("RSVM needs its mask")
        return self.model.decode(self.model.encode(mixture) * context, mixture.shape[-1])

    def reconstruct(self, vocals: Tensor) -> Tensor:
        """Decode the coefficients of the true vocals: what the representation can hold."""
        with torch.no_grad():
            output: Tensor = self.model(vocals)
        return output


def batches(total: int, size: int) -> Iterator[slice]:
    """Cut ``total`` items into slices of at most ``size``."""
    for start in range(0, total, size):
        yield slice(start, min(start + size, total))
