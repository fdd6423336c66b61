"""A data set is a module of the room: found by its name, and used without an edit elsewhere."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from conftest import SMALL, AllParams, default_tree, merged

from stemproof.core.errors import InputError
from stemproof.core.params import load_params
from stemproof.data import codec, recordings
from stemproof.data.prepare import prepare
from stemproof.data.recordings.musdb18 import SOURCE as MUSDB18
from stemproof.data.recordings.musdb18hq import SOURCE as MUSDB18HQ
from stemproof.data.recordings.protocol import Source
from stemproof.data.recordings.registry import find_source, sources
from stemproof.data.store import PreparedData

MakeParams = Callable[..., AllParams]
# Two stems instead of four, mono, kept as text, and no splits of folders.
TONES = """
from pathlib import Path
import numpy as np
from stemproof.core.errors import InputError

class Tone:
    stems = ("piano", "vocals")
    def __init__(self, path):
        self.path, (self.split, self.name) = path, path.stem.split("_")
    def path_of(self, stem):
        return self.path
    def read(self, stem):
        parts = {"piano": 0, "vocals": 1}
        rows = np.loadtxt(self.path, dtype=np.float32)
        return (rows.sum(0) if stem == "mixture" else rows[parts[stem]])[:, None]

class Tones:
    name, words = "tones", "songs of two tones"
    def find(self, root, decoder, sample_rate, minimum_samples):
        files = sorted(root.glob("*.txt"))
        if not files:
            raise InputError(f"{root}: no .txt files")
        return [Tone(file) for file in files]

SOURCE = Tones()
"""


@pytest.fixture
def tones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module that is added to the room, and recordings for it."""
    (tmp_path / "room").mkdir()
    (tmp_path / "room" / "tones.py").write_text(TONES)
    monkeypatch.setattr(recordings, "__path__", [*recordings.__path__, str(tmp_path / "room")])
    root = tmp_path / "tones"
    root.mkdir()
    for number, split in enumerate(("train", "train", "valid", "test")):
        draw = np.random.default_rng(number)
        np.savetxt(root / f"{split}_song {number}.txt", 0.1 * draw.standard_normal((2, 4500)))
    yield root
    sys.modules.pop(f"{recordings.__name__}.tones", None)


def run(params: AllParams, destination: Path) -> dict[str, Any]:
    return prepare(params.data, params.segments, 1, destination)


def test_a_module_in_the_room_is_a_data_set(
    tones: Path, tmp_path: Path, make_params: MakeParams
) -> None:
    params = make_params(data={"source": "tones", "root": str(tones)})
    summary = run(params, tmp_path / "out")
    assert (summary["source"], summary["source_words"]) == ("tones", "songs of two tones")
    assert [summary[split]["tracks"] for split in ("train", "valid", "test")] == [2, 1, 1]
    assert summary["test"]["stems_sum_snr_db_min"] > 100  # text has nine digits
    data = PreparedData(tmp_path / "out")
    assert data.source == "tones"
    track = data.tracks("test")[0]
    piano, vocals = np.loadtxt(tones / "test_song 3.txt", dtype=np.float32)
    assert track.name == "song 3"
    assert np.array_equal(track.mixture[0], piano + vocals)
    assert np.array_equal(track.vocals[0], vocals)
    assert sources() == ["demo", "musdb18", "musdb18hq", "tones"]


def test_what_every_data_set_must_hold_to(
    tones: Path, tmp_path: Path, make_params: MakeParams
) -> None:
    params = make_params(data={"source": "tones", "root": str(tones)})
    song = tones / "train_song 0.txt"
    rows = np.loadtxt(song)
    rows[1, 7] = np.inf
    np.savetxt(song, rows)
    with pytest.raises(InputError, match="song 0.txt: holds samples that are not numbers"):
        run(params, tmp_path / "out")
    np.savetxt(song, 0.1 + 0 * rows[:, :7])
    said = r"song 0.txt: 7 samples, shorter than one segment \(1000 samples; see segments"
    with pytest.raises(InputError, match=said):
        run(params, tmp_path / "out")
    np.savetxt(song, 0 * np.nan_to_num(rows))
    with pytest.raises(InputError, match="song 0.txt: the mixture is silent"):
        run(params, tmp_path / "out")
    song.unlink()
    (tones / "valid_song 2.txt").rename(tones / "train_song 2.txt")
    with pytest.raises(
        InputError, match="data.source = tones finds no recording for the valid split; add one"
    ):
        run(params, tmp_path / "out")


