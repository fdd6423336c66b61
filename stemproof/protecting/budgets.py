"""Budgets of a window, by which the perturbation of the whole song is as promised."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stemproof.attacks.budgets import Ball, Bound
from stemproof.core.random import Draws
from stemproof.protecting.masked import MaskedBudget
from stemproof.protecting.params import ProtectParams

# Of the energy that an SNR leaves: rounding to whole numbers takes the rest.
ROUNDING = 1e-3


@dataclass(frozen=True)
class FadedL2:
    """``sum(w d^2) <= r sum(w x^2)`` for the weights of a cross-fade.

    By the convexity of the square, windows that keep this sum up to a perturbation that lies as
    far below the whole song as each does below its own part.

    Attributes:
        radius: 1 x 1.
        weight: 1 x channels * samples.
    """

    radius: Tensor
    weight: Tensor

    @classmethod
    def of(cls, song: Tensor, weight: Tensor, snr: float) -> FadedL2:
        """The budget of a window.

        Args:
            song: 1 x channels * samples.
            weight: same shape.
            snr: song over perturbation in dB.
        """
        energy = (weight.double() * song.double().square()).sum(-1, keepdim=True)
        radius = (energy * 10 ** (-snr / 10) * (1 - ROUNDING)).sqrt()
        return cls(radius.to(song), weight)

    def size(self, delta: Tensor) -> Tensor:
        """The norm, 1 x 1."""
        return (self.weight.double() * delta.double().square()).sum(-1, keepdim=True).sqrt()

    def start(self, like: Tensor, draws: Draws) -> Tensor:
        """A random direction, half as long as the radius."""
        noise = draws.normal(like.shape[-1]).to(like)
        return self.radius / 2 * self.steepest(noise)

    def steepest(self, gradient: Tensor) -> Tensor:
        """The gradient (in what is heard, not in what is then faded), of norm 1."""
        size = self.size(gradient).to(gradient)
        return torch.where(size > 0, gradient / size.clamp_min(1e-38), 0.0)

    def project(self, delta: Tensor) -> Tensor:
        """Scale down what is too long."""
        size = self.size(delta).to(delta).clamp_min(1e-38)
        return delta * (self.radius / size).clamp(max=1)

    def per_sample(self, like: Tensor) -> float:
        """One over the root of how many samples count."""
        return float(self.weight.sum().clamp_min(1) ** -0.5)


def window_budget(
    params: ProtectParams, song: Tensor, around: Tensor, margin: int, weight: Tensor, rate: int
) -> Ball:
    """The budget of one window.

    Args:
        params: of the protection.
        song: the window, channels x samples.
        around: the window with ``margin`` samples before and after, for the masking threshold.
        margin: samples.
        weight: of the cross-fade, one a sample.
        rate: in Hz.
    """
    flat = song.reshape(1, -1)
    if params.budget == "eps":
        return Bound("linf", eps=params.size).budget(flat)
    if params.budget == "snr":
        return FadedL2.of(flat, weight.expand_as(song).reshape(1, -1), params.size)
    return MaskedBudget.of(around, margin, params.size, rate)
