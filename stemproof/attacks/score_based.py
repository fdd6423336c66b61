"""The attack on a system whose gradient is of no use: some that need none, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from stemproof.attacks.case import Case, Found, worse
from stemproof.attacks.params import AttackParams
from stemproof.attacks.protocol import Attack
from stemproof.core.errors import InputError


@dataclass(frozen=True)
class OneAfterTheOther:
    """Some attacks in the same budget, of which the worst result per item is kept.

    Attributes:
        attacks: in their order.
    """

    attacks: Sequence[Attack]

    def __call__(self, case: Case) -> Found:
        """Attack a batch; the curve of losses goes through all attacks."""
        result: Found | None = None
        for number, attack in enumerate(self.attacks):
            found = attack(case.restarted(case.run + number))
            if result is None:
                result = found
                continue
            # The first entry of a curve is the clean loss, or close to it.
            before = result.losses[:, -1:]
            later = torch.maximum(before, found.losses[:, 1:])
            losses = torch.cat([result.losses, later], dim=1)
            best = worse(Found(result.adversarial, before), Found(found.adversarial, later[:, -1:]))
            result = Found(best.adversarial, losses)
        assert result is not None
        return result


def score_based(params: AttackParams) -> OneAfterTheOther:
    """The attacks that ``attack.without_gradient`` names.

    Raises:
        InputError: the method of the parameters has no budget that they could search in.
    """
    if not params.of_method.bounded:
        raise InputError(
            f"attack.method = {params.method} seeks the smallest perturbation by a gradient, and "
            "this system's is of no use; choose another method, or take the system out of systems"
        )
    return OneAfterTheOther([own.of_method.build(own) for own in _chosen(params)])


def passes(params: AttackParams) -> float:
    """How many passes they take, counted as :attr:`stemproof.attacks.protocol.Method.passes`."""
    return sum(own.of_method.passes(own) for own in _chosen(params))


def _chosen(params: AttackParams) -> list[AttackParams]:
    return [params.model_copy(update={"method": name}) for name in params.without_gradient]
