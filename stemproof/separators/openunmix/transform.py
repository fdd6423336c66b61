"""The short-time Fourier transform of Open-Unmix, there and back."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stemproof.core.errors import InputError


class Transform(nn.Module):
    """A periodic Hann window; waveforms are mirrored at both ends.

    Args:
        n_fft: samples of a frame.
        n_hop: samples between frames.
    """

    window: Tensor

    def __init__(self, n_fft: int, n_hop: int) -> None:
        super().__init__()
        self.n_fft, self.n_hop = n_fft, n_hop
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)

    @property
    def bins(self) -> int:
        """Frequencies, from zero to half of the sample rate."""
        return self.n_fft // 2 + 1

    def analyze(self, waveform: Tensor, centered: bool = True) -> Tensor:
        """Transform.

        Args:
            waveform: batch x channels x samples.
            centered: mirror the ends, so that every sample can be had back; in training, where
                none has to be, frames lie inside the waveform.

        Returns:
            Complex, batch x channels x bins x frames.

        Raises:
            InputError: the waveform is too short.
        """
        samples = waveform.shape[-1]
        shortest = self.n_fft // 2 + 1 if centered else self.n_fft
        if samples < shortest:
            raise InputError(
                f"{samples} samples are too few for a Fourier transform of {self.n_fft}, which "
                f"takes {shortest} or more; lengthen the recordings, segments or excerpts, or name "
                "a model with a smaller n_fft"
            )
        if centered:
            # By hand: PyTorch's own gradient of a mirrored end is not repeatable on a GPU.
            edge = self.n_fft // 2
            left, right = waveform[..., 1 : edge + 1], waveform[..., -edge - 1 : -1]
            waveform = torch.cat([left.flip(-1), waveform, right.flip(-1)], dim=-1)
        spectrum = torch.stft(
            waveform.flatten(0, 1),
            self.n_fft,
            self.n_hop,
            window=self.window,
            center=False,
            return_complex=True,
        )
        return spectrum.reshape(*waveform.shape[:2], *spectrum.shape[1:])

    def synthesize(self, spectrum: Tensor, samples: int) -> Tensor:
        """Invert; complex batch x channels x bins x frames to batch x channels x samples."""
        waveform = torch.istft(
            spectrum.flatten(0, 1), self.n_fft, self.n_hop, window=self.window, length=samples
        )
        return waveform.reshape(*spectrum.shape[:2], samples)


def bins_up_to(bandwidth: float, n_fft: int, sample_rate: int) -> int:
    """How many bins lie at a frequency or below.

    Args:
        bandwidth: the frequency, in Hz.
        n_fft: samples of a frame.
        sample_rate: in Hz.
    """
    return min(int(bandwidth * n_fft / sample_rate), n_fft // 2) + 1
