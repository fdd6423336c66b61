"""Prepared tracks: memory-mapped reading of any segment, without decoding."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from stemproof.core.errors import InputError
from stemproof.core.files import FloatArray, read_array, read_json, sha256
from stemproof.params import Params

MANIFEST = "manifest.json"


def segment_starts(samples: int, length: int, overlap: float) -> list[int]:
    """First samples of the whole segments of a track; a rest shorter than a segment is left out."""
    step = max(1, round(length * (1 - overlap)))
    return list(range(0, samples - length + 1, step))


def loud_mask(vocals: NDArray[np.floating], threshold_db: float) -> NDArray[np.bool_]:
    """Which segments count: ``10 log10(||vocals||_2) >= threshold_db``.

    The reference code takes ten times the logarithm of the *norm*, and so do we.

    Args:
        vocals: segments x samples.
        threshold_db: the threshold in dB.
    """
    norms = np.linalg.norm(vocals.astype(np.float64), axis=-1)
    with np.errstate(divide="ignore"):
        return np.asarray(10 * np.log10(norms) >= threshold_db)


@dataclass(frozen=True)
class PreparedTrack:
    """A prepared track, mapped into memory: row 0 is the mixture, row 1 the vocals."""

    name: str
    file: str
    sha256: str
    audio: FloatArray

    def segments(self, length: int, part: slice = slice(None)) -> tuple[torch.Tensor, torch.Tensor]:
        """Mixture and vocals of all segments or some, each segments x samples, without overlap."""
        first, last, _ = part.indices(self.count(length))
        rows = [self.read(row, first * length, (last - first) * length) for row in (0, 1)]
        mixture, vocals = (torch.from_numpy(row.reshape(-1, length)) for row in rows)
        return mixture, vocals

    def count(self, length: int) -> int:
        """How many whole segments there are without overlap."""
        return self.audio.shape[1] // length

    def segment(self, number: int, length: int) -> FloatArray:
        """One segment, 2 x length; nothing else of the track is read."""
        return np.stack([self.read(row, number * length, length) for row in (0, 1)])

    def read(self, row: int, start: int, length: int) -> FloatArray:
        """Some samples of one row, read from the file and not through the mapping.

        What is read through a mapping stays with the process for as long as there is memory: in a
        long training that would be the whole data set.
        """
        if not isinstance(self.audio, np.memmap) or self.audio.filename is None:
            return np.array(self.audio[row, start : start + length])
        place = self.audio.offset + 4 * (row * self.audio.shape[1] + start)
        return np.fromfile(self.audio.filename, dtype="<f4", count=length, offset=place)


@dataclass(frozen=True)
class TrainingSegments:
    """All overlapping segments of a split; vocals and accompaniment are drawn apart."""

    tracks: list[PreparedTrack]
    length: int
    overlap: float

    @cached_property
    def index(self) -> list[tuple[int, int]]:
        """(track, first sample) of every segment."""
        return [
            (number, start)
            for number, track in enumerate(self.tracks)
            for start in segment_starts(track.audio.shape[1], self.length, self.overlap)
        ]

    def __len__(self) -> int:
        return len(self.index)

    def vocals(self, numbers: list[int]) -> torch.Tensor:
        """Vocals of the given segments, batch x samples."""
        return torch.from_numpy(np.stack([self._cut(number, 1) for number in numbers]))

    def accompaniment(self, numbers: list[int]) -> torch.Tensor:
        """Mixture minus vocals of the given segments, batch x samples."""
        cuts = [self._cut(number, 0) - self._cut(number, 1) for number in numbers]
        return torch.from_numpy(np.stack(cuts))

    def _cut(self, number: int, row: int) -> FloatArray:
        track, start = self.index[number]
        return self.tracks[track].read(row, start, self.length)


class PreparedData:
    """The folder that ``prepare-musdb18`` wrote.

    Raises:
        InputError: the manifest or a file it names is missing or damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = read_json(folder / MANIFEST)
        self.fingerprint = sha256(folder / MANIFEST)

    @property
    def source(self) -> str:
        """``demo``, ``musdb18`` or ``musdb18hq``."""
        return str(self.manifest["source"])

    def tracks(self, split: str) -> list[PreparedTrack]:
        """The tracks of one split, in the manifest's order."""
        tracks = []
        for entry in self.manifest["tracks"]:
            if entry["split"] != split:
                continue
            path = self.folder / entry["file"]
            audio = read_array(path)
            if audio.shape != (2, entry["samples"]):
                raise InputError(f"{path}: damaged; prepare the data again")
            tracks.append(PreparedTrack(entry["name"], entry["file"], entry["sha256"], audio))
        return tracks

    def training_segments(self, params: Params) -> TrainingSegments:
        """The training split, cut with overlap."""
        return TrainingSegments(
            self.tracks("train"), params.segment_samples, params.segments.train_overlap
        )
