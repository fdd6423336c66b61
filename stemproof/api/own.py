"""A system of one's own: any function of the mixture behind the protocol."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from stemproof.core.errors import InputError
from stemproof.separators.protocol import Separator, Side, side_of


@dataclass(frozen=True)
class OwnSystem:
    """A function from mixtures to vocals.

    Attributes:
        function: batch x channels x samples both ways.
        sample_rate: of the recordings that it takes, in Hz.
        channels: of the recordings that it takes.
    """

    function: Callable[[Tensor], Any]
    sample_rate: int
    channels: int

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        """Estimate the vocals, batch x channels x samples both ways.

        Raises:
            InputError: the function gives no tensor, or one of another shape.
        """
        if side is not None:
            raise ValueError("side information for a system that takes none")
        return _checked(self.function(mixture), mixture)


def _checked(output: Any, mixture: Tensor) -> Tensor:
    if not isinstance(output, Tensor):
        raise InputError(
            f"the system gives {type(output).__name__}, not a tensor; wrap it in a function that "
            "gives its vocals alone"
        )
    if output.shape != mixture.shape:
        raise InputError(
            f"the system gives {tuple(output.shape)} for a mixture of {tuple(mixture.shape)}; it "
            "must give the vocals, batch x channels x samples, of the same shape"
        )
    return output


def tried(separator: Separator, mixture: Tensor, vocals: Tensor, gradient: bool = False) -> None:
    """One pass of a system over some mixtures, before much is computed with it.

    Args:
        separator: any.
        mixture: batch x channels x samples.
        vocals: same shape.
        gradient: whether its gradient will be needed.

    Raises:
        InputError: it cannot take them, or gives no tensor, another shape or what is not a number;
            or no gradient reaches the mixture.
    """
    heard = mixture.detach().clone().requires_grad_(gradient)
    try:
        with torch.set_grad_enabled(gradient):
            output = separator.separate(heard, side_of(separator, mixture, vocals))
    except InputError:
        raise
    except Exception as error:  # whatever somebody's own code raises
        raise InputError(
            f"the system cannot take a mixture of {tuple(mixture.shape)}, batch x channels x "
            f"samples ({type(error).__name__}: {error}); correct it, or its channels"
        ) from error
    output = _checked(output, mixture)
    if not torch.isfinite(output).all():
        raise InputError("the system gives what is not a number; train it again, or correct it")
    if gradient:
        found = None
        if output.requires_grad:
            (found,) = torch.autograd.grad(output.sum(), heard, allow_unused=True)
        if found is None:
            raise InputError(
                "no gradient of the system's output reaches the mixture; take torch.no_grad and "
                "detach out of it, or choose attack.method = search, which needs none"
            )
