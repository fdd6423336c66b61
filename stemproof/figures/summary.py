"""The figures of one system over its training seeds, from the tables per track."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from stemproof.figures import table
from stemproof.figures.collapse import COUNTS
from stemproof.figures.figure import Figure
from stemproof.figures.params import StatisticsParams
from stemproof.figures.statistics import (
    Interval,
    Values,
    bootstrap,
    known_mean,
    median,
    median_difference,
)


@dataclass(frozen=True)
class Scored:
    """The figures of one model.

    Attributes:
        tracks: one row a track, indexed by its name: medians over its loud segments. A figure that
            does not apply to the system is no column; one that it does not have on a track,
            because all of its segments collapsed, is NaN there.
        counts: numbers of the whole model: segments, skipped segments, and the like.
        bsseval: medians over tracks, or None when it was not asked for.
    """

    tracks: pd.DataFrame
    counts: Mapping[str, float]
    bsseval: Mapping[str, Any] | None = None

    def with_breaks(self, tracks: pd.DataFrame, counts: Mapping[str, float]) -> Scored:
        """The same with further columns and counts.

        Args:
            tracks: one row a track; tracks that have no row get no figure.
            counts: numbers of the whole model.
        """
        return replace(self, tracks=self.tracks.join(tracks), counts={**self.counts, **counts})


Models = Mapping[int, Scored]  # by training seed


def applies(figure: Figure, models: Models) -> bool:
    """Whether a system has a figure."""
    columns = set(next(iter(models.values())).tracks.columns)
    return set(figure.minus or (figure.key,)) <= columns


def summarize(models: Models, settings: StatisticsParams) -> dict[str, Any]:
    """The content of ``metrics/systems/NAME.json``: figures of one system over its training seeds.

    Per seed the median over tracks is taken (Li, 2022), then the mean over seeds; intervals
    resample tracks and seeds. A figure that nothing is left of, because all collapsed, is no key;
    ``without_value`` lists those. A figure of a single track has no interval.

    Args:
        models: the system's models by training seed.
        settings: bootstrap.
    """
    summary: dict[str, Any] = {}
    known = [figure for figure in table.FIGURES if applies(figure, models)]
    for figure in known:
        if not figure.interval:
            continue
        interval = _interval(figure, models, settings)
        key = figure.key
        summary[key] = interval.value
        if interval.has_ends:
            summary |= {f"{key}_low": interval.low, f"{key}_high": interval.high}
    # The ratio means nothing for a system that separates nothing.
    if summary["bs"] > 0:
        summary["rb_relative"] = summary["rb"] / summary["bs"]
    for figure in known:
        if figure.listed and not figure.interval:
            summary[figure.key] = known_mean(_values(figure, models))
    lost = [figure.key for figure in known if math.isnan(summary.get(figure.key, 0.0))]
    summary = {key: value for key, value in summary.items() if not math.isnan(value)}
    if lost:
        summary["without_value"] = lost
    first = next(iter(models.values()))
    summary |= {"n_seeds": len(models), "n_tracks": len(first.tracks)}
    summary |= {key: first.counts[key] for key in ("n_segments", "n_skipped")}
    summary["budget_used"] = max(model.counts["budget_used"] for model in models.values())
    for key in ("n_not_reached", "n_break_parts", "n_unbroken", *COUNTS):
        if key in first.counts:
            summary[key] = sum(model.counts[key] for model in models.values())
    if first.bsseval is not None:
        summary["bsseval"] = _mean_bsseval([model.bsseval or {} for model in models.values()])
    shown = {figure.key: _values(figure, models) for figure in known if figure.of_seeds}
    summary["seeds"] = {
        str(seed): {
            key: float(values[row]) for key, values in shown.items() if not np.isnan(values[row])
        }
        for row, seed in enumerate(models)
    }
    return summary


def by_seed(models: Models, key: str) -> Values:
    """One measured figure as seeds x tracks."""
    return np.stack([model.tracks[key].to_numpy(dtype=np.float64) for model in models.values()])


def _values(figure: Figure, models: Models) -> Values:
    """One figure of every seed."""
    if figure.minus:
        return median_difference(*(by_seed(models, key) for key in figure.minus))
    return median(by_seed(models, figure.key))


def _interval(figure: Figure, models: Models, settings: StatisticsParams) -> Interval:
    options = settings.options
    if figure.minus:
        parts = [by_seed(models, key) for key in figure.minus]
        return bootstrap(median_difference, *parts, **options)
    return bootstrap(median, by_seed(models, figure.key), **options)


def _mean_bsseval(of_seeds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Figures: mean over the seeds that have them. Failures: their sum."""
    result: dict[str, Any] = {}
    for condition in ("clean", "attacked"):
        known = [found[condition] for found in of_seeds if condition in found]
        if known:
            result[condition] = {
                figure: float(np.mean([found[figure] for found in known])) for figure in known[0]
            }
        failures = f"{condition}_failures"
        result[failures] = sum(found[failures] for found in of_seeds)
    return result
