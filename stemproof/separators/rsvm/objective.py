"""The loss of one training step: reconstruction, regularizer, and attacked separation."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from stemproof.core.shards import WHOLE, Shard, draw_like
from stemproof.separators.rsvm.losses import neg_snr, regularizer
from stemproof.separators.rsvm.params import AdversarialSettings, Recipe
from stemproof.separators.rsvm.separator import InformedRSVM


def step_terms(
    model: Any,
    vocals: Tensor,
    accompaniment: Tensor,
    recipe: Recipe,
    adversarial: AdversarialSettings | None,
    shard: Shard = WHOLE,
) -> dict[str, Tensor]:
    """The loss of one training step and what it is made of; SNRs in dB, larger is better."""
    distortion, roughness = training_losses(model, vocals, accompaniment, recipe, shard)
    loss = distortion + recipe.regularizer_weight * roughness
    terms = {"loss": loss, "snr": -distortion, "regularizer": roughness}
    if adversarial:
        attacked = attacked_loss(model, vocals, accompaniment, adversarial, shard)
        terms |= {"loss": loss + adversarial.weight * attacked, "attacked_snr": -attacked}
    return terms


def training_losses(
    model: Any,
    vocals: Tensor,
    accompaniment: Tensor,
    recipe: Recipe,
    shard: Shard = WHOLE,
) -> tuple[Tensor, Tensor]:
    """Negative SNR of the reconstruction, and the regularizer of the mix's coefficients.

    Args:
        model: has ``encode`` and ``decode``.
        vocals: batch x samples.
        accompaniment: batch x samples, of other segments.
        recipe: noise and regularizer.
        shard: which part of the batch this is.
    """
    mix, vocals = _centered(vocals, accompaniment, shard)
    noise = shard.of(torch.randn_like(draw_like(vocals, shard)))
    noisy = vocals + recipe.noise * noise
    # One pass for both: the encoder treats the items of a batch apart.
    coefficients = model.encode(torch.cat([noisy, mix]))
    of_vocals, of_mix = coefficients.chunk(2)
    distortion = neg_snr(vocals, model.decode(of_vocals), shard)
    return distortion, regularizer(of_mix, recipe, shard)


def _centered(vocals: Tensor, accompaniment: Tensor, shard: Shard) -> tuple[Tensor, Tensor]:
    """Mixture and vocals without the mean of the batch, as in the public code."""
    mix = vocals + accompaniment
    return mix - shard.mean(mix.mean()), vocals - shard.mean(vocals.mean())


def attacked_loss(
    model: Any,
    vocals: Tensor,
    accompaniment: Tensor,
    settings: AdversarialSettings,
    shard: Shard = WHOLE,
) -> Tensor:
    """Negative SNR of the vocals that are separated from an attacked mixture.

    Adversarial training (Madry et al., 2018) for a separator: the mask is that of the clean stems,
    as under attack at test time; the perturbation starts at random and maximizes the squared error.
    Its last iterate is taken, not the worst, which saves the passes that compare iterates. As at
    test time, the attack is computed in float32 or TF32, whatever the precision of the training.

    Args:
        model: see :class:`~stemproof.separators.rsvm.train.InPrecision`.
        vocals: batch x samples.
        accompaniment: batch x samples.
        settings: budget and steps.
        shard: which part of the batch this is.
    """
    mix, vocals = _centered(vocals, accompaniment, shard)
    separator = InformedRSVM(model.module)
    # The protocol's waveforms have a channel.
    mix, target = mix[:, None], vocals[:, None]
    # What is attacked is what is attacked at test time: without dropout.
    model.eval()
    mask = separator.side(mix, target)
    uniform = shard.of(torch.rand_like(draw_like(mix, shard)))
    delta = (2 * uniform - 1) * settings.eps
    for _ in range(settings.steps if settings.eps > 0 else 0):
        candidate = (mix + delta).requires_grad_(True)
        error = (separator.separate(candidate, mask) - target).square().sum()
        (gradient,) = torch.autograd.grad(error, candidate)
        delta = delta + settings.step_size * settings.eps * gradient.sign()
        delta = delta.clamp(-settings.eps, settings.eps)
    model.train()
    attacked = (mix + delta)[:, 0]
    return neg_snr(vocals, model.decode(model.encode(attacked) * mask), shard)
