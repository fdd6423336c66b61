"""Every system minus the reference, and any two systems, with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from stemproof.core.errors import InputError
from stemproof.core.params import RESERVED
from stemproof.figures.figure import Figure
from stemproof.figures.params import StatisticsParams
from stemproof.figures.statistics import (
    Interval,
    Values,
    bootstrap,
    holm,
    median_difference,
    median_rise,
    paired_median,
)
from stemproof.figures.summary import Models, by_seed
from stemproof.figures.table import compared, per_segment, tabulated

OTHER = "other_threat"
Columns = Mapping[str, Values]  # seeds x tracks, of each measured figure


def compare(
    systems: Mapping[str, Models], reference: str, settings: StatisticsParams
) -> dict[str, Any]:
    """Every system minus the reference.

    Differences are paired by track and by training seed; p-values are adjusted for the number of
    comparisons in the whole table (Holm, 1979). A figure that one of two systems does not have, or
    that nothing is left of, is not compared; a difference on a single track has neither interval
    nor p-value.

    Args:
        systems: models by training seed, of each system; all of one threat model.
        reference: what the others are compared with.
        settings: bootstrap.

    Raises:
        InputError: the figures of two systems are of other tracks.
    """
    # Differences are paired by place.
    played = {name: next(iter(of.values())).tracks.index for name, of in systems.items()}
    for name, tracks in played.items():
        if not tracks.equals(played[reference]):
            raise InputError(f"{name} has figures of other tracks than {reference}; run dvc repro")
    base = _columns(systems[reference])
    others = [name for name in systems if name != reference]
    result: dict[str, Any] = {
        "reference": reference,
        "n_tracks": base["bs"].shape[1],
        "n_seeds": max(len(models) for models in systems.values()),
    }
    for name in others:
        result[name] = _differences(_columns(systems[name]), base, settings)
    _adjust([entry for name in others for entry in result[name].values()])
    return result


def compare_threats(
    systems: Mapping[str, Models],
    informed: Mapping[str, bool],
    reference: str,
    settings: StatisticsParams,
) -> dict[str, Any]:
    """The content of ``metrics/comparison.json``: a comparison for each threat model.

    Informed and blind figures never stand in one ranking: what one is told, and what is changed of
    it, differs. At the top level stand the systems of the reference's threat model; the others,
    where they are two or more, are compared with their first under the key ``other_threat``.

    Args:
        systems: models by training seed, of each system, in the order of tables.
        informed: of each system, whether it is told something of the true stems.
        reference: what the others of its threat model are compared with.
        settings: bootstrap.

    Raises:
        InputError: a system is called like a key of a comparison.
    """
    for name in RESERVED:
        if name in systems:
            raise InputError(f"systems: {name} is a key of the comparison; give it another name")
    same, other = (
        {name: of for name, of in systems.items() if (informed[name] == informed[reference]) == is_}
        for is_ in (True, False)
    )
    result = compare(same, reference, settings)
    if len(other) > 1:
        result[OTHER] = compare(other, next(iter(other)), settings)
    return result


def by_threat(comparison: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The comparisons of a run, each by itself: one a threat model, at most two."""
    same = {key: value for key, value in comparison.items() if key != OTHER}
    return [same, comparison[OTHER]] if OTHER in comparison else [same]


def comparison_of(comparison: Mapping[str, Any], system: str) -> Mapping[str, Any] | None:
    """The comparison in which a system stands; None where it is the only one of its threat model.

    Args:
        comparison: ``metrics/comparison.json``.
        system: its name.
    """
    for found in by_threat(comparison):
        if system == found["reference"] or isinstance(found.get(system), Mapping):
            return found
    return None


def contrast(
    first: pd.DataFrame, second: pd.DataFrame, settings: StatisticsParams
) -> dict[str, dict[str, float]]:
    """One system minus any other: for a question that was asked before the figures were seen.

    P-values are adjusted for the comparisons of this contrast only.

    Args:
        first: a table of :file:`plots/tracks`: medians per seed and track.
        second: of the same tracks; and of the same seeds, or of one model.
        settings: bootstrap.

    Raises:
        InputError: the tables are of other tracks or seeds, or of different threat models.
    """
    whole = [figure.key for figure in per_segment() if figure.per == "excerpt"]
    if len({any(key in table for key in whole) for table in (first, second)}) > 1:
        raise InputError(
            "one of the two systems is informed and the other is blind, and their figures do not "
            "compare; name two of one threat model"
        )
    tables = [list(table.groupby("seed", sort=False)) for table in (first, second)]
    tracks = {tuple(of_seed["track"]) for table in tables for _, of_seed in table}
    if len(tracks) > 1:
        raise InputError("the two systems were tested on other tracks; name two of one run")
    seeds = {tuple(seed for seed, _ in table) for table in tables if len(table) > 1}
    if len(seeds) > 1:
        raise InputError("the two systems were trained with other seeds; name two of one run")
    own, base = (
        {
            figure.key: np.stack([of_seed[figure.key].to_numpy() for _, of_seed in table])
            for figure in tabulated()
            if figure.key in table[0][1]
        }
        for table in tables
    )
    result = _differences(own, base, settings)
    _adjust(list(result.values()))
    return result


def _columns(models: Models) -> Columns:
    columns = next(iter(models.values())).tracks.columns
    keys = [figure.key for figure in tabulated() if figure.key in columns]
    return {key: by_seed(models, key) for key in keys}


def _adjust(entries: list[dict[str, float]]) -> None:
    """Add p-values that are adjusted for how many there are; a single track has none."""
    entries = [entry for entry in entries if "p" in entry]
    for entry, adjusted in zip(entries, holm([e["p"] for e in entries]), strict=True):
        entry["p_holm"] = adjusted


def _differences(
    own: Columns, base: Columns, settings: StatisticsParams
) -> dict[str, dict[str, float]]:
    result: dict[str, dict[str, float]] = {}
    for key, figure in compared().items():
        needed = figure.minus or (figure.key,)
        if all(part in own and part in base for part in needed):
            interval = _difference(figure, own, base, settings)
            if not interval.is_known:
                continue
            result[key] = {"difference": interval.value}
            if interval.has_ends:
                result[key] |= {"low": interval.low, "high": interval.high, "p": interval.p}
    return result


def _difference(
    figure: Figure, own: Columns, base: Columns, settings: StatisticsParams
) -> Interval:
    options = settings.options
    if figure.minus:
        high, low = figure.minus
        return bootstrap(median_rise, own[high], own[low], base[high], base[low], **options)
    # The same segments under the same attack: the median of the differences is sharper.
    statistic = paired_median if figure.compared == "paired" else median_difference
    return bootstrap(statistic, own[figure.key], base[figure.key], **options)
