"""Real codecs (FFmpeg's, in PyAV): forwards a round trip, backwards straight through."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
import torch
from torch import Tensor

from stemproof.core.errors import InputError
from stemproof.core.files import FloatArray
from stemproof.protecting.transforms.protocol import Transform, straight_through
from stemproof.separators.wrappers.rate import resampled

BLOCK = 4096  # samples that an encoder is given at once


@dataclass(frozen=True)
class Codec:
    """A lossy codec in a container whose header says what its encoder put before the music.

    That is why nothing is shifted: decoders take it away again (LAME's tag, the edit list of MP4,
    the pre-skip of Ogg Opus).

    Attributes:
        name: in tables.
        encoder: as FFmpeg names it.
        container: as FFmpeg names it.
        samples: format that the encoder takes.
        rates: in Hz; a song of another one is resampled.
    """

    name: str
    encoder: str
    container: str
    samples: str
    rates: tuple[int, ...]

    def rate(self, of_song: int) -> int:
        """The rate that a song is encoded at: its own, or the nearest above, or the highest."""
        return min((rate for rate in self.rates if rate >= of_song), default=max(self.rates))


MP3 = Codec("mp3", "libmp3lame", "mp3", "fltp", (32_000, 44_100, 48_000))
AAC = Codec("aac", "aac", "mp4", "fltp", (8000, 16_000, 32_000, 44_100, 48_000, 96_000))
OPUS = Codec("opus", "libopus", "ogg", "flt", (48_000,))
CODECS = {codec.name: codec for codec in (MP3, AAC, OPUS)}


def round_trip(song: FloatArray, rate: int, codec: Codec, kilobits: int) -> FloatArray:
    """Encode and decode, aligned to the sample.

    Args:
        song: channels x samples, one or two channels.
        rate: one of the codec's, in Hz.
        codec: which.
        kilobits: per second.

    Returns:
        The same shape.

    Raises:
        InputError: this build of FFmpeg has no such encoder.
    """
    content = io.BytesIO(encoded(song, rate, codec, kilobits))
    with av.open(content) as container:
        pieces = [_planar(frame, len(song)) for frame in container.decode(audio=0)]
    found = np.concatenate(pieces, axis=1)[:, : song.shape[1]]
    return np.pad(found, [(0, 0), (0, song.shape[1] - found.shape[1])])


def encoded(song: FloatArray, rate: int, codec: Codec, kilobits: int) -> bytes:
    """The file of a song; arguments as :func:`round_trip`."""
    stored, layout = io.BytesIO(), "mono" if len(song) == 1 else "stereo"
    with av.open(stored, "w", format=codec.container) as container:
        try:
            stream: Any = container.add_stream(codec.encoder, rate=rate, layout=layout)
        except (av.error.FFmpegError, ValueError):
            raise InputError(
                f"the encoder {codec.encoder} is not in this build of PyAV; install PyAV from PyPI"
            ) from None
        stream.bit_rate, stream.format = 1000 * kilobits, codec.samples
        for start in range(0, song.shape[1], BLOCK):
            part = np.ascontiguousarray(song[:, start : start + BLOCK], dtype=np.float32)
            if not codec.samples.endswith("p"):
                part = np.ascontiguousarray(part.T).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(part, format=codec.samples, layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return stored.getvalue()


def _planar(frame: Any, channels: int) -> FloatArray:
    found = frame.to_ndarray()
    found = found if frame.format.is_planar else found.reshape(-1, channels).T
    return found.astype(np.float32, copy=False)


def through(codec: Codec, kilobits: int) -> Transform:
    """The transform of a codec at a bit rate."""
    return Transform(
        f"{codec.name}-{kilobits}",
        f"{codec.name.upper()} at {kilobits} kbit/s",
        _change(codec, kilobits),
        linear=False,
    )


def _change(codec: Codec, kilobits: int) -> Callable[[Tensor, int, int], Tensor]:
    def change(song: Tensor, rate: int, _: int) -> Tensor:
        with torch.no_grad():
            own, samples = codec.rate(rate), song.shape[-1]
            there = resampled(song, rate, own, -(-samples * own // rate))
            coded = np.stack(
                [round_trip(item, own, codec, kilobits) for item in there.float().cpu().numpy()]
            )
            back = resampled(torch.from_numpy(coded).to(song), own, rate, samples)
        return straight_through(song, back)

    return change
