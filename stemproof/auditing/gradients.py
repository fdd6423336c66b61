"""Gradient health: does the gradient of a system say what a small step does?"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from stemproof.attacks.case import Case
from stemproof.attacks.objectives import negative_si_sdr
from stemproof.auditing.material import Values
from stemproof.separators.protocol import Separator, side_of


def gradient_health(case: Case, one: Tensor, length: float) -> dict[str, float]:
    """Zero gradients, agreement with a finite difference, and silence.

    Args:
        case: segments and system.
        one: a recording, 1 x channels x samples, in whose shape silence is played.
        length: of the finite difference, full scale 1.
    """
    mixture = case.mixture.clone().requires_grad_(True)
    loss = negative_si_sdr.measure(case.separate(mixture), case.vocals)
    (gradient,) = torch.autograd.grad(loss.sum(), mixture, allow_unused=True)
    if gradient is None:
        gradient = torch.zeros_like(mixture)
    return {
        "zero_share": float(((gradient == 0) | ~torch.isfinite(gradient)).double().mean()),
        "finite_difference_error": _finite_difference_error(case, gradient, length),
        "nan_on_silence": float(_nan_on_silence(case.separator, one)),
    }


def _finite_difference_error(case: Case, gradient: Tensor, length: float) -> float:
    """Median relative error of the slope along the signs of the gradient.

    Along the attack's own direction the slope is far above rounding, unless the gradient
    lies: then nothing much happens there, and the error is near 1.
    """
    signs = torch.where(gradient >= 0, 1.0, -1.0).to(gradient)
    predicted = (gradient * signs).sum(-1).double().cpu().numpy()
    ahead = _loss(case, case.mixture + length * signs)
    behind = _loss(case, case.mixture - length * signs)
    measured = (ahead - behind) / (2 * length)
    scale = np.maximum(np.abs(predicted), np.abs(measured)) + 1e-12
    # A difference that is not a number is as wrong as it can be.
    return float(np.median(np.nan_to_num(np.abs(predicted - measured) / scale, nan=1.0)))


def _loss(case: Case, heard: Tensor) -> Values:
    """The loss whose gradient is checked, also where the estimate has collapsed."""
    with torch.no_grad():
        return negative_si_sdr.measure(case.separate(heard), case.vocals).double().cpu().numpy()


def _nan_on_silence(separator: Separator, one: Tensor) -> bool:
    silence = torch.zeros_like(one).requires_grad_(True)
    side = side_of(separator, silence.detach(), silence.detach())
    estimate = separator.separate(silence, side)
    loss = negative_si_sdr.measure(estimate.flatten(1), silence.detach().flatten(1))
    (gradient,) = torch.autograd.grad(loss.sum(), silence, allow_unused=True)
    finite = bool(torch.isfinite(estimate).all())
    return not finite or (gradient is not None and not bool(torch.isfinite(gradient).all()))
