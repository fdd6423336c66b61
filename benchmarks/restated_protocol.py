"""The pipeline's own protocol, stated a second time: where PGD starts, how break points are sought.

With what restated.py does in its own way, a difference from the pipeline may come from the code or
from where a search happened to end. Here the protocol is that of the documentation, step for step
(stemproof/attacks/breakpoints.py says what it is), and the code is written apart: what is left are
the last bits of sums, and what a search makes of them.
"""

from __future__ import annotations

import hashlib
import math

import torch
from torch import Tensor

from restated import Task

LEVELS = (1, 3, 6)  # dB of SI-SDR, in the order of the first of the two searches
HALVINGS = 5  # of the scale of what was found


def seed_of(*parts: str | int) -> int:
    """63 bits of the SHA-256 of some words and whole numbers, each with its type before it."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int(hashlib.sha256(text.encode()).hexdigest()[:16], 16) // 2


def start(task: Task, eps: float, track: str, seed: int) -> Tensor:
    """Uniform in the box: the first random start for the first excerpt of a recording."""
    own = seed_of(seed_of("attack", seed, track, 0), "start", 0)
    draws = torch.Generator().manual_seed(own)
    uniform = torch.rand(task.mixture.numel(), generator=draws).reshape(task.mixture.shape)
    return eps * (2 * uniform.to(task.mixture) - 1)


def break_points(task: Task, steps: int) -> dict[str, float | None]:
    """The better of a search from 1 dB to 6 dB and of one from 6 to 1, scaled down by halving."""
    clean, gradient = task.slope(torch.zeros_like(task.mixture))
    loudness = task.mixture.norm().item()
    both = [searched(task, steps, clean, gradient, order) for order in (LEVELS, LEVELS[::-1])]
    lengths: dict[int, float] = {}
    for level in LEVELS:
        up, down = (one.get(level) for one in both)
        change = up if down is None or (up is not None and up.norm() <= down.norm()) else down
        if change is not None:
            lengths[level] = change.norm().item() * scale(task, change, clean - level)
    found: dict[str, float | None] = {}
    for level in LEVELS:
        # What costs more costs as much, too.
        enough = [length for other, length in lengths.items() if other >= level]
        found[f"break_{level}db"] = 20 * math.log10(loudness / min(enough)) if enough else None
    return found


def searched(
    task: Task, steps: int, clean: float, gradient: Tensor, order: tuple[int, ...]
) -> dict[int, Tensor]:
    """The smallest change met for every level, when they are sought one after the other."""
    largest = task.mixture.norm().item()
    smallest: dict[int, Tensor] = {}
    direction = unit(-gradient)
    radius = min(order[0] / gradient.norm().item(), largest)
    for place, level in enumerate(order):
        if place:
            before = order[place - 1]
            if before in smallest:
                radius, direction = smallest[before].norm().item(), unit(smallest[before])
            radius = min(radius * level / before, largest)
        for step in range(steps):
            change = radius * direction
            figure, gradient = task.slope(change)
            for other in order:
                shorter = other not in smallest or radius < smallest[other].norm().item()
                if figure <= clean - other and shorter:
                    smallest[other] = change
            done = step / max(steps - 1, 1)
            turn = 0.5 * (1 - 0.9 * done)
            direction = unit((1 - turn) * direction - turn * unit(gradient))
            factor = min(max(level / max(clean - figure, 1e-6), 0.5), 2.0)
            if level in smallest:
                factor **= 0.7 - 0.5 * done
            radius = min(radius * factor, largest)
    return smallest


def scale(task: Task, change: Tensor, level: float) -> float:
    """The smallest factor, from a half to one, with which a change still reaches a level."""
    low, high = 0.5, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        with torch.no_grad():
            reached = task.figure(middle * change).item() <= level
        low, high = (low, middle) if reached else (middle, high)
    return high


def unit(vector: Tensor) -> Tensor:
    """Of L2 norm one."""
    return vector / vector.norm().clamp_min(1e-30)
