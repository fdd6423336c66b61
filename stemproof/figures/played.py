"""What was played to a system and what it gave back: figures are measured on it."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from stemproof.figures.collapse import sdr_of_sound


@dataclass(frozen=True)
class Played:
    """What was played to a system and what it gave back, each batch x samples.

    Attributes:
        mixture: clean mixtures.
        vocals: true vocals.
        adversarial: attacked mixtures.
        clean: estimate from the clean mixture.
        attacked: estimate from the attacked one.
        noisy: estimates under random noise of the perturbation's norm, one a draw.
        reconstruction: true vocals through the system's representation; None without one.
        oracle: estimate of the oracle from the clean mixture; None without one.
    """

    mixture: Tensor
    vocals: Tensor
    adversarial: Tensor
    clean: Tensor
    attacked: Tensor
    noisy: list[Tensor]
    reconstruction: Tensor | None = None
    oracle: Tensor | None = None

    @property
    def perturbation(self) -> Tensor:
        """What the adversary added."""
        return self.adversarial - self.mixture

    def sdr(self, estimate: Tensor) -> Tensor:
        """SI-SDR of an estimate of the vocals in dB, one a segment; NaN for one without energy."""
        return sdr_of_sound(self.vocals, estimate)

    @property
    def noise_sdr(self) -> Tensor:
        """SI-SDR under noise, draws x segments."""
        return torch.stack([self.sdr(estimate) for estimate in self.noisy])

    def cut(self, channels: int, length: int) -> Played:
        """The same, cut into segments; each has all channels, and a rest at the end is left out.

        Args:
            channels: of the recordings, which stand one after the other here.
            length: samples of a segment.

        Returns:
            Segments of the first recording, then of the second, ...
        """

        def pieces(signal: Tensor) -> Tensor:
            apart = signal.reshape(len(signal), channels, -1)
            whole = apart[..., : apart.shape[-1] // length * length]
            segments = whole.reshape(len(signal), channels, -1, length).transpose(1, 2)
            return segments.reshape(-1, channels * length)

        values = {field.name: getattr(self, field.name) for field in fields(self)}
        cut = {key: pieces(v) for key, v in values.items() if isinstance(v, Tensor)}
        return replace(self, noisy=[pieces(noisy) for noisy in self.noisy], **cut)
