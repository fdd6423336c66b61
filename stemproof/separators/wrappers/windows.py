"""Windows: a whole recording through a system that takes little of it at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from stemproof.core.errors import InputError
from stemproof.core.random import derive_seed
from stemproof.separators.protocol import Informed, Separator, Side, redrawn
from stemproof.separators.wrappers.wrapper import Wrapper


@dataclass(frozen=True)
class Windowed(Wrapper):
    """A recording in windows that overlap and are cross-faded; weights add up to one.

    All windows have the same length. The last one ends where the recording does, and overlaps the
    one before as much as that takes; a recording that is shorter than a window is filled up with
    zeros. In the backward pass every window is computed again, so that what is kept for it does
    not grow with the recording.

    Side information is made window by window, batch x windows x what the system inside makes of a
    window: that of a whole recording is another thing, and is refused.

    Attributes:
        inside: the system.
        seconds: length of a window.
        overlap: of two windows, as a fraction of one, from 0 to 0.9.
        seeds: of a random system whose draws are fixed, one an item; None leaves them free.

    Raises:
        InputError: the window is shorter than two samples, or the overlap is not allowed.
    """

    seconds: float
    overlap: float
    seeds: tuple[int, ...] | None = None
    # Shapes of side information by length of a window and number of channels.
    _shapes: dict[Any, tuple[int, ...]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        if not (math.isfinite(self.seconds) and self.length >= 2):
            raise InputError(f"seconds = {self.seconds} must make a window of 2 samples or more")
        if not 0 <= self.overlap <= 0.9:
            raise InputError(f"overlap = {self.overlap} must be from 0 to 0.9")

    @property
    def length(self) -> int:
        """Samples of a window."""
        return round(self.seconds * self.sample_rate)

    def starts(self, samples: int) -> list[int]:
        """Where the windows of a recording begin, in samples."""
        last = max(samples - self.length, 0)
        hop = max(self.length - round(self.overlap * self.length), 1)
        return [*range(0, last, hop), last]

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        """Estimate the vocals, batch x channels x samples both ways.

        Raises:
            ValueError: the side information is not what this wrapper makes of such a mixture.
        """
        if side is not None:
            self._check(mixture, side)

        def one(window: int, heard: Tensor) -> Tensor:
            own = None if side is None else side[:, window]
            system = self.inside
            if self.seeds is not None:
                system = redrawn(system, [derive_seed(s, "window", window) for s in self.seeds])
            output: Tensor = checkpoint(system.separate, heard, own, use_reentrant=False)
            return output

        return self._faded(mixture, one)

    def _side(self, mixture: Tensor, vocals: Tensor) -> Tensor:
        inside: Any = self.inside
        pairs = zip(self._windows(mixture), self._windows(vocals), strict=True)
        return torch.stack([inside.side(heard, true) for heard, true in pairs], dim=1)

    def _reconstruct(self, vocals: Tensor) -> Tensor:
        inside: Any = self.inside
        return self._faded(vocals, lambda _, own: inside.reconstruct(own))

    def _redrawn(self, seeds: Sequence[int]) -> Separator:
        return replace(self, seeds=tuple(seeds))

    def _windows(self, recording: Tensor) -> list[Tensor]:
        samples = recording.shape[-1]
        if samples < self.length:
            recording = F.pad(recording, (0, self.length - samples))
        return [recording[..., at : at + self.length] for at in self.starts(samples)]

    def _faded(self, recording: Tensor, system: Callable[[int, Tensor], Tensor]) -> Tensor:
        samples = recording.shape[-1]
        outputs = [system(n, heard) for n, heard in enumerate(self._windows(recording))]
        ramp = round(self.overlap * self.length)
        faded: Tensor = _CrossFade.apply(  # type: ignore[no-untyped-call]
            self.starts(samples), ramp, *outputs
        )
        return faded[..., :samples]

    def _check(self, mixture: Tensor, side: Tensor) -> None:
        """Does the side information have the shape of one that was made window by window?"""
        inside = self.inside
        if not isinstance(inside, Informed):
            raise ValueError("side information for a system that takes none")
        key = self.length, mixture.shape[1]
        if key not in self._shapes:
            silence = torch.zeros_like(mixture[:1, :, :1]).expand(1, -1, self.length)
            with torch.no_grad():
                self._shapes[key] = tuple(inside.side(silence, silence).shape[1:])
        wanted = len(mixture), len(self.starts(mixture.shape[-1])), *self._shapes[key]
        if tuple(side.shape) != wanted:
            raise ValueError(
                f"side information of shape {tuple(side.shape)} was not made window by window "
                f"for this mixture, which takes {wanted}; make it with this separator's own `side`"
            )


class _CrossFade(torch.autograd.Function):
    """Add up windows, each faded in and out, with weights that add up to one.

    A function of its own, since autograd would keep a weight a sample, and go through the whole
    recording once a window.
    """

    @staticmethod
    def forward(ctx: Any, starts: list[int], ramp: int, *windows: Tensor) -> Tensor:
        ctx.starts, ctx.ramp, ctx.length = starts, ramp, windows[0].shape[-1]
        total = windows[0].new_zeros(*windows[0].shape[:-1], starts[-1] + ctx.length)
        weights = _weights(starts, ctx.length, ramp, total)
        for at, window, weight in zip(starts, windows, weights, strict=True):
            total[..., at : at + ctx.length] += window * weight
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        (gradient,) = gradients
        weights = _weights(ctx.starts, ctx.length, ctx.ramp, gradient)
        parts = [
            gradient[..., at : at + ctx.length] * weight
            for at, weight in zip(ctx.starts, weights, strict=True)
        ]
        return (None, None, *parts)


def _weights(starts: list[int], length: int, ramp: int, like: Tensor) -> Iterator[Tensor]:
    """The weight of every sample of every window; those of one place add up to one."""
    place = (torch.arange(length, dtype=torch.float64) + 0.5) / max(ramp, 1)
    rise = place.clamp(max=1).mul(math.pi / 2).sin().square()
    fade = rise * rise.flip(0)
    total = torch.zeros(starts[-1] + length, dtype=torch.float64)
    for at in starts:
        total[at : at + length] += fade
    return ((fade / total[at : at + length]).to(like) for at in starts)
