"""Training losses: reconstruction and the two regularizers of RSVM."""

from __future__ import annotations

import torch
from torch import Tensor

from stemproof.core.shards import WHOLE, Shard
from stemproof.separators.rsvm.params import Recipe

TINY = 1e-24  # as in the reference code
SINKHORN_ITERATIONS = 1000
SINKHORN_TOLERANCE = 1e-6
SINKHORN_CHECK = 10  # iterations between two looks at the marginals, which wait for the device


def neg_snr(target: Tensor, estimate: Tensor, shard: Shard = WHOLE) -> Tensor:
    """Negative signal-to-noise ratio in dB over the norms of the whole batch.

    Mimilakis et al. (2020), eq. 6. Both arguments are batch x samples; the result is a scalar. The
    batch may be shared by several processes.
    """
    signal = shard.total(target.square().sum())
    error = shard.total((target - estimate).square().sum())
    return -10 * torch.log10(signal / (error + TINY) + TINY)


def total_variation(coefficients: Tensor, shard: Shard = WHOLE) -> Tensor:
    """Norms of the differences along frames and along channels, over the number of each.

    Mimilakis et al. (2020), eq. 7. Takes batch x channels x frames; the result is a scalar.
    """
    _, channels, frames = coefficients.shape
    along_frames = shard.norm(coefficients[:, :, 1:] - coefficients[:, :, :-1]) / frames
    along_channels = shard.norm(coefficients[:, 1:] - coefficients[:, :-1]) / channels
    return along_frames + along_channels


def sinkhorn_distance(coefficients: Tensor, p: int, entropy: float, shard: Shard = WHOLE) -> Tensor:
    """Entropic transport cost between the frames of a representation and themselves.

    The companion regularizer of RSVM (Mimilakis et al., 2021): frames are normalized per
    channel, their pairwise p-norm distances are averaged over the batch, and the cost of the
    transport plan with uniform marginals is returned (Cuturi, 2013). The iterations run in
    the log domain until the marginals agree.

    Args:
        coefficients: batch x channels x frames, non-negative.
        p: order of the distance between frames.
        entropy: weight of the entropy.
        shard: whether other processes hold parts of the batch.
    """
    _, channels, frames = coefficients.shape
    shifted = coefficients + 1 / channels
    normalized = shifted / shifted.sum(dim=2, keepdim=True)
    points = normalized.transpose(1, 2)
    cost = shard.mean(torch.cdist(points, points, p=float(p)).mean(dim=0))
    scores = -cost / entropy
    log_marginal = -torch.log(torch.tensor(float(frames), device=cost.device))
    row = torch.zeros(frames, device=cost.device)
    column = torch.zeros(frames, device=cost.device)
    for done in range(1, SINKHORN_ITERATIONS + 1):
        column = log_marginal - torch.logsumexp(scores + row[:, None], dim=0)
        row = log_marginal - torch.logsumexp(scores + column[None, :], dim=1)
        if done % SINKHORN_CHECK == 0:
            plan = torch.exp(scores + row[:, None] + column[None, :])
            if (plan.sum(dim=0) - 1 / frames).abs().sum() < SINKHORN_TOLERANCE:
                break
    return (plan * cost).sum()


def regularizer(coefficients: Tensor, recipe: Recipe, shard: Shard = WHOLE) -> Tensor:
    """The regularizer that the recipe names, not yet weighted."""
    if recipe.regularizer == "sinkhorn":
        return sinkhorn_distance(coefficients, recipe.sinkhorn_p, recipe.sinkhorn_entropy, shard)
    return total_variation(coefficients, shard)
