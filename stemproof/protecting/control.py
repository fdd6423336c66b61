"""Noise as a control: as loud as the perturbation at every moment and frequency, but aimless."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stemproof.core.random import derive_seed
from stemproof.data.long import LongAudio
from stemproof.protecting.stored import Difference, write_raw

FRAME = 1024
HOP = FRAME // 2
GROUP = 256  # frames that are computed at once


def write_noise(perturbation: Difference, file: Path, seed: int) -> LongAudio:
    """The same short-time magnitudes with random phases, and the same energy.

    Both channels get the same phases, so that it sits where the perturbation does in the stereo
    image.

    Args:
        perturbation: what was done to a song.
        file: for the raw samples.
        seed: of the phases.
    """
    own = perturbation.song
    wanted = sum(float(np.square(p, dtype=np.float64).sum()) for p in perturbation.blocks())
    found = sum(float(np.square(p).sum()) for p in _blocks(perturbation, seed))
    scale = np.sqrt(wanted / found) if found else 0.0
    parts = (block * scale for block in _blocks(perturbation, seed))
    return write_raw(parts, file, own.sample_rate, own.channels)


def _blocks(perturbation: Difference, seed: int) -> Iterator[NDArray[np.float64]]:
    """Frames of random phase, overlapped and added."""
    samples = perturbation.song.samples
    window = np.sin(np.pi * (np.arange(FRAME) + 0.5) / FRAME)
    carry = np.zeros((perturbation.song.channels, HOP))
    frames = -(-samples // HOP) + 1
    for first in range(0, frames, GROUP):
        count = min(GROUP, frames - first)
        # Frame t covers HOP samples before and after sample t HOP.
        start = (first - 1) * HOP
        part = perturbation.read(start, start + (count + 1) * HOP).astype(np.float64)
        total = np.zeros((len(part), (count + 1) * HOP))
        total[:, :HOP] = carry
        phases = np.random.default_rng(derive_seed(seed, "noise control", first)).random(
            (count, FRAME // 2 + 1)
        )
        for t in range(count):
            spectrum = np.fft.rfft(part[:, t * HOP : t * HOP + FRAME] * window)
            turned = np.fft.irfft(np.abs(spectrum) * np.exp(2j * np.pi * phases[t]), FRAME)
            total[:, t * HOP : t * HOP + FRAME] += turned * window
        carry = total[:, count * HOP :]
        ready = total[:, : count * HOP]
        begin = max(0, -start)
        yield ready[:, begin : min(ready.shape[1], samples - start)]
