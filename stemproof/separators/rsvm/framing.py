"""Segments and frames: padding, and convolutions that move on by a hop.

A filter of ``kernel`` samples that moves on by ``hop`` is, seen hop by hop, an ordinary filter of
``ceil(kernel / hop)`` taps on ``hop`` channels: its polyphase form (Vaidyanathan, 1993, ch. 4). The
sums are the same, and libraries compute that form up to twice as fast as one with a stride.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def frame_count(samples: int, hop: int) -> int:
    """Number of frames of a segment."""
    return -(-samples // hop)


def padding(samples: int, kernel: int, hop: int) -> tuple[int, int]:
    """Zeros to put before and after a segment.

    The total is what ``frame_count`` frames need beyond the segment. The reference code pads
    ``int(-N/2 + L/2 - hop/2 + ceil(N/hop) * hop/2)`` on both sides, which is the same whenever
    the total is even; when it is odd, the extra zero goes to the end, so that any segment
    length gives the same number of frames.
    """
    total = (frame_count(samples, hop) - 1) * hop + kernel - samples
    return total // 2, total - total // 2


def analyze(waveform: Tensor, filters: Tensor, hop: int) -> Tensor:
    """Pad and correlate with every filter, a hop at a time.

    Equal, but for rounding, to ``conv1d(pad(waveform), filters, stride=hop)``.

    Args:
        waveform: batch x samples.
        filters: channels x 1 x kernel.
        hop: samples between frames.

    Returns:
        batch x channels x frames.
    """
    samples, kernel = waveform.shape[-1], filters.shape[-1]
    before, after = padding(samples, kernel, hop)
    # The last hop is filled up with zeros, for which the filters have zeros too.
    padded = F.pad(waveform, (before, after + -kernel % hop))
    hops = padded.reshape(len(padded), -1, hop).transpose(1, 2)
    return F.conv1d(hops, _by_hops(filters, hop))


def synthesize(coefficients: Tensor, filters: Tensor, hop: int, samples: int) -> Tensor:
    """Add up the filters, each scaled by its coefficient, a hop apart; undo the padding.

    Equal, but for rounding, to ``conv_transpose1d(coefficients, filters, stride=hop)`` without
    what was padded; the transpose of :func:`analyze`.

    Args:
        coefficients: batch x channels x frames.
        filters: channels x 1 x kernel.
        hop: samples between frames.
        samples: length of the segment.

    Returns:
        batch x samples.
    """
    before, _ = padding(samples, filters.shape[-1], hop)
    hops = F.conv_transpose1d(coefficients, _by_hops(filters, hop))
    return hops.transpose(1, 2).flatten(1)[:, before : before + samples]


def _by_hops(filters: Tensor, hop: int) -> Tensor:
    """Channels x 1 x kernel to channels x hop x taps."""
    filled = F.pad(filters[:, 0], (0, -filters.shape[-1] % hop))
    return filled.reshape(len(filled), -1, hop).transpose(1, 2)
