"""A budget below the masking threshold: every bin of every frame has a limit of its own."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import max_pool1d, pad

from stemproof.core.random import Draws
from stemproof.protecting.masking import Model, model_for

# Frames overlap: what is cut in one comes back, less of it, from its neighbours.
ROUNDS = 2
LAST_ROUNDS = 20
GAIN_ROUNDS = 6
HARDER = 1.7  # exponent of the last cuts, by which they take more than is above the limit
TINY = 1e-30


@dataclass(frozen=True)
class MaskedBudget:
    """Magnitudes of a perturbation's short-time spectrum below those that are masked.

    Attributes:
        radius: one, 1 x 1: limits are in ``limits``.
        limits: channels x bins x frames.
        shape: channels, samples.
        model: of the frames.
    """

    radius: Tensor
    limits: Tensor
    shape: tuple[int, int]
    model: Model

    @classmethod
    def of(cls, around: Tensor, margin: int, below: float, rate: int) -> MaskedBudget:
        """The budget of a part of a song.

        Args:
            around: the part with ``margin`` samples before and after, channels x samples.
            margin: samples; half a frame of the model, or more.
            below: dB below the threshold.
            rate: in Hz.
        """
        model = model_for(rate)
        half = model.size // 2
        if margin < half:
            raise ValueError(f"margin = {margin} is less than half a frame, {half}")
        channels, samples = around.shape[0], around.shape[1] - 2 * margin
        heard = around[:, margin - half : margin + samples + half]
        limits = model.allowed(heard, below)
        return cls(around.new_ones(1, 1), limits, (channels, samples), model)

    def spectra(self, delta: Tensor) -> Tensor:
        """Of a perturbation, 1 x channels * samples; channels x bins x frames."""
        half = self.model.size // 2
        return self.model.spectra(pad(delta.reshape(self.shape), (half, half)))

    def _signal(self, spectra: Tensor) -> Tensor:
        found: Tensor = torch.istft(
            spectra,
            self.model.size,
            self.model.hop,
            window=self.model.window(self.limits),
            length=self.shape[1],
        )
        return found.reshape(1, -1)

    def excess(self, delta: Tensor) -> Tensor:
        """Magnitudes over their limits, channels x bins x frames; at most 1 where unheard."""
        return self.spectra(delta).abs() / self.limits.clamp_min(TINY)

    def start(self, like: Tensor, draws: Draws) -> Tensor:
        """Noise of half the size that is allowed."""
        noise = draws.normal(like.shape[-1]).to(like)
        return self.steepest(noise) / 2

    def steepest(self, gradient: Tensor) -> Tensor:
        """Every bin along its gradient, as far as its limit."""
        spectra = self.spectra(gradient)
        return self._signal(self.limits * spectra / spectra.abs().clamp_min(TINY))

    def project(self, delta: Tensor) -> Tensor:
        """Cut magnitudes to their limits, again and again."""
        for _ in range(ROUNDS):
            delta = self._cut(delta, 1.0)
        return delta

    def _cut(self, delta: Tensor, exponent: float) -> Tensor:
        spectra = self.spectra(delta)
        over = spectra.abs() / self.limits.clamp_min(TINY)
        return self._signal(spectra * over.clamp(min=1) ** -exponent)

    def inside(self, delta: Tensor) -> Tensor:
        """Scale down, frame by frame, what cuts leave above a limit."""
        for _ in range(LAST_ROUNDS):
            delta = self._cut(delta, HARDER)
        for _ in range(GAIN_ROUNDS):
            worst = self.excess(delta).amax((0, 1))
            if bool((worst <= 1).all()):
                break
            delta = self._softer(delta, worst.clamp(min=1))
        return delta

    def _softer(self, delta: Tensor, by: Tensor) -> Tensor:
        """Divide by one number a frame; its neighbours, over which a frame reaches, as well."""
        frames = max_pool1d(pad(by[None, None], (3, 3), value=1.0), 7, stride=1)[0, 0]
        place = torch.arange(self.shape[1], device=delta.device) / self.model.hop
        left = place.floor().long().clamp(max=len(frames) - 1)
        right = (left + 1).clamp(max=len(frames) - 1)
        along = (place - left).clamp(0, 1).to(frames)
        divisor = torch.lerp(frames[left], frames[right], along)
        return (delta.reshape(self.shape) / divisor).reshape(1, -1)

    def per_sample(self, like: Tensor) -> float:
        """The mean size that a sample may have."""
        power = (self.limits / (self.model.size / 4)).square().sum(1).mean() / 2
        return float(power.sqrt())
