"""One song in two codings is found, and two songs are never one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
from conftest import AllParams

from stemproof.core.errors import InputError
from stemproof.core.files import FloatArray
from stemproof.data.audio import read_audio
from stemproof.data.prepare import prepare
from stemproof.data.songs import find_songs, prepare_songs
from stemproof.data.twice import ALIKE, Heard, _correlation, _spectrum, low_end, same_recordings

RATE = 22050
NAMES = ("drums", "bass", "other", "vocals")


def song(seed: int, seconds: float = 5.3) -> FloatArray:
    """Stems (4 x 2 x samples) of notes and beats that are drawn."""
    draw = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    step = (time / draw.uniform(0.2, 0.3)).astype(int)
    decay = np.exp(-8 * (time % 0.25))

    def line(low: float, high: float) -> FloatArray:
        pitch = draw.uniform(low, high, step.max() + 1)[step]
        return np.asarray(np.sin(2 * np.pi * np.cumsum(pitch) / RATE))

    drums = draw.standard_normal(len(time)) * decay
    stems = [0.2 * drums, 0.3 * line(50, 110) * decay, 0.2 * line(150, 500), 0.2 * line(200, 900)]
    return np.stack([np.stack([stem, 0.8 * stem]) for stem in stems]).astype(np.float32)


def coded(audio: FloatArray, file: Path, codec: str, rate: int) -> FloatArray:
    """What is left of it behind a codec, as another program would cut it."""
    with av.open(str(file), "w") as out:
        stream: Any = out.add_stream(codec, rate=RATE, layout="stereo")
        stream.bit_rate = rate
        for start in range(0, audio.shape[1], 1024):
            part = np.ascontiguousarray(audio[:, start : start + 1024], dtype=np.float32)
            frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts = RATE, start
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    with av.open(str(file)) as back:
        return np.concatenate([f.to_ndarray() for f in back.decode(audio=0)], axis=1)


def write(folder: Path, stems: FloatArray) -> Path:
    folder.mkdir(parents=True)
    for name, stem in zip(("mixture", *NAMES), (stems.sum(0), *stems), strict=True):
        soundfile.write(folder / f"{name}.wav", stem.T, RATE, subtype="PCM_16")
    return folder


def likeness(first: FloatArray, second: FloatArray) -> float:
    return _correlation(*(_spectrum(low_end(audio, RATE)) for audio in (first, second)))


@pytest.mark.parametrize(
    ("codec", "rate", "moved"), [("aac", 64_000, 1105), ("aac", 160_000, 0), ("mp3", 96_000, 529)]
)
def test_a_codec_leaves_the_low_end(tmp_path: Path, codec: str, rate: int, moved: int) -> None:
    mixture = song(1).sum(0)
    again = 0.7 * coded(mixture, tmp_path / f"a.{codec}", codec, rate)
    again = np.pad(again, ((0, 0), (moved, 0)))  # as by who does not know of the codec's delay
    assert abs(again.shape[1] - mixture.shape[1]) < 0.2 * RATE
    assert likeness(mixture, again) > 0.95
    one, other = (
        Heard(Path(name), audio.shape[1], low_end(audio, RATE), name)
        for name, audio in (("a.wav", mixture), ("b.mp4", again))
    )
    (said,) = same_recordings([one, other], RATE)
    assert said.startswith("a.wav and b.mp4 are one recording in two codings (their low ends corr")
    # Of another length it is another recording: a radio edit, an excerpt.
    other = Heard(other.path, other.samples + RATE, other.low, other.audio)
    assert not list(same_recordings([one, other], RATE))


def test_a_song_that_differs_where_nobody_compares_is_the_same() -> None:
    """Of a longer one the middle is compared: what is equal there is no other song."""
    mixture = np.concatenate([song(seed).sum(0) for seed in (1, 2, 3)], axis=1)
    assert mixture.shape[1] > 12 * RATE
    again = mixture.copy()
    again[0, 0] += np.float32(0.01)
    one, other = (
        Heard(Path(name), audio.shape[1], low_end(audio, RATE), name)
        for name, audio in (("a.wav", mixture), ("b.wav", again))
    )
    assert one.low == other.low
    (said,) = same_recordings([one, other], RATE)
    assert said.startswith("a.wav and b.wav are one recording in two codings")
    # Those that are equal altogether have been told apart.
    assert not list(same_recordings([one, replace(other, audio=one.audio)], RATE))


def test_different_songs_are_far_from_it() -> None:
    songs = [song(seed).sum(0) for seed in range(8)]
    heard = [Heard(Path(str(n)), s.shape[1], low_end(s, RATE), str(n)) for n, s in enumerate(songs)]
    assert not list(same_recordings(heard, RATE))
    spectra = [_spectrum(one.low) for one in heard]
    assert max(_correlation(a, b) for n, a in enumerate(spectra) for b in spectra[:n]) < 0.5
    # Nor is a song the one with which it shares half of its stems.
    stems = song(0)
    stems[1:3] = song(1)[1:3]
    assert likeness(songs[0], stems.sum(0)) < ALIKE


def test_what_cannot_be_told_apart_is_not(songs: Path) -> None:
    time = np.arange(6 * RATE) / RATE
    tone = np.sin(2 * np.pi * 110 * time)
    drone = tone * (1 + 0.1 * np.sin(2 * np.pi * 0.3 * time))
    rich = song(3).sum(0)
    for audio in (tone, drone, 0 * tone, 0 * tone + 0.5, 1e-5 * rich[0], rich[0, : 4 * RATE]):
        assert low_end(np.stack([audio, audio]).astype(np.float32), RATE) == ""
    assert low_end(rich, RATE) != ""


@pytest.mark.slow
def test_a_song_as_wav_and_as_aac_is_refused(
    tmp_path: Path, make_params: Callable[..., AllParams]
) -> None:
    root = tmp_path / "songs"
    for place, seed in (("train/a", 1), ("train/b", 2), ("train/held", 3), ("test/c", 4)):
        write(root / place, song(seed))
    (root / "mus.yaml").write_text(setup_with("held"))
    params = make_params(data={"root": str(root), "sample_rate": RATE}, segments={"seconds": 0.5})
    before = prepare(params.data, params.segments, 1, tmp_path / "out")
    again = song(1)
    for number in range(4):
        back = coded(again[number], tmp_path / "x.m4a", "aac", 128_000)
        again[number] = back[:, : again.shape[2]]
    copy = write(root / "test" / "under another name", again)
    for _ in range(2):  # also of what a run before has left
        with pytest.raises(InputError, match="are one recording in two codings") as error:
            prepare(params.data, params.segments, 1, tmp_path / "out")
        assert str(root / "train/a/mixture.wav") in str(error.value)
        assert str(copy / "mixture.wav") in str(error.value)
    shutil.rmtree(copy)
    assert prepare(params.data, params.segments, 1, tmp_path / "out") == before
    # And in a folder that is audited.
    one = write(tmp_path / "folder/one", song(1))
    prepare_songs(find_songs(tmp_path / "folder"), tmp_path / "alone", params.segments)
    other = write(tmp_path / "folder/other", again)
    with pytest.raises(InputError, match="are one recording in two codings") as error:
        prepare_songs(find_songs(tmp_path / "folder"), tmp_path / "both", params.segments)
    assert f"{one}/mixture.wav and {other}/mixture.wav" in str(error.value)


def setup_with(held: str) -> str:
    import yaml

    from stemproof.data.codec import import_musdb

    musdb = import_musdb("pyav")
    setup = yaml.safe_load((Path(musdb.__path__[0]) / "configs" / "mus.yaml").read_text())
    return yaml.safe_dump({**setup, "validation_tracks": [held]})


@pytest.mark.slow
def test_no_two_previews_are_one(previews: Path) -> None:
    files = sorted(previews.glob("*/*.stem.mp4"))
    assert len(files) == 144
    heard = []
    for file in files:
        audio = read_audio(file, 0)
        low = low_end(audio.samples, audio.sample_rate)
        assert low, file  # all of them are told apart
        heard.append(Heard(file, audio.samples.shape[1], low, file.name))
    spectra = [_spectrum(one.low) for one in heard]
    found = [_correlation(a, b) for n, a in enumerate(spectra) for b in spectra[:n]]
    assert len(found) == 10296
    print(f"largest of different songs: {max(found):.4f}")
    assert max(found) < 0.25
    assert not list(same_recordings(heard, audio.sample_rate))
