"""RSVM's synthesis: coefficients to waveform, through a dictionary of modulated cosines."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from stemproof.separators.rsvm.framing import synthesize
from stemproof.separators.rsvm.params import Sizes

LOWEST_HZ, HIGHEST_HZ = 30.0, 22_050.0


def hz_to_mel(hz: float) -> float:
    """O'Shaughnessy's mel scale."""
    return 2595 * math.log10(1 + hz / 700)


def mel_to_hz(mel: Tensor) -> Tensor:
    """Inverse of :func:`hz_to_mel`."""
    return 700 * (10 ** (mel / 2595) - 1)


class Decoder(nn.Module):
    """A transposed convolution whose filters are modulated cosines (Mimilakis et al., 2020, eq. 4).

    Filter k is ``cos(2 pi t f_k^2 + phi_k) * b_k(t)``. The parameter ``freq_mat`` holds ``f_k``,
    mel-spaced and divided by the sample rate; it is *squared* in the forward pass, so the
    carriers start at ``f_k^2``. The reference sorts filters and coefficients by frequency,
    which does not change the output; here only :meth:`frequency_order` sorts, for drawing.
    """

    sample_times: Tensor

    def __init__(self, sizes: Sizes, sample_rate: int) -> None:
        super().__init__()
        self.hop = sizes.hop
        shape = (sizes.channels, 1, sizes.kernel)
        self.norm_factor = nn.Parameter(torch.full(shape, 1 / (sizes.channels + sizes.kernel)))
        mels = torch.linspace(hz_to_mel(LOWEST_HZ), hz_to_mel(HIGHEST_HZ), sizes.channels)
        self.freq_mat = nn.Parameter((mel_to_hz(mels) / sample_rate).view(-1, 1, 1))
        self.phi = nn.Parameter(torch.randn(sizes.channels, 1, 1))
        angles = 2 * math.pi * torch.arange(sizes.kernel, dtype=torch.float64)
        self.register_buffer("sample_times", angles.float(), persistent=False)

    def dictionary(self) -> Tensor:
        """The filters, channels x 1 x kernel."""
        carriers = torch.cos(self.sample_times * self.freq_mat.square() + self.phi)
        return carriers * self.norm_factor

    def frequency_order(self) -> Tensor:
        """Channel numbers from the lowest carrier to the highest."""
        return torch.argsort(self.freq_mat.square().flatten())

    def forward(
        self, coefficients: Tensor, samples: int, dictionary: Tensor | None = None
    ) -> Tensor:
        """Decode batch x channels x frames into batch x samples.

        Args:
            coefficients: what the encoder gave.
            samples: length of the segment.
            dictionary: the filters, when they are known already.
        """
        filters = self.dictionary() if dictionary is None else dictionary
        return synthesize(coefficients, filters.to(coefficients.dtype), self.hop, samples)
