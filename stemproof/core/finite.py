"""A training whose numbers are none stops where that began, and keeps what it had before."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from stemproof.core.errors import InputError


class Watch:
    """The losses and gradients of one epoch: the first of them that is not a number.

    What is found stays on the device until :meth:`check` asks for it: reading it waits for the
    device. Every process of a shared training finds the same, for both are those of all.

    Args:
        scaled: whether losses are scaled (16-mixed), where a gradient may be infinite in a step
            that is then left out.
    """

    def __init__(self, scaled: bool = False) -> None:
        self.scaled = scaled
        self.steps = 0
        self._finite: list[Tensor] = []

    @property
    def waiting(self) -> int:
        """Steps that have not been asked about."""
        return len(self._finite)

    def step(self, loss: Tensor, weights: Iterable[nn.Parameter]) -> None:
        """Look at a step, after its backward pass.

        Args:
            loss: a single number.
            weights: that were trained; those without a gradient are passed over.
        """
        gradients = [] if self.scaled else [w.grad for w in weights if w.grad is not None]
        # Sums: one number that is none makes them none.
        sums = torch.stack([loss.detach().float(), *(g.sum().float() for g in gradients)])
        self._finite.append(torch.stack([sums[:1].isfinite().all(), sums[1:].isfinite().all()]))

    def check(
        self, epoch: int, advice: Callable[[], str], kept: Path, model: nn.Module | None = None
    ) -> None:
        """Refuse to go on after a step that went wrong.

        Args:
            epoch: counted from 1.
            advice: says what to do about it.
            kept: the file that an earlier epoch left, if there was one.
            model: whose weights are looked at as well, at the end of an epoch.

        Raises:
            InputError: a loss, a gradient or a weight is not a number; the step, what to do, and
                the last good state are named.
        """
        fault = None
        if self._finite:
            found = torch.stack(self._finite).cpu().tolist()
            self._finite = []
            for number, (loss, gradient) in enumerate(found, start=self.steps + 1):
                if fault is None and not (loss and gradient):
                    fault = f"the {'gradient' if loss else 'loss'} of step {number}"
            self.steps += len(found)
        if fault is None and model is not None and not are_finite(model.state_dict().values()):
            fault = f"a weight after step {self.steps}"
        if fault is not None:
            left = f"what epoch {epoch - 1} left is kept in {kept}"
            raise InputError(
                f"{fault} is not a number in epoch {epoch}; {advice()}; "
                f"{left if epoch > 1 else 'nothing is kept'}"
            )


def are_finite(values: Iterable[Tensor]) -> bool:
    """Whether all of some tensors are numbers."""
    return all(bool(value.isfinite().all()) for value in values)
