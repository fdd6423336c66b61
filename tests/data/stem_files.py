"""Files as ``.stem.mp4`` in small, with what can be wrong with them."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

RATE = 8000
SAMPLES = 4096


def stems_of(seed: int, samples: int = SAMPLES) -> list[NDArray[Any]]:
    """A mixture and its four stems, whole numbers of 16 bits, 2 x samples."""
    draw = np.random.default_rng(seed)
    stems = [draw.integers(-3000, 3000, (2, samples)).astype(np.int16) for _ in range(4)]
    return [np.sum(stems, axis=0).astype(np.int16), *stems]


def write_stems(
    path: Path,
    stems: Sequence[NDArray[Any]],
    cover: bool = False,
    title: str = "a song",
    rate: int = RATE,
) -> Path:
    """Write audio streams without loss (ALAC), behind a picture where one is wanted."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format="mp4") as container:
        container.metadata["title"] = title
        picture: Any = container.add_stream("mjpeg", rate=1) if cover else None
        if picture:
            picture.width = picture.height = 16
            picture.pix_fmt = "yuvj420p"
        layouts = ["stereo" if len(stem) == 2 else "mono" for stem in stems]
        streams: list[Any] = [
            container.add_stream("alac", rate=rate, layout=one) for one in layouts
        ]
        if picture:
            image = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")
            image.pts, image.time_base = 0, Fraction(1)
            container.mux(picture.encode(image.reformat(format="yuvj420p")))
            container.mux(picture.encode(None))
        for stream, stem, layout in zip(streams, stems, layouts, strict=True):
            for start in range(0, stem.shape[1], 4096):
                part = np.ascontiguousarray(stem[:, start : start + 4096])
                frame = av.AudioFrame.from_ndarray(part, format="s16p", layout=layout)
                frame.sample_rate, frame.pts = rate, start
                frame.time_base = Fraction(1, rate)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return path


def write_library(root: Path, **about: Any) -> Path:
    """Two training songs, a validation song and a test song, as ``.stem.mp4``."""
    for seed, name in enumerate(("train/a", "train/b", "train/held out", "test/c")):
        write_stems(root / f"{name}.stem.mp4", stems_of(seed), **about)
    return root
