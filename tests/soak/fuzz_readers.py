"""Every reader of files that the product has: what it is given, and what must be true of a result.

An entry of ``READERS`` is all that a new one needs.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fuzz_seeds as seeds
import numpy as np
import torch
from fuzz_judge import Reader
from torch import nn

from stemproof.attacks.params import AttackSection
from stemproof.attacks.stored import Index
from stemproof.core.documents import Document, read_document
from stemproof.core.errors import InputError
from stemproof.core.files import read_array, read_json
from stemproof.core.params import Sections, Systems, load_params, read_tree
from stemproof.core.states import as_numbers, read_state
from stemproof.core.tables import TEXTS, read_table
from stemproof.data.audio import Audio, read_audio, write_audio
from stemproof.data.long import lay_out
from stemproof.data.manifest import Manifest, manifest_in
from stemproof.data.params import DataParams, SegmentParams
from stemproof.data.prepare import _decode
from stemproof.data.recordings.musdb import MusdbRecording, _check_file
from stemproof.data.recordings.setup import STEMS, Setup, read_setup
from stemproof.data.tags import copy_tags
from stemproof.figures.documents import Comparison, ModelFigures, SystemMetrics, Training
from stemproof.report.claims import Claim, read_claim
from stemproof.report.documents import Audits
from stemproof.separators.checkpoint import load, read_header
from stemproof.separators.protocol import Separator
from stemproof.separators.registry import Entries
from stemproof.separators.spleeter import weights as spleeter

CURE = "fetch it again"
PARTS = ("mixture", *STEMS)


def sound(path: Path) -> tuple[Audio, Any]:
    """A song of a user, whole and in blocks: both ways or none."""
    try:
        whole = read_audio(path)
    except InputError as error:
        try:
            lay_out(path, path.with_name("laid out"))
        except InputError:
            raise error from None
        raise AssertionError(f"in blocks it is read, and whole it is not: {error}") from None
    try:
        return whole, lay_out(path, path.with_name("laid out"))
    except InputError as error:
        raise AssertionError(f"whole it is read, and in blocks it is not: {error}") from None


def is_sound(found: tuple[Audio, Any]) -> None:
    """Finite samples, which are the same in both ways."""
    whole, laid = found
    assert whole.samples.dtype == np.float32 and whole.samples.ndim == 2
    assert whole.samples.size and whole.sample_rate > 0
    assert np.isfinite(whole.samples).all() and np.abs(whole.samples).max() <= 2
    assert (laid.channels, laid.samples) == whole.samples.shape
    assert laid.sample_rate == whole.sample_rate
    assert np.array_equal(laid.read(0, laid.samples), whole.samples)


def song(path: Path, as_wav: bool) -> Any:
    """A song of a data set, as it is prepared."""
    streams = {part: 0 if as_wav else number for number, part in enumerate(PARTS)}
    _check_file(path, seeds.RATE, 10, as_wav)
    recording = MusdbRecording("test", "x", dict.fromkeys(PARTS, path), streams, "pyav")
    # Of a single wav file no five parts can be made that add up.
    return np.stack([recording.read("mixture").T] * 2) if as_wav else _decode(recording, 10)[0]


def is_song(found: Any) -> None:
    """Mixture and vocals, of two channels."""
    assert found.dtype == np.float32 and found.shape[:2] == (2, 2) and found.shape[2] > 0


def tags(path: Path, suffix: str) -> tuple[Audio, Audio]:
    """What is put into a protected song, which is another file of the same samples."""
    audio = read_audio(path)
    target = path.with_name(f"protected{suffix}")
    import soundfile

    if suffix == ".wav":
        write_audio(target, audio, "PCM_16")
    else:
        whole = np.clip(audio.samples.T, -1, 1)
        try:
            soundfile.write(target, whole, audio.sample_rate, subtype="PCM_16", format="FLAC")
        except soundfile.LibsndfileError as error:  # a rate, or channels, that FLAC has not
            raise InputError(f"{path}: cannot be written as flac ({error})") from None
    before = read_audio(target)
    copy_tags(path, target)
    return before, read_audio(target)


def are_same(found: tuple[Audio, Audio]) -> None:
    """Tags change no sample."""
    first, second = found
    assert first.sample_rate == second.sample_rate
    assert np.array_equal(first.samples, second.samples)


def yaml(path: Path) -> tuple[Any, Any]:
    """Parameters as they stand there, for us and for DVC."""
    from dvc.utils.serialize import ParseError, parse_yaml

    own = read_tree(path)
    try:
        return own, parse_yaml(path.read_bytes().decode(), str(path))
    except ParseError:
        return own, own  # it says so before anything runs


def alike(found: tuple[Any, Any]) -> None:
    """The same values of the same types."""
    first, second = found
    if isinstance(first, dict):
        assert isinstance(second, dict) and list(first) == list(second), (first, second)
        for key in first:
            alike((first[key], second[key]))
    elif isinstance(first, list):
        assert isinstance(second, list) and len(first) == len(second), (first, second)
        for pair in zip(first, second, strict=True):
            alike(pair)
    else:
        same = first == second or (first != first and second != second)
        assert type(first) is type(second) and same, (first, second)


class Declared(Sections):
    """Sections of a stage."""

    data: DataParams
    segments: SegmentParams
    systems: Systems
    separators: Entries
    attack: AttackSection


def is_finite(tree: Any) -> None:
    """JSON can hold it, and gives it back."""
    alike((tree, json.loads(json.dumps(tree, allow_nan=False))))


def is_claim(claim: Claim) -> None:
    """It can be shown and written."""
    assert claim.in_words()
    is_finite(claim.model_dump(mode="json"))


def table(path: Path) -> tuple[Any, str]:
    """A table, and the text of it."""
    return read_table(path), path.read_bytes().decode()


def is_table(found: tuple[Any, str]) -> None:
    """Cell by cell what Python's own reader finds."""
    frame, text = found
    header, *rows = [row for row in csv.reader(io.StringIO(text)) if row]
    assert list(frame.columns) == header and len(frame) == len(rows), (list(frame), header)
    for number, name in enumerate(header):
        for value, row in zip(frame[name].tolist(), rows, strict=True):
            if name in TEXTS:
                assert value == row[number], (value, row[number])
            elif row[number] == "":
                assert math.isnan(value)
            else:
                assert math.isclose(value, float(row[number]), rel_tol=1e-14), (value, row[number])


