"""Channels: systems of one number of them on recordings of another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from stemproof.core.errors import InputError
from stemproof.core.random import derive_seed
from stemproof.separators.protocol import Separator, Side
from stemproof.separators.wrappers.wrapper import Wrapper


@dataclass(frozen=True)
class EachChannel(Wrapper):
    """A mono system on a recording with any number of channels: each channel by itself.

    Side information is batch x channels x what the system inside makes of a channel.

    Attributes:
        inside: takes one channel.
        count: channels of the recordings.

    Raises:
        InputError: the system takes more than one channel, or the count is below 1.
    """

    count: int

    def __post_init__(self) -> None:
        if self.inside.channels != 1 or self.count < 1:
            raise InputError(
                f"a system of {self.inside.channels} channel(s) cannot take each of {self.count} "
                "by itself; name a mono system, and one channel or more"
            )

    @property
    def channels(self) -> int:
        """Of the recordings that it takes."""
        return self.count

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        """Estimate the vocals, batch x channels x samples both ways."""
        own = None if side is None else side.flatten(0, 1)
        return self._together(self.inside.separate(_apart(mixture), own))

    def _side(self, mixture: Tensor, vocals: Tensor) -> Tensor:
        inside: Any = self.inside
        side: Tensor = inside.side(_apart(mixture), _apart(vocals))
        return side.reshape(len(mixture), self.count, *side.shape[1:])

    def _reconstruct(self, vocals: Tensor) -> Tensor:
        inside: Any = self.inside
        return self._together(inside.reconstruct(_apart(vocals)))

    def _redrawn(self, seeds: Sequence[int]) -> Separator:
        inside: Any = self.inside
        own = [derive_seed(seed, "channel", c) for seed in seeds for c in range(self.count)]
        return self.around(inside.redrawn(own))

    def _together(self, estimate: Tensor) -> Tensor:
        return estimate.reshape(len(estimate) // self.count, self.count, -1)


def _apart(recordings: Tensor) -> Tensor:
    """Batch x channels x samples to batch * channels x 1 x samples."""
    return recordings.flatten(0, 1)[:, None]


@dataclass(frozen=True)
class CopiedChannel(Wrapper):
    """A system of several channels on a mono recording: copies go in, their mean comes out."""

    @property
    def channels(self) -> int:
        """Of the recordings that it takes."""
        return 1

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        """Estimate the vocals, batch x 1 x samples both ways."""
        return self.inside.separate(self._copies(mixture), side).mean(1, keepdim=True)

    def _side(self, mixture: Tensor, vocals: Tensor) -> Tensor:
        inside: Any = self.inside
        return inside.side(self._copies(mixture), self._copies(vocals))

    def _reconstruct(self, vocals: Tensor) -> Tensor:
        inside: Any = self.inside
        output: Tensor = inside.reconstruct(self._copies(vocals))
        return output.mean(1, keepdim=True)

    def _copies(self, mono: Tensor) -> Tensor:
        return mono.expand(-1, self.inside.channels, -1)


def with_channels(separator: Separator, channels: int) -> Separator:
    """A separator for recordings with some number of channels; as it is where it fits.

    Raises:
        InputError: neither the system nor the recordings are mono.
    """
    if separator.channels == channels:
        return separator
    if separator.channels == 1:
        return EachChannel(separator, channels)
    if channels == 1:
        return CopiedChannel(separator)
    raise InputError(
        f"a system of {separator.channels} channels cannot take recordings of {channels}; "
        "mix them to one channel"
    )
