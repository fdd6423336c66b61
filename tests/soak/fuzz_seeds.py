"""Small whole files, from which fuzzing starts, and what wraps an input into a file."""

from __future__ import annotations

import functools
import io
import json
import re
import struct
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from scipy.io import wavfile

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "data"))

from stem_files import RATE, write_stems

from stemproof.figures.documents import OF_ALL

ROOT = Path(__file__).resolve().parents[2]
FRAMES = 64
HASH = "0" * 64


def _tones(channels: int = 2, frames: int = FRAMES) -> NDArray[np.float64]:
    times = np.arange(frames)[:, None]
    return 0.3 * np.sin(0.1 * times * np.arange(1, channels + 1))


def _sound(subtype: str, kind: str, channels: int = 2) -> bytes:
    stream = io.BytesIO()
    if subtype == "FLOAT":  # libsndfile would put the time of the day into it
        wavfile.write(stream, RATE, _tones(channels).astype(np.float32))
    else:
        soundfile.write(stream, _tones(channels), RATE, subtype=subtype, format=kind)
    return stream.getvalue()


def wavs() -> list[bytes]:
    """Whole numbers and floats, of one and two channels, in three headers; one with tags."""
    forms = [
        ("PCM_16", "WAV", 2),
        ("PCM_U8", "WAV", 1),
        ("FLOAT", "WAV", 2),
        ("PCM_24", "WAVEX", 2),
        ("PCM_16", "RF64", 2),
    ]
    files = [_sound(*form) for form in forms]
    tag = b"INFOINAM\x06\0\0\0a song"
    chunk = b"LIST" + struct.pack("<I", len(tag)) + tag
    size = struct.unpack("<I", files[0][4:8])[0] + len(chunk)
    return [*files, b"RIFF" + struct.pack("<I", size) + files[0][8:] + chunk]


def stereo_wavs() -> list[bytes]:
    """Of them the stereo ones in headers that FFmpeg and libsndfile read alike."""
    files = wavs()
    return [files[0], files[2], files[3]]


def flacs() -> list[bytes]:
    """Of 16 and 24 bits; one with comments in front of the frames."""
    files = [_sound("PCM_16", "FLAC", 2), _sound("PCM_24", "FLAC", 1)]
    text = b"TITLE=a song"
    body = struct.pack("<I", 1) + b"x" + struct.pack("<II", 1, len(text)) + text
    block = bytes([4]) + len(body).to_bytes(3, "big") + body
    end = 4 + 4 + 34  # the mark, and the block that all files begin with
    head = files[0][4:5]
    first = bytes([head[0] & 0x7F]) + files[0][5:end]
    return [*files, b"fLaC" + first + block + files[0][end:]]


def stems() -> list[bytes]:
    """``.stem.mp4``: tones that add up, with and without a picture in front."""
    # What is like the vocals is softer than they are.
    loud = (1000, 1000, 3000, 3000)
    parts = [(loud[n] * _tones()[:, [n % 2, n % 2]].T).astype(np.int16) for n in range(4)]
    with tempfile.TemporaryDirectory() as folder:
        return [
            write_stems(Path(folder) / "x", [sum(parts[1:], parts[0]), *parts], cover).read_bytes()
            for cover in (False, True)
        ]


def compressed() -> list[bytes]:
    """AAC in mp4, as music is sold."""
    stream = io.BytesIO()
    with av.open(stream, "w", format="mp4") as container:
        out: Any = container.add_stream("aac", rate=RATE, layout="stereo")
        audio = np.ascontiguousarray(_tones(frames=1024).T.astype(np.float32))
        frame = av.AudioFrame.from_ndarray(audio, format="fltp", layout="stereo")
        frame.sample_rate = RATE
        container.mux(out.encode(frame))
        container.mux(out.encode(None))
    return [stream.getvalue()]


def text(tree: Any) -> bytes:
    """JSON."""
    return json.dumps(tree).encode()


GATE = {"passed": True, "checks": [{"name": "finite", "passed": True, "reason": "all are"}]}
TRAINING = {"epoch": 2, "loss": 0.5}
METRICS = {
    "kind": "stft", "informed": True, "gate": GATE, "training": {"1": TRAINING},
    "seeds": {"1": {"bs": 5.0}}, "without_value": list(OF_ALL), "n_collapsed_clean": 1,
    "bsseval": {"clean": {"sdr": 1.0}, "clean_failures": 0, "attacked_failures": 0},
    "n_seeds": 1, "n_tracks": 2, "n_segments": 4, "n_skipped": 0, "budget_used": 1.0,
}  # fmt: skip
MODEL_FIGURES = {
    "system": "a", "seed": 1, "kind": "stft", "trained": False, "informed": True, "gate": GATE,
    "training": TRAINING, "environment": {"python": "3.11"}, "made_with": {"attack": {"eps": 0.1}},
    "data": HASH, "counts": {"n_segments": 4, "n_skipped": 0, "budget_used": 1.0},
}  # fmt: skip
DIFFERENCE = {"difference": 0.1, "low": -0.1, "high": 0.2, "p": 0.5, "p_holm": 1.0}
COMPARISON = {
    "reference": "a", "n_tracks": 2, "n_seeds": 1, "b": {"rb": DIFFERENCE},
    "other_threat": {"reference": "c", "n_tracks": 2, "n_seeds": 1, "d": {"rb": DIFFERENCE}},
}  # fmt: skip
FLAGS = {
    "a": {
        "attack": "pgd",
        "flags_raised": 1,
        "flags": {"few seeds": "RAISED"},
        "reasons": [["few seeds", "RAISED", "one"]],
    }
}
MANIFEST = {
    "version": 2, "source": "demo", "sample_rate": RATE, "channels": 1,
    "tracks": [{"split": "test", "name": "a", "file": "test-0.npy", "samples": 3,
                "rendered": False, "sha256": HASH}],
}  # fmt: skip


