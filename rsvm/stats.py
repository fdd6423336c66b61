"""Aggregation over segments and tracks, and bootstrap intervals over tracks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Values = NDArray[np.float64]


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


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval."""

    value: float
    low: float
    high: float


def bootstrap(
    statistic: Callable[..., Values],
    *figures: Values,
    resamples: int,
    confidence: float,
    seed: int,
) -> Interval:
    """Percentile interval by resampling tracks with replacement (Efron, 1979).

    All figures are resampled together, so that comparisons stay paired by track. Segments of
    a track are correlated, which is why tracks are what is resampled.

    Args:
        statistic: takes the resampled figures, each resamples x tracks, and gives one value
            per resample (``axis=-1`` reductions).
        figures: per-track values, one array of the same length each.
        resamples: number of resamples.
        confidence: coverage, 0 to 1.
        seed: of the resampling.
    """
    count = len(figures[0])
    draws = np.random.default_rng(seed).integers(0, count, size=(resamples, count))
    replicas = statistic(*(figure[draws] for figure in figures))
    tail = (1 - confidence) / 2
    low, high = np.quantile(replicas, [tail, 1 - tail])
    value = statistic(*(figure[None, :] for figure in figures))[0]
    return Interval(float(value), float(low), float(high))


def median(figure: Values) -> Values:
    """Median over tracks."""
    return np.asarray(np.median(figure, axis=-1))


def median_difference(first: Values, second: Values) -> Values:
    """Median over tracks of one figure minus that of another (the paper's RB)."""
    return median(first) - median(second)


def median_rise(bs_1: Values, at_1: Values, bs_0: Values, at_0: Values) -> Values:
    """RB of one system minus RB of another, each a difference of medians."""
    return median_difference(bs_1, at_1) - median_difference(bs_0, at_0)
