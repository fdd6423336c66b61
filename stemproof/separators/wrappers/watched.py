"""A system that says when it has been asked: its passes are what progress is counted in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from stemproof.separators.protocol import Side
from stemproof.separators.wrappers.wrapper import Wrapper


@dataclass(frozen=True)
class Watched(Wrapper):
    """A system as it is, whose passes are told.

    Attributes:
        inside: the system.
        tell: called after every pass.
    """

    tell: Callable[[], object]

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        """Estimate the vocals, batch x channels x samples both ways."""
        output = self.inside.separate(mixture, side)
        self.tell()
        return output
