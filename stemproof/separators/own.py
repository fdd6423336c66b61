"""A system of somebody's own: any function of the mixture behind the protocol."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.utils import checkpoint

from stemproof.core.errors import InputError, out_of_memory
from stemproof.separators.protocol import Informed, Separator, Side, side_of
from stemproof.separators.wrappers.wrapper import Wrapper

# Of the largest sample: what the sums of a batch may differ by, in TF32 as well.
COUPLED = 3e-3


@dataclass(frozen=True)
class OwnSystem:
    """A function from mixtures to vocals.

    Attributes:
        function: batch x channels x samples both ways.
        sample_rate: of the recordings that it takes, in Hz.
        channels: of the recordings that it takes.
        name: what messages call it.
    """

    function: Callable[[Tensor], Any]
    sample_rate: int
    channels: int
    name: str = "the system"

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        """Estimate the vocals, batch x channels x samples both ways.

        Raises:
            InputError: the function fails, or gives no tensor, one of another shape, or numbers of
                another precision.
        """
        if side is not None:
            raise ValueError("side information for a system that takes none")
        with _explaining(self.name, mixture):
            output = self.function(mixture)
        return _checked(output, mixture, self.name)


class PreciseSystem(OwnSystem):
    """A function that can be computed in double precision."""

    def doubled(self) -> PreciseSystem:
        """The same for mixtures in float64: a module as a copy with weights in float64."""
        return replace(self, function=_doubled(self.function))


class OpaqueSystem(OwnSystem):
    """A function through which no gradient comes back."""

    why_no_gradient: ClassVar[str] = (
        "its output does not hang on the mixture in a way that PyTorch can differentiate"
    )


@dataclass(frozen=True)
class Abilities:
    """What a function was found to be able to do.

    Attributes:
        gradient: whether a gradient comes back through it.
        precise: whether it computes in double precision when it is given float64.
    """

    gradient: bool
    precise: bool

    def given_to(self, system: OwnSystem) -> OwnSystem:
        """The system as the class that has these abilities, and no others."""
        kind = PreciseSystem if self.precise else OwnSystem
        chosen = kind if self.gradient else OpaqueSystem
        return chosen(system.function, system.sample_rate, system.channels, system.name)


def abilities(system: OwnSystem, mixture: Tensor) -> Abilities:
    """Try what a system is able to do.

    Whoever computes in float32 inside, and gives float64, is not precise: every number of his
    output is one of float32.

    Args:
        system: that takes the mixture.
        mixture: noise in float32, batch x channels x samples.

    Raises:
        InputError: the system fails when a gradient is asked for.
    """
    heard = mixture.detach().clone().requires_grad_(True)
    with torch.enable_grad(), _explaining(system.name, mixture):
        gradient = _gradient(system.separate(heard), heard)
    try:
        heard = mixture.double() * (1 + 2.0**-30)
        with torch.no_grad():
            output = _checked(_doubled(system.function)(heard), heard, system.name)
        precise = not torch.equal(output, output.float().double())
    except Exception as error:  # whatever somebody's own code raises on what it was not made for
        if _is_no_fault(error):
            raise
        precise = False
    return Abilities(gradient is not None, precise)


def tried(separator: Separator, mixture: Tensor, vocals: Tensor, gradient: bool = False) -> None:
    """A few passes of a system over some mixtures, before much is computed with it.

    Args:
        separator: any.
        mixture: batch x channels x samples; of two and more, whether the first is separated by
            itself as beside another one is tried as well.
        vocals: same shape.
        gradient: whether its gradient will be needed.

    Raises:
        InputError: it cannot take them, or gives no tensor, another shape or what is not a number;
            or it changes the mixture that it is given; or no gradient reaches the mixture; or what
            it makes of a recording depends on the others in the batch.
    """
    heard = mixture.detach().clone().requires_grad_(gradient)
    inside = separator
    while isinstance(inside, Wrapper):
        inside = inside.inside
    name = inside.name if isinstance(inside, OwnSystem) else "the system"
    with _explaining(name, mixture), torch.set_grad_enabled(gradient):
        output = separator.separate(heard, side_of(separator, mixture, vocals))
    output = _checked(output, mixture, name)
    if not torch.equal(heard.detach(), mixture):
        raise InputError(f"{name} changes the mixture that it is given; let it work on a copy")
    if not torch.isfinite(output).all():
        raise InputError(f"{name} gives what is not a number; train it again, or correct it")
    if gradient and _gradient(output, heard) is None:
        raise InputError(
            f"no gradient of {name}'s output reaches the mixture; take torch.no_grad and "
            "detach out of it, or choose attack.method = search, which needs none"
        )
    if len(mixture) > 1 and not isinstance(separator, Informed):
        with _explaining(name, mixture), torch.no_grad():
            _refuse_coupled(separator, mixture, name)


def _refuse_coupled(separator: Separator, mixture: Tensor, name: str) -> None:
    """Figures of a recording would depend on which others are computed with it."""
    first, louder = mixture[:1], 4 * mixture[1:2]
    alone, again = separator.separate(first.clone()), separator.separate(first.clone())
    if not torch.equal(alone, again):
        return  # it is random, which the gate before an attack looks at
    beside = separator.separate(torch.cat([first, louder]))[:1]
    difference = float((beside - alone).abs().max())
    if not difference <= COUPLED * float(alone.abs().max()):
        raise InputError(
            f"{name} makes something else of a recording when a louder one is in the batch (by up "
            f"to {difference:.2g}); let it treat every recording by itself: no maximum, mean or "
            "normalization over the first dimension"
        )


def noise(items: int, channels: int, samples: int, device: torch.device | str = "cpu") -> Tensor:
    """Quiet noise to try a system on, items x channels x samples; always the same."""
    generator = torch.Generator().manual_seed(0)
    return (0.1 * torch.randn(items, channels, samples, generator=generator)).to(device)


@contextmanager
def _explaining(name: str, mixture: Tensor) -> Iterator[None]:
    """What somebody's own code raises becomes one sentence."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        if _is_no_fault(error):
            raise
        raise InputError(
            f"{name} cannot take a mixture of {tuple(mixture.shape)}, batch x channels x samples "
            f"({type(error).__name__}: {error}); correct it, or its channels"
        ) from error


