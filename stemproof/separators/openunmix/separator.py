"""Open-Unmix as a separator that is told nothing: a recording of any length."""

from __future__ import annotations

import copy

from torch import Tensor

from stemproof.separators.openunmix.model import OpenUnmix
from stemproof.separators.protocol import Side
from stemproof.separators.wrappers.windows import Windowed

OVERLAP = 0.25  # of two windows of a long recording


class BlindOpenUnmix:
    """Open-Unmix, frozen and in evaluation mode.

    The LSTM hears the whole recording at once. One that is longer than the model's window is
    separated in windows that overlap and are cross-faded, so that memory stays bounded.

    Args:
        model: transform, networks and filter.
    """

    def __init__(self, model: OpenUnmix) -> None:
        self.model: OpenUnmix = model.eval().requires_grad_(False)
        self.sample_rate, self.channels = model.sample_rate, model.channels

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        """Estimate the vocals; batch x channels x samples both ways.

        Raises:
            InputError: the mixture is shorter than a frame needs.
        """
        windowed = Windowed(self.model, self.model.seconds, OVERLAP)
        system = windowed if mixture.shape[-1] > windowed.length else self.model
        return system.separate(mixture)

    def doubled(self) -> BlindOpenUnmix:
        """The same system for mixtures in float64, apart from this one."""
        return BlindOpenUnmix(copy.deepcopy(self.model).double())
