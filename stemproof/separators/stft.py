"""The short-time Fourier transform with the geometry of RSVM: the oracle it is compared with."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stemproof.params import ModelParams


class STFT(nn.Module):
    """Analysis and synthesis without anything to train.

    Window and hop are RSVM's kernel and hop, so that the masks of both have the same frames. The
    Hamming window is nowhere zero: any hop up to the window's length can be inverted.
    """

    window: Tensor

    def __init__(self, sizes: ModelParams) -> None:
        super().__init__()
        self.size, self.hop = sizes.kernel, sizes.hop
        self.register_buffer("window", torch.hamming_window(self.size), persistent=False)

    def analyze(self, waveform: Tensor) -> Tensor:
        """Map batch x samples to complex batch x bins x frames."""
        return torch.stft(
            F.pad(waveform, (0, self.hop)),  # so that the last samples are in a frame
            self.size,
            self.hop,
            window=self.window,
            center=True,
            pad_mode="constant",
            return_complex=True,
        )

    def synthesize(self, spectrum: Tensor, samples: int) -> Tensor:
        """Map complex batch x bins x frames to batch x samples."""
        return torch.istft(spectrum, self.size, self.hop, window=self.window, length=samples)
