"""Spleeter behind the protocol: blocks of 512 frames, each through the networks by itself.

A recording is padded by half a window of zeros on both sides, so that frame t is centred at sample
1024 t, and has 1 + samples // 1024 frames. The last block is filled up with magnitudes of zero, as
Spleeter does: the networks see 512 frames in any case, and blocks share no context.
"""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from stemproof.separators.protocol import Side
from stemproof.separators.spleeter.network import Spleeter
from stemproof.separators.spleeter.spectra import (
    HOP,
    OVERLAP,
    WINDOW,
    analyze,
    envelope,
    span,
    synthesize,
)

BLOCK = 512  # frames
# Blocks whose activations, some 300 MB each in float32, are kept for the backward pass.
KEPT = 4


class SpleeterSeparator:
    """The vocals of a stereo recording: its spectrum, times the mask of the vocals.

    Blocks are computed one at a time: no item of a batch can change another. Where there are more
    than a few, each is computed again in the backward pass, so that what is kept for it does not
    grow with the recording or the batch.

    Args:
        model: both networks; their weights are frozen.
    """

    sample_rate = 44_100
    channels = 2

    def __init__(self, model: Spleeter) -> None:
        self.model = model.eval().requires_grad_(False)
        for weight in self.model.parameters():
            if weight.dim() == 4:  # as the network computes
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        """Estimate the vocals; batch x 2 x samples both ways."""
        again = len(mixture) * math.ceil(_frames(mixture) / BLOCK) > KEPT
        return torch.stack([self._one(item, again) for item in mixture.unbind()])

    def doubled(self) -> SpleeterSeparator:
        """The same system for mixtures in float64, apart from this one."""
        return SpleeterSeparator(copy.deepcopy(self.model).double())

    def _one(self, mixture: Tensor, again: bool) -> Tensor:
        """One recording, 2 x samples both ways; ``again``: in the backward pass."""
        samples, frames = mixture.shape[-1], _frames(mixture)
        outputs = [
            checkpoint(self._block, heard, use_reentrant=False, preserve_rng_state=False)
            if again
            else self._block(heard)
            for heard in _cut(F.pad(mixture, (WINDOW // 2, WINDOW // 2)), frames)
        ]
        inner = slice(WINDOW // 2, WINDOW // 2 + samples)
        return _joined(outputs)[..., inner] / envelope(frames, mixture)[inner]

    def _block(self, heard: Tensor) -> Tensor:
        """A block, 2 x the samples that its frames cover both ways."""
        spectrum = analyze(heard)
        frames = spectrum.shape[-2]
        # The gradient of a magnitude is taken as zero at zero: that of a root would be infinite.
        magnitudes = F.pad(spectrum.abs(), (0, 0, 0, BLOCK - frames))
        return synthesize(spectrum * self.model(magnitudes[None])[0, :, :frames])


def _frames(recording: Tensor) -> int:
    """How many frames a recording has."""
    return 1 + recording.shape[-1] // HOP


# Cut and joined without a slice of the whole recording, of which every single one would be a
# gradient of its whole length.
def _cut(padded: Tensor, frames: int) -> list[Tensor]:
    """What the frames of each block cover; neighbours overlap.

    Args:
        padded: channels x samples.
        frames: of all blocks.
    """
    pieces = [*torch.split(padded, BLOCK * HOP, dim=-1), padded.new_zeros(len(padded), 0)]
    counts = [min(BLOCK, frames - first) for first in range(0, frames, BLOCK)]
    return [
        torch.cat([pieces[n], pieces[n + 1][..., :OVERLAP]], dim=-1)[..., : span(count)]
        for n, count in enumerate(counts)
    ]


def _joined(blocks: list[Tensor]) -> Tensor:
    """Blocks with the overlap of :func:`_cut`, added up; channels x samples."""
    tail = blocks[0].new_zeros(len(blocks[0]), OVERLAP)
    parts = []
    for block in blocks:
        head, body = torch.split(block, [OVERLAP, block.shape[-1] - OVERLAP], dim=-1)
        parts.append(head + tail)
        if block is not blocks[-1]:
            body, tail = torch.split(body, [body.shape[-1] - OVERLAP, OVERLAP], dim=-1)
        parts.append(body)
    return torch.cat(parts, dim=-1)
