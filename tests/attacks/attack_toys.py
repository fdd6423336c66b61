"""Small systems, signals and cases that the tests of attacks share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from stemproof.attacks.budgets import Bound
from stemproof.attacks.case import Case
from stemproof.data.excerpts import Excerpts
from stemproof.data.store import PreparedTrack
from stemproof.separators.protocol import Separator, Side
from stemproof.separators.registry import entry
from stemproof.separators.rsvm.model import build_model
from stemproof.separators.rsvm.separator import InformedRSVM, as_separator
from stemproof.separators.wrappers import FixedDraws


class Gain:
    """A linear separator: the mixture times a number."""

    sample_rate = 4000

    def __init__(self, gain: float, channels: int = 1) -> None:
        self.gain, self.channels = gain, channels

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        return self.gain * mixture


class Saturating(Gain):
    """A smooth non-linear separator whose output resembles the vocals."""

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        return torch.tanh(self.gain * mixture)


class Told(Saturating):
    """An informed separator: it is told where the vocals are loud."""

    twin = None

    def side(self, mixture: Tensor, vocals: Tensor) -> Tensor:
        return (vocals.abs() > 0.05).to(vocals)

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        assert side is not None
        return super().separate(mixture) * (0.3 + side)


class Crosstalk(Saturating):
    """A blind separator whose channels depend on each other and whose samples on those before."""

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        assert side is None
        before = pad(mixture, (7, 0))[..., :-7]
        return torch.tanh(self.gain * (mixture - 0.4 * before + 0.3 * mixture.roll(1, 1)))


class Noisy(Gain):
    """A fresh random gain per sample and pass hides the gradient's signs in noise."""

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        return mixture * (self.gain + 4 * torch.randn_like(mixture))

    def redrawn(self, seeds: Sequence[int]) -> Separator:
        return FixedDraws(self, tuple(seeds))


class Counting(Saturating):
    """Counts its passes."""

    passes = 0

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        self.passes += 1
        return super().separate(mixture, side)


def signals(batch: int = 3, samples: int = 200) -> tuple[Tensor, Tensor]:
    """Mixtures and vocals, each batch x samples."""
    draw = torch.Generator().manual_seed(1)
    vocals = 0.1 * torch.randn(batch, samples, generator=draw)
    return vocals + 0.1 * torch.randn(batch, samples, generator=draw), vocals


def case_of(
    separator: Separator, mixture: Tensor, vocals: Tensor, bound: Bound, passes: int = 1
) -> Case:
    """The case of some recordings, batch x samples (all channels)."""
    shape = (len(mixture), separator.channels, -1)
    seeds = range(len(mixture))
    return Case.of(separator, mixture.reshape(shape), vocals.reshape(shape), bound, seeds, passes)


def linf(eps: float) -> Bound:
    return Bound("linf", eps=eps)


def small_rsvm(make_params: Callable[..., Any], **settings: Any) -> InformedRSVM:
    """An untrained model: the improved one, or one with the given settings."""
    separators = {"x": {"kind": "rsvm", **settings}} if settings else {}
    params = make_params(**({"separators": separators} if settings else {}))
    _, variant = entry(params.separators, "x" if settings else "improved")
    rate, length = params.data.sample_rate, params.segment_samples
    model: Any = build_model(params.rsvm.sizes, variant, rate, length, 0)
    return as_separator(model)


def small_tracks(counts: Sequence[int], length: int, channels: int = 1) -> list[PreparedTrack]:
    """Tracks in memory: so many segments each, and a rest."""
    tracks = []
    for number, count in enumerate(counts):
        rng = np.random.default_rng(number)
        audio = 0.1 * rng.standard_normal((2, channels, count * length + 17))
        audio[0] += audio[1]
        tracks.append(PreparedTrack(f"track {number}", f"{number}.npy", audio.astype(np.float32)))
    return tracks


def small_segments(counts: Sequence[int], length: int, channels: int = 1) -> Excerpts:
    """Mono segments of tracks in memory."""
    return Excerpts.segments(small_tracks(counts, length, channels), length)