def test_names_are_unique(
    tones: Path, tmp_path: Path, make_params: MakeParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Random numbers and medians go by the name of a track."""
    source = find_source("tones")
    found = source.find(tones, "pyav", 4000, 1)
    monkeypatch.setattr(type(source), "find", lambda *_: [*found, found[-1]])
    params = make_params(data={"source": "tones", "root": str(tones)})
    with pytest.raises(InputError, match=r"finds song 2 twice in the valid split, as .*: rename "):
        run(params, tmp_path / "out")


@pytest.mark.parametrize("place", ["stem", "mixture"])
def test_stems_of_other_channels_than_the_mixture(
    tones: Path,
    tmp_path: Path,
    make_params: MakeParams,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
) -> None:
    recording = type(find_source("tones").find(tones, "pyav", 4000, 1)[0])
    read = recording.read

    def stereo(self: Any, stem: str) -> Any:
        audio = read(self, stem)
        return np.repeat(audio, 2, axis=1) if (stem == "mixture") == (place == "mixture") else audio

    monkeypatch.setattr(recording, "read", stereo)
    params = make_params(data={"source": "tones", "root": str(tones)})
    said = r"channel\(s\), but the mixture has [12]; all stems of a track must have as many"
    with pytest.raises(InputError, match=said):
        run(params, tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "musdb",
            "data.source = musdb is no data set, did you mean `musdb18`?; there are demo, mu",
        ),
        ("registry", "data.source = registry is no data set"),
        ("MUSDB18", "data.source = MUSDB18 is no data set"),
        ("../demo", "is no data set"),
        ("", "data.source =  is no data set; there are demo, musdb18, musdb18hq"),
        ("zzz", "data.source = zzz is no data set; there are demo, musdb18, musdb18hq"),
    ],
)
def test_a_source_that_is_none(
    songs: Path, tmp_path: Path, make_params: MakeParams, name: str, said: str
) -> None:
    params = make_params(data={"source": name, "root": str(songs)})
    with pytest.raises(InputError) as error:
        run(params, tmp_path / "out")
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_a_module_that_lacks_a_library_keeps_its_traceback(tones: Path, tmp_path: Path) -> None:
    (tmp_path / "room" / "broken.py").write_text("import no_such_library")
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        find_source("broken")


def test_every_module_keeps_to_the_protocol() -> None:
    for name in sources():
        source = find_source(name)
        assert isinstance(source, Source)
        assert source.name == name
        assert source.words


def test_a_recording_of_musdb(songs: Path) -> None:
    found = MUSDB18HQ.find(songs, "pyav", 4000, 1000)
    recording = next(song for song in found if song.name == "test 1")
    assert recording.split == "test"
    assert recording.path_of("mixture") == songs / "test/test 1/mixture.wav"
    assert recording.path_of("bass") == songs / "test/test 1/bass.wav"
    stems = [recording.read(stem) for stem in recording.stems]
    mixture = recording.read("mixture")
    assert mixture.dtype == np.float32
    assert mixture.shape == (4400, 2)
    assert np.array_equal(np.sum(stems, axis=0), mixture)


def test_a_recording_of_compressed_stems(songs: Path, tmp_path: Path) -> None:
    """The one real recording at hand, in every split."""
    for split, name in (("train", "a"), ("train", "b"), ("test", "c")):
        (tmp_path / "stems" / split).mkdir(parents=True, exist_ok=True)
        shutil.copy(codec.example_stem(), tmp_path / f"stems/{split}/{name}.stem.mp4")
    setup = yaml.safe_load((songs / "mus.yaml").read_text())
    setup["validation_tracks"] = ["b"]
    (tmp_path / "stems/mus.yaml").write_text(yaml.safe_dump(setup))
    found = MUSDB18.find(tmp_path / "stems", "pyav", 44_100, 44_100)
    assert [(song.split, song.name) for song in found] == [
        ("train", "a"),
        ("valid", "b"),
        ("test", "c"),
    ]
    song = found[2]
    for stem, stream in (("mixture", 0), ("drums", 1), ("bass", 2), ("other", 3), ("vocals", 4)):
        assert song.path_of(stem) == tmp_path / "stems/test/c.stem.mp4"
        assert np.array_equal(song.read(stem), codec.decode(codec.example_stem(), stream))


def test_a_source_of_no_text(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    tree = merged(merged(default_tree(), SMALL), {"data": {"source": 18}})
    path.write_text(yaml.safe_dump(tree))
    with pytest.raises(InputError, match="data.source = 18 is not allowed: input should be a val"):
        load_params(AllParams, path)
