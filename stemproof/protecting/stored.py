"""What is stored: the protected song in whole numbers, and its difference to the song."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import soundfile

from stemproof.core.errors import InputError, explaining
from stemproof.core.files import FloatArray, written_aside
from stemproof.data.long import BLOCK, LongAudio

FORMATS = {".wav": "WAV", ".flac": "FLAC"}


class Readable(Protocol):
    """Whatever can be read in parts, channels x samples."""

    def read(self, start: int, stop: int) -> FloatArray:
        """A part; zeros before the beginning and after the end."""
        ...


@dataclass(frozen=True)
class Difference:
    """What was done to a song.

    Attributes:
        song: as it was.
        changed: as it is now.
    """

    song: LongAudio
    changed: Readable

    def read(self, start: int, stop: int) -> FloatArray:
        """A part, channels x samples."""
        return self.changed.read(start, stop) - self.song.read(start, stop)

    def blocks(self, size: int = BLOCK) -> Iterator[FloatArray]:
        """One part after the other."""
        for start in range(0, self.song.samples, size):
            yield self.read(start, min(start + size, self.song.samples))


@dataclass(frozen=True)
class Sum:
    """A song with something added.

    Attributes:
        song: as it was.
        added: to it.
    """

    song: LongAudio
    added: Readable

    def read(self, start: int, stop: int) -> FloatArray:
        """A part, channels x samples."""
        return self.song.read(start, stop) + self.added.read(start, stop)


def write_raw(parts: Iterable[Any], file: Path, rate: int, channels: int) -> LongAudio:
    """Store a recording as raw samples.

    Args:
        parts: channels x samples each.
        file: for the samples.
        rate: in Hz.
        channels: how many.

    Raises:
        InputError: it cannot be written.
    """
    samples = 0
    with explaining(file, "written"), file.open("wb") as stream:
        for part in parts:
            stream.write(np.ascontiguousarray(part.T, dtype="<f4").tobytes())
            samples += part.shape[1]
    return LongAudio(file, rate, channels, samples)


def whole_numbers(
    song: FloatArray, changed: FloatArray, bits: int, peak: float, eps: float | None = None
) -> Any:
    """Round a changed song, without leaving the budget or going beyond the song's peak.

    Args:
        song: as it was, channels x samples.
        changed: same shape.
        bits: of a whole number.
        peak: largest sample of the whole song.
        eps: largest change of a sample; None where that is not bounded. A change that is no whole
            number of steps ends at the one below.

    Returns:
        Same shape, int32, full scale ``2 ** (bits - 1)``.
    """
    steps = 2.0 ** (bits - 1)
    exact, found = song.astype(np.float64) * steps, np.rint(changed.astype(np.float64) * steps)
    if eps is not None:
        low, high = np.ceil(exact - eps * steps), np.floor(exact + eps * steps)
        found = np.where(low <= high, found.clip(low, np.maximum(low, high)), np.rint(exact))
    most = np.floor(peak * steps)
    return found.clip(-min(most, steps), min(most, steps - 1)).astype(np.int32)


def check_format(path: Path) -> None:
    """Is this a file that can be written?

    Raises:
        InputError: by its suffix it is neither wav nor flac.
    """
    if path.suffix.lower() not in FORMATS:
        raise InputError(
            f"{path}: protected songs are written as wav or flac, since a codec would change them "
            "at once; name a .wav or .flac file"
        )


def write_song(parts: Iterable[Any], path: Path, rate: int, channels: int, bits: int) -> None:
    """Write whole numbers as a wav or flac file, atomically, a part at a time.

    Args:
        parts: int32, channels x samples each.
        path: the file; its suffix says which.
        rate: in Hz.
        channels: how many.
        bits: 16 or 24.

    Raises:
        InputError: it cannot be written, or flac does not know the rate.
    """
    kind = FORMATS[path.suffix.lower()]
    if not soundfile.check_format(kind, f"PCM_{bits}"):
        raise InputError(f"{path}: {kind} holds no {bits} bits; name a .wav file")
    with written_aside(path) as temporary:
        try:
            with soundfile.SoundFile(
                temporary, "w", rate, channels, f"PCM_{bits}", format=kind
            ) as file:
                for part in parts:
                    file.write(np.ascontiguousarray(part.T << (32 - bits)))
        except AssertionError:  # what soundfile says when fewer samples were written
            raise RuntimeError(f"{path}: not all of it was written") from None
