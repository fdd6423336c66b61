"""Expectation: the mean of what a random system gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from stemproof.core.errors import InputError
from stemproof.core.random import derive_seed
from stemproof.separators.protocol import (
    BlackBox,
    Informed,
    Precise,
    Random,
    Reconstructing,
    Separator,
    Side,
)
from stemproof.separators.wrappers.wrapper import Wrapper


@dataclass(frozen=True)
class Expectation(Wrapper):
    """The mean output of a random system over some fixed draws: a system without draws.

    All items of a batch get the same draws, so that none depends on its place. The expectation of
    a loss, which an attack on the random system itself maximizes, is another thing: see
    :class:`stemproof.attacks.case.Case`.

    Attributes:
        inside: the random system.
        draws: how many are averaged.
        seed: of the draws.

    Raises:
        InputError: the system draws nothing, or fewer than one draw is asked for.
    """

    draws: int
    seed: int = 0
    passes_on: ClassVar[tuple[Any, ...]] = (Informed, Reconstructing, BlackBox, Precise)

    def __post_init__(self) -> None:
        if not isinstance(self.inside, Random):
            raise InputError("a system without random draws is its own mean; use it as it is")
        if self.draws < 1:
            raise InputError(f"draws = {self.draws} must be 1 or more")

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        """Estimate the vocals, batch x channels x samples both ways."""
        return self._mean(len(mixture), lambda system: system.separate(mixture, side))

    def _reconstruct(self, vocals: Tensor) -> Tensor:
        def output(system: Separator) -> Tensor:
            able: Any = system if isinstance(system, Reconstructing) else self.inside
            return able.reconstruct(vocals)

        return self._mean(len(vocals), output)

    def _mean(self, items: int, output: Callable[[Separator], Tensor]) -> Tensor:
        inside: Any = self.inside
        seeds = [derive_seed(self.seed, "expectation", draw) for draw in range(self.draws)]
        outputs = [output(inside.redrawn([seed] * items)) for seed in seeds]
        return torch.stack(outputs).mean(0)
