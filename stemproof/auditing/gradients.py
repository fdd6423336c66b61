"""Gradient health: does the gradient of a system say what a small step does?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from stemproof.attacks.case import Case
from stemproof.attacks.objectives import negative_si_sdr
from stemproof.auditing.material import Values
from stemproof.separators.protocol import Separator, side_of


def gradient_health(cases: Sequence[Case], one: Tensor, length: float) -> dict[str, float]:
    """Zero gradients, agreement with a finite difference, and silence.

    Zero gradients are counted where the mixture is not silent: what a system hears of digital
    silence, with little around it, changes nothing, and hides nothing.

    Args:
        cases: parts of recordings, and the system.
        one: a recording, 1 x channels x samples, in whose shape silence is played.
        length: of the finite difference, full scale 1; a tenth of it is tried as well.
    """
    zeros: list[Values] = []
    errors: dict[float, list[Values]] = {length: [], length / 10: []}
    for case in cases:
        mixture = case.mixture.clone().requires_grad_(True)
        loss = negative_si_sdr.measure(case.separate(mixture), case.vocals)
        (gradient,) = torch.autograd.grad(loss.sum(), mixture, allow_unused=True)
        if gradient is None:
            gradient = torch.zeros_like(mixture)
        sounds = case.mixture != 0
        zero = sounds & ((gradient == 0) | ~torch.isfinite(gradient))
        share = zero.double().sum(-1) / sounds.double().sum(-1).clamp(min=1)
        zeros.append(share.cpu().numpy())
        for size, found in errors.items():
            found.append(_errors(case, gradient, size))
    # A bent loss needs a short step, and rounding a long one; a wrong gradient agrees with neither.
    error = min(float(np.median(np.concatenate(found))) for found in errors.values())
    return {
        "zero_share": float(np.concatenate(zeros).mean()),
        "finite_difference_error": error,
        "nan_on_silence": float(_nan_on_silence(cases[0].separator, one)),
    }


def _errors(case: Case, gradient: Tensor, length: float) -> Values:
    """Relative error of the slope along the signs of the gradient, one a part.

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
    return np.nan_to_num(np.abs(predicted - measured) / scale, nan=1.0)


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
