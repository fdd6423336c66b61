"""Prepared tracks: memory-mapped reading of any segment, without decoding."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from stemproof.core.errors import InputError
from stemproof.core.files import (
    FloatArray,
    read_array,
    sha256,
)
from stemproof.data.manifest import read_manifest
from stemproof.data.params import SegmentParams

LOUDEST = 100.0  # full scale is 1; of larger samples float32 may not hold what is computed
MIXTURE, VOCALS = 0, 1  # stems of a prepared track, in the order of its file


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
    """A prepared track, mapped into memory.

    Attributes:
        name: of the song.
        file: name of its file in the folder.
        audio: mixture and vocals, 2 x channels x samples.
        rendered: whether it is no recording of musicians.
    """

    name: str
    file: str
    audio: FloatArray
    rendered: bool = False

    @property
    def mixture(self) -> FloatArray:
        """Channels x samples."""
        return self.audio[MIXTURE]

    @property
    def vocals(self) -> FloatArray:
        """Channels x samples."""
        return self.audio[VOCALS]

    @property
    def samples(self) -> int:
        """Length."""
        return int(self.audio.shape[-1])

    @property
    def channels(self) -> int:
        """Of the recording."""
        return int(self.audio.shape[1])

    def count(self, length: int) -> int:
        """How many whole segments there are without overlap."""
        return self.samples // length

    def segments(self, length: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Mixture and vocals of all segments in mono, without overlap.

        Each is segments x 1 x length.
        """
        whole = self.count(length) * length
        mixture, vocals = (
            torch.from_numpy(self.mono(stem, 0, whole).reshape(-1, 1, length))
            for stem in (MIXTURE, VOCALS)
        )
        return mixture, vocals

    def mono(self, stem: int, start: int, length: int) -> FloatArray:
        """Some samples of one stem, the mean of its channels."""
        audio = self.read(stem, start, length)
        return audio[0] if len(audio) == 1 else audio.mean(axis=0)

    def read(self, stem: int, start: int, length: int) -> FloatArray:
        """Some samples of one stem, channels x length, from the file and not through the mapping.

        What is read through a mapping stays with the process for as long as there is memory: in a
        long training that would be the whole data set.
        """
        audio = self.audio
        if not isinstance(audio, np.memmap) or audio.filename is None:
            return np.array(audio[stem, :, start : start + length])
        _, channels, samples = audio.shape
        rows = [
            np.fromfile(
                audio.filename,
                dtype="<f4",
                count=length,
                offset=audio.offset + 4 * ((stem * channels + channel) * samples + start),
            )
            for channel in range(channels)
        ]
        return np.stack(rows)


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
            for start in segment_starts(track.samples, self.length, self.overlap)
        ]

    def __len__(self) -> int:
        return len(self.index)

    def vocals(self, numbers: list[int]) -> torch.Tensor:
        """Vocals of the given segments, batch x samples (the mean of the channels)."""
        return torch.from_numpy(np.stack([self._cut(number, VOCALS) for number in numbers]))

    def accompaniment(self, numbers: list[int]) -> torch.Tensor:
        """Mixture minus vocals of the given segments, batch x samples."""
        cuts = [self._cut(number, MIXTURE) - self._cut(number, VOCALS) for number in numbers]
        return torch.from_numpy(np.stack(cuts))

    def _cut(self, number: int, stem: int) -> FloatArray:
        track, start = self.index[number]
        return self.tracks[track].mono(stem, start, self.length)


def too_loud(tracks: Iterable[PreparedTrack]) -> str | None:
    """Whether samples are to blame for an output that is not a number.

    Returns:
        The first track whose samples no recording has, and what to do; None where there is none.
    """
    for track in tracks:
        largest = float(np.abs(track.audio).max(initial=0))
        if not largest <= LOUDEST:
            return (
                f"the samples of {track.name} reach {largest:.3g}, and full scale is 1: "
                "correct the recording and run prepare-musdb18 again"
            )
    return None


class PreparedData:
    """The folder that ``prepare-musdb18`` wrote, opened and verified.

    Every file that the manifest names is read once and held against its SHA-256: what is computed
    with is what was prepared.

    Args:
        folder: where it is.
        verify: whether the hashes are compared.

    Raises:
        InputError: the manifest or a file it names is missing or damaged, or has changed.
    """

    def __init__(self, folder: Path, verify: bool = True) -> None:
        self.folder = folder
        self.manifest, self.fingerprint = read_manifest(folder)
        for entry in self.manifest.tracks if verify else ():
            if sha256(folder / entry.file) != entry.sha256:
                raise InputError(
                    f"{folder / entry.file}: changed since it was prepared; run "
                    "prepare-musdb18 again"
                )

    @property
    def source(self) -> str:
        """The value of ``data.source`` that it was made with."""
        return self.manifest.source

    @property
    def sample_rate(self) -> int:
        """Of all tracks, in Hz."""
        return self.manifest.sample_rate

    @property
    def channels(self) -> int:
        """Of all tracks."""
        return self.manifest.channels

    def tracks(self, split: str) -> list[PreparedTrack]:
        """The tracks of one split, in the manifest's order.

        Raises:
            InputError: there is none to test on, or a file has not the shape in the manifest.
        """
        tracks = []
        for entry in self.manifest.tracks:
            if entry.split != split:
                continue
            path = self.folder / entry.file
            audio = read_array(path)
            if audio.shape != (2, self.channels, entry.samples):
                raise InputError(f"{path}: damaged; prepare the data again")
            tracks.append(PreparedTrack(entry.name, entry.file, audio, entry.rendered))
        if split == "test" and not tracks:
            raise InputError(f"{self.folder}: no track in the test split; prepare others")
        return tracks

    def training_segments(self, segments: SegmentParams) -> TrainingSegments:
        """The training split, cut with overlap."""
        return TrainingSegments(
            self.tracks("train"), segments.samples(self.sample_rate), segments.train_overlap
        )
