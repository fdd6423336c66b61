"""A folder of somebody: a module with systems, a params.yaml, songs with stems, and the command."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor
from torch.nn.functional import pad

from stemproof.cli import main

RATE = 4000
MODULE = '''
import torch
from torch.nn.functional import pad

HEARD = []


def system(mixture):
    """Each channel with its own past and what the other one has."""
    HEARD.append(mixture.shape[0] * mixture.shape[-1])
    before = pad(mixture, (60, 0))[..., :-60]
    return torch.tanh(3 * (mixture - 0.4 * before + 0.3 * mixture.roll(1, 1)))


def loud(mixture):
    return 4 * mixture


def mono(mixture):
    return torch.tanh(2 * mixture - pad(mixture, (9, 0))[..., :-9])


def opaque(mixture):
    return system(mixture.detach())


def liar(mixture):
    """A gradient comes back, and it is that of something else."""
    found = system(mixture)
    return found.detach() + 0.01 * (mixture - mixture.detach()).flip(-1)


def nothing(mixture):
    return 0 * mixture


class Net(torch.nn.Module):
    def forward(self, mixture):
        return system(mixture)
'''


def system(mixture: Tensor) -> Tensor:
    """The system of the module, written once more."""
    before = pad(mixture, (60, 0))[..., :-60]
    return torch.tanh(3 * (mixture - 0.4 * before + 0.3 * mixture.roll(1, 1)))


def sdr(reference: Any, estimate: Any) -> float:
    """SI-SDR in dB (Le Roux et al., 2019, eq. 4) in NumPy and double precision."""
    s, e = (np.asarray(x, dtype=np.float64).ravel() for x in (reference, estimate))
    target = np.dot(s, e) / np.dot(s, s) * s
    return float(10 * np.log10(np.sum(target**2) / np.sum((target - e) ** 2)))


def read(path: Path) -> Any:
    """Channels x samples."""
    audio, _ = soundfile.read(path, dtype="float32", always_2d=True)
    return audio.T


def make_song(folder: Path, seed: int, seconds: int = 3, loud_from: int = 0) -> Path:
    """A song in stereo, in 16 bits; before ``loud_from`` seconds the vocals are quiet."""
    draw = np.random.default_rng(seed)
    time = np.arange(seconds * RATE) / RATE
    vocals = 0.2 * np.sin(2 * np.pi * (150 + 40 * seed) * time + [[0.0], [0.7]])
    vocals *= np.where(time < loud_from, 0.3, 1.0)
    mixture = vocals + 0.1 * draw.standard_normal(vocals.shape) * [[1.0], [0.5]]
    folder.mkdir(parents=True)
    for stem, signal in (("mixture", mixture), ("vocals", vocals)):
        soundfile.write(folder / f"{stem}.wav", signal.T, RATE, subtype="PCM_16")
    return folder


@dataclass
class Ran:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line of bad input; progress may stand before it."""
        assert self.code == 2, self.err
        assert "Traceback" not in self.err
        (line,) = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert self.err.splitlines()[-1] == line
        return line.removeprefix("error: ")


class Folder:
    """The folder of somebody, in which commands run."""

    def __init__(self, root: Path, patch: pytest.MonkeyPatch, capture: Any) -> None:
        self.root, self.patch, self.capture = root, patch, capture

    def run(self, *words: str) -> Ran:
        """Run ``stemproof WORDS``."""
        self.patch.setattr(sys, "argv", ["stemproof", *words])
        self.capture.readouterr()
        try:
            main()
            code = 0
        except SystemExit as exit:
            code = int(exit.code or 0)
        said = self.capture.readouterr()
        return Ran(code, said.out, said.err)

    def good(self, *words: str) -> str:
        """What a command that succeeds prints."""
        ran = self.run(*words)
        assert ran.code == 0, ran.err
        return ran.out

    def json(self, name: str) -> Any:
        return json.loads((self.root / name).read_text())


@pytest.fixture
def folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Folder]:
    """Two songs, systems, and a params.yaml that holds entries alone."""
    name = f"somebody_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    lines = ["separators:"]
    for entry, channels in [
        ("mine", 2),
        ("loud", 2),
        ("mono", 1),
        ("opaque", 2),
        ("liar", 2),
        ("nothing", 2),
    ]:
        function = "system" if entry == "mine" else entry
        about = f"function: '{name}:{function}', sample_rate: {RATE}, channels: {channels}"
        lines.append(f"  {entry}: {{kind: callable, {about}}}")
    (tmp_path / "params.yaml").write_text("\n".join(lines) + "\n")
    for number in range(2):
        make_song(tmp_path / "songs" / f"song {number}", number)
    monkeypatch.chdir(tmp_path)
    repeatable = torch.are_deterministic_algorithms_enabled()
    yield Folder(tmp_path, monkeypatch, capsys)
    torch.use_deterministic_algorithms(repeatable)  # commands switch them on
    for own in (name, "mine"):
        sys.modules.pop(own, None)
