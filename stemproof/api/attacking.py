"""The second call: adversarial mixtures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from stemproof.api.fitting import attack_params, fitting, fitting_training, seeds_of
from stemproof.api.recordings import Recordings, Signal
from stemproof.attacks.budgets import used
from stemproof.attacks.build import build_attack
from stemproof.attacks.case import Case
from stemproof.attacks.params import AttackParams
from stemproof.attacks.universal import UniversalPerturbation
from stemproof.core.batches import batches
from stemproof.core.errors import InputError
from stemproof.separators.own import tried
from stemproof.separators.protocol import Separator


@dataclass(frozen=True)
class Attacked:
    """What :func:`attack` found.

    Attributes:
        adversarial: attacked mixtures, batch x channels x samples, float32.
        losses: the worst loss so far after 0, 1, ... steps, batch x steps + 1; by default minus
            the SI-SDR in dB.
        params: every parameter of the attack.
        budget_used: largest perturbation as a fraction of the budget; at most 1.
    """

    adversarial: Tensor
    losses: Tensor
    params: AttackParams
    budget_used: float


def attack(
    separator: Separator,
    mixture: Signal,
    vocals: Signal,
    params: AttackParams | None = None,
    *,
    training: tuple[Signal, Signal] | None = None,
    sample_rate: int | None = None,
    **settings: Any,
) -> Attacked:
    """Attack recordings, by default with PGD in an L-inf ball.

    Args:
        separator: what :func:`load` gave, or a wrapper around it.
        mixture: clean mixtures, batch x channels x samples.
        vocals: true vocals, same shape.
        params: the section ``attack`` of the pipeline's parameters, instead of settings.
        training: mixtures and vocals that a universal perturbation (``method="universal"``) is
            learned on, of the same length; without them it is learned on the recordings that it is
            played to, which makes it stronger than it can be.
        sample_rate: of the recordings in Hz, if it shall be checked.
        settings: keys of the section ``attack``, such as ``eps=0.003`` (full scale 1),
            ``norm="l2"``, ``snr=30.0`` (dB), ``method="search"``, ``pgd={"steps": 40}``.

    Returns:
        Adversarial mixtures and the losses on the way.

    Raises:
        InputError: a setting is not allowed; the recordings do not fit together or the system; no
            gradient reaches the mixture; a loss or a gradient is not a number.

    >>> import torch, stemproof
    >>> system = stemproof.load(lambda mixture: mixture.tanh(), sample_rate=8000, channels=1)
    >>> vocals = 0.1 * torch.sin(torch.arange(800) / 9)[None, None]
    >>> mixture = vocals + 0.05 * torch.cos(torch.arange(800) / 4)
    >>> found = stemproof.attack(system, mixture, vocals, eps=0.01, pgd={"steps": 4})
    >>> found.adversarial.shape, found.losses.shape
    (torch.Size([1, 1, 800]), torch.Size([1, 5]))
    >>> float((found.adversarial - mixture).abs().max()) <= 0.01
    True
    >>> bool(found.losses[0, -1] > found.losses[0, 0])
    True
    >>> stemproof.attack(system, mixture, vocals, epss=0.01)
    Traceback (most recent call last):
    stemproof.core.errors.InputError: attack: unknown parameter epss, did you mean `eps`?
    """
    params = attack_params(separator, params, settings)
    recordings = fitting(separator, mixture, vocals, sample_rate)
    x, s = recordings.mixture, recordings.vocals
    tried(separator, x[:1], s[:1], gradient="gradient" in params.of_method.needs)
    method = build_attack(params)
    if isinstance(method, UniversalPerturbation):
        learned_on = (
            recordings if training is None else fitting_training(separator, recordings, training)
        )
        method = method.learned(_cases(params, separator, learned_on))  # type: ignore[arg-type]
    found = [method(case) for case in _cases(params, separator, recordings)]
    adversarial = torch.cat([part.adversarial for part in found])
    losses = torch.cat([part.losses for part in found])
    good = torch.isfinite(losses).all(-1) & torch.isfinite(adversarial).all(-1)
    if not good.all():
        name = getattr(separator, "name", "the system")
        which = f"{int((~good).sum())} of {len(good)} recordings, the first of them number "
        which = "the recording" if len(good) == 1 else f"{which}{int((~good).nonzero()[0])}"
        raise InputError(
            f"{name}: output, loss or gradient is not a number on {which}; leave such "
            "recordings out, or correct the system, whose output is to be of the size of audio: "
            "full scale is 1"
        )
    fraction = used(params.bound.budget(x.flatten(1)), x.flatten(1), adversarial)
    return Attacked(adversarial.reshape(x.shape), losses, params, fraction)


def _cases(params: AttackParams, separator: Separator, recordings: Recordings) -> list[Case]:
    """Recordings as cases of an attack, ``params.batch`` at once."""
    return [
        Case.of(
            separator,
            recordings.mixture[part],
            recordings.vocals[part],
            params.bound,
            seeds_of(part, "attack", params.seed),
            params.eot_samples,
        )
        for part in batches(len(recordings), params.batch)
    ]
