"""Demucs as a separator: the package's way through a recording, differentiable."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from stemproof.core.errors import InputError
from stemproof.separators.demucs.models import VOCALS, Ensemble, shortest
from stemproof.separators.protocol import Separator, Side
from stemproof.separators.wrappers.draws import FixedDraws

QUIETEST = 1e-8  # what the package adds to a recording's standard deviation
LARGEST_SHIFT = 0.5  # seconds


class DemucsVocals:
    """The vocals of a bag of models, as the package's ``apply_model`` computes them.

    The recording is normalised by mean and standard deviation of its mono mix. Every model takes
    it in windows, each with what is around it where the model asks for more, and the windows are
    added up with the weights of a triangle. The package computes this without gradient; here the
    whole of it, the normalisation included, has one. In the backward pass every window is computed
    again, so that what is kept for it does not grow with the recording.

    Args:
        system: the models, frozen.
    """

    def __init__(self, system: Ensemble) -> None:
        self.system = system
        self.sample_rate = system.sample_rate
        self.channels = system.channels

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        """Estimate the vocals, batch x channels x samples both ways.

        Raises:
            InputError: the last window of such a recording is too short for a model.
        """
        return self._through(mixture, None)

    def doubled(self) -> Separator:
        """The same system for mixtures in float64; positions keep their values in float32."""
        return type(self)(copy.deepcopy(self.system).double())

    def _through(self, mixture: Tensor, shifts: Sequence[Sequence[int]] | None) -> Tensor:
        """Through all models; ``shifts`` has a row of them a model."""
        mono = mixture.mean(1, keepdim=True)
        mean = mono.mean(-1, keepdim=True)
        spread = mono.std(-1, keepdim=True) + QUIETEST
        recording = (mixture - mean) / spread
        total = torch.zeros_like(recording)
        for number, (model, weight) in enumerate(
            zip(self.system.models, self.system.weights, strict=True)
        ):
            if shifts is None:
                estimate = self._windows(model, recording, 0, recording.shape[-1])
            else:
                estimate = self._shifted(model, recording, shifts[number])
            total = total + weight * estimate
        return total / sum(self.system.weights) * spread + mean

    def _shifted(self, model: Any, recording: Tensor, shifts: Sequence[int]) -> Tensor:
        """The mean over passes that begin up to half a second before the recording."""
        most, samples = largest_shift(self.sample_rate), recording.shape[-1]
        padded = F.pad(recording, (most, most))
        total = torch.zeros_like(recording)
        for shift in shifts:
            early = most - shift
            total = total + self._windows(model, padded, shift, samples + early)[..., early:]
        return total / len(shifts)

    def _windows(self, model: Any, recording: Tensor, start: int, samples: int) -> Tensor:
        """A part of a recording through a model, window by window.

        Args:
            model: one of the bag.
            recording: batch x channels x samples, of which windows may see what is around them.
            start: of the part, in samples.
            samples: of the part.
        """
        window = self.system.window(model)
        fade = _triangle(window, recording)
        output = recording.new_zeros(*recording.shape[:-1], samples)
        weights = recording.new_zeros(samples)
        for at in range(0, samples, self.system.hop(model)):
            length = min(window, samples - at)
            size = self._size(model, length, samples)
            before = (size - length) // 2
            heard = _cut(recording, start + at - before, size)
            # No random numbers are drawn inside, so that there is no state to keep.
            estimate: Tensor = checkpoint(
                _vocals, model, heard, use_reentrant=False, preserve_rng_state=False
            )
            part = estimate[..., before : before + length] * fade[:length]
            places = torch.arange(at, at + length, device=recording.device)
            # In the backward pass an assignment to a slice would copy all of it, once a window.
            output.index_add_(-1, places, part)
            weights[at : at + length] += fade[:length]
        return output / weights

    def _size(self, model: Any, length: int, samples: int) -> int:
        """Samples that a model is given for a window of some length."""
        if self.system.segment is not None and hasattr(model, "use_train_segment"):
            size = self.system.window(model)
        else:
            size = model.valid_length(length) if hasattr(model, "valid_length") else length
        if size < shortest(model):
            raise InputError(
                f"the last window of a recording of {samples} samples has {length}, but a model "
                f"of demucs needs {shortest(model)}; change the length of the recording, or the "
                "overlap under separators"
            )
        return size


class RandomDemucs(DemucsVocals):
    """Demucs with random shifts: the mean over passes, each from another place.

    Items go through one at a time, since each has shifts of its own.
    """

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        """Estimate the vocals; shifts are drawn from PyTorch's global generator.

        Raises:
            InputError: the last window of such a recording is too short for a model.
        """
        shape = len(self.system.models), self.system.shifts
        shifts = torch.randint(largest_shift(self.sample_rate) + 1, (len(mixture), *shape)).tolist()
        parts = [self._through(mixture[at : at + 1], own) for at, own in enumerate(shifts)]
        return torch.cat(parts)

    def redrawn(self, seeds: Sequence[int]) -> Separator:
        """The same system with its shifts fixed, one seed an item of the batch."""
        return FixedDraws(self, tuple(seeds))


def largest_shift(sample_rate: int) -> int:
    """Samples of the largest shift."""
    return int(LARGEST_SHIFT * sample_rate)


def as_separator(system: Ensemble) -> DemucsVocals:
    """The separator of a system, which is frozen."""
    system.eval().requires_grad_(False)
    for part in system.modules():
        # They have no dropout: it is the same function. In evaluation mode cuDNN refuses the
        # backward pass.
        if isinstance(part, nn.RNNBase):
            part.train()
    return (RandomDemucs if system.shifts else DemucsVocals)(system)


def _vocals(model: Any, heard: Tensor) -> Tensor:
    """The vocals of what a model gives, batch x channels x samples."""
    estimate: Tensor = model(heard)[:, model.sources.index(VOCALS)]
    return estimate


def _cut(recording: Tensor, start: int, samples: int) -> Tensor:
    """Samples from a place that may lie outside, where there are zeros."""
    end = start + samples
    inside = recording[..., max(start, 0) : min(end, recording.shape[-1])]
    return F.pad(inside, (max(-start, 0), max(end - recording.shape[-1], 0)))


def _triangle(samples: int, like: Tensor) -> Tensor:
    """Weights that rise to one in the middle of a window and fall again; nowhere zero."""
    half = samples // 2
    rise = torch.arange(1, half + 1, device=like.device)
    fall = torch.arange(samples - half, 0, -1, device=like.device)
    return torch.cat([rise, fall]).to(like) / (samples - half)
