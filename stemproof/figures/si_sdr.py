"""Figures per segment, as pure functions of waveforms."""

from __future__ import annotations

import torch
from torch import Tensor

# Keeps silence finite without moving any figure: full-scale energies are above 1e-12.
TINY = 1e-20
# Less than TINY, so that an estimate which vanishes is worse than any that sounds: its ratio tends
# to -100 dB. float32 still holds it.
LEAST = 1e-30


def si_sdr(reference: Tensor, estimate: Tensor) -> Tensor:
    """Scale-invariant signal-to-distortion ratio in dB (Le Roux et al., 2019, eq. 4).

    The scale is on the reference, ``a = <s, e> / ||s||^2``, so the figure does not change when
    either argument is multiplied by a number. It is differentiable, also on silence. As the
    estimate's energy vanishes it falls to -100 dB: a loss under which silence is no good answer.
    As a figure silence has none (:mod:`stemproof.figures.collapse`).

    Args:
        reference: ... x samples.
        estimate: ... x samples.

    Returns:
        One figure per leading index.
    """
    energy = reference.square().sum(-1, keepdim=True)
    scale = (reference * estimate).sum(-1, keepdim=True) / (energy + TINY)
    target = scale * reference
    distortion = (target - estimate).square().sum(-1)
    # Of silent vocals silence is the right answer.
    least = torch.full_like(distortion, LEAST).masked_fill(energy[..., 0] == 0, TINY)
    return 10 * torch.log10((target.square().sum(-1) + least) / (distortion + TINY))


def snr(signal: Tensor, noise: Tensor) -> Tensor:
    """Energy of ``signal`` over energy of ``noise`` in dB, one per leading index."""
    return 10 * torch.log10((signal.square().sum(-1) + TINY) / (noise.square().sum(-1) + TINY))


def output_gain(clean: Tensor, attacked: Tensor, perturbation: Tensor) -> Tensor:
    """How much the system magnifies a perturbation: ``||f(x + d) - f(x)|| / ||d||``."""
    return (attacked - clean).norm(dim=-1) / (perturbation.norm(dim=-1) + TINY)
