"""What all wrappers share: a wrapped system can do what the system inside can, and no more."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Self

from torch import Tensor

from stemproof.separators.protocol import (
    BlackBox,
    Informed,
    Precise,
    Random,
    Reconstructing,
    Separator,
    Side,
)


@dataclass(frozen=True)
class Wrapper:
    """A separator around a separator.

    A subclass says how a mixture passes through it, and how the abilities do: ``_side``,
    ``_reconstruct``, ``_redrawn``. An instance has the methods of those abilities that the system
    inside has, and no others, so that ``isinstance(wrapped, Informed)`` tells the truth.

    Attributes:
        inside: the system.
    """

    inside: Separator
    # Abilities that make sense outside when the system inside has them.
    passes_on: ClassVar[tuple[Any, ...]] = (Informed, Reconstructing, Random, BlackBox, Precise)

    def __new__(cls, inside: Separator, *_: Any, **__: Any) -> Self:
        """An instance of the class with the abilities of the system inside."""
        plain: Any = getattr(cls, "_plain", cls)
        has = tuple(ability for ability in plain.passes_on if isinstance(inside, ability))
        made: Any = object.__new__(_with(plain, has))
        return made

    @property
    def sample_rate(self) -> int:
        """Of the recordings that it takes, in Hz."""
        return self.inside.sample_rate

    @property
    def channels(self) -> int:
        """Of the recordings that it takes."""
        return self.inside.channels

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        """Estimate the vocals, batch x channels x samples both ways."""
        return self.inside.separate(mixture, side)

    def around(self, inside: Separator) -> Self:
        """The same wrapper around another system."""
        return replace(self, inside=inside)

    def _side(self, mixture: Tensor, vocals: Tensor) -> Tensor:
        inside: Any = self.inside
        return inside.side(mixture, vocals)

    def _reconstruct(self, vocals: Tensor) -> Tensor:
        inside: Any = self.inside
        return inside.reconstruct(vocals)

    def _redrawn(self, seeds: Sequence[int]) -> Separator:
        inside: Any = self.inside
        return self.around(inside.redrawn(seeds))

    def __reduce__(self) -> tuple[Any, ...]:
        # Copies and pickles are made by the class that has a name.
        values = tuple(getattr(self, field.name) for field in fields(self) if field.init)
        return getattr(type(self), "_plain", type(self)), values


class _Informed:
    @property
    def twin(self: Any) -> Separator | None:
        """The same system with the other kind of side information, or None."""
        twin = self.inside.twin
        return None if twin is None else self.around(twin)

    def side(self: Any, mixture: Tensor, vocals: Tensor) -> Tensor:
        """Side information from clean stems, each batch x channels x samples."""
        return self._side(mixture, vocals)


class _Reconstructing:
    def reconstruct(self: Any, vocals: Tensor) -> Tensor:
        """Through the representation and back; batch x channels x samples both ways."""
        return self._reconstruct(vocals)


class _Random:
    def redrawn(self: Any, seeds: Sequence[int]) -> Separator:
        """The same system with its draws fixed, one seed an item of the batch."""
        return self._redrawn(seeds)


class _BlackBox:
    @property
    def why_no_gradient(self: Any) -> str:
        """Why no gradient comes back."""
        return str(self.inside.why_no_gradient)


class _Precise:
    def doubled(self: Any) -> Separator:
        """The same wrapper around the same system in double precision."""
        return self.around(self.inside.doubled())


METHODS = {
    Informed: _Informed,
    Reconstructing: _Reconstructing,
    Random: _Random,
    BlackBox: _BlackBox,
    Precise: _Precise,
}


# Protocols that are checked at run time look for methods where the class has them: `__getattr__`
# would not be seen.
@functools.cache
def _with(plain: Any, has: tuple[Any, ...]) -> Any:
    """A wrapper's class with the methods of some abilities."""
    about = {"__module__": plain.__module__, "__doc__": plain.__doc__, "_plain": plain}
    return type(plain.__name__, (plain, *(METHODS[ability] for ability in has)), about)