def is_array(array: Any) -> None:
    """No more than the file holds."""
    assert array.dtype == np.float32
    assert array.nbytes <= Path(array.filename).stat().st_size
    np.array(array)


def model(path: Path) -> tuple[Any, Any]:
    """A model that is ready, and what its file says."""
    return load(path), read_header(path)


def is_model(found: tuple[Any, Any]) -> None:
    """It separates."""
    separator, header = found
    assert isinstance(separator, Separator) and isinstance(header.name, str)
    assert separator.sample_rate >= 1 and separator.channels >= 1


def state(path: Path) -> list[torch.Tensor]:
    """Weights of others."""
    return [as_numbers(path, key, one, CURE) for key, one in read_state(path, CURE).items()]


def are_weights(found: list[torch.Tensor]) -> None:
    """Finite numbers."""
    assert all(one.dtype == torch.float32 and bool(one.isfinite().all()) for one in found)


# One level of Spleeter, in small.
NET = nn.ModuleDict({"down": nn.ModuleList([nn.ModuleDict({"conv": nn.Conv2d(2, 1, 1)})])})


def carrier(path: Path) -> list[torch.Tensor]:
    """Weights of Spleeter, as the package carries them."""
    return list(spleeter._fitting(path, spleeter._read(path), NET).values())


