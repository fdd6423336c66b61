"""A song of any length in parts: windows that are cross-faded, and tiles that are measured."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Windows:
    """Windows of one length that overlap; weights of every sample add up to one.

    Neighbours are cross-faded around the middle of what they share. A song that is shorter than a
    window is a single one.

    Attributes:
        samples: of the song.
        length: of a window, at most, in samples.
        fade: samples of a cross-fade, at most half of ``length``.
    """

    samples: int
    length: int
    fade: int

    @functools.cached_property
    def starts(self) -> list[int]:
        """Where windows begin, spread evenly; the last one ends with the song."""
        if self.samples <= self.length:
            return [0]
        steps = math.ceil((self.samples - self.length) / (self.length - self.fade))
        return [round(n * (self.samples - self.length) / steps) for n in range(steps + 1)]

    def span(self, number: int) -> tuple[int, int]:
        """First sample of a window, and one after its last."""
        start = self.starts[number]
        return start, min(start + self.length, self.samples)

    def weight(self, number: int) -> Tensor:
        """The weight of every sample of a window, float32 from 0 to 1."""
        starts = self.starts
        start, stop = self.span(number)
        place = torch.arange(start, stop, dtype=torch.float64) + 0.5
        weight = torch.ones_like(place)
        if number > 0:
            weight = self._rise(place, starts, number)
        if number + 1 < len(starts):
            weight = weight - self._rise(place, starts, number + 1)
        return weight.float()

    def _rise(self, place: Tensor, starts: list[int], number: int) -> Tensor:
        """From 0 to 1 around the middle of what a window shares with the one before."""
        middle = (starts[number] + starts[number - 1] + self.length) / 2
        along = ((place - middle) / self.fade + 0.5).clamp(0, 1)
        return (along * math.pi / 2).sin().square()


@dataclass(frozen=True)
class Tiles:
    """Parts that are measured: side by side, each with what surrounds it.

    They do not lie as :class:`Windows` do: nobody knows how a separator will cut the song.

    Attributes:
        samples: of the song.
        length: of a tile with its surroundings, in samples.
        around: samples before and after, which are heard and not measured.
    """

    samples: int
    length: int
    around: int

    def __len__(self) -> int:
        return max(1, math.ceil(self.samples / self.own))

    @property
    def own(self) -> int:
        """Samples of a tile that are measured."""
        return self.length - 2 * self.around

    def span(self, number: int) -> tuple[int, int]:
        """First sample that is heard, which can be negative, and one after the last."""
        start = number * self.own
        stop = min(start + self.own, self.samples)
        return start - self.around, stop + self.around

    def inner(self, heard: Tensor) -> Tensor:
        """What of a tile is measured, ... x samples."""
        return heard[..., self.around : heard.shape[-1] - self.around]

    def spread(self, count: int) -> list[int]:
        """So many tiles, spread over the song; its beginning and end are often quiet."""
        count = min(count, len(self))
        return sorted({int((n + 0.5) * len(self) / count) for n in range(count)})