def claims() -> list[bytes]:
    """A published claim, without the parameters of its run."""
    tree = json.loads((ROOT / "results/musdb18-7/stft.json").read_text())
    return [text({**tree, "parameters": {}})]


PARAMS = b"""\
data: {source: demo, root: data/demo, sample_rate: 8000, decoder: pyav}
segments:
  seconds: 0.5   # of a segment
systems: [baseline, "stft"]
separators:
  baseline: {kind: rsvm, dropout: 0.2, attention: null}
  stft:
    kind: stft
    window: 128
attack: {method: pgd, eps: 3e-3, batch: 5, pgd: {steps: 4}}
"""
YAML = [
    PARAMS,
    b"a: &x {b: 1, c: -2.5e-05, d: .5}\ne: *x\nf: {<<: *x, c: 3}\n",
    b'a: |\n  text\n  more\nb: >-\n  folded\nd: "\\u00e9"\ne: [~, true, 2020-01-01]\n',
]
SETUP = b"""\
mixture: mixture.wav
sources: {bass: bass.wav, drums: drums.wav, other: other.wav, vocals: vocals.wav}
stem_ids: {mixture: 0, drums: 1, bass: 2, other: 3, vocals: 4}
validation_tracks: ['a song']
"""
TABLES = [
    b'track,seed,drop\na song,218,0.5\n"b, c",218,-1e-05\nNone,218,\n',
    b"eps,sdr\n0.001,3\n0.01,2.25\n",
]


def arrays() -> list[bytes]:
    """Of two dimensions, and of Fortran's order."""
    found = []
    for array in (np.arange(6, dtype=np.float32).reshape(2, 3), np.zeros((2, 2), "<f4", "F")):
        stream = io.BytesIO()
        np.save(stream, array)
        found.append(stream.getvalue())
    return found


def array_headers() -> list[bytes]:
    """The texts at their beginnings."""
    return [file[10 : 10 + struct.unpack("<H", file[8:10])[0]] for file in arrays()]


def array_of(header: bytes) -> bytes:
    """A file with a header of its right length, in front of 24 bytes."""
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header + bytes(24)


STFT = {"window": 128, "hop": 32, "sample_rate": 4000}


def models() -> list[bytes]:
    """A model of nothing but its header, and one of two releases ago."""
    about = {"format": 2, "kind": "stft", "name": "x", "seed": 7, "trained": False}
    old = {
        "settings": '{"stft": true}', "model": '{"kernel": 128, "hop": 32}',
        "sample_rate": "4000", "variant": "stft", "seed": "7",
    }  # fmt: skip
    return [
        save({}, metadata={"stemproof": json.dumps({**about, "settings": STFT})}),
        save({}, metadata={"rsvm": json.dumps(old)}),
    ]


def model_headers() -> list[bytes]:
    """The texts at their beginnings."""
    return [file[8 : 8 + struct.unpack("<Q", file[:8])[0]] for file in models()]


def model_of(header: bytes) -> bytes:
    """A file with a header of its right length, in front of no weights."""
    return struct.pack("<Q", len(header)) + header


RSVM = {
    "sizes": {"channels": 4, "kernel": 64, "hop": 8},
    "variant": {},
    "sample_rate": 1000,
    "segment_samples": 500,
}


def about_models() -> list[bytes]:
    """What headers say of a model that has weights."""
    return [text({"format": 2, "kind": "rsvm", "name": "x", "seed": 7, "trained": True,
                  "settings": RSVM, "parameters": {"train": {"seeds": [7]}}})]  # fmt: skip


@functools.cache
def _rsvm() -> Any:
    from stemproof.separators.registry import find_kind

    torch.manual_seed(0)
    state = find_kind("rsvm").rebuild(RSVM).state_dict()
    return {key: value.contiguous() for key, value in state.items()}


def model_about(header: bytes) -> bytes:
    """A whole file with the weights of one model, whatever is said of it."""
    return save(_rsvm(), metadata={"stemproof": header.decode("utf-8", "replace")})


def states() -> list[bytes]:
    """Weights as PyTorch writes them, now and before 2020."""
    now, then = io.BytesIO(), io.BytesIO()
    weight = torch.ones(2, 3)
    torch.save({"a.weight": weight, "a.bias": torch.zeros(2, dtype=torch.float16)}, now)
    torch.save({"a.weight": weight}, then, _use_new_zipfile_serialization=False)
    # Before 2020 a tensor is named by its place in memory.
    name = b"X\x0e\0\0\0" + b"1" * 14
    return [now.getvalue(), re.sub(rb"X.\0\0\0\d{12,}", name, then.getvalue())]


def pickles() -> list[bytes]:
    """The pickle in the first of them."""
    return [_members(states()[0])["data.pkl"]]


def state_of(pickled: bytes) -> bytes:
    """A file with the right checksums around a pickle."""
    return _zipped({**_members(states()[0]), "data.pkl": pickled})


def carried() -> list[bytes]:
    """A dictionary of NumPy arrays, as Spleeter's weights are carried."""
    stream = io.BytesIO()
    arrays = {"conv.weight": np.ones((1, 2, 1, 1), "f4"), "conv.bias": np.zeros(1, "f4")}
    torch.save({f"down1_{key.replace('.', '.1.')}": array for key, array in arrays.items()}, stream)
    return [_members(stream.getvalue())["data.pkl"]]


@functools.cache
def _members(file: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def _zipped(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(f"archive/{name}"), content)
    return stream.getvalue()
