"""What decoded samples must be, so that a budget and a figure mean what they say."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemproof.core.errors import InputError
from stemproof.core.files import FloatArray

# The largest sample, full scale 1. Compressed audio goes a little beyond 1 (1.002 in the previews
# of MUSDB18, before it is rounded to 16 bits); whole numbers that were written as floats go far.
LOUDEST = 2.0
# How far the mean of the channels may lie below them, in dB: 14 is the most in the previews.
CANCELLED_DB = 40.0
# How far the rest of a mixture without its stems must lie below it, in dB. The stems of MUSDB18 are
# compressed one by one: 21.4 is the least in the previews, but for one song, and 15.4 is that of
# the recording that stempeg ships.
STEMS_SUM_DB = 10.0
# In this one the left channel is not the sum (errata at https://sigsep.github.io/datasets/musdb.html):
# 7.3 dB in the previews. It is read as it was published.
ERRATA = ("PR - Oh No",)
# How much of its vocals a mixture holds, as a projection: 1, but for what the rest has in common
# with them (0.62 to 1.08 in the previews of MUSDB18). Of vocals that are softer than SOFT (share of
# the mixture's energy) it says nothing.
HELD, SOFT = (0.5, 2.0), 0.01
BLOCK = 2**20  # samples


def check_samples(path: Path, audio: NDArray[np.floating[Any]]) -> None:
    """Are these samples of a recording whose full scale is 1?

    Args:
        path: the file that they are of.
        audio: the samples, of any shape.

    Raises:
        InputError: one is not a number, or beyond :data:`LOUDEST`.
    """
    low, high = float(audio.min(initial=0)), float(audio.max(initial=0))  # NaN where one sample is
    if not (math.isfinite(low) and math.isfinite(high)):
        raise InputError(
            f"{path}: holds samples that are not numbers (NaN or infinity); "
            "replace the recording or leave the track out"
        )
    peak = max(-low, high)
    if peak > LOUDEST:
        raise InputError(
            f"{path}: its samples reach {peak:.4g}, full scale is 1, and {LOUDEST:g} the most that "
            "is taken; divide them by the full scale that they were written with"
        )


def check_channels(path: Path, what: str, audio: FloatArray) -> None:
    """Is there anything left of a signal in mono?

    Args:
        path: the file that it is of.
        what: ``mixture`` or ``vocals``.
        audio: channels x samples.

    Raises:
        InputError: its channels cancel: their mean lies :data:`CANCELLED_DB` below them.
    """
    each, mean = power(audio) / len(audio), power(audio.mean(axis=0))
    if mean < each * 10 ** (-CANCELLED_DB / 10):
        left = f"{_ratio_db(each, mean):.0f} dB below them" if mean else "silent"
        raise InputError(
            f"{path}: the channels of the {what} cancel each other, their mean is {left}, and "
            "figures are computed on it; turn the polarity of one channel, or leave the track out"
        )


def sum_db(mixture: float, rest: float) -> float | None:
    """The SNR of a mixture to what its stems leave of it, in dB.

    Args:
        mixture: its power.
        rest: that of the mixture minus all of its stems.

    Returns:
        Minus infinity for a mixture of silence; None when nothing is left of another.
    """
    if mixture == 0:
        return -math.inf
    return _ratio_db(mixture, rest) if rest else None


def check_sum(path: Path, song: str, found: float | None) -> None:
    """Do the stems add up to the mixture?

    Args:
        path: the file of the mixture.
        song: its name.
        found: what :func:`sum_db` gave.

    Raises:
        InputError: what is left is less than :data:`STEMS_SUM_DB` below the mixture.
    """
    if found is not None and found < STEMS_SUM_DB and song not in ERRATA:
        raise InputError(
            f"{path}: the stems do not add up to the mixture: what they miss lies {found:.1f} dB "
            f"below it, and {STEMS_SUM_DB:g} dB at least are expected of stems of one recording; "
            "replace them, or leave the track out"
        )


def audio_hash(audio: FloatArray) -> str:
    """The SHA-256 of samples and their shape: equal for equal audio, whatever file it is from."""
    found = hashlib.sha256(f"{audio.shape}".encode())
    found.update(np.ascontiguousarray(audio, dtype="<f4").data)
    return found.hexdigest()


def power(signal: NDArray[np.floating[Any]]) -> float:
    """The sum of squares, in double precision and without a copy of a long signal."""
    flat = signal.reshape(-1)
    blocks = (flat[at : at + BLOCK].astype(np.float64) for at in range(0, flat.size, BLOCK))
    return float(sum(float(np.vdot(block, block)) for block in blocks))


def _ratio_db(above: float, below: float) -> float:
    return 10 * math.log10(above / below)


def check_held(
    path: Path, of: Path, blocks: Iterable[tuple[NDArray[np.floating], NDArray[np.floating]]]
) -> None:
    """Does a mixture hold these vocals, where they are and as loud as they are?

    Args:
        path: file of the vocals.
        of: file of the mixture.
        blocks: mixture and vocals, a part after the other, each of any one shape.

    Raises:
        InputError: they are of another song, elsewhere, or upside down.
    """
    there = own = whole = 0.0
    for mixture, vocals in blocks:
        exact = vocals.astype(np.float64)
        there += float(np.vdot(exact, mixture))
        own += float(np.vdot(exact, exact))
        whole += float(np.square(mixture, dtype=np.float64).sum())
    if own > SOFT * whole and not HELD[0] < there / own < HELD[1]:
        raise InputError(
            f"{path}: these vocals are not in {of}, or not at that place or loudness: it holds "
            f"{there / own:.2f} times as much of them, where 1 is expected; name those of the song"
        )
