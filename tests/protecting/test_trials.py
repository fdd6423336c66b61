"""Test songs, protected one after the other: true figures, and kills that change nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from conftest import AllParams
from torch import Tensor, nn

from stemproof.core.errors import InputError
from stemproof.core.resume import Parts, drop
from stemproof.data.prepare import prepare
from stemproof.data.store import PreparedData
from stemproof.figures.params import StatisticsParams
from stemproof.figures.si_sdr import si_sdr
from stemproof.protecting import trials
from stemproof.protecting.aims import Aim
from stemproof.protecting.fine_tuning import weights_of
from stemproof.protecting.section import ProtectSection
from stemproof.protecting.songs import chosen, laid_out
from stemproof.protecting.summary import summarized
from stemproof.protecting.trials import Trial, cast
from stemproof.separators.protocol import Side

CPU = torch.device("cpu")


class Sieve(nn.Module):
    """What one filter leaves of a song where another hears less: easily mixed up."""

    def __init__(self, rate: int, seed: int = 1) -> None:
        super().__init__()
        self.sample_rate, self.channels = rate, 2
        draw = torch.Generator().manual_seed(seed)
        self.taps = nn.Parameter(torch.randn(2, 1, 33, generator=draw) / 4, requires_grad=False)

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        flat = mixture.reshape(-1, 1, mixture.shape[-1])
        first, second = nn.functional.conv1d(flat, self.taps, padding=16).unbind(1)
        mask = torch.sigmoid(40 * (first.square() - second.square()) / (1e-3 + first.square()))
        return (first * mask).reshape(mixture.shape)


class Told(Sieve):
    """One that is told something."""

    twin = None

    def side(self, mixture: Tensor, vocals: Tensor) -> Tensor:
        return vocals


@pytest.fixture
def data(songs: Path, tmp_path: Path, make_params: Callable[..., AllParams]) -> PreparedData:
    params = make_params(data={"root": str(songs)})
    prepare(params.data, params.segments, 1, tmp_path / "prepared")
    return PreparedData(tmp_path / "prepared")


def section(**changes: Any) -> ProtectSection:
    own: dict[str, Any] = {
        "against": ["own"],
        "budget": "snr",
        "size": 25.0,
        "mix": "file",
        "steps": 6,
        "changes": ["gain", "median"],
        "window": 0.8,
        "fade": 0.1,
        "fine_tuning": {"songs": 1, "steps": 3, "excerpt": 0.4},
    }
    return ProtectSection.model_validate(own | changes)


def trial(data: PreparedData, scratch: Path, **changes: Any) -> Trial:
    params, rate = section(**changes), data.sample_rate
    play = cast("own", params.ensemble, {"own": Sieve(rate), "other": Sieve(rate, 2)}, data)
    parts = Parts(scratch, "own", params.model_dump(mode="json"), code="x")
    return Trial(params, data, play.aim, play.allies, play.others, parts, CPU)


def test_figures_are_those_of_the_protected_songs(
    data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is stored of each song is read and scored again, by another way."""
    monkeypatch.setattr(trials.shutil, "rmtree", lambda *arguments, **_: None)
    own = trial(data, tmp_path / "scratch")
    rows = own.rows()
    assert [row["track"] for row in rows] == [track.name for track in data.tracks("test")]
    for row, track in zip(rows, own.tracks, strict=True):
        stored, rate = soundfile.read(own.work / Path(track.file).stem / "protected.wav")
        protected = torch.from_numpy(stored.T.astype(np.float32))[None]
        mixture, vocals = (
            torch.from_numpy(np.array(part))[None] for part in (track.mixture, track.vocals)
        )
        assert rate == data.sample_rate and protected.shape == mixture.shape
        change = (protected - mixture).double()
        snr = 10 * torch.log10(mixture.double().square().sum() / change.square().sum())
        assert row["costs"]["snr"] == pytest.approx(float(snr), abs=1e-3)
        assert row["costs"]["snr"] >= 25
        assert set(row["effects"]) == {"own", "other", "repeating"}
        assert set(row["changes"]) == {"gain", "median"}
        for name, system in (("own", own.aim), ("other", own.others[0])):
            clean, after = (system.vocals(song).flatten(1) for song in (mixture, protected))
            figures = row["effects"][name]
            # Parts are measured one by one, each with what surrounds it.
            assert figures["output"]["protected"] == pytest.approx(
                float(si_sdr(clean, after)), abs=0.1
            )
            for way, found in (("clean", clean), ("protected", after)):
                wanted = float(si_sdr(vocals.flatten(1), found))
                assert figures["true"][way] == pytest.approx(wanted, abs=0.1)
        output = row["effects"]["own"]["output"]
        assert output["protected"] < output["noise"] - 1  # it is aimed
        bystander = row["effects"]["repeating"]["output"]
        assert abs(bystander["protected"] - bystander["noise"]) < 3
        # Another system: what it gives for the clean song is not what the first one gives.
        assert row["fine_tuned"]["true"]["clean"] != row["effects"]["own"]["true"]["clean"]


