"""What a protection aims at: vocals far from what the clean song gives, and stems mixed up."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stemproof.separators.protocol import Separator, redrawn, separated

# A distortion is counted up to here (dB): one system that is broken already shall not outweigh
# those that are not.
ENOUGH_DB = 20.0
QUIET_DB = 40.0  # stems that lie further below the song count as loud as this
TINY = 1e-20


@dataclass(frozen=True)
class Aim:
    """A system, for songs of one rate and number of channels.

    Attributes:
        name: what tables call it.
        separator: blind.
    """

    name: str
    separator: Separator

    def vocals(self, song: Tensor, seed: int = 0) -> Tensor:
        """What it separates, batch x channels x samples both ways."""
        return separated(redrawn(self.separator, [seed] * len(song)), song)


def distortion(reference: Tensor, estimate: Tensor, song: Tensor) -> Tensor:
    """How far an estimate is from a reference of any loudness, in dB.

    Minus the SI-SDR (Le Roux et al., 2019, eq. 4), but that a reference which is all but silent
    counts as :data:`QUIET_DB` below the song: what is put out in its place is a distortion then.

    Args:
        reference: batch x channels x samples.
        estimate: same shape.
        song: same shape.

    Returns:
        One figure an item.
    """
    s, e, x = (signal.flatten(1) for signal in (reference, estimate, song))
    energy = s.square().sum(-1, keepdim=True)
    target = (s * e).sum(-1, keepdim=True) / (energy + TINY) * s
    wrong = (e - target).square().sum(-1) + TINY
    least = x.square().sum(-1) * 10 ** (-QUIET_DB / 10) + TINY
    right = torch.maximum(target.square().sum(-1), least)
    return 10 * torch.log10(wrong / right)


def loss(vocals: Tensor, heard: Tensor, true_vocals: Tensor, true_song: Tensor) -> Tensor:
    """What is maximized: the mean distortion of vocals and rest, in dB, one an item.

    What leaks from one stem into the other is a distortion of both.

    Args:
        vocals: that are separated from what is heard, batch x channels x samples.
        heard: the protected song.
        true_vocals: what they are held against: those of the clean song, or the true ones.
        true_song: the clean song.
    """
    pairs = ((true_vocals, vocals), (true_song - true_vocals, heard - vocals))
    found = [distortion(true, given, true_song).clamp(max=ENOUGH_DB) for true, given in pairs]
    return (found[0] + found[1]) / 2
