"""Attack parts of recordings for one model: what is computed, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stemproof.attacks.build import build_attack
from stemproof.attacks.case import Case, Found
from stemproof.attacks.params import AttackParams
from stemproof.attacks.protocol import Attack
from stemproof.attacks.universal import SamePerturbation, UniversalPerturbation
from stemproof.core.errors import InputError
from stemproof.core.files import FloatArray
from stemproof.core.random import derive_seed
from stemproof.data.excerpts import Excerpts
from stemproof.separators.protocol import Separator


@dataclass(frozen=True)
class Crafted:
    """What was found for some parts.

    Attributes:
        adversarial: a mixture a part, channels x samples.
        losses: the worst so far after 0, 1, ... steps, parts x steps + 1.
    """

    adversarial: list[FloatArray]
    losses: FloatArray


def craft(
    params: AttackParams,
    attack: Attack,
    separator: Separator,
    excerpts: Excerpts,
    numbers: Sequence[int],
    device: torch.device,
) -> Crafted:
    """Attack some parts of recordings, ``params.batch`` segments at once.

    What a part gets depends on its track's name and its place in it, not on the batch.

    Args:
        params: the section ``attack``.
        attack: what :func:`prepared` gave.
        separator: whose gradients are used.
        excerpts: where they are.
        numbers: which of them.
        device: where to compute.

    Raises:
        InputError: a loss or a gradient is not a number.
    """
    found: list[FloatArray] = []
    losses = []
    for chosen in excerpts.batches(numbers, params.batch):
        case = case_of(params, separator, excerpts, chosen, device)
        result = _checked(attack(case), case, params.method)
        # NaN is never worse than what was found before: it would pass for robustness.
        whole = torch.isfinite(result.losses).all(-1) & torch.isfinite(result.adversarial).all(-1)
        broken = [
            excerpts.track(n) for n, good in zip(chosen, whole.tolist(), strict=True) if not good
        ]
        if broken:
            raise InputError(_broken(case, broken))
        found += list(case.shaped(result.adversarial).cpu().numpy())
        losses.append(result.losses.cpu())
    return Crafted(found, torch.cat(losses).numpy())


def _checked(found: Found, case: Case, method: str) -> Found:
    """What an attack gave, in the form that is stored."""
    wrong = ""
    if not isinstance(found, Found):
        wrong = f"{type(found).__name__}, not Found"
    elif found.adversarial.shape != case.mixture.shape:
        wrong = f"mixtures of {tuple(found.adversarial.shape)} for {tuple(case.mixture.shape)}"
    elif found.adversarial.dtype != torch.float32:
        wrong = f"mixtures in {found.adversarial.dtype}, not torch.float32"
    elif found.losses.ndim != 2 or len(found.losses) != len(case.mixture):
        wrong = f"losses of {tuple(found.losses.shape)}, not batch x steps + 1"
    if wrong:
        raise InputError(f"attack.method = {method} gives {wrong}; mend its module")
    return found


def case_of(
    params: AttackParams,
    separator: Separator,
    excerpts: Excerpts,
    numbers: Sequence[int],
    device: torch.device,
) -> Case:
    """The case of some parts of one length under the threat model of the parameters."""
    mixture, vocals = excerpts.read(numbers, device)
    seeds = [excerpts.seed(number, "attack", params.seed) for number in numbers]
    return Case.of(separator, mixture, vocals, params.bound, seeds, params.eot_samples)


def _broken(case: Case, tracks: list[str]) -> str:
    named = ", ".join(dict.fromkeys(tracks))
    return (
        f"{named}: output, loss or gradient is not a number on {len(tracks)} of "
        f"{len(case.mixture)} parts, whose samples reach {float(case.mixture.abs().max()):.3g} "
        "(full scale is 1); correct the recordings where that is far above 1, else train the "
        "system again or choose another attack.loss"
    )


def prepared(
    params: AttackParams,
    separator: Separator,
    training: Excerpts,
    loud_db: float,
    device: torch.device,
    learned: Tensor | None = None,
) -> Attack:
    """The attack of the parameters, ready to be run.

    A universal perturbation is learned on the training split first, unless it is known.

    Args:
        params: the section ``attack``.
        separator: whose gradients are used.
        training: parts of one length that a universal perturbation is learned on.
        loud_db: which of them count.
        device: where to compute.
        learned: the universal perturbation, 1 x samples, when it is known already.
    """
    attack = build_attack(params)
    if not isinstance(attack, UniversalPerturbation):
        return attack
    if learned is not None:
        return SamePerturbation(learned.to(device), attack.objective)
    loud = training.loud(loud_db)
    if not loud:
        raise InputError("no training segment has audible vocals; see segments.loud_db")
    torch.manual_seed(derive_seed("universal", params.seed))
    return attack.learned(_Cases(params, separator, training, loud, device))


@dataclass(frozen=True)
class _Cases:
    """Training parts in batches, to be gone through again and again."""

    params: AttackParams
    separator: Separator
    excerpts: Excerpts
    numbers: list[int]
    device: torch.device

    def __len__(self) -> int:
        return len(list(self._batches()))

    def __iter__(self) -> Iterator[Case]:
        for chosen in self._batches():
            yield case_of(self.params, self.separator, self.excerpts, chosen, self.device)

    def _batches(self) -> Iterator[list[int]]:
        return self.excerpts.batches(self.numbers, self.params.batch)
