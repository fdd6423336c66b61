"""The gate before a white-box attack: does the gradient of a system say what a small step does?

Autograd can lie: a system that detaches its input gives a gradient that is finite and wrong, and
an attack that follows it finds little, which would pass for robustness.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from stemproof.attacks.training_mode import in_training
from stemproof.core.forecast import quickest
from stemproof.core.random import Draws
from stemproof.core.room import in_time
from stemproof.data.excerpts import Excerpts
from stemproof.figures.si_sdr import si_sdr
from stemproof.separators.protocol import (
    BlackBox,
    Informed,
    Precise,
    Separator,
    redrawn,
    separated,
    side_of,
)

DIRECTIONS = 3
LONGEST = 10  # segments of a recording that are examined
# Root mean square of a step to either side, full scale 1. In single precision a step must be large
# enough to stand clear of rounding and small enough for a bent loss: some are tried until one
# agrees, since a wrong gradient agrees with none.
STEPS = {torch.float64: (1e-8, 1e-9, 1e-7), torch.float32: (1e-5, 3e-5, 3e-6, 1e-4)}
ERROR = {torch.float64: 0.01, torch.float32: 0.1}  # relative, at most


@dataclass(frozen=True)
class Check:
    """One check of the gate.

    Attributes:
        name: a short name.
        passed: whether the system passes.
        reason: what was measured, and what to do where it does not pass.
    """

    name: str
    passed: bool
    reason: str


@dataclass(frozen=True)
class Gate:
    """What the gate found.

    Attributes:
        checks: one after the other; after the first that leaves nothing to measure come no more.
        step_seconds: of one forward and backward pass over one recording; of a forward pass alone
            where there is no gradient.
        samples: that it had.
    """

    checks: list[Check]
    step_seconds: float
    samples: int

    @property
    def passed(self) -> bool:
        """Whether the gradient can be used."""
        return all(check.passed for check in self.checks)

    @property
    def reason(self) -> str:
        """Why not, in a sentence; empty when it passed."""
        return "; ".join(check.reason for check in self.checks if not check.passed)

    def document(self) -> dict[str, Any]:
        """As JSON, without what differs from run to run."""
        return {"passed": self.passed, "checks": [asdict(check) for check in self.checks]}


def gate(separator: Separator, mixture: Tensor, vocals: Tensor, seed: int) -> Gate:
    """Send one recording through a system, again and again.

    A system whose side information is recomputed through a straight-through gradient passes by
    its twin: its gradient is not meant to be the slope of a threshold.

    Args:
        separator: the system.
        mixture: of one recording, 1 x channels x samples.
        vocals: same shape.
        seed: of the directions, and of what the system draws.

    Raises:
        InputError: the output is no tensor or of another shape.
    """
    if isinstance(separator, BlackBox):
        started = time.perf_counter()
        with torch.no_grad():
            _same(separator, mixture, vocals, seed)
        seconds = (time.perf_counter() - started) / 2
        return Gate([_black_box(separator)], seconds, mixture.shape[-1])
    checks = [_evaluation_mode(separator)]
    repeated = _same(separator, mixture, vocals, seed)
    checks.append(repeated)
    checks.append(_silence(separator, mixture, seed))
    seconds = quickest(lambda: _silence(separator, mixture, seed))
    checked = separator
    if isinstance(separator, Informed) and getattr(separator, "mask", "fixed") == "recomputed":
        checked = separator.twin or separator
    if repeated.passed:
        checks.append(_gradient(checked, mixture, vocals, seed))
    return Gate(checks, seconds, mixture.shape[-1])


def examine(
    separator: Separator, excerpts: Excerpts, loud_db: float, seed: int, device: torch.device
) -> Gate:
    """Send the first part that counts through the gate, its beginning if it is long.

    Args:
        separator: the system.
        excerpts: what will be attacked.
        loud_db: which segments count.
        seed: of :func:`gate`.
        device: where to compute.
    """
    number = excerpts.loud(loud_db)[0]
    longest = LONGEST * excerpts.segment
    if excerpts.places[number].samples > longest:
        excerpts = excerpts.of_length(longest)
        number = excerpts.loud(loud_db)[0]
    mixture, vocals = excerpts.read([number], device)
    return gate(separator, mixture, vocals, seed)


def _black_box(separator: BlackBox) -> Check:
    return Check(
        "gradient",
        False,
        f"no gradient: {separator.why_no_gradient}; for a white-box figure give the model itself",
    )


def _evaluation_mode(separator: Separator) -> Check:
    training = in_training(separator)
    return Check(
        "evaluation mode",
        not training,
        f"{', '.join(training)} in training mode; call eval() on the model"
        if training
        else "no part is in training mode",
    )


def _same(separator: Separator, mixture: Tensor, vocals: Tensor, seed: int) -> Check:
    side = side_of(separator, mixture, vocals)
    with torch.no_grad():
        first, second = (
            separated(redrawn(separator, [seed]), mixture, side).clone() for _ in range(2)
        )
    difference = float(torch.nan_to_num((first - second).abs(), nan=1.0).max())
    return Check(
        "determinism",
        difference == 0,
        f"two passes over the same recording differ by up to {difference:.2g}; switch off what is "
        "random, or let the system fix its draws (the ability Random)"
        if difference
        else "two passes over the same recording are bit-identical",
    )


def _silence(separator: Separator, mixture: Tensor, seed: int) -> Check:
    silence = torch.zeros_like(mixture)
    side = side_of(separator, silence, silence)
    heard = silence.clone().requires_grad_(True)
    output = separated(redrawn(separator, [seed]), heard, side)
    broken = not bool(torch.isfinite(output).all())
    if output.requires_grad:
        (found,) = torch.autograd.grad(output.sum(), heard, allow_unused=True)
        broken = broken or (found is not None and not bool(torch.isfinite(found).all()))
    return Check(
        "silence",
        not broken,
        "output or gradient is not a number on silence; mend divisions by zero and roots of zero"
        if broken
        else "silence gives finite numbers",
    )


def _gradient(separator: Separator, mixture: Tensor, vocals: Tensor, seed: int) -> Check:
    if isinstance(separator, Precise):
        separator = separator.doubled()
        mixture, vocals = mixture.double(), vocals.double()
    side = side_of(separator, mixture, vocals)
    fixed = redrawn(separator, [seed])

    def loss(heard: Tensor) -> Tensor:
        return -si_sdr(vocals.flatten(1), separated(fixed, heard, side).flatten(1)).sum()

    heard = mixture.clone().requires_grad_(True)
    value = loss(heard)
    if not value.requires_grad:
        return Check(
            "gradient", False, "no gradient reaches the mixture; take detach and no_grad out of it"
        )
    (gradient,) = torch.autograd.grad(value, heard, allow_unused=True)
    if gradient is None or not bool(torch.isfinite(gradient).all()):
        return Check("gradient", False, "the gradient is absent or not a number; see its layers")
    errors = []
    for direction in _directions(gradient, seed):
        predicted = float((gradient * direction).sum())
        # Of a direction in which next to nothing happens, rounding is all that is seen.
        scale = float(gradient.norm() * direction.norm() / direction.numel() ** 0.5) / 10
        found = []
        for size in STEPS[mixture.dtype]:
            with torch.no_grad():
                change = loss(mixture + size * direction) - loss(mixture - size * direction)
            slope = float(change) / (2 * size)
            found.append(abs(predicted - slope) / max(abs(predicted), abs(slope), scale, 1e-30))
            if found[-1] <= ERROR[mixture.dtype]:
                break
        errors.append(min(found))
    worst = max(errors)
    if worst == 0 and not bool(gradient.any()):
        return Check(
            "gradient",
            False,
            "the gradient is zero everywhere, and small steps change nothing: the output does not "
            "depend on the mixture, or it is rounded on the way",
        )
    limit, digits = ERROR[mixture.dtype], "double" if mixture.dtype == torch.float64 else "single"
    measured = (
        f"in {DIRECTIONS} directions the gradient differs from finite differences by up to "
        f"{worst:.1%} ({digits} precision)"
    )
    advice = "" if worst <= limit else "; look for detach, rounding or a custom backward pass"
    return Check("gradient", worst <= limit, measured + advice)


def _directions(gradient: Tensor, seed: int) -> Iterator[Tensor]:
    """Random directions of root mean square one.

    In single precision, where a random direction drowns in rounding, most of its signs are those
    of the gradient: if that lies, little happens there, or something else.
    """
    draws = Draws.of([seed], "gate")
    samples = gradient.numel()
    for _ in range(DIRECTIONS):
        if gradient.dtype == torch.float64:
            direction = draws.normal(samples).to(gradient)
        else:
            flipped = draws.uniform(samples).to(gradient) < 0.25
            signs = torch.where(gradient.flatten() >= 0, 1.0, -1.0)
            direction = torch.where(flipped, -signs, signs)
        direction = direction.reshape(gradient.shape)
        yield direction / direction.square().mean().sqrt()


def describe(checked: Gate, name: str, passes: float, samples: int) -> str:
    """What a run says before it starts: what the gate found, and how long it will take.

    Args:
        checked: what the gate found.
        name: of the system.
        passes: forward and backward passes over everything.
        samples: of everything.
    """
    seconds = passes * checked.step_seconds * samples / checked.samples
    found = "the gradient passes its checks"
    if not checked.passed:
        found = f"no white-box attack: {checked.reason}"
    told = f"{passes:.0f} passes over {samples} samples, {in_time(seconds)} of one process"
    return f"{name}: {found}; {told}"
