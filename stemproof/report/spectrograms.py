"""Small spectrograms: SVG with a bitmap inside, of the same bytes for the same clip."""

from __future__ import annotations

import base64
import html
import itertools
import struct
import zlib

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray

Values = NDArray[np.float64]
WINDOW = 2048  # samples; resolves the harmonics of a voice
COLUMNS, BANDS = 110, 64  # of the bitmap
LOWEST, HIGHEST = 60.0, 16_000.0  # Hz
RANGE = 80.0  # dB below the reference, where the colours end
LEFT, TOP, RIGHT, BOTTOM = 34, 4, 6, 30  # room for the axes, in units of the drawing
WIDTH, HEIGHT = 260, 150
STORED = 65_535  # bytes of a stored block of deflate


def levels(audio: Values, sample_rate: int) -> Values:
    """Level per band and moment, in dB with full scale 1 (bands from low to high, x columns).

    Args:
        audio: channels x samples; their energies are added up.
        sample_rate: in Hz.
    """
    window = min(WINDOW, audio.shape[-1])
    starts = np.linspace(0, audio.shape[-1], COLUMNS).round().astype(int)
    padded = np.pad(audio, ((0, 0), (window // 2, window - window // 2)))
    frames = np.stack([padded[:, start : start + window] for start in starts])
    spectrum = np.fft.rfft(frames * np.hanning(window + 1)[:-1]) / (window / 4)
    energy = np.square(np.abs(spectrum)).sum(axis=1)
    edges = np.geomspace(LOWEST, highest(sample_rate), BANDS + 1) * window / sample_rate
    bands = []
    for low, high in itertools.pairwise(edges):
        # A band narrower than a bin takes the bin that it lies in.
        first = min(round(low), energy.shape[1] - 1)
        bands.append(energy[:, first : max(round(high), first + 1)].max(axis=1))
    return 10 * np.log10(np.stack(bands) + 1e-20)


def highest(sample_rate: int) -> float:
    """The upper end of the frequency axis in Hz."""
    return max(min(HIGHEST, sample_rate / 2), 2 * LOWEST)


def draw(audio: Values, sample_rate: int, reference: float, says: str) -> str:
    """A clip as a spectrogram with axes.

    Args:
        audio: channels x samples.
        sample_rate: in Hz.
        reference: dB; the level of the brightest colour, which all clips of a segment share.
        says: the text in its place for who does not see it.
    """
    found = levels(audio, sample_rate)
    shades = np.clip((found - reference) / RANGE + 1, 0, 1)
    indices = np.round(shades[::-1] * 255).astype(np.uint8)
    width, height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    image = base64.b64encode(png(indices)).decode()
    parts = [
        f'<svg class="spectrogram" role="img" aria-label="{html.escape(says)}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}">',
        f'<image x="{LEFT}" y="{TOP}" width="{width}" height="{height}" '
        f'preserveAspectRatio="none" href="data:image/png;base64,{image}"/>',
    ]
    top = highest(sample_rate)
    for hertz, word in ((100, "100"), (1000, "1k"), (10_000, "10k")):
        if LOWEST <= hertz <= top:
            share = np.log(hertz / LOWEST) / np.log(top / LOWEST)
            y = TOP + height * (1 - share)
            parts.append(f'<path d="M{LEFT - 4} {y:.1f}h4"/>')
            parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{word}</text>')
    seconds = audio.shape[-1] / sample_rate
    base = TOP + height
    for share, anchor in ((0, "start"), (1, "end")):
        x = LEFT + width * share
        parts.append(f'<path d="M{x} {base}v4"/>')
        parts.append(
            f'<text x="{x}" y="{base + 15}" text-anchor="{anchor}">{seconds * share:g}</text>'
        )
    middle = LEFT + width / 2
    parts.append(f'<text x="{middle}" y="{base + 24}" text-anchor="middle">time in s</text>')
    parts.append(
        f'<text transform="translate(9 {TOP + height / 2}) rotate(-90)" '
        'text-anchor="middle">Hz</text></svg>'
    )
    return "".join(parts)


def png(indices: NDArray[np.uint8]) -> bytes:
    """A bitmap with the palette of the spectrograms, rows x columns of indices.

    Its data are stored as they are: what a compressor makes of them depends on its version.
    """
    rows, columns = indices.shape
    raw = b"".join(b"\0" + row.tobytes() for row in indices)
    blocks = [raw[at : at + STORED] for at in range(0, len(raw), STORED)]
    stored = b"".join(
        struct.pack("<BHH", number == len(blocks) - 1, len(block), len(block) ^ 0xFFFF) + block
        for number, block in enumerate(blocks)
    )
    packed = b"\x78\x01" + stored + struct.pack(">I", zlib.adler32(raw))
    palette = (colormaps["magma"](np.arange(256))[:, :3] * 255).round().astype(np.uint8)
    header = struct.pack(">IIBBBBB", columns, rows, 8, 3, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"PLTE", palette.tobytes()), (b"IDAT", packed), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
