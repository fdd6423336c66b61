"""From recordings to segments; and every kind of bad input, named in one sentence."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from conftest import RATE, AllParams, write_track

from stemproof.core import stempeg
from stemproof.core.errors import InputError
from stemproof.data.prepare import prepare
from stemproof.data.store import PreparedData

MakeParams = Callable[..., AllParams]


def run_prepare(params: AllParams, destination: Path) -> dict[str, Any]:
    return prepare(params.data, params.segments, params.workers.count, destination)


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_prepared_data_is_what_was_recorded(
    songs: Path, tmp_path: Path, make_params: MakeParams
) -> None:
    params = make_params(data={"root": str(songs)})
    summary = run_prepare(params, tmp_path / "out")
    assert [summary[split]["tracks"] for split in ("train", "valid", "test")] == [4, 1, 2]
    assert summary["test"]["segments"] == 2 * 4
    assert summary["train"]["segments"] == 4 * 7  # 1.1 s, segments of 0.25 s, half overlapping
    assert summary["train"]["tracks_with_exact_stems_sum"] == 4
    data = PreparedData(tmp_path / "out")
    track = data.tracks("test")[0]
    assert track.name == "test 0"
    vocals, _ = soundfile.read(songs / "test" / "test 0" / "vocals.wav", always_2d=True)
    assert track.audio.shape == (2, 2, len(vocals)) and data.channels == 2
    assert np.array_equal(track.vocals, vocals.T.astype(np.float32))
    assert np.array_equal(track.mono(1, 0, len(vocals)), vocals.mean(axis=1).astype(np.float32))
    segments = data.training_segments(params.segments)
    drawn = segments.vocals([0, 5]) + segments.accompaniment([0, 5])
    mixtures = [segments._cut(number, 0) for number in (0, 5)]
    assert np.allclose(drawn.numpy(), np.stack(mixtures), atol=1e-7)


def test_prepare_is_byte_identical(songs: Path, tmp_path: Path, make_params: MakeParams) -> None:
    params = make_params(data={"root": str(songs)}, workers={"count": 2})
    first, second = run_prepare(params, tmp_path / "a"), run_prepare(params, tmp_path / "b")
    assert first == second
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def break_nothing_there(root: Path) -> None:
    shutil.rmtree(root)


def break_empty(root: Path) -> None:
    shutil.rmtree(root / "train")


def break_layout(root: Path) -> None:
    shutil.rmtree(root / "train")
    (root / "train").mkdir()
    (root / "train" / "song.stem.mp4").touch()


def break_missing_stem(root: Path) -> None:
    (root / "train" / "train 1" / "bass.wav").unlink()


def break_truncated(root: Path) -> None:
    path = root / "train" / "train 1" / "bass.wav"
    path.write_bytes(path.read_bytes()[:20])


def break_cut_by_half(root: Path) -> None:
    for name in ("mixture", "drums", "bass", "other", "vocals"):
        path = root / "train" / "train 1" / f"{name}.wav"
        path.write_bytes(path.read_bytes()[: 44 + 8800])


def break_setup(root: Path) -> None:
    (root / "mus.yaml").write_text("a: [")


def break_kind(root: Path) -> None:
    with (root / "mus.yaml").open("a") as stream:
        stream.write("rendered: true\n")


def break_text(root: Path) -> None:
    (root / "test" / "test 0" / "vocals.wav").write_text("not audio at all" * 50)


def break_rate(root: Path) -> None:
    shutil.rmtree(root / "train" / "train 2")
    write_track(root / "train" / "train 2", 1, rate=RATE * 2)


def break_mono(root: Path) -> None:
    path = root / "train" / "train 0" / "other.wav"
    audio, rate = soundfile.read(path)
    soundfile.write(path, audio[:, 0], rate, subtype="PCM_16")


def break_lengths(root: Path) -> None:
    path = root / "train" / "train 0" / "other.wav"
    audio, rate = soundfile.read(path)
    soundfile.write(path, audio[:-50], rate, subtype="PCM_16")


def break_nan(root: Path) -> None:
    path = root / "train" / "train 3" / "drums.wav"
    audio, rate = soundfile.read(path)
    audio[7] = np.nan
    soundfile.write(path, audio, rate, subtype="FLOAT")


def silence_vocals(track: Path) -> None:
    """Of a track whose stems add up before and after."""
    mixture, rate = soundfile.read(track / "mixture.wav", dtype="int16")
    vocals, _ = soundfile.read(track / "vocals.wav", dtype="int16")
    soundfile.write(track / "mixture.wav", mixture - vocals, rate, subtype="PCM_16")
    soundfile.write(track / "vocals.wav", 0 * vocals, rate, subtype="PCM_16")


def break_silent(root: Path) -> None:
    for track in (root / "test").iterdir():
        silence_vocals(track)


def break_short(root: Path) -> None:
    shutil.rmtree(root / "test" / "test 1")
    write_track(root / "test" / "test 1", 1, seconds=0.1)


def break_validation(root: Path) -> None:
    (root / "mus.yaml").unlink()


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are text")
def test_a_name_that_is_no_text_is_named(
    songs: Path, tmp_path: Path, make_params: MakeParams
) -> None:
    """No file of JSON holds it, and the first stage to read one would not know whose it is."""
    name = os.fsdecode(b"song \xff\xfe")
    (songs / "train" / "train 0").rename(songs / "train" / name)
    params = make_params(data={"root": str(songs)})
    said = r"finds 'song \\udcff\\udcfe' in the train split, a name that is not UTF-8; rename it"
    with pytest.raises(InputError, match=said):
        prepare(params.data, params.segments, 1, tmp_path / "out")


@pytest.mark.parametrize(
    ("breaking", "said"),
    [
        (break_nothing_there, r"data.root = .*songs: no such folder"),
        (break_empty, r"has no folder train/"),
        (break_layout, r"train: data.source = musdb18hq needs a folder.*set data.source = musdb18"),
        (break_missing_stem, r"train 1/bass.wav: missing"),
        (break_truncated, r"train 1/bass.wav: not readable as audio, or truncated"),
        (break_cut_by_half, r"train 1/mixture.wav: truncated; 2200 of 4400 samples could be read"),
        (break_setup, r"mus.yaml: not valid YAML"),
        (break_kind, r"holds rendered demo songs, but data.source = musdb18hq"),
        (break_text, r"test 0/vocals.wav: not readable as audio"),
        (break_rate, r"train 2/mixture.wav: sample rate 8000 Hz.*data.sample_rate = 4000"),
        (break_mono, r"train 0/other.wav: stereo was expected, it has 1 channel"),
        (break_lengths, r"train 0/other.wav: 4350 samples, but the mixture has 4400"),
        (break_nan, r"train 3/drums.wav: holds samples that are not numbers"),
        (break_silent, r"the vocals of every test segment are silent"),
        (break_short, r"test 1/mixture.wav: 400 samples, shorter than one segment"),
        (break_validation, r"no track for the valid split; validation tracks are those"),
    ],
)
def test_bad_recordings_are_named(
    songs: Path,
    tmp_path: Path,
    make_params: MakeParams,
    breaking: Callable[[Path], None],
    said: str,
) -> None:
    breaking(songs)
    with pytest.raises(InputError, match=said) as error:
        run_prepare(make_params(data={"root": str(songs)}), tmp_path / "out")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("silent", "the mixture is silent from beginning to end"),
        ("silent as mono", "the channels of the mixture cancel each other, their mean is silent"),
    ],
)
def test_silent_mixtures_are_refused_all_at_once(
    songs: Path, tmp_path: Path, make_params: MakeParams, how: str, said: str
) -> None:
    """With silent stems they would pass for stems that add up exactly."""
    silenced = [songs / "test" / f"test {number}" for number in (0, 1)]
    silenced.append(songs / "train" / "train 2")
    for track in silenced:
        for path in track.iterdir():
            audio, rate = soundfile.read(path, dtype="int16")
            audio[:, 1] = -audio[:, 0] if how == "silent as mono" else 0
            audio[:, 0] *= how == "silent as mono"
            soundfile.write(path, audio, rate, subtype="PCM_16")
    with pytest.raises(InputError, match=said) as error:
        run_prepare(make_params(data={"root": str(songs)}), tmp_path / "out")
    assert all(str(track / "mixture.wav") in str(error.value) for track in silenced)
    assert str(error.value).count("mixture.wav") == 3
    assert not (tmp_path / "out").exists()


def test_one_silent_track_is_reported_not_refused(
    songs: Path, tmp_path: Path, make_params: MakeParams
) -> None:
    silence_vocals(songs / "test" / "test 1")
    summary = run_prepare(make_params(data={"root": str(songs)}), tmp_path / "out")
    assert summary["test"]["tracks_with_silent_vocals"] == "test 1"
    assert summary["test"]["silent_segments"] == 4


def test_wav_folders_where_stems_were_announced(
    songs: Path, tmp_path: Path, make_params: MakeParams
) -> None:
    params = make_params(data={"root": str(songs), "source": "musdb18"})
    with pytest.raises(InputError, match="set data.source = musdb18hq"):
        run_prepare(params, tmp_path / "out")


def test_ffmpeg_missing(
    songs: Path, tmp_path: Path, make_params: MakeParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stempeg.shutil, "which", lambda name: None)
    params = make_params(data={"root": str(songs), "decoder": "ffmpeg"})
    with pytest.raises(InputError, match="ffmpeg and ffprobe are not on the PATH.*pyav"):
        run_prepare(params, tmp_path / "out")


def test_what_is_announced_is_what_is_taken(
    songs: Path, tmp_path: Path, make_params: MakeParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[int] = []
    monkeypatch.setattr("stemproof.data.prepare.announce", lambda *words: said.append(words[2]))
    run_prepare(make_params(data={"root": str(songs)}), tmp_path / "out")
    assert said == [sum(np.load(file).nbytes for file in (tmp_path / "out").glob("*.npy"))]


def test_disk_full(
    songs: Path, tmp_path: Path, make_params: MakeParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(InputError, match=r"\.npy: cannot be written \(No space left on device\)"):
        run_prepare(make_params(data={"root": str(songs)}), tmp_path / "out")
    assert not list((tmp_path / "out").glob("*"))  # no half-written file is left
