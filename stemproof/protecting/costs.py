"""What a protection costs: how large the perturbation is, how loud, and how much of it is heard."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from stemproof.core.files import FloatArray
from stemproof.data.long import BLOCK, LongAudio
from stemproof.protecting.loudness import loudness
from stemproof.protecting.masking import model_for
from stemproof.protecting.parts import Tiles
from stemproof.protecting.stored import Difference, Readable

AMPLIFIED_DB = 80.0  # before the loudness of a perturbation is taken: the gate is for music
PARTS = 6  # of the song, on which the masking threshold is computed again
SECONDS = 5.0  # of each


def costs(song: LongAudio, protected: Readable, bits: int) -> dict[str, Any]:
    """What was done to a song, by its stored samples.

    Args:
        song: as it was.
        protected: as it is stored.
        bits: that it is stored with.

    Returns:
        ``snr`` (song over perturbation, dB), ``lufs`` (integrated, of ``song``, ``protected`` and
        ``perturbation``), ``peak`` (largest sample of each, full scale 1), ``below`` (share of the
        perturbation's bins that lie below the masking threshold), ``above_db`` (by how much the
        loudest of the others exceeds it) and ``sixteen_bits`` (perturbation over what rounding to
        16 bits would add, dB). None where there is silence.
    """
    change = Difference(song, protected)
    energy = {"song": 0.0, "perturbation": 0.0, "rounding": 0.0}
    peak = {"song": 0.0, "protected": 0.0, "perturbation": 0.0}
    for part, after, delta in _parts(song, protected):
        energy["song"] += _energy(part)
        energy["perturbation"] += _energy(delta)
        energy["rounding"] += _energy(np.rint(after * 2**15) / 2**15 - after)
        for name, signal in (("song", part), ("protected", after), ("perturbation", delta)):
            peak[name] = max(peak[name], float(np.abs(signal).max(initial=0)))
    rate, channels = song.sample_rate, song.channels
    gain = 10 ** (AMPLIFIED_DB / 20)
    loud = loudness(change.blocks(), rate, channels, gain)
    below, above = _masked(song, change)
    return {
        "snr": _db(energy["song"], energy["perturbation"]),
        "lufs": {
            "song": loudness(song.blocks(), rate, channels),
            "protected": loudness(
                (after for _, after, _ in _parts(song, protected)), rate, channels
            ),
            "perturbation": None if loud is None else loud - AMPLIFIED_DB,
        },
        "peak": peak,
        "below": below,
        "above_db": above,
        "sixteen_bits": _db(energy["perturbation"], energy["rounding"]) if bits > 16 else None,
    }


def _parts(
    song: LongAudio, protected: Readable
) -> Iterator[tuple[FloatArray, FloatArray, FloatArray]]:
    for start in range(0, song.samples, BLOCK):
        stop = min(start + BLOCK, song.samples)
        part, after = song.read(start, stop), protected.read(start, stop)
        yield part, after, after - part


def _masked(song: LongAudio, change: Difference) -> tuple[float, float]:
    """Share of bins that are below the threshold, and the largest excess in dB."""
    model = model_for(song.sample_rate)
    length = max(round(SECONDS * song.sample_rate), 2 * model.size)
    tiles, count, unheard, worst = Tiles(song.samples, length, 0), 0, 0, 0.0
    for number in tiles.spread(PARTS):
        start, _ = tiles.span(number)
        span = start - model.size // 2, start + length + model.size // 2
        allowed = model.allowed(torch.from_numpy(song.read(*span)), 0.0)
        there = model.spectra(torch.from_numpy(change.read(*span))).abs()
        # What whole numbers cannot hold is not looked at: a bin of rounding noise.
        floor = 2.0**-23 * model.size
        heard = there > floor
        over = there[heard] / allowed[heard].clamp_min(floor)
        count += len(over)
        unheard += int((over <= 1.0001).sum())
        worst = max(worst, float(over.max()) if len(over) else 0.0)
    if not count:
        return 1.0, 0.0
    return unheard / count, max(20 * math.log10(max(worst, 1e-9)), 0.0)


def _energy(signal: Any) -> float:
    flat = signal.astype(np.float64).ravel()
    return float(np.dot(flat, flat))


def _db(above: float, below: float) -> float | None:
    return 10 * math.log10(above / below) if above > 0 and below > 0 else None
