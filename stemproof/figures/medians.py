"""Aggregation: median over a track's segments, then over tracks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike


def track_medians(
    tracks: Sequence[str], values: ArrayLike, *, ordered: bool = False
) -> dict[str, float]:
    """Median over the segments of each track, in order of first appearance.

    Values that are not finite are left out; a track with none left is left out.

    Args:
        tracks: name of the track of each segment.
        values: one a segment.
        ordered: infinite ones count as above, or below, every number, and are not left out.
    """
    left_out = np.isnan if ordered else lambda value: not np.isfinite(value)
    grouped: dict[str, list[float]] = {}
    for track, value in zip(tracks, np.asarray(values, dtype=np.float64), strict=True):
        if not left_out(value):
            grouped.setdefault(track, []).append(float(value))
    return {track: float(np.median(group)) for track, group in grouped.items()}


def median_of_medians(parts: Iterable[tuple[str, ArrayLike]], *, ordered: bool = False) -> float:
    """Per segment -> median over a track's segments -> median over tracks (Li, 2022).

    Args:
        parts: pairs of a track's name and figures of some of its segments.
        ordered: as in :func:`track_medians`.

    Returns:
        NaN where nothing is left.
    """
    tracks: list[str] = []
    values: list[float] = []
    for track, part in parts:
        part = np.asarray(part, dtype=np.float64)
        tracks += [track] * len(part)
        values += part.tolist()
    medians = list(track_medians(tracks, values, ordered=ordered).values())
    return float(np.median(medians)) if medians else math.nan
