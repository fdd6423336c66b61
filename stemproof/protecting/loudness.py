"""Loudness: ITU-R BS.1770-4, in LUFS."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from stemproof.core.files import FloatArray

Floats = NDArray[np.float64]
OFFSET = -0.691  # dB
ABSOLUTE_GATE = -70.0  # LUFS
RELATIVE_GATE = -10.0  # LU below the mean of what passes the absolute gate
BLOCK, STEP = 0.4, 0.1  # seconds


def k_weighting(rate: int) -> list[tuple[Floats, Floats]]:
    """The two filters of annex 1, as biquads (b, a) for any sample rate.

    The standard prints coefficients for 48 kHz; they are bilinear transforms of the analogue
    filters below, which is how they are made for other rates.

    Args:
        rate: in Hz.
    """
    shelf_hertz, shelf_q, gain = 1681.974450955533, 0.7071752369554196, 3.999843853973347
    pass_hertz, pass_q = 38.13547087602444, 0.5003270373238773
    k = math.tan(math.pi * shelf_hertz / rate)
    high, middle = 10 ** (gain / 20), 10 ** (gain / 20 * 0.4996667741545416)
    bottom = 1 + k / shelf_q + k * k
    shelf = np.array(
        [
            high + middle * k / shelf_q + k * k,
            2 * (k * k - high),
            high - middle * k / shelf_q + k * k,
        ]
    )
    poles = np.array([bottom, 2 * (k * k - 1), 1 - k / shelf_q + k * k])
    found = [(shelf / bottom, poles / bottom)]
    k = math.tan(math.pi * pass_hertz / rate)
    bottom = 1 + k / pass_q + k * k
    poles = np.array([bottom, 2 * (k * k - 1), 1 - k / pass_q + k * k])
    return [*found, (np.array([1.0, -2.0, 1.0]), poles / bottom)]


@dataclass
class Meter:
    """A meter that is fed one part of a recording after the other.

    Attributes:
        rate: in Hz.
        channels: one or two, which count alike.
    """

    rate: int
    channels: int
    _states: list[Floats] = field(default_factory=list)
    _rest: Floats = field(default_factory=lambda: np.zeros(0))
    _steps: list[float] = field(default_factory=list)

    def feed(self, part: FloatArray) -> None:
        """Take the next samples, channels x samples."""
        signal = part.astype(np.float64)
        filters = k_weighting(self.rate)
        self._states = self._states or [np.zeros((self.channels, 2)) for _ in filters]
        for number, (b, a) in enumerate(filters):
            signal, self._states[number] = lfilter(b, a, signal, zi=self._states[number])
        power = np.concatenate([self._rest, np.square(signal).sum(axis=0)])
        size = round(STEP * self.rate)
        whole = len(power) // size * size
        self._steps += power[:whole].reshape(-1, size).sum(axis=1).tolist()
        self._rest = power[whole:]

    def integrated(self) -> float | None:
        """The gated loudness in LUFS; None where nothing passes the gate, as in silence."""
        steps = np.asarray(self._steps)
        count = round(BLOCK / STEP)
        if len(steps) < count:  # shorter than a block: all of it
            total = steps.sum() + self._rest.sum()
            samples = len(steps) * round(STEP * self.rate) + len(self._rest)
            blocks = np.array([total / max(samples, 1)])
        else:
            sums = np.convolve(steps, np.ones(count), "valid")
            blocks = sums / (count * round(STEP * self.rate))
        loud = blocks[_lufs(blocks) > ABSOLUTE_GATE]
        if not len(loud):
            return None
        gate = float(_lufs(loud.mean())) + RELATIVE_GATE
        return float(_lufs(loud[_lufs(loud) > gate].mean()))


def loudness(
    parts: Iterable[FloatArray], rate: int, channels: int, gain: float = 1.0
) -> float | None:
    """The integrated loudness of a recording in parts (channels x samples each), in LUFS.

    Args:
        parts: one after the other.
        rate: in Hz.
        channels: how many.
        gain: by which they are multiplied, as for what would lie below the gate.
    """
    meter = Meter(rate, channels)
    for part in parts:
        meter.feed(np.asarray(part * np.float32(gain)))
    return meter.integrated()


def _lufs(power: Floats | np.floating) -> Floats:
    return np.asarray(OFFSET + 10 * np.log10(np.maximum(power, 1e-30)))
