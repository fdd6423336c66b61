"""Which entries of a folder are songs: each of them once, in one split, and nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import yaml
from conftest import RATE as WAV_RATE
from conftest import SMALL, AllParams, default_tree, merged, rewrite_manifest, write_track
from stem_files import RATE, stems_of, write_library, write_stems

from stemproof.core.errors import InputError
from stemproof.core.params import load_params
from stemproof.data.codec import import_musdb
from stemproof.data.prepare import prepare
from stemproof.data.problems import Problems
from stemproof.data.recordings.musdb18 import SOURCE as MUSDB18
from stemproof.data.recordings.musdb18hq import SOURCE as MUSDB18HQ
from stemproof.data.songs import find_songs, prepare_songs
from stemproof.data.store import PreparedData

MakeParams = Callable[..., AllParams]


def found(root: Path) -> list[tuple[str, str]]:
    return [(song.split, song.name) for song in MUSDB18HQ.find(root, "pyav", WAV_RATE, 1000)]


@pytest.fixture
def run(songs: Path, tmp_path: Path, make_params: MakeParams) -> Callable[[], dict[str, Any]]:
    """Prepare the songs, whatever became of them."""

    def once() -> dict[str, Any]:
        params = make_params(data={"root": str(songs)})
        return prepare(params.data, params.segments, 1, tmp_path / "out")

    return once


@pytest.fixture
def library(songs: Path, tmp_path: Path) -> Path:
    """The same layout as .stem.mp4."""
    root = write_library(tmp_path / "stems")
    setup = yaml.safe_load((songs / "mus.yaml").read_text())
    setup["validation_tracks"] = ["held out"]
    (root / "mus.yaml").write_text(yaml.safe_dump(setup))
    return root


@pytest.mark.parametrize("as_wav", [True, False])
def test_songs_are_those_of_musdb(songs: Path, library: Path, as_wav: bool) -> None:
    """In its order, and sample for sample."""
    musdb = import_musdb("pyav")
    root, source = (songs, MUSDB18HQ) if as_wav else (library, MUSDB18)
    if not as_wav:  # sorted by the names of files: a space comes before a point, and a point last
        write_stems(root / "train/a b.stem.mp4", stems_of(9))
    ours = source.find(root, "pyav", WAV_RATE if as_wav else RATE, 1000)
    theirs = [
        (split, track)
        for split, subset in (("train", "train"), ("valid", "train"), ("test", "test"))
        for track in musdb.DB(
            root=str(root),
            setup_file="mus.yaml",
            is_wav=as_wav,
            subsets=[subset],
            split=None if split == "test" else split,
        ).tracks
    ]
    assert [(song.split, song.name) for song in ours] == [(s, track.name) for s, track in theirs]
    for song, (_, track) in zip(ours, theirs, strict=True):
        assert np.array_equal(song.read("mixture"), track.audio.astype(np.float32))
        for stem in song.stems:
            theirs_too = track.sources[stem].audio.astype(np.float32)
            assert np.array_equal(song.read(stem), theirs_too)
            assert theirs_too.any()


def test_a_folder_in_a_song_is_no_song(songs: Path, run: Any) -> None:
    """As a zip leaves it that was unpacked twice."""
    before = run()
    shutil.copytree(songs / "test/test 0", songs / "test/test 0/test 0")
    (songs / "train/train 0/empty").mkdir()
    assert run() == before


def test_what_lies_beside_is_none_of_our_business(songs: Path, run: Any) -> None:
    """Also what begins with a t."""
    before = run()
    write_track(songs / "test2/song", 7)
    (songs / "tmp/x").mkdir(parents=True)
    (songs / "notes.txt").write_text("mine")
    assert run() == before


def test_what_systems_leave_is_counted(
    songs: Path, run: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    before = run()
    assert "left out" not in capsys.readouterr().err
    for name in ("@eaDir", "__MACOSX", ".Trash"):
        shutil.copytree(songs / "test/test 0", songs / "train" / name)
    (songs / "test/.DS_Store").write_bytes(b"\0")
    (songs / "test/._test 0").write_bytes(b"\0")
    (songs / "test/readme.txt").write_text("mine")
    assert run() == before
    said = capsys.readouterr().err
    assert f"{songs}: left out 5 hidden or system entries and 1 that are no songs " in said
    assert said.count("left out") == 1
    assert "(test/readme.txt)" in said


@pytest.mark.parametrize("split", ["test", "train"])
def test_a_recording_under_another_name_is_the_same(songs: Path, run: Any, split: str) -> None:
    """Told by its samples: file, coding and stems may differ."""
    copy = songs / split / "another"
    shutil.copytree(songs / "train/train 2", copy)
    for path in copy.iterdir():
        audio, rate = soundfile.read(path)
        soundfile.write(path, audio, rate, subtype="PCM_24")
    with pytest.raises(InputError, match="the same recording, sample for sample") as error:
        run()
    assert str(copy / "mixture.wav") in str(error.value)
    assert str(songs / "train/train 2/mixture.wav") in str(error.value)


def test_a_name_that_is_in_train_and_test(songs: Path, run: Any) -> None:
    write_track(songs / "test/train 3", 55)
    with pytest.raises(InputError, match="finds train 3 in the train and the test split") as error:
        run()
    assert str(songs / "test/train 3/mixture.wav") in str(error.value)
    assert str(songs / "train/train 3/mixture.wav") in str(error.value)


@pytest.mark.parametrize("place", ["train", "test", "train/train 1"])
def test_folders_behind_links_are_refused(songs: Path, run: Any, place: str) -> None:
    """DVC hashes none of what is behind them."""
    (songs / place).rename(songs.parent / "elsewhere")
    (songs / place).symlink_to(songs.parent / "elsewhere")
    with pytest.raises(InputError, match=f"{place}: a link to the folder {songs.parent}/elsewhere"):
        run()


def test_a_link_that_leads_nowhere(songs: Path, run: Any) -> None:
    (songs / "test/gone").symlink_to(songs / "nothing")
    with pytest.raises(InputError, match="test/gone: a link that leads nowhere"):
        run()


def test_links_that_dvc_follows_are_read(
    songs: Path, tmp_path: Path, run: Any, make_params: MakeParams
) -> None:
    before = run()
    path = songs / "test/test 0/vocals.wav"
    path.rename(tmp_path / "vocals.wav")
    path.symlink_to(tmp_path / "vocals.wav")
    (tmp_path / "link").symlink_to(songs)
    params = make_params(data={"root": str(tmp_path / "link")})
    assert prepare(params.data, params.segments, 1, tmp_path / "linked") == before


def test_prepared_data_behind_a_link(songs: Path, tmp_path: Path, run: Any) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="out: a link, and a folder of its own belongs there"):
        run()
    assert not list((tmp_path / "elsewhere").iterdir())


def test_capitals_in_the_suffix(library: Path) -> None:
    (library / "train/a.stem.mp4").rename(library / "train/a.STEM.MP4")
    names = [song.name for song in MUSDB18.find(library, "pyav", RATE, 1000)]
    assert names == ["a", "b", "held out", "c"]
    assert [song.name for song in find_songs(library / "train")] == ["a", "b", "held out"]


@pytest.mark.parametrize("as_wav", [True, False])
def test_songs_of_the_other_form_are_not_left_out(songs: Path, library: Path, as_wav: bool) -> None:
    if as_wav:
        odd = shutil.copy(library / "test/c.stem.mp4", songs / "test/c.Stem.mp4")
    else:
        odd = shutil.copytree(songs / "test/test 0", library / "test/test 0")
    with pytest.raises(InputError, match=f"{odd}: data.source = musdb18(hq)? reads"):
        found(songs) if as_wav else MUSDB18.find(library, "pyav", RATE, 1000)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"validation_tracks": ["train 4", "train 5"]}, r".* names 'train 5', .* no such song in"),
        ({"validation_tracks": ["train 4", "test 0"]}, r".* names 'test 0', and there is no such"),
        ({"validation_tracks": ["Train 4"]}, r".* names 'Train 4', and there is no such song"),
        ({"validation_tracks": None}, r"validation_tracks = None is not allowed"),
        ({"validation_tracks": []}, r"validation_tracks = \[\] is not allowed"),
        ({"validation_tracks": "train 4"}, r"validation_tracks = 'train 4' is not allowed"),
        ({"validation_tracks": [1979]}, r"validation_tracks.0 = 1979 is not allowed"),
        ({"sources": ["vocals", "bass"]}, r"sources = \['vocals', 'bass'\] is not allowed"),
        ({"sources": {"vocals": "vocals.wav"}}, r"sources: no drums, bass, other there"),
        ({"mixture": "../mixture.wav"}, r"mixture = '../mixture.wav' is not allowed"),
        ({"stem_ids": {"vocals": 4}}, r"stem_ids: mixture, drums, .* need the numbers 0 to 4"),
        ({"rendered": "no"}, r"rendered = 'no' is not allowed"),
        ({"real": ["test 7"]}, r"real names 'test 7', .* no such song in train/ or test/"),
    ],
)
def test_a_setup_that_is_none(songs: Path, changes: dict[str, Any], said: str) -> None:
    setup = yaml.safe_load((songs / "mus.yaml").read_text())
    (songs / "mus.yaml").write_text(yaml.safe_dump(setup | changes))
    with pytest.raises(InputError, match=f"^{songs}/mus.yaml: {said}"):
        found(songs)


def test_files_may_have_the_names_that_the_setup_gives(songs: Path) -> None:
    before = [song.read("vocals") for song in MUSDB18HQ.find(songs, "pyav", WAV_RATE, 1000)]
    setup = yaml.safe_load((songs / "mus.yaml").read_text())
    setup["sources"]["vocals"] = "voice.wav"
    (songs / "mus.yaml").write_text(yaml.safe_dump(setup))
    for path in songs.rglob("vocals.wav"):
        path.rename(path.with_name("voice.wav"))
    after = [song.read("vocals") for song in MUSDB18HQ.find(songs, "pyav", WAV_RATE, 1000)]
    assert all(np.array_equal(one, other) for one, other in zip(before, after, strict=True))


@pytest.mark.parametrize(
    ("root", "said"),
    [
        ("~/songs", "data.root: a path that begins with ~ is none to DVC; write out the whole"),
        ("~nosuchuser", "data.root: a path that begins with ~"),
        ("/" + "a" * 5000, "data.root: 5001 characters, and no path has more than 4096"),
        ("/" + "a" * 300, r"/a+: cannot be read \(File name too long\); shorten"),
    ],
)
def test_a_root_that_is_none(tmp_path: Path, root: str, said: str) -> None:
    path = tmp_path / "params.yaml"
    tree = merged(merged(default_tree(), SMALL), {"data": {"root": root}})
    path.write_text(yaml.safe_dump(tree))
    with pytest.raises(InputError, match=said):
        params = load_params(AllParams, path)
        prepare(params.data, params.segments, 1, tmp_path / "out")


def test_all_bad_tracks_are_named_at_once(songs: Path, run: Any) -> None:
    (songs / "train/train 0/bass.wav").unlink()
    (songs / "test/test 1/other.wav").write_text("no audio")
    with pytest.raises(InputError, match=r"^2 problems: \(1\) .*bass.wav: missing.*\(2\) .*other"):
        run()


def test_all_bad_samples_are_named_at_once(songs: Path, run: Any) -> None:
    for track, value in (("train/train 0", np.nan), ("test/test 1", 7.0)):
        audio, rate = soundfile.read(songs / track / "drums.wav")
        audio[5] = value
        soundfile.write(songs / track / "drums.wav", audio, rate, subtype="FLOAT")
    with pytest.raises(InputError, match=r"^2 problems: ") as error:
        run()
    assert "train 0/drums.wav: holds samples that are not numbers" in str(error.value)
    assert "test 1/drums.wav: its samples reach 7, full scale is 1" in str(error.value)


def test_at_most_twenty_problems_are_named() -> None:
    problems = Problems()
    problems.refuse()
    for number in range(23):
        with problems.noted():
            raise InputError(f"{number}.wav: bad")
    with pytest.raises(InputError, match=r"^23 problems: \(1\) 0.wav: bad\. .* And 3 more$") as e:
        problems.refuse()
    assert "(20) 19.wav" in str(e.value)
    assert "20.wav" not in str(e.value)


def test_songs_of_an_audit_count_once(songs: Path, tmp_path: Path, make_params: MakeParams) -> None:
    cut = make_params().segments
    listed = find_songs(songs)
    data = prepare_songs(listed, tmp_path / "a", cut)
    assert [track.name for track in data.tracks("test")] == ["test 0", "test 1"]
    shutil.copytree(songs / "test/test 0", songs / "test/test 0/test 0")
    shutil.copytree(songs / "test/test 0", songs / "test/@eaDir")
    assert find_songs(songs) == listed
    shutil.rmtree(songs / "test/test 0/test 0")
    shutil.copytree(songs / "test/test 0", songs / "test/again")
    (songs / "test/test 1/vocals.wav").write_text("no audio")
    with pytest.raises(InputError, match=r"^2 problems: .*the same recording.*not readable") as e:
        prepare_songs(find_songs(songs), tmp_path / "b", cut)
    assert f"{songs}/test/again/mixture.wav and {songs}/test/test 0/mixture.wav" in str(e.value)
    write_stems(songs / "test/again.stem.mp4", stems_of(0))
    with pytest.raises(InputError, match=r"again.stem.mp4: a song of that name is there twice"):
        find_songs(songs)


def test_a_split_to_test_on(songs: Path, tmp_path: Path, run: Any) -> None:
    run()
    path = tmp_path / "out/manifest.json"
    rewrite_manifest(path.parent, path.read_text().replace('"test"', '"valid"'))
    with pytest.raises(InputError, match="out: no track in the test split; prepare others"):
        PreparedData(tmp_path / "out").tracks("test")
