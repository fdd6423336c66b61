"""Single audio files: read as they are, of any rate and number of channels; written as wav."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import av
import numpy as np
import soundfile

from stemproof.core.errors import InputError
from stemproof.core.files import FloatArray, opened, written_aside
from stemproof.data.checks import check_samples
from stemproof.data.codec import announced_samples, audio_streams, decode
from stemproof.data.entries import STEM_STREAMS, STEM_SUFFIX, is_stem_file

Subtype = Literal["FLOAT", "PCM_16", "PCM_24"]
SUBTYPES: tuple[Subtype, ...] = get_args(Subtype)
BITS = {"PCM_16": 16, "PCM_24": 24}
# What libsndfile reads, to the bit; the rest is FFmpeg's.
UNCOMPRESSED = (".wav", ".flac", ".aif", ".aiff")
# What the libraries raise on a file that they cannot read.
NO_AUDIO = (av.error.FFmpegError, soundfile.LibsndfileError, OSError, ValueError)


@dataclass(frozen=True)
class Audio:
    """A recording.

    Attributes:
        samples: channels x samples, full scale 1.
        sample_rate: in Hz.
    """

    samples: FloatArray
    sample_rate: int

    @property
    def channels(self) -> int:
        """How many."""
        return len(self.samples)

    @property
    def seconds(self) -> float:
        """Length."""
        return self.samples.shape[1] / self.sample_rate


def read_audio(path: Path, stream: int = 0) -> Audio:
    """Read a whole file.

    Args:
        path: wav or flac; or what FFmpeg's libraries read, such as mp3, m4a, ogg and .stem.mp4.
        stream: number of the audio stream; of a .stem.mp4 the first is the mixture.

    Raises:
        InputError: there is no such file, it is no audio, is empty or truncated, a sample is not
            a number or far beyond full scale, or a .stem.mp4 has not the five streams of one.
    """
    with opened(path, "no such file; correct its name"):
        pass
    try:
        found = _by_libsndfile(path) if path.suffix.lower() in UNCOMPRESSED else None
        found = found or _by_ffmpeg(path, stream)
    except NO_AUDIO as error:
        raise not_audio(path, error) from None
    if not found.samples.size:
        raise InputError(f"{path}: no samples in it; name another recording")
    check_samples(path, found.samples)
    return found


def not_audio(path: Path, error: Exception) -> InputError:
    """What is said of a file that a library cannot read."""
    said = str(getattr(error, "strerror", None) or error)
    return InputError(
        f"{path}: not readable as audio ({said}); name a wav, flac, mp3, m4a or ogg file"
    )


def _by_libsndfile(path: Path) -> Audio | None:
    """None for what is no format of libsndfile, whatever its name says, or has no samples to it."""
    try:
        sound = soundfile.SoundFile(path)
    except soundfile.LibsndfileError:
        return None
    # What it knows and cannot decode is damaged: FFmpeg would go on behind a wrong checksum.
    with sound as file:
        announced, rate = file.frames, int(file.samplerate)
        try:
            audio = file.read(dtype="float32", always_2d=True)
        except MemoryError:
            raise ValueError(f"it announces {announced} samples, too many for memory") from None
    if path.suffix.lower() == ".wav":  # of which it tells what there is, and not what was announced
        announced = announced_samples(path, 0)
    refuse_truncated(len(audio), announced)
    return Audio(np.ascontiguousarray(audio.T), rate) if len(audio) else None


def refuse_truncated(found: int, announced: int) -> None:
    """Refuse what holds less than its header announces.

    Args:
        found: samples that could be read.
        announced: samples.

    Raises:
        ValueError: it is truncated.
    """
    if found < announced:
        raise ValueError(f"truncated; {found} of {announced} samples could be read")


def _by_ffmpeg(path: Path, number: int) -> Audio:
    streams, stems = audio_streams(path), is_stem_file(path)
    if stems and len(streams) != STEM_STREAMS:
        raise ValueError(f"{len(streams)} audio streams, and a {STEM_SUFFIX} has {STEM_STREAMS}")
    if len(streams) <= number:
        raise ValueError(f"it has {len(streams)} audio stream(s)")
    stream = streams[number]
    # Stems are read as musdb reads them, so that figures agree; else nothing is rounded or clipped.
    audio = decode(path, stream["index"], rounded=stems)
    if stems:  # what other compressed files announce is not exact
        refuse_truncated(len(audio), stream["duration_ts"])
    return Audio(np.ascontiguousarray(audio.T), int(stream["sample_rate"]))


def write_audio(path: Path, audio: Audio, subtype: Subtype = "FLOAT") -> str | None:
    """Write a wav file, atomically; the same samples give the same bytes.

    Args:
        path: the file.
        audio: the recording.
        subtype: 32-bit float, or whole numbers, which are rounded to and end at full scale.

    Returns:
        What was lost of samples beyond full scale, in a sentence; None when nothing was.

    Raises:
        InputError: it cannot be written.
    """
    from scipy.io import wavfile

    frames = np.ascontiguousarray(audio.samples.T)
    with written_aside(path) as temporary:
        if subtype == "FLOAT":
            # Not libsndfile, which puts the time of the day into such a file.
            wavfile.write(temporary, audio.sample_rate, frames)
            return None
        steps = 2.0 ** (BITS[subtype] - 1)
        scaled = np.rint(frames.astype(np.float64) * steps)
        beyond = (scaled > steps - 1) | (scaled < -steps)
        whole = scaled.clip(-steps, steps - 1).astype(np.int32) << (32 - BITS[subtype])
        soundfile.write(temporary, whole, audio.sample_rate, subtype=subtype, format="WAV")
    if not beyond.any():
        return None
    peak = 20 * np.log10(float(np.abs(frames).max()))
    return (
        f"{path}: {int(beyond.sum())} sample(s) beyond full scale, by up to {max(peak, 0):.1f} dB, "
        f"were cut to it; FLOAT holds them"
    )
