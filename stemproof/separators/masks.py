"""The binary mask of the true stems, and how an attack passes its threshold."""

from __future__ import annotations

from torch import Tensor

from stemproof.separators.protocol import MaskKind

MASK_THRESHOLD = 0.5


def binary_mask(vocals: Tensor, accompaniment: Tensor) -> Tensor:
    """1 where ``vocals / accompaniment > 0.5``, else 0; 0/0 counts as 0.

    Args:
        vocals: coefficients of the true vocals, batch x channels x frames, non-negative.
        accompaniment: coefficients of the true accompaniment, same shape.
    """
    return (vocals / accompaniment > MASK_THRESHOLD).to(vocals.dtype)


def straight_through_mask(vocals: Tensor, accompaniment: Tensor) -> Tensor:
    """The binary mask going forward; the gradient of a soft one going back.

    A threshold has no gradient, which would hide the mask from an attack. In the backward pass
    ``v / (v + t a)`` takes its place (straight-through estimator; Bengio et al., 2013), with t the
    threshold: it is above one half exactly where the binary mask is 1.

    Args:
        vocals: coefficients of the true vocals, batch x channels x frames, non-negative.
        accompaniment: coefficients of the rest, same shape; carries the gradient.
    """
    soft = vocals / (vocals + MASK_THRESHOLD * accompaniment).clamp_min(1e-12)
    return binary_mask(vocals, accompaniment) + (soft - soft.detach())


def other(mask: MaskKind) -> MaskKind:
    """The other kind of mask."""
    return "recomputed" if mask == "fixed" else "fixed"
