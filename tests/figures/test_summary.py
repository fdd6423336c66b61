"""Summaries: medians over tracks, means over seeds, and what is absent stays absent."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scored_cases import COUNTS, PASSED, TRACKS, drawn

from stemproof.core.errors import InputError
from stemproof.core.files import write_json
from stemproof.figures import table
from stemproof.figures.compare import compare
from stemproof.figures.params import StatisticsParams
from stemproof.figures.store import (
    SystemModels,
    mean_curve,
    of_one_data_set,
    read_scored,
    write_scored,
)
from stemproof.figures.summary import Scored, summarize
from stemproof.figures.table import by_key

SETTINGS = StatisticsParams(bootstrap=300)
# What metrics files held before there were kinds of separators, without training and bsseval.
INTERVALS = (
    *("si_sdr", "bs", "at_bs", "rb", "rb_net", "drop", "noise_drop"),
    *("stft_bs", "mixture_si_sdr"),
)
KEYS = [
    *(f"{key}{end}" for key in INTERVALS for end in ("", "_low", "_high")),
    *("rb_relative", "noise_worst_drop", "perturbation_snr", "output_gain"),
    *("n_seeds", "n_tracks", "n_segments", "n_skipped", "budget_used", "bsseval", "seeds"),
]
EXCERPT = ["excerpt_bs", "excerpt_at_bs", "excerpt_drop"]
OF_EXCERPTS = {f"{key}{end}" for key in EXCERPT for end in ("", "_low", "_high")}


BREAKS = ["break_1db", "break_3db", "break_6db"]


def with_breaks(scored: Scored, seed: int, rows: int = TRACKS) -> Scored:
    """The same with break points of its first tracks, as the stage `evaluate` joins them."""
    draw = np.random.default_rng(100 + seed)
    found = pd.DataFrame({key: draw.normal(40, 5, rows) for key in BREAKS})
    found.index = scored.tracks.index[:rows]
    return scored.with_breaks(found, {"n_break_parts": 2 * rows, "n_unbroken": seed})


def test_two_seeds_are_a_mean_of_medians() -> None:
    models = {seed: with_breaks(drawn(seed), seed) for seed in (1, 2)}
    summary = summarize(models, SETTINGS)

    def of(seed: int, key: str) -> float:
        return float(np.median(models[seed].tracks[key]))

    for figure in table.FIGURES:
        values = [
            of(seed, figure.key)
            if figure.minus is None
            else of(seed, figure.minus[0]) - of(seed, figure.minus[1])
            for seed in (1, 2)
        ]
        if figure.listed:
            assert summary[figure.key] == pytest.approx(sum(values) / 2, abs=1e-12)
        if figure.of_seeds:
            assert [s[figure.key] for s in summary["seeds"].values()] == pytest.approx(values)
        if figure.interval:
            low, high = summary[f"{figure.key}_low"], summary[f"{figure.key}_high"]
            assert low <= summary[figure.key] <= high
    assert summary["rb_relative"] == pytest.approx(summary["rb"] / summary["bs"])
    assert summary["n_seeds"] == 2
    assert summary["bsseval"]["clean"] == {"sdr": 7.5}
    assert summary["bsseval"]["clean_failures"] == 2


def test_the_keys_are_those_that_metrics_files_always_had() -> None:
    assert set(summarize({1: drawn(1, EXCERPT)}, SETTINGS)) == set(KEYS)
    # A blind system has some of a whole excerpt beside them.
    more = {f"{key}{end}" for key in EXCERPT for end in ("", "_low", "_high")}
    assert set(summarize({1: drawn(1)}, SETTINGS)) == set(KEYS) | more


@pytest.mark.parametrize("without", [["si_sdr"], ["stft_bs"], ["si_sdr", "stft_bs"]])
def test_what_a_system_does_not_have_is_no_key(without: list[str]) -> None:
    absent = [*without, *EXCERPT]
    summary = summarize({1: drawn(1, absent), 2: drawn(2, absent)}, SETTINGS)
    gone = {f"{key}{end}" for key in without for end in ("", "_low", "_high")}
    assert set(summary) == set(KEYS) - gone
    for of_seed in summary["seeds"].values():
        assert not set(of_seed) & set(without)


def test_break_points_stand_beside_the_figures_of_those_tracks_that_were_searched() -> None:
    models = {seed: with_breaks(drawn(seed), seed, rows=5) for seed in (1, 2)}
    summary = summarize(models, SETTINGS)
    more = {f"{key}{end}" for key in (*BREAKS, *EXCERPT) for end in ("", "_low", "_high")}
    assert set(summary) == set(KEYS) | more | {"n_break_parts", "n_unbroken"}
    assert (summary["n_break_parts"], summary["n_unbroken"]) == (20, 3)
    for key in BREAKS:
        medians = [float(np.median(of.tracks[key].dropna())) for of in models.values()]
        assert len(models[1].tracks[key].dropna()) == 5
        assert summary[key] == pytest.approx(sum(medians) / 2)


def test_a_difference_needs_both_of_its_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    own = replace(by_key()["rb"], key="lost", minus=("si_sdr", "bs"), part="", interval=False)
    monkeypatch.setattr(table, "FIGURES", (*table.FIGURES, own))
    models = {1: drawn(1), 2: drawn(2)}
    medians = [of.tracks["si_sdr"].median() - of.tracks["bs"].median() for of in models.values()]
    assert summarize(models, SETTINGS)["lost"] == pytest.approx(sum(medians) / 2)
    assert "lost" not in summarize({1: drawn(1, ["si_sdr"])}, SETTINGS)


def test_a_ratio_to_what_is_not_positive_is_left_out() -> None:
    model = drawn(1)
    model.tracks["bs"] -= 20
    assert "rb_relative" not in summarize({1: model}, SETTINGS)


def test_aims_that_were_missed_add_up_over_seeds() -> None:
    counts = {**COUNTS, "n_not_reached": 3}
    models = {seed: drawn(seed, counts=counts) for seed in (1, 2)}
    assert summarize(models, SETTINGS)["n_not_reached"] == 6
    assert "n_not_reached" not in summarize({1: drawn(1)}, SETTINGS)


def silent(seed: int, keys: list[str], tracks: Any = slice(None), **changes: Any) -> Any:
    """A model without some figures on some tracks, because it put out silence there."""
    model = drawn(seed, **changes)
    model.tracks.loc[model.tracks.index[tracks], keys] = np.nan
    return model


def test_what_collapsed_on_some_tracks_is_left_out() -> None:
    keys = ["at_bs", "drop"]
    models = {1: silent(1, keys, slice(4)), 2: drawn(2)}
    summary = summarize(models, SETTINGS)
    assert set(summary) == set(KEYS) | OF_EXCERPTS
    for key in keys:
        medians = [np.median(models[1].tracks[key][4:]), np.median(models[2].tracks[key])]
        assert summary[key] == pytest.approx(np.mean(medians), abs=1e-12)
        assert summary["seeds"]["1"][key] == medians[0]
    expected = np.median(models[1].tracks["bs"]) - np.median(models[1].tracks["at_bs"][4:])
    assert summary["seeds"]["1"]["rb"] == pytest.approx(expected, abs=1e-12)
    whole = summarize({1: drawn(1), 2: drawn(2)}, SETTINGS)
    assert all(summary[key] == whole[key] for key in ("bs", "bs_low", "noise_drop", "output_gain"))


def test_what_collapsed_everywhere_is_no_key(tmp_path: Path) -> None:
    models = {1: silent(1, ["at_bs", "drop"]), 2: silent(2, ["at_bs", "drop"])}
    summary = summarize(models, SETTINGS)
    assert summary["without_value"] == ["at_bs", "rb", "rb_net", "drop"]
    lost = {f"{key}{end}" for key in summary["without_value"] for end in ("", "_low", "_high")}
    assert set(KEYS) - set(summary) == lost | {"rb_relative"}
    assert set(summary["seeds"]["1"]) == {"si_sdr", "bs"}
    write_json(tmp_path / "x.json", summary)  # no NaN
    # In one seed only: the other's are the figures.
    part = summarize({1: silent(1, ["at_bs", "drop"]), 2: drawn(2)}, SETTINGS)
    assert set(part) == set(KEYS) | OF_EXCERPTS
    assert part["at_bs"] == part["seeds"]["2"]["at_bs"]
    assert "at_bs" not in part["seeds"]["1"]


def test_a_system_of_which_nothing_is_left_has_a_summary() -> None:
    keys = ["bs", "at_bs", "drop", "noise_bs", "noise_drop", "noise_worst_drop"]
    summary = summarize({1: silent(1, keys)}, SETTINGS)
    assert {"bs", "rb", "rb_net", "noise_worst_drop"} < set(summary["without_value"])
    assert summary["seeds"] == {"1": {"si_sdr": summary["si_sdr"]}}


def test_collapses_add_up_over_seeds() -> None:
    counted = {"n_collapsed_clean": 1, "n_collapsed": 4, "n_collapsed_noise": 2}
    models = {seed: drawn(seed, counts={**COUNTS, **counted}) for seed in (1, 2)}
    summary = summarize(models, SETTINGS)
    assert {key: summary[key] for key in counted} == {k: 2 * v for k, v in counted.items()}


def test_what_collapsed_is_read_back_as_such(tmp_path: Path) -> None:
    keys = ["at_bs", "drop"]
    models = {1: silent(1, keys, slice(4)), 2: silent(2, keys)}
    for seed, model in models.items():
        write_scored(tmp_path / str(seed), model, about(seed))
    found = read_scored([tmp_path / "1", tmp_path / "2"], {"attack": {"eps": 0.1}})
    for seed, model in found.scored.items():
        pd.testing.assert_frame_equal(model.tracks, models[seed].tracks, check_exact=True)


def test_without_bsseval_there_is_none() -> None:
    assert "bsseval" not in summarize({1: drawn(1, bsseval=None)}, SETTINGS)


def test_bsseval_that_failed_everywhere_leaves_counts() -> None:
    failed = {"clean_failures": 4, "attacked_failures": 4}
    models = {1: drawn(1, bsseval=failed), 2: drawn(2)}
    found = summarize(models, SETTINGS)["bsseval"]
    assert found["clean"] == {"sdr": 8.0}
    assert found["clean_failures"] == 5


def about(seed: int, trained: bool = True) -> dict[str, Any]:
    return {
        "system": "toy",
        "seed": seed,
        "kind": "toy",
        "informed": False,
        "gate": PASSED,
        "trained": trained,
        "training": {"epoch": seed},
        "environment": {"device": "CPU"},
        "made_with": {"attack": {"eps": 0.1}},
        "data": 64 * "0",
    }


def test_what_is_stored_is_read_back_to_the_last_bit(tmp_path: Path) -> None:
    folders = [tmp_path / str(seed) for seed in (1, 2)]
    for seed, folder in enumerate(folders, start=1):
        write_scored(folder, drawn(seed, ["si_sdr"]), about(seed))
    found = read_scored(folders, {"attack": {"eps": 0.1}})
    assert list(found.scored) == [1, 2]
    for seed, model in found.scored.items():
        pd.testing.assert_frame_equal(
            model.tracks, drawn(seed, ["si_sdr"]).tracks, check_exact=True
        )
        assert model.counts == COUNTS
    assert found.about == {
        "kind": "toy",
        "informed": False,
        "gate": PASSED,
        "training": {"1": {"epoch": 1}, "2": {"epoch": 2}},
    }


def test_songs_keep_their_names(tmp_path: Path) -> None:
    names = ["1979", "007", "NA", "None", *map(str, range(TRACKS - 4))]
    model = drawn(1)
    model.tracks.index = pd.Index(names, name="track")
    write_scored(tmp_path, model, about(1))
    assert read_scored([tmp_path], {}).scored[1].tracks.index.tolist() == names


def test_an_untrained_system_counts_once(tmp_path: Path) -> None:
    folders = [tmp_path / str(seed) for seed in (1, 2)]
    for seed, folder in enumerate(folders, start=1):
        write_scored(folder, drawn(seed), about(seed, trained=False))
    found = read_scored(folders, {})
    assert list(found.scored) == [1]
    assert found.folders == folders[:1]
    assert summarize(found.scored, SETTINGS)["n_seeds"] == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": 2}, "figures of toy, seed 2; run evaluate again"),
        ({"system": "other"}, "figures of other, seed 1; run evaluate again"),
        ({"seed": "1"}, "seed = '1' is not allowed"),
        ({"trained": 1}, "trained = 1 is not allowed"),
        ({"counts": {"n_segments": 4}}, "counts.n_skipped is missing"),
        ({"counts": {**COUNTS, "n_collapsed": "3"}}, "counts.n_collapsed = '3' is not allowed"),
        ({"training": None}, "training = None is not allowed"),
        ({"training": {"parameters": 3}}, "training.epoch is missing"),
        ({"gate": {"passed": True}}, "gate.checks is missing"),
        ({"bsseval": {"clean_failures": 1}}, "bsseval.attacked_failures is missing"),
        ({"data": None}, "data = None is not allowed"),
        ({"format": 2}, "format 2 of a newer release; this one reads up to 1: update it"),
    ],
)
def test_figures_of_another_form_are_refused(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    folder = tmp_path / "1"
    write_scored(folder, drawn(1), about(1))
    read_scored([folder], {}, "toy")
    file = folder / "figures.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, **change}))
    with pytest.raises(InputError) as error:
        read_scored([folder], {}, "toy")
    assert said in str(error.value) and "\n" not in str(error.value)
    for key in ("seed", "counts", "gate", "trained", "informed", "kind", "environment", "data"):
        file.write_text(json.dumps({name: content[name] for name in content if name != key}))
        with pytest.raises(InputError, match=f"figures.json: {key} is missing; run evaluate"):
            read_scored([folder], {}, "toy")


def test_models_of_other_tracks_are_not_paired(tmp_path: Path) -> None:
    folders = [tmp_path / str(seed) for seed in (1, 2)]
    for seed, folder in enumerate(folders, start=1):
        write_scored(folder, drawn(seed), about(seed))
    file = folders[1] / "tracks.csv"
    header, *rows = file.read_text().splitlines()
    for lines in (rows[1:], rows[::-1], [*rows[:-1], "x" + rows[-1]]):
        file.write_text("\n".join([header, *lines]) + "\n")
        with pytest.raises(InputError, match=r"2/tracks.csv: other tracks or columns than .*/1; r"):
            read_scored(folders, {}, "toy")
    file.write_text("\n".join([header, *rows, rows[0]]) + "\n")
    with pytest.raises(InputError, match=r"tracks.csv: a track stands there twice; run evaluate"):
        read_scored(folders, {}, "toy")
    models = {name: {1: drawn(seed)} for seed, name in enumerate(("a", "b"))}
    models["b"][1].tracks.index = models["b"][1].tracks.index[::-1]
    with pytest.raises(InputError, match="b has figures of other tracks than a; run dvc repro"):
        compare(models, "a", SETTINGS)


def test_a_curve_without_rows_is_none(tmp_path: Path) -> None:
    for text in ("epoch,loss\n", "", "epoch,loss\n1\n", "epoch,loss\n,1\n", "epoch,loss\n1,x\n"):
        (tmp_path / "x.csv").write_text(text)
        with pytest.raises(InputError, match=r"x.csv: not "):
            mean_curve([tmp_path / "x.csv"])


def test_figures_of_other_parameters_are_refused(tmp_path: Path) -> None:
    write_scored(tmp_path, drawn(1), about(1))
    with pytest.raises(InputError, match=r"attack.eps = 0.1, but params.yaml says 0.2; run eval"):
        read_scored([tmp_path], {"attack": {"eps": 0.2}})
    with pytest.raises(InputError, match=r"figures.json: "):
        read_scored([tmp_path / "nothing"], {})


def test_a_curve_is_the_mean_over_seeds(tmp_path: Path) -> None:
    for seed in (1, 2):
        (tmp_path / f"{seed}.csv").write_text(f"epoch,loss\n0,{seed}\n1,{3 * seed}\n")
    said = mean_curve([tmp_path / "1.csv", tmp_path / "2.csv"])
    assert said.splitlines() == ["epoch,loss", "0,1.5", "1,4.5"]


def test_figures_of_different_recordings_are_not_compared(tmp_path: Path) -> None:
    def models(data: str) -> SystemModels:
        return SystemModels({}, [tmp_path / data], {}, {}, data)

    of_one_data_set({"a": models("x"), "b": models("x")})
    with pytest.raises(InputError, match="y: figures of other recordings .* run dvc repro"):
        of_one_data_set({"a": models("x"), "b": models("y")})
