"""One window of a song: the perturbation that separators stumble over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stemproof.attacks.budgets import Ball
from stemproof.attacks.steps import STEP_RULES, Iterate
from stemproof.core.random import Draws, derive_seed
from stemproof.protecting.aims import Aim, loss
from stemproof.protecting.masked import MaskedBudget
from stemproof.protecting.params import ProtectParams
from stemproof.protecting.transforms import TRANSFORMS, Transform, tuned

DRAWS = 2  # of each change that is drawn


@dataclass(frozen=True)
class Window:
    """A window, ready to be protected.

    Attributes:
        song: channels x samples.
        stem: true vocals, same shape; None where nobody has them.
        before: what the windows before have put into it, faded, same shape.
        weight: by which this one's perturbation is faded, one a sample.
        peak: largest sample of the whole song, beyond which nothing goes.
        budget: of its perturbation, before it is faded.
        number: of the window.
    """

    song: Tensor
    stem: Tensor | None
    before: Tensor
    weight: Tensor
    peak: float
    budget: Ball
    number: int

    def heard(self, delta: Tensor) -> Tensor:
        """The protected window, 1 x channels x samples.

        Args:
            delta: the perturbation, 1 x channels * samples.
        """
        own = delta.reshape(self.song.shape) * self.weight
        return (self.song + self.before + own)[None].clamp(-self.peak, self.peak)


@dataclass(frozen=True)
class Heard:
    """One system that hears the window after one change, and what it should give there.

    Attributes:
        aim: the system.
        transform: the change.
        seed: of what it draws.
        vocals: that the clean song gives, or the true ones, 1 x channels x samples.
        song: the clean song after that change.
    """

    aim: Aim
    transform: Transform
    seed: int
    vocals: Tensor
    song: Tensor

    @classmethod
    def of(
        cls, aim: Aim, name: str, seed: int, song: Tensor, stem: Tensor | None, rate: int
    ) -> Heard:
        """The case of a part of a song.

        Args:
            aim: the system.
            name: of the change.
            seed: of what it draws.
            song: clean, channels x samples.
            stem: true vocals, or None.
            rate: in Hz.
        """
        transform = TRANSFORMS[name]
        with torch.no_grad():
            changed = transform.song(song[None], rate, seed)
            if stem is None:
                vocals = aim.vocals(changed, seed)
            else:
                vocals = transform.stem(stem[None], rate, seed)
        return cls(aim, transform, seed, vocals, changed)

    def loss(self, heard: Tensor, rate: int) -> Tensor:
        """What is maximized when a protected song is heard instead; a number."""
        changed = self.transform.song(heard, rate, self.seed)
        return loss(self.aim.vocals(changed, self.seed), changed, self.vocals, self.song).sum()


def cases(aim: Aim, window: Window, params: ProtectParams, rate: int) -> list[Callable[[], Heard]]:
    """All that a system hears of a window, each made when it is needed."""
    found: list[Callable[[], Heard]] = []
    for name in tuned(params.mix, params.diverse):
        for draw in range(DRAWS if TRANSFORMS[name].drawn else 1):
            seed = derive_seed(params.seed, "change", name, window.number, draw)

            def make(name: str = name, seed: int = seed) -> Heard:
                return Heard.of(aim, name, seed, window.song, window.stem, rate)

            found.append(make)
    return found


def craft(
    window: Window,
    aims: Sequence[Aim],
    params: ProtectParams,
    rate: int,
    tell: Callable[[], object] = lambda: None,
) -> Tensor:
    """Protect a window: projected gradient ascent, an expectation over systems and changes.

    In every step every system hears the window after the next one of the changes (expectation over
    transformation; Athalye et al., 2018); the gradients are added up.

    Args:
        window: the window.
        aims: systems.
        params: of the protection.
        rate: in Hz.
        tell: called after every step.

    Returns:
        The perturbation before it is faded, channels x samples.
    """
    lists = [cases(aim, window, params, rate) for aim in aims]
    made: dict[tuple[int, int], Heard] = {}
    flat = window.song.reshape(1, -1)
    delta = window.budget.start(flat, Draws.of([derive_seed(params.seed, window.number)], "start"))
    rule = STEP_RULES[params.step_rule](params.step_size, params.steps)
    for step in range(params.steps):
        total, gradient = flat.new_zeros(1), torch.zeros_like(flat)
        for number, own in enumerate(lists):
            turn = step % len(own)
            if (number, turn) not in made:
                made[number, turn] = own[turn]()
            point = delta.detach().requires_grad_(True)
            heard = window.heard(point)
            value = made[number, turn].loss(heard, rate)
            (found,) = torch.autograd.grad(value, point)
            # A system that breaks easily has steep slopes, and would silence the others.
            gradient += torch.nan_to_num(found) / found.abs().mean().clamp_min(1e-30)
            total += value.detach()
        # The step is chosen by what is heard of it, before it is faded.
        gradient = gradient / window.weight.clamp_min(1e-3).repeat(len(window.song))[None]
        delta = rule.next(Iterate(step, delta, total, gradient, window.budget))
        tell()
    if isinstance(window.budget, MaskedBudget):
        delta = window.budget.inside(delta)
    return delta.detach().reshape(window.song.shape)
