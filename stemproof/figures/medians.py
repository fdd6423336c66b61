"""Aggregation: median over a track's segments, then over tracks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike


def track_medians(tracks: Sequence[str], values: ArrayLike) -> dict[str, float]:
    """Median over the segments of each track, in order of first appearance.

    Values that are not finite are left out; a track with none left is left out.
    """
    grouped: dict[str, list[float]] = {}
    for track, value in zip(tracks, np.asarray(values, dtype=np.float64), strict=True):
        if np.isfinite(value):
            grouped.setdefault(track, []).append(float(value))
    return {track: float(np.median(group)) for track, group in grouped.items()}


def median_of_medians(parts: Iterable[tuple[str, ArrayLike]]) -> float:
    """Per segment -> median over a track's segments -> median over tracks (Li, 2022).

    Args:
        parts: pairs of a track's name and figures of some of its segments.
    """
    tracks: list[str] = []
    values: list[float] = []
    for track, part in parts:
        part = np.asarray(part, dtype=np.float64)
        tracks += [track] * len(part)
        values += part.tolist()
    return float(np.median(list(track_medians(tracks, values).values())))
