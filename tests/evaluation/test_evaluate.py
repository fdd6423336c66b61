"""Evaluation: a figure stands where it applies, and batches and processes change none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scored_cases import (
    LENGTH,
    Blind,
    Restless,
    adversarials,
    attack_params,
    evaluated,
    informed,
    oracle,
    recordings,
)

from stemproof.core.errors import InputError
from stemproof.core.shards import Shard
from stemproof.data.store import PreparedTrack
from stemproof.figures.si_sdr import si_sdr
from stemproof.figures.table import per_segment

ALL = [figure.key for figure in per_segment()]
EXCERPT = {figure.key for figure in per_segment() if figure.per == "excerpt"}
SYSTEMS = {"informed": informed, "blind": Blind, "random": Restless}
CLOSE = 1e-4  # dB


def same(first: pd.DataFrame, second: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(
        first, second.loc[first.index], check_exact=False, rtol=0, atol=CLOSE
    )


def test_a_system_that_can_all_has_every_figure(tmp_path: Path) -> None:
    scored = evaluated(tmp_path, informed(), oracle())
    assert list(scored.tracks.columns) == ["segments", *(k for k in ALL if k not in EXCERPT)]
    assert scored.tracks.index.tolist() == ["song 0", "song 1", "song 2"]
    # The last segment of each track is silent.
    assert scored.tracks["segments"].tolist() == [3, 4, 5]
    assert scored.counts["n_segments"] == 12
    assert scored.counts["n_skipped"] == 3
    assert 0 < scored.counts["budget_used"] <= 1


@pytest.mark.parametrize(
    ("system", "reference", "absent"),
    [
        # The oracle is told the vocals of what it stands beside, as an informed system is.
        ("blind", oracle, {"si_sdr", "stft_bs"}),
        ("informed", oracle, EXCERPT),
        ("informed", None, {"stft_bs", *EXCERPT}),
        ("blind", None, {"si_sdr", "stft_bs"}),
    ],
)
def test_a_figure_that_does_not_apply_is_no_column(
    tmp_path: Path, system: str, reference: Any, absent: set[str]
) -> None:
    scored = evaluated(tmp_path, SYSTEMS[system](), reference and reference())
    assert set(ALL) - set(scored.tracks.columns) == absent
    assert np.isfinite(scored.tracks.to_numpy()).all()


def test_medians_are_over_the_loud_segments_of_a_track(tmp_path: Path) -> None:
    scored = evaluated(tmp_path, Blind())
    for track in recordings().all:
        # It hears the whole recording, and each segment of what it gives is scored.
        whole = track.count(LENGTH) * LENGTH
        estimate = Blind().separate(torch.from_numpy(track.mixture)[None])[0, 0, :whole]
        _, vocals = track.segments(LENGTH)
        own = si_sdr(vocals, estimate.reshape(-1, 1, LENGTH))[:-1]
        expected = float(np.median(own.numpy()))
        assert scored.tracks.loc[track.name, "bs"] == pytest.approx(expected, abs=CLOSE)


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("norm", ["linf", "l2", "l0"])
def test_the_batch_changes_no_figure(tmp_path: Path, system: str, norm: str) -> None:
    attack = attack_params(norm=norm, method="noise", samples=300)
    tables = [
        evaluated(tmp_path, SYSTEMS[system](), oracle(), attack, batch=batch).tracks
        for batch in (1, 5, 16)
    ]
    assert (tables[0]["noise_bs"] != tables[0]["bs"]).all()
    same(tables[0], tables[1])
    same(tables[0], tables[2])


class Part(Shard):
    """One of two processes that does not wait for the other."""

    def gathered(self, own: Sequence[Any]) -> list[Any]:
        return list(own)


@pytest.mark.parametrize("system", SYSTEMS)
def test_sharing_the_tracks_changes_no_figure(tmp_path: Path, system: str) -> None:
    whole = evaluated(tmp_path, SYSTEMS[system](), oracle())
    parts = [
        evaluated(tmp_path, SYSTEMS[system](), oracle(), shard=Part(rank, 2)) for rank in (0, 1)
    ]
    assert [len(part.tracks) for part in parts] == [2, 1]
    same(whole.tracks, pd.concat([part.tracks for part in parts]))
    for count in ("n_segments", "n_skipped"):
        assert sum(part.counts[count] for part in parts) == whole.counts[count]


def test_a_random_system_draws_the_same_for_all_that_is_compared(tmp_path: Path) -> None:
    """No attack, no noise worth speaking of: nothing is lost to other draws."""
    attack = attack_params(eps=0.0)
    scored = evaluated(tmp_path, Restless(), attack=attack)
    assert (scored.tracks["drop"] == 0).all()
    assert (scored.tracks["noise_drop"] == 0).all()


def test_the_noise_has_the_norm_of_the_perturbation_and_not_of_the_budget(
    tmp_path: Path,
) -> None:
    """With a wider budget the same perturbations have the same control."""
    narrow, wide = attack_params(eps=0.01), attack_params(eps=0.02)
    data = recordings()
    stored = adversarials(tmp_path, data, narrow, Blind())
    tables = [
        evaluated(tmp_path, Blind(), attack=attack, data=data, stored=stored).tracks
        for attack in (narrow, wide)
    ]
    same(tables[0], tables[1])


def test_segments_on_which_an_aim_was_missed_are_counted(tmp_path: Path) -> None:
    far = attack_params(method="minimal", minimal={"drop": 60.0})
    near = attack_params(method="minimal", minimal={"drop": 1e-3})
    # Of an informed system segments are attacked, and of a blind one excerpts.
    for system, total in ((informed(), 12), (Blind(), 3)):
        counts = [evaluated(tmp_path, system, attack=attack).counts for attack in (far, near)]
        assert counts[0]["n_segments"] == 12
        assert counts[0]["n_not_reached"] == total
        assert counts[1]["n_not_reached"] < total
        assert "n_not_reached" not in evaluated(tmp_path, system).counts


def test_bsseval_is_of_clean_and_attacked_vocals(tmp_path: Path) -> None:
    scored = evaluated(tmp_path, Blind(), bsseval="sdr")
    assert scored.bsseval is not None
    assert scored.bsseval["clean_failures"] == scored.bsseval["attacked_failures"] == 0
    clean, attacked = scored.bsseval["clean"]["sdr"], scored.bsseval["attacked"]["sdr"]
    assert clean != attacked
    assert abs(clean - attacked) < 1


def test_an_output_that_is_not_a_number_names_system_and_track(tmp_path: Path) -> None:
    class Broken(Blind):
        def separate(self, mixture: torch.Tensor, side: Any = None) -> torch.Tensor:
            return mixture * torch.nan

    with pytest.raises(InputError, match="toy-1: an output for song 0 is not a number"):
        evaluated(tmp_path, Broken())


def test_a_split_without_vocals_is_an_error(tmp_path: Path) -> None:
    data = recordings(1)
    silent = [PreparedTrack(t.name, t.file, t.audio * np.float32(0)) for t in data.all]
    data.all[:] = silent
    with pytest.raises(InputError, match="no test segment has audible vocals"):
        evaluated(tmp_path, Blind(), data=data)


def test_adversarials_of_another_length_are_refused(tmp_path: Path) -> None:
    data = recordings(1)
    samples = {"informed": 4 * LENGTH, "blind": 4 * LENGTH + 100}  # of the only track
    for name, whole in samples.items():
        system = SYSTEMS[name]()
        stored = adversarials(tmp_path, data, attack_params(), system)
        assert np.load(stored.files["0.npy"]).shape == (1, whole)
        evaluated(tmp_path, system, data=data, stored=stored)
        for shape in ((1, whole - LENGTH), (2, whole), (4, 1, LENGTH), (whole,)):
            np.save(stored.files["0.npy"], np.zeros(shape, np.float32))
            with pytest.raises(InputError, match="no adversarials for song 0; run generate"):
                evaluated(tmp_path, system, data=data, stored=stored)
