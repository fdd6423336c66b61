"""Prepared data are read as they were prepared, or refused; nothing else is read of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import AllParams, rewrite_manifest

from stemproof.core.errors import InputError
from stemproof.data.excerpts import Excerpts
from stemproof.data.prepare import prepare
from stemproof.data.store import PreparedData, loud_mask, segment_starts

MakeParams = Callable[..., AllParams]


def test_segments_and_loudness() -> None:
    assert segment_starts(100, 40, 0.0) == [0, 40]
    assert segment_starts(100, 40, 0.5) == [0, 20, 40, 60]
    assert segment_starts(39, 40, 0.5) == []
    quiet = np.array([[0.0] * 4, [0.05] * 4, [0.0501] * 4])
    assert loud_mask(quiet, -10).tolist() == [False, True, True]  # norm 0.1 is exactly -10


@pytest.fixture
def prepared(songs: Path, tmp_path: Path, make_params: MakeParams) -> Path:
    params = make_params(data={"root": str(songs)})
    prepare(params.data, params.segments, 1, tmp_path / "prepared")
    return tmp_path / "prepared"


def change_one_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-7] ^= 1
    path.write_bytes(content)


def change_to_nan(path: Path) -> None:
    audio = np.load(path)
    audio[0, 0, 3] = np.nan
    np.save(path, audio)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def exchange(path: Path) -> None:
    path.write_bytes((path.parent / "train-0001.npy").read_bytes())


CHANGED = "train-0000.npy: changed since it was prepared; run prepare-musdb18 again$"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (change_one_byte, CHANGED),
        (change_to_nan, CHANGED),
        (truncate, CHANGED),
        (exchange, CHANGED),
        (
            Path.unlink,
            "train-0000.npy: no such file; run the stage that writes it first, or",
        ),
    ],
)
def test_a_changed_file_is_refused_when_the_data_are_opened(
    prepared: Path, damage: Callable[[Path], None], message: str
) -> None:
    PreparedData(prepared)
    damage(prepared / "train-0000.npy")
    with pytest.raises(InputError, match=message) as error:
        PreparedData(prepared)
    assert "\n" not in str(error.value)


HEAD = '"version": 2, "source": "demo", "sample_rate": 4000, "channels": 2'


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "manifest.json: not valid JSON"),
        ("[]", "manifest.json: a JSON object was expected"),
        ("{}", "manifest.json: of version 1, and 2 is read; run prepare-musdb18 again$"),
        ('{"version": 3, "tracks": 7}', "version 3 of a newer release; this one reads up to 2: "),
        ('{"version": "2"}', "of version 2, and"),
        (
            '{"version": 2}',
            r"not a manifest of .* \(source: .*\); run prepare-musdb18 again$",
        ),
        (f"{{{HEAD}}}", r"not a manifest of prepared data \(tracks: "),
        (f'{{{HEAD}, "tracks": [{{}}]}}', r"not a manifest .* \(tracks.0.split: "),
        (f'{{{HEAD}, "tracks": ["a"]}}', r"not a manifest .* \(tracks.0: "),
        (f'{{{HEAD}, "tracks": [], "x": 1}}', r"not a manifest .* \(x: "),
        (f"{{{HEAD}}}".replace("4000", '"fast"'), r"not a manifest .* \(sample_rate: "),
        (f"{{{HEAD}}}".replace("2}", "[2]}"), r"not a manifest .* \(channels: "),
    ],
)
def test_a_damaged_manifest(prepared: Path, content: str, message: str, verify: bool) -> None:
    (prepared / "manifest.json").write_text(content)
    with pytest.raises(InputError, match=message):
        PreparedData(prepared, verify)


@pytest.mark.parametrize("key", ["samples", "channels"])
def test_a_file_of_another_shape_than_its_manifest_says(prepared: Path, key: str) -> None:
    manifest = json.loads((prepared / "manifest.json").read_text())
    place = manifest["tracks"][0] if key == "samples" else manifest
    place[key] += 1
    rewrite_manifest(prepared, json.dumps(manifest))
    with pytest.raises(InputError, match=r"train-0000.npy: damaged; prepare the data again"):
        PreparedData(prepared).tracks("train")


def test_what_file_managers_leave_is_no_matter(
    prepared: Path, songs: Path, make_params: MakeParams
) -> None:
    before = PreparedData(prepared)
    (prepared / ".DS_Store").write_bytes(b"\x00")
    (prepared / "Thumbs.db").write_bytes(b"\x00")
    after = PreparedData(prepared)
    assert after.fingerprint == before.fingerprint
    assert [len(after.tracks(split)) for split in ("train", "valid", "test")] == [4, 1, 2]
    params = make_params(data={"root": str(songs)})
    prepare(params.data, params.segments, 1, prepared)
    assert PreparedData(prepared).fingerprint == before.fingerprint


def test_a_segment_is_read_alone(prepared: Path) -> None:
    """All segments at once, some, and the track itself hold the same samples."""
    track = PreparedData(prepared).tracks("test")[0]
    mixture, vocals = track.segments(1000)
    assert mixture.shape == vocals.shape == (track.count(1000), 1, 1000)
    some, _ = Excerpts.segments([track], 1000).read([1, 2])
    assert np.array_equal(some, mixture[1:3])
    mono = np.array(track.vocals).mean(axis=0)
    assert np.array_equal(np.ravel(vocals), mono[: 1000 * track.count(1000)])
    assert np.array_equal(track.mono(1, 500, 20), mono[500:520])
    assert track.channels == 2
    for stem in (0, 1):
        assert np.array_equal(track.read(stem, 500, 20), track.audio[stem, :, 500:520])
