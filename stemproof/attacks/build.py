"""From the section ``attack`` to the attack."""

from __future__ import annotations

from stemproof.attacks.params import AttackParams
from stemproof.attacks.protocol import Attack
from stemproof.attacks.restarts import Restarts


def build_attack(params: AttackParams) -> Attack:
    """The attack that ``attack.method`` names, restarted as often as ``attack.restarts`` says.

    A universal perturbation has yet to be learned (:mod:`stemproof.attacks.universal`).
    """
    attack = params.of_method.build(params)
    return Restarts(attack, params.restarts) if params.restarts > 1 else attack
