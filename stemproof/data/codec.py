"""musdb without an ffmpeg program: PyAV carries FFmpeg's libraries.

musdb reads audio through stempeg, which refuses to be imported unless ``ffmpeg`` and
``ffprobe`` are on the PATH and then runs them as processes. :func:`import_musdb` lets the
same musdb classes (layout, split, tracks) read through PyAV instead. The two ways agree to
one 16-bit step (they may carry different releases of FFmpeg's AAC decoder).
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Literal

import av
import numpy as np

from stemproof.core.errors import InputError
from stemproof.core.files import FloatArray
from stemproof.core.stempeg import ffmpeg_installed, reader_by_program, stempeg_importable

Decoder = Literal["pyav", "ffmpeg"]
WIDE = ("pcm_f", "pcm_s24", "pcm_s32")  # codecs that hold more than 16 bits
# Bytes of a wav file's data from which on its header is no promise: what could not seek back, to
# write the size into it, left 0xFFFFFFFF (FFmpeg) or 0x7FFFF000 (SoX), and RF64 has it elsewhere.
UNKNOWN_SIZE = 0x7FFFF000


def import_musdb(decoder: Decoder) -> ModuleType:
    """Import musdb, set to decode through ``decoder``.

    Raises:
        InputError: ``decoder`` is ``ffmpeg`` and the programs are not installed.
    """
    if decoder == "ffmpeg" and not ffmpeg_installed():
        raise InputError(
            "data.decoder = ffmpeg, but the programs ffmpeg and ffprobe are not on the PATH; "
            "install them or set data.decoder = pyav, which needs no program"
        )
    with stempeg_importable():
        import musdb
        import stempeg.read
    if decoder == "pyav":
        stempeg.read.ffmpeg = SimpleNamespace(
            probe=probe, _run=SimpleNamespace(Error=av.error.FFmpegError)
        )
        stempeg.read._read_ffmpeg = _read
    else:
        import ffmpeg

        stempeg.read.ffmpeg = ffmpeg
        stempeg.read._read_ffmpeg = reader_by_program()
    module: ModuleType = musdb
    return module


def example_stem() -> Path:
    """The one real recording that stempeg ships: seven seconds of a MUSDB18 *test* song."""
    with stempeg_importable():
        import stempeg
    return Path(stempeg.example_stem_path())


def probe(filename: str | Path) -> dict[str, Any]:
    """What ``ffprobe`` would say of a file, as far as stempeg asks.

    Raises:
        av.error.FFmpegError: the file is no audio container.
        ValueError: FFmpeg does not know what an audio stream in it is.
    """
    path = Path(filename)
    # Opening a container takes a fifth as long as decoding seven seconds of it, and musdb asks
    # for every stem; a file that has changed is looked at again.
    seen = path.stat()
    return {"streams": [dict(stream) for stream in _probe(path, seen.st_mtime_ns, seen.st_size)]}


def opened_container(path: str | Path) -> Any:
    """Open a file with FFmpeg's libraries; texts in it that are no UTF-8 matter to nobody.

    Raises:
        av.error.FFmpegError: the file is no audio container.
    """
    return av.open(str(path), metadata_errors="replace")


@lru_cache(maxsize=4096)
def _probe(path: Path, modified: int, size: int) -> list[dict[str, Any]]:
    with opened_container(path) as container:
        return [_describe(stream) for stream in container.streams]


def _describe(stream: Any) -> dict[str, Any]:
    described: dict[str, Any] = {"index": stream.index, "codec_type": stream.type}
    if stream.type == "audio":
        if stream.codec_context is None or not stream.rate:
            raise ValueError("an audio stream of no known codec or rate")
        # FFmpeg names none where there are no samples.
        seconds = float((stream.duration or 0) * (stream.time_base or 0))
        samples = round(seconds * stream.rate)
        described |= {
            "codec": stream.codec_context.name,
            "sample_rate": str(stream.rate),
            "channels": stream.channels,
            "duration_ts": samples,
            "duration": str(seconds),
            "tags": {"handler_name": stream.metadata.get("handler_name")},
        }
    return described


def audio_streams(filename: str | Path) -> list[dict[str, Any]]:
    """What :func:`probe` says of the audio streams: a file can have a picture before them.

    Raises:
        av.error.FFmpegError: the file is no audio container.
    """
    return [stream for stream in probe(filename)["streams"] if stream["codec_type"] == "audio"]


def announced_samples(filename: str | Path, number: int) -> int:
    """How many samples a file's header promises, for one of its audio streams.

    Args:
        filename: the file.
        number: of the audio stream.

    Returns:
        0 where it promises nothing.
    """
    if str(filename).lower().endswith(".wav"):
        return _wav_samples(Path(filename))
    return int(audio_streams(filename)[number]["duration_ts"])


def announced_values(filename: str | Path) -> int:
    """How many values (samples times channels) a file's header promises, of its first audio stream.

    Returns:
        0 where it promises nothing, as where it is no audio file: a data set of one's own may keep
        its songs as text, or as a folder.
    """
    try:
        streams = audio_streams(filename)
    except (av.error.FFmpegError, OSError, ValueError):
        return 0
    return announced_samples(filename, 0) * int(streams[0]["channels"]) if streams else 0


def _wav_samples(path: Path) -> int:
    """Frames that a RIFF or RF64 header announces; decoders tell what is there instead."""
    block, long_size = 0, 0
    with path.open("rb") as stream:
        if stream.read(12)[:4] not in (b"RIFF", b"RF64", b"BW64"):
            return 0
        while len(head := stream.read(8)) == 8:
            kind, size = struct.unpack("<4sI", head)
            content = stream.read(min(size, 24)) if kind in (b"fmt ", b"ds64") else b""
            if kind == b"fmt " and len(content) >= 16:
                block = struct.unpack("<H", content[12:14])[0]
            elif kind == b"ds64" and len(content) >= 16:  # EBU Tech 3306: sizes of 64 bits
                long_size = struct.unpack("<Q", content[8:16])[0]
            elif kind == b"data":
                known = size if size < UNKNOWN_SIZE else long_size
                return int(known // block) if block else 0
            stream.seek(size + size % 2 - len(content), 1)
    return 0


def read_stream(filename: str | Path, number: int, decoder: Decoder) -> FloatArray:
    """Decode one audio stream as musdb does, frames x channels, full scale 1.

    Args:
        filename: the file.
        number: of the stream, among its audio streams.
        decoder: see :func:`import_musdb`, which must have been called.

    Raises:
        av.error.FFmpegError: the stream cannot be decoded.
    """
    stream = audio_streams(filename)[number]
    if decoder == "pyav":
        return decode(filename, stream["index"])
    # 16 bits would cut what lies beyond full scale, and round what has more.
    wide = stream["codec"].startswith(WIDE)
    found = reader_by_program()(
        str(filename),
        int(stream["sample_rate"]),
        int(stream["channels"]),
        None,
        None,
        np.float64,
        "f32le" if wide else "s16le",
        stream["index"],
    )
    # 16-bit steps and float32 are all that a decoder gives, whatever type they come in.
    return np.asarray(found, dtype=np.float32)


def decode(filename: str | Path, stream_index: int, rounded: bool = True) -> FloatArray:
    """Decode one stream, frames x channels, full scale 1.

    PCM wider than 16 bits is read as float32; everything else is rounded to 16 bits, as musdb
    does, so that figures agree with those of other users of musdb. float32 holds both exactly.

    Args:
        filename: the file.
        stream_index: of the stream, among all of its streams.
        rounded: whether to 16 bits; else lossy audio keeps what it has beyond full scale.

    Raises:
        av.error.FFmpegError: the stream cannot be decoded.
    """
    return np.concatenate(list(decoded_pieces(filename, stream_index, rounded)))


def decoded_pieces(
    filename: str | Path, stream_index: int, rounded: bool = True
) -> Iterator[FloatArray]:
    """What :func:`decode` gives, piece by piece; the last one is empty."""
    with opened_container(filename) as container:
        stream: Any = container.streams[stream_index]
        wide = stream.codec_context.name.startswith(WIDE) or not rounded
        scale = np.float32(1 if wide else 1 / 32768)
        resampler = av.AudioResampler(
            format="flt" if wide else "s16", layout=stream.layout, rate=stream.rate
        )
        for frame in itertools.chain(container.decode(stream), [None]):
            for piece in resampler.resample(frame):
                yield piece.to_ndarray().reshape(-1, stream.channels) * scale
        yield np.zeros((0, stream.channels), dtype=np.float32)


def _read(
    filename: str,
    sample_rate: int,
    channels: int,
    start: float | None,
    duration: float | None,
    dtype: type,
    ffmpeg_format: str,
    stem_idx: int,
) -> FloatArray:
    """Stand in for ``stempeg.read._read_ffmpeg``: the whole stream at its own rate.

    musdb asks for float64, which would hold the same numbers in twice the memory.
    """
    if start or duration is not None:
        raise NotImplementedError("chunks are cut from prepared tracks, not while decoding")
    return decode(filename, stem_idx)
