"""RSVM's analysis: waveform to non-negative coefficients."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stemproof.separators.rsvm.attention import ChannelDropout, FrameAttention, FrameConvolution
from stemproof.separators.rsvm.framing import analyze
from stemproof.separators.rsvm.params import RSVMSettings, Sizes

CONTEXT_KERNEL = 5
CONTEXT_DILATION = 10


class Encoder(nn.Module):
    """``A = ReLU(conv2(X) + X)``, ``X = conv1(x)``; no bias (Mimilakis et al., 2020, eq. 1-2).

    The improved version (Li, 2022) puts self-attention and then variational dropout on ``X``,
    between the two convolutions, which have no non-linearity between them. With ``place: after``
    they stand behind both, on what the ReLU is applied to.
    """

    def __init__(self, sizes: Sizes, variant: RSVMSettings) -> None:
        super().__init__()
        self.hop = sizes.hop
        # Named as in the published checkpoints; `analyze` applies it.
        self.conv_a1 = nn.Conv1d(1, sizes.channels, sizes.kernel, stride=sizes.hop, bias=False)
        self.conv_a2 = nn.Conv1d(
            sizes.channels,
            sizes.channels,
            CONTEXT_KERNEL,
            dilation=CONTEXT_DILATION,
            padding=CONTEXT_DILATION * (CONTEXT_KERNEL // 2),
            bias=False,
        )
        nn.init.kaiming_uniform_(self.conv_a1.weight)
        nn.init.kaiming_uniform_(self.conv_a2.weight)
        self.attention: FrameAttention | FrameConvolution | None = None
        if variant.attention:
            self.attention = FrameAttention(sizes.channels, variant.attention)
        elif variant.convolution:
            self.attention = FrameConvolution(sizes.channels, variant.convolution)
        self.dropout = ChannelDropout(variant)
        self.between = variant.place == "between"

    def forward(self, waveform: Tensor) -> Tensor:
        """Encode batch x samples into batch x channels x ceil(samples / hop)."""
        spectrum = self.attended(waveform)
        if self.attention is not None:
            spectrum = self.attention(spectrum)
        spectrum = self.dropout(spectrum)
        return torch.relu(self._in_context(spectrum) if self.between else spectrum)

    def attended(self, waveform: Tensor) -> Tensor:
        """What attention and dropout, where there are any, are applied to.

        Returns:
            Batch x channels x ceil(samples / hop).
        """
        spectrum = analyze(waveform, self.conv_a1.weight, self.hop)
        return spectrum if self.between else self._in_context(spectrum)

    def _in_context(self, spectrum: Tensor) -> Tensor:
        return self.conv_a2(spectrum) + spectrum
