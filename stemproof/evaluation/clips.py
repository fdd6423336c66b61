"""Clips to listen to: 16-bit wav files, whose bytes are the same for the same samples."""

from __future__ import annotations

import math
import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stemproof.core.errors import InputError
from stemproof.core.files import FloatArray, opened, written_aside

INDEX = "index.json"  # of a folder of clips
FORMAT = 1  # of the index
LOUDEST = 0.99  # of full scale; what is louder is turned down
SCALE = 32767  # of 16 bits


def write_clip(path: Path, audio: FloatArray, sample_rate: int, gain_db: float = 0.0) -> None:
    """Write a clip, atomically.

    Args:
        path: a wav file.
        audio: channels x samples, full scale 1; what is above it is clipped.
        sample_rate: in Hz.
        gain_db: in dB, applied first.
    """
    scaled = audio.astype(np.float64) * 10 ** (gain_db / 20) * SCALE
    integers = np.clip(np.round(scaled), -SCALE, SCALE).astype("<i2")
    with written_aside(path) as temporary, wave.open(str(temporary), "wb") as stream:
        stream.setnchannels(len(audio))
        stream.setsampwidth(2)
        stream.setframerate(sample_rate)
        stream.writeframes(integers.T.tobytes())


def read_clip(path: Path) -> tuple[NDArray[np.float64], int]:
    """Read what :func:`write_clip` wrote.

    Returns:
        Channels x samples, full scale 1, and the sample rate in Hz.

    Raises:
        InputError: the file is missing or damaged.
    """
    with opened(path) as stream:
        try:
            with wave.open(stream) as clip:
                if clip.getsampwidth() != 2:
                    raise wave.Error("not of 16 bits")
                frames = clip.readframes(clip.getnframes())
                integers = np.frombuffer(frames, "<i2").reshape(-1, clip.getnchannels())
                return integers.T / SCALE, clip.getframerate()
        except (wave.Error, EOFError, ValueError) as error:
            raise InputError(f"{path}: damaged ({error}); run listen again") from None


def level(clips: list[FloatArray]) -> float:
    """By how many dB clips are turned down together so that none is clipped; 0 where none is."""
    peak = max(float(np.abs(clip).max(initial=0)) for clip in clips)
    return 0.0 if peak <= LOUDEST else math.floor(200 * math.log10(LOUDEST / peak)) / 10


def amplification(perturbation: FloatArray, mixture: FloatArray, level_db: float) -> int:
    """Whole dB that make a perturbation about as loud as the mixture, without clipping it.

    Args:
        perturbation: channels x samples.
        mixture: what it was added to.
        level_db: what all clips are turned down by.
    """
    energy, peak = (
        float(np.square(perturbation, dtype=np.float64).sum()),
        np.abs(perturbation).max(),
    )
    if not energy:
        return 0
    wanted = 10 * math.log10(float(np.square(mixture, dtype=np.float64).sum()) / energy)
    return math.floor(min(wanted, 20 * math.log10(LOUDEST / float(peak)) - level_db))
