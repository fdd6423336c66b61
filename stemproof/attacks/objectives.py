"""What an adversary maximizes: one loss an item."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from stemproof.attacks.case import Case
from stemproof.figures.si_sdr import si_sdr


@dataclass(frozen=True)
class Objective:
    """A loss of the estimate against a target; larger is worse for the separator.

    Attributes:
        measure: (estimate, target), each batch x samples, -> loss per item.
        against_clean: the target is what the system makes of the clean mixture, so that the
            adversary needs no true vocals; by default the target is the true vocals.
    """

    measure: Callable[[Tensor, Tensor], Tensor]
    against_clean: bool = False

    def target(self, case: Case) -> Tensor:
        """What estimates are measured against, batch x samples; without a gradient."""
        if not self.against_clean:
            return case.vocals
        with torch.no_grad():
            return case.separate(case.mixture)

    def loss(self, case: Case, heard: Tensor, target: Tensor) -> Tensor:
        """Loss per item when ``heard`` (batch x samples) is played; a mean over the passes."""
        passes = [self.measure(case.separate(heard), target) for _ in range(case.passes)]
        return torch.stack(passes).mean(0)


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
