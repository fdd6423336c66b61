"""Small spectrograms of clips, all of a segment in the same colours."""

from __future__ import annotations

import itertools
import math

import numpy as np

from stemproof.report.bitmaps import Axis, Values, framed

WINDOW = 2048  # samples; resolves the harmonics of a voice
COLUMNS, BANDS = 110, 64  # of the bitmap
LOWEST, HIGHEST = 60.0, 16_000.0  # Hz
RANGE = 80.0  # dB below the reference, where the colours end


def levels(audio: Values, sample_rate: int) -> Values:
    """Level per band and moment, in dB with full scale 1 (bands from low to high, x columns).

    Args:
        audio: channels x samples; their energies are added up.
        sample_rate: in Hz.
    """
    window = min(WINDOW, audio.shape[-1])
    starts = np.linspace(0, audio.shape[-1], COLUMNS).round().astype(int)
    padded = np.pad(audio, ((0, 0), (window // 2, window - window // 2)))
    frames = np.stack([padded[:, start : start + window] for start in starts])
    spectrum = np.fft.rfft(frames * np.hanning(window + 1)[:-1]) / (window / 4)
    energy = np.square(np.abs(spectrum)).sum(axis=1)
    edges = np.geomspace(LOWEST, highest(sample_rate), BANDS + 1) * window / sample_rate
    bands = []
    for low, high in itertools.pairwise(edges):
        # A band narrower than a bin takes the bin that it lies in.
        first = min(round(low), energy.shape[1] - 1)
        bands.append(energy[:, first : max(round(high), first + 1)].max(axis=1))
    return 10 * np.log10(np.stack(bands) + 1e-20)


def highest(sample_rate: int) -> float:
    """The upper end of the frequency axis in Hz."""
    return max(min(HIGHEST, sample_rate / 2), 2 * LOWEST)


def draw(audio: Values, sample_rate: int, reference: float, says: str) -> str:
    """A clip as a spectrogram with axes.

    Args:
        audio: channels x samples.
        sample_rate: in Hz.
        reference: dB; the level of the brightest colour, which all clips of a segment share.
        says: the text in its place for who does not see it.
    """
    shades = (levels(audio, sample_rate) - reference) / RANGE + 1
    top, seconds = highest(sample_rate), audio.shape[-1] / sample_rate
    hertz = [
        (math.log(at / LOWEST) / math.log(top / LOWEST), word)
        for at, word in ((100, "100"), (1000, "1k"), (10_000, "10k"))
        if LOWEST <= at <= top
    ]
    time = Axis("time in s", [(0, "0"), (1, f"{seconds:g}")])
    return framed(shades, time, Axis("Hz", hertz), says)
