"""From ``attack`` in the parameters to the attack."""

from __future__ import annotations

from stemproof.attacks.gradient import GradientAttack, fgsm
from stemproof.attacks.protocol import Attack
from stemproof.attacks.minimal import MinimalPerturbation
from stemproof.attacks.noise import RandomNoise
from stemproof.attacks.objectives import OBJECTIVES
from stemproof.attacks.search import RandomSearch
from stemproof.attacks.sparse import SparseSaliency
from stemproof.attacks.steps import STEP_RULES
from stemproof.attacks.universal import UniversalPerturbation
from stemproof.params import AttackParams


def build_attack(attack: AttackParams) -> Attack | UniversalPerturbation:
    """The attack that ``attack.method`` names; a universal one has yet to be learned."""
    objective = OBJECTIVES[attack.loss]
    match attack.method:
        case "pgd":
            return build_pgd(attack)
        case "fgsm":
            return fgsm(objective, attack.eot_samples)
        case "search":
            return RandomSearch(objective, attack.queries)
        case "noise":
            return RandomNoise(objective, attack.restarts)
        case "universal":
            return UniversalPerturbation(objective, attack.steps, attack.step_size)
        case "sparse":
            return SparseSaliency(objective, attack.steps)
        case "minimal":
            return MinimalPerturbation(attack.drop, "l2" if attack.norm == "l2" else "linf")


def build_pgd(attack: AttackParams) -> GradientAttack:
    """PGD with the steps, rule, loss and restarts of the parameters, whatever the method."""
    return GradientAttack(
        objective=OBJECTIVES[attack.loss],
        steps=attack.steps,
        step_size=attack.step_size,
        rule=STEP_RULES[attack.step_rule],
        random_start=attack.random_start,
        restarts=attack.restarts,
        samples=attack.eot_samples,
    )
