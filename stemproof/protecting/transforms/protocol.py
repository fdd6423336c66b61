"""What happens to music between who made it and who separates it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

# (batch x channels x samples, sample rate in Hz, seed) -> the same shape, aligned to the sample
Change = Callable[[Tensor, int, int], Tensor]


@dataclass(frozen=True)
class Transform:
    """One thing that happens to music; differentiable, if need be straight through.

    Attributes:
        name: in options and tables.
        words: what it is.
        change: what it does to a song.
        linear: whether a stem is changed as the song is: then the true vocals go through it, too.
            Else (a codec, noise) they are taken as they were.
        drawn: whether another seed changes something else.
    """

    name: str
    words: str
    change: Change
    linear: bool = True
    drawn: bool = False

    def song(self, song: Tensor, rate: int, seed: int) -> Tensor:
        """What becomes of a song.

        Args:
            song: batch x channels x samples.
            rate: in Hz.
            seed: of what is drawn.
        """
        return self.change(song, rate, seed)

    def stem(self, stem: Tensor, rate: int, seed: int) -> Tensor:
        """What becomes of a stem in that song; shapes as for :meth:`song`."""
        return self.change(stem, rate, seed) if self.linear else stem


def straight_through(song: Tensor, changed: Tensor) -> Tensor:
    """A value that has no gradient, with the gradient of the song in its place.

    (Bengio, Leonard and Courville, 2013.)
    """
    return song + (changed - song).detach()