def test_the_opponent_learns_from_training_songs_alone(
    data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []
    learn = trials.tuned

    def tuned(aim: Aim, lessons: Any, *rest: Any) -> Aim:
        heard.extend(lesson.name for lesson in lessons)
        for lesson in lessons:
            track = next(track for track in data.tracks("train") if track.name == lesson.name)
            change = lesson.protected.read(0, track.samples) - track.mixture
            assert 0 < np.abs(change).max() < 0.2
            assert np.array_equal(lesson.vocals.read(0, track.samples), track.vocals)
        return learn(aim, lessons, *rest)

    monkeypatch.setattr(trials, "tuned", tuned)
    own = trial(data, tmp_path / "scratch", fine_tuning={"songs": 3, "steps": 1}, changes=[])
    own.rows()
    assert len(set(heard)) == 3
    assert set(heard) <= {track.name for track in data.tracks("train")}
    # The system itself is as it was.
    assert torch.equal(weights_of(own.aim.separator)[0], Sieve(data.sample_rate).taps)


@pytest.mark.parametrize("place", ["lesson", "window", "figure"])
def test_a_killed_run_goes_on_to_the_same_rows(
    data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    whole = trial(data, tmp_path / "whole").rows()
    crafted: list[int] = []
    craft, effect, learn = trials.run.craft, trials.effect, trials.tuned
    learned: list[int] = []

    def counted(*arguments: Any) -> Tensor:
        crafted.append(1)
        if place == "window" and len(crafted) == 4:  # two of the lesson, one of the first song
            raise KeyboardInterrupt
        return craft(*arguments)

    def scored(*arguments: Any) -> dict[str, Any]:
        if place == "figure" and len(crafted) == 6:  # of the second song
            raise KeyboardInterrupt
        return effect(*arguments)

    def taught(*arguments: Any) -> Aim:
        learned.append(1)
        if place == "lesson" and len(learned) == 1:
            raise KeyboardInterrupt
        return learn(*arguments)

    monkeypatch.setattr(trials.run, "craft", counted)
    monkeypatch.setattr(trials, "effect", scored)
    monkeypatch.setattr(trials, "tuned", taught)
    killed = trial(data, tmp_path / "killed")
    with pytest.raises(KeyboardInterrupt):
        killed.rows()
    before, place = len(crafted), ""
    again = trial(data, tmp_path / "killed")
    assert again.rows() == whole
    # Nothing that was done is done again: six windows in all, and those that were begun.
    assert len(crafted) == 6 + (before == 4)
    assert len(learned) == 1 + (before == 2)
    again.finished()
    assert not again.work.exists()
    assert trial(data, tmp_path / "killed").rows() == whole and len(crafted) < 8
    again.finished()
    drop(tmp_path / "killed", "own")
    assert not again.parts.folder.exists()


def test_without_a_budget_for_lessons_nobody_learns(data: PreparedData, tmp_path: Path) -> None:
    own = trial(data, tmp_path / "scratch", fine_tuning={"songs": 0}, tracks=1, changes=[])
    (row,) = own.rows()
    assert "fine_tuned" not in row and row["changes"] == {}
    # Which song it is does not depend on how many there are.
    more = trial(data, tmp_path / "more", fine_tuning={"songs": 0}, tracks=2, changes=[])
    assert row in more.rows()


def test_with_true_vocals_another_protection_is_made(data: PreparedData, tmp_path: Path) -> None:
    """And it takes more of them; how it is measured does not depend on that."""
    plain: dict[str, Any] = {"tracks": 1, "changes": [], "fine_tuning": {"songs": 0}, "steps": 12}
    (blind,) = trial(data, tmp_path / "a", **plain).rows()
    (informed,) = trial(data, tmp_path / "b", stems=True, **plain).rows()
    own, other = (row["effects"]["own"]["true"] for row in (informed, blind))
    assert own["clean"] == other["clean"]
    assert own["protected"] < other["protected"] < own["clean"]


def test_songs_are_spread_over_their_split(data: PreparedData) -> None:
    own = [track.name for track in data.tracks("train")]
    assert len(own) == 4
    for count, numbers in ((1, [2]), (2, [1, 3]), (4, [0, 1, 2, 3]), (9, [0, 1, 2, 3])):
        found = [track.name for track in chosen(data, "train", count, False)]
        assert found == [own[number] for number in numbers]


def test_rendered_songs_are_left_out_where_there_are_others(
    data: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracks = data.tracks("train")
    silent = replace(tracks[3], audio=np.zeros_like(tracks[3].audio))
    mixed = [replace(tracks[0], rendered=True), tracks[1], tracks[2], silent]
    monkeypatch.setattr(data, "tracks", lambda split: mixed)
    assert [track.name for track in chosen(data, "train", 9, False)] == [
        track.name for track in tracks[1:3]
    ]
    assert len(chosen(data, "train", 9, True)) == 3
    mixed[1:] = []
    assert len(chosen(data, "train", 9, False)) == 1
    mixed[:] = [silent]
    with pytest.raises(InputError, match="no song with vocals in the train split"):
        chosen(data, "train", 1, False)


def test_a_song_beyond_full_scale_is_refused(data: PreparedData, tmp_path: Path) -> None:
    track = data.tracks("test")[0]
    loud = replace(track, audio=track.audio * np.float32(1.3 / np.abs(track.mixture).max()))
    with pytest.raises(InputError, match=f"{track.name}.* 2.28 dB beyond.*protect.gain to -2.3"):
        laid_out(loud, data, tmp_path, section())
    song = laid_out(loud, data, tmp_path, section(gain=-2.3))
    assert np.allclose(song.vocals.read(0, 50), loud.vocals[:, :50] * 10 ** (-2.3 / 20), atol=1e-6)


def test_who_is_told_of_the_vocals_is_left_out(data: PreparedData) -> None:
    rate = data.sample_rate
    systems = {"own": Sieve(rate), "told": Told(rate)}
    play = cast("own", [], systems, data)
    assert (play.aim.name, [other.name for other in play.others]) == ("own", ["repeating"])
    assert list(play.left_out) == ["told"]
    assert "whoever has those needs no separator" in play.left_out["told"]
    with pytest.raises(InputError, match="protect.against: told: it is told.*name a blind system"):
        cast("told", [], systems, data)
    with pytest.raises(InputError, match="protect.ensemble: told: it is told.*name a blind system"):
        cast("own", ["told"], systems, data)
    with pytest.raises(InputError, match=r"protect.ensemble: x is none of systems \(own, told\)"):
        cast("own", ["x"], systems, data)


def test_an_ensemble_is_aimed_at_together(data: PreparedData, tmp_path: Path) -> None:
    """Each of its members is hurt more than by a protection that was made for the other alone."""
    changes: dict[str, Any] = {"changes": [], "fine_tuning": {"songs": 0}}
    alone = trial(data, tmp_path / "alone", **changes)
    both = trial(data, tmp_path / "both", ensemble=["own", "other"], **changes)
    assert [one.name for one in both.aims] == ["own", "other"]
    assert [one.name for one in both.others] == ["repeating"]
    rows, together = alone.rows(), both.rows()
    for row, beside in zip(rows, together, strict=True):
        assert list(row["effects"]) == list(beside["effects"]) == ["own", "other", "repeating"]
        reached = [of["effects"]["other"]["output"]["protected"] for of in (row, beside)]
        assert reached[1] < reached[0] - 0.1, row["track"]
    found = summarized(together, ["own", "other"], StatisticsParams(bootstrap=200)).systems
    assert {name: of.aimed for name, of in found.items()} == {
        "own": True,
        "other": True,
        "repeating": False,
    }


def test_a_system_without_a_slope_is_refused(
    data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crooked(self: Sieve, mixture: Tensor, side: Side = None) -> Tensor:
        """Its gradient is that of something else."""
        return mixture + (self.taps.sum() * mixture.flip(-1) ** 3 - mixture).detach()

    monkeypatch.setattr(Sieve, "separate", crooked)
    with pytest.raises(InputError, match="protect: own cannot be aimed at: "):
        trial(data, tmp_path / "scratch").rows()


def test_settings_that_mean_nothing_are_refused() -> None:
    assert not ProtectSection().against
    for changes, said in (
        ({"changes": ["mp4"]}, "mp4 is none of 16-bit, "),
        ({"changes": ["gain", "gain"]}, "twice"),
        ({"against": ["a", "a"]}, "twice"),
        ({"against": ["../a"]}, "pattern"),
    ):
        with pytest.raises(ValueError, match=said):
            section(**changes)
