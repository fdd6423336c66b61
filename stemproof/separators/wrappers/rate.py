"""Sample rates: a system of one rate on recordings of another."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from stemproof.core.errors import InputError
from stemproof.separators.protocol import Separator, Side
from stemproof.separators.wrappers.wrapper import Wrapper

if TYPE_CHECKING:
    from julius import ResampleFrac

LARGEST = 2**22  # product of two rates without their common divisor: coefficients of the filters


@dataclass(frozen=True)
class Resampled(Wrapper):
    """A system of one sample rate on recordings of another, differentiable.

    The recording is resampled (windowed sinc; Smith's algorithm), and the estimate back, to the
    very length of the recording. What lies above half of the lower rate is lost.

    Attributes:
        inside: the system.
        rate: of the recordings, in Hz.

    Raises:
        InputError: the rate is no positive whole number, or the two rates have so small a common
            divisor that the filters would fill the memory.
    """

    rate: int

    def __post_init__(self) -> None:
        if not isinstance(self.rate, int) or self.rate < 1:
            raise InputError(f"sample_rate = {self.rate} must be a whole number of Hz above 0")
        own = self.inside.sample_rate
        if self.rate * own // math.gcd(self.rate, own) ** 2 > LARGEST:
            raise InputError(
                f"{self.rate} Hz and {own} Hz have too small a common divisor; resample the "
                "recordings beforehand"
            )

    @property
    def sample_rate(self) -> int:
        """Of the recordings that it takes, in Hz."""
        return self.rate

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        """Estimate the vocals, batch x channels x samples both ways."""
        return self._back(self.inside.separate(self._into(mixture), side), mixture.shape[-1])

    def _side(self, mixture: Tensor, vocals: Tensor) -> Tensor:
        inside: Any = self.inside
        return inside.side(self._into(mixture), self._into(vocals))

    def _reconstruct(self, vocals: Tensor) -> Tensor:
        inside: Any = self.inside
        return self._back(inside.reconstruct(self._into(vocals)), vocals.shape[-1])

    def _into(self, recording: Tensor) -> Tensor:
        own = self.inside.sample_rate
        # Rounded up: enough samples for the way back.
        return resampled(recording, self.rate, own, -(-recording.shape[-1] * own // self.rate))

    def _back(self, estimate: Tensor, samples: int) -> Tensor:
        return resampled(estimate, self.inside.sample_rate, self.rate, samples)


def resampled(signal: Tensor, old: int, new: int, samples: int) -> Tensor:
    """A signal at another sample rate, differentiable (windowed sinc, no delay).

    Args:
        signal: ... x samples.
        old: its rate, in Hz.
        new: the rate that is wanted, in Hz.
        samples: that are wanted; at most as long as the signal.

    Returns:
        ... x ``samples``.
    """
    if old == new:
        return signal
    resample = _resampler(old, new, signal.dtype, signal.device)
    # The library counts samples in float32, which a song of six minutes exceeds, and cuts off what
    # it takes for too much. It repeats the last sample anyway; so more of it changes nothing.
    more = old // math.gcd(old, new) + signal.shape[-1] // 2**20
    flat = signal.reshape(-1, 1, signal.shape[-1])
    whole: Tensor = resample(F.pad(flat, (0, more), mode="replicate"), full=True)
    return whole[..., :samples].reshape(*signal.shape[:-1], samples)


@functools.lru_cache(maxsize=16)
def _resampler(old: int, new: int, dtype: torch.dtype, device: torch.device) -> ResampleFrac:
    from julius import ResampleFrac  # only who resamples needs it

    return ResampleFrac(old, new).to(device=device, dtype=dtype)


def with_sample_rate(separator: Separator, sample_rate: int) -> Separator:
    """A separator for recordings of some sample rate in Hz; as it is where it fits.

    Raises:
        InputError: as :class:`Resampled`.
    """
    if separator.sample_rate == sample_rate:
        return separator
    return Resampled(separator, sample_rate)
