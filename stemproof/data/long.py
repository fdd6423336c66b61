"""Long recordings: laid out on the disk once, and read from there a part at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from stemproof.core.errors import InputError, explaining
from stemproof.core.files import FloatArray, opened
from stemproof.data.audio import NO_AUDIO, UNCOMPRESSED, not_audio, refuse_truncated
from stemproof.data.checks import check_samples
from stemproof.data.codec import announced_samples, audio_streams, decoded_pieces
from stemproof.data.entries import STEM_STREAMS, STEM_SUFFIX, is_stem_file

BLOCK = 2**18  # frames that are read at once


@dataclass(frozen=True)
class LongAudio:
    """A recording on the disk: frames x channels, float32, full scale 1.

    Attributes:
        file: raw samples.
        sample_rate: in Hz.
        channels: how many.
        samples: per channel.
    """

    file: Path
    sample_rate: int
    channels: int
    samples: int

    @property
    def seconds(self) -> float:
        """Length."""
        return self.samples / self.sample_rate

    def read(self, start: int, stop: int) -> FloatArray:
        """A part, channels x samples; zeros before the beginning and after the end.

        Args:
            start: first sample, which can be negative.
            stop: one after the last.
        """
        frames = np.memmap(self.file, np.float32, "r", shape=(self.samples, self.channels))
        found = np.zeros((self.channels, stop - start), dtype=np.float32)
        low, high = max(start, 0), min(stop, self.samples)
        if low < high:
            found[:, low - start : high - start] = frames[low:high].T
        return found

    def blocks(self, size: int = BLOCK) -> Iterator[FloatArray]:
        """One part after the other, channels x ``size`` samples or less."""
        for start in range(0, self.samples, size):
            yield self.read(start, min(start + size, self.samples))


def lay_out(path: Path, file: Path, gain: float = 1.0) -> LongAudio:
    """Decode a recording of any length into raw samples, a block at a time.

    Args:
        path: wav, flac, mp3, m4a, ogg; of a .stem.mp4 the mixture.
        file: for the samples.
        gain: by which they are multiplied.

    Raises:
        InputError: as :func:`stemproof.data.audio.read_audio`.
    """
    with opened(path, "no such file; correct its name"):
        pass
    frames = channels = rate = 0
    try:
        with file.open("wb") as stream:
            for block, its_rate in _blocks(path):
                check_samples(path, block)
                with explaining(file, "written"):
                    stream.write((block * np.float32(gain)).astype("<f4").tobytes())
                frames, channels, rate = frames + len(block), block.shape[1], its_rate
    except InputError:
        raise
    except NO_AUDIO as error:
        raise not_audio(path, error) from None
    if not frames:
        raise InputError(f"{path}: no samples in it; name another recording")
    return LongAudio(file, rate, channels, frames)


def _blocks(path: Path) -> Iterator[tuple[FloatArray, int]]:
    """Frames x channels, and the sample rate."""
    if path.suffix.lower() in UNCOMPRESSED:
        try:
            file = soundfile.SoundFile(path)
        except soundfile.LibsndfileError:
            file = None  # what is no format of libsndfile, whatever its name says
        if file is not None and len(file):
            with closing(file):
                yield from _of_libsndfile(path, file)
            return
    yield from _of_ffmpeg(path)


def _of_libsndfile(path: Path, file: soundfile.SoundFile) -> Iterator[tuple[FloatArray, int]]:
    found, announced = 0, file.frames
    if path.suffix.lower() == ".wav":
        announced = announced_samples(path, 0)
    while len(block := file.read(BLOCK, dtype="float32", always_2d=True)):
        found += len(block)
        yield block, int(file.samplerate)
    refuse_truncated(found, announced)


def _of_ffmpeg(path: Path) -> Iterator[tuple[FloatArray, int]]:
    streams, stems = audio_streams(path), is_stem_file(path)
    if stems and len(streams) != STEM_STREAMS:
        raise ValueError(f"{len(streams)} audio streams, and a {STEM_SUFFIX} has {STEM_STREAMS}")
    if not streams:
        raise ValueError("it has 0 audio stream(s)")
    first, found = streams[0], 0
    for piece in decoded_pieces(path, first["index"], rounded=stems):
        if len(piece):
            found += len(piece)
            yield piece, int(first["sample_rate"])
    if stems:  # what other compressed files announce is not exact
        refuse_truncated(found, first["duration_ts"])
