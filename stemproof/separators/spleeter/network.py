"""Spleeter's networks: a U-Net a stem, and the mask that they make together.

Hennequin, Khlif, Voituret and Moussallam (2020), "Spleeter: a fast and efficient music source
separation tool with pre-trained models", Journal of Open Source Software 5(50), 2154; the U-Net
is that of Jansson et al. (2017), ISMIR. Trained networks only: there is no dropout, and statistics
of batch normalization are fixed, in training mode too.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CHANNELS = (2, 16, 32, 64, 128, 256, 512)  # of the mixture, and of each level
KERNEL, STRIDE = 5, 2
LEAK = 0.2
NORM_EPSILON = 1e-3
# TensorFlow's padding of such a convolution: one row before, two behind, in both directions.
PADDING = (1, 2, 1, 2)
MASK_EPSILON = 1e-10


class Norm(nn.Module):
    """Batch normalization with fixed statistics.

    Args:
        channels: of what it normalizes.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, signal: Tensor) -> Tensor:
        """Batch x channels x frames x bins both ways."""
        # PyTorch's own is slow on its way back when the channels of a sample lie side by side.
        scale = self.weight * torch.rsqrt(self.running_var + NORM_EPSILON)
        shift = self.bias - self.running_mean * scale
        return torch.addcmul(shift[:, None, None], signal, scale[:, None, None])


class Down(nn.Module):
    """A level on the way down: half the frames and bins.

    Args:
        channels: that come in.
        out: that go out.
    """

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, KERNEL, STRIDE)

    def forward(self, signal: Tensor) -> Tensor:
        """Batch x channels x frames x bins to batch x out x frames / 2 x bins / 2."""
        return self.conv(F.pad(signal, PADDING))


class Up(nn.Module):
    """A level on the way up: twice the frames and bins.

    Args:
        channels: that come in.
        out: that go out.
    """

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        # The padding cuts one row before and one behind; two have to go behind.
        self.conv = nn.ConvTranspose2d(channels, out, KERNEL, STRIDE, padding=1)
        self.norm = Norm(out)

    def forward(self, signal: Tensor) -> Tensor:
        """Batch x channels x frames x bins to batch x out x 2 frames x 2 bins."""
        one = self.conv.out_channels == 1
        raised = self._by_phases(signal) if one else self.conv(signal)[..., :-1, :-1]
        return self.norm(F.relu(raised))

    def _by_phases(self, signal: Tensor) -> Tensor:
        """The same sums as a plain convolution for each of the four phases of the stride.

        Where a single channel goes out, PyTorch's transposed convolution takes three times as long
        on a CPU, a tenth of the whole network.
        """
        # Tap 2j + p of the kernel is what phase p hears of the neighbour 1 - j.
        padded = F.pad(self.conv.weight, (1, 0, 1, 0))
        by_phase = padded.reshape(*padded.shape[:2], 3, STRIDE, 3, STRIDE).flip(2, 4)
        taps = by_phase.permute(1, 3, 5, 0, 2, 4).flatten(0, 2)
        assert self.conv.bias is not None
        bias = self.conv.bias.repeat_interleave(STRIDE**2)
        return F.pixel_shuffle(F.conv2d(signal, taps, bias, padding=1), STRIDE)


class MaskConv(nn.Module):
    """The last convolution, 4 x 4 with dilation 2, as a matrix product over its sixteen taps.

    With a single channel coming in, PyTorch's own dilated convolution takes four times as long on a
    CPU, a fifth of the whole network forward and backward.
    """

    SIZE, DILATION, PADDING = 4, 2, 3

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(CHANNELS[0], 1, self.SIZE, self.SIZE))
        self.bias = nn.Parameter(torch.zeros(CHANNELS[0]))

    def forward(self, signal: Tensor) -> Tensor:
        """Batch x 1 x frames x bins to batch x 2 x frames x bins."""
        taps = F.unfold(signal, self.SIZE, dilation=self.DILATION, padding=self.PADDING)
        summed = self.weight.flatten(1) @ taps + self.bias[:, None]
        return summed.reshape(*summed.shape[:-1], *signal.shape[2:])


class UNet(nn.Module):
    """Magnitudes of the mixture to those of one stem.

    Six levels down and six up; what the convolution of a level gives on the way down, before it is
    normalized, is set beside what comes up to that level.
    """

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList(Down(*pair) for pair in pairwise(CHANNELS))
        self.norms = nn.ModuleList(Norm(channels) for channels in CHANNELS[1:-1])
        # From the lowest on; every level but that is given twice as much: what was set beside it.
        widths = [*CHANNELS[:0:-1], 1]
        self.up = nn.ModuleList(
            Up(width if width == CHANNELS[-1] else 2 * width, out)
            for width, out in pairwise(widths)
        )
        self.mask = MaskConv()

    def forward(self, magnitudes: Tensor) -> Tensor:
        """Batch x 2 x frames x bins both ways; frames and bins are multiples of 64."""
        levels = [self.down[0](magnitudes)]
        for norm, down in zip(self.norms, self.down[1:], strict=True):
            levels.append(down(F.leaky_relu(norm(levels[-1]), LEAK)))
        signal = self.up[0](levels.pop())
        for up in self.up[1:]:
            signal = up(torch.cat([levels.pop(), signal], dim=1))
        return torch.sigmoid(self.mask(signal)) * magnitudes


class Spleeter(nn.Module):
    """Both networks: the mask of the vocals."""

    def __init__(self) -> None:
        super().__init__()
        self.vocals = UNet()
        self.accompaniment = UNet()

    def forward(self, magnitudes: Tensor) -> Tensor:
        """The vocals' share of the energy; batch x 2 x frames x bins both ways.

        Where both networks hear nothing it is one half.
        """
        # The channels of a sample side by side: a tenth faster on a CPU, forward and back.
        magnitudes = magnitudes.contiguous(memory_format=torch.channels_last)
        vocals, rest = (net(magnitudes).square() for net in (self.vocals, self.accompaniment))
        return (vocals + MASK_EPSILON / 2) / (vocals + rest + MASK_EPSILON)
