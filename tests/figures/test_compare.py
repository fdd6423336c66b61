"""Comparisons: paired by track and seed, of figures that both systems have."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scored_cases import TRACKS
from scored_cases import drawn as drawn_at_random

from stemproof.figures.compare import compare, contrast
from stemproof.figures.params import StatisticsParams
from stemproof.figures.statistics import holm
from stemproof.figures.summary import Models
from stemproof.figures.table import compared

SETTINGS = StatisticsParams(bootstrap=300)
drawn = partial(drawn_at_random, searched=True)


@pytest.fixture
def systems() -> dict[str, Models]:
    """A reference and a sibling with two seeds; a blind system that is not trained."""
    return {
        "reference": {1: drawn(1), 2: drawn(2)},
        "sibling": {1: drawn(3), 2: drawn(4)},
        "blind": {1: drawn(5, ["si_sdr"])},
    }


def median(models: Models, seed: int, key: str) -> float:
    return float(models[seed].tracks[key].median())


def test_every_comparison_is_its_formula(systems: dict[str, Models]) -> None:
    found = compare(systems, "reference", SETTINGS)
    own, base = systems["sibling"], systems["reference"]
    assert list(found["sibling"]) == list(compared())
    for key, figure in compared().items():
        differences = []
        for seed in (1, 2):
            if figure.minus:
                high, low = figure.minus
                rises = [median(s, seed, high) - median(s, seed, low) for s in (own, base)]
                differences.append(rises[0] - rises[1])
            elif figure.compared == "paired":
                pairs = own[seed].tracks[figure.key] - base[seed].tracks[figure.key]
                differences.append(float(pairs.median()))
            else:
                differences.append(median(own, seed, figure.key) - median(base, seed, figure.key))
        entry = found["sibling"][key]
        assert entry["difference"] == pytest.approx(np.mean(differences), abs=1e-12), key
        assert entry["low"] <= entry["difference"] <= entry["high"]


def test_a_figure_that_one_of_two_lacks_is_not_compared(systems: dict[str, Models]) -> None:
    found = compare(systems, "reference", SETTINGS)
    assert set(found["sibling"]) - set(found["blind"]) == {"si_sdr"}
    # Also where the reference is what lacks it.
    found = compare(systems, "blind", SETTINGS)
    assert "si_sdr" not in found["sibling"] and "si_sdr" not in found["reference"]
    assert "bs" in found["sibling"]


def test_a_difference_that_lacks_a_part_is_not_compared() -> None:
    whole, part = {1: drawn(1)}, {1: drawn(2, ["noise_bs"])}
    found = compare({"whole": whole, "part": part}, "whole", SETTINGS)
    assert set(compared()) - set(found["part"]) == {"rb_net"}


def test_holm_counts_what_was_compared(systems: dict[str, Models]) -> None:
    found = compare(systems, "reference", SETTINGS)
    entries = [*found["sibling"].values(), *found["blind"].values()]
    assert len(entries) == 2 * len(compared()) - 1
    assert [e["p_holm"] for e in entries] == pytest.approx(holm([e["p"] for e in entries]))


def test_what_the_comparison_says_of_the_run(systems: dict[str, Models]) -> None:
    found = compare(systems, "reference", SETTINGS)
    assert found["reference"] == "reference"
    assert found["n_tracks"] == TRACKS
    assert found["n_seeds"] == 2
    assert [name for name in found if isinstance(found[name], dict)] == ["sibling", "blind"]


def test_a_single_system_is_compared_with_none() -> None:
    assert list(compare({"a": {1: drawn(1)}}, "a", SETTINGS)) == [
        "reference",
        "n_tracks",
        "n_seeds",
    ]


def silenced(models: Models, tracks: Any) -> Models:
    """The same without the figures under attack on some tracks."""
    result = {}
    for seed, model in models.items():
        table = model.tracks.copy()
        table.loc[table.index[tracks], ["at_bs", "drop"]] = np.nan
        result[seed] = replace(model, tracks=table)
    return result


def test_a_paired_difference_is_over_tracks_that_both_have(systems: dict[str, Models]) -> None:
    systems["sibling"] = silenced(systems["sibling"], slice(3))
    systems["reference"] = silenced(systems["reference"], slice(2, 5))
    found = compare(systems, "reference", SETTINGS)["sibling"]
    own, base = systems["sibling"], systems["reference"]
    paired = [(own[n].tracks["drop"] - base[n].tracks["drop"])[5:].median() for n in (1, 2)]
    assert found["paired_drop"]["difference"] == pytest.approx(np.mean(paired), abs=1e-12)
    medians = [median(own, n, "at_bs") - median(base, n, "at_bs") for n in (1, 2)]
    assert found["at_bs"]["difference"] == pytest.approx(np.mean(medians), abs=1e-12)


def test_what_most_songs_gain_shows_where_the_medians_stay(systems: dict[str, Models]) -> None:
    base = systems["reference"]
    gained = {}
    for seed, model in base.items():
        table = model.tracks.copy()
        middle = (table["bs"] - table["bs"].median()).abs().nsmallest(2).index
        table.loc[~table.index.isin(middle), "bs"] += 1e-3
        gained[seed] = replace(model, tracks=table)
    found = compare({"reference": base, "gained": gained}, "reference", SETTINGS)["gained"]
    assert found["bs"]["difference"] == pytest.approx(0, abs=1e-12)
    assert found["paired_bs"]["difference"] == pytest.approx(1e-3, abs=1e-12)


def test_a_figure_that_nothing_is_left_of_is_not_compared(systems: dict[str, Models]) -> None:
    systems["sibling"] = silenced(systems["sibling"], slice(None))
    found = compare(systems, "reference", SETTINGS)
    gone = {"at_bs", "rb", "rb_net", "paired_drop", "paired_at_bs"}
    assert set(compared()) - set(found["sibling"]) == gone
    entries = [*found["sibling"].values(), *found["blind"].values()]
    assert [e["p_holm"] for e in entries] == pytest.approx(holm([e["p"] for e in entries]))
    own, base = plotted(systems["sibling"]), plotted(systems["reference"])
    assert set(compared()) - set(contrast(own, base, SETTINGS)) == gone


def plotted(models: Models) -> pd.DataFrame:
    tables = {seed: model.tracks for seed, model in models.items()}
    return pd.concat(tables, names=["seed"]).reset_index()


def test_a_contrast_is_the_comparison_of_two(systems: dict[str, Models]) -> None:
    for name in ("sibling", "blind"):
        found = contrast(plotted(systems[name]), plotted(systems["reference"]), SETTINGS)
        there = compare(systems, "reference", SETTINGS)[name]
        assert list(found) == list(there)
        for key, entry in found.items():
            for part in ("difference", "low", "high", "p"):
                assert entry[part] == pytest.approx(there[key][part], abs=1e-12)
