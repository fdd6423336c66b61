"""Bitmaps with axes as SVG: the same bytes for the same numbers, whatever compresses elsewhere."""

from __future__ import annotations

import base64
import html
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray

Values = NDArray[np.float64]
LEFT, TOP, RIGHT, BOTTOM = 38, 4, 8, 30  # room for the axes, in units of the drawing
WIDTH, HEIGHT = 264, 150
STORED = 65_535  # bytes of a stored block of deflate


@dataclass(frozen=True)
class Axis:
    """An axis.

    Attributes:
        label: what it shows, with its unit.
        ticks: places from 0 to 1, and their words.
    """

    label: str
    ticks: Sequence[tuple[float, str]]


def framed(shades: Values, across: Axis, up: Axis, says: str, height: int = HEIGHT) -> str:
    """A map with its axes.

    Args:
        shades: rows x columns from 0 (dark) to 1 (bright), the first row below.
        across: the abscissa.
        up: the ordinate.
        says: the text in its place for who does not see it.
        height: of the drawing.
    """
    indices = np.round(np.clip(shades[::-1], 0, 1) * 255).astype(np.uint8)
    image = base64.b64encode(png(indices)).decode()
    wide, high = WIDTH - LEFT - RIGHT, height - TOP - BOTTOM
    base, middle = TOP + high, LEFT + wide / 2
    parts = [
        f'<svg class="spectrogram" role="img" aria-label="{html.escape(says)}" '
        f'viewBox="0 0 {WIDTH} {height}">'
        f'<image x="{LEFT}" y="{TOP}" width="{wide}" height="{high}" '
        f'preserveAspectRatio="none" href="data:image/png;base64,{image}"/>'
    ]
    for share, word in up.ticks:
        y = base - high * share
        parts.append(f'<path d="M{LEFT - 4} {y:.1f}h4"/>')
        # Words at the ends stay inside.
        below = min(max(y + 4, TOP + 9), base)
        parts.append(f'<text x="{LEFT - 6}" y="{below:.1f}" text-anchor="end">{word}</text>')
    for share, word in across.ticks:
        x = LEFT + wide * share
        anchor = "start" if share == 0 else "end" if share == 1 else "middle"
        parts.append(f'<path d="M{x:.1f} {base}v4"/>')
        parts.append(f'<text x="{x:.1f}" y="{base + 15}" text-anchor="{anchor}">{word}</text>')
    parts.append(f'<text x="{middle}" y="{base + 25}" text-anchor="middle">')
    parts.append(f"{html.escape(across.label)}</text>")
    parts.append(f'<text transform="translate(9 {TOP + high / 2}) rotate(-90)" ')
    parts.append(f'text-anchor="middle">{html.escape(up.label)}</text></svg>')
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
