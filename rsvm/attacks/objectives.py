"""What an adversary maximizes: one loss per segment."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from rsvm.metrics import si_sdr

# (estimate, true vocals, clean estimate) -> loss per segment, larger is worse for the separator
Objective = Callable[[Tensor, Tensor, Tensor], Tensor]


def negative_si_sdr(estimate: Tensor, vocals: Tensor, clean: Tensor) -> Tensor:
    """Minus the SI-SDR against the true vocals, in dB: the figure that is reported."""
    return -si_sdr(vocals, estimate)


def mse(estimate: Tensor, vocals: Tensor, clean: Tensor) -> Tensor:
    """Energy of the error against the true vocals (mean per sample)."""
    return (estimate - vocals).square().mean(-1)


def output_distance(estimate: Tensor, vocals: Tensor, clean: Tensor) -> Tensor:
    """Distance to the clean estimate (mean per sample); it needs no true vocals."""
    return (estimate - clean).square().mean(-1)


OBJECTIVES: dict[str, Objective] = {
    "si_sdr": negative_si_sdr,
    "mse": mse,
    "output_distance": output_distance,
}
