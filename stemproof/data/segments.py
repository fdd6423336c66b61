"""The segments of a split: a list of places, read when they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stemproof.core.random import derive_seed
from stemproof.data.store import PreparedTrack, loud_mask


@dataclass(frozen=True)
class Segments:
    """The whole segments of some tracks, without overlap.

    Attributes:
        tracks: the tracks.
        length: samples per segment.
        places: (number of the track, number of the segment in it).
    """

    tracks: Sequence[PreparedTrack]
    length: int
    places: list[tuple[int, int]]

    @classmethod
    def of(cls, tracks: Sequence[PreparedTrack], length: int) -> Segments:
        """All whole segments of the tracks."""
        places = [(t, s) for t, track in enumerate(tracks) for s in range(track.count(length))]
        return cls(tracks, length, places)

    def __len__(self) -> int:
        return len(self.places)

    def loud(self, threshold_db: float) -> list[int]:
        """Numbers of the segments that count."""
        chosen = []
        for number in range(len(self)):
            _, vocals = self.read([number])
            if loud_mask(vocals.flatten(1).numpy(), threshold_db)[0]:
                chosen.append(number)
        return chosen

    def read(
        self, numbers: Sequence[int], device: torch.device | str = "cpu"
    ) -> tuple[Tensor, Tensor]:
        """Mixture and vocals of some segments, each batch x channels x samples."""
        pairs = [
            self.tracks[t].segments(self.length, slice(s, s + 1))
            for t, s in (self.places[number] for number in numbers)
        ]
        mixture, vocals = (torch.cat(part).to(device) for part in zip(*pairs, strict=True))
        return mixture, vocals

    def track(self, number: int) -> str:
        """Name of the track that a segment is of."""
        return self.tracks[self.places[number][0]].name

    def seed(self, number: int, *purpose: str | int) -> int:
        """The seed of a segment: of its track's name and its place in it, and of nothing else."""
        track, place = self.places[number]
        return segment_seed(self.tracks[track].name, place, *purpose)


def segment_seed(track: str, place: int, *purpose: str | int) -> int:
    """The seed of random numbers for one segment.

    Args:
        track: name.
        place: number of the segment in the track.
        purpose: what the numbers are for, with the seed of the parameters.
    """
    return derive_seed(*purpose, track, place)
