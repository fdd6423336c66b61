"""What is asked of a separator, and what one may be able to do beside it.

Attacks, evaluation, audit and report know these protocols and no separator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from torch import Tensor

from stemproof.core.errors import InputError

# What an informed separator is given beside the mixture; the first axis is the batch.
Side = Tensor | None
# `fixed`: made once, from the clean stems. `recomputed`: made from the mixture that is heard.
MaskKind = Literal["fixed", "recomputed"]


@runtime_checkable
class Separator(Protocol):
    """A separator of vocals whose output is differentiable in the mixture."""

    @property
    def sample_rate(self) -> int:
        """Of the recordings that it takes, in Hz."""
        ...

    @property
    def channels(self) -> int:
        """Of the recordings that it takes."""
        ...

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        """Estimate the vocals.

        Args:
            mixture: batch x channels x samples, full scale 1.
            side: what :meth:`Informed.side` made; None for a separator that is not informed.

        Returns:
            batch x channels x samples.
        """
        ...


@runtime_checkable
class Informed(Protocol):
    """The ability of a separator that is told something of the true stems."""

    @property
    def twin(self) -> Separator | None:
        """The same system with the other kind of side information, or None."""
        ...

    def side(self, mixture: Tensor, vocals: Tensor) -> Tensor:
        """Side information from clean stems, each batch x channels x samples."""
        ...


@runtime_checkable
class Reconstructing(Protocol):
    """The ability of a separator that works through a representation."""

    def reconstruct(self, vocals: Tensor) -> Tensor:
        """Through the representation and back; batch x channels x samples both ways."""
        ...


@runtime_checkable
class Random(Protocol):
    """The ability of a separator that draws random numbers at test time."""

    def redrawn(self, seeds: Sequence[int]) -> Separator:
        """The same system with its draws fixed, one seed an item of the batch."""
        ...


@runtime_checkable
class BlackBox(Protocol):
    """The mark of a separator through which no gradient comes back."""

    @property
    def why_no_gradient(self) -> str:
        """The reason, as half a sentence: ``a program of its own computes the vocals``."""
        ...


@runtime_checkable
class Precise(Protocol):
    """The ability of a separator that can be computed in double precision."""

    def doubled(self) -> Separator:
        """The same system for mixtures in float64, apart from this one."""
        ...


@dataclass(frozen=True)
class View:
    """A look into what a separator has learned.

    Attributes:
        title: what is seen.
        caption: how to read it, in a sentence.
        values: a map, rows x columns with the first row below; or a curve, its points.
        across: what the abscissa shows, with its unit.
        up: what the ordinate shows, with its unit.
        width: where the abscissa begins and ends.
        height: where the ordinate of a map begins and ends.
        shades: what the colours of a map show, with their unit.
    """

    title: str
    caption: str
    values: Tensor
    across: str
    up: str
    width: tuple[float, float]
    height: tuple[float, float] = (0.0, 1.0)
    shades: str = ""


@runtime_checkable
class Inspectable(Protocol):
    """The ability of a separator that can show what it has learned."""

    def views(self, mixture: Tensor) -> list[View]:
        """Looks into it while it hears a recording, 1 x channels x samples."""
        ...


def side_of(separator: Separator, mixture: Tensor, vocals: Tensor) -> Side:
    """What a separator is given beside the mixture, or None for one that is not informed.

    Args:
        separator: any.
        mixture: clean mixtures, batch x channels x samples.
        vocals: true vocals, same shape.
    """
    return separator.side(mixture, vocals) if isinstance(separator, Informed) else None


def separated(separator: Separator, mixture: Tensor, side: Side = None) -> Tensor:
    """What a separator gives, held against the shape of what it was given.

    A loss would else be computed between waveforms of other shapes, and mean nothing.

    Raises:
        InputError: it is another shape, or no tensor.
    """
    output = separator.separate(mixture, side)
    name = type(separator).__name__
    if not isinstance(output, Tensor):
        raise InputError(
            f"the separator {name} gives {type(output).__name__}, not a tensor; it must give the "
            "vocals alone"
        )
    if output.shape != mixture.shape:
        raise InputError(
            f"the separator {name} gives {tuple(output.shape)} for a mixture of "
            f"{tuple(mixture.shape)}; it must give the vocals, batch x channels x samples, of the "
            "same shape"
        )
    return output


def redrawn(separator: Separator, seeds: Sequence[int]) -> Separator:
    """A separator whose draws are fixed by one seed an item; one without draws as it is."""
    return separator.redrawn(seeds) if isinstance(separator, Random) else separator
