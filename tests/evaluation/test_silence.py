"""Systems that put out silence: it is counted and left out, and a number stays a number."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scored_cases import Mute, adversarials, attack_params, evaluated, mute_systems, recordings
from torch import Tensor

from stemproof.core.errors import InputError
from stemproof.figures.params import StatisticsParams
from stemproof.figures.summary import summarize
from stemproof.separators.protocol import Side

SETTINGS = StatisticsParams(bootstrap=100)
CLEAN = ["bs", "drop", "noise_drop", "noise_worst_drop"]
ATTACKED = ["at_bs", "drop"]
NOISY = ["noise_bs", "noise_drop", "noise_worst_drop"]
COUNTED = ("n_collapsed_clean", "n_collapsed", "n_collapsed_noise")


def counts(scored: Any) -> list[float]:
    return [scored.counts[key] for key in COUNTED]


@pytest.fixture
def systems(tmp_path: Path) -> dict[str, Mute]:
    return mute_systems(tmp_path)


@pytest.fixture
def whole(tmp_path: Path) -> pd.DataFrame:
    """The figures of a system that is never silent."""
    scored = evaluated(tmp_path, Mute(lambda _: False))
    assert counts(scored) == [0, 0, 0]
    assert np.isfinite(scored.tracks.to_numpy()).all()
    return scored.tracks


def unmoved(scored: Any, whole: pd.DataFrame, gone: list[str]) -> None:
    """All other figures are those of a system that is never silent."""
    others = [key for key in whole.columns if key not in gone]
    pd.testing.assert_frame_equal(scored.tracks[others], whole[others], check_exact=True)


def test_silence_always_is_no_robustness(
    tmp_path: Path, systems: dict[str, Mute], whole: pd.DataFrame
) -> None:
    scored = evaluated(tmp_path, systems["always"])
    assert counts(scored) == [12, 12, 12]
    assert scored.counts["n_segments"] == 12
    gone = [*CLEAN, *ATTACKED, *NOISY]
    assert scored.tracks[gone].isna().all(axis=None)
    unmoved(scored, whole, [*gone, "output_gain"])
    assert (scored.tracks["output_gain"] == 0).all()
    summary = summarize({1: scored}, SETTINGS)
    assert not {*gone, "rb", "rb_net", "rb_relative"} & set(summary)
    assert summary["n_collapsed"] == 12


def test_silence_under_attack_only(
    tmp_path: Path, systems: dict[str, Mute], whole: pd.DataFrame
) -> None:
    scored = evaluated(tmp_path, systems["attacked"])
    assert counts(scored) == [0, 12, 0]
    assert scored.tracks[ATTACKED].isna().all(axis=None)
    unmoved(scored, whole, [*ATTACKED, "output_gain"])
    summary = summarize({1: scored}, SETTINGS)
    assert summary["without_value"] == ["at_bs", "rb", "rb_net", "drop"]
    assert summary["bs"] == np.median(whole["bs"])


def test_silence_on_one_track(
    tmp_path: Path, systems: dict[str, Mute], whole: pd.DataFrame
) -> None:
    scored = evaluated(tmp_path, systems["one track"])
    # Song 1 has four loud segments.
    assert counts(scored) == [4, 4, 4]
    gone = [*CLEAN, *ATTACKED, *NOISY]
    assert scored.tracks.loc["song 1", gone].isna().all()
    rest = [name for name in whole.index if name != "song 1"]
    pd.testing.assert_frame_equal(scored.tracks.loc[rest], whole.loc[rest], check_exact=True)
    assert scored.tracks.index.tolist() == whole.index.tolist()
    summary = summarize({1: scored}, SETTINGS)
    assert summary["bs"] == pytest.approx(np.median(whole.loc[rest, "bs"]))
    assert summary["n_tracks"] == 3


def test_silence_on_some_segments_leaves_the_others_of_the_track(
    tmp_path: Path, systems: dict[str, Mute], whole: pd.DataFrame
) -> None:
    scored = evaluated(tmp_path, systems["first segment"])
    assert counts(scored) == [3, 0, 0]
    assert np.isfinite(scored.tracks.to_numpy()).all()
    unmoved(scored, whole, [*CLEAN, "output_gain"])


def test_one_silent_draw_of_noise_is_one(tmp_path: Path, whole: pd.DataFrame) -> None:
    """Whatever is neither the clean nor the attacked mixture is noise; one draw of two."""
    noise = mute_systems(tmp_path)["noise"]
    calls: list[int] = []

    def every_second(heard: Tensor) -> bool:
        found = noise.silent(heard)
        calls.append(0)
        return found and len(calls) % 2 == 0

    scored = evaluated(tmp_path, Mute(noise.silent), noise_draws=1)
    assert counts(scored) == [0, 0, 12]
    assert scored.tracks[NOISY].isna().all(axis=None)
    unmoved(scored, whole, [*NOISY])
    scored = evaluated(tmp_path, Mute(every_second), batch=1)
    assert scored.counts["n_collapsed_noise"] == 12


@pytest.mark.parametrize("name", ["always", "attacked", "one track"])
def test_silence_excuses_no_output_that_is_not_a_number(
    tmp_path: Path, systems: dict[str, Mute], name: str
) -> None:
    class Broken(Mute):
        def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
            out = super().separate(mixture, side).clone()
            out[-1, 0, 3] = torch.nan
            return out

    with pytest.raises(InputError, match="toy-1: an output for song 0 is not a number"):
        evaluated(tmp_path, Broken(systems[name].silent))


def test_what_collapses_has_reached_any_aim(tmp_path: Path, systems: dict[str, Mute]) -> None:
    """And what is silent without an attack has none to reach."""
    attack = attack_params(method="minimal", minimal={"drop": 60.0})
    silent = Mute(lambda _: False)
    stored = adversarials(tmp_path / "same", recordings(), attack_params(), silent)
    missed = {
        name: evaluated(tmp_path, systems[name], attack=attack, stored=stored).counts
        for name in ("attacked", "always")
    }
    assert missed["attacked"]["n_not_reached"] == 0
    assert missed["always"]["n_not_reached"] == 12


@pytest.mark.parametrize("batch", [1, 5, 16])
def test_the_batch_changes_no_count(
    tmp_path: Path, systems: dict[str, Callable[..., Any]], batch: int
) -> None:
    assert counts(evaluated(tmp_path, systems["first segment"], batch=batch)) == [3, 0, 0]
