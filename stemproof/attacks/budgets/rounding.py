"""What float32 can hold inside a bound."""

from __future__ import annotations

import torch
from torch import Tensor


def outermost(mixture: Tensor, limit: Tensor | float) -> tuple[Tensor, Tensor]:
    """The smallest and largest float32 within ``limit`` of each sample, in double precision."""
    exact = mixture.double()

    def rounded_in(bound: Tensor) -> Tensor:
        nearest = bound.float()
        outside = (nearest.double() - exact).abs() > limit
        return torch.where(outside, torch.nextafter(nearest, mixture), nearest)

    return rounded_in(exact - limit), rounded_in(exact + limit)
