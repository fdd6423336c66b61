"""What the improved encoder adds: self-attention over frames and dropout; and their controls."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stemproof.core.shards import WHOLE
from stemproof.separators.rsvm.params import AttentionSettings, ConvolutionSettings, RSVMSettings


class FrameAttention(nn.Module):
    """Multi-head scaled dot-product self-attention over frames, residual.

    ``y = x + gate * W_o softmax(Q K^T / sqrt(d)) V`` (Vaswani et al., 2017, eq. 1), with
    queries, keys and values of the frames of ``x``. The gate is a learned scalar (Zhang et
    al., 2019, eq. 8, where it starts at 0); its initial value is a parameter, because a gate
    that starts at 0 hardly opens within a short training at Adam's 1e-4.

    Args:
        channels: channels of the input and the output.
        settings: heads, width, gate, positional term.
    """

    def __init__(self, channels: int, settings: AttentionSettings) -> None:
        super().__init__()
        self.heads = settings.heads
        self.position = settings.position
        self.project_in = nn.Linear(channels, 3 * settings.width, bias=False)
        self.project_out = nn.Linear(settings.width, channels, bias=False)
        self.gate = nn.Parameter(torch.tensor(float(settings.gate)))

    def forward(self, coefficients: Tensor) -> Tensor:
        """Map batch x channels x frames to the same shape."""
        query, key, value = self._projected(coefficients)
        attended = F.scaled_dot_product_attention(query, key, value)
        merged = attended.transpose(1, 2).flatten(2)
        return coefficients + self.gate * self.project_out(merged).transpose(1, 2)

    def weights(self, coefficients: Tensor) -> Tensor:
        """How much each frame (third axis) takes from every frame (last one).

        Returns:
            Batch x heads x frames x frames; each row adds up to 1.
        """
        query, key, _ = self._projected(coefficients)
        return torch.softmax(query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1]), dim=-1)

    def _projected(self, coefficients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, each batch x heads x frames x width of a head."""
        frames = coefficients.transpose(1, 2)
        if self.position == "sinusoidal":
            frames = frames + sinusoidal_position(frames.shape[1], frames.shape[2], frames)
        batch, length, _ = frames.shape
        query, key, value = (
            part.view(batch, length, self.heads, -1).transpose(1, 2)
            for part in self.project_in(frames).chunk(3, dim=-1)
        )
        return query, key, value


def sinusoidal_position(frames: int, channels: int, like: Tensor) -> Tensor:
    """Sines and cosines of the frame number, frames x channels (Vaswani et al., 2017, 3.5)."""
    time = torch.arange(frames, device=like.device, dtype=torch.float32)[:, None]
    half = -(-channels // 2)
    rates = torch.exp(
        torch.arange(half, device=like.device, dtype=torch.float32) * (-math.log(10_000.0) / half)
    )
    waves = torch.cat([torch.sin(time * rates), torch.cos(time * rates)], dim=1)
    return waves[:, :channels].to(like.dtype)


class FrameConvolution(nn.Module):
    """The control for attention: a residual convolution over frames with as many weights.

    ``y = x + gate * W_o conv_3(x)`` with ``width`` channels between: 3 C W weights as in the
    three projections to queries, keys and values, W C as in the one back. Like attention it has
    no bias and no non-linearity of its own; unlike attention it sees three frames, not all.
    """

    def __init__(self, channels: int, settings: ConvolutionSettings) -> None:
        super().__init__()
        self.convolve = nn.Conv1d(channels, settings.width, 3, padding=1, bias=False)
        self.project_out = nn.Conv1d(settings.width, channels, 1, bias=False)
        self.gate = nn.Parameter(torch.tensor(float(settings.gate)))

    def forward(self, coefficients: Tensor) -> Tensor:
        """Map batch x channels x frames to the same shape."""
        return coefficients + self.gate * self.project_out(self.convolve(coefficients))


class ChannelDropout(nn.Module):
    """Dropout with one mask per item and channel, constant over time (Gal & Ghahramani, 2016).

    A new mask is drawn for every forward pass in training mode; evaluation mode is the
    identity, unless the variant leaves dropout on at test time. Kept channels are scaled by
    ``1 / (1 - probability)``. The element-wise kind, the control, draws every frame apart.
    """

    def __init__(self, variant: RSVMSettings) -> None:
        super().__init__()
        self.probability = variant.dropout
        self.constant_over_time = variant.dropout_kind == "variational"
        self.at_test = variant.dropout_at_test
        self.shard = WHOLE
        self.silent = False

    @contextmanager
    def off(self) -> Iterator[None]:
        """No dropout inside the block, also in a variant that leaves it on at test time."""
        self.silent = True
        try:
            yield
        finally:
            self.silent = False

    def forward(self, coefficients: Tensor) -> Tensor:
        """Map batch x channels x frames to the same shape."""
        if self.silent or self.probability == 0 or not (self.training or self.at_test):
            return coefficients
        keep = 1 - self.probability
        batch, channels, frames = coefficients.shape
        items = batch * self.shard.count
        shape = (items, channels, 1 if self.constant_over_time else frames)
        # Drawn for the whole batch, of which this process may hold a part.
        mask = self.shard.of(torch.bernoulli(coefficients.new_full(shape, keep)))
        return coefficients * mask / keep
