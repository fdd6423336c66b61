"""Whatever bytes a reader is given: a right result, or one sentence. Never anything else."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from stem_files import RATE, stems_of, write_stems

from stemproof.core.errors import InputError
from stemproof.data.audio import read_audio
from stemproof.data.codec import Decoder
from stemproof.data.manifest import Manifest, write_manifest
from stemproof.data.recordings.musdb import MusdbRecording, _check_file
from stemproof.data.recordings.setup import STEMS, Setup, read_setup
from stemproof.data.store import PreparedData

FIXED = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
PARTS = ("mixture", *STEMS)
PYAV: Decoder = "pyav"


def outcome(read: Callable[[], Any]) -> Any:
    """What was read; None for a refusal in one line."""
    try:
        return read()
    except InputError as error:
        assert "\n" not in str(error)
        assert str(error)
        return None


def damaged(content: bytes, header: int) -> st.SearchStrategy[bytes]:
    """Some bytes of a file's beginning (or anywhere) changed, or its end cut off."""
    places = st.one_of(
        st.integers(0, min(header, len(content)) - 1), st.integers(0, len(content) - 1)
    )
    changes = st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=6)

    def apply(drawn: tuple[list[tuple[int, int]], int | None]) -> bytes:
        found = bytearray(content)
        for place, value in drawn[0]:
            found[place] = value
        return bytes(found[: drawn[1]])

    return st.tuples(changes, st.none() | st.integers(0, len(content))).map(apply)


def sound(audio: Any) -> None:
    """What a reader lets through can be computed with."""
    assert audio.dtype == np.float32
    assert audio.ndim == 2


@pytest.fixture(scope="module")
def place() -> Any:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def wav_bytes(subtype: str, kind: str = "WAV") -> bytes:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "x.wav"
        soundfile.write(path, stems_of(0, 300)[0].T, RATE, subtype=subtype, format=kind)
        return path.read_bytes()


@pytest.mark.parametrize(
    ("subtype", "kind"),
    [("PCM_16", "WAV"), ("FLOAT", "WAV"), ("PCM_24", "WAVEX"), ("PCM_16", "RF64")],
)
def test_wav_files(place: Path, subtype: str, kind: str) -> None:
    whole = wav_bytes(subtype, kind)
    path = place / "x.wav"
    recording = MusdbRecording("test", "x", {"mixture": path}, {"mixture": 0}, PYAV)

    @FIXED
    @given(damaged(whole, 80))
    def run(content: bytes) -> None:
        path.write_bytes(content)
        heard = outcome(lambda: read_audio(path))
        if heard is not None:
            sound(heard.samples)
            assert np.abs(heard.samples).max() <= 2
        if outcome(lambda: _check_file(path, RATE, 10, as_wav=True) or True):
            audio = outcome(lambda: recording.read("mixture"))
            if audio is not None:
                sound(audio)
                # Nothing but the samples was changed: then they are those of the file.
                if content[: whole.index(b"data") + 8] == whole[: whole.index(b"data") + 8]:
                    assert audio.shape == (300, 2)

    run()


@pytest.mark.slow
@pytest.mark.parametrize("where", ["anywhere", "in the index"])
def test_stem_files(place: Path, where: str) -> None:
    stems: list[NDArray[Any]] = stems_of(0, 600)
    path = place / "x.stem.mp4"
    whole = write_stems(path, stems, cover=where == "anywhere").read_bytes()
    index = whole.index(b"moov") - 4
    if where == "in the index":  # at the end; brought to where changes are drawn
        whole = whole[index:] + whole[:index]
        index = 0
    order = len(whole)
    recording = MusdbRecording(
        "test", "x", dict.fromkeys(PARTS, path), {p: n for n, p in enumerate(PARTS)}, PYAV
    )

    @FIXED
    @given(damaged(whole, 5000 if index == 0 else order))
    def run(content: bytes) -> None:
        if where == "in the index" and len(content) == order:
            end = content.find(b"ftyp") - 4
            content = content[end:] + content[:end] if end > 0 else content
        path.write_bytes(content)
        heard = outcome(lambda: read_audio(path))
        if heard is not None:
            sound(heard.samples)
        if outcome(lambda: _check_file(path, RATE, 10, as_wav=False) or True):
            for part in PARTS:
                audio = outcome(lambda part=part: recording.read(part))
                if audio is not None:
                    sound(audio)

    run()


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


def test_set_ups(place: Path, songs: Path) -> None:
    text = (songs / "mus.yaml").read_text()
    tree = yaml.safe_load(text)
    keys = st.sampled_from(sorted(Setup.model_fields))
    path = place / "mus.yaml"

    def read() -> None:
        found = outcome(lambda: read_setup(path))
        if found is not None:
            assert isinstance(found, Setup)
            assert all(found.file_of(stem) for stem in PARTS)
            assert sorted(found.stem_ids[stem] for stem in PARTS) == [0, 1, 2, 3, 4]
            assert found.validation_tracks

    @FIXED
    @given(damaged(text.encode(), len(text)))
    def bytes_of_it(content: bytes) -> None:
        path.write_bytes(content)
        read()

    @FIXED
    @given(st.dictionaries(keys, ANYTHING, min_size=1, max_size=2))
    def values_of_it(changes: dict[str, Any]) -> None:
        path.write_text(yaml.safe_dump(tree | changes))
        read()

    bytes_of_it()
    values_of_it()


def test_manifests(place: Path) -> None:
    names = ("split", "name", "file", "samples", "rendered", "sha256")
    values = ("test", "a", "test-0.npy", 3, False, "0" * 64)
    about = {"source": "demo", "sample_rate": RATE, "channels": 1}
    whole = {**about, "tracks": [dict(zip(names, values, strict=True))]}
    write_manifest(place, whole)
    np.save(place / "test-0.npy", np.zeros((2, 1, 3), np.float32))
    path = place / "manifest.json"
    text, tree = path.read_bytes(), json.loads(path.read_text())

    def read() -> None:
        data = outcome(lambda: PreparedData(place, verify=False))
        if data is not None:
            assert isinstance(data.manifest, Manifest)
            assert data.manifest.version == 2
            tracks = outcome(lambda: data.tracks("test"))
            for track in tracks or ():
                assert track.audio.shape == (2, data.channels, track.samples) == (2, 1, 3)

    @FIXED
    @given(damaged(text, len(text)))
    def bytes_of_it(content: bytes) -> None:
        path.write_bytes(content)
        read()

    @FIXED
    @given(st.sampled_from(sorted(tree)), st.sampled_from(names), ANYTHING, st.booleans())
    def values_of_it(key: str, name: str, value: Any, inside: bool) -> None:
        changed = json.loads(json.dumps(tree))
        if inside:
            changed["tracks"][0][name] = value
        else:
            changed[key] = value
        path.write_text(json.dumps(changed))
        read()

    bytes_of_it()
    values_of_it()