def _document(form: type[Document], tree: Any) -> Reader:
    return Reader(
        ".json", lambda: [seeds.text(tree)], lambda path: read_document(path, form), is_finite
    )


def _wav_of_data_set(path: Path) -> Any:
    return song(path, as_wav=True)


def _tags_in(suffix: str) -> Callable[[Path], Any]:
    return lambda path: tags(path, suffix)


INDEX = {
    "format": Index.formats[1], "threat": "blind", "gate": seeds.GATE, "attack": {"eps": 0.1},
    "segments": {"seconds": 1.0}, "data": seeds.HASH, "model_sha256": seeds.HASH,
    "tracks": [{"name": "a", "file": "test-0.npy", "parts": 1, "sha256": seeds.HASH,
                "budget_used": 1.0}],
}  # fmt: skip

READERS = {
    "wav": Reader(".wav", seeds.wavs, sound, is_sound),
    "flac": Reader(".flac", seeds.flacs, sound, is_sound),
    "m4a": Reader(".m4a", seeds.compressed, sound, is_sound),
    "stem-mp4": Reader(".stem.mp4", seeds.stems, sound, is_sound, longest=8192),
    "wav-of-data-set": Reader(".wav", seeds.stereo_wavs, _wav_of_data_set, is_song),
    "stem-mp4-of-data-set": Reader(
        ".stem.mp4", seeds.stems, lambda path: song(path, as_wav=False), is_song, longest=8192
    ),
    "wav-tags": Reader(".wav", seeds.wavs, _tags_in(".wav"), are_same),
    "flac-tags": Reader(".flac", seeds.flacs, _tags_in(".flac"), are_same),
    "yaml": Reader(".yaml", lambda: seeds.YAML, yaml, alike, longest=1024),
    "parameters": Reader(
        ".yaml", lambda: [seeds.PARAMS], lambda path: load_params(Declared, path),
        lambda found: is_finite(found.model_dump(mode="json")), longest=1024,
    ),
    "set-up": Reader(
        ".yaml", lambda: [seeds.SETUP], read_setup,
        lambda found: [found.file_of(part) for part in PARTS] + [isinstance(found, Setup)],
        longest=1024,
    ),
    "json": Reader(".json", lambda: [seeds.text(seeds.METRICS)], read_json, is_finite),
    "metrics": _document(SystemMetrics, seeds.METRICS),
    "model-figures": _document(ModelFigures, seeds.MODEL_FIGURES),
    "training": _document(Training, seeds.TRAINING),
    "comparison": _document(Comparison, seeds.COMPARISON),
    "audit": _document(Audits, seeds.FLAGS),
    "adversarials": _document(Index, INDEX),
    "manifest": Reader(
        ".json", lambda: [seeds.text(seeds.MANIFEST)], manifest_in,
        lambda found: isinstance(found, Manifest),
    ),
    "claim": Reader(".json", seeds.claims, read_claim, is_claim, longest=8192),
    "table": Reader(".csv", lambda: seeds.TABLES, table, is_table, longest=512),
    "npy": Reader(".npy", seeds.arrays, read_array, is_array, longest=512),
    "npy-header": Reader(
        ".npy", seeds.array_headers, read_array, is_array, seeds.array_of, longest=512
    ),
    "model": Reader(".safetensors", seeds.models, model, is_model, longest=1024),
    "model-header": Reader(
        ".safetensors", seeds.model_headers, model, is_model, seeds.model_of, longest=1024
    ),
    "model-about": Reader(
        ".safetensors", seeds.about_models, model, is_model, seeds.model_about, longest=1024
    ),
    "weights": Reader(".pth", seeds.states, state, are_weights),
    "weights-pickle": Reader(".pth", seeds.pickles, state, are_weights, seeds.state_of),
    "spleeter": Reader(".ckpt", seeds.carried, carrier, are_weights, seeds.state_of),
}  # fmt: skip
