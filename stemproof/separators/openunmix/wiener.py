"""The multichannel Wiener filter of Open-Unmix, differentiable and in double precision."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

EPS = 1e-10  # energy of white noise that belongs to no source, relative to full scale
LOUDEST = 10.0  # of a bin of the scaled mixture


@dataclass(frozen=True)
class Wiener:
    """Masks of several sources, made consistent with each other and between channels.

    Nugraha, Liutkus and Vincent (IEEE/ACM TASLP 2016), *Multichannel Audio Source Separation with
    Deep Neural Networks*, in the form of the package ``openunmix``: every source begins as the
    masked mixture. An iteration takes its power per bin and one spatial covariance per frequency
    from the estimate, and filters the mixture with them.

    The covariance of a mixture is close to singular: it is inverted in double precision, where the
    package computes in that of the mixture.

    Attributes:
        iterations: at least one.
        residual: whether what the masks leave is one more source.
        frames: filtered at a time; sources may move from one such block to the next.
    """

    iterations: int
    residual: bool
    frames: int

    def __call__(self, masks: Tensor, spectrum: Tensor, target: int) -> Tensor:
        """Filter.

        Args:
            masks: batch x sources x channels x bins x frames.
            spectrum: of the mixture, complex, batch x channels x bins x frames; one channel or two.
            target: the source that is wanted.

        Returns:
            Its spectrum, of the mixture's shape.
        """
        parts = (torch.split(whole, self.frames, dim=-1) for whole in (masks, spectrum))
        # A block takes many times its size: what is in between is computed again.
        return torch.cat(
            [
                checkpoint(self._block, mask, heard, target, use_reentrant=False)
                for mask, heard in zip(*parts, strict=True)
            ],
            dim=-1,
        )

    def _block(self, masks: Tensor, spectrum: Tensor, target: int) -> Tensor:
        mixture = spectrum.to(torch.complex128)
        scale = (mixture.abs().amax(dim=(1, 2, 3), keepdim=True) / LOUDEST).clamp_min(1.0)
        mixture = mixture / scale
        sources = masks.double() * mixture[:, None]
        if self.residual:
            rest = mixture[:, None] - sources.sum(dim=1, keepdim=True)
            sources = torch.cat([sources, rest], dim=1)
        for _ in range(self.iterations - 1):
            sources = _expectation_maximization(sources, mixture, slice(None))
        wanted = _expectation_maximization(sources, mixture, slice(target, target + 1))
        return (wanted[:, 0] * scale).to(spectrum.dtype)


def _expectation_maximization(sources: Tensor, mixture: Tensor, wanted: slice) -> Tensor:
    """One iteration.

    Args:
        sources: batch x sources x channels x bins x frames.
        mixture: batch x channels x bins x frames.
        wanted: the sources that are estimated again.
    """
    power = _power(sources).mean(dim=2)
    covariance = torch.einsum("bscft,bsdft->bscdf", sources, sources.conj())
    covariance = covariance / (power.sum(dim=-1) + EPS)[:, :, None, None]
    total = torch.einsum("bsft,bscdf->bcdft", power.to(covariance.dtype), covariance)
    noise = math.sqrt(EPS) * torch.eye(mixture.shape[1]).to(total)
    whitened = _solved(total + noise[..., None, None], mixture)
    filtered = torch.einsum("bscdf,bdft->bscft", covariance[:, wanted], whitened)
    return power[:, wanted, None] * filtered


def _power(values: Tensor) -> Tensor:
    """The squared magnitude, whose gradient is finite at zero too."""
    return values.real.square() + values.imag.square()


def _solved(matrix: Tensor, vector: Tensor) -> Tensor:
    """Solve for every bin, one channel or two.

    Args:
        matrix: batch x channels x channels x bins x frames.
        vector: batch x channels x bins x frames.
    """
    if vector.shape[1] == 1:
        return vector / matrix[:, 0]
    (a, b), (c, d) = (matrix[:, row].unbind(1) for row in (0, 1))
    x, y = vector.unbind(1)
    determinant = a * d - b * c
    return torch.stack([d * x - b * y, a * y - c * x], dim=1) / determinant[:, None]
