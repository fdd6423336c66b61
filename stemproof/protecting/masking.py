"""The masking threshold of a song: what must lie below it to go unheard, says a model of hearing.

Model 1 of MPEG-1 (ISO/IEC 11172-3:1993, annex D.1), as Qin et al. (ICML 2019) use it for
adversarial speech, on longer frames. One thing is stricter than there, as it is in the coder: a
threshold is for all that falls into one critical band, so each bin of the spectrum gets its share
of the lowest threshold in the band.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stemproof.core.files import FloatArray
from stemproof.protecting.hearing import (
    FULL_SCALE_SPL,
    Floats,
    bark,
    noise_index,
    quiet,
    spreading,
    tonal_index,
)

FRAME_SECONDS = 2048 / 44_100
# A tone stands out by so much from what lies a little aside (D.1, step 4).
TONAL_DB = 7.0
# How far aside that is looked at, up to a frequency; both in Hz (the bins of layer II).
ASIDE = ((2756.0, 86.1), (5512.0, 129.2), (11_025.0, 258.4), (math.inf, 516.8))
NEAR = 0.5  # Bark; of two tones as near the louder one counts
STEP = 1 / 16  # Bark
SILENT = -200.0  # dB SPL


@dataclass(frozen=True)
class Model:
    """The model for one sample rate.

    Attributes:
        rate: in Hz.
        size: samples of a frame, of which each begins a quarter after the one before.
        hertz: of every bin.
        z: the same in Bark.
        quiet: threshold in quiet at every bin, dB SPL.
        band: number of every bin's critical band.
        around: first bin, and one after the last, of those within half a Bark of a bin.
        aside: how many bins aside of a tone is looked at.
    """

    rate: int
    size: int
    hertz: Floats
    z: Floats
    quiet: Floats
    band: NDArray[np.int64]
    around: tuple[NDArray[np.int64], NDArray[np.int64]]
    aside: NDArray[np.int64]

    @functools.cached_property
    def coarse(self) -> Floats:
        """Places at which thresholds are computed, in Bark; between them they are interpolated."""
        kept = [0]
        for k in range(1, len(self.z)):
            if self.z[k] - self.z[kept[-1]] >= STEP or k == len(self.z) - 1:
                kept.append(k)
        return self.z[kept]

    @property
    def share(self) -> Floats:
        """How many bins lie within half a Bark of a bin."""
        return (self.around[1] - self.around[0]).astype(np.float64)

    @property
    def hop(self) -> int:
        """Samples from one frame to the next."""
        return self.size // 4

    def window(self, like: Tensor) -> Tensor:
        """Hann's, periodic."""
        return torch.hann_window(self.size, dtype=like.dtype, device=like.device)

    def spectra(self, signal: Tensor) -> Tensor:
        """Frames that lie within a signal; ... x samples to ... x bins x frames, complex."""
        flat = signal.reshape(-1, signal.shape[-1])
        found = torch.stft(
            flat, self.size, self.hop, window=self.window(signal), center=False, return_complex=True
        )
        return found.reshape(*signal.shape[:-1], *found.shape[-2:])

    def spl(self, spectra: Tensor) -> Floats:
        """The level of every bin: a sine of full scale has :data:`FULL_SCALE_SPL`."""
        power = spectra.abs().double().square().cpu().numpy() / (self.size / 4) ** 2
        level: Floats = FULL_SCALE_SPL + 10 * np.log10(np.maximum(power, 1e-30))
        return np.maximum(level, SILENT)

    def threshold(self, levels: Floats) -> Floats:
        """The global masking threshold of some frames.

        Args:
            levels: of the song, bins x frames, dB SPL.

        Returns:
            Same shape: what a critical band around a bin may hold, dB SPL.
        """
        tonal = self.tonal(levels)
        frames = zip(levels.T, tonal.T, strict=True)
        return np.stack([self._frame(level, tones) for level, tones in frames], axis=1)

    def allowed(self, song: Tensor, margin: float) -> Tensor:
        """The largest magnitudes of a perturbation's bins.

        In no critical band louder than the song itself: silence stays silence, and how loud the
        song is played matters less. (At the ends of the spectrum the threshold in quiet is high.)

        Args:
            song: channels x samples; as for :meth:`spectra`.
            margin: dB below the threshold.

        Returns:
            channels x bins x frames.
        """
        levels = self.spl(self.spectra(song))
        found = np.stack([self.threshold(channel) for channel in levels])
        found = self.least_in_bands(np.minimum(found, self.in_bands(levels)))
        found = found - margin - 10 * np.log10(self.share)[:, None]
        amplitude: FloatArray = 10 ** ((found - FULL_SCALE_SPL) / 20) * (self.size / 4)
        return torch.from_numpy(amplitude).to(song)

    def in_bands(self, levels: Floats) -> Floats:
        """What a critical band around each bin holds, dB SPL; ... x bins x frames both ways."""
        power = np.moveaxis(10 ** (levels / 10), -2, -1)
        total = np.concatenate([np.zeros((*power.shape[:-1], 1)), power.cumsum(-1)], axis=-1)
        first, last = self.around
        return 10 * np.log10(np.moveaxis(total[..., last] - total[..., first], -1, -2).clip(1e-30))

    def least_in_bands(self, levels: Floats) -> Floats:
        """The lowest of the levels in a critical band around each bin; ... x bins x frames."""
        least = [levels[..., a:b, :].min(-2) for a, b in zip(*self.around, strict=True)]
        return np.stack(least, axis=-2)

    def maskers(
        self, level: Floats, tonal: NDArray[np.bool_]
    ) -> tuple[Floats, Floats, NDArray[np.bool_]]:
        """Tonal and noise maskers of a frame (D.1, steps 4 and 5).

        Args:
            level: of every bin, dB SPL.
            tonal: whether it is a tone, as :meth:`tonal` says.

        Returns:
            Level and Bark of each, and whether it is a tone.
        """
        power = 10 ** (level / 10)
        tones = np.flatnonzero(tonal)
        rest = power.copy()
        for k in tones:
            rest[max(k - self.aside[k], 0) : k + self.aside[k] + 1] = 0
        loud: Any = 10 * np.log10([power[k - 1 : k + 2].sum() for k in tones]) if len(tones) else []
        single, at = np.asarray(loud, dtype=np.float64), self.z[tones]
        energy = np.bincount(self.band, rest)
        middle = np.exp(np.bincount(self.band, np.log(self.hertz.clip(1))) / np.bincount(self.band))
        there = energy > 0
        noisy, where = 10 * np.log10(energy[there]), middle[there]
        single, at = self._strongest(single, at)
        levels = np.concatenate([single, noisy])
        places = np.concatenate([at, bark(where)])
        is_tone = np.arange(len(levels)) < len(single)
        in_quiet = np.interp(places, self.z, self.quiet)
        heard = levels > in_quiet
        return levels[heard], places[heard], is_tone[heard]

    def tonal(self, levels: Floats) -> NDArray[np.bool_]:
        """Bins that stand out as tones (D.1, step 4); bins x frames both ways."""
        found = np.zeros(levels.shape, dtype=bool)
        inner = levels[1:-1]
        found[1:-1] = (inner > levels[:-2]) & (inner >= levels[2:]) & (inner > SILENT)
        bins, widest = len(levels), int(self.aside.max())
        place = np.arange(bins)
        found[(place < self.aside) | (place + self.aside >= bins)] = False
        padded = np.pad(levels, [(widest, widest), (0, 0)])
        for aside in range(2, widest + 1):
            looked_at = (self.aside >= aside)[:, None]
            for step in (-aside, aside):
                other = padded[widest + step : widest + step + bins]
                found &= (levels - other >= TONAL_DB) | ~looked_at
        return found

    @staticmethod
    def _strongest(level: Floats, z: Floats) -> tuple[Floats, Floats]:
        """Of tones within half a Bark only the loudest."""
        keep: list[int] = []
        for n in range(len(level)):
            if keep and z[n] - z[keep[-1]] < NEAR:
                if level[n] > level[keep[-1]]:
                    keep[-1] = n
            else:
                keep.append(n)
        return level[keep], z[keep]

    def _frame(self, level: Floats, tonal: NDArray[np.bool_]) -> Floats:
        levels, places, is_tone = self.maskers(level, tonal)
        index = np.where(is_tone, tonal_index(places), noise_index(places))
        apart = self.coarse[None] - places[:, None]
        masked = (levels + index)[:, None] + spreading(apart, levels[:, None])
        total = (10 ** (masked / 10)).sum(axis=0)
        return 10 * np.log10(np.interp(self.z, self.coarse, total) + 10 ** (self.quiet / 10))


@functools.lru_cache(maxsize=8)
def model_for(rate: int) -> Model:
    """The model for a sample rate in Hz; frames last some 46 ms."""
    size = max(64, 2 ** round(math.log2(FRAME_SECONDS * rate)))
    hertz = np.arange(size // 2 + 1) * rate / size
    z = bark(hertz)
    around = (np.searchsorted(z, z - 0.5, "left"), np.searchsorted(z, z + 0.5, "right"))
    reach = [next(wide for below, wide in ASIDE if f < below) for f in hertz]
    aside = np.maximum(2, np.rint(np.asarray(reach) * size / rate)).astype(np.int64)
    band = np.floor(z).astype(np.int64)
    return Model(rate, size, hertz, z, quiet(hertz), band, around, aside)
