"""Spleeter's short-time Fourier transform, of a whole number of frames at a time.

Nothing is padded here: a frame is the 4096 samples at a multiple of 1024. What is padded, and how
frames of a recording are counted, is said in :mod:`stemproof.separators.spleeter.separator`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

WINDOW, HOP = 4096, 1024  # samples
OVERLAP = WINDOW - HOP
BINS = 1024  # what the networks see; the rest, from 11 kHz on, is zero in what they make


def span(frames: int) -> int:
    """The samples that some frames cover."""
    return frames * HOP + OVERLAP


def analyze(waveform: Tensor) -> Tensor:
    """The spectrum's lower bins.

    Args:
        waveform: ... x samples, as many as some frames cover.

    Returns:
        Complex, ... x frames x 1024 bins.
    """
    frames = waveform.unfold(-1, WINDOW, HOP) * _window(waveform)
    return torch.fft.rfft(frames)[..., :BINS]


def synthesize(spectrum: Tensor) -> Tensor:
    """Frames back from their lower bins, windowed again and added up.

    Args:
        spectrum: complex, ... x frames x 1024 bins.

    Returns:
        ... x samples that the frames cover; to be divided by :func:`envelope`.
    """
    frames = torch.fft.irfft(spectrum, n=WINDOW)
    frames = frames * _window(frames)
    parts = torch.split(frames, HOP, dim=-1)
    last = len(parts) - 1
    shifted = [F.pad(part, (0, 0, number, last - number)) for number, part in enumerate(parts)]
    return torch.stack(shifted).sum(0).flatten(-2)


def envelope(frames: int, like: Tensor) -> Tensor:
    """What analysis and synthesis together multiply each sample with.

    Args:
        frames: how many.
        like: has its type and device.

    Returns:
        The sum of the squared windows, as many samples as the frames cover.
    """
    parts = torch.split(_window(like).square(), HOP)
    total = like.new_zeros(frames + len(parts) - 1, HOP)
    for number, part in enumerate(parts):
        total[number : number + frames] += part
    return total.flatten()


def _window(like: Tensor) -> Tensor:
    """A periodic Hann window; made anew, so that it has the precision of what it is used on."""
    return torch.hann_window(WINDOW, dtype=like.dtype, device=like.device)
