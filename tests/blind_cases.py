"""Stereo recordings on disk, and blind systems whose channels and samples depend on each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from stemproof.core.files import sha256, write_array
from stemproof.data.manifest import write_manifest
from stemproof.data.store import PreparedData
from stemproof.separators.protocol import Side

RATE, LENGTH = 4000, 1000
# Samples of every track: whole segments and a rest, or none. The last track has no vocals.
SAMPLES = {"train": (6005, 3005), "valid": (2000,), "test": (4017, 7000, 3400, 2300)}
SILENT = "test 3"


class Crosstalk:
    """Each channel with its own past and what the other one has."""

    sample_rate, channels = RATE, 2

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        assert side is None and mixture.shape[1] == self.channels
        before = pad(mixture, (60, 0))[..., :-60]
        return torch.tanh(3 * (mixture - 0.4 * before + 0.3 * mixture.roll(1, 1)))


class Mono:
    """A mono system for another rate; it remembers what it heard."""

    sample_rate, channels = 8000, 1

    def __init__(self) -> None:
        self.heard: list[tuple[int, ...]] = []

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        self.heard.append(tuple(mixture.shape))
        return torch.tanh(3 * (mixture - 0.4 * pad(mixture, (20, 0))[..., :-20]))


def stereo_data(
    folder: Path, samples: dict[str, tuple[int, ...]] | None = None, mono: bool = False
) -> PreparedData:
    """Prepared data in a new folder; the second segment of every track is silent.

    Args:
        folder: where.
        samples: of the tracks of every split.
        mono: whether the mean of the channels is stored in place of the recording.
    """
    folder.mkdir(parents=True)
    entries: list[dict[str, Any]] = []
    for split, lengths in (samples or SAMPLES).items():
        for number, count in enumerate(lengths):
            draw = np.random.default_rng([len(split), number])
            time = np.arange(count)
            vocals = 0.2 * np.sin(time * (0.2 + 0.05 * number) + [[0.0], [0.7]])
            vocals += 0.02 * draw.standard_normal((2, count))
            vocals[:, LENGTH : 2 * LENGTH] = 0
            if f"{split} {number}" == SILENT:
                vocals[:] = 0
            mixture = vocals + 0.1 * draw.standard_normal((2, count)) * [[1.0], [0.5]]
            audio = np.stack([mixture, vocals]).astype(np.float32)
            if mono:
                audio = audio.mean(axis=1, keepdims=True)
            file = f"{split}-{number}.npy"
            write_array(folder / file, audio)
            about = {"split": split, "name": f"{split} {number}", "file": file, "samples": count}
            about["rendered"] = False
            entries.append({**about, "sha256": sha256(folder / file)})
    manifest = {"source": "demo", "sample_rate": RATE, "channels": len(audio[0])}
    write_manifest(folder, {**manifest, "tracks": entries})
    return PreparedData(folder)
