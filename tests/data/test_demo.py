"""Demo songs: like music, the same every time, and in the layout of MUSDB18-HQ."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import AllParams

from stemproof.data.demo.songs import MIXTURE_SI_SDR, render_demo, render_song
from stemproof.data.params import DemoParams
from stemproof.data.prepare import prepare
from stemproof.data.store import PreparedData

MakeParams = Callable[..., AllParams]


@pytest.fixture(scope="module")
def song() -> dict[str, np.ndarray]:
    return render_song(np.random.SeedSequence(3), 4.0, 44_100)


def test_demo_songs_are_like_music(song: dict[str, np.ndarray]) -> None:
    mixture = np.sum(list(song.values()), axis=0)
    assert np.abs(mixture).max() <= 0.9 + 1e-9
    vocals, mono = song["vocals"].mean(axis=1), mixture.mean(axis=1)
    target = vocals * (vocals @ mono) / (vocals @ vocals)
    ratio = 10 * np.log10(np.sum(target**2) / np.sum((mono - target) ** 2))
    assert MIXTURE_SI_SDR[0] - 0.1 < ratio < MIXTURE_SI_SDR[1] + 0.1
    for name, stem in song.items():
        spectrum = np.abs(np.fft.rfft(stem[:, 0])) ** 2
        high = spectrum[np.fft.rfftfreq(len(stem), 1 / 44_100) > 12_000].sum() / spectrum.sum()
        assert name == "bass" or high > 1e-6, name


def test_demo_songs_differ_and_repeat() -> None:
    first, second, third = (
        render_song(np.random.SeedSequence(seed), 2.0, 44_100) for seed in (1, 1, 2)
    )
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert not any(np.allclose(first[name], third[name]) for name in first)


@pytest.mark.slow
def test_demo_folder_is_a_musdb_library(tmp_path: Path, make_params: MakeParams) -> None:
    demo = DemoParams(seed=1, train_songs=2, valid_songs=1, test_songs=1, seconds=2)
    render_demo(demo, 1, tmp_path / "demo")
    mixture, _ = soundfile.read(tmp_path / "demo/train/Demo - Train Song 01/mixture.wav")
    stems = [
        soundfile.read(tmp_path / f"demo/train/Demo - Train Song 01/{name}.wav", dtype="int16")[0]
        for name in ("drums", "bass", "other", "vocals")
    ]
    assert np.array_equal(np.sum(stems, axis=0, dtype=np.int32), np.round(mixture * 32768))
    params = make_params(
        data={"root": str(tmp_path / "demo"), "source": "demo", "sample_rate": 44_100},
        segments={"seconds": 1.0},
    )
    summary = prepare(params.data, params.segments, 1, tmp_path / "out")
    assert [summary[split]["tracks"] for split in ("train", "valid", "test")] == [2, 1, 2]
    names = [track.name for track in PreparedData(tmp_path / "out").tracks("test")]
    assert names == ["Demo - Test Song 01", "The Easton Ellises - Falcon 69"]