def _checked(output: Any, mixture: Tensor, name: str) -> Tensor:
    if isinstance(output, nn.Module):
        raise InputError(
            f"{name} gives a {type(output).__name__}, which makes the vocals, and not vocals; name "
            "what it gives, which in an entry is done by arguments: {}"
        )
    if not isinstance(output, Tensor):
        raise InputError(
            f"{name} gives {type(output).__name__}, not a tensor; wrap it in a function that "
            "gives its vocals alone"
        )
    if output.shape != mixture.shape:
        raise InputError(
            f"{name} gives {tuple(output.shape)} for a mixture of {tuple(mixture.shape)}; it "
            "must give the vocals, batch x channels x samples, of the same shape"
        )
    if (output.dtype, output.device) != (mixture.dtype, mixture.device):
        raise InputError(
            f"{name} gives {output.dtype} on {output.device} for a mixture of {mixture.dtype} on "
            f"{mixture.device}; let it give what it is given"
        )
    return output


def _gradient(output: Tensor, heard: Tensor) -> Tensor | None:
    """Of the sum of the output; None where it does not hang on what was heard."""
    if not output.requires_grad:
        return None
    (found,) = torch.autograd.grad(output.sum(), heard, allow_unused=True)
    return found


def _doubled(function: Callable[[Tensor], Any]) -> Callable[[Tensor], Any]:
    return copy.deepcopy(function).double() if isinstance(function, nn.Module) else function


def _is_no_fault(error: Exception) -> bool:
    """Whether an exception says nothing about the system: a machine or a GPU is full, for instance.

    Gradient checkpointing ends a pass that it has seen enough of by an exception of its own.
    """
    full = out_of_memory(error) or isinstance(error, torch.cuda.OutOfMemoryError)
    return full or type(error).__module__ == checkpoint.__name__
