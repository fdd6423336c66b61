"""What an adversary maximizes: one loss per segment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from stemproof.figures.si_sdr import si_sdr
from stemproof.separators.protocol import Context, Separator


@dataclass(frozen=True)
class Objective:
    """A loss of the estimate against a target; larger is worse for the separator.

    Attributes:
        measure: (estimate, target), each batch x samples, -> loss per segment.
        against_clean: the target is what the system makes of the clean mixture, so that the
            adversary needs no true vocals; by default the target is the true vocals.
    """

    measure: Callable[[Tensor, Tensor], Tensor]
    against_clean: bool = False

    def __call__(self, estimate: Tensor, target: Tensor) -> Tensor:
        """Loss per segment."""
        return self.measure(estimate, target)

    def target(
        self, separator: Separator, mixture: Tensor, vocals: Tensor, context: Context
    ) -> Tensor:
        """What estimates are measured against, batch x samples; without a gradient."""
        if not self.against_clean:
            return vocals
        with torch.no_grad():
            return separator.separate(mixture, context)


# Minus the SI-SDR against the true vocals, in dB: the figure that is reported.
negative_si_sdr = Objective(lambda estimate, vocals: -si_sdr(vocals, estimate))

# Energy of the error against the true vocals (mean per sample).
mse = Objective(lambda estimate, vocals: (estimate - vocals).square().mean(-1))

# Distance to the clean estimate (mean per sample).
output_distance = Objective(mse.measure, against_clean=True)

OBJECTIVES: dict[str, Objective] = {
    "si_sdr": negative_si_sdr,
    "mse": mse,
    "output_distance": output_distance,
}
