"""Hearing: critical bands, the threshold in quiet, and how far a masker reaches.

Of MPEG-1's psychoacoustic model 1 (ISO/IEC 11172-3:1993, annex D.1), whose functions these are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
# A sine of full scale is played so loud, as the standard takes it (dB SPL).
FULL_SCALE_SPL = 96.0
LOWEST = 20.0  # Hz; below it the threshold in quiet is that at this frequency
HIGHEST = 68.0  # dB SPL; the tables of the standard let the threshold in quiet rise no further
REACH = -3.0, 8.0  # Bark below and above a masker, beyond which it masks nothing


def bark(hertz: Any) -> Floats:
    """The critical-band rate of a frequency (Zwicker and Terhardt, 1980), in Bark."""
    khz = np.asarray(hertz, dtype=np.float64) / 1000
    return 13 * np.arctan(0.76 * khz) + 3.5 * np.arctan((khz / 7.5) ** 2)


def quiet(hertz: Any) -> Floats:
    """The absolute threshold of hearing in quiet (Terhardt, 1979), in dB SPL."""
    khz = np.maximum(np.asarray(hertz, dtype=np.float64), LOWEST) / 1000
    found = 3.64 * khz**-0.8 - 6.5 * np.exp(-0.6 * (khz - 3.3) ** 2) + 1e-3 * khz**4
    return np.minimum(found, HIGHEST)


def spreading(apart: Any, level: Any) -> Floats:
    """How far a masker's effect lies below it, in dB: the masking function of D.1, step 6.

    Args:
        apart: Bark from the masker up to the place that is masked.
        level: of the masker, in dB SPL.

    Returns:
        Minus infinity beyond its reach.
    """
    dz, x = np.broadcast_arrays(
        np.asarray(apart, dtype=np.float64), np.asarray(level, dtype=np.float64)
    )
    slopes = np.select(
        [dz < -1, dz < 0, dz < 1],
        [17 * (dz + 1) - (0.4 * x + 6), (0.4 * x + 6) * dz, -17 * dz],
        -(dz - 1) * (17 - 0.15 * x) - 17,
    )
    return np.where((dz >= REACH[0]) & (dz < REACH[1]), slopes, -np.inf)


def tonal_index(z: Any) -> Floats:
    """How far a tone's own masking lies below it, at some Bark, in dB (D.1, step 6)."""
    return -1.525 - 0.275 * np.asarray(z, dtype=np.float64) - 4.5


def noise_index(z: Any) -> Floats:
    """The same for noise."""
    return -1.525 - 0.175 * np.asarray(z, dtype=np.float64) - 0.5
