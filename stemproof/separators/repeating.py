"""A separator without weights: what repeats is the accompaniment, what does not is the voice.

REPET-SIM (Rafii and Pardo, ISMIR 2012). It is at hand everywhere, has nothing in common with a
network, and is told nothing: a bystander, by which one sees what an attack on others does to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stemproof.separators.protocol import Side

FRAME_SECONDS = 0.04
SIMILAR = 10  # frames that a frame is held against, at most
LOWEST = 100.0  # Hz; below it nobody sings
TINY = 1e-12


@dataclass(frozen=True)
class Repeating:
    """REPET-SIM for recordings of some rate and number of channels.

    Attributes:
        sample_rate: in Hz.
        channels: how many.
    """

    sample_rate: int
    channels: int

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        """Estimate the vocals, batch x channels x samples both ways."""
        if side is not None:
            raise ValueError("side information for a system that takes none")
        return torch.stack([self._one(item) for item in mixture])

    def _one(self, mixture: Tensor) -> Tensor:
        size = max(64, 2 ** round(torch.tensor(FRAME_SECONDS * self.sample_rate).log2().item()))
        hop, window = size // 2, torch.hamming_window(size).to(mixture)
        samples = mixture.shape[-1]
        if samples <= size:
            return torch.zeros_like(mixture)
        spectra = torch.stft(mixture, size, hop, window=window, return_complex=True)
        magnitudes = spectra.abs()
        whole = magnitudes.mean(0)
        unit = whole / (whole.norm(dim=0, keepdim=True) + TINY)
        count = min(SIMILAR, unit.shape[1])
        alike = (unit.T @ unit).topk(count, dim=1).indices  # frames x count
        repeating = magnitudes[:, :, alike].median(-1).values
        mask = 1 - torch.minimum(repeating, magnitudes) / (magnitudes + TINY)
        hertz = torch.arange(mask.shape[1]) * self.sample_rate / size
        mask = mask * (hertz >= LOWEST).to(mask)[None, :, None]
        return torch.istft(spectra * mask, size, hop, window=window, length=samples)
