"""How many passes through a system something takes: counted on a system that costs nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from stemproof.separators.protocol import Separator, Side

SAMPLES = 256  # of the recording that is played to it


@dataclass(frozen=True)
class Passes:
    """Passes of one recording.

    Attributes:
        forward: without a gradient.
        gradient: forward and backward.
    """

    forward: int = 0
    gradient: int = 0

    def seconds(self, cost: Cost) -> float:
        """How long they take, for a second of audio."""
        return self.forward * cost.forward + self.gradient * cost.gradient

    def __add__(self, other: Passes) -> Passes:
        return Passes(self.forward + other.forward, self.gradient + other.gradient)


@dataclass(frozen=True)
class Cost:
    """Seconds that a pass takes for a second of audio; as :class:`Passes`."""

    forward: float
    gradient: float


class Counter:
    """A system that counts what is played to it.

    Args:
        channels: of the recordings.
    """

    sample_rate = 8000

    def __init__(self, channels: int) -> None:
        self.channels = channels
        self.passes = Passes()

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        """Something of the mixture, in which a gradient is not constant."""
        by_gradient = torch.is_grad_enabled() and mixture.requires_grad
        count = len(mixture)
        self.passes += Passes(gradient=count) if by_gradient else Passes(forward=count)
        return torch.tanh(mixture)


def recording(channels: int) -> tuple[Tensor, Tensor]:
    """A mixture and its vocals for it, each 1 x channels x samples."""
    time = torch.arange(SAMPLES).expand(1, channels, -1)
    vocals = 0.1 * torch.sin(time / 9)
    return vocals + 0.05 * torch.cos(time / 4), vocals


def passes_of(played: Callable[[Separator, Tensor, Tensor], object], channels: int) -> Passes:
    """Passes that something takes for one recording.

    Args:
        played: system, mixture and vocals (1 x channels x samples each) in; whatever is done.
        channels: of the recordings.
    """
    counter = Counter(channels)
    played(counter, *recording(channels))
    return counter.passes
