"""What a budget is: where a perturbation may lie, and what the steepest step is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from torch import Tensor

from stemproof.core.random import Draws

Keeper = Callable[[Tensor], Tensor]


class Ball(Protocol):
    """What a step rule needs of a budget: a ball, one radius an item (batch x 1)."""

    @property
    def radius(self) -> Tensor:
        """Largest norm allowed, batch x 1."""
        ...

    def start(self, like: Tensor, draws: Draws) -> Tensor:
        """A random point of the ball, batch x samples."""
        ...

    def steepest(self, gradient: Tensor) -> Tensor:
        """The step of unit norm along which the linearized loss grows most."""
        ...

    def project(self, delta: Tensor) -> Tensor:
        """The nearest point of the ball."""
        ...

    def per_sample(self, like: Tensor) -> float:
        """Size of one sample of a perturbation of norm 1 whose samples are equally large."""
        ...


class Budget(Ball, Protocol):
    """A ball around the clean mixture."""

    def size(self, delta: Tensor) -> Tensor:
        """The norm of each perturbation, batch x 1, in double precision."""
        ...

    def keeper(self, mixture: Tensor) -> Keeper:
        """What moves adversarials of these mixtures so that their *stored* difference keeps inside.

        Adding a perturbation to the mixture rounds to float32, and may round outwards. The
        function takes and returns batch x samples; the difference of what it returns to
        ``mixture``, computed in double precision, is within the radius.
        """
        ...
