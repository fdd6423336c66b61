"""The parts of recordings that a separator hears at once: a list of places, read when asked for.

A system that is told something of the stems hears mono segments, one after the other. A blind one
hears the recording with all its channels, in excerpts or as a whole. Both are scored on the same
segments.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stemproof.core.random import derive_seed
from stemproof.data.store import MIXTURE, VOCALS, PreparedTrack, loud_mask


@dataclass(frozen=True)
class Place:
    """A part of a track.

    Attributes:
        track: number of the track.
        number: of the part in its track.
        start: first sample.
        stop: sample behind the last.
    """

    track: int
    number: int
    start: int
    stop: int

    @property
    def samples(self) -> int:
        """Length."""
        return self.stop - self.start


@dataclass(frozen=True)
class Excerpts:
    """Parts of some tracks, one after the other and without overlap.

    Attributes:
        tracks: the tracks.
        places: the parts, track by track.
        segment: samples of the segments that figures are computed on; parts begin where one does.
        channels: of what is read; 1 for the mean of a recording's channels.
    """

    tracks: Sequence[PreparedTrack]
    places: list[Place]
    segment: int
    channels: int

    @classmethod
    def segments(cls, tracks: Sequence[PreparedTrack], length: int, channels: int = 1) -> Excerpts:
        """All whole segments of the tracks; a rest at the end is left out.

        Args:
            tracks: the tracks.
            length: samples of a segment.
            channels: as those of the tracks; 1 for mono.
        """
        places = [
            Place(number, part, part * length, (part + 1) * length)
            for number, track in enumerate(tracks)
            for part in range(track.count(length))
        ]
        return cls(tracks, places, length, channels)

    @classmethod
    def recordings(
        cls, tracks: Sequence[PreparedTrack], segment: int, longest: int | None = None
    ) -> Excerpts:
        """The whole tracks with all their channels, cut where they are longer than ``longest``.

        An excerpt has a whole number of segments; the last one of a track also has what is left
        behind them.

        Args:
            tracks: of one number of channels.
            segment: samples of a segment.
            longest: samples of an excerpt at most, one segment at least; None for whole tracks.
        """
        places = []
        for number, track in enumerate(tracks):
            own = track.samples if longest is None else max(longest // segment, 1) * segment
            # A rest that holds no segment belongs to the excerpt before it.
            starts = range(0, max(track.samples - segment, 0) + 1, own)
            stops = [*starts[1:], track.samples]
            for part, (start, stop) in enumerate(zip(starts, stops, strict=True)):
                places.append(Place(number, part, start, stop))
        return cls(tracks, places, segment, tracks[0].channels if tracks else 1)

    def __len__(self) -> int:
        return len(self.places)

    def of_length(self, samples: int) -> Excerpts:
        """The beginnings of those parts that are no shorter, all of one length."""
        places = [
            Place(place.track, place.number, place.start, place.start + samples)
            for place in self.places
            if place.samples >= samples
        ]
        return Excerpts(self.tracks, places, self.segment, self.channels)

    def of_track(self, track: int) -> list[int]:
        """Numbers of the parts of one track."""
        return [number for number, place in enumerate(self.places) if place.track == track]

    def counted(self, number: int) -> int:
        """How many whole segments a part has."""
        return self.places[number].samples // self.segment

    def batches(self, numbers: Sequence[int], size: int) -> Iterator[list[int]]:
        """Neighbours of one length that are computed at once.

        Args:
            numbers: of parts.
            size: segments at once; a part counts as many as it has, and one part always fits.
        """
        batch: list[int] = []
        for number in numbers:
            length = self.places[number].samples
            room = max(size // max(self.counted(number), 1), 1)
            if batch and (len(batch) >= room or self.places[batch[0]].samples != length):
                yield batch
                batch = []
            batch.append(number)
        if batch:
            yield batch

    def largest_batch(self, numbers: Sequence[int], size: int) -> int:
        """Samples of one channel that are computed at once, at most.

        Args:
            numbers: of parts.
            size: as of :meth:`batches`.
        """
        found = self.batches(numbers, size)
        return max((len(batch) * self.places[batch[0]].samples for batch in found), default=0)

    def loud(self, threshold_db: float) -> list[int]:
        """Numbers of the parts in which a segment counts."""
        return [n for n in range(len(self)) if self.loud_segments(n, threshold_db).any()]

    def loud_segments(self, number: int, threshold_db: float) -> Tensor:
        """Which segments of a part count, by their vocals in mono.

        So that the same segments count, whatever a system hears.
        """
        place, count = self.places[number], max(self.counted(number), 1)
        track = self.tracks[place.track]
        length = min(count * self.segment, place.samples)
        vocals = track.mono(VOCALS, place.start, length)
        return torch.from_numpy(loud_mask(vocals.reshape(count, -1), threshold_db))

    def read(
        self, numbers: Sequence[int], device: torch.device | str = "cpu"
    ) -> tuple[Tensor, Tensor]:
        """Mixture and vocals of some parts of one length, each batch x channels x samples."""
        stems = [[], []]  # type: list[list[Tensor]]
        for number in numbers:
            place = self.places[number]
            track = self.tracks[place.track]
            for stem, parts in zip((MIXTURE, VOCALS), stems, strict=True):
                if self.channels == 1:
                    audio = track.mono(stem, place.start, place.samples)[None]
                else:
                    audio = track.read(stem, place.start, place.samples)
                parts.append(torch.from_numpy(audio))
        mixture, vocals = (torch.stack(parts).to(device) for parts in stems)
        return mixture, vocals

    def track(self, number: int) -> str:
        """Name of the track that a part is of."""
        return self.tracks[self.places[number].track].name

    def seed(self, number: int, *purpose: str | int) -> int:
        """The seed of a part: of its track's name and its place in it, and of nothing else."""
        place = self.places[number]
        return part_seed(self.tracks[place.track].name, place.number, *purpose)


def part_seed(track: str, number: int, *purpose: str | int) -> int:
    """The seed of random numbers for one part of a track.

    Args:
        track: name.
        number: of the part in the track.
        purpose: what the numbers are for, with the seed of the parameters.
    """
    return derive_seed(*purpose, track, number)
