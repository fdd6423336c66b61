"""Recordings that somebody hands over as arrays: checked, and of one shape."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stemproof.core.errors import InputError

Signal = Tensor | NDArray[Any]


@dataclass(frozen=True)
class Recordings:
    """Mixtures and their true vocals.

    Attributes:
        mixture: batch x channels x samples, float32.
        vocals: same shape.
        sample_rate: in Hz.
    """

    mixture: Tensor
    vocals: Tensor
    sample_rate: int

    @classmethod
    def of(cls, mixture: Signal, vocals: Signal | None, sample_rate: int) -> Recordings:
        """Check a pair of arrays.

        Args:
            mixture: as :func:`as_batch` takes it.
            vocals: same shape.
            sample_rate: in Hz.

        Raises:
            InputError: as :func:`as_batch`; there are no vocals, they have another shape, or
                those of a recording are silent.
        """
        if vocals is None:
            raise InputError("a mixture without its true vocals cannot be scored; hand both over")
        x, s = as_batch(mixture, "mixture"), as_batch(vocals, "vocals")
        if x.shape != s.shape:
            raise InputError(
                f"vocals are {shown(s)}, but the mixture is {shown(x)}; they must be of one shape"
            )
        if x.device != s.device:
            raise InputError(f"vocals are on {s.device}, the mixture on {x.device}; move one")
        silent = (s == 0).flatten(1).all(-1).nonzero().flatten().tolist()
        if silent:
            raise InputError(
                f"recording {silent[0]} has no vocals (they are silent), for which there is no "
                "SI-SDR; leave it out"
            )
        return cls(x, s, sample_rate)

    def __len__(self) -> int:
        return len(self.mixture)

    @property
    def seconds(self) -> float:
        """Length of each."""
        return self.mixture.shape[-1] / self.sample_rate

    def names(self, given: Sequence[str] | None) -> list[str]:
        """Names of the recordings: those given, or their numbers.

        Raises:
            InputError: there are not as many names as recordings.
        """
        if given is None:
            return [str(number) for number in range(len(self))]
        if len(given) != len(self):
            raise InputError(f"{len(given)} names for {len(self)} recordings; give one for each")
        return [str(name) for name in given]

    @property
    def sha256(self) -> str:
        """Of sample rate, shape and samples."""
        return hash_of(self.mixture, self.vocals, sample_rate=self.sample_rate)


def as_batch(signal: Signal, name: str) -> Tensor:
    """Any array of recordings as float32, batch x channels x samples.

    Args:
        signal: a tensor or array of floats, full scale 1. With three axes it is batch x channels x
            samples; with one, the samples of a single mono recording. Two axes could be either
            batch or channels, and are refused.
        name: for messages.

    Raises:
        InputError: no array, no floats, two axes or more than three, nothing in it, or a sample is
            not a number.
    """
    if isinstance(signal, np.ndarray) and np.issubdtype(signal.dtype, np.floating):
        signal = torch.from_numpy(np.array(signal, dtype=np.float32))
    if not isinstance(signal, Tensor) or not signal.dtype.is_floating_point:
        kind = getattr(signal, "dtype", type(signal).__name__)
        raise InputError(
            f"{name} must be a tensor or a NumPy array of floats, full scale 1, not {kind}; "
            "divide 16-bit samples by 32768"
        )
    signal = signal.detach().to(torch.float32)
    if signal.ndim == 1:
        signal = signal[None, None]
    if signal.ndim == 2:
        raise InputError(
            f"{name} has two axes, {shown(signal)}; say which: x[None] for one recording of "
            "channels x samples, x[:, None] for mono recordings"
        )
    if signal.ndim != 3 or not signal.numel():
        raise InputError(f"{name} is {shown(signal)}; batch x channels x samples was expected")
    if not torch.isfinite(signal).all():
        raise InputError(f"{name} has samples that are not numbers; correct the recording")
    return signal


def shown(signal: Tensor) -> str:
    """A shape in words."""
    return " x ".join(str(size) for size in signal.shape)


def hash_of(*signals: Tensor, sample_rate: int) -> str:
    """The SHA-256 of a sample rate, shapes and samples (little-endian float32)."""
    found = hashlib.sha256(f"{sample_rate}".encode())
    for signal in signals:
        found.update(f" {shown(signal)} ".encode())
        found.update(signal.cpu().contiguous().numpy().astype("<f4").tobytes())
    return found.hexdigest()
