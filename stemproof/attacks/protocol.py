"""What every attack is: a function from a batch of segments to adversarial mixtures."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from stemproof.attacks.norms import Budget
from stemproof.separators.protocol import Context, Separator


class Attack(Protocol):
    """Any attack on a batch of segments."""

    def __call__(
        self,
        separator: Separator,
        mixture: Tensor,
        vocals: Tensor,
        context: Context,
        budget: Budget,
        generator: torch.Generator,
    ) -> tuple[Tensor, Tensor]:
        """Attack a batch.

        Args:
            separator: the system; differentiable in the mixture for attacks by gradient.
            mixture: clean mixtures, batch x samples.
            vocals: true vocals, batch x samples.
            context: what the separator is given, made from the clean stems.
            budget: where the perturbation may lie.
            generator: on the CPU; whatever the attack draws.

        Returns:
            Adversarial mixtures (batch x samples, float32, inside the budget), and the worst
            loss so far after 0, 1, ... steps (batch x steps + 1); NaN for a segment on which a
            loss or a gradient was not a number.
        """
        ...
