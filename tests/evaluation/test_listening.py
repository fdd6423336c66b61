"""What there is to hear: chosen by the rule that is stated, and what the figures are of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import soundfile
import torch
from blind_cases import RATE, Crosstalk, stereo_data
from conftest import AllParams
from scored_cases import Blind, Told

from stemproof.attacks.store import Victim, generate
from stemproof.attacks.stored import open_adversarials
from stemproof.core import room
from stemproof.core.errors import InputError
from stemproof.data.store import PreparedData
from stemproof.evaluation.clips import amplification, level, read_clip, write_clip
from stemproof.evaluation.evaluate import Evaluator
from stemproof.evaluation.listening import Listener, Segments, choose, file_names, listen
from stemproof.separators.protocol import Separator

CPU = torch.device("cpu")


class Known:
    """In place of a listener: paired drops that are known."""

    def __init__(self, **tracks: list[float]) -> None:
        self.segments = tracks
        self.drops = {name: float(np.nanmedian(of)) for name, of in tracks.items()}

    def heard(self, name: str) -> Segments:
        drops = np.array(self.segments[name], dtype=np.float32)
        loud = [drop != 99 for drop in drops]
        return Segments(list(range(len(drops))), loud, {}, {"drop": drops})


def chosen(**tracks: list[float]) -> dict[tuple[str, ...], tuple[str, int]]:
    found = choose(cast(Listener, Known(**tracks)))
    return {choice.rules: (choice.track, choice.number) for choice in found}


def test_the_rule_looks_at_tracks_and_then_at_segments() -> None:
    # 99 is of a segment that does not count, and not a number of one that collapsed.
    found = chosen(
        a=[5.0, 7.0, 6.0], b=[1.0, 0.5, 3.0, np.nan], c=[2.0, 2.5, 1.5], d=[9.0, 3.0, 99.0, 8.0]
    )
    assert found == {("median",): ("c", 0), ("worst",): ("d", 0), ("best",): ("b", 1)}


def test_one_segment_is_heard_once_and_none_not_at_all() -> None:
    assert chosen(a=[1.0]) == {("median", "worst", "best"): ("a", 0)}
    assert chosen(a=[1.0, 2.0]) == {("median", "best"): ("a", 0), ("worst",): ("a", 1)}
    assert chosen() == {}
    # Equal tracks stand in the order of their names.
    assert set(chosen(z=[1.0], a=[1.0], m=[1.0]).values()) == {("m", 0), ("z", 0), ("a", 0)}


def listener(
    folder: Path, params: AllParams, data: PreparedData, name: str, separator: Separator
) -> tuple[Listener, Any]:
    """A system that was attacked, and its table per track."""
    model = folder / name / "model.safetensors"
    model.parent.mkdir(parents=True)
    model.write_bytes(b"x")
    victim = Victim(name, separator, model)
    made = folder / name / "adversarial"
    generate(params.attack, params.segments, victim, data, CPU, made, folder / name / "scratch")
    stored = open_adversarials(made, params.attack, params.segments, data)
    sections = params.evaluate, params.attack, params.segments, params.workers, params.processes
    evaluator = Evaluator(name, separator, None, *sections, CPU)
    table = evaluator.evaluate(data, stored).tracks
    drops = table["drop"].dropna().to_dict()
    return Listener(name, evaluator, data, stored, drops), table


@pytest.fixture
def params(make_params: Callable[..., AllParams]) -> AllParams:
    return make_params(attack={"excerpt": 0.5, "eps": 0.02}, segments={"loud_db": 0.0})


def test_what_is_heard_is_what_the_figures_are_of(tmp_path: Path, params: AllParams) -> None:
    """Of a stereo system in excerpts: medians over its segments are those of the tables."""
    data = stereo_data(tmp_path / "data")
    one, table = listener(tmp_path, params, data, "crosstalk", Crosstalk())
    for name in table.index:
        heard = one.heard(name)
        for key in ("bs", "at_bs", "drop", "perturbation_snr"):
            values = heard.figures[key][np.array(heard.loud)]
            assert np.median(values) == pytest.approx(table.loc[name, key], abs=1e-4)
        # What is played is the recording, at the place that is said.
        track = one.tracks[name]
        for number, start in enumerate(heard.starts):
            stop = start + heard.signals["mixture"].shape[-1]
            assert np.array_equal(heard.signals["mixture"][number], track.mixture[:, start:stop])
            assert np.array_equal(heard.signals["vocals"][number], track.vocals[:, start:stop])
        added = heard.signals["attacked"] - heard.signals["mixture"]
        assert np.array_equal(added, heard.signals["perturbation"])
        assert 0 < np.abs(added).max() <= params.attack.eps * 1.0001


def test_what_is_held_is_said_and_refused(
    tmp_path: Path,
    params: AllParams,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = stereo_data(tmp_path / "data")
    systems: dict[str, Separator] = {"told": Told(), "blind": Crosstalk(), "other": Crosstalk()}
    listeners = [listener(tmp_path, params, data, *item)[0] for item in systems.items()]
    for one in listeners:
        sizes = [sum(s.nbytes for s in one.heard(name).signals.values()) for name in one.drops]
        assert one.held() == max(sizes)
    (tmp_path / "out").mkdir()
    held = listeners[1].held() + listeners[2].held()  # both at once, and more than the first
    monkeypatch.setattr(room, "memory", lambda: held)
    capsys.readouterr()
    listen(listeners, tmp_path / "out")
    first, *lines = capsys.readouterr().err.splitlines()
    assert first == f"listen: at least {room.in_words(held)} of memory"
    assert lines[-1].startswith("listen: 9 of 9 (recording), ")
    monkeypatch.setattr(room, "memory", lambda: held - 1)
    monkeypatch.setattr(Listener, "heard", None)
    with pytest.raises(InputError, match="listen holds .* of signals at once, .*; name fewer"):
        listen(listeners, tmp_path / "out")


def test_clips_of_both_kinds_of_systems(tmp_path: Path, params: AllParams) -> None:
    data = stereo_data(tmp_path / "data")
    systems: dict[str, Separator] = {"told": Told(), "blind": Crosstalk(), "other": Crosstalk()}
    listeners = [listener(tmp_path, params, data, *item)[0] for item in systems.items()]
    wrong = [one for one in listeners if one.system == "other"]
    for folder in (tmp_path / "first", tmp_path / "second"):
        folder.mkdir()
        parts = listen(listeners, folder)
    names = sorted(file.name for file in folder.iterdir())
    assert set(names) <= set(file_names(list(systems))) and wrong
    for name in names:
        assert (tmp_path / "first" / name).read_bytes() == (folder / name).read_bytes()
    assert [part["threat"] for part in parts] == ["informed"] * 3 + ["blind"] * 3
    assert {part["chosen_by"] for part in parts} == {"told", "blind"}
    for part in parts:
        heard = {system["system"]: system for system in part["systems"]}
        assert list(heard) == (["told"] if part["threat"] == "informed" else ["blind", "other"])
        mixture, rate = soundfile.read(folder / part["shared"]["mixture"], always_2d=True)
        track = listeners[0].tracks[part["track"]]
        start, length = round(part["start"] * rate), round(part["seconds"] * rate)
        assert (rate, len(mixture)) == (RATE, length)
        true = track.mixture[:, start : start + length]
        true = true.mean(0, keepdims=True) if part["threat"] == "informed" else true
        gain = 10 ** (-part["turned_down_db"] / 20)
        assert np.allclose(mixture.T, true * gain, atol=1e-4)
        for system in heard.values():
            attacked, _ = soundfile.read(folder / system["files"]["attacked"], always_2d=True)
            alone, _ = soundfile.read(folder / system["files"]["perturbation"], always_2d=True)
            amplified = 10 ** (system["amplified_db"] / 20)
            assert np.allclose((attacked - mixture) * amplified, alone, atol=4e-5 * (1 + amplified))
            assert np.abs(alone).max() <= 0.991
            # As loud as the mixture, to a decibel, or as loud as it gets.
            apart = 10 * np.log10((mixture**2).sum() / (alone**2).sum())
            assert 0 <= apart < 1.1 or np.abs(alone).max() > 0.87


@pytest.mark.slow
def test_a_system_that_cannot_choose_is_heard_all_the_same(
    tmp_path: Path, params: AllParams
) -> None:
    class Mute(Blind):
        channels = 2

        def separate(self, mixture: torch.Tensor, side: Any = None) -> torch.Tensor:
            return 0 * super().separate(mixture)

    data = stereo_data(tmp_path / "data")
    mute, sound = (
        listener(tmp_path, params, data, name, of)[0]
        for name, of in (("mute", Mute()), ("sound", Crosstalk()))
    )
    folder = tmp_path / "clips"
    folder.mkdir()
    assert listen([mute], folder) == []
    parts = listen([mute, sound], folder)
    assert {part["chosen_by"] for part in parts} == {"sound"}
    figures = [system["figures"] for part in parts for system in part["systems"]]
    assert ["drop" in found for found in figures] == [False, True] * len(parts)


def test_loud_clips_are_turned_down_together() -> None:
    quiet, loud = np.full((1, 4), 0.5, np.float32), np.full((1, 4), -1.7, np.float32)
    assert level([quiet]) == 0
    turned = level([quiet, loud])
    assert 0.97 < 1.7 * 10 ** (turned / 20) <= 0.99
    assert amplification(0 * quiet, quiet, 0) == 0
    assert (
        amplification(quiet / 10, quiet, 0) == 20 - 1 or amplification(quiet / 10, quiet, 0) == 20
    )
    spike = np.array([[0.5, 0, 0, 0]], np.float32)
    assert amplification(spike, quiet, 0) == 5  # 6 dB would be as loud, and clipped


def test_a_damaged_clip_is_named(tmp_path: Path) -> None:
    clip = tmp_path / "a.wav"
    write_clip(clip, np.zeros((2, 100), np.float32), 8000)
    audio, rate = read_clip(clip)
    assert audio.shape == (2, 100) and rate == 8000
    whole = clip.read_bytes()
    for damaged in (b"", whole[:20], b"\0" * len(whole)):
        clip.write_bytes(damaged)
        with pytest.raises(InputError, match=r"a.wav: damaged .*; run listen again"):
            read_clip(clip)
    with pytest.raises(InputError, match="no such file"):
        read_clip(tmp_path / "b.wav")
